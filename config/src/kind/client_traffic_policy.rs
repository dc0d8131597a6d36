//! `ClientTrafficPolicy`: what a client may do, and for how long.

use std::time::Duration;

use serde::Serialize;

/// Limits and timeouts towards clients.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientTrafficPolicy {
    /// `metadata.name`.
    pub name: String,
    /// What it applies to; never empty in a document, empty in the default.
    pub targets: Vec<PolicyTarget>,
    /// How long a client may take.
    pub timeouts: ClientTimeouts,
    /// How much a client may send or open.
    pub limits: ClientLimits,
    /// Proxies in front of us whose X-Forwarded-For entry is believed. Default 0.
    pub trusted_hops: u32,
    /// Whether every connection begins with a PROXY protocol header (v1 or v2). Default `false`.
    pub proxy_protocol: bool,
}

/// What a policy applies to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyTarget {
    /// The kind of `name`.
    pub kind: PolicyTargetKind,
    /// Its `metadata.name`.
    pub name: String,
    /// A listener of the Gateway or a named rule of the route. `None`: all of it.
    pub section: Option<String>,
}

/// What kind of resource a policy applies to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum PolicyTargetKind {
    /// `Gateway`.
    Gateway,
    /// `HTTPRoute`: only what can be known after the route is: bodies, upgrades, streams.
    #[serde(rename = "HTTPRoute")]
    HttpRoute,
}

/// `timeouts` of a [`ClientTrafficPolicy`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientTimeouts {
    /// From the first byte of a request head to its last. Default 10 s.
    #[serde(serialize_with = "crate::serialize::duration")]
    pub request_header: Duration,
    /// Between two pieces of a body, either way. Default 30 s.
    #[serde(serialize_with = "crate::serialize::duration")]
    pub body_idle: Duration,
    /// Between two pieces after an Upgrade. Default 1 h.
    #[serde(serialize_with = "crate::serialize::duration")]
    pub upgrade_idle: Duration,
    /// The whole life of a stream. `None` (default, or `0s`): no limit.
    #[serde(serialize_with = "crate::serialize::optional_duration")]
    pub stream_max: Option<Duration>,
    /// An idle connection is closed after this. Default 60 s.
    #[serde(serialize_with = "crate::serialize::duration")]
    pub keep_alive_idle: Duration,
    /// Default 10 s.
    #[serde(serialize_with = "crate::serialize::duration")]
    pub tls_handshake: Duration,
}

/// `limits` of a [`ClientTrafficPolicy`]. A 0 in the document is the type's maximum here, or `None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientLimits {
    /// A request head in bytes. Default 64 Ki.
    pub header_bytes: usize,
    /// Fields of a request head. Default 100.
    pub header_count: usize,
    /// A request body in bytes. `None` (default): no limit.
    pub body_bytes: Option<u64>,
    /// Open connections of a listener and process. Default 10,000.
    pub connections: u32,
    /// Concurrent streams of an HTTP/2 connection. Default 100.
    pub http2_streams: u32,
}

impl Default for ClientTimeouts {
    fn default() -> Self {
        ClientTimeouts {
            request_header: Duration::from_secs(10),
            body_idle: Duration::from_secs(30),
            upgrade_idle: Duration::from_secs(3600),
            stream_max: None,
            keep_alive_idle: Duration::from_secs(60),
            tls_handshake: Duration::from_secs(10),
        }
    }
}

impl Default for ClientLimits {
    fn default() -> Self {
        ClientLimits {
            header_bytes: 64 * 1024,
            header_count: 100,
            body_bytes: None,
            connections: 10_000,
            http2_streams: 100,
        }
    }
}

impl Default for ClientTrafficPolicy {
    fn default() -> Self {
        ClientTrafficPolicy {
            name: String::from("default"),
            targets: Vec::new(),
            timeouts: ClientTimeouts::default(),
            limits: ClientLimits::default(),
            trusted_hops: 0,
            proxy_protocol: false,
        }
    }
}
