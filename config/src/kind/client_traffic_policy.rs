//! `ClientTrafficPolicy`: what a client may do, and for how long.

use std::time::Duration;

use serde::Serialize;

use crate::read::{At, Fields};
use crate::resolve::Reference;

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
    /// Proxies in front of us whose entry in `forwarding_header` is believed. Default 0.
    pub trusted_hops: u32,
    /// Where proxies say whom a request is from: read from trusted hops, written to upstreams. The other one is
    /// removed. Default: X-Forwarded-For.
    pub forwarding_header: ForwardingHeader,
    /// Whether every connection begins with a PROXY protocol header (v1 or v2). Default `false`.
    pub proxy_protocol: bool,
}

/// The header in which proxies tell each other about the client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ForwardingHeader {
    /// `X-Forwarded-For`, with `-Proto` and `-Host`.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

/// What a policy applies to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
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
    /// Open client connections of the process, over all listeners. Default 10,000.
    pub connections: u32,
    /// Open client connections of one address (of an IPv6 /64). Default: half of `connections`, so that no single
    /// client can take all places, and no office behind one address notices; no limit where proxies in front are
    /// trusted, since all clients come from their addresses.
    pub connections_per_address: u32,
    /// Concurrent streams of an HTTP/2 connection. Default 100.
    pub http2_streams: u32,
    /// Bytes a second of a body, either way, while it is the client that is waited for; on average over `bodyIdle`.
    /// `None`: no minimum. Default 240, as Kestrel and IIS have it.
    pub min_bytes_per_second: Option<u32>,
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
            connections_per_address: half(10_000),
            http2_streams: 100,
            min_bytes_per_second: Some(240),
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
            forwarding_header: ForwardingHeader::XForwardedFor,
            proxy_protocol: false,
        }
    }
}

impl ClientTrafficPolicy {
    pub(crate) fn read(name: &str, mut spec: Fields<'_>) -> Option<Self> {
        let base = ClientTrafficPolicy::default();
        let targets =
            spec.need("targetRefs", "name what it applies to: [{kind: Gateway, name: edge}]", |at| {
                at.filled_list(|at| {
                    let mut fields = at.fields()?;
                    let target = PolicyTarget::read(&mut fields)?;
                    let reference = Reference::Target { policy: name.to_owned(), target: target.clone() };
                    fields.refer_at("name", reference);
                    Some(target)
                })
            });
        let routes_only = targets.as_deref().is_some_and(|targets| {
            !targets.is_empty() && targets.iter().all(|target| target.kind == PolicyTargetKind::HttpRoute)
        });
        let too_early = |fields: &Fields<'_>, names: &[&'static str]| {
            for name in names.iter().filter(|name| routes_only && fields.has(name)) {
                let remedy = "set it in a policy whose target is the Gateway";
                fields.warn_at(
                    name,
                    "has no effect on a route: it is decided before the route is known",
                    remedy,
                );
            }
        };
        let timeouts = spec.or("timeouts", base.timeouts, |at| {
            let fields = at.fields()?;
            too_early(&fields, &["requestHeader", "keepAliveIdle", "tlsHandshake"]);
            Some(base.timeouts.read(fields))
        });
        let (trusted_hops, forwarding_header) = spec.or("clientIP", (0, base.forwarding_header), |at| {
            let mut fields = at.fields()?;
            let hops = fields.or("trustedHops", 0, |at| at.u32(0..=100));
            let header = fields.or("header", base.forwarding_header, |at| {
                at.choice(&[
                    ("xForwardedFor", ForwardingHeader::XForwardedFor),
                    ("forwarded", ForwardingHeader::Forwarded),
                ])
            });
            Some((hops, header))
        });
        let proxy_protocol = spec.or("proxyProtocol", false, |at| at.boolean());
        let mut base_limits = base.limits;
        if trusted_hops > 0 || proxy_protocol {
            // Connections come from proxies in front of us, a few addresses for everybody.
            base_limits.connections_per_address = u32::MAX;
        }
        let limits = spec.or("limits", base_limits, |at| {
            let fields = at.fields()?;
            let early =
                ["headerBytes", "headerCount", "connections", "connectionsPerAddress", "http2Streams"];
            too_early(&fields, &early);
            Some(base_limits.read(fields))
        });
        too_early(&spec, &["clientIP", "proxyProtocol"]);
        Some(ClientTrafficPolicy {
            name: name.to_owned(),
            targets: targets?,
            timeouts,
            limits,
            trusted_hops,
            forwarding_header,
            proxy_protocol,
        })
    }
}

impl PolicyTarget {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        fields.get("group", |at| at.choice(&[("gateway.networking.k8s.io", ())]));
        let kind = fields.need("kind", "write Gateway or HTTPRoute", |at| {
            at.choice(&[("Gateway", PolicyTargetKind::Gateway), ("HTTPRoute", PolicyTargetKind::HttpRoute)])
        });
        let name = fields.need("name", "name the Gateway or HTTPRoute", |at| at.name());
        let section = fields.get("sectionName", |at| at.name());
        Some(PolicyTarget { kind: kind?, name: name?, section })
    }
}

impl ClientTimeouts {
    fn read(self, mut fields: Fields<'_>) -> Self {
        ClientTimeouts {
            request_header: fields.or("requestHeader", self.request_header, |at| at.period()),
            body_idle: fields.or("bodyIdle", self.body_idle, |at| at.period()),
            upgrade_idle: fields.or("upgradeIdle", self.upgrade_idle, |at| at.period()),
            stream_max: fields.or("streamMax", self.stream_max, |at| at.limit()),
            keep_alive_idle: fields.or("keepAliveIdle", self.keep_alive_idle, |at| at.period()),
            tls_handshake: fields.or("tlsHandshake", self.tls_handshake, |at| at.period()),
        }
    }
}

impl ClientLimits {
    fn read(self, mut fields: Fields<'_>) -> Self {
        let count =
            |at: At<'_>| at.u32(0..=u32::MAX).map(|number| if number == 0 { u32::MAX } else { number });
        let header_bytes = fields.or("headerBytes", self.header_bytes, |at| match at.bytes()? {
            0 => {
                let remedy = "write a bound, such as 64Ki";
                at.warn("without a bound one client can take all memory with one request head", remedy);
                Some(usize::MAX)
            }
            // Below this not even a browser's plain request fits.
            1..1024 => at.refuse("too small for any request", "write 1Ki or more, such as 64Ki"),
            bytes => Some(usize::try_from(bytes).unwrap_or(usize::MAX)),
        });
        let connections = fields.or("connections", self.connections, count);
        let per_address = match self.connections_per_address {
            u32::MAX => u32::MAX,
            _ => half(connections),
        };
        ClientLimits {
            header_bytes,
            header_count: fields.or("headerCount", self.header_count, |at| {
                at.u32(0..=1_000_000).map(|number| if number == 0 { usize::MAX } else { number as usize })
            }),
            body_bytes: fields
                .or("bodyBytes", self.body_bytes, |at| at.bytes().map(|bytes| (bytes > 0).then_some(bytes))),
            connections,
            connections_per_address: fields.or("connectionsPerAddress", per_address, count),
            http2_streams: fields.or("http2Streams", self.http2_streams, count),
            min_bytes_per_second: fields.or("minBytesPerSecond", self.min_bytes_per_second, |at| {
                at.u32(0..=u32::MAX).map(|rate| (rate > 0).then_some(rate))
            }),
        }
    }
}

/// What one address may take of all places.
fn half(connections: u32) -> u32 {
    if connections == u32::MAX { u32::MAX } else { (connections / 2).max(1) }
}
