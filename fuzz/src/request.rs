//! Request heads: pieces against the whole, the codec against a second reading, and what is sent on against both.

use causeway_proxy_http1::{
    Framing, Known, Limits, RequestError, RequestHead, RequestOut, parse_request, write_request,
};

use crate::bytes::number_of;
use crate::reference::{self, Body};

/// A bound that inputs of this length reach, and the usual one.
const BOUNDS: [Limits; 2] = [
    Limits { head_bytes: 64 * 1024, head_count: 100, line_bytes: 16 * 1024 },
    Limits { head_bytes: 200, head_count: 5, line_bytes: 60 },
];

pub fn run(input: &[u8]) {
    for limits in &BOUNDS {
        let whole = parse(input, limits, input.len(), 1);
        let (split, step) = (number_of(input) % (input.len() + 1), 1 + number_of(input) % 17);
        let parts = parse(input, limits, split, step);
        match (&whole, &parts) {
            (Ok(Some((n, a))), Ok(Some((m, b)))) => assert!(n == m && same(a, b), "{a:?}\n{b:?}"),
            (Ok(None), Ok(None)) => {}
            (Err(a), Err(b)) => assert_eq!(a, b),
            _ => panic!("in one piece {whole:?}, in several {parts:?}"),
        }
    }
    let whole = parse(input, &BOUNDS[0], input.len(), 1);
    let second = reference::request(input);
    match whole {
        Ok(Some((used, head))) => {
            let second = second.expect("accepted here, refused by the second reading");
            agree(used, &head, &second);
            is_sent_on_as_one(&head);
        }
        Ok(None) => assert!(second.is_none(), "waits for more, and the second reading has a whole head"),
        Err(error) => {
            let plain = second.filter(is_plain);
            assert!(plain.is_none(), "refused ({error:?}): a plain request, {plain:?}");
        }
    }
}

type Parsed = Result<Option<(usize, RequestHead)>, RequestError>;

fn parse(input: &[u8], limits: &Limits, split: usize, step: usize) -> Parsed {
    let (mut resume, mut head, mut end) = (0, RequestHead::default(), split);
    loop {
        match parse_request(&input[..end], limits, &mut resume, &mut head)? {
            Some(used) => return Ok(Some((used, head))),
            None if end == input.len() => return Ok(None),
            None => end = (end + step).min(input.len()),
        }
    }
}

fn same(a: &RequestHead, b: &RequestHead) -> bool {
    let text = |h: &RequestHead| (h.method, h.method_span, h.target, h.host, h.version, h.framing);
    let rest = |h: &RequestHead| (h.persistent, h.expect_continue, h.upgrade, h.te_trailers);
    a.bytes == b.bytes && a.fields == b.fields && text(a) == text(b) && rest(a) == rest(b)
}

/// Where the request ends, and what it is made of.
fn agree(used: usize, head: &RequestHead, second: &reference::Head<'_>) {
    assert_eq!(used, second.length);
    assert_eq!(head.method_name(), second.start[0]);
    let fields: Vec<(&[u8], &[u8])> =
        head.fields.iter().map(|field| (head.slice(field.name), head.slice(field.value))).collect();
    assert_eq!(fields, second.fields);
    let body = match head.framing {
        Framing::None => Some(Body::None),
        Framing::Length(length) => Some(Body::Length(length)),
        Framing::Chunked => Some(Body::Chunked),
        Framing::UntilClose => None,
    };
    assert_eq!(body, Some(second.body().expect("framed here, ambiguous to the second reading")));
    if head.target.authority.is_none()
        && let [host] = second.all("host")[..]
    {
        assert_eq!(head.host(), host);
    }
}

/// What the next hop reads is one request, the same.
pub(crate) fn is_sent_on_as_one(head: &RequestHead) {
    if head.host().is_empty() {
        return;
    }
    let mut out = Vec::new();
    write_request(head, &mut out, &RequestOut::of(head));
    let second = reference::request(&out).expect("what is sent is a request");
    assert_eq!(second.length, out.len(), "something follows the head that is sent");
    assert_eq!(second.start[0], head.method_name());
    assert_eq!(second.all("host"), [head.host()]);
    let body = match head.framing {
        Framing::None => Body::None,
        Framing::Length(length) => Body::Length(length),
        Framing::Chunked | Framing::UntilClose => Body::Chunked,
    };
    assert_eq!(second.body(), Some(body));
    let (_, again) =
        parse(&out, &BOUNDS[0], out.len(), 1).expect("what we send, we take").expect("and it is whole");
    assert_eq!(again.framing, head.framing);
    assert_eq!(end_to_end(&again), end_to_end(head));
}

/// The fields that are not written anew.
fn end_to_end(head: &RequestHead) -> Vec<(&[u8], &[u8])> {
    let rewritten = |known| matches!(known, Known::Host | Known::ContentLength | Known::Trailer);
    head.iter().filter(|(_, _, known)| !rewritten(*known)).map(|(name, value, _)| (name, value)).collect()
}

/// A request that nobody has a reason to refuse.
fn is_plain(head: &reference::Head<'_>) -> bool {
    let [method, target, _] = head.start;
    let name = |c: &u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'-');
    let plain_target = target.starts_with(b"/")
        && target.iter().all(|c| c.is_ascii_alphanumeric() || b"/?=&._-".contains(c));
    let hosts = head.all("host");
    head.length < 8192
        && head.fields.len() <= 100
        && method != b"CONNECT"
        && plain_target
        && hosts.iter().all(|host| !host.is_empty() && host.iter().all(name))
        && head.all("connection").is_empty()
        && head.body().is_some()
}
