//! The endpoints of one cluster, compiled for choosing.
//!
//! An [`EndpointSet`] depends on nothing but the cluster's name, its endpoints and the algorithm, so services
//! share it by `Arc` and a configuration push reuses it where nothing changed: with Maglev over 5,000
//! endpoints that is the difference between nothing and some 50 ms of table building.

use std::sync::Arc;

use crate::hash::endpoint_node;
use crate::maglev::Maglev;
use crate::rendezvous::Node;

/// How a key finds its endpoint within a cluster. Chosen by configuration, never by count: growing from 250 to
/// 251 endpoints must not move everybody.
#[derive(Copy, Clone, Eq, PartialEq, Debug, Default)]
pub enum EndpointAlgorithm {
    /// Weighted rendezvous: minimal movement, cost grows with the number of endpoints. The default.
    #[default]
    Rendezvous,
    /// A table: constant cost, near-minimal movement. Advised above 64 endpoints.
    Maglev,
}

/// One endpoint as configured.
#[derive(Clone, Eq, PartialEq, Debug)]
pub struct EndpointParams {
    /// Host and port, as hashed.
    pub address: String,
    /// Share within the cluster; 0 = no traffic.
    pub weight: u32,
}

/// The endpoints of one cluster.
#[derive(Debug)]
pub struct EndpointSet {
    cluster: Box<str>,
    algorithm: EndpointAlgorithm,
    endpoints: Box<[EndpointParams]>,
    pub(crate) nodes: Box<[Node]>,
    /// All weights equal and above zero.
    pub(crate) uniform: bool,
    /// Running sums of the weights, for choosing in proportion; empty where `uniform`.
    pub(crate) cumulative: Box<[u64]>,
    pub(crate) total_weight: u64,
    pub(crate) maglev: Option<Maglev>,
}

impl EndpointSet {
    /// Compiles the endpoints of `cluster`. They keep their order: endpoint i of a
    /// [`Target`](crate::Target) and of a [`View`](crate::View) is the i-th here.
    pub fn new(cluster: &str, endpoints: &[EndpointParams], algorithm: EndpointAlgorithm) -> EndpointSet {
        let mut by_name: Vec<usize> = (0..endpoints.len()).collect();
        by_name.sort_by(|&a, &b| endpoints[a].address.cmp(&endpoints[b].address));
        let mut ranks = vec![0u32; endpoints.len()];
        for (rank, &i) in by_name.iter().enumerate() {
            ranks[i] = u32::try_from(rank).unwrap_or(u32::MAX);
        }
        let nodes: Box<[Node]> = endpoints
            .iter()
            .zip(ranks)
            .map(|(e, rank)| Node { hash: endpoint_node(cluster, &e.address), weight: e.weight, rank })
            .collect();
        let uniform = nodes
            .first()
            .is_some_and(|first| first.weight > 0 && nodes.iter().all(|n| n.weight == first.weight));
        let mut total_weight = 0u64;
        let sums = nodes.iter().map(|n| {
            total_weight += u64::from(n.weight);
            total_weight
        });
        let sums: Box<[u64]> = sums.collect();
        let cumulative = if uniform { Box::default() } else { sums };
        let maglev = (algorithm == EndpointAlgorithm::Maglev).then(|| Maglev::new(&nodes));
        EndpointSet {
            cluster: cluster.into(),
            algorithm,
            endpoints: endpoints.into(),
            nodes,
            uniform,
            cumulative,
            total_weight,
            maglev,
        }
    }

    /// `previous` if it was compiled from the same, else a new one.
    pub fn reuse(
        previous: Option<&Arc<EndpointSet>>,
        cluster: &str,
        endpoints: &[EndpointParams],
        algorithm: EndpointAlgorithm,
    ) -> Arc<EndpointSet> {
        let same = |set: &&Arc<EndpointSet>| {
            *set.cluster == *cluster && set.algorithm == algorithm && *set.endpoints == *endpoints
        };
        match previous.filter(same) {
            Some(set) => Arc::clone(set),
            None => Arc::new(EndpointSet::new(cluster, endpoints, algorithm)),
        }
    }

    /// The number of endpoints.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// No endpoint at all.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The name that was hashed.
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// The address of endpoint `i`.
    pub fn address(&self, i: usize) -> Option<&str> {
        self.endpoints.get(i).map(|e| e.address.as_str())
    }

    /// The configured endpoints, in order.
    pub fn endpoints(&self) -> &[EndpointParams] {
        &self.endpoints
    }
}
