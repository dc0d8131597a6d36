//! The kinds of resource: for each its model, how a document of it is read, and what is checked on the way.
//!
//! A model has every default applied and holds only what can be meant; what a document may leave out, write in
//! two ways or get wrong ends in the reading functions beside it. A rule that needs more than one document
//! lives in `resolve.rs`.

mod application_set;
mod client_traffic_policy;
pub(crate) mod cluster;
mod cost_aware_scheduling;
mod discovery;
mod fault_injection;
mod filter;
mod gateway;
mod grpc_route;
mod http_route;
mod local_rate_limit;
mod multi_cluster_service;
mod proxy_config;
mod route;
mod subject_alt_name;
pub(crate) mod traffic_defaults;

pub use application_set::{
    AppDestination, AppHook, AppSource, ApplicationSet, AutomatedSync, HealthGate, RolloutTarget, SyncPolicy,
};
pub use client_traffic_policy::{
    ClientLimits, ClientTimeouts, ClientTrafficPolicy, ForwardingHeader, PolicyTarget, PolicyTargetKind,
};
pub use cluster::{
    Cluster, Endpoint, EndpointAddr, HealthCheck, Host, Probe, Protocol, ProxyProtocol, StatusRange,
    UpstreamTls,
};
pub use cost_aware_scheduling::{
    Checkpoint, CostAwareScheduling, CostPolicy, DataLocality, DataSet, InterruptionTolerance, PriceWindow,
    ResourceNeeds, SlaPolicy,
};
pub use discovery::{AddressFamily, Discovery, DnsDiscovery, DnsQuery, MAX_DISCOVERED};
pub use fault_injection::{AbortAnswer, FaultAbort, FaultDelay, FaultInjection};
pub use filter::{
    Cors, ExtensionKind, ExtensionRef, Fraction, HeaderModifier, Listed, OriginHost, OriginPattern,
    PathRewrite, RedirectScheme, RequestMirror, RequestRedirect, RouteFilter, UrlRewrite,
};
pub use gateway::{ClientAuth, Gateway, HostPattern, Listener, ListenerProtocol, ListenerTls};
pub use grpc_route::{GrpcMethodMatch, GrpcRoute, GrpcRouteMatch, GrpcRouteRule};
pub use http_route::{HttpRoute, PathMatch, QueryMatch, RouteMatch, RouteRule, RouteTimeouts};
pub use local_rate_limit::{LimitKey, LocalRateLimit};
pub(crate) use multi_cluster_service::ServiceDefaults;
pub use multi_cluster_service::{
    Backoff, CircuitBreaker, EndpointAlgorithm, FailoverRule, FailurePercentage, HashOn, Limits,
    LoadBalancer, MultiClusterService, OutlierDetection, Recovery, Retries, RetryBudget, RetryOn, Selection,
    ServiceCluster, SlowStart, SuccessRate,
};
pub use proxy_config::{AccessLog, AccessLogFormat, AccessLogTarget, Overload, ProxyConfig};
pub use route::{BackendRef, HeaderMatch, ParentRef, StringMatch};
