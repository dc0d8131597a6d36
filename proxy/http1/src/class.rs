//! Which octets may stand where: one 256-entry table of classes.
//!
//! What is scanned often is scanned by [`crate::scan`] first, many octets at a time; this table decides
//! where that stops.

use crate::scan;

/// `tchar` (RFC 9110 section 5.6.2).
pub(crate) const TOKEN: u8 = 1;
/// The path of a request target: any visible ASCII but `#`, `?` and `\`. Wider than RFC 3986's `pchar`,
/// since clients do send raw `|`, `{` or `"`; the backslash is out because some servers read it as `/`.
pub(crate) const PATH: u8 = 2;
/// The query: any visible ASCII but `#`.
pub(crate) const QUERY: u8 = 4;
/// `reg-name` without `%` (RFC 3986 section 3.2.2: unreserved, sub-delims).
pub(crate) const REG_NAME: u8 = 8;
/// `HEXDIG`.
pub(crate) const HEX: u8 = 16;

static CLASSES: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        let c = i as u8;
        let alnum = c.is_ascii_alphanumeric();
        if alnum || is_one_of(c, b"!#$%&'*+-.^_`|~") {
            table[i] |= TOKEN;
        }
        if c.is_ascii_graphic() && !is_one_of(c, b"#?\\") {
            table[i] |= PATH;
        }
        if c.is_ascii_graphic() && c != b'#' {
            table[i] |= QUERY;
        }
        if alnum || is_one_of(c, b"-._~!$&'()*+,;=") {
            table[i] |= REG_NAME;
        }
        if c.is_ascii_hexdigit() {
            table[i] |= HEX;
        }
        i += 1;
    }
    table
}

const fn is_one_of(c: u8, set: &[u8]) -> bool {
    let mut i = 0;
    while i < set.len() {
        if set[i] == c {
            return true;
        }
        i += 1;
    }
    false
}

pub(crate) const fn is_const(octet: u8, class: u8) -> bool {
    classes()[octet as usize] & class != 0
}

#[inline]
pub(crate) fn is(octet: u8, class: u8) -> bool {
    CLASSES[octet as usize] & class != 0
}

/// The first place from `from` on whose octet is not of `class`, or the end.
///
/// Eight look-ups between two looks at the end: half the instructions of one by one.
#[inline]
pub(crate) fn end_of(class: u8, bytes: &[u8], from: usize) -> usize {
    let outside = |octet: &u8| !is(*octet, class);
    let mut at = from;
    let (words, rest) = bytes.get(from..).unwrap_or_default().as_chunks::<8>();
    for word in words {
        if let Some(place) = word.iter().position(outside) {
            return at + place;
        }
        at += word.len();
    }
    at + rest.iter().position(outside).unwrap_or(rest.len())
}

pub(crate) fn is_token(bytes: &[u8]) -> bool {
    scan::is_word(bytes) || (!bytes.is_empty() && end_of(TOKEN, bytes, 0) == bytes.len())
}

/// The first place from `from` on whose octet may not stand in a field value (RFC 9110 section 5.5: a
/// control other than HTAB), or the end.
#[inline]
pub(crate) fn end_of_value(bytes: &[u8], from: usize) -> usize {
    let mut at = from;
    loop {
        at = scan::skip_text(bytes, at);
        match bytes.get(at) {
            Some(&octet) if is_value_octet(octet) => at += 1,
            _ => return at,
        }
    }
}

/// As [`end_of`] with [`PATH`].
#[inline]
pub(crate) fn end_of_path(bytes: &[u8], from: usize) -> usize {
    end_of(PATH, bytes, scan::skip_path(bytes, from))
}

/// Whether all octets may stand in a field value.
#[inline]
pub(crate) fn is_value(bytes: &[u8]) -> bool {
    scan::is_text(bytes) || end_of_value(bytes, 0) == bytes.len()
}

#[inline]
pub(crate) const fn is_value_octet(octet: u8) -> bool {
    octet == b'\t' || (octet >= b' ' && octet != 0x7f)
}

/// Without the SP and HTAB at both ends (`OWS`, RFC 9110 section 5.6.3).
pub(crate) fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = value {
        value = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// The elements of a comma-separated list, trimmed, empty ones left out (RFC 9110 section 5.6.1).
pub(crate) fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&c| c == b',').map(trim).filter(|element| !element.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_wise_scan_agrees_with_the_definition_at_every_octet_and_place() {
        for octet in 0..=255u8 {
            for place in 0..40 {
                for around in [b'\t', b' ', b'~', 0x80, 0xa5, 0xff] {
                    let mut bytes = [around; 40];
                    bytes[place] = octet;
                    let expected = if is_value_octet(octet) { 40 } else { place };
                    assert_eq!(end_of_value(&bytes, 0), expected, "octet {octet} at {place}");
                    let from = place.saturating_sub(3);
                    assert_eq!(end_of_value(&bytes, from), expected, "octet {octet} at {place} from {from}");
                }
            }
        }
    }

    #[test]
    fn the_scan_finds_the_first_of_several_controls() {
        assert_eq!(end_of_value(b"ab\t\tcd\x7f\x00\x1f ~", 0), 6);
        assert_eq!(end_of_value(b"\t\t\t\t\t\t\t\t\t\t", 0), 10);
        assert_eq!(end_of_value(b"\xff\x80 ~abcde", 0), 9);
    }

    #[test]
    fn every_class_is_found_to_its_end_at_every_octet_and_place() {
        for (class, inside) in [(TOKEN, b'a'), (REG_NAME, b'-'), (PATH, b'/'), (QUERY, b'?')] {
            for octet in 0..=255u8 {
                for place in 0..40 {
                    let mut bytes = [inside; 40];
                    bytes[place] = octet;
                    let expected = if is(octet, class) { 40 } else { place };
                    let from = place.saturating_sub(17);
                    assert_eq!(end_of(class, &bytes, from), expected);
                    if class == PATH {
                        assert_eq!(end_of_path(&bytes, from), expected, "octet {octet} at {place}");
                    }
                }
            }
        }
    }

    #[test]
    fn token_is_exactly_the_fifteen_signs_and_the_alphanumerics() {
        let tokens = (0..=255u8).filter(|&c| is(c, TOKEN)).count();
        assert_eq!(tokens, 15 + 62);
        assert!(!is_token(b"") && is_token(b"x-!#$%&'*+.^_`|~9") && !is_token(b"a b") && !is_token(b"a\xe9"));
    }
}
