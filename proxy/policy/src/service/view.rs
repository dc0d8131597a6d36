//! What requests see of the world.

use crate::tick::Tick;

/// Live state of one service's clusters, numbered as in [`ServiceParams::clusters`](super::ServiceParams) and,
/// within a cluster, as in its [`EndpointSet`](crate::EndpointSet). The shell implements it over relaxed atomics
/// that the health engine's thread writes; the simulator over plain fields.
///
/// Readings may be stale by some milliseconds and need not be consistent with one another: every decision is
/// correct for each mixture of old and new, only less fresh.
pub trait View {
    /// The share `a` in `[0, 1]` of its own users that this cluster keeps.
    fn admission(&self, cluster: usize) -> f32;

    /// The share `s` in `[0, 1]` of others' users that this cluster takes; 1 without a capacity.
    fn spill_share(&self, cluster: usize) -> f32;

    /// 0 = not available (ejected, failed its active check, drained), below 1 = slow start, 1 = full. Relative to
    /// the endpoint's configured weight. See [`SlowStart::weight`](crate::slow_start::SlowStart::weight).
    fn endpoint_weight(&self, cluster: usize, endpoint: usize, now: Tick) -> f32;

    /// Requests in flight at an endpoint, as well as it is known (each worker's own, summed now and then).
    fn in_flight(&self, cluster: usize, endpoint: usize) -> u32;

    /// Requests in flight at a cluster. Read only where bounded load is configured.
    fn cluster_in_flight(&self, cluster: usize) -> u32;

    /// Peak EWMA of the time to first byte, in nanoseconds, decayed to `now`; 0 = not known yet.
    /// See [`crate::p2c`].
    fn latency_ewma(&self, cluster: usize, endpoint: usize, now: Tick) -> u64;

    /// When a try at this endpoint last ran into a timeout; `Tick(0)` = never.
    fn timed_out_at(&self, cluster: usize, endpoint: usize) -> Tick;

    /// The cluster's healthy share is below its panic threshold (never where that threshold is 0).
    fn panic(&self, cluster: usize) -> bool;

    /// The cluster is at 0 and nobody probes it: 1 % of keyless idempotent requests may look whether it is back.
    fn trickle(&self, _cluster: usize) -> bool {
        false
    }
}
