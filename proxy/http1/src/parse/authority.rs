//! `uri-host [":" port]` (RFC 9110 section 7.2, RFC 3986 section 3.2).
//!
//! Narrower than the grammar in one point: no percent-encoding in the host. No DNS name or address needs
//! it, and `%2e` against `.` is a way for two hops to see two hosts.

use std::net::Ipv6Addr;

use crate::class::{self, REG_NAME};
use crate::error::RequestError;

/// Checks an authority and gives its port.
///
/// # Errors
/// [`RequestError::Host`]: empty host, user information, a port that is no number up to 65535, an IPv6
/// literal that is none, or any octet that a host does not have. An empty port (`host:`) is valid.
pub(crate) fn check(authority: &[u8]) -> Result<Option<u16>, RequestError> {
    let end = match authority {
        [b'[', rest @ ..] => {
            let inner = rest.split(|&c| c == b']').next().unwrap_or_default();
            let text = std::str::from_utf8(inner).map_err(|_| RequestError::Host)?;
            text.parse::<Ipv6Addr>().map_err(|_| RequestError::Host)?;
            // Past the end where the bracket is not closed.
            inner.len() + 2
        }
        _ => class::end_of(REG_NAME, authority, 0),
    };
    match authority.get(end..) {
        _ if end == 0 => Err(RequestError::Host),
        Some([]) => Ok(None),
        Some([b':', digits @ ..]) => port(digits),
        _ => Err(RequestError::Host),
    }
}

fn port(digits: &[u8]) -> Result<Option<u16>, RequestError> {
    if digits.is_empty() {
        return Ok(None);
    }
    let mut port = 0u16;
    for &digit in digits {
        let value = digit.wrapping_sub(b'0');
        if value > 9 {
            return Err(RequestError::Host);
        }
        let next = port.checked_mul(10).and_then(|port| port.checked_add(u16::from(value)));
        port = next.ok_or(RequestError::Host)?;
    }
    Ok(Some(port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_addresses_and_ports_are_taken() {
        for (authority, port) in [
            (&b"example.com"[..], None),
            (b"EXAMPLE.com:80", Some(80)),
            (b"a_b-c.d~e:65535", Some(65535)),
            (b"127.0.0.1:0", Some(0)),
            (b"[::1]", None),
            (b"[2001:db8::1]:8443", Some(8443)),
            (b"[::ffff:1.2.3.4]", None),
            (b"host:", None),
            (b"host:00080", Some(80)),
        ] {
            assert_eq!(check(authority), Ok(port), "{}", authority.escape_ascii());
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for authority in [
            &b""[..],
            b":80",
            b"user@host",
            b"user:pw@host",
            b"a b",
            b"host ",
            b"host:65536",
            b"host:+80",
            b"host:80a",
            b"host:80:80",
            b"host:-1",
            b"host/path",
            b"host?x",
            b"a%2eb",
            b"[::1",
            b"[]",
            b"[::1]80",
            b"[::1%25eth0]",
            b"[v1.x]",
            b"[1.2.3.4]",
            b"::1",
            b"h\xc3\xb6st",
            b"host\0",
            b"a\\b",
            b"a,b@c",
        ] {
            assert_eq!(check(authority), Err(RequestError::Host), "{}", authority.escape_ascii());
        }
    }
}
