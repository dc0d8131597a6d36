//! The engine: events and counters in, views and events out.

use std::time::Duration;

use super::attempts::AttemptLog;
use super::event::HealthEvent;
use super::params::{EndpointId, EngineParams, ServiceId};
use super::views::{ClusterView, EndpointView};
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
    /// [`HealthEngine::latency_thresholds`] of the service, or that never had one.
    fn slow(&self, service: ServiceId, cluster: usize, threshold: usize) -> u64;

    /// One endpoint.
    fn endpoint(&self, endpoint: EndpointId) -> EndpointCounts;

    /// The rings of all workers at one (service, cluster).
    fn attempts(&self, service: ServiceId, cluster: usize) -> AttemptLog;
}

/// The health of everything, and what follows from it. See the [module](super).
#[derive(Debug)]
pub struct HealthEngine {}

impl HealthEngine {
    /// An engine that watches nothing yet. `seed` spreads the jitter of ejections over proxies.
    pub fn new(now: Tick, seed: u64) -> HealthEngine {
        let _ = (now, seed);
        todo!()
    }

    /// Takes a new configuration. The state of every endpoint (by cluster and address) and of every
    /// (service, cluster) that is still there goes on; the others are forgotten.
    pub fn reconfigure(&mut self, params: EngineParams, now: Tick) {
        let _ = (params, now);
        todo!()
    }

    /// A try failed (5xx, connect, reset, timeout; never a refusal of ours, a client's abort or a 4xx).
    pub fn on_failure(&mut self, now: Tick, at: At, failure: Failure, counters: &impl Counters) {
        let _ = (now, at, failure, counters);
        todo!()
    }

    /// A try succeeded where the endpoint's last outcome was a failure, or where the cluster's admission is 0.
    pub fn on_success(&mut self, now: Tick, at: At, sent_at: Tick, ended_at: Tick) {
        let _ = (now, at, sent_at, ended_at);
        todo!()
    }

    /// An active check ended.
    pub fn on_probe(&mut self, now: Tick, endpoint: EndpointId, passed: bool) {
        let _ = (now, endpoint, passed);
        todo!()
    }

    /// Evaluates windows, intervals, timers and ramps; about every 100 ms.
    pub fn tick(&mut self, now: Tick, counters: &impl Counters) {
        let _ = (now, counters);
        todo!()
    }

    /// What changed since the last call.
    pub fn drain_events(&mut self) -> impl Iterator<Item = HealthEvent> {
        std::iter::empty()
    }

    /// One endpoint, if it is configured.
    pub fn endpoint_view(&self, endpoint: EndpointId) -> Option<EndpointView> {
        let _ = endpoint;
        todo!()
    }

    /// One (service, cluster), if it is configured.
    pub fn cluster_view(&self, service: ServiceId, cluster: usize) -> Option<ClusterView> {
        let _ = (service, cluster);
        todo!()
    }

    /// The latency thresholds that the workers count for a service: ascending, without duplicates.
    pub fn latency_thresholds(&self, service: ServiceId) -> &[Duration] {
        let _ = service;
        todo!()
    }

    /// Ejects an endpoint for a while, whatever the ejection limit says; zero returns it. False if unknown.
    pub fn eject_by_hand(&mut self, now: Tick, endpoint: EndpointId, span: Duration) -> bool {
        let _ = (now, endpoint, span);
        todo!()
    }

    /// Takes a `Cluster` out for all services, or back in (with the ramp). False if unknown.
    pub fn drain_cluster(&mut self, now: Tick, cluster: &str, drained: bool) -> bool {
        let _ = (now, cluster, drained);
        todo!()
    }
}
