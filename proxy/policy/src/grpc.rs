//! What gRPC says in numbers: status codes, and how long the caller waits.
//!
//! A gRPC call is nearly always HTTP 200; whether it went well stands in `grpc-status`. Two tables lie between that
//! and what everything else here is decided by, an HTTP status. Towards the caller: gRPC's own mapping
//! (`doc/http-grpc-status-mapping.md`), but for what we know better. Towards outlier detection: Envoy's mapping,
//! without the codes that a caller can provoke at will.

use std::time::Duration;

/// OK.
pub const OK: u8 = 0;
/// The caller gave the call up.
pub const CANCELLED: u8 = 1;
/// Something went wrong, and nobody said what.
pub const UNKNOWN: u8 = 2;
/// The deadline passed.
pub const DEADLINE_EXCEEDED: u8 = 4;
/// A limit of the caller's is reached, or the message is too large.
pub const RESOURCE_EXHAUSTED: u8 = 8;
/// There is no such method.
pub const UNIMPLEMENTED: u8 = 12;
/// An invariant is broken.
pub const INTERNAL: u8 = 13;
/// The service cannot be reached at present.
pub const UNAVAILABLE: u8 = 14;
/// Data is lost for good.
pub const DATA_LOSS: u8 = 15;
/// How many codes there are.
pub const CODES: usize = 17;

/// The media type of gRPC itself, whatever the messages are coded in. gRPC-Web is another protocol.
pub fn is_media_type(content_type: &[u8]) -> bool {
    const TYPE: &[u8] = b"application/grpc";
    let rest = content_type.split_at_checked(TYPE.len()).filter(|(name, _)| name.eq_ignore_ascii_case(TYPE));
    rest.is_some_and(|(_, rest)| matches!(rest.first(), None | Some(b'+' | b';' | b' ')))
}

/// The code of a `grpc-status`. What is none is UNKNOWN, as gRPC's libraries take it.
pub fn status(text: &[u8]) -> u8 {
    let number = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    number.filter(|code| usize::from(*code) < CODES).unwrap_or(UNKNOWN)
}

/// What a caller takes an HTTP status for that comes without a `grpc-status`. A timeout (504) is
/// DEADLINE_EXCEEDED here and UNAVAILABLE in gRPC's table, which cannot know that it was the call's own; 413 is
/// RESOURCE_EXHAUSTED, as gRPC's servers say of a message that is too large; 501 is what it says.
pub fn of_http(status: u16) -> u8 {
    match status {
        200 => UNKNOWN,
        400 => INTERNAL,
        401 => 16,
        403 => 7,
        404 | 501 => UNIMPLEMENTED,
        413 => RESOURCE_EXHAUSTED,
        429 | 502 | 503 => UNAVAILABLE,
        499 => CANCELLED,
        504 => DEADLINE_EXCEEDED,
        _ => UNKNOWN,
    }
}

/// The HTTP status that outlier detection, breaker and error rate take this code for, where it is a failure of the
/// server at all.
///
/// UNIMPLEMENTED, which Envoy counts as 501, is none: a caller that asks for a method that is not there would eject
/// endpoint after endpoint. DEADLINE_EXCEEDED is the caller's choice of time as well: count it only where the
/// caller waited long, which the second argument says.
pub fn failure(code: u8, waited_long: bool) -> Option<u16> {
    match code {
        UNKNOWN | INTERNAL | DATA_LOSS => Some(500),
        UNAVAILABLE => Some(503),
        DEADLINE_EXCEEDED if waited_long => Some(504),
        _ => None,
    }
}

/// Reads a `grpc-timeout`: at most eight digits and a unit (gRPC over HTTP/2, `Timeout`). `None` for what is no
/// such thing and for 0, which the grammar does not know.
pub fn timeout(text: &[u8]) -> Option<Duration> {
    let (unit, digits) = text.split_last()?;
    if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = digits.iter().fold(0u64, |value, digit| value * 10 + u64::from(digit - b'0'));
    let timeout = match unit {
        b'H' => Duration::from_secs(value * 3600),
        b'M' => Duration::from_secs(value * 60),
        b'S' => Duration::from_secs(value),
        b'm' => Duration::from_millis(value),
        b'u' => Duration::from_micros(value),
        b'n' => Duration::from_nanos(value),
        _ => return None,
    };
    (value > 0).then_some(timeout)
}

/// A timeout in the finest unit that eight digits hold: its number and its unit's letter. Rounded down, since a
/// server that gives up a little early is right and one that gives up late is not; but never to 0.
pub fn timeout_parts(timeout: Duration) -> (u64, u8) {
    const MOST: u128 = 99_999_999;
    let nanos = timeout.as_nanos();
    let units = [(1, b'n'), (1_000, b'u'), (1_000_000, b'm'), (1_000_000_000, b'S')];
    let minutes = (60_000_000_000, b'M');
    let hours = (3_600_000_000_000, b'H');
    for (unit, letter) in units.into_iter().chain([minutes, hours]) {
        if nanos / unit <= MOST {
            return ((nanos / unit).max(1) as u64, letter);
        }
    }
    (MOST as u64, b'H')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_read_by_the_letter_of_the_grammar() {
        for (text, expected) in [
            ("1H", Some(Duration::from_secs(3600))),
            ("2M", Some(Duration::from_secs(120))),
            ("3S", Some(Duration::from_secs(3))),
            ("250m", Some(Duration::from_millis(250))),
            ("7u", Some(Duration::from_micros(7))),
            ("99999999n", Some(Duration::from_nanos(99_999_999))),
            ("99999999H", Some(Duration::from_secs(99_999_999 * 3600))),
            ("100000000n", None),
            ("0m", None),
            ("m", None),
            ("", None),
            ("5", None),
            ("5s", None),
            ("-5m", None),
            ("5 m", None),
            ("+5m", None),
        ] {
            assert_eq!(timeout(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn a_written_timeout_is_at_most_the_one_meant_and_close_to_it() {
        for nanos in (0..64).map(|shift| 3u64 << shift >> 1) {
            let meant = Duration::from_nanos(nanos);
            let (number, unit) = timeout_parts(meant);
            let text = format!("{number}{}", unit as char);
            let read = timeout(text.as_bytes()).unwrap_or_else(|| panic!("{text}"));
            assert!(read <= meant.max(Duration::from_nanos(1)), "{meant:?} became {text}");
            // A unit is at most a thousand of the one before, and eight digits leave five of them.
            assert!(read.as_secs_f64() >= meant.as_secs_f64() * 0.999, "{meant:?} became {text}");
        }
        assert_eq!(timeout_parts(Duration::MAX), (99_999_999, b'H'));
        assert_eq!(timeout_parts(Duration::ZERO), (1, b'n'));
    }

    #[test]
    fn grpc_is_told_from_grpc_web_and_from_everything_else() {
        let types = ["application/grpc", "application/grpc+proto", "Application/gRPC; charset=utf-8"];
        assert!(types.iter().all(|name| is_media_type(name.as_bytes())));
        for name in ["application/grpc-web", "application/grpc-web+proto", "application/json", "", "grpc"] {
            assert!(!is_media_type(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn statuses_map_as_grpc_and_envoy_say_but_for_what_is_written_here() {
        let ours = [400, 401, 403, 404, 429, 502, 503, 504, 500, 200].map(of_http);
        assert_eq!(ours, [13, 16, 7, 12, 14, 14, 14, 4, 2, 2]);
        let failures: Vec<u8> = (0..20).filter(|code| failure(*code, false).is_some()).collect();
        assert_eq!(failures, [UNKNOWN, INTERNAL, UNAVAILABLE, DATA_LOSS]);
        assert_eq!(failure(DEADLINE_EXCEEDED, true), Some(504));
        assert_eq!([&b"14"[..], b"0", b"17", b"-1", b"x", b""].map(status), [14, 0, 2, 2, 2, 2]);
    }
}
