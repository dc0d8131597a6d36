//! What a match asks beyond hostname and path: method, headers, query parameters.

use regex::bytes::{Regex, RegexBuilder};

use super::{MatchSpec, RequestView, TextMatch};

/// The compiled size from which on a pattern is refused, in bytes. The crate's own limit is 10 MiB,
/// which a few dozen rules would turn into the proxy's whole memory; 1 MiB still takes a thousand
/// repetitions of a class.
const REGEX_LIMIT: usize = 1 << 20;

#[derive(Debug)]
pub(super) struct Conditions {
    method: Option<Box<[u8]>>,
    headers: Box<[Named]>,
    query: Box<[Named]>,
}

/// A header or a query parameter, and what its value must be.
type Named = (Box<str>, Text);

#[derive(Debug)]
enum Text {
    Exact(Box<[u8]>),
    Regex(Regex),
}

impl Conditions {
    pub(super) fn new(spec: &MatchSpec) -> Result<Self, String> {
        let lower: Vec<_> = spec.headers.iter().map(|(n, text)| (n.to_ascii_lowercase(), text)).collect();
        Ok(Conditions {
            method: spec.method.as_deref().map(|method| method.as_bytes().into()),
            headers: compile("header", lower.iter().map(|(name, text)| (name.as_str(), *text)))?,
            query: compile("query parameter", spec.query.iter().map(|(name, text)| (name.as_str(), text)))?,
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

    pub(super) fn hold(&self, request: &impl RequestView) -> bool {
        self.method.as_deref().is_none_or(|method| method == request.method())
            && self
                .headers
                .iter()
                .all(|(name, text)| request.header(name).is_some_and(|value| text.matches(value)))
            && self.query_holds(request)
    }

    fn query_holds(&self, request: &impl RequestView) -> bool {
        if self.query.is_empty() {
            return true;
        }
        let Some(query) = request.query() else { return false };
        self.query
            .iter()
            .all(|(name, text)| parameter(query, name.as_bytes()).is_some_and(|value| text.matches(value)))
    }
}

impl Text {
    fn matches(&self, value: &[u8]) -> bool {
        match self {
            Text::Exact(wanted) => **wanted == *value,
            Text::Regex(regex) => regex.is_match(value),
        }
    }
}

/// "If multiple entries specify equivalent names, only the first entry MUST be considered."
fn compile<'a>(
    what: &str,
    wanted: impl Iterator<Item = (&'a str, &'a TextMatch)>,
) -> Result<Box<[Named]>, String> {
    let mut compiled: Vec<Named> = Vec::new();
    for (name, text) in wanted {
        if compiled.iter().any(|(known, _)| **known == *name) {
            continue;
        }
        let text = match text {
            TextMatch::Exact(value) => Text::Exact(value.as_slice().into()),
            TextMatch::Regex(pattern) => {
                Text::Regex(whole(pattern).map_err(|e| format!("{what} {name:?}: {e}"))?)
            }
        };
        compiled.push((name.into(), text));
    }
    Ok(compiled.into())
}

/// A pattern that must match all of a text, as in Envoy: a search for `/admin` anywhere is not what
/// is meant. Over bytes, as neither a path nor a header need be UTF-8.
pub(super) fn whole(pattern: &str) -> Result<Regex, String> {
    let build = |pattern: &str| {
        RegexBuilder::new(pattern)
            .unicode(false)
            .size_limit(REGEX_LIMIT)
            .build()
            .map_err(|e| format!("not a regular expression that can be used: {e}"))
    };
    // By itself first: `a)|(b` would only become well-formed, and something else, by the brackets.
    build(pattern)?;
    build(&format!(r"\A(?:{pattern})\z"))
}

/// The first value of a parameter, as recommended for one that is repeated. Without `=` it is empty.
fn parameter<'a>(query: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    query.split(|&byte| byte == b'&').find_map(|pair| match pair.strip_prefix(name)? {
        [] => Some(&[][..]),
        [b'=', value @ ..] => Some(value),
        _ => None,
    })
}
