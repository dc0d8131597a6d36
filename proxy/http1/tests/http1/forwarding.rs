//! What the next hop gets.

use causeway_proxy_http1::*;

use crate::support::*;

fn forwarded(fields: &str) -> String {
    let head = ok(format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n").as_bytes());
    let sent = sent(&head);
    let rest = sent.strip_prefix("GET / HTTP/1.1\r\nHost: a\r\n").unwrap();
    rest.strip_suffix("\r\n").unwrap().to_owned()
}

#[test]
fn fields_pass_as_spelled_and_in_order() {
    let fields = "x-b: 1\r\nX-A: 2\r\nX-b: 3\r\nEmpty: \r\n";
    assert_eq!(forwarded(fields), fields);
}

#[test]
fn odd_spacing_is_made_regular() {
    assert_eq!(
        forwarded("A:1\r\nB:\t2 \r\nC:   3\r\nD:\r\nE: 5\r\nF:\t6\r\n"),
        "A: 1\r\nB: 2\r\nC: 3\r\nD: \r\nE: 5\r\nF: 6\r\n"
    );
}

#[test]
fn hop_by_hop_fields_end_here_rfc9110_7_6_1() {
    for field in [
        "Connection: keep-alive",
        "Keep-Alive: timeout=5",
        "Proxy-Connection: keep-alive",
        "TE: gzip",
        "Upgrade: websocket",
        "HTTP2-Settings: AAMAAABk",
        "Proxy-Authorization: Basic eDp5",
        "Trailer: X-A",
    ] {
        assert_eq!(forwarded(&format!("X-A: 1\r\n{field}\r\nX-B: 2\r\n")), "X-A: 1\r\nX-B: 2\r\n", "{field}");
    }
}

#[test]
fn nominated_unknown_fields_end_here_rfc9110_7_6_1() {
    assert_eq!(forwarded("Connection: x-a, X-C ,close\r\nX-A: 1\r\nX-B: 2\r\nx-c: 3\r\n"), "X-B: 2\r\n");
    assert_eq!(forwarded("X-A: 1\r\nx-a: 2\r\nConnection: X-A\r\n"), "");
}

#[test]
fn no_client_can_nominate_away_what_the_upstream_is_owed() {
    for name in [
        "Host",
        "Cookie",
        "Authorization",
        "X-Forwarded-For",
        "X-Forwarded-Proto",
        "X-Forwarded-Host",
        "Forwarded",
        "X-Forwarded-Client-Cert",
        "X-Real-IP",
        "Via",
        "Content-Type",
        "Cache-Control",
        "traceparent",
        "x-request-timeout",
        "x-causeway-attempt",
    ] {
        let head = ok(format!(
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: {name}\r\n{}\r\n",
            match name {
                "Host" => String::new(),
                name => format!("{name}: v\r\n"),
            }
        )
        .as_bytes());
        let expected = if name == "Host" { "Host: a\r\n".to_owned() } else { format!("{name}: v\r\n") };
        assert!(sent(&head).contains(&expected), "{name}: {}", sent(&head));
    }
    let body = ok(b"POST / HTTP/1.1\r\nHost: a\r\nConnection: content-length\r\nContent-Length: 5\r\n\r\n");
    assert_eq!(sent(&body), "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n");
}

#[test]
fn what_a_filter_adds_cannot_be_nominated_away() {
    let mut head = ok(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: x-user\r\nX-User: mallory\r\n\r\n");
    head.push(b"X-User", b"alice").unwrap();
    assert_eq!(head.find(b"x-user").collect::<Vec<_>>(), [b"alice"]);
    assert_eq!(sent(&head), "GET / HTTP/1.1\r\nHost: a\r\nX-User: alice\r\n\r\n");
}

#[test]
fn host_comes_first_wherever_it_stood() {
    let head = ok(b"GET / HTTP/1.1\r\nA: b\r\nHost: a\r\nC: d\r\n\r\n");
    assert_eq!(sent(&head), "GET / HTTP/1.1\r\nHost: a\r\nA: b\r\nC: d\r\n\r\n");
}

#[test]
fn lengths_are_written_anew_in_plain_digits() {
    let head = ok(b"POST / HTTP/1.1\r\nContent-Length: 007\r\nHost: a\r\nB: c\r\n\r\n");
    assert_eq!(sent(&head), "POST / HTTP/1.1\r\nHost: a\r\nB: c\r\nContent-Length: 7\r\n\r\n");
    let head = ok(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(sent(&head), "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    let head = ok(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9223372036854775807\r\n\r\n");
    assert!(sent(&head).contains("Content-Length: 9223372036854775807\r\n"));
}

#[test]
fn a_filter_cannot_add_a_second_framing() {
    let mut head = ok(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n");
    head.push(b"Content-Length", b"5").unwrap();
    head.push(b"Transfer-Encoding", b"gzip").unwrap();
    head.push(b"Connection", b"close").unwrap();
    head.push(b"Host", b"b").unwrap();
    assert_eq!(
        sent(&head),
        "POST / HTTP/1.1\r\nHost: a\r\nTrailer: X-T\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
}

#[test]
fn overrides_and_extra_fields_are_written() {
    let head = ok(b"POST /old?q HTTP/1.1\r\nHost: a\r\nX: y\r\nContent-Length: 5\r\n\r\n");
    let mut out = b"before|".to_vec();
    let mut bad = *b"a\r\nb\0c";
    let extra =
        [(Name::new("Via: "), Value::new("1.1 edge")), (Name::new("X-Bad: "), Value::clean(&mut bad))];
    let opts = RequestOut {
        path: Some(b"/new path?\xfc"),
        host: Some(b"up:81"),
        framing: Framing::Chunked,
        close: true,
        extra: &extra,
        ..RequestOut::of(&head)
    };
    write_request(&head, &mut out, &opts);
    let expected = "before|POST /new%20path?%FC HTTP/1.1\r\nHost: up:81\r\nX: y\r\nTransfer-Encoding: chunked\r\n\
        Connection: close\r\nVia: 1.1 edge\r\nX-Bad: a  b c\r\n\r\n";
    assert_eq!(String::from_utf8_lossy(&out), expected);
}

#[test]
fn upgrades_and_te_trailers_are_asked_for_anew() {
    let head =
        ok(b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
        TE: trailers, deflate;q=0.5\r\nSec-WebSocket-Key: k\r\n\r\n");
    assert!(head.te_trailers);
    let expected = "GET /ws HTTP/1.1\r\nHost: a\r\nSec-WebSocket-Key: k\r\nConnection: upgrade, te\r\n\
        TE: trailers\r\nUpgrade: websocket\r\n\r\n";
    assert_eq!(sent(&head), expected);
    let mut out = Vec::new();
    write_request(&head, &mut out, &RequestOut { upgrade: false, ..RequestOut::of(&head) });
    assert!(!String::from_utf8_lossy(&out).contains("pgrade"));
}

fn relayed(input: &str, to: RequestKind, version: Version, close: bool) -> String {
    let head = ok_response(input.as_bytes(), to);
    let mut out = Vec::new();
    write_response(&head, &mut out, &ResponseOut::of(&head, version, close));
    String::from_utf8(out).unwrap()
}

#[test]
fn a_response_passes_without_what_concerned_the_upstream_hop() {
    let input = "HTTP/1.1 200 Fine\r\nServer: s\r\nConnection: keep-alive, x-hop\r\nKeep-Alive: timeout=5\r\n\
        X-Hop: 1\r\nContent-Length: 5\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n\r\n";
    assert_eq!(
        relayed(input, RequestKind::PLAIN, Version::Http11, false),
        "HTTP/1.1 200 Fine\r\nServer: s\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nContent-Length: 5\r\n\r\n"
    );
}

#[test]
fn a_response_tells_each_client_whether_the_connection_stays() {
    let input = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let relayed = |version, close| relayed(input, RequestKind::PLAIN, version, close);
    assert!(!relayed(Version::Http11, false).contains("Connection"));
    assert!(relayed(Version::Http11, true).contains("Connection: close\r\n"));
    assert!(relayed(Version::Http10, false).contains("Connection: keep-alive\r\n"));
    assert!(relayed(Version::Http10, true).contains("Connection: close\r\n"));
}

#[test]
fn an_http_1_0_client_never_sees_chunks_rfc9112_6_1() {
    let input = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n";
    let to = RequestKind::PLAIN;
    assert_eq!(relayed(input, to, Version::Http10, false), "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
    assert_eq!(
        relayed(input, to, Version::Http11, false),
        "HTTP/1.1 200 OK\r\nTrailer: X\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    let head = ok_response(input.as_bytes(), to);
    let opts = ResponseOut { framing: Framing::Chunked, close: false, version: Version::Http10, extra: &[] };
    let mut out = Vec::new();
    write_response(&head, &mut out, &opts);
    assert_eq!(out, b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
    let until_close = "HTTP/1.0 200 OK\r\nA: b\r\n\r\n";
    assert_eq!(
        relayed(until_close, to, Version::Http11, false),
        "HTTP/1.1 200 OK\r\nA: b\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
}

#[test]
fn head_and_304_keep_the_length_that_a_get_would_have_had() {
    let input = "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\nA: b\r\n\r\n";
    assert_eq!(relayed(input, RequestKind::HEAD, Version::Http11, false), input);
    let input = "HTTP/1.1 304 Not Modified\r\nContent-Length: 1234\r\n\r\n";
    assert_eq!(relayed(input, RequestKind::PLAIN, Version::Http11, false), input);
    let input = "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n";
    let expected = "HTTP/1.1 204 No Content\r\n\r\n";
    assert_eq!(relayed(input, RequestKind::PLAIN, Version::Http11, false), expected);
}

#[test]
fn interim_and_switching_responses_pass() {
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    assert_eq!(relayed(hints, RequestKind::PLAIN, Version::Http11, true), hints);
    let switch =
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nA: b\r\n\r\n";
    assert_eq!(
        relayed(switch, RequestKind::UPGRADE, Version::Http11, true),
        "HTTP/1.1 101 Switching Protocols\r\nA: b\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
    );
    assert_eq!(ok_response(CONTINUE, RequestKind::PLAIN).status, 100);
}

#[test]
fn a_response_that_cannot_have_a_body_is_never_framed_rfc9112_6_1() {
    for status in [103, 204] {
        let mut head = ResponseHead::default();
        head.begin(status, Version::Http11).unwrap();
        let framing = Framing::Chunked;
        let opts = ResponseOut { framing, close: false, version: Version::Http11, extra: &[] };
        let mut out = Vec::new();
        write_response(&head, &mut out, &opts);
        assert!(out.ends_with(b"\r\n\r\n") && !out.windows(8).any(|octets| octets == b"Transfer"));
    }
}

#[test]
fn a_status_line_without_space_and_a_changed_status_are_written_well() {
    let input = "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n";
    let out = relayed(input, RequestKind::PLAIN, Version::Http11, false);
    assert_eq!(out, "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n");
    let mut head = ok_response(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", RequestKind::PLAIN);
    head.status = 503;
    let mut out = Vec::new();
    write_response(&head, &mut out, &ResponseOut::of(&head, Version::Http11, false));
    assert!(out.starts_with(b"HTTP/1.1 503 OK\r\n"));
}

#[test]
fn our_own_responses_parse_as_what_they_say() {
    let mut out = Vec::new();
    write_own_response(&mut out, 503, &[(b"Retry-After", b"1"), (b"Connection", b"close")], b"no\n");
    let (used, head) = response(&out, RequestKind::PLAIN).unwrap().unwrap();
    assert_eq!(
        (head.status, head.reason(), head.framing),
        (503, &b"Service Unavailable"[..], Framing::Length(3))
    );
    assert_eq!((&out[used..], head.persistent), (&b"no\n"[..], false));
    let mut out = Vec::new();
    write_own_head(&mut out, 204, &[], Some(0));
    assert_eq!(out, b"HTTP/1.1 204 No Content\r\n\r\n");
}
