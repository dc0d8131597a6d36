use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::thread;

use super::*;

/// A connection to an origin of its own, and its port.
fn connect() -> (TcpStream, u16) {
    let origin = Origin::bind(&[0, 0]).unwrap();
    let port = origin.ports().unwrap()[1];
    thread::spawn(move || origin.serve());
    (TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap(), port)
}

fn answer(port: u16, length: usize) -> Vec<u8> {
    let mut bytes = format!(
        "HTTP/1.1 200 OK\r\nServer: bench\r\nDate: Mon, 23 Nov 2026 16:00:00 GMT\r\nContent-Type: text/plain\r\n\
         X-Backend: {port}\r\nContent-Length: {length}\r\n\r\n"
    )
    .into_bytes();
    bytes.resize(bytes.len() + length, 0);
    bytes
}

/// Whether a body is letters and all else is as expected.
fn same(received: &[u8], expected: &[u8]) -> bool {
    let alike = |(received, expected): (&u8, &u8)| match expected {
        0 => received.is_ascii_lowercase(),
        _ => received == expected,
    };
    received.len() == expected.len() && received.iter().zip(expected).all(alike)
}

#[test]
fn answers_are_as_long_as_the_path_says_and_come_in_order() {
    let (mut client, port) = connect();
    let sizes = [0, 1, 16_000, 16_384, 70_000, 300_000, 10 << 20, 5];
    let mut requests =
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\nPOST /a HTTP/1.1\r\nContent-Length: 5\r\n\r\nGET /".to_vec();
    let mut expected = [answer(port, 1024), answer(port, 1024)].concat();
    for size in sizes {
        requests.extend(format!("GET /bytes/{size} HTTP/1.1\r\nHost: x\r\n\r\n").bytes());
        expected.extend(answer(port, size));
    }
    requests.extend(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\nGET /after HTTP/1.1\r\n\r\n");
    expected.extend(answer(port, 1024));
    client.write_all(&requests).unwrap();
    let mut received = Vec::new();
    client.read_to_end(&mut received).unwrap();
    assert!(same(&received, &expected), "{} bytes for {}", received.len(), expected.len());
}

#[test]
fn a_request_may_come_in_pieces_and_be_the_last() {
    let (mut client, port) = connect();
    client.set_nodelay(true).unwrap();
    for piece in b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\n\r\n".chunks(1) {
        client.write_all(piece).unwrap();
    }
    client.shutdown(Shutdown::Write).unwrap();
    let mut received = Vec::new();
    client.read_to_end(&mut received).unwrap();
    assert!(same(&received, &[answer(port, 1024), answer(port, 1024)].concat()));
}

#[test]
fn what_is_no_request_closes_the_connection() {
    for bytes in ["GET\r\n\r\n", "GET /bytes/x HTTP/1.1\r\n\r\n", "GET /bytes/67108865 HTTP/1.1\r\n\r\n"] {
        let (mut client, _) = connect();
        client.write_all(bytes.as_bytes()).unwrap();
        assert_eq!(client.read(&mut [0; 10]).unwrap(), 0, "{bytes}");
    }
}
