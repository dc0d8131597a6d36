//! The workers' counters, as the engine reads them.

use std::collections::HashMap;
use std::sync::Arc;

use causeway_proxy_policy::health::{
    AttemptLog, Counters, EndpointCounts, EndpointId, PairCounts, ServiceId,
};

use crate::snapshot::{Lane, Snapshot};
use crate::upstream::cell::Count;
use crate::upstream::endpoint::EndpointState;
use crate::upstream::lane::SLOW_THRESHOLDS;

/// Sums over the workers, for the services and clusters of one snapshot.
#[derive(Default)]
pub struct WorkerCounts {
    snapshot: Option<Arc<Snapshot>>,
    endpoints: HashMap<u32, Arc<EndpointState>>,
}

impl WorkerCounts {
    /// Reads what `snapshot` names.
    pub fn new(snapshot: Arc<Snapshot>) -> WorkerCounts {
        let targets = snapshot.clusters.iter().flat_map(|dial| &dial.targets);
        let endpoints = targets.map(|target| (target.state.id, target.state.clone())).collect();
        WorkerCounts { snapshot: Some(snapshot), endpoints }
    }

    /// One lane.
    pub fn lane(&self, service: ServiceId, cluster: usize) -> Option<&Lane> {
        self.snapshot.as_ref()?.services.get(service.0 as usize)?.lanes.get(cluster)
    }

    /// All lanes.
    pub fn lanes(&self) -> impl Iterator<Item = (ServiceId, usize, &Lane)> {
        let services = self.snapshot.iter().flat_map(|snapshot| snapshot.services.iter().enumerate());
        services.flat_map(|(id, service)| {
            service.lanes.iter().enumerate().map(move |(i, lane)| (ServiceId(id as u32), i, lane))
        })
    }
}

impl Counters for WorkerCounts {
    fn pair(&self, service: ServiceId, cluster: usize) -> PairCounts {
        let Some(lane) = self.lane(service, cluster) else { return PairCounts::default() };
        let state = &lane.state;
        PairCounts {
            requests: state.sum(|cells| &cells.home_requests),
            own: state.sum(|cells| &cells.own),
            spilled: state.sum(|cells| &cells.spilled),
            attempts: state.sum(|cells| &cells.attempts),
            errors: state.sum(|cells| &cells.errors),
        }
    }

    fn slow(&self, service: ServiceId, cluster: usize, threshold: usize) -> u64 {
        let lane = self.lane(service, cluster).filter(|_| threshold < SLOW_THRESHOLDS);
        lane.map_or(0, |lane| lane.state.sum(|cells| &cells.slow[threshold]))
    }

    fn endpoint(&self, endpoint: EndpointId) -> EndpointCounts {
        let Some(state) = self.endpoints.get(&endpoint.0) else { return EndpointCounts::default() };
        state.all_cells().fold(EndpointCounts::default(), |sum, cells| EndpointCounts {
            total: sum.total.wrapping_add(cells.total.get()),
            success: sum.success.wrapping_add(cells.success.get()),
        })
    }

    fn attempts(&self, service: ServiceId, cluster: usize) -> AttemptLog {
        let mut log = AttemptLog::new();
        if let Some(lane) = self.lane(service, cluster) {
            for cells in lane.state.all_cells() {
                log.add(cells.ring.iter().map(Count::get));
            }
        }
        log
    }
}
