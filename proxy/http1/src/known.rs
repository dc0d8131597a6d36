//! The field names that the proxy itself looks at, recognised without allocating.
//!
//! Length and the first and last four letters pick one candidate from a table that is built, and proven free of
//! collisions, at compile time; one comparison then decides. A `match` over spelled-out lengths was
//! rejected: it compares with up to four candidates and must be edited in two places.

/// A field name that something in the proxy asks for; every other is [`Known::Other`].
///
/// At most 64: heads keep a bit for each that is present.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum Known {
    #[default]
    Other = 0,
    Host,
    ContentLength,
    TransferEncoding,
    Connection,
    KeepAlive,
    ProxyConnection,
    Te,
    Trailer,
    Upgrade,
    Expect,
    Via,
    XForwardedFor,
    XForwardedProto,
    XForwardedHost,
    Forwarded,
    Cookie,
    SetCookie,
    Date,
    Server,
    RetryAfter,
    ProxyAuthorization,
    ProxyAuthenticate,
    TraceParent,
    TraceState,
    GrpcTimeout,
    GrpcStatus,
    ContentType,
    XRequestTimeout,
    XCausewayAttempt,
    ProxyStatus,
    Http2Settings,
    GrpcMessage,
    GrpcRetryPushback,
    Authorization,
    CacheControl,
    ContentEncoding,
    ContentRange,
    Location,
    MaxForwards,
    Origin,
    UserAgent,
    XForwardedPort,
    XForwardedClientCert,
    XRealIp,
    XRequestId,
}

const NAMES: [(Known, &str); 45] = [
    (Known::Host, "host"),
    (Known::ContentLength, "content-length"),
    (Known::TransferEncoding, "transfer-encoding"),
    (Known::Connection, "connection"),
    (Known::KeepAlive, "keep-alive"),
    (Known::ProxyConnection, "proxy-connection"),
    (Known::Te, "te"),
    (Known::Trailer, "trailer"),
    (Known::Upgrade, "upgrade"),
    (Known::Expect, "expect"),
    (Known::Via, "via"),
    (Known::XForwardedFor, "x-forwarded-for"),
    (Known::XForwardedProto, "x-forwarded-proto"),
    (Known::XForwardedHost, "x-forwarded-host"),
    (Known::Forwarded, "forwarded"),
    (Known::Cookie, "cookie"),
    (Known::SetCookie, "set-cookie"),
    (Known::Date, "date"),
    (Known::Server, "server"),
    (Known::RetryAfter, "retry-after"),
    (Known::ProxyAuthorization, "proxy-authorization"),
    (Known::ProxyAuthenticate, "proxy-authenticate"),
    (Known::TraceParent, "traceparent"),
    (Known::TraceState, "tracestate"),
    (Known::GrpcTimeout, "grpc-timeout"),
    (Known::GrpcStatus, "grpc-status"),
    (Known::ContentType, "content-type"),
    (Known::XRequestTimeout, "x-request-timeout"),
    (Known::XCausewayAttempt, "x-causeway-attempt"),
    (Known::ProxyStatus, "proxy-status"),
    (Known::Http2Settings, "http2-settings"),
    (Known::GrpcMessage, "grpc-message"),
    (Known::GrpcRetryPushback, "grpc-retry-pushback-ms"),
    (Known::Authorization, "authorization"),
    (Known::CacheControl, "cache-control"),
    (Known::ContentEncoding, "content-encoding"),
    (Known::ContentRange, "content-range"),
    (Known::Location, "location"),
    (Known::MaxForwards, "max-forwards"),
    (Known::Origin, "origin"),
    (Known::UserAgent, "user-agent"),
    (Known::XForwardedPort, "x-forwarded-port"),
    (Known::XForwardedClientCert, "x-forwarded-client-cert"),
    (Known::XRealIp, "x-real-ip"),
    (Known::XRequestId, "x-request-id"),
];

const SLOTS: usize = 256;

/// Found by trial: spreads all names over different slots.
const FACTOR: u32 = 0x4da1_7289;

/// Where a name of at least four octets stands, in lower case or not. `| 0x20` lowers letters and leaves
/// digits and `-` alone.
#[inline]
const fn slot(name: &[u8]) -> Option<usize> {
    let (Some(first), Some(last)) = (name.first_chunk::<4>(), name.last_chunk::<4>()) else { return None };
    let (first, last) = (u32::from_le_bytes(*first) | 0x2020_2020, u32::from_le_bytes(*last) | 0x2020_2020);
    let mixed = (first ^ last.rotate_left(7)).wrapping_add(name.len() as u32).wrapping_mul(FACTOR);
    Some((mixed >> 24) as usize)
}

static TABLE: [u8; SLOTS] = table();

const fn table() -> [u8; SLOTS] {
    let mut table = [0; SLOTS];
    let mut i = 0;
    while i < NAMES.len() {
        assert!(NAMES[i].0 as usize == i + 1, "NAMES must stand in the order of the enum");
        if let Some(at) = slot(NAMES[i].1.as_bytes()) {
            assert!(table[at] == 0, "two names in one slot: choose another FACTOR");
            table[at] = NAMES[i].0 as u8;
        }
        i += 1;
    }
    table
}

impl Known {
    /// Connection options of one message that are acted on; with more it is refused, because each is
    /// compared with each field. Real messages have one or two.
    pub const MAX_CONNECTION_OPTIONS: usize = 32;

    /// Which name this is. Case does not matter.
    #[inline]
    pub fn of(name: &[u8]) -> Known {
        let index = match slot(name) {
            Some(slot) => TABLE[slot] as usize,
            None if name.eq_ignore_ascii_case(b"te") => return Known::Te,
            None if name.eq_ignore_ascii_case(b"via") => return Known::Via,
            None => return Known::Other,
        };
        let Some(&(known, lower)) = NAMES.get(index.wrapping_sub(1)) else { return Known::Other };
        if same_name(name, lower.as_bytes()) { known } else { Known::Other }
    }

    /// The name in lower case; empty for [`Known::Other`].
    pub fn name(self) -> &'static str {
        match NAMES.get((self as usize).wrapping_sub(1)) {
            Some((_, name)) => name,
            None => "",
        }
    }

    #[inline]
    pub(crate) fn bit(self) -> u64 {
        1 << self as u8
    }
}

/// Whether two field names are the same but for case, eight octets at a time; `lower` is in lower case.
/// Exact for any octets in `name`, as long as `lower` consists of four or more letters, digits and `-`.
#[inline]
fn same_name(name: &[u8], lower: &[u8]) -> bool {
    if name.len() != lower.len() {
        return false;
    }
    // The last words overlap those before where the length is no multiple of theirs.
    if let (Some(&name_end), Some(&lower_end)) = (name.last_chunk(), lower.last_chunk()) {
        let (words, lower_words) = (name.as_chunks().0, lower.as_chunks().0);
        let word = |(&a, &b)| same_word(u64::from_le_bytes(a), u64::from_le_bytes(b));
        return word((&name_end, &lower_end)) && words.iter().zip(lower_words).all(word);
    }
    if let (Some(&name_end), Some(&lower_end)) = (name.last_chunk(), lower.last_chunk())
        && let (Some(&name_start), Some(&lower_start)) = (name.first_chunk(), lower.first_chunk())
    {
        let word = |low, high| u64::from(u32::from_le_bytes(low)) | u64::from(u32::from_le_bytes(high)) << 32;
        return same_word(word(name_start, name_end), word(lower_start, lower_end));
    }
    false
}

/// Equal but for bit 5, and that bit may differ in letters only: in a digit or `-` without it, neither bit
/// 5 nor bit 6 would be set.
#[inline]
fn same_word(name: u64, lower: u64) -> bool {
    const BIT_5: u64 = u64::MAX / 255 * 0x20;
    const BIT_6: u64 = u64::MAX / 255 * 0x40;
    name | BIT_5 == lower && (name | name << 1) & BIT_6 == BIT_6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_recognised_in_any_case_and_nothing_near_it() {
        for (known, lower) in NAMES {
            let mixed: String = lower
                .chars()
                .enumerate()
                .map(|(i, c)| if i % 2 == 0 { c.to_ascii_uppercase() } else { c })
                .collect();
            assert_eq!(Known::of(lower.as_bytes()), known);
            assert_eq!(Known::of(lower.to_uppercase().as_bytes()), known);
            assert_eq!(Known::of(mixed.as_bytes()), known);
            assert_eq!(known.name(), lower);
            for i in 0..lower.len() {
                for flip in 0..8 {
                    let mut near = lower.as_bytes().to_vec();
                    near[i] ^= 1 << flip;
                    let expected =
                        if near.eq_ignore_ascii_case(lower.as_bytes()) { known } else { Known::Other };
                    // Two known names may be one bit apart; none is at present.
                    assert_eq!(Known::of(&near), expected, "{}", near.escape_ascii());
                }
            }
            assert_eq!(Known::of(&lower.as_bytes()[1..]), Known::Other);
        }
        assert_eq!(Known::of(b""), Known::Other);
        assert!(!same_name(b"content-content-length", b"content-length"));
        assert_eq!(Known::of(b"x-user-id"), Known::Other);
    }
}
