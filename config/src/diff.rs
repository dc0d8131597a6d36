//! What changed between two configs, by resource; applying it to the old one gives the new one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;

use crate::config::Config;
use crate::kind::{
    ApplicationSet, ClientTrafficPolicy, Cluster, CostAwareScheduling, FaultInjection, Gateway, GrpcRoute,
    HttpRoute, LocalRateLimit, MultiClusterService, ProxyConfig,
};

/// What changed of one kind.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Changed<T> {
    /// Added or different, as they are now.
    pub set: BTreeMap<String, Arc<T>>,
    /// No longer there.
    pub removed: BTreeSet<String>,
}

/// What changed between two configs.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Diff {
    /// `MultiClusterService`.
    pub services: Changed<MultiClusterService>,
    /// `Cluster`.
    pub clusters: Changed<Cluster>,
    /// `Gateway`.
    pub gateways: Changed<Gateway>,
    /// `HTTPRoute`.
    pub http_routes: Changed<HttpRoute>,
    /// `GRPCRoute`.
    pub grpc_routes: Changed<GrpcRoute>,
    /// `ClientTrafficPolicy`.
    pub client_policies: Changed<ClientTrafficPolicy>,
    /// `LocalRateLimit`.
    pub rate_limits: Changed<LocalRateLimit>,
    /// `FaultInjection`.
    pub fault_injections: Changed<FaultInjection>,
    /// `ProxyConfig`, if it is different.
    pub proxy: Option<ProxyConfig>,
    /// `ApplicationSet`.
    pub application_sets: Changed<ApplicationSet>,
    /// `CostAwareScheduling`.
    pub cost_policies: Changed<CostAwareScheduling>,
}

/// What happened to one resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Change {
    /// Added or different.
    Set,
    /// No longer there.
    Removed,
}

impl<T> Default for Changed<T> {
    fn default() -> Self {
        Changed { set: BTreeMap::new(), removed: BTreeSet::new() }
    }
}

impl<T: PartialEq> Changed<T> {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.removed.is_empty()
    }

    fn between(old: &BTreeMap<String, Arc<T>>, new: &BTreeMap<String, Arc<T>>) -> Self {
        let same = |name: &str, now: &Arc<T>| {
            old.get(name).is_some_and(|before| Arc::ptr_eq(before, now) || before == now)
        };
        Changed {
            set: new
                .iter()
                .filter(|(name, now)| !same(name, now))
                .map(|(name, now)| (name.clone(), Arc::clone(now)))
                .collect(),
            removed: old.keys().filter(|name| !new.contains_key(*name)).cloned().collect(),
        }
    }

    fn applied(&self, old: &BTreeMap<String, Arc<T>>) -> BTreeMap<String, Arc<T>> {
        let mut new = old.clone();
        new.retain(|name, _| !self.removed.contains(name));
        new.extend(self.set.iter().map(|(name, now)| (name.clone(), Arc::clone(now))));
        new
    }

    fn list(&self, kind: &'static str, into: &mut Vec<(&'static str, String, Change)>) {
        into.extend(self.set.keys().map(|name| (kind, name.clone(), Change::Set)));
        into.extend(self.removed.iter().map(|name| (kind, name.clone(), Change::Removed)));
    }
}

impl Diff {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.changes().is_empty()
    }

    /// Kind, name and what happened, of everything that changed.
    pub fn changes(&self) -> Vec<(&'static str, String, Change)> {
        let mut all = Vec::new();
        self.services.list("MultiClusterService", &mut all);
        self.clusters.list("Cluster", &mut all);
        self.gateways.list("Gateway", &mut all);
        self.http_routes.list("HTTPRoute", &mut all);
        self.grpc_routes.list("GRPCRoute", &mut all);
        self.client_policies.list("ClientTrafficPolicy", &mut all);
        self.rate_limits.list("LocalRateLimit", &mut all);
        self.fault_injections.list("FaultInjection", &mut all);
        if self.proxy.is_some() {
            all.push(("ProxyConfig", String::new(), Change::Set));
        }
        self.application_sets.list("ApplicationSet", &mut all);
        self.cost_policies.list("CostAwareScheduling", &mut all);
        all
    }
}

/// What must change in `old` to make it `new`.
pub fn diff(old: &Config, new: &Config) -> Diff {
    Diff {
        services: Changed::between(&old.services, &new.services),
        clusters: Changed::between(&old.clusters, &new.clusters),
        gateways: Changed::between(&old.gateways, &new.gateways),
        http_routes: Changed::between(&old.http_routes, &new.http_routes),
        grpc_routes: Changed::between(&old.grpc_routes, &new.grpc_routes),
        client_policies: Changed::between(&old.client_policies, &new.client_policies),
        rate_limits: Changed::between(&old.rate_limits, &new.rate_limits),
        fault_injections: Changed::between(&old.fault_injections, &new.fault_injections),
        proxy: (old.proxy != new.proxy).then(|| new.proxy.clone()),
        application_sets: Changed::between(&old.application_sets, &new.application_sets),
        cost_policies: Changed::between(&old.cost_policies, &new.cost_policies),
    }
}

/// `old` with the changes made: `apply(a, diff(a, b)) == b`. What did not change is shared with `old`.
pub fn apply(old: &Config, diff: &Diff) -> Config {
    Config {
        services: diff.services.applied(&old.services),
        clusters: diff.clusters.applied(&old.clusters),
        gateways: diff.gateways.applied(&old.gateways),
        http_routes: diff.http_routes.applied(&old.http_routes),
        grpc_routes: diff.grpc_routes.applied(&old.grpc_routes),
        client_policies: diff.client_policies.applied(&old.client_policies),
        rate_limits: diff.rate_limits.applied(&old.rate_limits),
        fault_injections: diff.fault_injections.applied(&old.fault_injections),
        proxy: diff.proxy.clone().unwrap_or_else(|| old.proxy.clone()),
        application_sets: diff.application_sets.applied(&old.application_sets),
        cost_policies: diff.cost_policies.applied(&old.cost_policies),
    }
}
