//! Parsing in one piece and in every possible split.

use causeway_proxy_http1::*;

pub fn small() -> Limits {
    Limits { head_bytes: 512, head_count: 8, line_bytes: 128 }
}

pub fn request(input: &[u8]) -> Result<Option<(usize, RequestHead)>, RequestError> {
    request_within(input, &Limits::default())
}

pub fn request_within(input: &[u8], limits: &Limits) -> Result<Option<(usize, RequestHead)>, RequestError> {
    let (mut resume, mut head) = (0, RequestHead::default());
    Ok(parse_request(input, limits, &mut resume, &mut head)?.map(|used| (used, head)))
}

/// What comes out if the octets drip in: first up to `split`, then `step` more at a time.
pub fn request_split(
    input: &[u8],
    limits: &Limits,
    split: usize,
    step: usize,
) -> Result<Option<(usize, RequestHead)>, RequestError> {
    let (mut resume, mut head) = (0, RequestHead::default());
    let mut end = split;
    loop {
        match parse_request(&input[..end], limits, &mut resume, &mut head)? {
            Some(used) => return Ok(Some((used, head))),
            None if end == input.len() => return Ok(None),
            None => end = (end + step).min(input.len()),
        }
    }
}

pub fn ok(input: &[u8]) -> RequestHead {
    match request(input) {
        Ok(Some((used, head))) => {
            assert_eq!(used, input.len(), "not all of the head was used");
            head
        }
        other => panic!("{:?} for {}", other.map(|_| "incomplete"), input.escape_ascii()),
    }
}

pub fn response(input: &[u8], to: RequestKind) -> Result<Option<(usize, ResponseHead)>, ResponseError> {
    response_split(input, &Limits::default(), to, input.len(), 1)
}

pub fn response_split(
    input: &[u8],
    limits: &Limits,
    to: RequestKind,
    split: usize,
    step: usize,
) -> Result<Option<(usize, ResponseHead)>, ResponseError> {
    let (mut resume, mut head) = (0, ResponseHead::default());
    let mut end = split;
    loop {
        match parse_response(&input[..end], limits, to, &mut resume, &mut head)? {
            Some(used) => return Ok(Some((used, head))),
            None if end == input.len() => return Ok(None),
            None => end = (end + step).min(input.len()),
        }
    }
}

pub fn ok_response(input: &[u8], to: RequestKind) -> ResponseHead {
    match response(input, to) {
        Ok(Some((used, head))) => {
            assert_eq!(used, input.len(), "not all of the head was used");
            head
        }
        other => panic!("{:?} for {}", other.map(|_| "incomplete"), input.escape_ascii()),
    }
}

pub fn sent(head: &RequestHead) -> String {
    let mut out = Vec::new();
    write_request(head, &mut out, &RequestOut::of(head));
    String::from_utf8_lossy(&out).into_owned()
}

/// All that tells one parsed request from another.
pub fn essence(head: &RequestHead) -> impl PartialEq + std::fmt::Debug + use<> {
    let fields: Vec<_> =
        head.iter().map(|(name, value, known)| (name.to_vec(), value.to_vec(), known)).collect();
    let target = (head.target.form, head.path_and_query().to_vec(), head.query().map(<[u8]>::to_vec));
    let rest = (head.version, head.framing, head.persistent, head.expect_continue, head.te_trailers);
    let text = (head.method, head.method_name().to_vec(), head.host().to_vec());
    (fields, target, rest, text, head.upgrade().map(<[u8]>::to_vec))
}
