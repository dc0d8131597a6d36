//! The kinds of resource: for each its model, how a document of it is read, and what is checked on the way.
//!
//! A model has every default applied and holds only what can be meant; what a document may leave out, write in
//! two ways or get wrong ends in the reading functions beside it. A rule that needs more than one document
//! lives in `resolve.rs`.

mod application_set;
mod client_traffic_policy;
mod cluster;
mod cost_aware_scheduling;
mod filter;
mod gateway;
mod grpc_route;
mod http_route;
mod multi_cluster_service;
mod proxy_config;
mod route;
pub(crate) mod traffic_defaults;

pub use application_set::{
    AppDestination, AppHook, AppSource, ApplicationSet, AutomatedSync, HealthGate, RolloutTarget, SyncPolicy,
};
pub use client_traffic_policy::{
    ClientLimits, ClientTimeouts, ClientTrafficPolicy, PolicyTarget, PolicyTargetKind,
};
pub use cluster::{
    Cluster, Endpoint, EndpointAddr, HealthCheck, Host, Probe, Protocol, StatusRange, UpstreamTls,
};
pub use cost_aware_scheduling::{
    Checkpoint, CostAwareScheduling, CostPolicy, DataLocality, DataSet, InterruptionTolerance, PriceWindow,
    ResourceNeeds, SlaPolicy,
};
pub use filter::{HeaderModifier, PathRewrite, RedirectScheme, RequestRedirect, RouteFilter, UrlRewrite};
pub use gateway::{Gateway, HostPattern, Listener, ListenerProtocol, ListenerTls};
pub use grpc_route::{GrpcMethodMatch, GrpcRoute, GrpcRouteMatch, GrpcRouteRule};
pub use http_route::{HttpRoute, PathMatch, QueryMatch, RouteMatch, RouteRule, RouteTimeouts};
pub(crate) use multi_cluster_service::ServiceDefaults;
pub use multi_cluster_service::{
    Backoff, CircuitBreaker, EndpointAlgorithm, FailoverRule, FailurePercentage, HashOn, Limits,
    LoadBalancer, MultiClusterService, OutlierDetection, Recovery, Retries, RetryBudget, RetryOn, Selection,
    ServiceCluster, SlowStart, SuccessRate,
};
pub use proxy_config::{AccessLog, AccessLogFormat, AccessLogTarget, ProxyConfig};
pub use route::{BackendRef, HeaderMatch, ParentRef, StringMatch};
