//! Response heads: pieces against the whole, and what is sent on reads as the same response.

use causeway_proxy_http1::{
    Framing, Limits, RequestKind, ResponseError, ResponseHead, ResponseOut, Version, parse_response,
    write_response,
};

use crate::bytes::number_of;

const KINDS: [RequestKind; 4] =
    [RequestKind::PLAIN, RequestKind::HEAD, RequestKind::CONNECT, RequestKind::UPGRADE];

pub fn run(input: &[u8]) {
    let seed = number_of(input);
    for to in KINDS {
        let whole = parse(input, to, input.len(), 1);
        let parts = parse(input, to, seed % (input.len() + 1), 1 + seed % 17);
        match (&whole, &parts) {
            (Ok(Some((n, a))), Ok(Some((m, b)))) => assert!(n == m && same(a, b), "{a:?}\n{b:?}"),
            (Ok(None), Ok(None)) => {}
            (Err(a), Err(b)) => assert_eq!(a, b),
            _ => panic!("in one piece {whole:?}, in several {parts:?}"),
        }
        if let Ok(Some((_, head))) = whole {
            is_sent_on_as_one(&head, to);
        }
    }
}

type Parsed = Result<Option<(usize, ResponseHead)>, ResponseError>;

fn parse(input: &[u8], to: RequestKind, split: usize, step: usize) -> Parsed {
    let (mut resume, mut head, mut end) = (0, ResponseHead::default(), split);
    loop {
        match parse_response(&input[..end], &Limits::default(), to, &mut resume, &mut head)? {
            Some(used) => return Ok(Some((used, head))),
            None if end == input.len() => return Ok(None),
            None => end = (end + step).min(input.len()),
        }
    }
}

fn same(a: &ResponseHead, b: &ResponseHead) -> bool {
    let text = |h: &ResponseHead| (h.status, h.reason, h.version, h.framing, h.persistent);
    let rest = |h: &ResponseHead| (h.content_length, h.upgrade, h.tunnel);
    a.bytes == b.bytes && a.fields == b.fields && text(a) == text(b) && rest(a) == rest(b)
}

/// A client that asked the same reads one response of the same length, whatever its version.
fn is_sent_on_as_one(head: &ResponseHead, to: RequestKind) {
    for (version, close) in [(Version::Http11, false), (Version::Http11, true), (Version::Http10, false)] {
        if head.is_interim() && version == Version::Http10 {
            continue;
        }
        let mut out = Vec::new();
        write_response(head, &mut out, &ResponseOut::of(head, version, close));
        let (used, again) =
            parse(&out, to, out.len(), 1).expect("what we send, we take").expect("and it is whole");
        assert_eq!(used, out.len(), "something follows the head that is sent");
        assert_eq!((again.status, again.tunnel), (head.status, head.tunnel));
        let expected = head.framing.for_version(version);
        assert_eq!(again.framing, expected, "{}", out.escape_ascii());
        if expected == Framing::UntilClose || (close && !head.is_interim() && head.status != 101) {
            assert!(!again.persistent, "{}", out.escape_ascii());
        }
    }
}
