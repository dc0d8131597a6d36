//! `cors`: which web pages of other origins may read the answers (Gateway API `HTTPCORSFilter`, Fetch standard).

use std::collections::HashSet;
use std::fmt;

use serde::{Serialize, Serializer};

use crate::kind::http_route::METHODS;
use crate::read::{At, Fields};

/// What is said to browsers about requests from other origins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cors {
    /// Whose pages may read the answers. Empty: nobody's.
    pub allow_origins: Vec<OriginPattern>,
    /// Whether they may send cookies and logins. Default false.
    pub allow_credentials: bool,
    /// Methods besides GET, HEAD and POST. Default none.
    pub allow_methods: Listed,
    /// Request headers besides the safelisted ones. Default none.
    pub allow_headers: Listed,
    /// Response headers that pages may read besides the safelisted ones. Default none.
    pub expose_headers: Listed,
    /// How long a browser may keep the answer to a preflight, in seconds. Default 5; at least 1.
    pub max_age: u32,
}

/// A list of names, or all there are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Listed {
    /// `*`.
    All,
    /// These; headers in lower case.
    These(Vec<String>),
}

/// Origins: `*`, `https://app.example`, `https://*.example.com:8443` or `https://*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OriginPattern {
    /// Every origin, the opaque one (`null`) too.
    Any,
    /// Those with this scheme, host and port.
    Of {
        /// `https`, or else `http`.
        https: bool,
        /// The host.
        host: OriginHost,
        /// The port; where none is written, that of the scheme.
        port: u16,
    },
}

/// The host of an origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OriginHost {
    /// Every host.
    Any,
    /// This one, in lower case.
    Exact(String),
    /// Those with at least one label before this end, which begins with a dot; in lower case.
    Suffix(String),
}

impl OriginPattern {
    /// Reads a pattern by Gateway API's expression for `CORSOrigin`. `None`: it is none.
    fn parse(text: &str) -> Option<OriginPattern> {
        if text == "*" {
            return Some(OriginPattern::Any);
        }
        let (scheme, rest) = text.split_once("://").filter(|_| text.len() <= 253)?;
        let https = match scheme {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) => {
                let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
                (host, digits.then(|| port.parse().ok()).flatten().filter(|port| *port > 0)?)
            }
            None => (rest, default_port(https)),
        };
        let is_name = |name: &str| {
            let label = |label: &str| {
                !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            };
            name.split('.').all(label)
        };
        let host = match host.strip_prefix("*.") {
            _ if host == "*" => OriginHost::Any,
            Some(end) if is_name(end) => OriginHost::Suffix(format!(".{}", end.to_ascii_lowercase())),
            None if is_name(host) => OriginHost::Exact(host.to_ascii_lowercase()),
            _ => return None,
        };
        Some(OriginPattern::Of { https, host, port })
    }
}

/// Gateway API: 80 for `http`, 443 for `https`.
fn default_port(https: bool) -> u16 {
    if https { 443 } else { 80 }
}

impl fmt::Display for OriginPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let OriginPattern::Of { https, host, port } = self else { return f.write_str("*") };
        f.write_str(if *https { "https://" } else { "http://" })?;
        match host {
            OriginHost::Any => f.write_str("*")?,
            OriginHost::Exact(name) => f.write_str(name)?,
            OriginHost::Suffix(end) => write!(f, "*{end}")?,
        }
        if *port == default_port(*https) { Ok(()) } else { write!(f, ":{port}") }
    }
}

impl Serialize for OriginPattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Cors {
    pub(super) fn read(mut fields: Fields<'_>) -> Self {
        let mut seen = HashSet::new();
        let allow_origins = fields.or("allowOrigins", Vec::new(), |at| {
            let origins = at.at_most(64)?.list(|at| {
                let text = at.any_text()?;
                let Some(origin) = OriginPattern::parse(text) else {
                    let remedy = "write *, or scheme://host[:port], such as https://app.example or https://*.example.com";
                    return at.refuse(format!("`{text}` is not an origin"), remedy);
                };
                at.unique(&mut seen, "the origin", &origin.to_string());
                Some(origin)
            })?;
            if origins.len() > 1 && origins.contains(&OriginPattern::Any) {
                at.error("`*` stands beside other origins, which it contains", "keep `*`, or the others");
            }
            Some(origins)
        });
        let cors = Cors {
            allow_credentials: fields.or("allowCredentials", false, |at| at.boolean()),
            allow_methods: fields.or("allowMethods", Listed::NONE, |at| {
                listed(at.at_most(9)?, "the method", true, |at| {
                    at.choice(&[&METHODS[..], &[("*", "*")][..]].concat()).map(str::to_owned)
                })
            }),
            allow_headers: fields.or("allowHeaders", Listed::NONE, |at| {
                listed(at.at_most(64)?, "the header", true, |at| at.header_name())
            }),
            expose_headers: fields.or("exposeHeaders", Listed::NONE, |at| {
                listed(at.at_most(64)?, "the header", false, |at| at.header_name())
            }),
            max_age: fields.or("maxAge", 5, |at| at.u32(1..=i32::MAX as u32)),
            allow_origins,
        };
        if cors.allow_origins.is_empty() {
            let remedy = "list the origins whose pages may read the answers";
            fields.at().warn("no origin is allowed, so pages of other origins can read nothing", remedy);
        } else if cors.allow_credentials && cors.allow_origins.contains(&OriginPattern::Any) {
            let message = "any website may act as the user who visits it, and read what it gets";
            fields.warn_at("allowOrigins", message, "list the origins, or leave `allowCredentials` out");
        }
        cors
    }
}

impl Listed {
    /// The empty list.
    const NONE: Listed = Listed::These(Vec::new());
}

/// A list of names, all different, of which `*` stands for all; `alone`: nothing else may stand beside it.
fn listed(at: At<'_>, what: &str, alone: bool, read: impl Fn(At<'_>) -> Option<String>) -> Option<Listed> {
    let mut seen = HashSet::new();
    let names = at.list(|at| {
        let name = read(at)?;
        at.unique(&mut seen, what, &name);
        Some(name)
    })?;
    if !names.iter().any(|name| name == "*") {
        return Some(Listed::These(names));
    }
    if alone && names.len() > 1 {
        at.error("`*` stands beside others, which it contains", "keep `*`, or the others");
    }
    Some(Listed::All)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_those_that_gateway_api_takes() {
        for (text, written) in [
            ("*", "*"),
            ("https://*", "https://*"),
            ("https://WWW.Foo.com", "https://www.foo.com"),
            ("https://*.bar.com:8443", "https://*.bar.com:8443"),
            ("http://localhost:80", "http://localhost"),
            ("http://10.0.0.1:443", "http://10.0.0.1:443"),
        ] {
            assert_eq!(OriginPattern::parse(text).map(|origin| origin.to_string()).as_deref(), Some(written));
        }
        for text in [
            "",
            "null",
            "foo.com",
            "ftp://foo.com",
            "HTTPS://foo.com",
            "https://",
            "https://foo.com/",
            "https://foo.com:",
            "https://foo.com:0",
            "https://foo.com:65536",
            "https://foo.com:+1",
            "https://a.*.com",
            "https://*foo.com",
            "https://*.",
            "https://*.*",
            "https://a..b",
            "https://user@foo.com",
            "https://[::1]",
        ] {
            assert_eq!(OriginPattern::parse(text), None, "{text}");
        }
    }
}
