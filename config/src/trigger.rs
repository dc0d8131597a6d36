//! What starts a failover: `triggerOn`.

use std::time::Duration;

use serde::Serialize;

/// A condition of a cluster that moves users away.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Trigger {
    /// What is watched.
    pub kind: TriggerKind,
    /// Over which time requests are counted. Default 5 s.
    #[serde(serialize_with = "crate::serialize::duration")]
    pub window: Duration,
    /// A window is extended until it holds so many. Default 100.
    #[serde(rename = "minRequests")]
    pub min_requests: u32,
    /// How many windows in a row must be over the threshold. Default 3.
    pub windows: u32,
    /// It clears below this share of the threshold. Default 0.5; above 0, at most 1.
    #[serde(rename = "recoverRatio")]
    pub recover_ratio: f64,
}

/// What a [`Trigger`] watches.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum TriggerKind {
    /// No healthy endpoint, or the breaker is open.
    ClusterUnhealthy,
    /// More than `1 - quantile` of the requests take longer than `threshold` to their first byte.
    HighLatency {
        /// Above 0, below 1: p99 is 0.99.
        quantile: f64,
        /// Above 0.
        #[serde(serialize_with = "crate::serialize::duration")]
        threshold: Duration,
    },
    /// More than `threshold` of the requests fail.
    HighErrorRate {
        /// Above 0, below 1: 5 % is 0.05.
        threshold: f64,
    },
}
