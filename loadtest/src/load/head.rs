//! The head of an HTTP/1.1 message, as far as generator and origin need it: where it ends, and what comes after.
//!
//! Lines are found by [`skip_until`](BufRead::skip_until), because it searches with the C library's `memchr`: a scan
//! byte by byte would cost more than all the rest that a request needs outside of the kernel.

use std::io::BufRead;

/// More than any head of the peers; beyond this, there is no head.
pub const MAX: usize = 32 * 1024;

/// A whole head.
#[derive(Debug, PartialEq, Eq)]
pub struct Head<'a> {
    /// The request line or status line, without its end.
    pub first: &'a [u8],
    /// How many bytes it all has, with the empty line.
    pub len: usize,
    /// `Content-Length`.
    pub length: Option<u64>,
    /// `Transfer-Encoding` ends in chunked.
    pub chunked: bool,
    /// `Connection` has `close`.
    pub close: bool,
    /// `Retry-After` in seconds; 0: there is none.
    pub retry_after: u64,
}

/// Reads a head. `None`: it is not whole yet.
///
/// # Errors
/// A length that is no number, or a head of more than [`MAX`] bytes.
pub fn read(bytes: &[u8]) -> Result<Option<Head<'_>>, &'static str> {
    let mut head = Head { first: &[], len: 0, length: None, chunked: false, close: false, retry_after: 0 };
    loop {
        let Some(line) = line(bytes.get(head.len..).unwrap_or_default()) else {
            return if bytes.len() > MAX { Err("a head of more than 32 KiB") } else { Ok(None) };
        };
        let first = head.len == 0;
        head.len += line.len();
        let text = line.trim_ascii_end();
        match text.first() {
            _ if first => head.first = text,
            None => return Ok(Some(head)),
            Some(b'c' | b'C') => {
                if let Some(value) = value(text, b"content-length:") {
                    let number = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
                    head.length = Some(number.ok_or("a Content-Length that is no number")?);
                } else if let Some(value) = value(text, b"connection:") {
                    let names = |name: &[u8]| name.trim_ascii().eq_ignore_ascii_case(b"close");
                    head.close |= value.split(|&byte| byte == b',').any(names);
                }
            }
            Some(b'r' | b'R') => {
                if let Some(value) = value(text, b"retry-after:") {
                    // A date, which no peer of ours sends, counts as none.
                    head.retry_after = std::str::from_utf8(value).map_or(0, |text| text.parse().unwrap_or(0));
                }
            }
            Some(b't' | b'T') => {
                if let Some(value) = value(text, b"transfer-encoding:") {
                    head.chunked = value.to_ascii_lowercase().ends_with(b"chunked");
                }
            }
            Some(_) => {}
        }
    }
}

/// The first line with its end, if it has one.
pub fn line(bytes: &[u8]) -> Option<&[u8]> {
    // Reading from a slice cannot fail.
    let len = (&mut &*bytes).skip_until(b'\n').unwrap_or(0);
    bytes.get(..len).filter(|line| line.last() == Some(&b'\n'))
}

fn value<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (before, after) = line.split_at_checked(name.len())?;
    before.eq_ignore_ascii_case(name).then(|| after.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_says_what_comes_after() {
        let bytes =
            b"GET / HTTP/1.1\r\ncontent-LENGTH: 12 \r\nCookie: close\r\nConnection: x, Close\r\nRetry-After: 3\r\n\r\nbody";
        let head = read(bytes).unwrap().unwrap();
        let expected = Head {
            first: b"GET / HTTP/1.1",
            len: bytes.len() - 4,
            length: Some(12),
            chunked: false,
            close: true,
            retry_after: 3,
        };
        assert_eq!(head, expected);
        let chunked = read(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, Chunked\r\n\r\n").unwrap().unwrap();
        assert!(chunked.chunked && chunked.length.is_none() && !chunked.close);
    }

    #[test]
    fn a_head_that_is_not_whole_is_waited_for_but_not_for_ever() {
        let bytes = b"GET / HTTP/1.1\r\nA: b\r\n\r\n";
        for len in 0..bytes.len() {
            assert_eq!(read(&bytes[..len]), Ok(None), "{len}");
        }
        assert!(read(&[b'a'; MAX + 1]).is_err());
        assert!(read(b"A\r\nContent-Length: -1\r\n\r\n").is_err());
    }
}
