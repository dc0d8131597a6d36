//! The policy's eyes: one service's live state as [`View`] wants to see it.

use std::sync::atomic::Ordering::Relaxed;

use causeway_proxy_policy::{Tick, View, p2c};

use super::endpoint::{EndpointState, Standing};
use crate::snapshot::Service;

/// One service as one worker sees it.
pub struct ServiceView<'a> {
    service: &'a Service,
    worker: usize,
}

impl<'a> ServiceView<'a> {
    /// The service's state, latencies as `worker` measured them.
    pub fn new(service: &'a Service, worker: usize) -> ServiceView<'a> {
        ServiceView { service, worker }
    }

    fn endpoint(&self, cluster: usize, endpoint: usize) -> Option<&EndpointState> {
        Some(&*self.service.lanes.get(cluster)?.endpoints.get(endpoint)?.state)
    }
}

impl View for ServiceView<'_> {
    fn admission(&self, cluster: usize) -> f32 {
        self.service.lanes[cluster].state.admission.get()
    }

    fn spill_share(&self, cluster: usize) -> f32 {
        self.service.lanes[cluster].state.spill_share.get()
    }

    fn endpoint_weight(&self, cluster: usize, endpoint: usize, now: Tick) -> f32 {
        match self.service.lanes[cluster].endpoints[endpoint].state.standing() {
            Standing::Full => 1.0,
            Standing::Out => 0.0,
            Standing::RampSince(since) => self.service.slow_start.weight(since, now),
        }
    }

    fn in_flight(&self, cluster: usize, endpoint: usize) -> u32 {
        self.endpoint(cluster, endpoint).map_or(0, EndpointState::in_flight)
    }

    fn cluster_in_flight(&self, cluster: usize) -> u32 {
        self.service.lanes[cluster].state.requests.taken()
    }

    fn latency_ewma(&self, cluster: usize, endpoint: usize, now: Tick) -> u64 {
        let Some(state) = self.endpoint(cluster, endpoint) else { return 0 };
        let cells = state.cells(self.worker);
        p2c::decayed(cells.ewma.get(), Tick(cells.ewma_at.get()), now)
    }

    fn timed_out_at(&self, cluster: usize, endpoint: usize) -> Tick {
        self.endpoint(cluster, endpoint).map_or(Tick(0), EndpointState::timed_out_at)
    }

    fn panic(&self, cluster: usize) -> bool {
        self.service.lanes[cluster].state.flags().panic
    }

    fn trickle(&self, cluster: usize) -> bool {
        self.service.lanes[cluster].state.flags().trickle
    }
}

/// Folds one measured latency into a worker's estimate.
pub fn observe_latency(state: &EndpointState, worker: usize, sample: u64, now: Tick) {
    let cells = state.cells(worker);
    let estimate = p2c::observe(cells.ewma.get(), Tick(cells.ewma_at.get()), sample, now);
    cells.ewma.set(estimate);
    cells.ewma_at.set(now.0);
}

/// Whether a run of failures is open at this endpoint, so that the next success must be told.
pub fn is_failing(state: &EndpointState) -> bool {
    state.failing.load(Relaxed)
}
