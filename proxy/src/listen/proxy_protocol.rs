//! The PROXY protocol, versions 1 and 2, as HAProxy defines it (`proxy-protocol.txt`, 2.2): what stands before
//! everything else on a connection and says whose it is. No IO here, so that it can be tested and fuzzed alone.
//!
//! The reading is strict, since whoever gets a wrong header through is believed: no leading zeros, single spaces,
//! nothing behind the ports; unknown versions, commands and families are refused. Of version 2 a checksum
//! (`PP2_TYPE_CRC32C`) is verified where there is one; the other extensions are checked for their lengths and
//! passed over.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use smallvec::SmallVec;

/// Longest header of version 1, its end included (section 2.1).
pub const MAX_V1: usize = 107;

/// Longest header of version 2 that is taken, although its length could say four times as much: what senders put
/// into it, a client's certificate included, stays far below, and nobody shall make us hold more than that.
pub const MAX_V2: usize = 16 * 1024;

/// `PROXY UNKNOWN`, CR and LF.
const SHORTEST: usize = 15;

const V1_START: &[u8] = b"PROXY ";
const V2_SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family, length.
const V2_FIXED: usize = 16;

const TYPE_CRC32C: u8 = 0x03;

/// Whom a connection is for: the two ends that the client's side of the sender had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Addresses {
    /// The client's.
    pub source: SocketAddr,
    /// What the client connected to.
    pub destination: SocketAddr,
}

/// A whole header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// `None`: the connection is the sender's own (LOCAL), or of a kind that has no TCP addresses (UNKNOWN, UNSPEC,
    /// UDP, a Unix socket). What the connection itself says holds then (section 2).
    pub addresses: Option<Addresses>,
    /// Its bytes. What follows them is the client's.
    pub length: usize,
}

/// How far a header is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// All bytes so far are the header's, which has at least this many.
    Incomplete {
        /// Above the number of bytes given.
        at_least: usize,
    },
    /// It is there.
    Complete(Header),
}

/// Why something is not a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It begins as neither version does.
    NoHeader,
    /// It is longer than it may be.
    TooLong,
    /// It breaks the format.
    Malformed(&'static str),
    /// Its checksum is another.
    Checksum,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::NoHeader => f.write_str("no PROXY protocol header"),
            Refusal::TooLong => f.write_str("too long"),
            Refusal::Malformed(what) => f.write_str(what),
            Refusal::Checksum => f.write_str("wrong checksum"),
        }
    }
}

/// Reads the header at the beginning of `bytes`.
///
/// # Errors
/// What is there cannot become a header whatever follows.
pub fn parse(bytes: &[u8]) -> Result<Progress, Refusal> {
    if bytes.is_empty() {
        return Ok(Progress::Incomplete { at_least: SHORTEST });
    }
    if begins(bytes, V2_SIGNATURE) {
        return v2(bytes);
    }
    if begins(bytes, V1_START) {
        return v1(bytes);
    }
    Err(Refusal::NoHeader)
}

/// Whether `bytes` begin with `start`, or are a beginning of it.
fn begins(bytes: &[u8], start: &[u8]) -> bool {
    let n = bytes.len().min(start.len());
    bytes[..n] == start[..n]
}

fn v1(bytes: &[u8]) -> Result<Progress, Refusal> {
    let seen = &bytes[..bytes.len().min(MAX_V1)];
    let Some(end) = seen.iter().position(|&b| b == b'\r' || b == b'\n') else {
        if seen.len() == MAX_V1 {
            return Err(Refusal::TooLong);
        }
        // At least the two that end it.
        let at_least = (seen.len() + 2).clamp(SHORTEST, MAX_V1);
        return Ok(Progress::Incomplete { at_least });
    };
    match (seen[end], seen.get(end + 1)) {
        (b'\r', Some(b'\n')) => {}
        (b'\r', None) if end + 1 < MAX_V1 => return Ok(Progress::Incomplete { at_least: end + 2 }),
        (b'\r', None) => return Err(Refusal::TooLong),
        _ => return Err(Refusal::Malformed("a line ends in CR LF")),
    }
    let line = seen[..end].strip_prefix(V1_START).ok_or(Refusal::NoHeader)?;
    Ok(Progress::Complete(Header { addresses: v1_addresses(line)?, length: end + 2 }))
}

fn v1_addresses(line: &[u8]) -> Result<Option<Addresses>, Refusal> {
    let line = std::str::from_utf8(line).map_err(|_| Refusal::Malformed("not ASCII"))?;
    // What stands behind UNKNOWN is to be ignored (section 2.1).
    if line == "UNKNOWN" || line.starts_with("UNKNOWN ") {
        return Ok(None);
    }
    let parts: SmallVec<[&str; 6]> = line.split(' ').take(6).collect();
    let [family, source, destination, source_port, destination_port] = parts[..] else {
        return Err(Refusal::Malformed("a family, two addresses and two ports"));
    };
    let (source, destination) = match family {
        "TCP4" => (ip::<Ipv4Addr>(source)?.into(), ip::<Ipv4Addr>(destination)?.into()),
        "TCP6" => (ip::<Ipv6Addr>(source)?.into(), ip::<Ipv6Addr>(destination)?.into()),
        _ => return Err(Refusal::Malformed("the family is TCP4, TCP6 or UNKNOWN")),
    };
    Ok(Some(Addresses {
        source: SocketAddr::new(source, port(source_port)?),
        destination: SocketAddr::new(destination, port(destination_port)?),
    }))
}

/// The standard library's parsers take neither leading zeros nor a zone.
fn ip<T: FromStr>(text: &str) -> Result<T, Refusal> {
    text.parse().map_err(|_| Refusal::Malformed("not an address of the family"))
}

fn port(text: &str) -> Result<u16, Refusal> {
    let canonical = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| canonical).ok_or(Refusal::Malformed("not a port"))
}

fn v2(bytes: &[u8]) -> Result<Progress, Refusal> {
    let Some(&[.., command, family, high, low]) = bytes.first_chunk::<V2_FIXED>() else {
        // What can be known to be wrong is not waited for.
        if bytes.get(12).is_some_and(|command| command >> 4 != 2) {
            return Err(Refusal::Malformed("the version is 2"));
        }
        return Ok(Progress::Incomplete { at_least: V2_FIXED });
    };
    if command >> 4 != 2 {
        return Err(Refusal::Malformed("the version is 2"));
    }
    let length = V2_FIXED + usize::from(u16::from_be_bytes([high, low]));
    let proxied = match command & 0xf {
        0 => false,
        1 => true,
        _ => return Err(Refusal::Malformed("the command is LOCAL or PROXY")),
    };
    // 0 unspecified, 1 IPv4, 2 IPv6, 3 Unix; 0 unspecified, 1 stream, 2 datagram.
    if family >> 4 > 3 || family & 0xf > 2 {
        return Err(Refusal::Malformed("an unassigned family or transport"));
    }
    if length > MAX_V2 {
        return Err(Refusal::TooLong);
    }
    let Some(header) = bytes.get(..length) else { return Ok(Progress::Incomplete { at_least: length }) };
    // Behind LOCAL and an unspecified family anything may stand, and is skipped.
    let addresses = if proxied && family >> 4 != 0 { v2_addresses(header, family)? } else { None };
    Ok(Progress::Complete(Header { addresses, length }))
}

fn v2_addresses(header: &[u8], family: u8) -> Result<Option<Addresses>, Refusal> {
    let body = &header[V2_FIXED..];
    let short = Refusal::Malformed("too short for its addresses");
    let (addresses, taken) = match family >> 4 {
        1 => {
            let block: &[u8; 12] = body.first_chunk().ok_or(short)?;
            let [a, b, c, d, e, f, g, h, ports @ ..] = *block;
            (addresses(Ipv4Addr::new(a, b, c, d), Ipv4Addr::new(e, f, g, h), ports), 12)
        }
        2 => {
            let block: &[u8; 36] = body.first_chunk().ok_or(short)?;
            let (ips, ports) = block.as_chunks::<16>();
            let ports: [u8; 4] = ports.try_into().map_err(|_| short)?;
            (addresses(Ipv6Addr::from(ips[0]), Ipv6Addr::from(ips[1]), ports), 36)
        }
        _ => {
            // A Unix socket's: two names of 108 bytes.
            (None, if body.len() < 216 { return Err(short) } else { 216 })
        }
    };
    extensions(header, V2_FIXED + taken)?;
    Ok(addresses.filter(|_| family & 0xf == 1))
}

fn addresses(source: impl Into<IpAddr>, destination: impl Into<IpAddr>, ports: [u8; 4]) -> Option<Addresses> {
    let [a, b, c, d] = ports;
    Some(Addresses {
        source: SocketAddr::new(source.into(), u16::from_be_bytes([a, b])),
        destination: SocketAddr::new(destination.into(), u16::from_be_bytes([c, d])),
    })
}

/// Walks over the extensions (TLV, section 2.2), which begin at `at`, and verifies the checksum if there is one.
fn extensions(header: &[u8], mut at: usize) -> Result<(), Refusal> {
    let cut = Refusal::Malformed("an extension is cut");
    let mut summed = false;
    while at < header.len() {
        let &[kind, high, low] = header[at..].first_chunk().ok_or(cut)?;
        let value = at + 3;
        at = value + usize::from(u16::from_be_bytes([high, low]));
        let found = header.get(value..at).ok_or(cut)?;
        if kind == TYPE_CRC32C {
            let sum: [u8; 4] = found.try_into().map_err(|_| Refusal::Malformed("a checksum has 4 bytes"))?;
            if std::mem::replace(&mut summed, true) {
                return Err(Refusal::Malformed("two checksums"));
            }
            // Computed with zeros in its own place.
            let own = crc32c(crc32c(crc32c(!0, &header[..value]), &[0; 4]), &header[at..]);
            if !own != u32::from_be_bytes(sum) {
                return Err(Refusal::Checksum);
            }
        }
    }
    Ok(())
}

/// CRC-32C (RFC 4960 appendix B), to be begun with and ended by an inversion.
fn crc32c(start: u32, bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut i = 0;
        while i < 256 {
            let mut entry = i as u32;
            let mut bit = 0;
            while bit < 8 {
                entry = if entry & 1 == 1 { entry >> 1 ^ 0x82F6_3B78 } else { entry >> 1 };
                bit += 1;
            }
            table[i] = entry;
            i += 1;
        }
        table
    };
    bytes.iter().fold(start, |crc, byte| TABLE[usize::from(crc as u8 ^ byte)] ^ crc >> 8)
}

/// The version to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// One line of text.
    V1,
    /// Binary.
    V2,
}

/// A header to be sent; none is longer than [`MAX_V1`].
pub type Written = SmallVec<[u8; 128]>;

/// Writes a header. `None`: the connection is our own, as an active check's is.
pub fn write(version: Version, addresses: Option<&Addresses>) -> Written {
    let addresses = addresses.map(same_family);
    match version {
        Version::V1 => write_v1(addresses),
        Version::V2 => write_v2(addresses),
    }
}

/// Both ends as IPv4 if both are, in disguise or not, and as IPv6 otherwise: a header has one family.
fn same_family(addresses: &Addresses) -> Addresses {
    let canonical = |addr: SocketAddr| SocketAddr::new(addr.ip().to_canonical(), addr.port());
    let (source, destination) = (canonical(addresses.source), canonical(addresses.destination));
    if source.is_ipv4() == destination.is_ipv4() {
        return Addresses { source, destination };
    }
    let mapped = |addr: SocketAddr| match addr.ip() {
        IpAddr::V4(ip) => SocketAddr::new(ip.to_ipv6_mapped().into(), addr.port()),
        IpAddr::V6(_) => addr,
    };
    Addresses { source: mapped(source), destination: mapped(destination) }
}

fn write_v1(addresses: Option<Addresses>) -> Written {
    let Some(Addresses { source, destination }) = addresses else {
        return SmallVec::from_slice(b"PROXY UNKNOWN\r\n");
    };
    let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
    let (from, to) = (source.ip(), destination.ip());
    let line = format!("PROXY {family} {from} {to} {} {}\r\n", source.port(), destination.port());
    SmallVec::from_slice(line.as_bytes())
}

fn write_v2(addresses: Option<Addresses>) -> Written {
    let mut out: Written = SmallVec::from_slice(V2_SIGNATURE);
    let Some(Addresses { source, destination }) = addresses else {
        out.extend_from_slice(&[0x20, 0, 0, 0]);
        return out;
    };
    match (source.ip(), destination.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            out.extend_from_slice(&[0x21, 0x11, 0, 12]);
            out.extend_from_slice(&from.octets());
            out.extend_from_slice(&to.octets());
        }
        (from, to) => {
            let octets = |ip: IpAddr| match ip {
                IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
                IpAddr::V6(ip) => ip.octets(),
            };
            out.extend_from_slice(&[0x21, 0x21, 0, 36]);
            out.extend_from_slice(&octets(from));
            out.extend_from_slice(&octets(to));
        }
    }
    out.extend_from_slice(&source.port().to_be_bytes());
    out.extend_from_slice(&destination.port().to_be_bytes());
    out
}

#[cfg(test)]
#[path = "proxy_protocol_tests.rs"]
mod tests;
