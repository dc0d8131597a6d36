//! Limits on a cluster: connections, pending requests, requests. Exact, per process and per (service, cluster).
//!
//! The shell owns one atomic a limit and takes a place by compare-and-swap, so two workers at the edge cannot both
//! get the last one. (Envoy's limits are per worker thread added up, and overshoot by one a thread.) A request opens
//! a connection of its own while there is room for one; past that it waits, as one of `max_pending`; past that it is
//! refused, which uses up no attempt and never counts against the upstream. A request whose own connection is being
//! opened is not pending, however long that takes.

/// `resilience.circuitBreaker` and `trafficPolicy.connectionPool`, the smaller of each.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Connections to the cluster, connecting ones included. Default 1000.
    pub max_connections: u32,
    /// Requests that wait for a connection because `max_connections` is reached. Default 100.
    pub max_pending: u32,
    /// Requests in flight. Default 1000.
    pub max_requests: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { max_connections: 1000, max_pending: 100, max_requests: 1000 }
    }
}

/// Which limit refused.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Hash)]
pub enum LimitKind {
    /// `max_pending`: and the connection limit is reached too.
    Pending,
    /// `max_requests`.
    Requests,
}

impl LimitKind {
    /// A short name for the reason header, metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            LimitKind::Pending => "pending",
            LimitKind::Requests => "requests",
        }
    }
}
