//! Skipping eight octets at once.
//!
//! Each function skips a run of octets that are surely fine and may stop early, at an octet that is fine
//! after all: the caller decides on that one by the table in [`crate::class`]. So speed cannot change what
//! is accepted, and a wrong answer here could only be a skipped octet, which tests exclude for every octet
//! at every place of a word.
//!
//! Arithmetic on the octets of a `u64` (Anderson, Bit Twiddling Hacks, "determine if a word has a byte
//! less than n"): half to a quarter of the instructions of a table. Rejected: `std::arch`, which is not to
//! be had without `unsafe`; loops for the compiler to vectorise, whose code changed threefold with the
//! slightest edit; `memchr`, which finds single octets, while all before the line end must be looked at
//! anyway.

const ONES: u64 = u64::MAX / 255;
const TOPS: u64 = ONES * 0x80;

#[inline(always)]
fn skip(bytes: &[u8], from: usize, stops: impl Fn(u64) -> u64) -> usize {
    let mut at = from;
    for word in bytes.get(from..).unwrap_or_default().as_chunks::<8>().0 {
        let stops = stops(u64::from_le_bytes(*word));
        if stops != 0 {
            return at + stops.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    at
}

/// Whether there is nothing to stop at; false also where that is not plain to see.
#[inline(always)]
fn is_all(bytes: &[u8], stops: impl Fn(u64) -> u64) -> bool {
    // The last word overlaps the one before.
    let Some(last) = bytes.last_chunk::<8>() else {
        let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) else { return false };
        return stops(u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << 32)
            == 0;
    };
    let words = bytes.as_chunks::<8>().0.iter().fold(0, |all, word| all | stops(u64::from_le_bytes(*word)));
    words | stops(u64::from_le_bytes(*last)) == 0
}

/// The top bits of the octets that are no letters.
#[inline(always)]
fn not_letter(word: u64) -> u64 {
    // Additions stay within their octets, since the top bits are cleared before.
    let lower = (word | (ONES * 0x20)) & !TOPS;
    (!(lower + ONES * (0x80 - b'a' as u64)) | (lower + ONES * (0x7f - b'z' as u64)) | word) & TOPS
}

/// The top bits of the octets that are neither letters nor `-`.
#[inline(always)]
fn not_word(word: u64) -> u64 {
    let not_dash = ((word ^ (ONES * b'-' as u64)) & !TOPS) + ONES * 0x7f;
    not_letter(word) & (not_dash | word)
}

/// The top bits of controls. The subtraction sets that of one below SP, the addition that of DEL; a borrow
/// or carry from the octet below may set it too, which stops early.
#[inline(always)]
fn control(word: u64) -> u64 {
    (word.wrapping_sub(ONES * 0x20) | word.wrapping_add(ONES)) & !word & TOPS
}

/// The top bits of what is not visible ASCII or is `#`, `?` or the backslash. A borrow stops early.
#[inline(always)]
fn not_path(word: u64) -> u64 {
    let equal = |octet: u8| {
        let zero = word ^ (ONES * u64::from(octet));
        zero.wrapping_sub(ONES) & !zero
    };
    let outside = word.wrapping_sub(ONES * 0x21) | word.wrapping_add(ONES) | word;
    (outside | equal(b'#') | equal(b'?') | equal(b'\\')) & TOPS
}

/// Skips what a field value may hold but HTAB.
#[inline]
pub(crate) fn skip_text(bytes: &[u8], from: usize) -> usize {
    skip(bytes, from, control)
}

/// Skips visible ASCII but `#`, `?` and the backslash.
#[inline]
pub(crate) fn skip_path(bytes: &[u8], from: usize) -> usize {
    skip(bytes, from, not_path)
}

/// Whether two texts are the same but for the case of letters. Exact, unlike the others here.
#[inline]
pub(crate) fn same_but_case(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let ((a_words, a_rest), (b_words, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let same_word = |(a, b): (&[u8; 8], &[u8; 8])| {
        let (a, b) = (u64::from_le_bytes(*a), u64::from_le_bytes(*b));
        // Bit 5 is the case of a letter; nothing else may differ.
        (a ^ b) & !((!not_letter(a) & TOPS) >> 2) == 0
    };
    a_words.iter().zip(b_words).all(same_word) && a_rest.eq_ignore_ascii_case(b_rest)
}

/// Surely letters and `-` only.
#[inline]
pub(crate) fn is_word(bytes: &[u8]) -> bool {
    is_all(bytes, not_word)
}

/// Surely a field value without HTAB.
#[inline]
pub(crate) fn is_text(bytes: &[u8]) -> bool {
    is_all(bytes, control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_skipped_that_must_be_looked_at_and_all_else_is() {
        type Skip = fn(&[u8], usize) -> usize;
        let stops_word: fn(u8) -> bool = |c| !c.is_ascii_alphabetic() && c != b'-';
        let stops_text: fn(u8) -> bool = |c| c.is_ascii_control();
        let stops_path: fn(u8) -> bool = |c| !c.is_ascii_graphic() || b"#?\\".contains(&c);
        for (skip, stops) in [(skip_text as Skip, stops_text), (skip_path as Skip, stops_path)] {
            for octet in 0..=255u8 {
                for place in 0..16 {
                    let mut bytes = [b'z'; 16];
                    bytes[place] = octet;
                    let expected = if stops(octet) { place } else { 16 };
                    assert_eq!(skip(&bytes, 0), expected, "octet {octet} at {place}");
                    // Two in a row: what one does to its neighbour may stop early, never late.
                    for other in 0..=255u8 {
                        bytes[(place + 1) % 16] = other;
                        let first = bytes.iter().position(|&c| stops(c)).unwrap_or(16);
                        assert!(skip(&bytes, 0) <= first, "octets {octet}, {other} at {place}");
                        assert!(!is_word(&bytes[..13]) || !bytes[..13].iter().any(|&c| stops_word(c)));
                        assert!(!is_text(&bytes[..13]) || !bytes[..13].iter().any(|&c| stops_text(c)));
                    }
                }
            }
        }
    }

    #[test]
    fn only_the_case_of_letters_is_ignored() {
        for a in 0..=255u8 {
            for b in 0..=255u8 {
                for place in [0, 7, 8] {
                    let (mut one, mut other) = (*b"x-user-id", *b"X-User-ID");
                    (one[place], other[place]) = (a, b);
                    assert_eq!(same_but_case(&one, &other), a.eq_ignore_ascii_case(&b), "{a} {b} at {place}");
                }
            }
        }
        assert!(!same_but_case(b"abcdefgh", b"abcdefghi"));
    }

    #[test]
    fn a_rest_shorter_than_a_word_is_left_to_the_table() {
        assert_eq!((skip_text(b"abc", 7), skip_text(b"abc", 1), skip_path(&[b'a'; 20], 0)), (7, 1, 16));
        assert!(!is_word(b"abc") && is_word(b"Content-Length") && is_text(b"text/html; q=0.5"));
    }
}
