//! What the shell publishes after each call of the engine.

use super::admission::Reason;
use super::outlier::EjectionKind;
use crate::tick::Tick;

/// One endpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct EndpointView {
    /// Neither ejected nor given up by its active check.
    pub available: bool,
    /// When its slow start began; `Tick(0)` = none. Feed to
    /// [`SlowStart::weight`](crate::slow_start::SlowStart::weight), with the parameters of each service.
    pub ramp_since: Tick,
    /// Until when it is ejected, if it is.
    pub ejected_until: Option<Tick>,
    /// The number of ejections that set the next one's length.
    pub ejections: u32,
    /// Why it is out, if it is.
    pub out: Option<OutOfService>,
}

/// Why an endpoint is not available.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum OutOfService {
    /// Ejected, by this rule.
    Ejected(EjectionKind),
    /// Failed its active check.
    Probe,
}

/// The breaker of one (service, cluster).
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// Requests pass.
    Closed,
    /// Nothing passes until the hold has run.
    Open,
    /// The ramp after an opening runs.
    HalfOpen,
}

/// One (service, cluster).
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterView {
    /// The share of its own users that it keeps.
    pub admission: f32,
    /// The share of others' users that it takes.
    pub spill_share: f32,
    /// Every cluster of the service was at 0 and this one has not been seen alive since.
    pub marked: bool,
    /// Below the panic threshold.
    pub panic: bool,
    /// At 0 and unprobed: see [`View::trickle`](crate::View::trickle).
    pub trickle: bool,
    /// The breaker.
    pub breaker: BreakerState,
    /// What decides the admission.
    pub reason: Reason,
    /// The earliest end of the hold while there is one.
    pub hold_until: Option<Tick>,
    /// Endpoints available, and endpoints in all.
    pub healthy: (u32, u32),
}
