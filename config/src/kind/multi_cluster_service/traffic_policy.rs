//! `trafficPolicy`: the choice of an endpoint, the connection pool, outlier ejection.

use std::time::Duration;

use serde::Serialize;

use super::ServiceDefaults;
use crate::read::{At, Fields, Place};
use crate::report::Severity;
use crate::resolve::Reference;

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

/// Limits of one (service, cluster) in one process, each at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Default 1000.
    pub max_connections: u32,
    /// Requests queued because `max_connections` is reached; 0 queues none. Default 100.
    pub max_pending: u32,
    /// Requests in flight. Default 1000.
    pub max_requests: u32,
}

/// `trafficPolicy.outlierDetection`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OutlierDetection {
    /// Any 5xx or local error, in a row. Default 5.
    pub consecutive_errors: u32,
    /// 5xx answers in a row. Default: not counted apart.
    pub consecutive_5xx: Option<u32>,
    /// 502, 503 and 504 in a row. Default: not counted apart.
    pub consecutive_gateway: Option<u32>,
    /// Failures to connect, resets and timeouts in a row. Default 5.
    pub consecutive_local_origin: u32,
    /// How often the statistical kinds are computed and ejection counts fall. Default 30 s.
    #[serde(serialize_with = "crate::serialize::duration")]
    pub interval: Duration,
    /// Default 30 s.
    #[serde(serialize_with = "crate::serialize::duration")]
    pub base_ejection_time: Duration,
    /// Default 300 s; never below `base_ejection_time`.
    #[serde(serialize_with = "crate::serialize::duration")]
    pub max_ejection_time: Duration,
    /// Share of a cluster's endpoints that may be out at once, 0 to 100. Default 50.
    pub max_ejection_percent: u32,
    /// Below this percentage of healthy endpoints their health is ignored; 0 is never. Default 50.
    pub panic_threshold: u32,
    /// Ejection of an endpoint whose share of failures is too high.
    pub failure_percentage: FailurePercentage,
    /// Ejection of an endpoint that stands out among the others.
    pub success_rate: SuccessRate,
}

/// `outlierDetection.failurePercentage`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FailurePercentage {
    /// Percent of failed requests in an interval, 0 to 100. Default 85.
    pub threshold: u32,
    /// Endpoints with enough requests that there must be. Default 5.
    pub minimum_hosts: u32,
    /// Requests in the interval from which an endpoint is counted. Default 50.
    pub request_volume: u32,
}

/// `outlierDetection.successRate`: ejects below `mean - stdev_factor * stdev`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SuccessRate {
    /// Default 1.9; above 0.
    pub stdev_factor: f64,
    /// Endpoints with enough requests that there must be. Default 5: a cluster of three never triggers it.
    pub minimum_hosts: u32,
    /// Requests in the interval from which an endpoint is counted. Default 100.
    pub request_volume: u32,
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

impl Default for Limits {
    fn default() -> Self {
        Limits { max_connections: 1000, max_pending: 100, max_requests: 1000 }
    }
}

impl Default for OutlierDetection {
    fn default() -> Self {
        OutlierDetection {
            consecutive_errors: 5,
            consecutive_5xx: None,
            consecutive_gateway: None,
            consecutive_local_origin: 5,
            interval: Duration::from_secs(30),
            base_ejection_time: Duration::from_secs(30),
            max_ejection_time: Duration::from_secs(300),
            max_ejection_percent: 50,
            panic_threshold: 50,
            failure_percentage: FailurePercentage::default(),
            success_rate: SuccessRate::default(),
        }
    }
}

impl Default for FailurePercentage {
    fn default() -> Self {
        FailurePercentage { threshold: 85, minimum_hosts: 5, request_volume: 50 }
    }
}

impl Default for SuccessRate {
    fn default() -> Self {
        SuccessRate { stdev_factor: 1.9, minimum_hosts: 5, request_volume: 100 }
    }
}

/// `trafficPolicy` as read.
pub(super) struct TrafficPolicy {
    pub(super) load_balancer: LoadBalancer,
    pub(super) pool: PoolLimits,
    pub(super) outlier: OutlierDetection,
}

impl TrafficPolicy {
    pub(super) fn untouched(base: &ServiceDefaults) -> Self {
        TrafficPolicy {
            load_balancer: base.load_balancer.clone(),
            pool: PoolLimits::default(),
            outlier: base.outlier,
        }
    }

    pub(super) fn read(mut fields: Fields<'_>, base: &ServiceDefaults, service: Option<&str>) -> Self {
        let untouched = TrafficPolicy::untouched(base);
        let load_balancer = fields.get("loadBalancer", |at| at.fields().map(|f| base.load_balancer.read(f)));
        let pool = fields.get("connectionPool", |at| at.fields().map(PoolLimits::read_pool));
        let outlier = fields.get("outlierDetection", |at| {
            let fields = at.fields()?;
            if let Some(service) = service.filter(|_| fields.has("successRate")) {
                fields.refer_at("successRate", Reference::SuccessRate(service.to_owned()));
            }
            Some(base.outlier.read(fields))
        });
        if let Some(service) = service.filter(|_| outlier.is_some_and(|outlier| outlier != base.outlier)) {
            fields.refer_at("outlierDetection", Reference::Outlier(service.to_owned()));
        }
        TrafficPolicy {
            load_balancer: load_balancer.unwrap_or(untouched.load_balancer),
            pool: pool.unwrap_or_default(),
            outlier: outlier.unwrap_or(untouched.outlier),
        }
    }
}

impl LoadBalancer {
    fn read(&self, mut fields: Fields<'_>) -> Self {
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

impl OutlierDetection {
    fn read(&self, mut fields: Fields<'_>) -> Self {
        let some = |at: At<'_>| at.u32(1..=u32::MAX);
        let read = OutlierDetection {
            consecutive_errors: fields.or("consecutiveErrors", self.consecutive_errors, some),
            consecutive_5xx: fields.get("consecutive5xxErrors", some).or(self.consecutive_5xx),
            consecutive_gateway: fields.get("consecutiveGatewayErrors", some).or(self.consecutive_gateway),
            consecutive_local_origin: fields.or(
                "consecutiveLocalOriginFailures",
                self.consecutive_local_origin,
                some,
            ),
            interval: fields.or("interval", self.interval, |at| at.period()),
            base_ejection_time: fields.or("baseEjectionTime", self.base_ejection_time, |at| at.period()),
            max_ejection_time: fields.or("maxEjectionTime", self.max_ejection_time, |at| at.period()),
            max_ejection_percent: fields
                .or("maxEjectionPercent", self.max_ejection_percent, |at| at.u32(0..=100)),
            panic_threshold: fields.or("panicThreshold", self.panic_threshold, |at| at.u32(0..=100)),
            failure_percentage: fields.or("failurePercentage", self.failure_percentage, |at| {
                let base = self.failure_percentage;
                let mut fields = at.fields()?;
                Some(FailurePercentage {
                    threshold: fields.or("threshold", base.threshold, |at| at.u32(1..=100)),
                    minimum_hosts: fields.or("minimumHosts", base.minimum_hosts, some),
                    request_volume: fields.or("requestVolume", base.request_volume, some),
                })
            }),
            success_rate: fields.or("successRate", self.success_rate, |at| {
                let base = self.success_rate;
                let mut fields = at.fields()?;
                Some(SuccessRate {
                    stdev_factor: fields.or("stdevFactor", base.stdev_factor, |at| at.positive()),
                    minimum_hosts: fields.or("minimumHosts", base.minimum_hosts, some),
                    request_volume: fields.or("requestVolume", base.request_volume, some),
                })
            }),
        };
        if read.max_ejection_time < read.base_ejection_time && fields.has("maxEjectionTime") {
            let remedy = "raise `maxEjectionTime`, or lower `baseEjectionTime`";
            fields.warn_at("maxEjectionTime", "shorter than `baseEjectionTime`, which holds instead", remedy);
        }
        OutlierDetection { max_ejection_time: read.max_ejection_time.max(read.base_ejection_time), ..read }
    }
}

/// A number as written, and where.
type Written = Option<(u32, Place)>;

/// Limits that one of two places may set.
#[derive(Default)]
pub(super) struct PoolLimits {
    connections: Written,
    pending: Written,
    requests: Written,
}

impl PoolLimits {
    fn read_pool(mut fields: Fields<'_>) -> Self {
        let connections = fields.get("tcp", |at| {
            let mut fields = at.fields()?;
            fields.get("maxConnections", |at| written(at, 1))
        });
        let http = fields.get("http", |at| {
            let mut fields = at.fields()?;
            let pending = fields.get("http1MaxPendingRequests", |at| written(at, 0));
            let requests = fields.get("http2MaxRequests", |at| written(at, 1));
            Some((pending, requests))
        });
        let (pending, requests) = http.unwrap_or_default();
        PoolLimits { connections, pending, requests }
    }

    /// The part of `circuitBreaker` that limits.
    pub(super) fn read_breaker(fields: &mut Fields<'_>) -> Self {
        PoolLimits {
            connections: fields.get("maxConnections", |at| written(at, 1)),
            pending: fields.get("maxPendingRequests", |at| written(at, 0)),
            requests: fields.get("maxRequests", |at| written(at, 1)),
        }
    }

    /// The smaller of the two that are written, with a warning if they differ. What is not written does not
    /// compete: a pool of 5,000 alone is 5,000, not the default of the other place.
    pub(super) fn join(at: At<'_>, pool: PoolLimits, breaker: PoolLimits, base: Limits) -> Limits {
        Limits {
            max_connections: smaller(at, pool.connections, breaker.connections, base.max_connections),
            max_pending: smaller(at, pool.pending, breaker.pending, base.max_pending),
            max_requests: smaller(at, pool.requests, breaker.requests, base.max_requests),
        }
    }
}

fn written(at: At<'_>, least: u32) -> Written {
    at.u32(least..=u32::MAX).map(|number| (number, at.place()))
}

fn smaller(at: At<'_>, pool: Written, breaker: Written, base: u32) -> u32 {
    match (pool, breaker) {
        (Some((a, first)), Some((b, second))) if a != b => {
            let (less, place) = if a < b { (a, second) } else { (b, first) };
            let message =
                format!("`connectionPool` and `circuitBreaker` say {a} and {b}; the smaller, {less}, holds");
            at.file.notes.note(
                Severity::Warning,
                &place,
                message,
                "write the same number in both, or only one",
            );
            less
        }
        (Some((number, _)), _) | (None, Some((number, _))) => number,
        (None, None) => base,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{service, service_warnings};

    fn policy(policy: &str) -> String {
        format!("clusters: [{{name: a}}], trafficPolicy: {{{policy}}}")
    }

    #[test]
    fn the_defaults_are_those_of_the_format_file() {
        let service = service("clusters: [{name: a}]");
        assert_eq!(service.limits, Limits { max_connections: 1000, max_pending: 100, max_requests: 1000 });
        assert_eq!(service.outlier, OutlierDetection::default());
        assert_eq!(service.load_balancer, LoadBalancer::default());
        assert_eq!(service.load_balancer.hash_on, []);
    }

    #[test]
    fn the_smaller_limit_holds_and_what_is_not_written_does_not_compete() {
        let pool = "connectionPool: {tcp: {maxConnections: 5000}, http: {http2MaxRequests: 7}}";
        assert_eq!(service(&policy(pool)).limits.max_connections, 5000);
        let both = format!(
            "{}, resilience: {{circuitBreaker: {{maxConnections: 4000, maxRequests: 9}}}}",
            policy(pool)
        );
        let limits = service(&both).limits;
        assert_eq!((limits.max_connections, limits.max_requests, limits.max_pending), (4000, 7, 100));
        let warnings = service_warnings(&both);
        assert_eq!(warnings.len(), 2);
        assert_eq!(
            warnings[0].message,
            "`connectionPool` and `circuitBreaker` say 5000 and 4000; the smaller, 4000, holds"
        );
        assert!(warnings[0].path.ends_with("connectionPool.tcp.maxConnections"));
        assert!(warnings[1].path.ends_with("circuitBreaker.maxRequests"));
    }

    #[test]
    fn a_key_has_one_part_or_a_list_of_them() {
        let hash = |text: &str| {
            service(&policy(&format!("loadBalancer: {{consistentHash: {text}}}"))).load_balancer.hash_on
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

    #[test]
    fn the_longest_ejection_is_never_shorter_than_the_first() {
        let text = policy("outlierDetection: {baseEjectionTime: 10m}");
        assert_eq!(service(&text).outlier.max_ejection_time, Duration::from_secs(600));
        assert_eq!(service_warnings(&text), []);
        let text = policy("outlierDetection: {maxEjectionTime: 10s}");
        assert_eq!(service(&text).outlier.max_ejection_time, Duration::from_secs(30));
        assert_eq!(service_warnings(&text).len(), 1);
    }
}
