//! The request target in its four forms (RFC 9112 section 3.2).
//!
//! Nothing is decoded or normalised here: what a route compares and what the upstream sees are the same
//! octets. Whoever matches paths must decide on `%2e` and `//` for both at once.

use crate::class::{self, QUERY};
use crate::error::RequestError;
use crate::fields::Span;
use crate::head::{Form, Method, Scheme, Target};
use crate::parse::authority;

/// Path and query from `from` on: where the path ends, and where both end. The second place holds the
/// first octet that neither may have, or is the end.
#[inline]
pub(crate) fn path_and_query(bytes: &[u8], from: usize) -> (usize, usize) {
    let path_end = class::end_of_path(bytes, from);
    match bytes.get(path_end) {
        Some(b'?') => (path_end, class::end_of(QUERY, bytes, path_end + 1)),
        _ => (path_end, path_end),
    }
}

/// The target in origin form that begins at `from`, as [`path_and_query`] found it.
#[inline]
pub(crate) fn origin(from: usize, path_end: usize, end: usize) -> Target {
    Target {
        form: Form::Origin,
        raw: Span::new(from, end),
        path: Span::new(from, path_end),
        query: (end > path_end).then(|| Span::new(path_end + 1, end)),
        ..Target::default()
    }
}

/// Takes the target at `raw` apart.
///
/// An absolute target without a path has `path` and `query` where they would be: the caller, which may
/// write, must put the `/` there ([`needs_slash`]).
pub(crate) fn parse(bytes: &[u8], raw: Span, method: Method) -> Result<Target, RequestError> {
    let (from, end) = (raw.start as usize, raw.end as usize);
    let (text, bytes) = (raw.of(bytes), &bytes[..end]);
    if method == Method::Connect {
        return match authority::check(text) {
            Ok(Some(port)) if port > 0 => {
                Ok(Target { form: Form::Authority, raw, authority: Some(raw), ..Target::default() })
            }
            _ => Err(RequestError::AuthorityForm),
        };
    }
    match text {
        [b'/', ..] => match path_and_query(bytes, from) {
            (path_end, stop) if stop == end => Ok(origin(from, path_end, end)),
            _ => Err(RequestError::Target),
        },
        b"*" if method == Method::Options => {
            Ok(Target { form: Form::Asterisk, raw, path: raw, ..Target::default() })
        }
        b"*" => Err(RequestError::AsteriskForm),
        _ => absolute(bytes, raw, text),
    }
}

fn absolute(bytes: &[u8], raw: Span, text: &[u8]) -> Result<Target, RequestError> {
    let (scheme, skip) = if starts_with(text, b"http://") {
        (Scheme::Http, 7)
    } else if starts_with(text, b"https://") {
        (Scheme::Https, 8)
    } else if authority::check(text).is_ok_and(|port| port.is_some()) {
        return Err(RequestError::AuthorityForm);
    } else {
        return Err(RequestError::Target);
    };
    let (from, end) = (raw.start as usize + skip, raw.end as usize);
    let length = bytes[from..].iter().position(|c| matches!(c, b'/' | b'?')).unwrap_or(end - from);
    let authority_end = from + length;
    authority::check(&bytes[from..authority_end])?;
    let (path_end, stop) = path_and_query(bytes, authority_end);
    if stop != end {
        return Err(RequestError::Target);
    }
    let parts = origin(authority_end, path_end, end);
    let authority = Some(Span::new(from, authority_end));
    Ok(Target { form: Form::Absolute, raw, authority, scheme: Some(scheme), ..parts })
}

fn starts_with(text: &[u8], lower: &[u8]) -> bool {
    text.get(..lower.len()).is_some_and(|start| start.eq_ignore_ascii_case(lower))
}

/// Whether the target is absolute and its path empty: equivalent to `/` (RFC 9110 section 4.2.3).
pub(crate) fn needs_slash(target: &Target) -> bool {
    target.form == Form::Absolute && target.path.is_empty()
}
