//! `GRPCRoute` (gateway.networking.k8s.io/v1): which gRPC method goes to which service.

use std::collections::HashSet;

use serde::Serialize;

use super::filter::{self, RouteFilter};
use super::gateway::HostPattern;

use super::route::{self, BackendRef, HeaderMatch, ParentRef, StringMatch};
use crate::read::{At, Fields};

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
    /// Header modifiers, mirrors and references to documents of our own.
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

impl GrpcRoute {
    pub(crate) fn read(name: &str, mut spec: Fields<'_>) -> Option<Self> {
        let (hostnames, parents) = route::head(&mut spec);
        let mut names = HashSet::new();
        let rules = spec.get("rules", |at| {
            at.at_most(16)?.filled_list(|at| GrpcRouteRule::read(at.fields()?, &mut names))
        });
        if !spec.has("rules") {
            let remedy = "write rules with `matches` and `backendRefs`";
            spec.at().warn("the route has no `rules`, so it answers every call with UNAVAILABLE", remedy);
        }
        let rules = rules.unwrap_or_else(|| vec![GrpcRouteRule::default()]);
        Some(GrpcRoute { name: name.to_owned(), parents: parents?, hostnames, rules })
    }
}

/// Every call, no backend.
impl Default for GrpcRouteRule {
    fn default() -> Self {
        GrpcRouteRule {
            name: None,
            matches: vec![GrpcRouteMatch::default()],
            filters: Vec::new(),
            backends: Vec::new(),
        }
    }
}

impl GrpcRouteRule {
    fn read(mut fields: Fields<'_>, names: &mut HashSet<String>) -> Option<Self> {
        let name = route::rule_name(&mut fields, names);
        fields.not_yet("timeouts", "set `resilience` of the MultiClusterService; grpc-timeout holds anyway");
        let matches = fields.get("matches", |at| {
            at.at_most(64)?.list(|at| {
                let mut fields = at.fields()?;
                let method = fields.get("method", |at| GrpcMethodMatch::read(at.fields()?));
                Some(GrpcRouteMatch { method, headers: route::header_matches(&mut fields) })
            })
        });
        let matches =
            matches.filter(|list| !list.is_empty()).unwrap_or_else(|| vec![GrpcRouteMatch::default()]);
        let filters = filter::grpc_filters(&mut fields);
        let backends = route::backends(&mut fields, false);
        filter::check_mirrors(&fields, &filters, &backends);
        Some(GrpcRouteRule { name, matches, filters, backends })
    }
}

impl GrpcMethodMatch {
    fn read(mut fields: Fields<'_>) -> Option<Self> {
        let by_pattern = route::by_pattern(&mut fields);
        let text = |at: At<'_>, fits: fn(&str) -> bool, example: &str| match by_pattern {
            true => route::pattern(at).map(StringMatch::Regex),
            false => {
                let text = at.text()?;
                match fits(&text) {
                    true => Some(StringMatch::Exact(text)),
                    false => at.refuse(
                        format!("`{text}` is not a name in gRPC"),
                        format!("write a name such as {example}"),
                    ),
                }
            }
        };
        let service = fields.get("service", |at| text(at, is_service, "grpc.health.v1.Health"));
        let method = fields.get("method", |at| text(at, is_identifier, "Check"));
        if !fields.has("service") && !fields.has("method") {
            fields.at().error("neither `service` nor `method` is given", "give one, or leave the match out");
        }
        Some(GrpcMethodMatch { service, method })
    }
}

/// Gateway API: `^[A-Za-z_][A-Za-z_0-9]*$`.
fn is_identifier(text: &str) -> bool {
    !text.starts_with(|first: char| first.is_ascii_digit())
        && !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Gateway API: identifiers joined by dots, one dot before them allowed.
fn is_service(text: &str) -> bool {
    text.strip_prefix('.').unwrap_or(text).split('.').all(is_identifier)
}
