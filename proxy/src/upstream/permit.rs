//! What a connection and a request hold of the exact limits, given back on drop however they end.

use std::sync::Arc;

use super::endpoint::EndpointState;
use super::lane::LaneState;

/// One upstream connection of a lane, open or being opened.
pub struct ConnectionPermit {
    lane: Arc<LaneState>,
    endpoint: Arc<EndpointState>,
    worker: usize,
}

impl ConnectionPermit {
    /// Takes one of `max`, unless all are taken.
    pub fn take(
        lane: &Arc<LaneState>,
        endpoint: &Arc<EndpointState>,
        worker: usize,
        max: u32,
    ) -> Option<ConnectionPermit> {
        if !lane.connections.try_take(max) {
            return None;
        }
        endpoint.cells(worker).connections.enter();
        Some(ConnectionPermit { lane: lane.clone(), endpoint: endpoint.clone(), worker })
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.endpoint.cells(self.worker).connections.leave();
        self.lane.release_connection();
    }
}

/// One request under way at a lane and an endpoint.
///
/// It borrows from the snapshot that the request holds: counting references would write to two lines that all
/// workers share.
pub struct RequestPermit<'s> {
    lane: &'s LaneState,
    endpoint: &'s EndpointState,
    worker: usize,
}

impl<'s> RequestPermit<'s> {
    /// Takes one of `max`, unless all are taken.
    pub fn take(
        lane: &'s LaneState,
        endpoint: &'s EndpointState,
        worker: usize,
        max: u32,
    ) -> Option<RequestPermit<'s>> {
        if !lane.requests.try_take(max) {
            return None;
        }
        lane.cells(worker).in_flight.enter();
        endpoint.cells(worker).in_flight.enter();
        Some(RequestPermit { lane, endpoint, worker })
    }
}

impl Drop for RequestPermit<'_> {
    fn drop(&mut self) {
        self.endpoint.cells(self.worker).in_flight.leave();
        self.lane.cells(self.worker).in_flight.leave();
        self.lane.requests.give();
    }
}

/// One request that waits for a connection because the limit on connections is reached.
pub struct PendingPermit(Arc<LaneState>);

impl PendingPermit {
    /// Takes one of `max`, unless all are taken.
    pub fn take(lane: &Arc<LaneState>, max: u32) -> Option<PendingPermit> {
        lane.pending.try_take(max).then(|| PendingPermit(lane.clone()))
    }
}

impl Drop for PendingPermit {
    fn drop(&mut self) {
        self.0.pending.give();
    }
}
