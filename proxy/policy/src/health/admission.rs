//! Admission.

/// What decides a cluster's admission right now.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Nothing: it keeps all of its users.
    Healthy,
    /// Its healthy share times the overprovisioning is below 1.
    Endpoints,
    /// Its measured load is above what its healthy endpoints can take.
    Capacity,
    /// No healthy endpoint.
    NoEndpoint,
    /// The breaker is open.
    Breaker,
    /// `highLatency` sheds.
    HighLatency,
    /// `highErrorRate` sheds.
    HighErrorRate,
    /// The outage is over as far as can be seen; the hold still runs.
    Hold,
    /// The ramp after an outage.
    Ramp,
    /// Drained by hand.
    Drained,
}

impl Reason {
    /// A short name for metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Reason::Healthy => "healthy",
            Reason::Endpoints => "endpoints",
            Reason::Capacity => "capacity",
            Reason::NoEndpoint => "no-endpoint",
            Reason::Breaker => "breaker",
            Reason::HighLatency => "high-latency",
            Reason::HighErrorRate => "high-error-rate",
            Reason::Hold => "hold",
            Reason::Ramp => "ramp",
            Reason::Drained => "drained",
        }
    }
}
