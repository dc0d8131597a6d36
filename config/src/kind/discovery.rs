//! `Cluster.spec.discovery`: endpoints that are looked up instead of listed.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::read::{At, Fields, units};

/// The most endpoints that one source may give; a set above it is refused as a whole. As many A records as fit
/// into one DNS message (64 KiB, 16 bytes each) are 4,000.
pub const MAX_DISCOVERED: usize = 10_000;

/// Where the endpoints of a cluster are looked up.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Discovery {
    /// In the DNS, again and again.
    Dns(DnsDiscovery),
    /// In a file, whenever it changes.
    File {
        /// A YAML or JSON list in the form of `endpoints`, with addresses only. See [`crate::load_endpoints`].
        #[serde(serialize_with = "crate::serialize::path")]
        path: PathBuf,
    },
}

/// `discovery.dns`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DnsDiscovery {
    /// Lower case, without the final dot; always taken as it stands, never with a search domain behind it.
    pub name: String,
    /// What is asked for.
    pub query: DnsQuery,
    /// An answer is used at least this long. Default 1 s.
    #[serde(rename = "minTTL", serialize_with = "crate::serialize::duration")]
    pub min_ttl: Duration,
    /// An answer is used at most this long. Default 300 s, never below `min_ttl`.
    #[serde(rename = "maxTTL", serialize_with = "crate::serialize::duration")]
    pub max_ttl: Duration,
    /// Who is asked. Empty (default): those of `/etc/resolv.conf`.
    pub nameservers: Vec<SocketAddr>,
}

/// What is asked for, and where the port comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DnsQuery {
    /// Addresses; they all listen on one port, never 0.
    Addresses(AddressFamily, u16),
    /// SRV records (RFC 2782), which name targets with ports and weights.
    Srv,
}

/// Which addresses are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AddressFamily {
    /// A records. The default.
    V4,
    /// AAAA records.
    V6,
    /// Both, joined.
    Both,
}

impl AddressFamily {
    fn as_str(self) -> &'static str {
        match self {
            AddressFamily::V4 => "A",
            AddressFamily::V6 => "AAAA",
            AddressFamily::Both => "A+AAAA",
        }
    }
}

/// As people would name it, such as `dns A+AAAA api.internal:8080`. Two that are shown alike give the same
/// endpoints, whatever else is set.
impl fmt::Display for Discovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Discovery::Dns(dns) => match dns.query {
                DnsQuery::Addresses(family, port) => write!(f, "dns {} {}:{port}", family.as_str(), dns.name),
                DnsQuery::Srv => write!(f, "dns SRV {}", dns.name),
            },
            Discovery::File { path } => write!(f, "file {}", path.display()),
        }
    }
}

impl Serialize for DnsQuery {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            DnsQuery::Addresses(family, port) => {
                serializer.collect_str(&format_args!("{}:{port}", family.as_str()))
            }
            DnsQuery::Srv => serializer.serialize_str("SRV"),
        }
    }
}

impl DnsDiscovery {
    /// The name that the endpoints' certificates are for: the one that was asked about, not one that an answer
    /// gave, which is not to be trusted (RFC 9525 section 6.1); of SRV without `_service._proto`.
    pub fn host(&self) -> &str {
        let mut rest = self.name.as_str();
        while let Some((_, after)) = rest.split_once('.').filter(|_| rest.starts_with('_')) {
            rest = after;
        }
        rest
    }
}

impl Discovery {
    pub(super) fn read(mut fields: Fields<'_>) -> Option<Self> {
        let dns = fields.get("dns", |at| at.fields().and_then(DnsDiscovery::read));
        let file = fields.get("file", |at| {
            let mut fields = at.fields()?;
            fields.need("path", "name a file with a list of endpoints", |at| at.file_name())
        });
        fields.not_yet("kubernetes", "use dns, with the full name of a headless Service");
        match (fields.has("dns"), fields.has("file")) {
            (true, true) => fields.error_at(
                "file",
                "endpoints come from one place, `dns` or `file`",
                "keep one of the two, or make two Clusters",
            ),
            (false, false) if !fields.has("kubernetes") => fields.at().error(
                "it does not say where endpoints are looked up",
                "write dns: {name: api.internal, port: 8080}, or file: {path: endpoints.yaml}",
            ),
            _ => {}
        }
        dns.map(Discovery::Dns).or(file.map(|path| Discovery::File { path }))
    }
}

/// What `type` may be; `None` stands for SRV.
const TYPES: [(&str, Option<AddressFamily>); 4] = [
    ("A", Some(AddressFamily::V4)),
    ("AAAA", Some(AddressFamily::V6)),
    ("A+AAAA", Some(AddressFamily::Both)),
    ("SRV", None),
];

impl DnsDiscovery {
    fn read(mut fields: Fields<'_>) -> Option<Self> {
        let family = fields.or("type", Some(AddressFamily::V4), |at| at.choice(&TYPES));
        let name =
            fields.need("name", "write the name to look up, such as api.internal", |at| match family {
                Some(_) => host_name(at),
                None => service_name(at),
            });
        let port = fields.get("port", |at| at.port());
        match family {
            Some(_) if !fields.has("port") => {
                fields.at().error("`port` is missing", "write the port that the endpoints listen on");
            }
            None if fields.has("port") => {
                fields.error_at("port", "SRV records name the ports", "remove `port`");
            }
            _ => {}
        }
        let min_ttl = fields.or("minTTL", Duration::from_secs(1), |at| at.period());
        let max_ttl = fields.or("maxTTL", Duration::from_secs(300), |at| at.period());
        if min_ttl > max_ttl {
            let name = if fields.has("minTTL") { "minTTL" } else { "maxTTL" };
            fields.error_at(name, "`minTTL` is longer than `maxTTL`", "lower `minTTL`, or raise `maxTTL`");
        }
        let nameservers = fields.or("nameservers", Vec::new(), |at| at.filled_list(nameserver));
        let query = match family {
            Some(family) => DnsQuery::Addresses(family, port?),
            None => DnsQuery::Srv,
        };
        Some(DnsDiscovery { name: name?, query, min_ttl, max_ttl, nameservers })
    }
}

/// A final dot is allowed and dropped: every name is absolute here.
fn host_name(at: At<'_>) -> Option<String> {
    let text = at.any_text()?;
    let name = units::dns_name(text.strip_suffix('.').unwrap_or(text));
    name.or_else(|| {
        at.refuse(format!("`{text}` is not a host name"), "write a whole DNS name, such as api.internal")
    })
}

/// A host name of which labels may begin with `_` (RFC 2782, RFC 8552).
fn service_name(at: At<'_>) -> Option<String> {
    let text = at.any_text()?;
    let name = text.strip_suffix('.').unwrap_or(text);
    let labels: Vec<&str> = name.split('.').map(|label| label.strip_prefix('_').unwrap_or(label)).collect();
    let fits = name.len() <= 253 && units::dns_name(&labels.join(".")).is_some();
    match fits {
        true => Some(name.to_ascii_lowercase()),
        false => at.refuse(
            format!("`{text}` is not the name of a service"),
            "write a whole DNS name, such as _http._tcp.api.internal",
        ),
    }
}

fn nameserver(at: At<'_>) -> Option<SocketAddr> {
    const PORT: u16 = 53;
    let text = at.any_text()?;
    let bracketed = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let alone = bracketed.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, PORT));
    let address = alone.ok().or_else(|| text.parse().ok());
    match address.filter(|address| address.port() > 0 && !address.ip().is_unspecified()) {
        Some(address) => Some(address),
        None => at.refuse(
            format!("`{text}` is not the address of a name server"),
            "write an IP address, with :port if it is not 53, such as 10.0.0.2",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::cluster;

    fn discovery(spec: &str) -> Discovery {
        let cluster = cluster(&format!("discovery: {spec}"));
        assert!(cluster.endpoints.is_empty());
        cluster.discovery.unwrap()
    }

    fn dns(spec: &str) -> DnsDiscovery {
        match discovery(&format!("{{dns: {spec}}}")) {
            Discovery::Dns(dns) => dns,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn a_name_and_a_port_have_the_documented_defaults() {
        let expected = DnsDiscovery {
            name: "api.internal".into(),
            query: DnsQuery::Addresses(AddressFamily::V4, 8080),
            min_ttl: Duration::from_secs(1),
            max_ttl: Duration::from_secs(300),
            nameservers: Vec::new(),
        };
        assert_eq!(dns("{name: API.internal., port: 8080}"), expected);
    }

    #[test]
    fn name_servers_listen_on_53_unless_told_otherwise() {
        let dns = dns(
            "{name: a.b, port: 1, nameservers: [10.0.0.2, \"10.0.0.2:5353\", \"fd00::2\", \"[fd00::2]\", \"[fd00::2]:5353\"]}",
        );
        let shown: Vec<String> = dns.nameservers.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["10.0.0.2:53", "10.0.0.2:5353", "[fd00::2]:53", "[fd00::2]:53", "[fd00::2]:5353"]);
    }

    #[test]
    fn each_source_is_shown_as_people_would_name_it() {
        for (spec, shown) in [
            ("{dns: {name: a.b, port: 80}}", "dns A a.b:80"),
            ("{dns: {name: a.b, port: 80, type: A+AAAA}}", "dns A+AAAA a.b:80"),
            ("{dns: {name: _HTTP._tcp.a.b, type: SRV}}", "dns SRV _http._tcp.a.b"),
            ("{file: {path: e.yaml}}", "file /base/e.yaml"),
        ] {
            assert_eq!(discovery(spec).to_string(), shown);
        }
    }

    #[test]
    fn certificates_are_for_the_name_that_was_asked_about_without_its_service() {
        assert_eq!(dns("{name: _http._tcp.a.b, type: SRV}").host(), "a.b");
        assert_eq!(dns("{name: _a, type: SRV}").host(), "_a");
        assert_eq!(dns("{name: a.b, port: 80}").host(), "a.b");
    }
}
