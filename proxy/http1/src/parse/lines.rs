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
        *resume = at;
        let name_end = class::end_of(TOKEN, window, at);
        match window.get(name_end) {
            None => return Ok(None),
            Some(b':') if name_end > at => {}
            Some(_) => return no_name(window, at, name_end),
        }
        let mut value_start = name_end + 1;
        while let Some(b' ' | b'\t') = window.get(value_start) {
            value_start += 1;
        }
        let stop = class::end_of_value(window, value_start);
        match window.get(stop..) {
            Some([b'\r', b'\n', ..]) => {}
            Some([] | [b'\r']) | None => return Ok(None),
            Some([b'\r', ..]) => return Err(Fault::BareCr),
            Some([b'\n', ..]) => return Err(Fault::BareLf),
            Some(_) => return Err(Fault::FieldValue),
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

/// A line that does not begin with `name:` is the empty line or a fault.
#[cold]
fn fault_of(octet: u8, at_line_start: bool) -> Fault {
    match octet {
        b'\n' if at_line_start => Fault::BareLf,
        b' ' | b'\t' if at_line_start => Fault::ObsFold,
        b' ' | b'\t' => Fault::SpaceBeforeColon,
        _ => Fault::FieldName,
    }
}

#[inline]
fn no_name(window: &[u8], line: usize, stop: usize) -> Result<Option<usize>, Fault> {
    match &window[stop..] {
        [b'\r', b'\n', ..] if stop == line => Ok(Some(stop + 2)),
        [b'\r'] if stop == line => Ok(None),
        [b'\r', ..] if stop == line => Err(Fault::BareCr),
        rest => Err(fault_of(rest[0], stop == line)),
    }
}
