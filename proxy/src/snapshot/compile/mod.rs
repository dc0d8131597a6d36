//! The only translator from configuration to policy.
//!
//! Compiling has no effect but to find or make live state in the registry: a snapshot that is never put in force
//! leaves nothing behind. What did not change is shared with the previous snapshot where it is large (the tables
//! of a cluster's endpoints).

mod cluster;
mod health;
mod listeners;
mod service;

use std::collections::BTreeMap;
use std::sync::Arc;

use causeway_config::Config;
use causeway_proxy_policy::endpoints::EndpointAlgorithm;

use super::{Dial, Service, Snapshot};
use crate::upstream::registry::Registry;

/// Compiles `config`. An error names the resource and what to do; nothing has changed then.
pub fn compile(config: Config, registry: &Registry, previous: Option<&Snapshot>) -> Result<Snapshot, String> {
    let algorithms = algorithms(&config);
    let mut clusters: BTreeMap<&str, Arc<Dial>> = BTreeMap::new();
    for (name, cluster) in &config.clusters {
        let algorithm = algorithms.get(name.as_str()).copied().unwrap_or_default();
        let dial = cluster::compile(cluster, algorithm, registry, previous)
            .map_err(|e| format!("Cluster {name}: {e}"))?;
        clusters.insert(name, Arc::new(dial));
    }
    let mut services: BTreeMap<&str, Arc<Service>> = BTreeMap::new();
    for (name, service) in &config.services {
        let compiled = service::compile(service, &clusters, registry)
            .map_err(|e| format!("MultiClusterService {name}: {e}"))?;
        services.insert(name, Arc::new(compiled));
    }
    let ports = listeners::compile(&config, &services, registry.workers(), previous)?;
    let health = health::params(&config, &clusters);
    Ok(Snapshot {
        version: previous.map_or(1, |previous| previous.version + 1),
        digest: config.digest(),
        ports,
        services: services.into_values().collect(),
        clusters: clusters.into_values().collect(),
        health,
        config,
    })
}

/// How each cluster's endpoints are chosen: by the first service, by name, that uses it. (Validation warns where
/// two services disagree.)
fn algorithms(config: &Config) -> BTreeMap<&str, EndpointAlgorithm> {
    let mut out = BTreeMap::new();
    for service in config.services.values() {
        let algorithm = match service.load_balancer.algorithm {
            causeway_config::EndpointAlgorithm::Rendezvous => EndpointAlgorithm::Rendezvous,
            causeway_config::EndpointAlgorithm::Maglev => EndpointAlgorithm::Maglev,
        };
        for cluster in &service.clusters {
            out.entry(cluster.endpoints_ref.as_str()).or_insert(algorithm);
        }
    }
    out
}
