//! `MultiClusterService`: one service in several clusters; who gets which share, and who takes over.

use std::time::Duration;

use serde::Serialize;

use crate::trigger::Trigger;

/// One service that runs in several clusters.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MultiClusterService {
    /// `metadata.name`.
    pub name: String,
    /// What weight and priority mean together. Default: [`Selection::WeightedHome`].
    pub selection: Selection,
    /// With no cluster left: `false` (default) sends to the home cluster anyway, `true` answers 503.
    pub fail_closed: bool,
    /// A cluster keeps all of its users while `overprovisioning * healthy share >= 1`. Default 2.0; at least 1.
    pub overprovisioning: f64,
    /// In the order written; never empty, names unique, at least one weight above 0.
    pub clusters: Vec<ServiceCluster>,
    /// How an endpoint is chosen inside a cluster, and what makes users stick.
    pub load_balancer: LoadBalancer,
    /// Exact limits for each (service, cluster) and process.
    pub limits: Limits,
    /// When an endpoint is taken out for what it answers.
    pub outlier: OutlierDetection,
    /// When a whole cluster is taken out for what it answers.
    pub breaker: CircuitBreaker,
    /// Which failed tries are repeated, how often and how soon.
    pub retries: Retries,
    /// The longest a request may take, retries included. Default 15 s.
    #[serde(serialize_with = "crate::serialize::duration")]
    pub overall_timeout: Duration,
    /// How a cluster that was out comes back.
    pub recovery: Recovery,
    /// At most one rule for each `from`; every name is one of `clusters`.
    pub failover: Vec<FailoverRule>,
}

/// What `weight` and `priority` mean together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Selection {
    /// `weight` is the steady share over all clusters; `priority` orders who absorbs a lost cluster's share.
    WeightedHome,
    /// As in Envoy and DNS SRV (RFC 2782): only the lowest available priority serves, weights count inside it.
    PriorityTiers,
}

/// One cluster of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceCluster {
    /// The name users see, that `failover` uses and that is hashed.
    pub name: String,
    /// Share of the traffic relative to the other clusters; 0 takes none. Default 1, at most 1,000,000.
    pub weight: u32,
    /// Lower absorbs first. Default 1.
    pub priority: u32,
    /// The `Cluster` that holds the endpoints. Default: `name`.
    pub endpoints_ref: String,
}

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

/// `resilience.circuitBreaker`, beside its share of [`Limits`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CircuitBreaker {
    /// Errors of a cluster in a row that open it, under the further conditions of the policy. Default 5.
    pub consecutive_errors: u32,
}

/// `resilience.retries`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Retries {
    /// Tries in all, the first one included; 1 never repeats. Default 3; at most 10.
    pub attempts: u32,
    /// From the request's last byte to the response head. Default 2 s.
    #[serde(serialize_with = "crate::serialize::duration")]
    pub per_try_timeout: Duration,
    /// Default `5xx,reset,connect-failure`.
    pub on: RetryOn,
    /// How much retrying a service may do.
    pub budget: RetryBudget,
    /// Whether a request that is not idempotent is repeated too, after it was sent. Default `false`.
    pub non_idempotent: bool,
    /// The pause before a retry: uniform in `[0, (2^n - 1) * base)`, at most `max`.
    pub backoff: Backoff,
}

/// `retries.retryOn`: what counts as worth another try.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RetryOn {
    /// `5xx`: any 5xx answer, and as in Envoy also a per-try timeout, a reset and a connect failure.
    pub five_xx: bool,
    /// `gateway-error`: 502, 503, 504.
    pub gateway_error: bool,
    /// `reset`: no answer (disconnect, reset, timeout).
    pub reset: bool,
    /// `connect-failure`.
    pub connect_failure: bool,
    /// `refused-stream`: REFUSED_STREAM of HTTP/2.
    pub refused_stream: bool,
    /// `retriable-4xx`: 409, as in Envoy.
    pub retriable_4xx: bool,
    /// Single HTTP statuses, ascending, each 400 to 599.
    pub statuses: Vec<u16>,
    /// gRPC codes by number, ascending, each 1 to 16.
    pub grpc: Vec<u8>,
}

/// `retries.budget`: `percent` of the requests plus `min_per_second`, over `window`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RetryBudget {
    /// Default 20; 0 to 100.
    pub percent: f64,
    /// Default 10.
    pub min_per_second: f64,
    /// Default 10 s.
    #[serde(serialize_with = "crate::serialize::duration")]
    pub window: Duration,
}

/// `retries.backoff`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Backoff {
    /// Default 25 ms.
    #[serde(serialize_with = "crate::serialize::duration")]
    pub base: Duration,
    /// Default 250 ms; at least `base`.
    #[serde(serialize_with = "crate::serialize::duration")]
    pub max: Duration,
}

/// `resilience.recovery`: how a cluster that was out gets its users back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Recovery {
    /// Wait after the first trip of an outage. Default 30 s.
    #[serde(serialize_with = "crate::serialize::duration")]
    pub hold: Duration,
    /// The hold doubles with a relapse, up to this. Default 300 s; at least `hold`.
    #[serde(serialize_with = "crate::serialize::duration")]
    pub max_hold: Duration,
    /// From 10 to 100 % of the users in five steps. Default 48 s.
    #[serde(serialize_with = "crate::serialize::duration")]
    pub ramp: Duration,
}

/// One entry of `failover`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FailoverRule {
    /// The cluster that fails.
    pub from: String,
    /// The clusters that take over, a set: ordered by priority, then by hash. Never empty, never holds `from`.
    pub to: Vec<String>,
    /// What starts it. Every cluster has `clusterUnhealthy` anyway.
    pub trigger_on: Vec<Trigger>,
}
