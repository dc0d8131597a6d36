//! What workers tell the engine: rare things as events, frequent ones as counters.

use super::attempts::AttemptLog;
use super::params::{EndpointId, ServiceId};
use crate::FailureKind;
use crate::tick::Tick;

/// Where an attempt was made.
#[derive(Copy, Clone, Eq, PartialEq, Debug, Hash)]
pub struct At {
    /// For which service.
    pub service: ServiceId,
    /// Index of the cluster in that service.
    pub cluster: usize,
    /// Which endpoint.
    pub endpoint: EndpointId,
}

/// One failed attempt.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub struct Failure {
    /// How.
    pub kind: FailureKind,
    /// When the request was sent.
    pub sent_at: Tick,
    /// When the failure was known.
    pub at: Tick,
}

/// Cumulative counters of one (service, cluster), summed over workers. They never fall; if they do (a new
/// slot), the engine starts again from what it reads.
#[derive(Copy, Clone, Eq, PartialEq, Debug, Default)]
pub struct PairCounts {
    /// Requests whose home this cluster is, wherever they went.
    pub requests: u64,
    /// Tries started here by requests whose home it is.
    pub own: u64,
    /// Tries started here by requests whose home is another cluster.
    pub spilled: u64,
    /// Attempts that ended with a response head or a failure of the upstream. Not: streams, client aborts,
    /// our own refusals.
    pub attempts: u64,
    /// Of `attempts`, those that ended in 5xx or a local error.
    pub errors: u64,
}

/// Cumulative counters of one endpoint, summed over workers and services.
#[derive(Copy, Clone, Eq, PartialEq, Debug, Default)]
pub struct EndpointCounts {
    /// Attempts that ended, as in [`PairCounts::attempts`].
    pub total: u64,
    /// Of these, the good ones.
    pub success: u64,
}

/// What the workers counted. The engine reads differences, so only monotony matters, not the zero.
pub trait Counters {
    /// One (service, cluster).
    fn pair(&self, service: ServiceId, cluster: usize) -> PairCounts;

    /// Of [`PairCounts::attempts`], those whose first byte took longer than the given one of
    /// [`latency_thresholds`](super::HealthEngine::latency_thresholds) of the service, or that never had one.
    fn slow(&self, service: ServiceId, cluster: usize, threshold: usize) -> u64;

    /// One endpoint.
    fn endpoint(&self, endpoint: EndpointId) -> EndpointCounts;

    /// The rings of all workers at one (service, cluster).
    fn attempts(&self, service: ServiceId, cluster: usize) -> AttemptLog;
}
