//! Nothing ambiguous gets in, nothing that is meant for one hop travels two, and everything has a bound.

use causeway_testkit::origin::Origin;
use causeway_testkit::raw::End;
use causeway_testkit::script::Scripted;
use causeway_tests::{OK, Site, recording};
use serde_json::json;

/// Heads that have two meanings, or none, and what they are answered.
const REFUSED: &[(&str, &str, u16)] = &[
    (
        "both lengths",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    ("equal lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n", 400),
    ("two lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\nGET /", 400),
    ("a list of lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\nabc", 400),
    ("a signed length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc", 400),
    ("a negative length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -3\r\n\r\nabc", 400),
    ("a hexadecimal length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x3\r\n\r\nabc", 400),
    ("an empty length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", 400),
    ("an endless length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n", 400),
    (
        "chunked twice",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "chunked not last",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "two codings",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "a coding with a control octet",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "an unknown coding",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        501,
    ),
    (
        "a coding in HTTP/1.0",
        "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    ("a bare LF after the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n", 400),
    ("a bare LF after a field", "GET / HTTP/1.1\r\nHost: a\nX: 1\r\n\r\n", 400),
    ("a bare LF at the end", "GET / HTTP/1.1\r\nHost: a\r\n\n", 400),
    ("a bare CR in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r2\r\n\r\n", 400),
    ("a folded field", "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n 2\r\n\r\n", 400),
    ("a folded first field", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400),
    ("a space before the colon", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length : 0\r\n\r\n", 400),
    ("an empty name", "GET / HTTP/1.1\r\nHost: a\r\n: 1\r\n\r\n", 400),
    ("a name with a space", "GET / HTTP/1.1\r\nHost: a\r\nX Y: 1\r\n\r\n", 400),
    ("a name beyond ASCII", "GET / HTTP/1.1\r\nHost: a\r\nX\u{e9}: 1\r\n\r\n", 400),
    ("a NUL in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", 400),
    ("a DEL in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: a\x7fb\r\n\r\n", 400),
    ("no Host", "GET / HTTP/1.1\r\n\r\n", 400),
    ("two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
    ("a Host with a user", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400),
    ("a Host with a space", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
    ("an empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", 400),
    ("a target with a space", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("a target with a fragment", "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("a target beyond ASCII", "GET /\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("a method that is no token", "G(T / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("two spaces", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("no version", "GET /\r\n\r\n", 400),
    ("a version in lower case", "GET / http/1.1\r\nHost: a\r\n\r\n", 400),
    ("a later version", "GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505),
    ("TLS on a cleartext port", "\x16\x03\x01\x02\0\x01\0\x01\r\n\r\n", 400),
];

#[tokio::test]
async fn a_request_with_two_meanings_is_refused_and_closed_and_reaches_nobody() {
    let (upstream, received) = recording(OK).await;
    let site = Site::over(&[upstream.addr()]).await;
    for (what, bytes, status) in REFUSED {
        let mut raw = site.raw().await;
        // Behind it, what a smuggler would want to be taken for a request.
        raw.send([bytes.as_bytes(), b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"].concat())
            .await
            .expect("sent");
        let answer = raw.response().await;
        assert_eq!(answer.status(), *status, "{what}");
        assert_eq!(answer.head.get("connection"), Some("close"), "{what}");
        assert!(raw.is_closed().await, "{what}: something follows the refusal");
    }
    assert!(received.all().is_empty(), "{:?}", received.all());
    let refused = site.proxy.metrics().await.sum("causeway_bad_requests_total", &[]);
    assert_eq!(refused, REFUSED.len() as f64);
}

#[tokio::test]
async fn a_body_with_broken_chunks_never_becomes_a_whole_request() {
    let (upstream, received) = recording(OK).await;
    let site = Site::over(&[upstream.addr()]).await;
    for (what, body) in [
        ("no size", "\r\n"),
        ("a signed size", "+3\r\nabc\r\n0\r\n\r\n"),
        ("a prefixed size", "0x3\r\nabc\r\n0\r\n\r\n"),
        ("a space before the size", " 3\r\nabc\r\n0\r\n\r\n"),
        ("a space after the size", "3 \r\nabc\r\n0\r\n\r\n"),
        ("a size that overflows", "10000000000000003\r\nabc\r\n0\r\n\r\n"),
        ("a bare LF after the size", "3\nabc\r\n0\r\n\r\n"),
        ("a bare LF after the data", "3\r\nabc\n0\r\n\r\n"),
        ("more data than its size", "3\r\nabcd\r\n0\r\n\r\n"),
        ("a NUL in an extension", "3;a=\0\r\nabc\r\n0\r\n\r\n"),
        ("a folded trailer", "0\r\nX: 1\r\n 2\r\n\r\n"),
        ("a length as a trailer", "0\r\nContent-Length: 3\r\n\r\n"),
        ("a bare LF at the end", "0\r\n\n"),
    ] {
        let mut raw = site.raw().await;
        let head = "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        raw.send(format!("{head}{body}GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")).await.expect("sent");
        let answer = raw.response().await;
        assert_eq!(answer.status(), 400, "{what}");
        assert_eq!(answer.head.get("connection"), Some("close"), "{what}");
        assert!(raw.is_closed().await, "{what}: something follows the refusal");
    }
    assert!(received.all().is_empty(), "{:?}", received.all());
}

#[tokio::test]
async fn what_is_meant_for_one_hop_does_not_travel_to_the_upstream() {
    let (upstream, received) = recording(OK).await;
    let site = Site::over(&[upstream.addr()]).await;
    let mut raw = site.raw().await;
    raw.send(
        "GET /x?y HTTP/1.1\r\nHost: shop.example\r\nConnection: keep-alive, X-One-Hop\r\nX-One-Hop: 1\r\n\
         Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nProxy-Authorization: Basic x\r\nTE: gzip\r\n\
         HTTP2-Settings: AAMAAABkAAQAAP__\r\nVia: 1.0 fred\r\nX-Stays: yes\r\nAuthorization: Bearer t\r\n\r\n",
    )
    .await
    .expect("sent");
    assert_eq!(raw.response().await.status(), 200);
    let head = received.only().head;
    assert_eq!(head.start, "GET /x?y HTTP/1.1");
    for gone in [
        "connection",
        "x-one-hop",
        "keep-alive",
        "proxy-connection",
        "proxy-authorization",
        "te",
        "http2-settings",
        "transfer-encoding",
        "upgrade",
    ] {
        assert_eq!(head.all(gone), [""; 0], "{gone}");
    }
    assert_eq!(head.get("host"), Some("shop.example"));
    assert_eq!(head.get("x-stays"), Some("yes"));
    assert_eq!(head.get("authorization"), Some("Bearer t"));
    assert_eq!(head.all("via").join(", "), "1.0 fred, 1.1 causeway");
}

#[tokio::test]
async fn what_is_meant_for_one_hop_does_not_travel_to_the_client() {
    let answer = "HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Internal\r\nX-Internal: 10.0.0.1\r\n\
                  Keep-Alive: timeout=5\r\nProxy-Authenticate: Basic\r\nUpgrade: h2c\r\nX-Stays: yes\r\n\
                  Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 2\r\n\r\nok";
    let (upstream, _) = recording(answer).await;
    let site = Site::over(&[upstream.addr()]).await;
    let mut raw = site.raw().await;
    raw.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("sent");
    let answer = raw.response().await;
    assert_eq!((answer.status(), answer.text().as_str()), (200, "ok"));
    for gone in ["x-internal", "keep-alive", "proxy-authenticate", "upgrade"] {
        assert_eq!(answer.head.all(gone), [""; 0], "{gone}");
    }
    assert_eq!(answer.head.get("x-stays"), Some("yes"));
    assert_eq!(answer.head.all("set-cookie"), ["a=1", "b=2"], "not to be joined (RFC 9110, 5.3)");
}

#[tokio::test]
async fn a_client_cannot_nominate_away_what_the_upstream_is_owed() {
    let (upstream, received) = recording(OK).await;
    let site = Site::over(&[upstream.addr()]).await;
    let mut raw = site.raw().await;
    let connection = "Connection: X-Forwarded-For, Authorization, Host, Via, close";
    raw.send(format!("GET / HTTP/1.1\r\nHost: a\r\nAuthorization: x\r\n{connection}\r\n\r\n"))
        .await
        .expect("sent");
    let answer = raw.response().await;
    assert_eq!(answer.head.get("connection"), Some("close"));
    assert!(raw.is_closed().await, "as the client asked");
    let head = received.only().head;
    assert_eq!(head.get("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(head.get("authorization"), Some("x"));
    assert_eq!(head.get("host"), Some("a"));
}

#[tokio::test]
async fn what_a_stranger_says_of_itself_is_replaced_by_what_is_true() {
    let (upstream, received) = recording(OK).await;
    let site = Site::over(&[upstream.addr()]).await;
    let mut raw = site.raw().await;
    raw.send(
        "GET / HTTP/1.1\r\nHost: shop.example\r\nX-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\n\
         X-Forwarded-Host: evil\r\nForwarded: for=6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\nX-Causeway-Attempt: 9\r\n\r\n",
    )
    .await
    .expect("sent");
    assert_eq!(raw.response().await.status(), 200);
    let head = received.only().head;
    assert_eq!(head.get("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(head.get("x-forwarded-proto"), Some("http"));
    assert_eq!(head.get("x-forwarded-host"), Some("shop.example"));
    assert_eq!(head.get("x-causeway-attempt"), Some("1"));
    for gone in ["forwarded", "x-real-ip"] {
        assert_eq!(head.get(gone), None, "{gone}");
    }
}

#[tokio::test]
async fn a_trusted_hop_is_believed_and_extended() {
    let (upstream, received) = recording(OK).await;
    let site = Site::start(|config| {
        config.cluster("a", 1, &[upstream.addr()]).client_policy(json!({"clientIP": {"trustedHops": 1}}));
    })
    .await;
    let mut raw = site.raw().await;
    raw.send("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 10.1.1.1\r\nX-Forwarded-Proto: https\r\n\r\n")
        .await
        .expect("sent");
    assert_eq!(raw.response().await.status(), 200);
    let head = received.only().head;
    assert_eq!(head.get("x-forwarded-for"), Some("10.1.1.1, 127.0.0.1"));
    assert_eq!(head.get("x-forwarded-proto"), Some("https"));
}

#[tokio::test]
async fn heads_lines_and_bodies_have_bounds() {
    let (upstream, received) = recording(OK).await;
    let site = Site::start(|config| {
        config.cluster("a", 1, &[upstream.addr()]).client_policy(json!({
            "limits": {"headerBytes": "32Ki", "headerCount": 20, "bodyBytes": 1000},
        }));
    })
    .await;
    let big = "x".repeat(40_000);
    let many = "X: 1\r\n".repeat(21);
    let post = "POST / HTTP/1.1\r\nHost: a\r\n";
    for (what, bytes, status) in [
        ("a long line", format!("GET /{big} HTTP/1.1\r\nHost: a\r\n\r\n"), 414),
        ("a large head", format!("GET / HTTP/1.1\r\nHost: a\r\nX: {big}\r\n\r\n"), 431),
        ("many fields", format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n"), 431),
        ("a long body by length", format!("{post}Content-Length: 1001\r\n\r\n{}", &big[..1001]), 413),
        (
            "a long body by chunks",
            format!(
                "{post}Transfer-Encoding: chunked\r\n\r\n1f4\r\n{0}\r\n1f5\r\n{0}x\r\n0\r\n\r\n",
                &big[..500]
            ),
            413,
        ),
    ] {
        let mut raw = site.raw().await;
        // The proxy may close before it has read all: that is what the bound is for.
        let _ = raw.send(&bytes).await;
        let answer = raw.response().await;
        assert_eq!(answer.status(), status, "{what}");
        assert!(raw.is_closed().await, "{what}");
    }
    assert!(received.all().is_empty(), "{:?}", received.all());
    let mut raw = site.raw().await;
    raw.send(format!("{post}Content-Length: 1000\r\n\r\n{}", &big[..1000])).await.expect("sent");
    assert_eq!(raw.response().await.status(), 200, "a body at the bound is none above it");
    assert_eq!(received.only().body.len(), 1000);
}

#[tokio::test]
async fn a_head_that_drips_is_cut_off_with_408() {
    let (upstream, received) = recording(OK).await;
    let site = Site::start(|config| {
        config
            .cluster("a", 1, &[upstream.addr()])
            .client_policy(json!({"timeouts": {"requestHeader": "500ms"}}));
    })
    .await;
    let mut raw = site.raw().await;
    raw.send("GET / HTTP/1.1\r\nHost: a\r\nX: ").await.expect("sent");
    let answer = raw.response().await;
    assert_eq!(answer.status(), 408);
    assert!(raw.is_closed().await);
    assert!(received.all().is_empty());
}

#[tokio::test]
async fn an_idle_connection_is_closed_without_a_word() {
    let (upstream, _) = recording(OK).await;
    let site = Site::start(|config| {
        config
            .cluster("a", 1, &[upstream.addr()])
            .client_policy(json!({"timeouts": {"keepAliveIdle": "300ms"}}));
    })
    .await;
    let mut raw = site.raw().await;
    raw.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("sent");
    assert_eq!(raw.response().await.status(), 200);
    assert!(raw.is_closed().await, "a 408 nobody asked for would be taken for the next request's answer");
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_their_order() {
    let origin = Origin::start("a", 0).await;
    let site = Site::over(&[origin.addr()]).await;
    let mut raw = site.raw().await;
    let slow = "GET /slow-body?ms=200 HTTP/1.1\r\nHost: a\r\n\r\n";
    let put = "PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 24\r\n\r\nGET /no HTTP/1.1\r\nHost:x";
    let last = "GET /status/202 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    raw.send(format!("{slow}{put}{last}")).await.expect("sent");
    let first = raw.response().await;
    assert_eq!((first.status(), first.body.len(), first.end), (200, 26, End::Whole));
    let second = raw.response().await;
    assert!(second.text().contains("GET /no HTTP/1.1"), "a body is a body: {}", second.text());
    assert_eq!(raw.response().await.status(), 202);
    assert!(raw.is_closed().await);
    assert_eq!(origin.seen().requests, 3);
}

#[tokio::test]
async fn what_an_upstream_says_behind_its_answer_is_nobodys_answer() {
    let answer = format!("{OK}HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison");
    let (upstream, received) = recording(&answer).await;
    let site = Site::over(&[upstream.addr()]).await;
    let mut raw = site.raw().await;
    for round in 1..=5 {
        raw.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("sent");
        assert_eq!(raw.response().await.text(), "ok", "round {round}");
    }
    assert_eq!(received.all().len(), 5);
    assert_eq!(upstream.connections(), 5, "no connection with something left on it is used again");
}

#[tokio::test]
async fn an_answer_that_is_not_http_is_a_502_and_its_bytes_go_nowhere() {
    for (what, answer) in [
        ("both lengths", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nsecret"),
        ("two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 6\r\n\r\nsecret"),
        ("a bare LF", "HTTP/1.1 200 OK\nX: secret\n\n"),
        ("a folded field", "HTTP/1.1 200 OK\r\nX: 1\r\n secret\r\n\r\n"),
        ("another protocol", "SSH-2.0-secret\r\n"),
        ("a status of four digits", "HTTP/1.1 2000 secret\r\n\r\n"),
        (
            "an upgrade that nobody asked for",
            "HTTP/1.1 101 secret\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        ),
    ] {
        let upstream = Scripted::answering(answer).await;
        let site = Site::over(&[upstream.addr()]).await;
        let mut raw = site.raw().await;
        raw.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").await.expect("sent");
        let answer = raw.response().await;
        assert_eq!(answer.status(), 502, "{what}");
        let status = answer.head.get("proxy-status").unwrap_or_default();
        assert!(status.contains("http_protocol_error"), "{what}: {status}");
        assert!(!answer.text().contains("secret"), "{what}");
    }
}
