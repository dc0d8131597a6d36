//! `HTTPRoute` (gateway.networking.k8s.io/v1): which request goes to which service.

use std::time::Duration;

use serde::Serialize;

use super::gateway::HostPattern;
use super::route::{BackendRef, HeaderMatch, HeaderModifier, ParentRef, StringMatch};

/// Rules for the requests of some hosts. The order of rules is the order written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpRoute {
    /// `metadata.name`.
    pub name: String,
    /// The Gateways it attaches to; never empty.
    pub parents: Vec<ParentRef>,
    /// Empty: every host of the listener.
    pub hostnames: Vec<HostPattern>,
    /// Never empty.
    pub rules: Vec<RouteRule>,
}

/// One rule: any of `matches`, then `filters` in order, then one of `backends`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteRule {
    /// Unique in the route.
    pub name: Option<String>,
    /// Joined by OR; never empty (default: the path prefix `/`).
    pub matches: Vec<RouteMatch>,
    /// In the order written.
    pub filters: Vec<RouteFilter>,
    /// How long a request may take.
    pub timeouts: RouteTimeouts,
    /// Empty, or all weights 0: answered with 500, unless a redirect answers before.
    pub backends: Vec<BackendRef>,
}

/// Conditions joined by AND.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteMatch {
    /// Default: the prefix `/`.
    pub path: PathMatch,
    /// In upper case.
    pub method: Option<String>,
    /// Names unique.
    pub headers: Vec<HeaderMatch>,
    /// Names unique.
    pub query: Vec<QueryMatch>,
}

/// How a path is compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum PathMatch {
    /// The whole path, case-sensitive.
    Exact(String),
    /// Whole path segments: `/a` matches `/a`, `/a/` and `/a/b`, not `/ab`. Kept as written.
    Prefix(String),
    /// The whole path matches (syntax of the `regex` crate).
    Regex(String),
}

/// A query parameter that must be there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct QueryMatch {
    /// Case-sensitive.
    pub name: String,
    /// Its value.
    pub value: StringMatch,
}

/// `timeouts` of a rule; the smaller of these and the service's wins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteTimeouts {
    /// The whole request, retries included. `None` (default, or `0s`): the route sets none.
    #[serde(serialize_with = "crate::serialize::optional_duration")]
    pub request: Option<Duration>,
    /// One try. Not above `request`. `None` (default, or `0s`): the route sets none.
    #[serde(serialize_with = "crate::serialize::optional_duration")]
    pub backend_request: Option<Duration>,
}

/// A step between match and backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum RouteFilter {
    /// Edits the request's headers.
    RequestHeaderModifier(HeaderModifier),
    /// Edits the response's headers.
    ResponseHeaderModifier(HeaderModifier),
    /// Answers with a redirect; no backend is asked.
    RequestRedirect(RequestRedirect),
    /// Changes host or path before the backend is asked.
    UrlRewrite(UrlRewrite),
}

/// `requestRedirect`; what is `None` stays as in the request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestRedirect {
    /// Scheme of the `Location`.
    pub scheme: Option<RedirectScheme>,
    /// Host of the `Location`.
    pub hostname: Option<String>,
    /// Path of the `Location`.
    pub path: Option<PathRewrite>,
    /// `None`: the well-known port of `scheme` if that is set, else the listener's (Gateway API).
    pub port: Option<u16>,
    /// One of 301, 302, 303, 307, 308. Default 302.
    pub status: u16,
}

/// Scheme of a redirect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum RedirectScheme {
    /// `http`, port 80.
    Http,
    /// `https`, port 443.
    Https,
}

/// `urlRewrite`; what is `None` stays as in the request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UrlRewrite {
    /// The Host header towards the backend.
    pub hostname: Option<String>,
    /// The path towards the backend.
    pub path: Option<PathRewrite>,
}

/// The new path of a redirect or a rewrite.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum PathRewrite {
    /// `ReplaceFullPath`.
    Full(String),
    /// `ReplacePrefixMatch`: the matched prefix, in a rule whose only match is a path prefix.
    Prefix(String),
}
