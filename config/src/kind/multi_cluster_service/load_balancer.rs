//! `loadBalancer`: how an endpoint is chosen, and what makes a user stick.

use std::time::Duration;

use serde::Serialize;

use crate::read::{At, Fields};

/// `trafficPolicy.loadBalancer`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LoadBalancer {
    /// Default: [`EndpointAlgorithm::Rendezvous`].
    pub algorithm: EndpointAlgorithm,
    /// Percent of the mean load an endpoint may carry before a key moves on, at least 100. `None` (default): off.
    pub hash_balance_factor: Option<u32>,
    /// How a returning endpoint is brought up to its weight.
    pub slow_start: SlowStart,
    /// What makes a user stick; several are hashed together. Empty (default): nobody sticks.
    pub hash_on: Vec<HashOn>,
}

/// How a key finds its endpoint inside a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum EndpointAlgorithm {
    /// Weighted rendezvous: the fewest users move; the time grows with the endpoints.
    Rendezvous,
    /// Maglev table: constant time, a little more movement. Advised above 64 endpoints.
    Maglev,
}

/// `loadBalancer.slowStart`: `max(minWeightPercent, (t / window)^(1 / aggression))` of the weight.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SlowStart {
    /// Default 30 s; 0 s is off.
    #[serde(serialize_with = "crate::serialize::duration")]
    pub window: Duration,
    /// Default 1 (linear); above 0.
    pub aggression: f64,
    /// Default 10; 0 to 100.
    pub min_weight_percent: f64,
}

/// One part of a sticky key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum HashOn {
    /// A request header, in lower case.
    Header(String),
    /// A cookie, set by the proxy when it is absent.
    Cookie {
        /// Name of the cookie.
        name: String,
        /// Its `Path` attribute. Default `/`.
        path: String,
        /// Its `Max-Age`. `None` (default, or `0s`): until the browser is closed.
        #[serde(serialize_with = "crate::serialize::optional_duration")]
        ttl: Option<Duration>,
    },
    /// The client's address.
    SourceIp,
    /// The first value of a query parameter, case-sensitive.
    QueryParameter(String),
}

impl Default for LoadBalancer {
    fn default() -> Self {
        LoadBalancer {
            algorithm: EndpointAlgorithm::Rendezvous,
            hash_balance_factor: None,
            slow_start: SlowStart::default(),
            hash_on: Vec::new(),
        }
    }
}

impl Default for SlowStart {
    fn default() -> Self {
        SlowStart { window: Duration::from_secs(30), aggression: 1.0, min_weight_percent: 10.0 }
    }
}

impl LoadBalancer {
    pub(super) fn read(&self, mut fields: Fields<'_>) -> Self {
        let algorithm = fields.or("endpointAlgorithm", self.algorithm, |at| {
            at.choice(&[("rendezvous", EndpointAlgorithm::Rendezvous), ("maglev", EndpointAlgorithm::Maglev)])
        });
        let hash_balance_factor =
            fields.or("hashBalanceFactor", self.hash_balance_factor, |at| match at.u32(0..=100_000)? {
                0 => Some(None),
                1..100 => at.refuse(
                    "below 100 percent not even the mean load fits",
                    "write 100 or more, such as 125, or 0 for off",
                ),
                percent => Some(Some(percent)),
            });
        let slow_start = fields.or("slowStart", self.slow_start, |at| {
            let mut fields = at.fields()?;
            Some(SlowStart {
                window: fields.or("window", self.slow_start.window, |at| at.duration()),
                aggression: fields.or("aggression", self.slow_start.aggression, |at| at.positive()),
                min_weight_percent: fields
                    .or("minWeightPercent", self.slow_start.min_weight_percent, |at| at.f64(0.0..=100.0)),
            })
        });
        let hash_on = fields.get("consistentHash", hash_on).unwrap_or_else(|| self.hash_on.clone());
        if hash_balance_factor.is_some() && hash_on.is_empty() && fields.has("hashBalanceFactor") {
            let remedy = "set `consistentHash`, or leave `hashBalanceFactor` out";
            fields.warn_at(
                "hashBalanceFactor",
                "without `consistentHash` there is no hash to balance",
                remedy,
            );
        }
        LoadBalancer { algorithm, hash_balance_factor, slow_start, hash_on }
    }
}

fn hash_on(at: At<'_>) -> Option<Vec<HashOn>> {
    if at.is_list() {
        at.list(|at| {
            let mut parts = hash_part(at)?;
            match parts.len() {
                1 => parts.pop(),
                _ => at
                    .refuse("one item names one part of the key", "write one of the four forms in each item"),
            }
        })
    } else {
        let parts = hash_part(at)?;
        if parts.len() > 1 {
            at.error(
                "several parts in one map have no order",
                "write a list: one item for each part, in order",
            );
        }
        Some(parts)
    }
}

fn hash_part(at: At<'_>) -> Option<Vec<HashOn>> {
    let mut fields = at.fields()?;
    let header = fields.get("httpHeaderName", |at| at.header_name().map(HashOn::Header));
    let cookie = fields.get("httpCookie", |at| {
        let mut fields = at.fields()?;
        let name = fields.need("name", "name the cookie", |at| at.token("a cookie name"));
        let path = fields.get("path", cookie_path).unwrap_or_else(|| String::from("/"));
        let ttl = fields.or("ttl", None, |at| at.limit());
        Some(HashOn::Cookie { name: name?, path, ttl })
    });
    let source =
        fields.get("useSourceIp", |at| at.boolean()).filter(|wanted| *wanted).map(|_| HashOn::SourceIp);
    let query = fields.get("httpQueryParameterName", |at| at.text().map(HashOn::QueryParameter));
    Some([header, cookie, source, query].into_iter().flatten().collect())
}

/// RFC 6265 section 4.1.1: no control characters and no `;`, which would begin another attribute.
fn cookie_path(at: At<'_>) -> Option<String> {
    let path = at.text()?;
    let fits = path.starts_with('/') && path.bytes().all(|byte| (b' '..0x7f).contains(&byte) && byte != b';');
    match fits {
        true => Some(path),
        false => at
            .refuse(format!("`{path}` is not a cookie path"), "write a path that begins with `/`, such as /"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::service;

    #[test]
    fn a_key_has_one_part_or_a_list_of_them() {
        let hash = |text: &str| {
            service(&format!(
                "clusters: [{{name: a}}], trafficPolicy: {{loadBalancer: {{consistentHash: {text}}}}}"
            ))
            .load_balancer
            .hash_on
        };
        assert_eq!(hash("{httpHeaderName: X-User-ID}"), [HashOn::Header("x-user-id".into())]);
        assert_eq!(hash("{}"), []);
        assert_eq!(hash("{useSourceIp: false}"), []);
        let cookie = |path: &str, ttl| HashOn::Cookie { name: "sid".into(), path: path.into(), ttl };
        assert_eq!(hash("{httpCookie: {name: sid, ttl: 0s}}"), [cookie("/", None)]);
        assert_eq!(
            hash(
                "[{httpCookie: {name: sid, path: /a, ttl: 1h}}, {useSourceIp: true}, {httpQueryParameterName: Q}]"
            ),
            [
                cookie("/a", Some(Duration::from_secs(3600))),
                HashOn::SourceIp,
                HashOn::QueryParameter("Q".into())
            ]
        );
    }
}
