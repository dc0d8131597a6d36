//! What a run came to, for tests to assert on.

use std::{collections::BTreeMap, time::Duration};

use super::ledger::{Outcome, Record, Second, UserStats};

/// A run, when it is over.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Requests that ended: each one sent is among them.
    pub requests: u64,
    /// Those that were errors, see [`Outcome::is_error`].
    pub errors: u64,
    /// Those of the errors whose method was idempotent.
    pub idempotent_errors: u64,
    /// All by how they ended.
    pub outcomes: BTreeMap<Outcome, u64>,
    /// Errors by the answer's `Proxy-Status` (RFC 9209), where there was one.
    pub reasons: BTreeMap<String, u64>,
    /// Median latency, from when each request was due.
    pub p50: Duration,
    /// The latency that 1 % exceed.
    pub p99: Duration,
    /// The latency that 0.1 % exceed.
    pub p999: Duration,
    /// The longest.
    pub max: Duration,
    /// Answers, errors too, by the cluster that signed them.
    pub by_cluster: BTreeMap<String, u64>,
    /// Users whose latest good answer came from elsewhere than home.
    pub away: u32,
    /// Names by [`ClusterIndex`](super::ClusterIndex).
    pub clusters: Vec<String>,
    /// By user.
    pub users: Vec<UserStats>,
    /// By second, by when requests ended; at most the last 7,200.
    pub seconds: Vec<Second>,
    /// Every request in the order in which they ended, if they were to be kept.
    pub records: Vec<Record>,
    /// Requests repeated once because an idle connection had been closed by the other side.
    pub stale_retries: u64,
    /// Requests not sent because too many were in flight.
    pub shed: u64,
    /// Connections opened.
    pub connections: u64,
}

impl Summary {
    /// Answers of this status.
    pub fn status(&self, code: u16) -> u64 {
        self.outcomes.get(&Outcome::Status(code)).copied().unwrap_or(0)
    }

    /// The share (0 to 1) of the signed answers that this cluster gave.
    pub fn share(&self, cluster: &str) -> f64 {
        let all: u64 = self.by_cluster.values().sum();
        self.by_cluster.get(cluster).copied().unwrap_or(0) as f64 / all.max(1) as f64
    }
}
