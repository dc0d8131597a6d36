//! `GRPCRoute` (gateway.networking.k8s.io/v1): which gRPC method goes to which service.

use serde::Serialize;

use super::gateway::HostPattern;
use super::http_route::RouteFilter;
use super::route::{BackendRef, HeaderMatch, ParentRef, StringMatch};

/// Rules for the gRPC calls of some hosts. The order of rules is the order written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GrpcRoute {
    /// `metadata.name`.
    pub name: String,
    /// The Gateways it attaches to; never empty.
    pub parents: Vec<ParentRef>,
    /// Empty: every host of the listener.
    pub hostnames: Vec<HostPattern>,
    /// Never empty.
    pub rules: Vec<GrpcRouteRule>,
}

/// One rule: any of `matches`, then `filters` in order, then one of `backends`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GrpcRouteRule {
    /// Unique in the route.
    pub name: Option<String>,
    /// Joined by OR; never empty (default: one that matches every call).
    pub matches: Vec<GrpcRouteMatch>,
    /// Header modifiers only.
    pub filters: Vec<RouteFilter>,
    /// Empty, or all weights 0: answered with `UNAVAILABLE`.
    pub backends: Vec<BackendRef>,
}

/// Conditions joined by AND.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GrpcRouteMatch {
    /// `None`: every method.
    pub method: Option<GrpcMethodMatch>,
    /// Names unique.
    pub headers: Vec<HeaderMatch>,
}

/// The call `/service/method`; at least one of the two is set. `None` is any.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GrpcMethodMatch {
    /// The full name, such as `grpc.health.v1.Health`.
    pub service: Option<StringMatch>,
    /// Such as `Check`.
    pub method: Option<StringMatch>,
}
