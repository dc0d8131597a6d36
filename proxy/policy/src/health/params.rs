//! What the health engine is configured with: clusters with their endpoints, services with their rules.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A slot of the shell's endpoint registry, which is keyed by cluster and address. Stable while the endpoint
/// lives; the engine keeps state by cluster and address, so a slot may be renumbered by a reload.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Debug, Default, Hash)]
pub struct EndpointId(pub u32);

/// Index into [`EngineParams::clusters`].
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Debug, Hash)]
pub struct ClusterId(pub u32);

/// Index into [`EngineParams::services`].
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Debug, Hash)]
pub struct ServiceId(pub u32);

/// Everything the engine watches. State is carried over by name from one of these to the next, never by index
/// or weight: a push that shifts a weight must not forget that a backend is sick.
#[derive(Clone, Debug, Default)]
pub struct EngineParams {
    /// `Cluster` resources.
    pub clusters: Vec<ClusterHealthParams>,
    /// Services.
    pub services: Vec<ServiceHealthParams>,
}

/// One `Cluster` resource.
#[derive(Clone, Debug)]
pub struct ClusterHealthParams {
    /// Its name.
    pub name: String,
    /// Slot and address of each endpoint.
    pub endpoints: Vec<(EndpointId, String)>,
    /// Outlier detection, from the first service by name that uses the cluster.
    pub outlier: OutlierParams,
    /// `None` = no active check.
    pub probe: Option<ProbeThresholds>,
    /// Requests a second that all of its endpoints can take together; `None` = not known.
    pub capacity: Option<f64>,
}

/// How many probes in a row change an endpoint's verdict.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub struct ProbeThresholds {
    /// Failures in a row until unhealthy. Default 2.
    pub unhealthy: u32,
    /// Passes in a row until healthy. Default 1.
    pub healthy: u32,
}

impl Default for ProbeThresholds {
    fn default() -> Self {
        ProbeThresholds { unhealthy: 2, healthy: 1 }
    }
}

/// `trafficPolicy.outlierDetection`. A consecutive threshold of 0 switches that kind off.
#[derive(Clone, PartialEq, Debug)]
pub struct OutlierParams {
    /// Any 5xx or local error in a row. Default 5.
    pub consecutive_errors: u32,
    /// 5xx answers in a row; local errors neither count nor end the run. Default off.
    pub consecutive_5xx: Option<u32>,
    /// 502, 503 or 504 answers in a row. Default off.
    pub consecutive_gateway: Option<u32>,
    /// Connect failures, resets and timeouts in a row. Default 5.
    pub consecutive_local_origin: u32,
    /// How often the statistical kinds are evaluated, and how slowly an ejection count falls. Default 30 s.
    pub interval: Duration,
    /// The first ejection's length. Default 30 s.
    pub base_ejection_time: Duration,
    /// The longest ejection. Default 300 s; less than the base counts as the base.
    pub max_ejection_time: Duration,
    /// Share of a cluster's endpoints that may be ejected at once. Default 50.
    pub max_ejection_percent: u32,
    /// Percent healthy below which health may be ignored; 0 = never. Default 50.
    pub panic_threshold: u32,
    /// Ejection by share of failures.
    pub failure_percentage: FailurePercentage,
    /// Ejection by distance from the cluster's mean.
    pub success_rate: SuccessRate,
}

impl Default for OutlierParams {
    fn default() -> Self {
        OutlierParams {
            consecutive_errors: 5,
            consecutive_5xx: None,
            consecutive_gateway: None,
            consecutive_local_origin: 5,
            interval: Duration::from_secs(30),
            base_ejection_time: Duration::from_secs(30),
            max_ejection_time: Duration::from_secs(300),
            max_ejection_percent: 50,
            panic_threshold: 50,
            failure_percentage: FailurePercentage { threshold: 85, minimum_hosts: 5, request_volume: 50 },
            success_rate: SuccessRate { stdev_factor: 1.9, minimum_hosts: 5, request_volume: 100 },
        }
    }
}

/// `outlierDetection.failurePercentage`.
#[derive(Clone, PartialEq, Debug)]
pub struct FailurePercentage {
    /// Percent of failed requests in an interval from which on an endpoint is ejected; 0 = off.
    pub threshold: u32,
    /// With fewer endpoints that have the volume, nobody is ejected.
    pub minimum_hosts: u32,
    /// Requests in the interval that an endpoint needs to be judged.
    pub request_volume: u64,
}

/// `outlierDetection.successRate`. With fewer than five endpoints it never ejects.
#[derive(Clone, PartialEq, Debug)]
pub struct SuccessRate {
    /// Below `mean - factor x population standard deviation` an endpoint is ejected; 0 = off.
    pub stdev_factor: f64,
    /// With fewer endpoints that have the volume, nobody is ejected.
    pub minimum_hosts: u32,
    /// Requests in the interval that an endpoint needs to be judged.
    pub request_volume: u64,
}

/// One service.
#[derive(Clone, Debug)]
pub struct ServiceHealthParams {
    /// Its name.
    pub name: String,
    /// A cluster keeps all of its users while `overprovisioning x healthy share` is at least 1. Default 2.0.
    pub overprovisioning: f64,
    /// `circuitBreaker.consecutiveErrors`; 0 = no breaker. Default 5.
    pub breaker_errors: u32,
    /// How a cluster comes back.
    pub recovery: Recovery,
    /// In the order of [`ServiceParams::clusters`](crate::ServiceParams::clusters).
    pub clusters: Vec<ServiceClusterParams>,
}

/// One entry of a service's `clusters`.
#[derive(Clone, Debug)]
pub struct ServiceClusterParams {
    /// The entry's name, by which its state outlives reloads.
    pub name: String,
    /// The `Cluster` whose endpoints it uses.
    pub cluster: ClusterId,
    /// `highLatency` and `highErrorRate`; `clusterUnhealthy` is always on.
    pub triggers: Vec<Trigger>,
    /// Indices of the clusters that its users would spill to.
    pub failover: Vec<usize>,
}

/// `resilience.recovery`.
#[derive(Clone, Debug, PartialEq)]
pub struct Recovery {
    /// From the first trip of an outage to the start of the ramp, at least. Default 30 s.
    pub hold: Duration,
    /// Relapses double the hold up to this. Default 300 s. Also the time at full admission that forgives them.
    pub max_hold: Duration,
    /// From 10 % to 100 %. Default 48 s.
    pub ramp: Duration,
}

impl Default for Recovery {
    fn default() -> Self {
        Recovery {
            hold: Duration::from_secs(30),
            max_hold: Duration::from_secs(300),
            ramp: Duration::from_secs(48),
        }
    }
}

/// One `triggerOn` that judges a share of the cluster's attempts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trigger {
    /// What is counted.
    pub kind: TriggerKind,
    /// The share in (0, 1) above which a window is bad: 0.01 for a p99, 0.05 for `> 5%`.
    pub share: f64,
    /// Length of a window, extended until it holds `min_requests`, at most to 60 s. Default 5 s.
    pub window: Duration,
    /// Default 100.
    pub min_requests: u64,
    /// Bad windows in a row until the trip. Default 3.
    pub windows: u32,
    /// A window below `share x recover_ratio` is good; two in a row clear. Default 0.5.
    pub recover_ratio: f64,
}

/// What a [`Trigger`] counts, per attempt at the cluster that answered, before retries.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TriggerKind {
    /// Time to first byte above this. p99 > 500 ms reads: more than 1 % over 500 ms. Two counters, mergeable,
    /// and no error of a quantile sketch.
    HighLatency(Duration),
    /// 5xx and local errors.
    HighErrorRate,
}

impl Trigger {
    /// `highLatency (p99 > 500ms)` is `high_latency(0.99, 500 ms)`.
    pub fn high_latency(quantile: f64, threshold: Duration) -> Trigger {
        Trigger::new(TriggerKind::HighLatency(threshold), 1.0 - quantile)
    }

    /// `highErrorRate (> 5%)` is `high_error_rate(0.05)`.
    pub fn high_error_rate(share: f64) -> Trigger {
        Trigger::new(TriggerKind::HighErrorRate, share)
    }

    fn new(kind: TriggerKind, share: f64) -> Trigger {
        Trigger {
            kind,
            share,
            window: Duration::from_secs(5),
            min_requests: 100,
            windows: 3,
            recover_ratio: 0.5,
        }
    }
}
