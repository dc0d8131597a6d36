//! The validated model as a whole.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use crate::kind::{
    ApplicationSet, ClientTrafficPolicy, Cluster, CostAwareScheduling, Gateway, GrpcRoute, HttpRoute,
    MultiClusterService, ProxyConfig,
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
    /// `ProxyConfig`, or its defaults.
    pub proxy: ProxyConfig,
    /// `ApplicationSet`.
    pub application_sets: BTreeMap<String, Arc<ApplicationSet>>,
    /// `CostAwareScheduling`.
    pub cost_policies: BTreeMap<String, Arc<CostAwareScheduling>>,
}
