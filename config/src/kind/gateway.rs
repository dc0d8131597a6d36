//! `Gateway` (gateway.networking.k8s.io/v1): where clients come in.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Serialize, Serializer};

/// A set of listeners on a set of addresses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Gateway {
    /// `metadata.name`.
    pub name: String,
    /// Every listener is opened on each. Default `0.0.0.0`; never empty.
    pub addresses: Vec<IpAddr>,
    /// In the order written; never empty, names unique.
    pub listeners: Vec<Listener>,
}

/// One listener. Several may share a port if they differ in hostname.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Listener {
    /// What a route's `sectionName` and a policy's refer to.
    pub name: String,
    /// Never 0.
    pub port: u16,
    /// What is spoken there.
    pub protocol: ListenerProtocol,
    /// Only requests for this host. `None`: every host.
    pub hostname: Option<HostPattern>,
    /// Set exactly when `protocol` is [`ListenerProtocol::Https`].
    pub tls: Option<ListenerTls>,
}

/// What a listener speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ListenerProtocol {
    /// HTTP/1.1, and HTTP/2 with prior knowledge.
    Http,
    /// The same under TLS, by ALPN.
    Https,
}

/// The certificate of a listener. The files are read by the proxy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenerTls {
    /// PEM chain, from the option `mesh.macleodlabs.io/cert-file`.
    #[serde(serialize_with = "crate::serialize::path")]
    pub cert_file: PathBuf,
    /// PEM key, from the option `mesh.macleodlabs.io/key-file`.
    #[serde(serialize_with = "crate::serialize::path")]
    pub key_file: PathBuf,
}

/// A host name or `*.suffix`, in lower case (Gateway API `Hostname`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HostPattern {
    /// Exactly this name.
    Exact(String),
    /// `*.example.com`, held as `example.com`: one or more labels before it, not the name itself.
    Suffix(String),
}

impl HostPattern {
    /// Whether some host belongs to both patterns (Gateway API: intersection of listener and route).
    pub fn intersects(&self, other: &HostPattern) -> bool {
        match (self, other) {
            (HostPattern::Exact(a), HostPattern::Exact(b)) => a == b,
            (HostPattern::Exact(name), HostPattern::Suffix(suffix))
            | (HostPattern::Suffix(suffix), HostPattern::Exact(name)) => is_below(name, suffix),
            (HostPattern::Suffix(a), HostPattern::Suffix(b)) => a == b || is_below(a, b) || is_below(b, a),
        }
    }

    /// Whether `host` (lower case, without port) belongs to this pattern.
    pub fn matches(&self, host: &str) -> bool {
        match self {
            HostPattern::Exact(name) => name == host,
            HostPattern::Suffix(suffix) => is_below(host, suffix),
        }
    }
}

fn is_below(name: &str, suffix: &str) -> bool {
    name.strip_suffix(suffix).is_some_and(|head| head.len() > 1 && head.ends_with('.'))
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HostPattern::Exact(name) => f.write_str(name),
            HostPattern::Suffix(suffix) => write!(f, "*.{suffix}"),
        }
    }
}

impl Serialize for HostPattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
