//! What a configured service does with its users, worked out by the proxy's own policy.
//!
//! The same [`ServicePlan`] that a proxy runs is asked about a sample of keys, once as all is well and once for
//! each cluster that may be lost. A formula was rejected: it would be a second opinion, and failover rules,
//! priorities and tiers together have no short one.

use std::{collections::BTreeMap, sync::Arc};

use causeway_config::{Cluster, Config, EndpointAlgorithm, MultiClusterService, Selection};
use causeway_proxy_policy::{
    ClusterParams, EndpointSet, FailoverParams, KeyHash, ServiceParams, ServicePlan, Tick, View, endpoints,
    service,
};

/// Keys that a split is worked out over: their shares are within about a point of the configured ones (two
/// standard deviations of a 50 % share are 0.9).
pub const SAMPLE: usize = 12_000;

/// Compiles a service. A cluster that the configuration does not define, or whose endpoints a proxy looks up, gets
/// one made-up endpoint, so that the choice among clusters, which does not depend on it, can still be told.
pub fn compile(service: &MultiClusterService, clusters: &BTreeMap<String, Arc<Cluster>>) -> ServicePlan {
    let algorithm = match service.load_balancer.algorithm {
        EndpointAlgorithm::Rendezvous => endpoints::EndpointAlgorithm::Rendezvous,
        EndpointAlgorithm::Maglev => endpoints::EndpointAlgorithm::Maglev,
    };
    let params = service.clusters.iter().map(|entry| {
        let members = match clusters.get(&entry.endpoints_ref) {
            None => vec![made_up("(not given)".to_owned())],
            Some(cluster) => match &cluster.discovery {
                None => cluster.endpoints.iter().map(endpoint).collect(),
                Some(discovery) => vec![made_up(format!("(looked up: {discovery})"))],
            },
        };
        ClusterParams {
            name: entry.name.clone(),
            weight: entry.weight,
            priority: entry.priority,
            endpoints: Arc::new(EndpointSet::new(&entry.endpoints_ref, &members, algorithm)),
        }
    });
    let failover = service.failover.iter();
    ServicePlan::new(ServiceParams {
        selection: match service.selection {
            Selection::WeightedHome => service::Selection::WeightedHome,
            Selection::PriorityTiers => service::Selection::PriorityTiers,
        },
        fail_closed: service.fail_closed,
        hash_balance_factor: service.load_balancer.hash_balance_factor,
        clusters: params.collect(),
        failover: failover
            .map(|rule| FailoverParams { from: rule.from.clone(), to: rule.to.clone() })
            .collect(),
    })
}

fn made_up(address: String) -> endpoints::EndpointParams {
    endpoints::EndpointParams { address, weight: 1 }
}

fn endpoint(endpoint: &causeway_config::Endpoint) -> endpoints::EndpointParams {
    endpoints::EndpointParams { address: endpoint.address.to_string(), weight: endpoint.weight }
}

/// A world in which everything is well but for the clusters that are lost.
pub struct Supposed {
    /// By the cluster's number: whether it is lost.
    pub lost: Vec<bool>,
}

impl Supposed {
    /// All is well.
    pub fn well(plan: &ServicePlan) -> Supposed {
        Supposed { lost: vec![false; plan.len()] }
    }

    /// One cluster is lost, the others are well.
    pub fn without(plan: &ServicePlan, cluster: usize) -> Supposed {
        let mut supposed = Supposed::well(plan);
        supposed.lost[cluster] = true;
        supposed
    }

    fn up(&self, cluster: usize) -> bool {
        self.lost.get(cluster).is_some_and(|lost| !lost)
    }
}

impl View for Supposed {
    fn admission(&self, cluster: usize) -> f32 {
        f32::from(u8::from(self.up(cluster)))
    }

    fn spill_share(&self, _cluster: usize) -> f32 {
        1.0
    }

    fn endpoint_weight(&self, cluster: usize, _endpoint: usize, _now: Tick) -> f32 {
        self.admission(cluster)
    }

    fn in_flight(&self, _cluster: usize, _endpoint: usize) -> u32 {
        0
    }

    fn cluster_in_flight(&self, _cluster: usize) -> u32 {
        0
    }

    fn latency_ewma(&self, _cluster: usize, _endpoint: usize, _now: Tick) -> u64 {
        0
    }

    fn timed_out_at(&self, _cluster: usize, _endpoint: usize) -> Tick {
        Tick(0)
    }

    fn panic(&self, _cluster: usize) -> bool {
        false
    }
}

/// How a service's users are spread.
#[derive(Clone, Debug, PartialEq)]
pub struct Split {
    /// Clusters, in the order of the configuration.
    pub clusters: Vec<String>,
    /// The share (0 to 1) of each while all is well.
    pub well: Vec<f64>,
    /// For each cluster, the shares of all when it is lost. Its own is above 0 only where no other may take
    /// its users.
    pub without: Vec<Vec<f64>>,
}

impl Split {
    /// Works it out over [`SAMPLE`] keys.
    pub fn of(plan: &ServicePlan) -> Split {
        let names = (0..plan.len()).filter_map(|cluster| plan.cluster_name(cluster).map(str::to_owned));
        Split {
            clusters: names.collect(),
            well: shares(plan, &Supposed::well(plan)),
            without: (0..plan.len()).map(|cluster| shares(plan, &Supposed::without(plan, cluster))).collect(),
        }
    }
}

fn shares(plan: &ServicePlan, world: &Supposed) -> Vec<f64> {
    let mut counts = vec![0u32; plan.len()];
    for number in 0..SAMPLE {
        let key = KeyHash::of(&[format!("user-{number}").as_bytes()]);
        let mut route = plan.route(Some(key), 0);
        // Time stands still here; any moment but the first, which stands for "never", will do.
        let target = plan.next(&mut route, world, Tick(1), 0);
        let cluster = target.map_or(route.home(), |target| usize::from(target.cluster));
        if let Some(count) = counts.get_mut(cluster) {
            *count += 1;
        }
    }
    counts.into_iter().map(|count| f64::from(count) / SAMPLE as f64).collect()
}

/// The service of that name, or the only one.
///
/// # Errors
/// A sentence that names what there is.
pub fn service<'a>(config: &'a Config, name: Option<&str>) -> Result<&'a MultiClusterService, String> {
    let known = || config.services.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
    match name {
        Some(name) => match config.services.get(name) {
            Some(service) => Ok(service),
            None => Err(format!("no MultiClusterService {name:?}; there is: {}", known())),
        },
        None => {
            let mut services = config.services.values();
            match (services.next(), services.next()) {
                (Some(only), None) => Ok(only),
                (None, _) => Err("no MultiClusterService in this configuration".to_owned()),
                _ => Err(format!("several services, choose with --service: {}", known())),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(
        clusters: &[(&str, u32, u32)],
        failover: &[(&str, &[&str])],
        selection: service::Selection,
    ) -> ServicePlan {
        let clusters = clusters.iter().map(|(name, weight, priority)| {
            let members = [endpoints::EndpointParams { address: format!("{name}:80"), weight: 1 }];
            ClusterParams {
                name: (*name).to_owned(),
                weight: *weight,
                priority: *priority,
                endpoints: Arc::new(EndpointSet::new(name, &members, Default::default())),
            }
        });
        let failover = failover.iter().map(|(from, to)| FailoverParams {
            from: (*from).to_owned(),
            to: to.iter().map(|name| (*name).to_owned()).collect(),
        });
        let (clusters, failover) = (clusters.collect(), failover.collect());
        ServicePlan::new(ServiceParams { selection, clusters, failover, ..ServiceParams::default() })
    }

    const THREE: [(&str, u32, u32); 3] = [("east", 50, 1), ("west", 30, 2), ("eu", 20, 2)];

    fn near(share: f64, percent: f64) -> bool {
        (100.0 * share - percent).abs() < 1.5
    }

    #[test]
    fn shares_follow_the_weights_and_a_loss_moves_only_its_own_users() {
        let split = Split::of(&plan(&THREE, &[], service::Selection::WeightedHome));
        for (share, percent) in split.well.iter().zip([50.0, 30.0, 20.0]) {
            assert!(near(*share, percent), "{split:?}");
        }
        // Without east its half goes to the two of priority 2, three to two; without eu all goes to east.
        let lost_east = &split.without[0];
        assert!(lost_east[0] == 0.0 && near(lost_east[1], 60.0) && near(lost_east[2], 40.0), "{split:?}");
        let lost_eu = &split.without[2];
        assert!(lost_eu[2] == 0.0 && lost_eu[1] == split.well[1] && near(lost_eu[0], 70.0), "{split:?}");
    }

    #[test]
    fn a_failover_rule_names_the_only_heirs() {
        let split = Split::of(&plan(&THREE, &[("east", &["eu"])], service::Selection::WeightedHome));
        assert_eq!(split.without[0][1], split.well[1]);
        assert!(near(split.without[0][2], 70.0), "{split:?}");
    }

    #[test]
    fn under_tiers_the_first_one_serves_all_until_it_is_lost() {
        let split = Split::of(&plan(&THREE, &[], service::Selection::PriorityTiers));
        assert_eq!(split.well, [1.0, 0.0, 0.0]);
        assert!(split.without[0][0] == 0.0 && near(split.without[0][1], 60.0), "{split:?}");
    }

    #[test]
    fn the_only_cluster_keeps_its_users_whatever_happens() {
        let split = Split::of(&plan(&[("east", 1, 1)], &[], service::Selection::WeightedHome));
        assert_eq!((split.well, split.without), (vec![1.0], vec![vec![1.0]]));
    }
}
