//! What is accepted, and what is made of it.

use causeway_proxy_http1::*;

use crate::support::*;

const ORDINARY: &[u8] = b"GET /api/v1/items?page=2&x=%20 HTTP/1.1\r\nHost: shop.example.com:8443\r\n\
    User-Agent: curl/8.5.0\r\nAccept: */*\r\nAccept-Encoding:gzip, br  \r\nX-User-Id: \t42\t\r\n\
    Cookie: a=b; c=\xff\xfe\r\n\r\n";

#[test]
fn an_ordinary_request_is_taken_apart() {
    let head = ok(ORDINARY);
    assert_eq!((head.method, head.method_name()), (Method::Get, &b"GET"[..]));
    assert_eq!(head.target.form, Form::Origin);
    assert_eq!(head.slice(head.target.raw), b"/api/v1/items?page=2&x=%20");
    assert_eq!(head.path(), b"/api/v1/items");
    assert_eq!(head.query(), Some(&b"page=2&x=%20"[..]));
    assert_eq!(head.path_and_query(), b"/api/v1/items?page=2&x=%20");
    assert_eq!(head.host(), b"shop.example.com:8443");
    assert_eq!((head.version, head.framing, head.persistent), (Version::Http11, Framing::None, true));
    assert_eq!(head.get(Known::Cookie), Some(&b"a=b; c=\xff\xfe"[..]));
    assert_eq!(head.find(b"x-user-id").collect::<Vec<_>>(), [b"42"]);
    assert_eq!(head.find(b"accept-encoding").collect::<Vec<_>>(), [b"gzip, br"]);
    assert_eq!(head.find(b"absent").count(), 0);
    assert_eq!(head.get(Known::Via), None);
    assert_eq!(head.iter().count(), 6);
}

#[test]
fn every_split_of_the_input_gives_the_same_request() {
    let whole = essence(&ok(ORDINARY));
    for split in 0..=ORDINARY.len() {
        for step in [1, 3, 64, ORDINARY.len()] {
            let (used, head) = request_split(ORDINARY, &Limits::default(), split, step).unwrap().unwrap();
            assert_eq!(used, ORDINARY.len());
            assert!(essence(&head) == whole, "split at {split} by {step}");
        }
    }
}

#[test]
fn a_head_ends_where_the_body_begins_and_can_be_reused() {
    let (mut resume, mut head) = (0, RequestHead::default());
    let input =
        b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET /b HTTP/1.1\r\nHost: b\r\n\r\n";
    let first = parse_request(input, &Limits::default(), &mut resume, &mut head).unwrap().unwrap();
    assert_eq!(&input[first..first + 3], b"abc");
    assert_eq!((head.framing, resume), (Framing::Length(3), 0));
    let second = parse_request(&input[first + 3..], &Limits::default(), &mut resume, &mut head).unwrap();
    assert_eq!(second, Some(input.len() - first - 3));
    assert_eq!((head.path(), head.host(), head.framing), (&b"/b"[..], &b"b"[..], Framing::None));
    assert_eq!(head.get(Known::ContentLength), None);
}

#[test]
fn limits_are_met_exactly() {
    let head = b"GET / HTTP/1.1\r\nHost: a\r\nB: c\r\n\r\n";
    let exact = Limits { head_bytes: head.len(), head_count: 2, line_bytes: 16 };
    assert!(request_within(head, &exact).unwrap().is_some());
    let mut with_body = head.to_vec();
    with_body.extend_from_slice(&[b'x'; 100]);
    assert!(request_within(&with_body, &exact).unwrap().is_some());
    for (limits, error) in [
        (Limits { head_bytes: head.len() - 1, ..exact.clone() }, RequestError::Head(Fault::TooLarge)),
        (Limits { head_count: 1, ..exact.clone() }, RequestError::Head(Fault::TooMany)),
        (Limits { line_bytes: 15, ..exact.clone() }, RequestError::LineTooLong),
    ] {
        for split in 0..=head.len() {
            assert_eq!(request_split(head, &limits, split, 1).map(|_| ()), Err(error));
        }
    }
}

#[test]
fn one_empty_line_before_the_request_is_skipped() {
    let input = b"\r\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n";
    for split in 0..=input.len() {
        let (used, head) = request_split(input, &Limits::default(), split, 1).unwrap().unwrap();
        assert_eq!((used, head.path(), head.host()), (input.len(), &b"/a"[..], &b"a"[..]));
        assert_eq!(sent(&head), "GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
    }
}

#[test]
fn an_absolute_target_overrules_host_and_is_sent_in_origin_form_rfc9112_3_2_2() {
    let head = ok(b"GET HTTP://Real.example:81/a?b HTTP/1.1\r\nHost: fake.example\r\nC: d\r\n\r\n");
    assert_eq!((head.target.form, head.target.scheme), (Form::Absolute, Some(Scheme::Http)));
    assert_eq!(
        (head.host(), head.path(), head.query()),
        (&b"Real.example:81"[..], &b"/a"[..], Some(&b"b"[..]))
    );
    assert_eq!(sent(&head), "GET /a?b HTTP/1.1\r\nHost: Real.example:81\r\nC: d\r\n\r\n");
}

#[test]
fn an_absolute_target_without_path_asks_for_the_root() {
    for (target, path) in [("http://a", "/"), ("https://a:1/", "/"), ("http://a?b=/c", "/?b=/c")] {
        let head = ok(format!("GET {target} HTTP/1.1\r\nHost: b\r\n\r\n").as_bytes());
        assert_eq!(head.path(), b"/");
        assert!(sent(&head).starts_with(&format!("GET {path} HTTP/1.1\r\nHost: a")), "{}", sent(&head));
    }
    let options = ok(b"OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(sent(&options), "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
    let options = ok(b"OPTIONS http://a?b HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(sent(&options), "OPTIONS /?b HTTP/1.1\r\nHost: a\r\n\r\n");
}

#[test]
fn asterisk_and_authority_forms_pass_where_they_belong() {
    let options = ok(b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((options.target.form, options.path()), (Form::Asterisk, &b"*"[..]));
    assert_eq!(sent(&options), "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
    let connect = ok(b"CONNECT b:443 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(
        (connect.target.form, connect.host(), connect.path()),
        (Form::Authority, &b"b:443"[..], &b""[..])
    );
    assert_eq!(sent(&connect), "CONNECT b:443 HTTP/1.1\r\nHost: b:443\r\n\r\n");
}

#[test]
fn methods_are_case_sensitive_and_any_token() {
    for (name, method) in [("get", Method::Other), ("PURGE", Method::Other), ("M-SEARCH", Method::Other)] {
        let head = ok(format!("{name} / HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
        assert_eq!((head.method, head.method_name()), (method, name.as_bytes()));
    }
    assert!(Method::Put.is_idempotent() && !Method::Put.is_safe() && Method::Trace.is_safe());
    assert!(
        !Method::Post.is_idempotent() && !Method::Other.is_idempotent() && !Method::Patch.is_idempotent()
    );
}

#[test]
fn persistence_follows_version_and_connection_rfc9112_9_3() {
    for (version, connection, persistent) in [
        ("1.1", "", true),
        ("1.1", "Connection: close\r\n", false),
        ("1.1", "Connection: keep-alive, Close\r\n", false),
        ("1.1", "Connection: foo\r\nConnection: CLOSE\r\n", false),
        ("1.1", "Connection: closed\r\n", true),
        ("1.0", "", false),
        ("1.0", "Connection: Keep-Alive\r\n", true),
        ("1.0", "Connection: keep-alive, close\r\n", false),
    ] {
        let head = ok(format!("GET / HTTP/{version}\r\nHost: a\r\n{connection}\r\n").as_bytes());
        assert_eq!(head.persistent, persistent, "{version} {connection}");
    }
}

#[test]
fn http_1_0_needs_no_host_but_the_upstream_gets_one() {
    let head = ok(b"GET / HTTP/1.0\r\n\r\n");
    assert_eq!((head.version, head.host(), head.persistent), (Version::Http10, &b""[..], false));
    assert_eq!(sent(&head), "GET / HTTP/1.1\r\nHost: \r\n\r\n");
}

#[test]
fn upgrade_counts_only_when_nominated_in_http_1_1_and_never_for_h2c() {
    let upgrade = |version: &str, connection: &str, upgrade: &str| {
        let text = format!(
            "GET / HTTP/{version}\r\nHost: a\r\nConnection: {connection}\r\nUpgrade: {upgrade}\r\n\r\n"
        );
        ok(text.as_bytes()).upgrade().map(<[u8]>::to_vec)
    };
    assert_eq!(upgrade("1.1", "keep-alive, Upgrade", "websocket"), Some(b"websocket".to_vec()));
    assert_eq!(upgrade("1.1", "keep-alive", "websocket"), None);
    assert_eq!(upgrade("1.0", "Upgrade", "websocket"), None);
    assert_eq!(upgrade("1.1", "Upgrade, HTTP2-Settings", "h2c"), None);
    assert_eq!(upgrade("1.1", "Upgrade", "websocket, H2C"), None);
}

#[test]
fn expect_counts_only_with_a_body_in_http_1_1_rfc9110_10_1_1() {
    let expects = |version: &str, fields: &str| {
        let text = format!("POST / HTTP/{version}\r\nHost: a\r\nExpect: 100-Continue\r\n{fields}\r\n");
        ok(text.as_bytes()).expect_continue
    };
    assert!(expects("1.1", "Content-Length: 1\r\n"));
    assert!(expects("1.1", "Transfer-Encoding: chunked\r\n"));
    assert!(!expects("1.1", "Content-Length: 0\r\n"));
    assert!(!expects("1.1", ""));
    assert!(!expects("1.0", "Content-Length: 1\r\n"));
}

#[test]
fn names_of_any_letters_are_found_in_any_case() {
    let head = ok(b"GET / HTTP/1.1\r\nHost: a\r\nX_User.Id^9: 1\r\n\r\n");
    assert_eq!(head.find(b"x_user.id^9").collect::<Vec<_>>(), [b"1"]);
    assert_eq!(head.find(b"x_user.id~9").count(), 0);
}

#[test]
fn a_request_says_how_its_response_is_to_be_read() {
    let kind = |text: &str, upgrade| ok(text.as_bytes()).kind(upgrade);
    assert_eq!(kind("GET / HTTP/1.1\r\nHost: a\r\n\r\n", true), RequestKind::PLAIN);
    assert_eq!(kind("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", true), RequestKind::HEAD);
    assert_eq!(kind("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", true), RequestKind::CONNECT);
    let upgrade = "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";
    assert_eq!((kind(upgrade, true), kind(upgrade, false)), (RequestKind::UPGRADE, RequestKind::PLAIN));
}

#[test]
fn filters_can_push_set_and_remove_but_not_inject() {
    let mut head = ok(b"GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\r\nx-a: 2\r\nVia: v\r\n\r\n");
    head.set(b"X-A", b" 3 ").unwrap();
    assert_eq!(head.find(b"x-a").collect::<Vec<_>>(), [b"3"]);
    head.remove(Known::Via);
    assert_eq!((head.get(Known::Via), head.get_all(Known::Via).count()), (None, 0));
    head.remove(Known::Other);
    assert_eq!(head.find(b"x-a").count(), 1);
    head.push(b"via", b"w").unwrap();
    assert_eq!(head.get_all(Known::Via).collect::<Vec<_>>(), [b"w"]);
    head.remove_name(b"x-a");
    assert_eq!(sent(&head), "GET / HTTP/1.1\r\nHost: a\r\nvia: w\r\n\r\n");
    let before = head.bytes.len();
    assert_eq!(head.push(b"a", b"b\r\nc: d"), Err(Fault::FieldValue));
    assert_eq!(head.push(b"a: b\r\nc", b"d"), Err(Fault::FieldName));
    assert_eq!(head.push(b"", b"d"), Err(Fault::FieldName));
    assert_eq!(head.set(b"via", b"\0"), Err(Fault::FieldValue));
    assert_eq!((head.bytes.len(), head.get(Known::Via)), (before, Some(&b"w"[..])));
    assert_eq!(head.set_host(b"a b"), Err(RequestError::Host));
    head.set_host(b"b:1").unwrap();
    assert_eq!(sent(&head), "GET / HTTP/1.1\r\nHost: b:1\r\nvia: w\r\n\r\n");
}

#[test]
fn response_bodies_end_as_rfc9112_6_3_says() {
    use Framing::{Chunked, Length, None, UntilClose};
    let (plain, head, connect) = (RequestKind::PLAIN, RequestKind::HEAD, RequestKind::CONNECT);
    let (length, chunked) = ("Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n");
    for (status, fields, to, framing, persistent) in [
        (200, length, plain, Length(5), true),
        (200, "Content-Length: 0\r\n", plain, Length(0), true),
        (200, chunked, plain, Chunked, true),
        (200, "", plain, UntilClose, false),
        (500, "Connection: close\r\nContent-Length: 5\r\n", plain, Length(5), false),
        (200, length, head, None, true),
        (200, chunked, head, None, true),
        (200, "", head, None, true),
        (304, length, plain, None, true),
        (304, "", plain, None, true),
        (204, "", plain, None, true),
        (204, "Content-Length: 0\r\n", plain, None, true),
        // A sender that announces what must not be there may send it: do not read on after it.
        (204, length, plain, None, false),
        (204, chunked, plain, None, false),
        (103, "", plain, None, true),
        (200, length, connect, None, false),
        (407, length, connect, Length(5), true),
    ] {
        let parsed = ok_response(format!("HTTP/1.1 {status} X\r\n{fields}\r\n").as_bytes(), to);
        assert_eq!((parsed.framing, parsed.persistent), (framing, persistent), "{status} {fields}{to:?}");
        assert_eq!(parsed.tunnel, to == connect && status == 200);
        assert_eq!(parsed.is_interim(), status == 103);
    }
}

#[test]
fn an_http_1_0_upstream_is_understood() {
    let head = ok_response(b"HTTP/1.0 200 OK\r\nServer: old\r\n\r\n", RequestKind::PLAIN);
    assert_eq!((head.version, head.framing, head.persistent), (Version::Http10, Framing::UntilClose, false));
    let kept = b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\n";
    let head = ok_response(kept, RequestKind::PLAIN);
    assert_eq!((head.framing, head.persistent), (Framing::Length(1), true));
}

#[test]
fn a_reason_may_be_anything_or_missing_with_its_space() {
    for (line, reason) in [
        ("HTTP/1.1 200 OK", "OK"),
        ("HTTP/1.1 200 ", ""),
        ("HTTP/1.1 200", ""),
        ("HTTP/1.1 200 Tr\u{e8}s bien", "Tr\u{e8}s bien"),
    ] {
        let text = format!("{line}\r\nContent-Length: 0\r\n\r\n");
        for split in 0..=text.len() {
            let to = RequestKind::PLAIN;
            let (_, head) =
                response_split(text.as_bytes(), &Limits::default(), to, split, 1).unwrap().unwrap();
            assert_eq!((head.status, head.reason()), (200, reason.as_bytes()));
        }
    }
}

#[test]
fn a_101_that_was_asked_for_opens_a_tunnel() {
    let input = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let head = ok_response(input, RequestKind::UPGRADE);
    assert_eq!((head.tunnel, head.upgrade(), head.framing), (true, Some(&b"websocket"[..]), Framing::None));
    assert!(!head.persistent && !head.is_interim());
}
