//! Pure traffic policy: where a request goes, and what moves that.
//!
//! Nothing here reads a clock, opens a socket, spawns a task or draws a random number. Time comes in as
//! [`Tick`], chance as a `u64` called `roll`, and what the proxy knows about the world through two traits:
//! [`View`] (read by requests) and [`Counters`](health::Counters) (read by the health engine). So production,
//! the benchmark and the seeded simulator in `tests/simulation.rs` run the very same code.
//!
//! The crate has two halves, and they never call each other:
//!
//! * **Request time** ([`service`]): an immutable [`ServicePlan`] is compiled from the configuration. A request
//!   starts a [`Route`] and asks [`ServicePlan::next`] for a [`Target`], again after each failure or refusal.
//!   No allocation, no lock, a few logarithms. Around it stand the small rules a request meets on its way:
//!   which service a request belongs to ([`route_table`]), [`rate_limit`], [`fault`], [`retry`], [`retry_budget`], [`backoff`], [`limits`].
//! * **Health** ([`health`]): one [`HealthEngine`](health::HealthEngine) on one thread takes failures, probes
//!   and counters and moves three numbers: an endpoint's availability, a cluster's *admission* `a` in `[0, 1]`,
//!   and the share of spilled load that a cluster takes. The shell publishes them through [`View`].
//!
//! Apart from both stands [`discovery`]: when endpoints are looked up, and which set is served meanwhile.
//!
//! The vocabulary: a key's *home* is the cluster that weighted rendezvous gives it over all **configured**
//! clusters, sick or not; *admission* is the share of its own users that a cluster keeps; the others *spill* in
//! *failover order* and come back to the same home.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod backoff;
pub mod bounded_load;
pub mod discovery;
pub mod endpoints;
pub mod fault;
pub mod flood;
pub mod grpc;
pub mod hash;
pub mod health;
pub mod limits;
pub mod maglev;
pub mod overload;
pub mod p2c;
pub mod pace;
pub mod rate_limit;
pub mod rendezvous;
pub mod retry;
pub mod retry_budget;
pub mod route_table;
pub mod service;
pub mod slow_start;
pub mod tick;

pub use endpoints::{EndpointAlgorithm, EndpointSet};
pub use hash::KeyHash;
pub use service::{
    ClusterParams, Explanation, FailoverParams, Route, Selection, ServiceParams, ServicePlan, Target, View,
    Why,
};
pub use tick::Tick;

/// How one attempt at an endpoint failed. The same word is used by requests (what to try next) and by the
/// health engine (what to conclude about the endpoint).
#[derive(Copy, Clone, Eq, PartialEq, Debug, Hash)]
pub enum FailureKind {
    /// The connection was refused or could not be made.
    Connect,
    /// The connection was not made within the connect timeout. A connect failure for everything that asks
    /// whether something was sent, a timeout for everything that asks whether the endpoint is silent.
    ConnectTimeout,
    /// The connection broke before a response head arrived.
    Reset,
    /// No response head within the per-try timeout.
    Timeout,
    /// A complete response head with this status, which the caller counts as a failure (5xx).
    Status(u16),
}

impl FailureKind {
    /// Seen by us rather than said by the endpoint: connect, reset or timeout.
    pub const fn is_local_origin(self) -> bool {
        !matches!(self, FailureKind::Status(_))
    }

    /// The endpoint was silent: the failure cost its whole timeout.
    pub const fn is_timeout(self) -> bool {
        matches!(self, FailureKind::Timeout | FailureKind::ConnectTimeout)
    }

    /// Nobody answered the door: what a passing active check refutes (see [`health::outlier`]).
    pub const fn is_connection(self) -> bool {
        matches!(self, FailureKind::Connect | FailureKind::ConnectTimeout | FailureKind::Reset)
    }
}
