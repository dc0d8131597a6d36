//! What a service is compiled from. The shell translates the configuration into these; this crate knows no YAML.

use std::sync::Arc;

use crate::endpoints::EndpointSet;

/// How a service spreads its keys over its clusters.
#[derive(Copy, Clone, Eq, PartialEq, Debug, Default)]
pub enum Selection {
    /// `weight` is the steady-state share over all clusters, whatever their priority; `priority` only says who
    /// absorbs a lost cluster's share where no failover rule does. The default.
    #[default]
    WeightedHome,
    /// The meaning of Envoy's priorities and of SRV records: all traffic to the lowest priority number while
    /// that tier is healthy enough, the rest to the next; weights count within a tier.
    PriorityTiers,
}

/// One service.
#[derive(Clone, Debug, Default)]
pub struct ServiceParams {
    /// How keys are spread over clusters.
    pub selection: Selection,
    /// Answer 503 instead of sending to a cluster that is not admitted, when no other is. Default off: a wrong
    /// health verdict about everything must not become an outage ("fail static").
    pub fail_closed: bool,
    /// Bounded load in percent of the mean, for requests with a key; `None` = off, else at least 100.
    /// See [`crate::bounded_load`].
    pub hash_balance_factor: Option<u32>,
    /// The clusters, in the order in which [`View`](super::View) and [`Target`](super::Target) number them.
    pub clusters: Vec<ClusterParams>,
    /// Where a cluster's users go while it does not admit them. A cluster without a rule spills to all others.
    pub failover: Vec<FailoverParams>,
}

/// One entry of a service's `clusters`.
#[derive(Clone, Debug)]
pub struct ClusterParams {
    /// The name that is hashed: the entry's, so that pointing it at other endpoints moves nobody.
    pub name: String,
    /// Steady-state share, relative to the sum over the service. 0 = nobody's home, still a failover target.
    pub weight: u32,
    /// Lower absorbs first.
    pub priority: u32,
    /// Its endpoints, shared between services and reused between configurations.
    pub endpoints: Arc<EndpointSet>,
}

/// `failover[].from` and `to`. Names that the service does not list are ignored (validation refuses them).
#[derive(Clone, Debug)]
pub struct FailoverParams {
    /// Whose users.
    pub from: String,
    /// The set of clusters that take them, ordered by priority and then by each key's own rendezvous order.
    pub to: Vec<String>,
}
