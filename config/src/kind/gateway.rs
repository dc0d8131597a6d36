//! `Gateway` (gateway.networking.k8s.io/v1): where clients come in.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use serde::{Serialize, Serializer};

use super::subject_alt_name;
use crate::read::{At, Fields, units};
use crate::resolve::Reference;

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
    /// What is asked of clients' certificates. `None` (default): none is asked for. The same for all listeners of
    /// a port.
    pub client: Option<ClientAuth>,
}

/// What a listener asks of clients' certificates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientAuth {
    /// PEM with the roots to trust, from the option `mesh.macleodlabs.io/client-ca-file`.
    #[serde(serialize_with = "crate::serialize::path")]
    pub ca_file: PathBuf,
    /// Whether a client without a certificate is refused, from the option `mesh.macleodlabs.io/client-auth`.
    /// Default `true`.
    pub required: bool,
    /// One of these must be in the certificate (DNS name, or URI; a SPIFFE ID may end in `/*`), from the option
    /// `mesh.macleodlabs.io/client-subject-alt-names`. Empty (default): any certificate of these roots will do.
    pub subject_alt_names: Vec<String>,
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

impl HostPattern {
    /// Gateway API `Hostname`: a DNS name, the first label may be `*`; no address, no port.
    pub(crate) fn read(at: At<'_>) -> Option<Self> {
        let text = at.any_text()?;
        let (name, wrap): (_, fn(String) -> Self) = match text.strip_prefix("*.") {
            Some(suffix) => (suffix, HostPattern::Suffix),
            None => (text, HostPattern::Exact),
        };
        match units::dns_name(name) {
            Some(name) => Some(wrap(name)),
            None => {
                let remedy = "write a DNS name such as api.example.com or *.example.com, without port";
                at.refuse(format!("`{text}` is not a host name"), remedy)
            }
        }
    }
}

const CERT_FILE: &str = "mesh.macleodlabs.io/cert-file";
const KEY_FILE: &str = "mesh.macleodlabs.io/key-file";
const CLIENT_OPTIONS: &str = "mesh.macleodlabs.io/client-";
const CLIENT_CA_FILE: &str = "mesh.macleodlabs.io/client-ca-file";
const CLIENT_AUTH: &str = "mesh.macleodlabs.io/client-auth";
const CLIENT_NAMES: &str = "mesh.macleodlabs.io/client-subject-alt-names";

impl Gateway {
    pub(crate) fn read(name: &str, mut spec: Fields<'_>) -> Option<Self> {
        let class = spec.need("gatewayClassName", "write gatewayClassName: causeway", |at| at.name());
        if class.is_some_and(|class| class != "causeway") {
            let remedy = "write causeway, or move the Gateway out of these files";
            spec.warn_at(
                "gatewayClassName",
                "this Gateway is of another class, but is served all the same",
                remedy,
            );
        }
        let addresses =
            spec.get("addresses", |at| at.at_most(16)?.list(address)).filter(|list| !list.is_empty());
        let listeners = spec.need("listeners", "list at least one listener", listeners);
        for later in ["infrastructure", "allowedListeners", "backendTLS", "tls", "defaultScope"] {
            spec.not_yet(later, "leave it out");
        }
        let gateway = Gateway {
            name: name.to_owned(),
            addresses: addresses.unwrap_or_else(|| vec![IpAddr::V4(Ipv4Addr::UNSPECIFIED)]),
            listeners: listeners?,
        };
        spec.refer_at("listeners", Reference::Ports { gateway: name.to_owned() });
        Some(gateway)
    }
}

fn address(at: At<'_>) -> Option<IpAddr> {
    let mut fields = at.fields()?;
    fields.get("type", |at| match at.any_text()? {
        "IPAddress" => Some(()),
        other => at
            .refuse(format!("an address of type `{other}` is not supported yet"), "write the type IPAddress"),
    });
    fields.need("value", "write an address, such as 127.0.0.1", |at| {
        let text = at.any_text()?;
        let remedy = "write an IPv4 or IPv6 address without port, such as 127.0.0.1 or ::";
        text.parse().map_err(|_| at.error(format!("`{text}` is not an address"), remedy)).ok()
    })
}

fn listeners(at: At<'_>) -> Option<Vec<Listener>> {
    let mut names = HashSet::new();
    let mut ports: HashMap<u16, Vec<Listener>> = HashMap::new();
    at.at_most(64)?.filled_list(|at| {
        let listener = Listener::read(at.fields()?, &mut names)?;
        let others = ports.entry(listener.port).or_default();
        for other in &*others {
            let (port, name) = (listener.port, &other.name);
            if other.protocol != listener.protocol {
                let remedy = "use another port, or the same protocol";
                at.error(format!("port {port} speaks another protocol in the listener `{name}`"), remedy);
            } else if other.hostname == listener.hostname {
                let remedy = "use another port, or give each its own `hostname`";
                at.error(format!("port and hostname are those of the listener `{name}`"), remedy);
            } else if other.client_auth() != listener.client_auth() {
                // One connection serves all names of a port (RFC 9113 section 9.1.1), so a certificate that only
                // some of them asked for could be avoided.
                let message =
                    format!("the listener `{name}` on port {port} asks clients for other certificates");
                at.error(
                    message,
                    format!("use another port, or write the same options {CLIENT_OPTIONS}* in both"),
                );
            }
        }
        others.push(listener.clone());
        Some(listener)
    })
}

impl Listener {
    /// What it asks of clients' certificates.
    pub fn client_auth(&self) -> Option<&ClientAuth> {
        self.tls.as_ref()?.client.as_ref()
    }

    fn read(mut fields: Fields<'_>, names: &mut HashSet<String>) -> Option<Self> {
        let name = fields.need("name", "name the listener", |at| {
            let name = at.name()?;
            at.unique(names, "the listener", &name);
            Some(name)
        });
        let port = fields.need("port", "write a port of 1 to 65535", |at| at.port());
        let protocol = fields.need("protocol", "write HTTP or HTTPS", |at| match at.any_text()? {
            later @ ("TLS" | "TCP" | "UDP") => {
                at.refuse(format!("the protocol {later} is not supported yet"), "write HTTP or HTTPS")
            }
            _ => at.choice(&[("HTTP", ListenerProtocol::Http), ("HTTPS", ListenerProtocol::Https)]),
        });
        let hostname = fields.get("hostname", HostPattern::read);
        let tls = fields.get("tls", |at| at.fields().and_then(ListenerTls::read));
        match (protocol, fields.has("tls")) {
            (Some(ListenerProtocol::Https), false) => {
                let remedy = format!("add tls: {{options: {{{CERT_FILE}: cert.pem, {KEY_FILE}: key.pem}}}}");
                fields.at().error("a listener of protocol HTTPS needs `tls`", remedy);
            }
            (Some(ListenerProtocol::Http), true) => {
                fields.error_at(
                    "tls",
                    "a listener of protocol HTTP has no `tls`",
                    "write protocol HTTPS, or leave `tls` out",
                );
            }
            _ => {}
        }
        fields.get("allowedRoutes", |at| {
            let mut fields = at.fields()?;
            fields.not_yet("kinds", "leave it out: HTTPRoute and GRPCRoute may attach");
            fields.get("namespaces", |at| {
                let mut fields = at.fields()?;
                fields.get("from", |at| match at.any_text()? {
                    "Same" | "All" => Some(()),
                    other => at.refuse(format!("`{other}` is not supported yet"), "write Same or All"),
                });
                fields.not_yet("selector", "leave it out");
                Some(())
            })
        });
        Some(Listener { name: name?, port: port?, protocol: protocol?, hostname, tls })
    }
}

impl ListenerTls {
    fn read(mut fields: Fields<'_>) -> Option<Self> {
        fields.get("mode", |at| match at.any_text()? {
            "Terminate" => Some(()),
            other => at.refuse(
                format!("the mode `{other}` is not supported yet"),
                "write Terminate, or leave it out",
            ),
        });
        let remedy = format!("name the files: options: {{{CERT_FILE}: cert.pem, {KEY_FILE}: key.pem}}");
        fields.not_yet("certificateRefs", &remedy);
        let client = format!("name the file in `options`: {CLIENT_CA_FILE}: ca.pem");
        fields.not_yet("frontendValidation", &client);
        fields.need("options", &remedy, |at| {
            let mut fields = at.fields()?;
            let cert_file = fields.need(CERT_FILE, "name the PEM file with the chain", |at| at.file_name());
            let key_file = fields.need(KEY_FILE, "name the PEM file with the key", |at| at.file_name());
            let client = ClientAuth::read(&mut fields);
            Some(ListenerTls { cert_file: cert_file?, key_file: key_file?, client })
        })
    }
}

impl ClientAuth {
    fn read(options: &mut Fields<'_>) -> Option<Self> {
        let ca_file = options.get(CLIENT_CA_FILE, |at| at.file_name());
        let required =
            options.or(CLIENT_AUTH, true, |at| at.choice(&[("required", true), ("optional", false)]));
        let subject_alt_names = options.or(CLIENT_NAMES, Vec::new(), subject_alt_name::read_list);
        for name in [CLIENT_AUTH, CLIENT_NAMES] {
            if options.has(name) && !options.has(CLIENT_CA_FILE) {
                let message = format!("`{name}` is of no use without `{CLIENT_CA_FILE}`");
                options.error_at(name, message, "name the PEM file with the authority of the clients");
            }
        }
        Some(ClientAuth { ca_file: ca_file?, required, subject_alt_names })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> HostPattern {
        match text.strip_prefix("*.") {
            Some(suffix) => HostPattern::Suffix(suffix.into()),
            None => HostPattern::Exact(text.into()),
        }
    }

    #[test]
    fn a_wildcard_stands_for_one_or_more_labels() {
        let wildcard = host("*.example.com");
        for (name, expected) in [
            ("a.example.com", true),
            ("a.b.example.com", true),
            ("example.com", false),
            (".example.com", false),
            ("aexample.com", false),
        ] {
            assert_eq!(wildcard.matches(name), expected, "{name}");
        }
    }

    #[test]
    fn two_patterns_intersect_if_a_host_can_belong_to_both() {
        for (a, b, expected) in [
            ("a.b", "a.b", true),
            ("a.b", "*.b", true),
            ("*.b", "*.a.b", true),
            ("*.b", "*.b", true),
            ("b.c", "*.b.c", false),
            ("*.a.c", "*.b.c", false),
            ("a.b", "b.b", false),
        ] {
            assert_eq!(host(a).intersects(&host(b)), expected, "{a} {b}");
            assert_eq!(host(b).intersects(&host(a)), expected, "{b} {a}");
        }
    }
}
