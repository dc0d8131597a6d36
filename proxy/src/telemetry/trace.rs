//! W3C Trace Context (Level 1, <https://www.w3.org/TR/trace-context-1/>): checked, passed on as it came, and
//! its trace id written to the access log, so that a line there leads to the trace.
//!
//! No spans are made here, and no `traceparent` is begun where a client sent none: the proxy is a hop that
//! forwards the context and does not take part in it (the specification's forwarding mode). Spans of our own
//! come with the OTLP export.
//!
//! A `traceparent` that is not valid is dropped, and the `tracestate` beside it too: who fails to read the one
//! must not read the other (section 3.3). Passing on garbage would only move the question of what it means to
//! the next hop.

use std::fmt;

/// Length of version 00: two for the version, 32 for the trace, 16 for the parent, two for the flags, three dashes.
const LEN: usize = 55;

/// The id of a trace, 32 lower-case hexadecimal digits, not all zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId([u8; 32]);

impl TraceId {
    /// The digits.
    pub fn as_str(&self) -> &str {
        // Only hexadecimal digits get in; there is nothing to fail.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The trace of a valid `traceparent`; `None`: drop it and the `tracestate` beside it.
///
/// By section 3.2.2: `version "-" trace-id "-" parent-id "-" trace-flags`, all lower-case hexadecimal, neither id
/// all zero, version 00 exactly 55 bytes, version ff forbidden. Of a higher version the first 55 bytes are read
/// as version 00's and must be the whole value or be followed by a dash ("Versioning of traceparent"): to drop
/// those would cut the traces of everybody who is newer than we are.
pub fn parse(traceparent: &[u8]) -> Option<TraceId> {
    let (head, rest) = traceparent.split_at_checked(LEN)?;
    let (version, trace, parent, flags) = (&head[..2], &head[3..35], &head[36..52], &head[53..]);
    let dashes = [head[2], head[35], head[52]] == *b"---";
    let digits = [version, trace, parent, flags].iter().all(|part| part.iter().copied().all(is_hex));
    let ids = [trace, parent].iter().all(|id| id.iter().any(|&digit| digit != b'0'));
    let fits = match version {
        b"00" => rest.is_empty(),
        b"ff" => false,
        _ => rest.first().is_none_or(|&next| next == b'-'),
    };
    (dashes && digits && ids && fits).then(|| trace.try_into().ok().map(TraceId)).flatten()
}

/// The trace of a request that has these `traceparent` fields. More than one is none: nobody can say which of
/// them holds.
pub fn of_request<'a>(fields: impl IntoIterator<Item = &'a [u8]>) -> Option<TraceId> {
    let mut fields = fields.into_iter();
    let only = fields.next()?;
    if fields.next().is_some() { None } else { parse(only) }
}

/// `HEXDIGLC` of section 3.2.2.
fn is_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const VALID: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn the_specifications_own_example_is_valid() {
        assert_eq!(parse(VALID.as_bytes()).unwrap().as_str(), TRACE);
    }

    #[test]
    fn what_the_specification_forbids_is_dropped() {
        for bad in [
            "",
            "00",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-extra",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0g",
            "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7_01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "0x-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            " 0-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01x",
        ] {
            assert_eq!(parse(bad.as_bytes()), None, "{bad:?}");
        }
    }

    #[test]
    fn no_cut_or_flipped_byte_of_a_valid_one_passes_for_another_trace() {
        for cut in 0..VALID.len() {
            assert_eq!(parse(&VALID.as_bytes()[..cut]), None);
        }
        for at in 0..VALID.len() {
            let mut bytes = VALID.as_bytes().to_vec();
            bytes[at] = 0xff;
            assert_eq!(parse(&bytes), None, "byte {at}");
        }
    }

    #[test]
    fn a_newer_version_is_read_as_far_as_we_know_it() {
        for later in [VALID.replacen("00", "01", 1), VALID.replacen("00", "cc", 1) + "-what-comes-next"] {
            assert_eq!(parse(later.as_bytes()).unwrap().as_str(), TRACE, "{later}");
        }
    }

    #[test]
    fn two_fields_are_as_good_as_none() {
        assert!(of_request([VALID.as_bytes()]).is_some());
        assert_eq!(of_request([VALID.as_bytes(), VALID.as_bytes()]), None);
        assert_eq!(of_request([]), None);
    }
}
