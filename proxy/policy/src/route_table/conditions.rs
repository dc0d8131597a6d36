//! What a match asks beyond hostname and path: method, headers, query parameters.

use super::pattern::Pattern;
use super::{MatchSpec, RequestView, TextMatch};

/// Conditions on method, headers and query, joined by AND.
#[derive(Debug)]
pub struct Conditions {
    method: Option<Box<[u8]>>,
    headers: Box<[Named]>,
    query: Box<[Named]>,
}

/// A header or a query parameter, and what its value must be.
type Named = (Box<str>, Text);

#[derive(Debug)]
enum Text {
    Exact(Box<[u8]>),
    Regex(Pattern),
}

impl Conditions {
    /// Compiles them for so many readers; the path of `spec` is not among them.
    ///
    /// # Errors
    /// A pattern that cannot be compiled.
    pub fn new(spec: &MatchSpec, readers: usize) -> Result<Self, String> {
        let lower: Vec<_> = spec.headers.iter().map(|(n, text)| (n.to_ascii_lowercase(), text)).collect();
        Ok(Conditions {
            method: spec.method.as_deref().map(|method| method.as_bytes().into()),
            headers: compile("header", lower.iter().map(|(name, text)| (name.as_str(), *text)), readers)?,
            query: compile(
                "query parameter",
                spec.query.iter().map(|(name, text)| (name.as_str(), text)),
                readers,
            )?,
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.method.is_none() && self.headers.is_empty() && self.query.is_empty()
    }

    /// How many headers are asked for, which is a rank in the precedence.
    pub(super) fn headers(&self) -> usize {
        self.headers.len()
    }

    pub(super) fn query(&self) -> usize {
        self.query.len()
    }

    /// Whether all of them hold.
    pub fn hold(&self, request: &impl RequestView) -> bool {
        self.method.as_deref().is_none_or(|method| method == request.method())
            && self.headers.iter().all(|(name, text)| {
                request.header(name).is_some_and(|value| text.matches(request.reader(), value))
            })
            && self.query_holds(request)
    }

    fn query_holds(&self, request: &impl RequestView) -> bool {
        if self.query.is_empty() {
            return true;
        }
        let Some(query) = request.query() else { return false };
        self.query.iter().all(|(name, text)| {
            parameter(query, name.as_bytes()).is_some_and(|value| text.matches(request.reader(), value))
        })
    }
}

impl Text {
    fn matches(&self, reader: usize, value: &[u8]) -> bool {
        match self {
            Text::Exact(wanted) => **wanted == *value,
            Text::Regex(pattern) => pattern.matches(reader, value),
        }
    }
}

/// "If multiple entries specify equivalent names, only the first entry MUST be considered."
fn compile<'a>(
    what: &str,
    wanted: impl Iterator<Item = (&'a str, &'a TextMatch)>,
    readers: usize,
) -> Result<Box<[Named]>, String> {
    let mut compiled: Vec<Named> = Vec::new();
    for (name, text) in wanted {
        if compiled.iter().any(|(known, _)| **known == *name) {
            continue;
        }
        let text = match text {
            TextMatch::Exact(value) => Text::Exact(value.as_slice().into()),
            TextMatch::Regex(pattern) => {
                Text::Regex(Pattern::new(pattern, readers).map_err(|e| format!("{what} {name:?}: {e}"))?)
            }
        };
        compiled.push((name.into(), text));
    }
    Ok(compiled.into())
}

/// The first value of a parameter, as recommended for one that is repeated. Without `=` it is empty.
fn parameter<'a>(query: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    query.split(|&byte| byte == b'&').find_map(|pair| match pair.strip_prefix(name)? {
        [] => Some(&[][..]),
        [b'=', value @ ..] => Some(value),
        _ => None,
    })
}
