//! Hostnames: what a listener and a route name, and what a request asks for.

/// The longest name that can match a hostname: RFC 1123 section 2.1 allows 255 octets at most.
pub(super) const MAX_HOST: usize = 255;

/// A `hostname` of a Gateway API listener or route, in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPattern {
    /// No hostname given: every host.
    Any,
    /// This one name.
    Exact(String),
    /// What follows the `*`, with its dot: `.example.com`. Stands for one or more labels, so neither
    /// `example.com` nor `xexample.com` matches.
    Wildcard(String),
}

impl HostPattern {
    /// Empty: any host. Only a whole first label can be a wildcard; any other text, however odd, is
    /// a name to be matched exactly.
    pub fn parse(hostname: &str) -> Self {
        let lower = hostname.to_ascii_lowercase();
        match lower.strip_prefix('*') {
            _ if lower.is_empty() => HostPattern::Any,
            Some(suffix) if suffix.starts_with('.') => HostPattern::Wildcard(suffix.to_owned()),
            _ => HostPattern::Exact(lower),
        }
    }

    /// Whether a request with this `Host` header or `:authority` is meant. The port and one trailing
    /// dot are ignored, as is ASCII case.
    pub fn matches(&self, host: &[u8]) -> bool {
        self.accepts(&LowerHost::new(host, &mut [0; MAX_HOST]))
    }

    #[inline]
    pub(super) fn accepts(&self, host: &LowerHost<'_>) -> bool {
        match self {
            HostPattern::Any => true,
            HostPattern::Exact(name) => host.0 == name.as_bytes(),
            HostPattern::Wildcard(suffix) => {
                host.0.len() > suffix.len() && host.0.ends_with(suffix.as_bytes())
            }
        }
    }

    /// Whether some host matches both.
    pub fn intersects(&self, other: &Self) -> bool {
        use HostPattern::{Any, Exact, Wildcard};
        match (self, other) {
            (Any, _) | (_, Any) => true,
            (Exact(a), Exact(b)) => a == b,
            (Wildcard(a), Wildcard(b)) => a.ends_with(b.as_str()) || b.ends_with(a.as_str()),
            (Wildcard(suffix), Exact(name)) | (Exact(name), Wildcard(suffix)) => {
                name.ends_with(suffix.as_str())
            }
        }
    }

    /// Orders patterns that match the same host: the greater is the more specific. For the choice
    /// among the listeners of a port, which comes before that of a route. (The characters alone
    /// suffice, as a wildcard's suffix is always shorter than the name that it matches.)
    pub fn specificity(&self) -> usize {
        match self {
            HostPattern::Any => 0,
            HostPattern::Wildcard(suffix) => suffix.len(),
            HostPattern::Exact(name) => name.len(),
        }
    }
}

/// Whether a route with these hostnames may attach to the listener; if not, the specification wants
/// the route's condition `Accepted` to be false with the reason `NoMatchingListenerHostname`.
pub fn attaches(listener_hostname: Option<&str>, route_hostnames: &[String]) -> bool {
    !attached(&HostPattern::parse(listener_hostname.unwrap_or_default()), route_hostnames).is_empty()
}

/// The hostnames of a route that count at the listener, not narrowed to it: a request is held
/// against the listener's by itself, and the route's own decide the precedence. (Narrowing would
/// lose that `*.com` is less specific than `*.example.com` at a listener for `*.example.com`; where
/// the narrowed names differ, the own ones give the same order.)
pub(super) fn attached(listener: &HostPattern, hostnames: &[String]) -> Vec<HostPattern> {
    if hostnames.is_empty() {
        return vec![HostPattern::Any];
    }
    hostnames.iter().map(|name| HostPattern::parse(name)).filter(|host| listener.intersects(host)).collect()
}

/// The host of a request, ready to be compared. An address in brackets is cut at its first colon,
/// which does no harm: hostnames are never addresses, so it can only match "any".
pub(super) struct LowerHost<'a>(&'a [u8]);

impl<'a> LowerHost<'a> {
    #[inline]
    pub(super) fn new(host: &[u8], buffer: &'a mut [u8; MAX_HOST]) -> Self {
        let mut len = 0;
        for &byte in host {
            if byte == b':' {
                break;
            }
            if len == MAX_HOST {
                return LowerHost(&[]);
            }
            buffer[len] = byte.to_ascii_lowercase();
            len += 1;
        }
        let name = &buffer[..len];
        LowerHost(name.strip_suffix(b".").unwrap_or(name))
    }

    #[inline]
    pub(super) fn as_bytes(&self) -> &'a [u8] {
        self.0
    }
}
