//! The validated model as a whole.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use crate::kind::{
    ApplicationSet, ClientTrafficPolicy, Cluster, CostAwareScheduling, Discovery, FaultInjection, Gateway,
    GrpcRoute, HttpRoute, LocalRateLimit, MultiClusterService, PolicyTargetKind, ProxyConfig,
};

/// Everything that was loaded, each resource by its `metadata.name`.
///
/// Resources are behind an `Arc` so that a new version shares what did not change with the old one
/// (see [`apply`](crate::apply)), and a reader can tell by the pointer.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Config {
    /// `MultiClusterService`.
    pub services: BTreeMap<String, Arc<MultiClusterService>>,
    /// `Cluster`.
    pub clusters: BTreeMap<String, Arc<Cluster>>,
    /// `Gateway`.
    pub gateways: BTreeMap<String, Arc<Gateway>>,
    /// `HTTPRoute`.
    pub http_routes: BTreeMap<String, Arc<HttpRoute>>,
    /// `GRPCRoute`.
    pub grpc_routes: BTreeMap<String, Arc<GrpcRoute>>,
    /// `ClientTrafficPolicy`.
    pub client_policies: BTreeMap<String, Arc<ClientTrafficPolicy>>,
    /// `LocalRateLimit`.
    pub rate_limits: BTreeMap<String, Arc<LocalRateLimit>>,
    /// `FaultInjection`.
    pub fault_injections: BTreeMap<String, Arc<FaultInjection>>,
    /// `ProxyConfig`, or its defaults.
    pub proxy: ProxyConfig,
    /// `ApplicationSet`.
    pub application_sets: BTreeMap<String, Arc<ApplicationSet>>,
    /// `CostAwareScheduling`.
    pub cost_policies: BTreeMap<String, Arc<CostAwareScheduling>>,
}

impl Config {
    /// The files that clusters take their endpoints from. They may lie among the files of the configuration, and
    /// are no part of it.
    pub fn endpoint_files(&self) -> impl Iterator<Item = &Path> {
        self.clusters.values().filter_map(|cluster| match &cluster.discovery {
            Some(Discovery::File { path }) => Some(path.as_path()),
            _ => None,
        })
    }

    /// The policy of a listener: the one for the listener itself, else the one for its whole Gateway. It holds as
    /// a whole; what it leaves out is at its default, not at the wider policy's value.
    pub fn listener_policy(&self, gateway: &str, listener: &str) -> Option<&Arc<ClientTrafficPolicy>> {
        self.policy(PolicyTargetKind::Gateway, gateway, Some(listener))
    }

    /// The policy of a rule: the one for the rule itself if it has a name, else the one for its whole route.
    /// Of it only `body_idle`, `upgrade_idle`, `stream_max` and `body_bytes` count, in place of the listener's.
    pub fn rule_policy(&self, route: &str, rule: Option<&str>) -> Option<&Arc<ClientTrafficPolicy>> {
        self.policy(PolicyTargetKind::HttpRoute, route, rule)
    }

    fn policy(
        &self,
        kind: PolicyTargetKind,
        name: &str,
        part: Option<&str>,
    ) -> Option<&Arc<ClientTrafficPolicy>> {
        let find = |section: Option<&str>| {
            self.client_policies.values().find(|policy| {
                let mut targets = policy.targets.iter();
                targets.any(|t| t.kind == kind && t.name == name && t.section.as_deref() == section)
            })
        };
        part.and_then(|part| find(Some(part))).or_else(|| find(None))
    }
}
