//! The only translator from configuration to policy.
//!
//! Compiling has no effect but to find or make live state in the registry: a snapshot that is never put in force
//! leaves nothing behind. What did not change is shared with the previous snapshot where it is large (the tables
//! of a cluster's endpoints).

mod cluster;
mod extras;
mod health;
mod listeners;
mod port_tls;
mod service;
#[cfg(test)]
mod tests;

pub use port_tls::files as listener_files;

use std::collections::BTreeMap;
use std::sync::Arc;

use causeway_config::Config;
use causeway_proxy_policy::endpoints::EndpointAlgorithm;
use causeway_proxy_policy::overload::Params;

use super::{Dial, Service, Snapshot};
use crate::upstream::discover::Discovered;
use crate::upstream::registry::Registry;

/// Compiles `config`, with what discovery has found for it. An error names the resource and what to do; nothing
/// has changed then.
pub fn compile(
    config: Config,
    discovered: &Discovered,
    registry: &Registry,
    previous: Option<&Snapshot>,
) -> Result<Snapshot, String> {
    build(config, Given { discovered, registry, previous, renew: Renew::Everything })
}

/// Compiles the config in force again, with other endpoints. Nothing else is looked at again, neither files of
/// certificates nor the names of listed endpoints: a mistake that waits there is no reason to keep endpoints that
/// are gone.
pub fn compile_endpoints(
    previous: &Snapshot,
    discovered: &Discovered,
    registry: &Registry,
) -> Result<Snapshot, String> {
    let given = Given { discovered, registry, previous: Some(previous), renew: Renew::Endpoints };
    build(previous.config.clone(), given)
}

/// What a config is compiled with.
#[derive(Clone, Copy)]
struct Given<'a> {
    discovered: &'a Discovered,
    registry: &'a Registry,
    previous: Option<&'a Snapshot>,
    renew: Renew,
}

/// What is looked at anew of what the previous snapshot has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Renew {
    Everything,
    Endpoints,
}

fn build(config: Config, given: Given<'_>) -> Result<Snapshot, String> {
    let Given { registry, previous, .. } = given;
    let algorithms = algorithms(&config);
    let mut clusters: BTreeMap<&str, Arc<Dial>> = BTreeMap::new();
    for (name, cluster) in &config.clusters {
        let algorithm = algorithms.get(name.as_str()).copied().unwrap_or_default();
        let dial = cluster::compile(cluster, algorithm, given).map_err(|e| format!("Cluster {name}: {e}"))?;
        clusters.insert(name, dial);
    }
    let mut services: BTreeMap<&str, Arc<Service>> = BTreeMap::new();
    for (name, service) in &config.services {
        let compiled = service::compile(service, &clusters, registry)
            .map_err(|e| format!("MultiClusterService {name}: {e}"))?;
        services.insert(name, Arc::new(compiled));
    }
    let named = extras::Named::new(&config, services, registry)?;
    let ports = listeners::compile(&config, &named, previous, given.renew)?;
    let health = health::params(&config, &clusters);
    let announces_clients = clusters.values().any(|dial| dial.proxy_protocol.is_some());
    let overload = overload(&config.proxy.overload, registry.workers());
    Ok(Snapshot {
        version: previous.map_or(1, |previous| previous.version + 1),
        digest: match previous {
            Some(previous) if given.renew == Renew::Endpoints => previous.digest.clone(),
            _ => config.digest(),
        },
        ports,
        services: named.services.into_values().collect(),
        limits: named.limits.into_values().collect(),
        faults: named.faults.into_values().collect(),
        mirrors: named.mirrors.into_values().collect(),
        clusters: clusters.into_values().collect(),
        announces_clients,
        health,
        overload,
        config,
    })
}

/// When one of `workers` sheds load.
fn overload(config: &causeway_config::Overload, workers: usize) -> Params {
    let share = |most: u32| most.div_ceil(u32::try_from(workers).unwrap_or(u32::MAX).max(1));
    Params {
        max_in_flight: config.max_in_flight.map_or(u32::MAX, share),
        target: config.queue_target.unwrap_or_default(),
        interval: config.queue_interval,
    }
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
