//! `Cluster`: how to reach the endpoints of one cluster.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Serialize, Serializer};

/// How to reach one cluster.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cluster {
    /// `metadata.name`.
    pub name: String,
    /// `locality.region`.
    pub region: Option<String>,
    /// `locality.zone`.
    pub zone: Option<String>,
    /// In the order written; never empty, addresses unique, at least one weight above 0.
    pub endpoints: Vec<Endpoint>,
    /// Default: [`Protocol::Http1`].
    pub protocol: Protocol,
    /// `None` (default): cleartext.
    pub tls: Option<UpstreamTls>,
    /// `None` (default): no active check.
    pub health_check: Option<HealthCheck>,
    /// Requests per second that the whole cluster can carry. `None` (default): not known.
    pub capacity: Option<f64>,
    /// To establish a connection, TLS included. Default 1 s.
    #[serde(serialize_with = "crate::serialize::duration")]
    pub connect_timeout: Duration,
    /// An unused connection is closed after this. Default 60 s.
    #[serde(serialize_with = "crate::serialize::duration")]
    pub idle_timeout: Duration,
}

/// One endpoint of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    /// Where it listens.
    pub address: EndpointAddr,
    /// Share of the cluster's users relative to the other endpoints; 0 takes none. Default 1, at most 1,000,000.
    pub weight: u32,
    /// The release it runs, for delivery.
    pub version: Option<String>,
}

/// Host and port of an endpoint; shown as `10.0.0.1:80`, `[::1]:80` or `name:80`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EndpointAddr {
    /// Address or name.
    pub host: Host,
    /// Never 0.
    pub port: u16,
}

/// The host of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Host {
    /// An address, never the unspecified one.
    Ip(IpAddr),
    /// A DNS name in lower case (RFC 1123), to be resolved by the proxy.
    Name(String),
}

impl fmt::Display for EndpointAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Ip(ip) => SocketAddr::new(*ip, self.port).fmt(f),
            Host::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

impl Serialize for EndpointAddr {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What is spoken to an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2; without TLS by prior knowledge (RFC 9113 section 3.3).
    Http2,
    /// What ALPN agrees on (RFC 7301); HTTP/1.1 without TLS.
    Auto,
}

/// TLS towards the endpoints. Verification cannot be switched off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UpstreamTls {
    /// PEM with the roots to trust. `None`: the public ones.
    #[serde(serialize_with = "crate::serialize::optional_path")]
    pub ca_file: Option<PathBuf>,
    /// PEM with our own certificate chain, for mTLS. Set exactly when `key_file` is.
    #[serde(serialize_with = "crate::serialize::optional_path")]
    pub cert_file: Option<PathBuf>,
    /// PEM with our own key, for mTLS.
    #[serde(serialize_with = "crate::serialize::optional_path")]
    pub key_file: Option<PathBuf>,
    /// Name for SNI and verification. `None`: the endpoint's own.
    pub server_name: Option<String>,
    /// One of these must be in the endpoint's certificate (URI or DNS name). Empty: `server_name` decides.
    pub subject_alt_names: Vec<String>,
}

/// Active health check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HealthCheck {
    /// What is asked.
    pub probe: Probe,
    /// Between two checks of one endpoint. Default 1 s.
    #[serde(serialize_with = "crate::serialize::duration")]
    pub interval: Duration,
    /// For one check. Default 500 ms.
    #[serde(serialize_with = "crate::serialize::duration")]
    pub timeout: Duration,
    /// Failed checks in a row that take an endpoint out. Default 2.
    pub unhealthy_threshold: u32,
    /// Passed checks in a row that bring it back. Default 1.
    pub healthy_threshold: u32,
}

/// What an active check asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Probe {
    /// `GET path` answers one of the expected statuses.
    Http {
        /// Begins with `/`. Default `/`.
        path: String,
        /// The Host header. `None`: the endpoint's address.
        host: Option<String>,
        /// Default 200 to 299; never empty.
        expected: Vec<StatusRange>,
    },
    /// A connection is accepted.
    Tcp,
}

/// HTTP statuses `from..=to`, within 100 to 599.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusRange {
    /// The first one.
    pub from: u16,
    /// The last one, not below `from`.
    pub to: u16,
}

impl StatusRange {
    /// Whether `status` is one of them.
    pub fn contains(&self, status: u16) -> bool {
        (self.from..=self.to).contains(&status)
    }
}
