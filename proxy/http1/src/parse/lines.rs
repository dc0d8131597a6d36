//! Field lines (RFC 9112 section 5), in heads and in trailer sections.

use crate::class::{self, TOKEN};
use crate::error::Fault;
use crate::fields::{Field, Span};
use crate::known::Known;

/// Reads field lines from `*resume` on, up to and including the empty line, and gives the place behind it.
///
/// `Ok(None)`: `window` ends first. Then `*resume` is the start of the line that is not complete, and
/// `fields` and `present` hold what came before; call again with more of the same octets.
pub(crate) fn parse(
    window: &[u8],
    resume: &mut usize,
    max_fields: usize,
    fields: &mut Vec<Field>,
    present: &mut u64,
) -> Result<Option<usize>, Fault> {
    let mut at = *resume;
    loop {
        let name_end = class::end_of(TOKEN, window, at);
        if window.get(name_end) != Some(&b':') || name_end == at {
            *resume = at;
            return no_name(window, at, name_end);
        }
        let mut value_start = name_end + 1;
        if window.get(value_start) == Some(&b' ') {
            value_start += 1;
        }
        while let Some(b' ' | b'\t') = window.get(value_start) {
            value_start += 1;
        }
        let stop = class::end_of_value(window, value_start);
        if window.get(stop..stop + 2) != Some(b"\r\n") {
            *resume = at;
            return no_line_end(&window[stop.min(window.len())..]);
        }
        let mut value_end = stop;
        while value_end > value_start && matches!(window[value_end - 1], b' ' | b'\t') {
            value_end -= 1;
        }
        if fields.len() >= max_fields {
            return Err(Fault::TooMany);
        }
        let known = Known::of(&window[at..name_end]);
        *present |= known.bit();
        let (name, value) = (Span::new(at, name_end), Span::new(value_start, value_end));
        fields.push(Field { name, value, known, drop: false });
        at = stop + 2;
    }
}

/// A line that does not begin with `name:` is the empty line, a part of a line, or a fault.
fn no_name(window: &[u8], line: usize, stop: usize) -> Result<Option<usize>, Fault> {
    match (&window[stop..], stop == line) {
        ([b'\r', b'\n', ..], true) => Ok(Some(stop + 2)),
        ([], _) | ([b'\r'], true) => Ok(None),
        ([b'\r', ..], true) => Err(Fault::BareCr),
        ([b'\n', ..], true) => Err(Fault::BareLf),
        ([b' ' | b'\t', ..], true) => Err(Fault::ObsFold),
        ([b' ' | b'\t', ..], false) => Err(Fault::SpaceBeforeColon),
        _ => Err(Fault::FieldName),
    }
}

/// What stops a value and is not CRLF.
#[cold]
fn no_line_end(rest: &[u8]) -> Result<Option<usize>, Fault> {
    match rest {
        [] | [b'\r'] => Ok(None),
        [b'\r', ..] => Err(Fault::BareCr),
        [b'\n', ..] => Err(Fault::BareLf),
        _ => Err(Fault::FieldValue),
    }
}
