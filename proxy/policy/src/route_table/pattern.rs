//! A regular expression that several threads ask at once without meeting.

use regex::bytes::{Regex, RegexBuilder};

/// The compiled size from which on a pattern is refused, in bytes. The crate's own limit is 10 MiB,
/// which a few dozen rules would turn into the proxy's whole memory; 1 MiB still takes a thousand
/// repetitions of a class.
const REGEX_LIMIT: usize = 1 << 20;

/// A pattern that must match all of a text, as in Envoy: a search for `/admin` anywhere is not what
/// is meant. Over bytes, as neither a path nor a header need be UTF-8.
///
/// A matcher borrows scratch space from a pool that is its own, with a lock where two threads meet
/// there; so each reader has one. They share the compiled program.
#[derive(Clone, Debug)]
pub(super) struct Pattern(Box<[Regex]>);

impl Pattern {
    /// For `readers` threads, at least one.
    pub(super) fn new(pattern: &str, readers: usize) -> Result<Pattern, String> {
        let build = |pattern: &str| {
            RegexBuilder::new(pattern)
                .unicode(false)
                .size_limit(REGEX_LIMIT)
                .build()
                .map_err(|e| format!("not a regular expression that can be used: {e}"))
        };
        // By itself first: `a)|(b` would only become well-formed, and something else, by the brackets.
        build(pattern)?;
        let whole = build(&format!(r"\A(?:{pattern})\z"))?;
        Ok(Pattern(vec![whole; readers.max(1)].into()))
    }

    /// `reader` beyond their number is right as well, only slower.
    pub(super) fn matches(&self, reader: usize, text: &[u8]) -> bool {
        self.0[reader % self.0.len()].is_match(text)
    }
}
