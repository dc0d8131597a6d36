//! `HTTPRoute` (gateway.networking.k8s.io/v1): which request goes to which service.

use std::collections::HashSet;
use std::time::Duration;

use serde::Serialize;

use super::filter::{self, RouteFilter};
use super::gateway::HostPattern;
use super::route::{self, BackendRef, HeaderMatch, ParentRef, StringMatch};
use crate::read::{At, Fields};
use crate::resolve::Reference;

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

impl HttpRoute {
    pub(crate) fn read(name: &str, mut spec: Fields<'_>) -> Option<Self> {
        let (hostnames, parents) = route::head(&mut spec);
        let mut names = HashSet::new();
        let rules = spec
            .get("rules", |at| at.at_most(16)?.filled_list(|at| RouteRule::read(at.fields()?, &mut names)));
        if !spec.has("rules") {
            let remedy = "write rules with `matches` and `backendRefs`";
            spec.at().warn("the route has no `rules`, so it answers every request with 500", remedy);
        }
        let rules = rules.unwrap_or_else(|| vec![RouteRule::default()]);
        Some(HttpRoute { name: name.to_owned(), parents: parents?, hostnames, rules })
    }
}

/// The rule that Gateway API puts where there is none: every path, no backend.
impl Default for RouteRule {
    fn default() -> Self {
        RouteRule {
            name: None,
            matches: vec![RouteMatch::default()],
            filters: Vec::new(),
            timeouts: RouteTimeouts::default(),
            backends: Vec::new(),
        }
    }
}

/// Every request.
impl Default for RouteMatch {
    fn default() -> Self {
        RouteMatch {
            path: PathMatch::Prefix(String::from("/")),
            method: None,
            headers: Vec::new(),
            query: Vec::new(),
        }
    }
}

pub(super) const METHODS: [(&str, &str); 9] = [
    ("GET", "GET"),
    ("HEAD", "HEAD"),
    ("POST", "POST"),
    ("PUT", "PUT"),
    ("DELETE", "DELETE"),
    ("CONNECT", "CONNECT"),
    ("OPTIONS", "OPTIONS"),
    ("TRACE", "TRACE"),
    ("PATCH", "PATCH"),
];

impl RouteRule {
    fn read(mut fields: Fields<'_>, names: &mut HashSet<String>) -> Option<Self> {
        let name = route::rule_name(&mut fields, names);
        let matches = fields.get("matches", |at| at.at_most(64)?.list(|at| RouteMatch::read(at.fields()?)));
        let matches = matches.filter(|list| !list.is_empty()).unwrap_or_else(|| vec![RouteMatch::default()]);
        let filters = filter::http_filters(&mut fields, &matches);
        let timeouts =
            fields.or("timeouts", RouteTimeouts::default(), |at| at.fields().map(RouteTimeouts::read));
        let redirects = filters.iter().any(|filter| matches!(filter, RouteFilter::RequestRedirect(_)));
        let backends = route::backends(&mut fields, redirects);
        filter::check_mirrors(&fields, &filters, &backends);
        for (bound, name) in [(timeouts.request, "request"), (timeouts.backend_request, "backendRequest")] {
            if let Some(bound) = bound {
                let services = backends.iter().map(|backend| backend.service.clone()).collect();
                fields.refer_at("timeouts", Reference::RouteTimeout { name, bound, services });
            }
        }
        Some(RouteRule { name, matches, filters, timeouts, backends })
    }
}

impl RouteTimeouts {
    fn read(mut fields: Fields<'_>) -> Self {
        let request = fields.or("request", None, |at| at.limit());
        let backend_request = fields.or("backendRequest", None, |at| at.limit());
        if let Some((request, backend)) = request.zip(backend_request)
            && backend > request
        {
            let remedy = "lower `backendRequest`, or raise `request` (Gateway API refuses it too)";
            fields.error_at("backendRequest", "longer than `request`, of which it is a part", remedy);
        }
        RouteTimeouts { request, backend_request }
    }
}

impl RouteMatch {
    fn read(mut fields: Fields<'_>) -> Option<Self> {
        let path = fields.get("path", |at| PathMatch::read(at.fields()?));
        let method = fields.get("method", |at| at.choice(&METHODS)).map(str::to_owned);
        let headers = route::header_matches(&mut fields);
        let mut names = HashSet::new();
        let query = fields.or("queryParams", Vec::new(), |at| {
            at.at_most(16)?.list(|at| {
                let mut fields = at.fields()?;
                let name = fields.need("name", "name the query parameter", |at| {
                    let name = at.text()?;
                    at.unique(&mut names, "the query parameter", &name);
                    Some(name)
                });
                let value = route::string_match(&mut fields);
                Some(QueryMatch { name: name?, value: value? })
            })
        });
        Some(RouteMatch { path: path.unwrap_or_else(|| RouteMatch::default().path), method, headers, query })
    }
}

impl PathMatch {
    fn read(mut fields: Fields<'_>) -> Option<Self> {
        type Wrap = fn(String) -> PathMatch;
        let kinds: [(&str, Wrap); 3] = [
            ("Exact", PathMatch::Exact),
            ("PathPrefix", PathMatch::Prefix),
            ("RegularExpression", PathMatch::Regex),
        ];
        let kind = fields.or("type", PathMatch::Prefix as Wrap, |at| at.choice(&kinds));
        let by_pattern = matches!(kind(String::new()), PathMatch::Regex(_));
        let value = fields.get("value", |at| match by_pattern {
            true => route::pattern(at),
            false => path(at),
        });
        Some(kind(value.unwrap_or_else(|| String::from("/"))))
    }
}

/// Gateway API `HTTPPathMatch.value`: absolute, at most 1024 characters, in a form that no server normalises.
fn path(at: At<'_>) -> Option<String> {
    let text = at.text()?;
    let bytes = text.as_bytes();
    let escaped =
        |at: usize| bytes[at + 1..].iter().take_while(|byte| byte.is_ascii_hexdigit()).take(2).count() == 2;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-/._~!$&'()*+,;=:@".contains(&byte);
    let legal = bytes.iter().enumerate().all(|(at, byte)| plain(*byte) || *byte == b'%' && escaped(at));
    let lower = text.to_ascii_lowercase();
    let forbidden = ["//", "/./", "/../", "%2f"].into_iter().find(|part| lower.contains(part));
    let ending = ["/..", "/."].into_iter().find(|part| text.ends_with(part));
    let reason = match forbidden.or(ending) {
        _ if !text.starts_with('/') => String::from("it does not begin with `/`"),
        _ if text.len() > 1024 => String::from("it is longer than 1024 characters"),
        Some(part) => format!("it contains `{part}`, which servers normalise away"),
        None if !legal => String::from("it has characters that must be percent-encoded"),
        None => return Some(text),
    };
    at.refuse(format!("`{text}` is not a path to match: {reason}"), "write an absolute path, such as /api")
}
