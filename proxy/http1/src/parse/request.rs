//! Request heads (RFC 9112 sections 2 and 3).

use crate::class::{self, QUERY, TOKEN};
use crate::error::{Fault, RequestError};
use crate::fields::{Span, append};
use crate::head::{Method, RequestHead, Version, mark};
use crate::known::Known;
use crate::limits::Limits;
use crate::parse::{authority, framing, lines, target};

/// Parses the request head at the start of `input`.
///
/// * `Ok(Some(n))`: `head` holds it, `input[n..]` is the body or the next request, `*resume` is 0 again.
/// * `Ok(None)`: more octets are needed. Call again with the same octets and more behind them, the same
///   `head`, untouched, and the same `resume`, which is 0 for a new message.
/// * `Err`: answer and close; nothing after it can be trusted to be a request.
///
/// One empty line before the request line is skipped (RFC 9112 section 2.2); more are refused.
pub fn parse_request(
    input: &[u8],
    limits: &Limits,
    resume: &mut usize,
    head: &mut RequestHead,
) -> Result<Option<usize>, RequestError> {
    // Nothing past the limit is ever looked at, so each offset fits a Span.
    let window = &input[..input.len().min(limits.head_cap())];
    if *resume == 0 {
        head.clear();
        match request_line(window, limits, head)? {
            Some(end) => *resume = end,
            None => return Ok(None),
        }
    }
    match lines::parse(window, resume, limits.head_count, &mut head.fields, &mut head.present)? {
        Some(end) => {
            *resume = 0;
            head.bytes.extend_from_slice(&window[..end]);
            finish(head)?;
            Ok(Some(end))
        }
        None if window.len() == limits.head_cap() => Err(Fault::TooLarge.into()),
        None => Ok(None),
    }
}

/// `method SP request-target SP HTTP-version CRLF`, with exactly one SP each: the looser splitting that
/// RFC 9112 section 3 permits lets a target hold what another hop takes for the version.
fn request_line(
    window: &[u8],
    limits: &Limits,
    head: &mut RequestHead,
) -> Result<Option<usize>, RequestError> {
    let start = match window {
        [b'\r', b'\n', ..] => 2,
        [b'\r'] => 0,
        [b'\r', ..] => return Err(Fault::BareCr.into()),
        [b'\n', ..] => return Err(Fault::BareLf.into()),
        _ => 0,
    };
    let cap = limits.line_cap();
    let line = &window[..window.len().min(start + cap)];
    let incomplete = if line.len() < start + cap { Ok(None) } else { Err(RequestError::LineTooLong) };
    if line == b"\r" {
        return incomplete;
    }

    let method_end = class::end_of(TOKEN, line, start);
    match line.get(method_end) {
        None => return incomplete,
        Some(b' ') if method_end > start => {}
        Some(_) => return Err(RequestError::Method),
    }
    head.method = Method::of(&line[start..method_end]);
    head.method_span = Span::new(start, method_end);

    let from = method_end + 1;
    let origin = line.get(from) == Some(&b'/') && head.method != Method::Connect;
    let (path_end, end) = if origin {
        target::path_and_query(line, from)
    } else {
        let end = class::end_of(QUERY, line, from);
        (end, end)
    };
    match line.get(end) {
        None => return incomplete,
        Some(b' ') if end > from => {}
        // A target and no version is HTTP/0.9, which nobody speaks.
        Some(b'\r' | b' ') => return Err(RequestError::RequestLine),
        Some(b'\n') => return Err(Fault::BareLf.into()),
        Some(_) => return Err(RequestError::Target),
    }

    let Some(version) = line.get(end + 1..end + 9) else {
        // A line that has ended already will never hold a version, whatever comes behind it.
        return other_version(&line[end + 1..]).map_or(incomplete, Err);
    };
    head.version = match version {
        b"HTTP/1.1" => Version::Http11,
        b"HTTP/1.0" => Version::Http10,
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => return Err(RequestError::Version),
        _ => match other_version(&line[end + 1..]) {
            Some(error) => return Err(error),
            None => return incomplete,
        },
    };
    match &line[end + 9..] {
        [b'\r', b'\n', ..] => {}
        [] | [b'\r'] => return incomplete,
        [b'\r', ..] => return Err(Fault::BareCr.into()),
        [b'\n', ..] => return Err(Fault::BareLf.into()),
        _ => return Err(RequestError::RequestLine),
    }
    head.target = if origin {
        target::origin(from, path_end, end)
    } else {
        target::parse(line, Span::new(from, end), head.method)?
    };
    Ok(Some(end + 11))
}

/// What a third word that is no version of HTTP makes of a line; `None` until the line is complete. A line of three
/// words of which the last does not even begin as `HTTP` was not meant for us; any other is a mistake of a client's.
fn other_version(rest: &[u8]) -> Option<RequestError> {
    let end = rest.iter().position(|&octet| octet == b'\n')?;
    let word = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
    let meant = word.contains(&b' ') || word.get(..4).is_some_and(|four| four.eq_ignore_ascii_case(b"HTTP"));
    Some(if meant { RequestError::RequestLine } else { RequestError::Protocol })
}

/// What follows from the fields together, once all are there.
fn finish(head: &mut RequestHead) -> Result<(), RequestError> {
    if target::needs_slash(&head.target) {
        add_path(head)?;
    }
    settle_host(head)?;
    head.framing = framing::declared(&head.bytes, &head.fields, head.present, head.version)?;
    let http11 = head.version == Version::Http11;
    if !head.framing.is_empty() && http11 {
        let expect = head.get(Known::Expect);
        head.expect_continue = expect.is_some_and(|expect| expect.eq_ignore_ascii_case(b"100-continue"));
    }
    // Looked up before hop-by-hop fields are dropped from sight.
    let upgrade = head.value_of(Known::Upgrade);
    head.te_trailers = http11 && head.get_all(Known::Te).flat_map(class::list).any(is_trailers);
    let options = mark(&head.bytes, &mut head.fields, head.present)?;
    head.persistent = !options.close && (http11 || options.keep_alive);
    if options.upgrade && http11 {
        head.upgrade = upgrade.filter(|span| !class::list(span.of(&head.bytes)).any(is_h2c));
    }
    Ok(())
}

fn is_trailers(member: &[u8]) -> bool {
    class::trim(member.split(|&c| c == b';').next().unwrap_or_default()).eq_ignore_ascii_case(b"trailers")
}

fn is_h2c(protocol: &[u8]) -> bool {
    protocol.eq_ignore_ascii_case(b"h2c")
}

/// RFC 9112 section 3.2: exactly one valid `Host` in HTTP/1.1; at most one in HTTP/1.0. Section 3.2.2: a
/// target that names an authority overrules it, but the field must be valid all the same.
fn settle_host(head: &mut RequestHead) -> Result<(), RequestError> {
    let mut lines = head.fields.iter().filter(|field| field.known == Known::Host);
    match (lines.next(), lines.next()) {
        (_, Some(_)) => return Err(RequestError::DuplicateHost),
        (Some(field), None) => {
            authority::check(field.value.of(&head.bytes))?;
            head.host = field.value;
        }
        (None, None) if head.version == Version::Http11 => return Err(RequestError::MissingHost),
        (None, None) => {}
    }
    if let Some(authority) = head.target.authority {
        head.host = authority;
    }
    Ok(())
}

/// `http://host` asks for `/`, and with OPTIONS for `*` (RFC 9112 sections 3.2.1, 3.2.4).
fn add_path(head: &mut RequestHead) -> Result<(), Fault> {
    let query = head.target.query.map(|span| span.start as usize..span.end as usize);
    let path: &[u8] = if head.method == Method::Options && query.is_none() { b"*" } else { b"/" };
    head.target.path = append(&mut head.bytes, path)?;
    if let Some(query) = query {
        head.bytes.push(b'?');
        let start = head.bytes.len();
        head.bytes.extend_from_within(query);
        head.target.query = Some(Span::new(start, head.bytes.len()));
    }
    Ok(())
}
