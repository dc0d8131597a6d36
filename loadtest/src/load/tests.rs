//! Generator, relay and origin, against each other.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::thread;

use rustls::crypto::aws_lc_rs;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use rustls_pki_types::PrivateKeyDer;

use super::*;
use crate::origin::Origin;
use crate::relay::Relay;

/// An origin that serves for as long as the tests run.
fn origin() -> u16 {
    let origin = Origin::bind(&[0]).unwrap();
    let port = origin.ports().unwrap()[0];
    thread::spawn(move || origin.serve());
    port
}

fn relayed(upstream: u16) -> u16 {
    let relay = Relay::bind(0, upstream).unwrap();
    let port = relay.port().unwrap();
    thread::spawn(move || relay.serve());
    port
}

/// A server that does this with each of its connections, one after the other.
fn server(mut with: impl FnMut(std::net::TcpStream) + Send + 'static) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || listener.incoming().for_each(|stream| with(stream.unwrap())));
    port
}

/// Reads one request. `None`: there is none.
fn request(stream: &mut impl Read) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        bytes.extend(byte);
    }
    Some(bytes)
}

fn plan(port: u16) -> Plan {
    let to = (Ipv4Addr::LOCALHOST, port).into();
    Plan {
        connections: 8,
        warm_up: Duration::from_millis(50),
        length: Duration::from_millis(300),
        ..Plan::new(to)
    }
}

fn outcome(plan: &Plan) -> Outcome {
    let mut moments = Vec::new();
    let outcome = run(plan, &mut |moment| {
        moments.push(moment);
        Ok(())
    });
    assert_eq!(moments, [Moment::Begin, Moment::End]);
    outcome.unwrap()
}

#[test]
fn a_closed_loop_is_answered_without_errors() {
    let outcome = outcome(&plan(relayed(origin())));
    assert!(outcome.requests > 0 && outcome.errors == 0, "{outcome:?}");
    assert!(outcome.bytes.abs_diff(outcome.requests * 1024) <= 8 * 1024, "{outcome:?}");
    assert!(0.0 < outcome.p50_us && outcome.p50_us <= outcome.p99_us && outcome.p99_us <= outcome.max_us);
    assert!(outcome.seconds >= 0.3 && outcome.late == 0);
}

#[test]
fn an_open_loop_sends_at_its_rate() {
    let outcome = outcome(&Plan { rate: Some(500.0), ..plan(relayed(origin())) });
    let all = outcome.requests + outcome.late;
    // A request may be under way at the beginning or at the end, on each connection.
    assert!(all.abs_diff((outcome.seconds * 500.0) as u64) <= 9 && outcome.errors == 0, "{outcome:?}");
}

#[test]
fn large_answers_are_counted_to_the_last_byte() {
    let size = 3_000_000;
    let plan = Plan { connections: 1, path: format!("/bytes/{size}"), ..plan(relayed(origin())) };
    let outcome = outcome(&plan);
    assert!(outcome.requests > 0 && outcome.errors == 0, "{outcome:?}");
    assert!(outcome.bytes.abs_diff(outcome.requests * size) <= size, "{outcome:?}");
}

#[test]
fn with_fresh_each_request_has_a_connection_of_its_own() {
    let (count, counted) = std::sync::mpsc::channel();
    let port = server(move |mut stream| {
        let request = request(&mut stream).unwrap();
        assert!(String::from_utf8(request).unwrap().contains("\r\nConnection: close\r\n"));
        // Before the answer, or the last one could be missed.
        let _ = count.send(());
        stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx").unwrap();
    });
    let fresh = Plan { fresh: true, connections: 2, warm_up: Duration::ZERO, ..plan(port) };
    let served = outcome(&fresh);
    let connections = counted.try_iter().count() as u64;
    assert!(served.requests > 0 && served.errors == 0, "{served:?}");
    assert!((served.requests..=served.requests + 2).contains(&connections), "{served:?} on {connections}");
    let relayed = outcome(&Plan { fresh: true, ..plan(relayed(origin())) });
    assert!(relayed.requests > 0 && relayed.errors == 0, "{relayed:?}");
}

#[test]
fn answers_without_success_are_errors() {
    let port = server(|mut stream| {
        while request(&mut stream).is_some() {
            let answer = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";
            if stream.write_all(answer).is_err() {
                break;
            }
        }
    });
    let outcome = outcome(&Plan { connections: 1, ..plan(port) });
    assert!(outcome.requests == 0 && outcome.errors > 0, "{outcome:?}");
}

#[test]
fn a_connection_that_dies_is_an_error_and_is_opened_again() {
    let port = server(|mut stream| {
        for _ in 0..3 {
            let _ = request(&mut stream);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let outcome = outcome(&Plan { connections: 1, ..plan(port) });
    // One for three answers; the first and the last three may be counted in part.
    assert!(outcome.errors > 1, "{outcome:?}");
    assert!((outcome.errors * 3).abs_diff(outcome.requests) <= 6, "{outcome:?}");
}

#[test]
fn a_stall_is_charged_to_all_that_were_due_meanwhile() {
    let port = server(|mut stream| {
        for at in 0.. {
            if request(&mut stream).is_none() {
                return;
            }
            if at == 100 {
                thread::sleep(Duration::from_millis(200)); // It is the stall itself, not a wait for a state.
            }
            if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").is_err() {
                return;
            }
        }
    });
    let length = Duration::from_millis(1000);
    let plan = Plan { connections: 1, rate: Some(1000.0), warm_up: Duration::ZERO, length, ..plan(port) };
    let outcome = outcome(&plan);
    // One request waited for the server; one in ten was due at least 100 ms before it could be sent.
    assert!(outcome.p99_us > 150_000.0 && outcome.p90_us > 50_000.0, "{outcome:?}");
}

#[test]
fn the_impatient_give_up_what_finds_no_connection_and_charge_nobody_for_it() {
    let port = server(|mut stream| {
        while request(&mut stream).is_some() {
            thread::sleep(Duration::from_millis(20)); // It is slow.
            if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").is_err() {
                return;
            }
        }
    });
    let length = Duration::from_millis(1000);
    let slow = Plan { connections: 1, rate: Some(1000.0), warm_up: Duration::ZERO, length, ..plan(port) };
    let outcome = outcome(&Plan { impatient: true, ..slow });
    assert_eq!(outcome.errors, 0, "{outcome:?}");
    assert!((980..=1000).contains(&(outcome.requests + outcome.late)), "{outcome:?}");
    // Whoever waits for a connection in this queue waits for half a second at last.
    assert!(outcome.p50_us < 200_000.0, "{outcome:?}");
}

#[test]
fn the_polite_stay_away_for_a_second_from_who_refused_them() {
    let port = server(|mut stream| {
        while request(&mut stream).is_some() {
            if stream.write_all(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n").is_err() {
                return;
            }
        }
    });
    let length = Duration::from_millis(900);
    let refused = Plan { connections: 1, impatient: true, rate: Some(1000.0), length, ..plan(port) };
    let refused = Plan { warm_up: Duration::ZERO, ..refused };
    let rude = outcome(&refused);
    assert!(rude.errors > 10, "{rude:?}");
    let polite = outcome(&Plan { polite: true, ..refused });
    assert_eq!((polite.requests, polite.errors), (0, 1), "{polite:?}");
}

#[test]
fn held_connections_stay_open_until_the_server_closes_them() {
    let mut held = hold(&Plan { connections: 300, ..plan(relayed(origin())) }).unwrap();
    assert_eq!(held.open(), Ok(300));
    let (kept, streams) = std::sync::mpsc::channel();
    let port = server(move |mut stream| {
        request(&mut stream).unwrap();
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n")
            .unwrap();
        kept.send(stream).unwrap();
    });
    let mut held = hold(&Plan { connections: 3, ..plan(port) }).unwrap();
    assert_eq!(held.open(), Ok(3));
    drop(streams.recv().unwrap());
    let patience = Instant::now() + Duration::from_secs(10);
    while held.open() != Ok(2) {
        assert!(Instant::now() < patience);
        thread::yield_now();
    }
}

#[test]
fn where_nobody_listens_there_is_no_run() {
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let refused = run(&plan(port), &mut |_| Ok(()));
    assert!(refused.as_ref().is_err_and(|e| e.contains("refused")), "{refused:?}");
    assert!(hold(&plan(port)).is_err());
}

#[test]
fn a_server_that_goes_away_is_tried_again_but_not_all_the_time() {
    let fresh = Plan { fresh: true, connections: 2, ..plan(1) };
    let outcome = outcome(&fresh);
    // Each place rests for 10 ms after each attempt.
    assert!((4..=80).contains(&outcome.errors), "{outcome:?}");
}

#[test]
fn a_moment_may_end_the_run() {
    let ended = run(&plan(origin()), &mut |_| Err("enough".to_owned()));
    assert_eq!(ended, Err("enough".to_owned()));
}

/// Both sides' configuration.
fn tls() -> (Arc<ServerConfig>, Arc<rustls::ClientConfig>) {
    let identity = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (cert, key) = (identity.cert.der().clone(), identity.signing_key.serialize_der());
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(cert.clone()).unwrap();
    let client = rustls::ClientConfig::builder_with_provider(provider.clone());
    let client = client.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
    let server = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let server =
        server.with_no_client_auth().with_single_cert(vec![cert], PrivateKeyDer::try_from(key).unwrap());
    (Arc::new(server.unwrap()), Arc::new(client.with_no_client_auth()))
}

#[test]
fn tls_carries_small_and_large_answers_on_kept_and_fresh_connections() {
    let (server_tls, client_tls) = tls();
    let port = server(move |stream| {
        let session = ServerConnection::new(server_tls.clone()).unwrap();
        thread::spawn(move || {
            let mut stream = StreamOwned::new(session, stream);
            let body = vec![b'x'; 500_000];
            while let Some(request) = request(&mut stream) {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 500000\r\n\r\n");
                let _ = stream.write_all(&body);
                let _ = stream.flush();
                if String::from_utf8(request).unwrap().contains("Connection: close") {
                    return;
                }
            }
        });
    });
    for fresh in [false, true] {
        let tls = Some(client_tls.clone());
        let outcome = outcome(&Plan { tls, fresh, connections: 2, ..plan(port) });
        assert!(outcome.requests > 0 && outcome.errors == 0, "{outcome:?}");
        assert!(outcome.bytes.abs_diff(outcome.requests * 500_000) <= 2 * 500_000, "{outcome:?}");
    }
}

/// An HTTP/2 server that knows no more of it than the test: it answers each HEADERS frame with one of its own, allows
/// two streams, and says goodbye after some.
fn http2_server(requests: u32, goodbye: &'static [u8]) -> u16 {
    server(move |mut stream| {
        let mut serve = || -> std::io::Result<()> {
            let mut preface = [0; 24];
            stream.read_exact(&mut preface)?;
            assert!(preface.starts_with(b"PRI * HTTP/2.0"));
            stream.write_all(&[0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 2])?;
            let mut left = requests;
            while left > 0 {
                let mut head = [0; 9];
                stream.read_exact(&mut head)?;
                stream.read_exact(&mut vec![0; usize::from(head[2])])?;
                if head[3] == 1 {
                    left -= 1;
                    let goodbye: &[u8] = if left == 0 { goodbye } else { b"" };
                    let [_, _, _, _, _, id @ ..] = head;
                    stream.write_all(&[goodbye, &[0, 0, 1, 1, 5], &id, &[0x88]].concat())?;
                }
            }
            stream.read_to_end(&mut Vec::new()).map(|_| ())
        };
        let _ = serve();
    })
}

#[test]
fn http2_is_answered_whatever_the_server_allows() {
    let port = http2_server(u32::MAX, b"");
    for rate in [None, Some(1000.0)] {
        let outcome =
            outcome(&Plan { protocol: Protocol::Http2, connections: 1, streams: 10, rate, ..plan(port) });
        assert!(outcome.requests > 0 && outcome.errors == 0, "{outcome:?}");
    }
}

#[test]
fn after_goaway_an_http2_connection_is_opened_again() {
    // Friendly, with the highest stream there is: nothing is lost.
    let port = http2_server(5, &[0, 0, 8, 7, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
    let outcome = outcome(&Plan { protocol: Protocol::Http2, connections: 1, ..plan(port) });
    assert!(outcome.requests > 10 && outcome.errors == 0, "{outcome:?}");
}
