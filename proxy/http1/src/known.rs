//! The field names that the proxy itself looks at, recognised without allocating.
//!
//! Length, first and last letter pick one candidate from a table that is built, and proven free of
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

/// `name` must not be empty. `| 0x20` lowers letters and leaves digits and `-` alone.
#[inline]
const fn slot(name: &[u8]) -> usize {
    let (first, last) = ((name[0] | 0x20) as usize, (name[name.len() - 1] | 0x20) as usize);
    // The fourth octet from the end is what tells x-forwarded-host from x-forwarded-port.
    let fourth = if name.len() > 3 { (name[name.len() - 4] | 0x20) as usize } else { 0 };
    (name.len() * 24 + first * 38 + last * 23 + fourth * 11) % SLOTS
}

static TABLE: [u8; SLOTS] = table();

const fn table() -> [u8; SLOTS] {
    let mut table = [0; SLOTS];
    let mut i = 0;
    while i < NAMES.len() {
        let at = slot(NAMES[i].1.as_bytes());
        assert!(table[at] == 0, "two names in one slot: change the factors in slot()");
        assert!(NAMES[i].0 as usize == i + 1, "NAMES must stand in the order of the enum");
        table[at] = NAMES[i].0 as u8;
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
        if name.is_empty() {
            return Known::Other;
        }
        let index = TABLE[slot(name)] as usize;
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

/// Whether two field names are the same but for case; `lower` is in lower case already.
#[inline]
pub(crate) fn same_name(name: &[u8], lower: &[u8]) -> bool {
    name.len() == lower.len() && name.eq_ignore_ascii_case(lower)
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
        assert_eq!(Known::of(b"x-user-id"), Known::Other);
    }
}
