//! What holds for all input.

use causeway_proxy_http1::*;
use proptest::prelude::*;

use crate::support::*;

/// Arbitrary octets meet the parser's branches rarely; these pieces meet them often.
fn fragments() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            &b"GET / HTTP/1.1\r\nHost: a\r\n"[..],
            b"POST http://a/b?c HTTP/1.0\r\n",
            b"CONNECT [::1]:1 HTTP/1.1\r\n",
            b"OPTIONS * HTTP/1.1\r\n",
            b"HTTP/1.1 200 OK\r\n",
            b"Host: b\r\n",
            b"Content-Length: 3\r\n",
            b"Transfer-Encoding: chunked\r\n",
            b"Connection: close, x, upgrade\r\n",
            b"Upgrade: y\r\n",
            b"X: ",
            b"TE: trailers",
            b"\r\n",
            b"\r",
            b"\n",
            b" ",
            b":",
            b"5\r\nhello\r\n",
            b"0\r\n\r\n",
            b"ffffffffffffffff;",
            b"\t",
            b"\0",
        ])
        .prop_map(<[u8]>::to_vec),
        prop::collection::vec(any::<u8>(), 0..12),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

fn valid_request() -> impl Strategy<Value = Vec<u8>> {
    let field =
        ("[a-zA-Z!#-]{1,12}", "[ -~]{0,24}").prop_map(|(name, value)| format!("x-{name}: {value}\r\n"));
    let fields = prop::collection::vec(field, 0..8).prop_map(|fields| fields.concat());
    let framing = prop::sample::select(vec![
        "",
        "Content-Length: 12\r\n",
        "Content-Length: 0\r\n",
        "Transfer-Encoding: Chunked\r\n",
        "Connection: Upgrade\r\nUpgrade: websocket\r\n",
        "TE: trailers\r\n",
        "Content-Length: 2\r\nExpect: 100-continue\r\n",
    ]);
    ("[A-Z]{1,7}", "/[!$-\\[a-z/?]{0,20}", "[a-z.]{1,9}(:80)?", fields.clone(), framing, fields).prop_map(
        |(method, target, host, before, framing, after)| {
            let method = if method == "CONNECT" { "GET" } else { &method };
            format!("{method} {target} HTTP/1.1\r\n{before}Host: {host}\r\n{framing}{after}\r\n").into_bytes()
        },
    )
}

proptest! {
    #[test]
    fn no_octets_make_a_parser_panic_or_disagree_with_itself(
        input in fragments(), split in any::<prop::sample::Index>(), step in 1usize..40,
    ) {
        let split = split.index(input.len() + 1);
        for limits in [Limits::default(), small(), Limits { head_bytes: 30, head_count: 1, line_bytes: 20 }] {
            let whole = request_within(&input, &limits).map(|found| found.map(|(n, head)| (n, format!("{head:?}"))));
            let parts =
                request_split(&input, &limits, split, step).map(|found| found.map(|(n, head)| (n, format!("{head:?}"))));
            prop_assert_eq!(parts, whole);
            for to in [RequestKind::PLAIN, RequestKind::HEAD, RequestKind::UPGRADE] {
                let show = |found: Option<(usize, ResponseHead)>| found.map(|(n, head)| (n, format!("{head:?}")));
                let whole = response_split(&input, &limits, to, input.len(), 1).map(show);
                let parts = response_split(&input, &limits, to, split, step).map(show);
                prop_assert_eq!(parts, whole);
            }
        }
    }

    #[test]
    fn no_octets_make_the_body_decoder_panic_or_stall(input in fragments()) {
        for framing in [Framing::Chunked, Framing::Length(9), Framing::UntilClose] {
            let (mut decoder, mut at, mut calls) = (BodyDecoder::new(framing), 0, 0);
            while let Ok(Decoded::Payload(range)) = decoder.decode(&input[at..]) {
                decoder.advance(range.len());
                at += range.end;
                calls += 1;
                prop_assert!(calls <= input.len());
            }
        }
    }

    #[test]
    fn what_is_sent_on_parses_to_the_same_request(input in valid_request()) {
        let head = ok(&input);
        let sent = sent(&head);
        let again = ok(sent.as_bytes());
        prop_assert_eq!((again.method_name(), again.path_and_query()), (head.method_name(), head.path_and_query()));
        prop_assert_eq!((again.host(), again.framing), (head.host(), head.framing));
        prop_assert_eq!((again.upgrade(), again.te_trailers), (head.upgrade(), head.te_trailers));
        prop_assert_eq!(again.expect_continue, head.expect_continue);
        let end_to_end = |head: &RequestHead| -> Vec<_> {
            let fields = head.iter().filter(|(_, _, known)| !matches!(known, Known::Host | Known::ContentLength));
            fields.map(|(name, value, _)| (name.to_vec(), value.to_vec())).collect()
        };
        prop_assert_eq!(end_to_end(&again), end_to_end(&head));
    }

    #[test]
    fn whatever_is_accepted_is_sent_on_as_exactly_one_request(input in fragments()) {
        if let Ok(Some((_, head))) = request(&input) && !head.host().is_empty() {
            let sent = sent(&head);
            let (used, again) = request(sent.as_bytes()).expect("refused by ourselves").expect("incomplete");
            prop_assert_eq!(used, sent.len());
            prop_assert_eq!((again.framing, again.host()), (head.framing, head.host()));
        }
    }

    #[test]
    fn pushed_fields_come_out_as_pushed_or_are_refused(name in prop::collection::vec(any::<u8>(), 0..9), value in prop::collection::vec(any::<u8>(), 0..20)) {
        let mut head = ok(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let pushed = head.push(&name, &value);
        let mut out = Vec::new();
        write_request(&head, &mut out, &RequestOut::of(&head));
        let again = ok(&out);
        prop_assert_eq!(again.fields.len(), if pushed.is_ok() { 2 } else { 1 });
        if pushed.is_ok() {
            prop_assert_eq!(again.slice(again.fields[1].name), &name[..]);
            prop_assert!(value.windows(again.slice(again.fields[1].value).len().max(1)).any(|w| w == again.slice(again.fields[1].value)) || again.slice(again.fields[1].value).is_empty());
        }
    }

    #[test]
    fn extra_fields_never_become_more_than_one_line(mut value in prop::collection::vec(any::<u8>(), 0..20)) {
        let head = ok(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let mut out = Vec::new();
        let extra = [(Name::new("x-extra: "), Value::clean(&mut value))];
        write_request(&head, &mut out, &RequestOut { extra: &extra, ..RequestOut::of(&head) });
        prop_assert_eq!(ok(&out).fields.len(), 2);
    }
}
