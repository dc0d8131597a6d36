//! `Cluster`: how to reach the endpoints of one cluster.

use std::collections::HashSet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::discovery::Discovery;
use super::multi_cluster_service::MAX_WEIGHT;
use super::subject_alt_name;
use crate::read::{At, Fields, units};

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
    /// In the order written; addresses unique, at least one weight above 0. Empty exactly where `discovery` is set.
    pub endpoints: Vec<Endpoint>,
    /// Where endpoints are looked up instead.
    pub discovery: Option<Discovery>,
    /// Default: [`Protocol::Http1`].
    pub protocol: Protocol,
    /// `None` (default): cleartext.
    pub tls: Option<UpstreamTls>,
    /// What announces the client on each new connection. `None` (default): nothing does.
    pub proxy_protocol: Option<ProxyProtocol>,
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

/// The PROXY protocol's version that is written to an endpoint, before TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ProxyProtocol {
    /// The line of text.
    V1,
    /// The binary header.
    V2,
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
    /// One of these must be in the endpoint's certificate (DNS name, or URI; a SPIFFE ID may end in `/*`).
    /// Empty: `server_name` decides.
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

impl Cluster {
    pub(crate) fn read(name: &str, mut spec: Fields<'_>) -> Option<Self> {
        let (region, zone) = spec.or("locality", (None, None), |at| {
            let mut fields = at.fields()?;
            Some((fields.get("region", |at| at.text()), fields.get("zone", |at| at.text())))
        });
        let discovery = spec.get("discovery", |at| at.fields().and_then(Discovery::read));
        for (source, remedy) in [
            ("dns", "write discovery: {dns: {name: api.internal, port: 8080}}"),
            ("file", "write discovery: {file: {path: endpoints.yaml}}"),
            ("kubernetes", LOOKED_UP),
        ] {
            spec.get(source, |at| at.refuse::<()>(format!("`{source}` belongs under `discovery`"), remedy));
        }
        let listed = spec.get("endpoints", endpoints);
        let endpoints = match (spec.has("endpoints"), spec.has("discovery")) {
            (true, true) => {
                spec.error_at("discovery", "endpoints are listed as well", "keep `endpoints` or `discovery`");
                None
            }
            (false, true) => discovery.is_some().then(Vec::new),
            (true, false) => listed,
            (false, false) => spec.at().refuse(
                "`endpoints` is missing",
                "list the endpoints: [{address: 10.0.0.1:8080}], or write discovery",
            ),
        };
        let protocol = spec.or("protocol", Protocol::Http1, |at| {
            at.choice(&[("http1", Protocol::Http1), ("http2", Protocol::Http2), ("auto", Protocol::Auto)])
        });
        let tls = spec.get("tls", |at| at.fields().and_then(UpstreamTls::read));
        if protocol == Protocol::Auto && !spec.has("tls") {
            spec.warn_at(
                "protocol",
                "without `tls` there is no ALPN: `auto` is http1",
                "write http1 or http2",
            );
        }
        let proxy_protocol = spec
            .get("proxyProtocol", |at| at.choice(&[("v1", ProxyProtocol::V1), ("v2", ProxyProtocol::V2)]));
        let health_check = spec.get("healthCheck", |at| at.fields().and_then(HealthCheck::read));
        let capacity = spec.get("capacity", |at| {
            let mut fields = at.fields()?;
            fields.need("requestsPerSecond", "write how many the cluster can carry", |at| at.positive())
        });
        let seconds = Duration::from_secs;
        let (connect_timeout, idle_timeout) = spec.or("timeouts", (seconds(1), seconds(60)), |at| {
            let mut fields = at.fields()?;
            let connect = fields.or("connect", seconds(1), |at| at.period());
            Some((connect, fields.or("idle", seconds(60), |at| at.period())))
        });
        Some(Cluster {
            name: name.to_owned(),
            region,
            zone,
            endpoints: endpoints?,
            discovery,
            protocol,
            tls,
            proxy_protocol,
            health_check,
            capacity,
            connect_timeout,
            idle_timeout,
        })
    }
}

const LOOKED_UP: &str = "write discovery: {dns: {name: api.internal, port: 8080}} to have them looked up";

/// A list of endpoints, here or in a file of its own.
pub(crate) fn endpoints(at: At<'_>) -> Option<Vec<Endpoint>> {
    if at.is_map() {
        return at.refuse("a list is needed, this is a map", LOOKED_UP);
    }
    let mut seen = HashSet::new();
    let endpoints = at.filled_list(|at| {
        let mut fields = at.fields()?;
        let address = fields.need("address", "write host:port", |at| {
            let address = EndpointAddr::read(at)?;
            if !seen.insert(address.clone()) {
                at.error(
                    format!("`{address}` is given twice"),
                    "keep one of the two; `weight` gives one more",
                );
            }
            Some(address)
        });
        let weight = fields.or("weight", 1, |at| at.u32(0..=MAX_WEIGHT));
        let version = fields.get("version", |at| at.text());
        Some(Endpoint { address: address?, weight, version })
    })?;
    if !endpoints.is_empty() && endpoints.iter().all(|endpoint| endpoint.weight == 0) {
        at.error("every endpoint has weight 0, so none would be used", "give at least one a weight above 0");
    }
    Some(endpoints)
}

impl EndpointAddr {
    fn read(at: At<'_>) -> Option<Self> {
        let text = at.any_text()?;
        match units::host_port(text) {
            Ok((Ok(ip), _)) if ip.is_unspecified() => at.refuse(
                format!("`{text}` is an address to listen on, not to connect to"),
                "write 127.0.0.1 for this host",
            ),
            Ok((host, port)) => Some(EndpointAddr { host: host.map_or_else(Host::Name, Host::Ip), port }),
            Err(remedy) => at.refuse(format!("`{text}` is not the address of an endpoint"), remedy),
        }
    }
}

impl UpstreamTls {
    fn read(mut fields: Fields<'_>) -> Option<Self> {
        let ca_file = fields.get("caFile", |at| at.file_name());
        let cert_file = fields.get("certFile", |at| at.file_name());
        let key_file = fields.get("keyFile", |at| at.file_name());
        let server_name = fields.get("serverName", |at| at.dns_name());
        let subject_alt_names =
            fields.or("subjectAltNames", Vec::new(), |at| at.list(subject_alt_name::read));
        if fields.has("certFile") != fields.has("keyFile") {
            let (one, other) =
                if fields.has("certFile") { ("certFile", "keyFile") } else { ("keyFile", "certFile") };
            fields.error_at(one, format!("`{one}` is of no use without `{other}`"), "give both, or neither");
        }
        Some(UpstreamTls { ca_file, cert_file, key_file, server_name, subject_alt_names })
    }
}

impl HealthCheck {
    fn read(mut fields: Fields<'_>) -> Option<Self> {
        let http = fields.get("http", |at| {
            let mut fields = at.fields()?;
            let path = fields.get("path", probe_path).unwrap_or_else(|| String::from("/"));
            let host = fields.get("host", host_header);
            let expected = fields
                .get("expectedStatuses", |at| at.filled_list(StatusRange::read))
                .unwrap_or_else(|| vec![StatusRange { from: 200, to: 299 }]);
            Some(Probe::Http { path, host, expected })
        });
        let tcp = fields.get("tcp", |at| at.fields().map(|_| Probe::Tcp));
        fields.not_yet("grpc", "write http: {path: /healthz}, or tcp: {}");
        let interval = fields.or("interval", Duration::from_secs(1), |at| at.period());
        let timeout = fields.or("timeout", Duration::from_millis(500), |at| at.period());
        let unhealthy_threshold = fields.or("unhealthyThreshold", 2, |at| at.u32(1..=1000));
        let healthy_threshold = fields.or("healthyThreshold", 1, |at| at.u32(1..=1000));
        match (fields.has("http"), fields.has("tcp")) {
            (true, true) => {
                fields.error_at("tcp", "a check is either `http` or `tcp`", "keep one of the two")
            }
            (false, false) if !fields.has("grpc") => {
                fields
                    .at()
                    .error("the check does not say what to ask", "write http: {path: /healthz}, or tcp: {}");
            }
            _ => {}
        }
        if timeout > interval {
            let name = if fields.has("timeout") { "timeout" } else { "interval" };
            fields.warn_at(
                name,
                "`timeout` is longer than `interval`: checks overlap",
                "lower `timeout`, or raise `interval`",
            );
        }
        Some(HealthCheck { probe: http.or(tcp)?, interval, timeout, unhealthy_threshold, healthy_threshold })
    }
}

/// RFC 9112 section 3.2.1: what can stand in a request line.
fn probe_path(at: At<'_>) -> Option<String> {
    let path = at.text()?;
    let fits = path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    match fits {
        true => Some(path),
        false => at.refuse(
            format!("`{path}` is not a path to ask for"),
            "write one that begins with `/`, such as /healthz",
        ),
    }
}

/// A host name or address, with a port if wanted (RFC 9110 section 7.2).
fn host_header(at: At<'_>) -> Option<String> {
    let text = at.text()?;
    let ip = text.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv4());
    match ip || units::dns_name(&text).is_some() || units::host_port(&text).is_ok() {
        true => Some(text),
        false => at.refuse(
            format!("`{text}` is not a Host header"),
            "write a name such as api.internal, with :port if wanted",
        ),
    }
}

impl StatusRange {
    fn read(at: At<'_>) -> Option<Self> {
        let text = at.any_text()?;
        let (from, to) = text.split_once('-').unwrap_or((text, text));
        let status =
            |text| units::digits(text).and_then(|n| u16::try_from(n).ok()).filter(|n| (100..600).contains(n));
        match status(from).zip(status(to)) {
            Some((from, to)) if from <= to => Some(StatusRange { from, to }),
            _ => at.refuse(
                format!("`{text}` is not a status or a range of them"),
                "write 200 or 200-299, within 100 to 599",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::cluster;

    #[test]
    fn a_cluster_of_one_address_has_the_documented_defaults() {
        let cluster = cluster("endpoints: [{address: \"10.0.0.1:80\"}]");
        let address = EndpointAddr { host: Host::Ip([10, 0, 0, 1].into()), port: 80 };
        let expected = Cluster {
            name: String::from("c"),
            region: None,
            zone: None,
            endpoints: vec![Endpoint { address, weight: 1, version: None }],
            discovery: None,
            protocol: Protocol::Http1,
            tls: None,
            proxy_protocol: None,
            health_check: None,
            capacity: None,
            connect_timeout: Duration::from_secs(1),
            idle_timeout: Duration::from_secs(60),
        };
        assert_eq!(cluster, expected);
    }

    #[test]
    fn a_null_is_an_absent_field() {
        let bare = cluster("endpoints: [{address: \"a:80\"}]");
        assert_eq!(
            cluster("endpoints: [{address: \"a:80\", weight: null}], protocol: ~, tls: , timeouts: null"),
            bare
        );
    }

    #[test]
    fn a_check_asks_for_200_to_299_every_second_by_default() {
        let text = "endpoints: [{address: \"a:80\"}], healthCheck: {http: {}}";
        let expected = HealthCheck {
            probe: Probe::Http {
                path: "/".into(),
                host: None,
                expected: vec![StatusRange { from: 200, to: 299 }],
            },
            interval: Duration::from_secs(1),
            timeout: Duration::from_millis(500),
            unhealthy_threshold: 2,
            healthy_threshold: 1,
        };
        assert_eq!(cluster(text).health_check, Some(expected));
        let tcp = cluster("endpoints: [{address: \"a:80\"}], healthCheck: {tcp: {}}");
        assert_eq!(tcp.health_check.map(|check| check.probe), Some(Probe::Tcp));
    }

    #[test]
    fn file_names_are_relative_to_the_file_that_names_them() {
        let tls = cluster(
            "endpoints: [{address: \"a:80\"}], tls: {caFile: ca.pem, certFile: /c.pem, keyFile: k.pem}",
        );
        let tls = tls.tls.unwrap();
        assert_eq!(tls.ca_file.as_deref(), Some(std::path::Path::new("/base/ca.pem")));
        assert_eq!(tls.cert_file.as_deref(), Some(std::path::Path::new("/c.pem")));
    }

    #[test]
    fn addresses_are_shown_as_they_are_written() {
        for text in ["10.0.0.1:80", "[fd00::1]:8443", "api.internal:80"] {
            let cluster = cluster(&format!("endpoints: [{{address: \"{text}\"}}]"));
            assert_eq!(cluster.endpoints[0].address.to_string(), text);
        }
    }

    #[test]
    fn a_status_range_has_both_ends() {
        let range = StatusRange { from: 200, to: 299 };
        assert!(range.contains(200) && range.contains(299) && !range.contains(199) && !range.contains(300));
    }
}
