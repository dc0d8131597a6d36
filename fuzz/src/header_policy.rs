//! What a request may say of itself and what is for one hop only: neither gets through, whatever filters do besides.

use std::net::SocketAddr;

use causeway_proxy::request::Client;
use causeway_proxy::snapshot::{ClientLimits, PortKey};
use causeway_proxy_http1::{Limits, RequestHead, RequestOut, parse_request, write_request};

use crate::bytes::number_of;
use crate::reference;
use crate::request::is_sent_on_as_one;

/// What a stranger says of itself, and what is for one hop.
const NEVER: [&str; 14] = [
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-real-ip",
    "forwarded",
    "x-causeway-attempt",
    "x-request-timeout",
    "keep-alive",
    "proxy-connection",
    "proxy-authorization",
    "proxy-authenticate",
    "http2-settings",
    "x-set-by-filter-and-removed",
];

/// What no `Connection` can take away.
const OWED: [&str; 3] = ["authorization", "cookie", "user-agent"];

pub fn run(input: &[u8]) {
    // Fields alone, behind a head that is fine.
    let whole = [b"GET /a HTTP/1.1\r\nHost: shop.example\r\n", input, b"\r\n\r\n"].concat();
    let (seed, mut head) = (number_of(input), RequestHead::default());
    let Ok(Some(_)) = parse_request(&whole, &Limits::default(), &mut 0, &mut head) else { return };
    let peer = SocketAddr::from(([192, 0, 2, 1], 4000));
    let client = Client::new(PortKey(SocketAddr::from(([0, 0, 0, 0], 80))), peer, seed & 1 == 1);
    let mut believed = head.clone();
    let came: Vec<(String, usize)> = OWED.map(|name| (name.to_owned(), count(&head, name))).into();

    let claims = client.settle(&mut head, &hops(0));
    assert_eq!((claims.address, claims.is_retry, claims.time_left), (peer.ip(), false, None));
    // What filters do: any order of these leaves one field, or none.
    for _ in 0..=seed % 3 {
        head.push(b"X-Set-By-Filter-And-Removed", b"1").expect("a field");
    }
    head.remove_name(b"x-set-by-filter-and-REMOVED");
    head.set(b"X-Set", b"a").expect("a field");
    head.set(b"x-set", b"b").expect("a field");
    is_sent_on_as_one(&head);
    let mut out = Vec::new();
    write_request(&head, &mut out, &RequestOut::of(&head));
    let sent = reference::request(&out).expect("what is sent is a request");
    for name in NEVER {
        assert!(sent.all(name).is_empty(), "{name} got through: {}", out.escape_ascii());
    }
    assert_eq!(sent.all("x-set"), [b"b"]);
    for (name, times) in came {
        assert_eq!(sent.all(&name).len(), times, "{name}: {}", out.escape_ascii());
    }

    // With a trusted hop in front the chain is one field that ends in our peer.
    client.settle(&mut believed, &hops(1));
    let chain: Vec<&[u8]> = believed.find(b"x-forwarded-for").collect();
    assert!(chain.len() <= 1 && chain.iter().all(|chain| chain.ends_with(b"192.0.2.1")));
    is_sent_on_as_one(&believed);
}

fn hops(trusted_hops: u32) -> ClientLimits {
    ClientLimits { trusted_hops, ..ClientLimits::default() }
}

fn count(head: &RequestHead, name: &str) -> usize {
    head.find(name.as_bytes()).count()
}
