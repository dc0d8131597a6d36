//! A service, compiled.

use std::sync::Arc;

use super::params::{ClusterParams, Selection, ServiceParams};
use super::route::Route;
use crate::endpoints::EndpointSet;
use crate::hash::{KeyHash, cluster_node};
use crate::rendezvous::{self, Node};

/// One service of one configuration: immutable, shared by all workers.
///
/// Requests keep the plan they started with through all of their retries, so the indices in a [`Route`] never
/// change their meaning under it.
#[derive(Debug)]
pub struct ServicePlan {
    pub(super) selection: Selection,
    pub(super) fail_closed: bool,
    pub(super) hash_balance_factor: Option<u32>,
    pub(super) clusters: Box<[Cluster]>,
    /// The rendezvous nodes of the clusters, by index: what `home` runs over.
    nodes: Box<[Node]>,
    uniform: bool,
    /// Under `PriorityTiers`: the clusters of each tier, ascending. Empty otherwise.
    pub(super) tiers: Box<[Box<[u16]>]>,
}

#[derive(Debug)]
pub(super) struct Cluster {
    pub name: Box<str>,
    pub node: Node,
    pub priority: u32,
    pub endpoints: Arc<EndpointSet>,
    /// Where its users go while it does not admit them: ascending by priority, the key decides within one.
    pub failover: Box<[u16]>,
}

impl ServicePlan {
    /// Compiles a service. Takes any parameters: what makes no sense was refused by validation, and what slips
    /// through (a name that is not there, no clusters, all weights 0) has the mildest meaning: the name is
    /// ignored, nothing is routed, the first cluster is everybody's home.
    ///
    /// At most 65,536 clusters count.
    pub fn new(params: ServiceParams) -> ServicePlan {
        let ServiceParams { selection, fail_closed, hash_balance_factor, mut clusters, failover } = params;
        clusters.truncate(usize::from(u16::MAX) + 1);
        let nodes: Box<[Node]> = clusters.iter().map(|c| node(c, &clusters)).collect();
        let uniform =
            nodes.first().is_some_and(|f| f.weight > 0 && nodes.iter().all(|n| n.weight == f.weight));
        let index = |name: &str| clusters.iter().position(|c| c.name == name);
        let orders: Vec<Box<[u16]>> = (0..clusters.len())
            .map(|home| {
                let mut rules = failover.iter().filter(|rule| index(&rule.from) == Some(home)).peekable();
                let mut targets: Vec<usize> = match rules.peek() {
                    Some(_) => rules.flat_map(|rule| rule.to.iter().filter_map(|name| index(name))).collect(),
                    None => (0..clusters.len()).collect(),
                };
                targets.retain(|&target| target != home);
                targets.sort_by_key(|&target| (clusters[target].priority, target));
                targets.dedup();
                targets.into_iter().map(small).collect()
            })
            .collect();
        let tiers = match selection {
            Selection::WeightedHome => Box::default(),
            Selection::PriorityTiers => tiers(&clusters),
        };
        let clusters = clusters
            .into_iter()
            .zip(orders)
            .zip(&nodes)
            .map(|((c, failover), &node)| Cluster {
                name: c.name.into(),
                node,
                priority: c.priority,
                endpoints: c.endpoints,
                failover,
            })
            .collect();
        ServicePlan { selection, fail_closed, hash_balance_factor, clusters, nodes, uniform, tiers }
    }

    /// The key's home: weighted rendezvous over **all configured** clusters (under `PriorityTiers`: over the
    /// first tier). Never over the healthy ones: so a sick cluster moves only its own users, and they come back
    /// to the same home.
    pub fn home(&self, key: KeyHash) -> usize {
        match self.tiers.iter().find(|tier| tier.iter().any(|&c| self.nodes[usize::from(c)].weight > 0)) {
            Some(tier) => self.best_of(key, tier, |_| 1.0).map_or(0, usize::from),
            None => rendezvous::best(key, &self.nodes, self.uniform).unwrap_or(0),
        }
    }

    /// Starts one request. Without a key the request follows the weights by `roll`.
    #[inline]
    pub fn route(&self, key: Option<KeyHash>, roll: u64) -> Route {
        let hash = key.unwrap_or_else(|| KeyHash::from_roll(roll));
        Route::new(hash, key.is_some(), small(self.home(hash)))
    }

    /// The number of clusters.
    pub fn len(&self) -> usize {
        self.clusters.len()
    }

    /// No cluster at all: nothing can be routed.
    pub fn is_empty(&self) -> bool {
        self.clusters.is_empty()
    }

    /// The name of a cluster.
    pub fn cluster_name(&self, cluster: usize) -> Option<&str> {
        self.clusters.get(cluster).map(|c| &*c.name)
    }

    /// The endpoints of a cluster.
    pub fn endpoints(&self, cluster: usize) -> Option<&Arc<EndpointSet>> {
        self.clusters.get(cluster).map(|c| &c.endpoints)
    }

    /// The failover set of a cluster, ascending by priority: who may be judged against whom.
    pub fn failover(&self, cluster: usize) -> impl Iterator<Item = usize> {
        self.clusters.get(cluster).into_iter().flat_map(|c| c.failover.iter().map(|&t| usize::from(t)))
    }

    /// Rendezvous over some of the clusters, each counting with `factor` of its weight.
    pub(super) fn best_of(&self, key: KeyHash, among: &[u16], factor: impl Fn(usize) -> f64) -> Option<u16> {
        let mut winner: Option<(u16, f64, u32)> = None;
        for &c in among {
            let Node { hash, weight, rank } = self.nodes[usize::from(c)];
            let weight = f64::from(weight) * factor(usize::from(c));
            if weight <= 0.0 {
                continue;
            }
            if winner.is_some_and(|(_, top, _)| !rendezvous::may_reach(top, key, hash, weight)) {
                continue;
            }
            let s = rendezvous::score(key, hash, weight);
            if winner.is_none_or(|(_, top, r)| s > top || (s == top && rank < r)) {
                winner = Some((c, s, rank));
            }
        }
        winner.map(|(c, ..)| c)
    }
}

fn node(cluster: &ClusterParams, all: &[ClusterParams]) -> Node {
    let before = all.iter().filter(|other| other.name < cluster.name).count();
    Node {
        hash: cluster_node(&cluster.name),
        weight: cluster.weight,
        rank: u32::try_from(before).unwrap_or(u32::MAX),
    }
}

fn tiers(clusters: &[ClusterParams]) -> Box<[Box<[u16]>]> {
    let mut priorities: Vec<u32> = clusters.iter().map(|c| c.priority).collect();
    priorities.sort_unstable();
    priorities.dedup();
    let members = |p: u32| clusters.iter().enumerate().filter(move |(_, c)| c.priority == p);
    priorities.into_iter().map(|p| members(p).map(|(i, _)| small(i)).collect()).collect()
}

/// Cluster indices fit in 16 bits: `new` truncates.
fn small(cluster: usize) -> u16 {
    u16::try_from(cluster).unwrap_or(u16::MAX)
}
