//! `MultiClusterService`: one service in several clusters; who gets which share, and who takes over.

mod failover;
mod limits;
mod load_balancer;
mod outlier;
mod resilience;

use std::collections::HashSet;
use std::time::Duration;

use serde::Serialize;

pub use failover::FailoverRule;
pub use limits::Limits;
pub use load_balancer::{EndpointAlgorithm, HashOn, LoadBalancer, SlowStart};
pub use outlier::{FailurePercentage, OutlierDetection, SuccessRate};
pub(super) use resilience::GRPC_CODES;
pub use resilience::{Backoff, CircuitBreaker, Recovery, Retries, RetryBudget, RetryOn};

use crate::read::{At, Fields};
use crate::resolve::Reference;
use failover::Failover;
use limits::PoolLimits;
use resilience::Resilience;

/// One service that runs in several clusters.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MultiClusterService {
    /// `metadata.name`.
    pub name: String,
    /// What weight and priority mean together. Default: [`Selection::WeightedHome`].
    pub selection: Selection,
    /// With no cluster left: `false` (default) sends to the home cluster anyway, `true` answers 503.
    pub fail_closed: bool,
    /// A cluster keeps all of its users while `overprovisioning * healthy share >= 1`. Default 2.0; at least 1.
    pub overprovisioning: f64,
    /// In the order written; never empty, names unique, at least one weight above 0.
    pub clusters: Vec<ServiceCluster>,
    /// How an endpoint is chosen inside a cluster, and what makes users stick.
    pub load_balancer: LoadBalancer,
    /// Exact limits for each (service, cluster) and process.
    pub limits: Limits,
    /// When an endpoint is taken out for what it answers.
    pub outlier: OutlierDetection,
    /// When a whole cluster is taken out for what it answers.
    pub breaker: CircuitBreaker,
    /// Which failed tries are repeated, how often and how soon.
    pub retries: Retries,
    /// The longest a request may take, retries included. Default 15 s.
    #[serde(serialize_with = "crate::serialize::duration")]
    pub overall_timeout: Duration,
    /// How a cluster that was out comes back.
    pub recovery: Recovery,
    /// At most one rule for each `from`; every name is one of `clusters`.
    pub failover: Vec<FailoverRule>,
}

/// What `weight` and `priority` mean together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Selection {
    /// `weight` is the steady share over all clusters; `priority` orders who absorbs a lost cluster's share.
    WeightedHome,
    /// As in Envoy and DNS SRV (RFC 2782): only the lowest available priority serves, weights count inside it.
    PriorityTiers,
}

/// One cluster of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceCluster {
    /// The name users see, that `failover` uses and that is hashed.
    pub name: String,
    /// Share of the traffic relative to the other clusters; 0 takes none. Default 1, at most 1,000,000.
    pub weight: u32,
    /// Lower absorbs first. Default 1.
    pub priority: u32,
    /// The `Cluster` that holds the endpoints. Default: `name`.
    pub endpoints_ref: String,
}

/// What a service takes where its document is silent: the built-in defaults, or those of `TrafficDefaults`.
///
/// A field is read with the value below it as its default, so there is no merging of half-filled structures.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ServiceDefaults {
    selection: Selection,
    fail_closed: bool,
    overprovisioning: f64,
    load_balancer: LoadBalancer,
    limits: Limits,
    outlier: OutlierDetection,
    resilience: Resilience,
}

impl Default for ServiceDefaults {
    fn default() -> Self {
        ServiceDefaults {
            selection: Selection::WeightedHome,
            fail_closed: false,
            overprovisioning: 2.0,
            load_balancer: LoadBalancer::default(),
            limits: Limits::default(),
            outlier: OutlierDetection::default(),
            resilience: Resilience::default(),
        }
    }
}

impl ServiceDefaults {
    /// Reads what `TrafficDefaults` and `MultiClusterService` have in common. `inside` reads what only a service
    /// may have under `resilience`; `service` is its name.
    pub(crate) fn read(
        &self,
        spec: &mut Fields<'_>,
        service: Option<&str>,
        mut inside: impl FnMut(&mut Fields<'_>),
    ) -> ServiceDefaults {
        let selection = spec.or("selection", self.selection, |at| {
            at.choice(&[
                ("WeightedHome", Selection::WeightedHome),
                ("PriorityTiers", Selection::PriorityTiers),
            ])
        });
        let fail_closed = spec.or("failClosed", self.fail_closed, |at| at.boolean());
        let overprovisioning = spec.or("overprovisioning", self.overprovisioning, |at| at.f64(1.0..=1000.0));
        let policy = spec
            .get("trafficPolicy", |at| at.fields().map(|fields| TrafficPolicy::read(fields, self, service)))
            .unwrap_or_else(|| TrafficPolicy::untouched(self));
        if let Some(service) = service.filter(|_| policy.outlier == self.outlier) {
            spec.refer_at("trafficPolicy", Reference::Outlier(service.to_owned()));
        }
        let (resilience, breaker) = spec
            .get("resilience", |at| {
                let mut fields = at.fields()?;
                inside(&mut fields);
                Some(self.resilience.read(fields))
            })
            .unwrap_or_else(|| (self.resilience.clone(), PoolLimits::default()));
        ServiceDefaults {
            selection,
            fail_closed,
            overprovisioning,
            load_balancer: policy.load_balancer,
            limits: PoolLimits::join(spec.at(), policy.pool, breaker, self.limits),
            outlier: policy.outlier,
            resilience,
        }
    }
}

/// `trafficPolicy` as read.
struct TrafficPolicy {
    load_balancer: LoadBalancer,
    pool: PoolLimits,
    outlier: OutlierDetection,
}

impl TrafficPolicy {
    fn untouched(base: &ServiceDefaults) -> Self {
        TrafficPolicy {
            load_balancer: base.load_balancer.clone(),
            pool: PoolLimits::default(),
            outlier: base.outlier,
        }
    }

    fn read(mut fields: Fields<'_>, base: &ServiceDefaults, service: Option<&str>) -> Self {
        let untouched = TrafficPolicy::untouched(base);
        let load_balancer = fields.get("loadBalancer", |at| at.fields().map(|f| base.load_balancer.read(f)));
        let pool = fields.get("connectionPool", |at| at.fields().map(PoolLimits::read_pool));
        let outlier = fields.get("outlierDetection", |at| {
            let fields = at.fields()?;
            if let Some(service) = service.filter(|_| fields.has("successRate")) {
                fields.refer_at("successRate", Reference::SuccessRate(service.to_owned()));
            }
            Some(base.outlier.read(fields))
        });
        if let Some(service) = service.filter(|_| outlier.is_some_and(|outlier| outlier != base.outlier)) {
            fields.refer_at("outlierDetection", Reference::Outlier(service.to_owned()));
        }
        TrafficPolicy {
            load_balancer: load_balancer.unwrap_or(untouched.load_balancer),
            pool: pool.unwrap_or_default(),
            outlier: outlier.unwrap_or(untouched.outlier),
        }
    }
}

impl MultiClusterService {
    pub(crate) fn read(name: &str, mut spec: Fields<'_>, defaults: &ServiceDefaults) -> Option<Self> {
        let clusters =
            spec.need("clusters", "list the clusters that run the service", |at| clusters(at, name));
        let known = clusters.as_deref().unwrap_or_default();
        let twice = spec.has("failover");
        let mut failover = spec.get("failover", |at| Failover::read(at, known));
        let read = defaults.read(&mut spec, Some(name), |resilience| {
            if twice && resilience.has("failover") {
                let remedy = "keep one of the two: `spec.failover` or `spec.resilience.failover`";
                resilience.error_at("failover", "`failover` is given under `spec` as well", remedy);
            }
            failover = resilience.get("failover", |at| Failover::read(at, known)).or(failover.take());
        });
        let failover = failover.unwrap_or_default();
        failover.check_latencies(spec.at(), read.resilience.retries.per_try_timeout);
        Some(MultiClusterService {
            name: name.to_owned(),
            selection: read.selection,
            fail_closed: read.fail_closed,
            overprovisioning: read.overprovisioning,
            clusters: clusters?,
            load_balancer: read.load_balancer,
            limits: read.limits,
            outlier: read.outlier,
            breaker: read.resilience.breaker,
            retries: read.resilience.retries,
            overall_timeout: read.resilience.overall_timeout,
            recovery: read.resilience.recovery,
            failover: failover.rules,
        })
    }

    /// The share of the requests that each cluster gets while all are available, in the order of `clusters`;
    /// the shares add up to 1.
    pub fn steady_shares(&self) -> Vec<f64> {
        let first =
            self.clusters.iter().filter(|cluster| cluster.weight > 0).map(|cluster| cluster.priority).min();
        let counts = |cluster: &ServiceCluster| match self.selection {
            Selection::WeightedHome => true,
            Selection::PriorityTiers => Some(cluster.priority) == first,
        };
        let weight = |cluster: &ServiceCluster| if counts(cluster) { f64::from(cluster.weight) } else { 0.0 };
        let sum: f64 = self.clusters.iter().map(weight).sum();
        self.clusters.iter().map(|cluster| if sum > 0.0 { weight(cluster) / sum } else { 0.0 }).collect()
    }
}

/// The largest weight anywhere: that of a Gateway API `backendRef`.
pub(crate) const MAX_WEIGHT: u32 = 1_000_000;

fn clusters(at: At<'_>, service: &str) -> Option<Vec<ServiceCluster>> {
    let mut names = HashSet::new();
    let clusters = at.filled_list(|at| {
        let mut fields = at.fields()?;
        let name = fields.need("name", "name the cluster", |at| {
            let name = at.name()?;
            at.unique(&mut names, "the cluster", &name);
            Some(name)
        });
        let weight = fields.or("weight", 1, |at| at.u32(0..=MAX_WEIGHT));
        let priority = fields.or("priority", 1, |at| at.u32(0..=u32::MAX));
        let endpoints_ref = fields.get("endpointsRef", |at| at.name()).or_else(|| name.clone())?;
        let reference = Reference::Cluster { service: service.to_owned(), cluster: endpoints_ref.clone() };
        fields.refer_at(if fields.has("endpointsRef") { "endpointsRef" } else { "name" }, reference);
        Some(ServiceCluster { name: name?, weight, priority, endpoints_ref })
    })?;
    if !clusters.is_empty() && clusters.iter().all(|cluster| cluster.weight == 0) {
        at.error("every cluster has weight 0, so none would be used", "give at least one a weight above 0");
    }
    Some(clusters)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::service;

    #[test]
    fn the_defaults_are_those_of_the_format_file() {
        let service = service("clusters: [{name: a}]");
        assert_eq!(service.limits, Limits { max_connections: 1000, max_pending: 100, max_requests: 1000 });
        assert_eq!(service.outlier, OutlierDetection::default());
        assert_eq!(service.load_balancer, LoadBalancer::default());
        assert_eq!(service.load_balancer.hash_on, []);
    }

    #[test]
    fn the_steady_shares_follow_weight_or_tier() {
        let clusters =
            "clusters: [{name: a, weight: 50}, {name: b, weight: 30, priority: 2}, {name: c, weight: 20}]";
        assert_eq!(service(clusters).steady_shares(), [0.5, 0.3, 0.2]);
        let tiers = service(&format!("selection: PriorityTiers, {clusters}"));
        assert_eq!(tiers.steady_shares(), [50.0 / 70.0, 0.0, 20.0 / 70.0]);
        let empty = "selection: PriorityTiers, clusters: [{name: a, weight: 0}, {name: b, priority: 2}]";
        assert_eq!(service(empty).steady_shares(), [0.0, 1.0]);
    }

    #[test]
    fn weight_and_priority_are_one_by_default_and_the_cluster_is_the_one_of_the_name() {
        let service = service("clusters: [{name: a}, {name: b, endpointsRef: c}]");
        let [a, b] = &service.clusters[..] else { panic!() };
        assert_eq!((a.weight, a.priority, &*a.endpoints_ref, &*b.endpoints_ref), (1, 1, "a", "c"));
    }
}
