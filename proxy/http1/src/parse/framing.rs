//! Where a body ends, from the fields alone (RFC 9112 sections 6.1 to 6.3). Every ambiguity is refused:
//! this is what request smuggling is made of.

use crate::class;
use crate::error::Fault;
use crate::fields::Field;
use crate::head::{Framing, Version};
use crate::known::Known;

/// What the fields declare. `Framing::None`: neither field is there.
pub(crate) fn declared(
    bytes: &[u8],
    fields: &[Field],
    present: u64,
    version: Version,
) -> Result<Framing, Fault> {
    if present & (Known::ContentLength.bit() | Known::TransferEncoding.bit()) == 0 {
        return Ok(Framing::None);
    }
    if present & Known::TransferEncoding.bit() != 0
        && let Some(coding) = only(fields, Known::TransferEncoding, Fault::DuplicateTransferEncoding)?
    {
        if version == Version::Http10 {
            return Err(Fault::CodingInHttp10);
        }
        if present & Known::ContentLength.bit() != 0 {
            return Err(Fault::LengthAndCoding);
        }
        return chunked(coding.value.of(bytes)).map(|()| Framing::Chunked);
    }
    Ok(content_length(bytes, fields, present)?.map_or(Framing::None, Framing::Length))
}

/// The one `Content-Length`, if there is one.
pub(crate) fn content_length(bytes: &[u8], fields: &[Field], present: u64) -> Result<Option<u64>, Fault> {
    if present & Known::ContentLength.bit() == 0 {
        return Ok(None);
    }
    let field = only(fields, Known::ContentLength, Fault::DuplicateContentLength)?;
    field.map(|field| number(field.value.of(bytes))).transpose()
}

fn only(fields: &[Field], known: Known, duplicate: Fault) -> Result<Option<&Field>, Fault> {
    let mut lines = fields.iter().filter(|field| field.known == known);
    let first = lines.next();
    if lines.next().is_some() { Err(duplicate) } else { Ok(first) }
}

/// `1*DIGIT`, at most 2^63 - 1: recipients that count in signed numbers must not see another length.
fn number(value: &[u8]) -> Result<u64, Fault> {
    let mut length = 0u64;
    for &digit in value {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return Err(Fault::BadContentLength);
        }
        let next = length.checked_mul(10).and_then(|length| length.checked_add(u64::from(digit)));
        length = next.ok_or(Fault::BadContentLength)?;
    }
    if value.is_empty() || length > i64::MAX as u64 { Err(Fault::BadContentLength) } else { Ok(length) }
}

/// Exactly `chunked`. A list of other codings that ends in it is understood but not supported (501); all
/// else, such as `gzip`, `chunked, gzip`, `chunked, chunked`, `chunked;x=1` or `xchunked`, leaves the
/// length unknown (400, RFC 9112 section 6.3).
fn chunked(value: &[u8]) -> Result<(), Fault> {
    if value.eq_ignore_ascii_case(b"chunked") {
        return Ok(());
    }
    let mut codings = value.rsplit(|&c| c == b',').map(class::trim);
    let last = codings.next().unwrap_or_default();
    let others = codings.all(|coding| {
        let name = class::trim(coding.split(|&c| c == b';').next().unwrap_or_default());
        class::is_token(name) && !name.eq_ignore_ascii_case(b"chunked")
    });
    if last.eq_ignore_ascii_case(b"chunked") && others {
        Err(Fault::UnknownCoding)
    } else {
        Err(Fault::BadTransferEncoding)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_digits_up_to_the_signed_limit_are_a_length() {
        assert_eq!(number(b"0"), Ok(0));
        assert_eq!(number(b"0042"), Ok(42));
        assert_eq!(number(b"9223372036854775807"), Ok(i64::MAX as u64));
        for bad in [
            &b""[..],
            b"+5",
            b"-5",
            b"5,5",
            b"5, 5",
            b"5 5",
            b"0x5",
            b"5.0",
            b"1e3",
            b"9223372036854775808",
            b"18446744073709551616",
            b"99999999999999999999999",
            b"\xd9\xa5",
        ] {
            assert_eq!(number(bad), Err(Fault::BadContentLength), "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn chunked_is_the_only_coding() {
        assert_eq!(chunked(b"chunked"), Ok(()));
        assert_eq!(chunked(b"Chunked"), Ok(()));
        for unknown in [&b"gzip, chunked"[..], b"gzip;q=1 , deflate,\tCHUNKED", b"identity, chunked"] {
            assert_eq!(chunked(unknown), Err(Fault::UnknownCoding), "{}", unknown.escape_ascii());
        }
        for bad in [
            &b""[..],
            b",",
            b"gzip",
            b"identity",
            b"chunked, gzip",
            b"chunked, chunked",
            b"chunked;q=1, chunked",
            b"chunked;q=1",
            b", chunked",
            b"chunked,",
            b"xchunked",
            b"chunke",
            b"\"chunked\"",
            b"chunked chunked",
            b"\x0bchunked",
            b"g zip, chunked",
        ] {
            assert_eq!(chunked(bad), Err(Fault::BadTransferEncoding), "{}", bad.escape_ascii());
        }
    }
}
