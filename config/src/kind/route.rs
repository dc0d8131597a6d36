//! What `HTTPRoute` and `GRPCRoute` share: parents, backends, header matches and header edits.

use std::collections::HashSet;

use regex::bytes::RegexBuilder;
use serde::Serialize;

use super::gateway::HostPattern;
use super::multi_cluster_service::MAX_WEIGHT;
use crate::read::{At, Fields};
use crate::resolve::Reference;

/// A listener, or all listeners, of a `Gateway` that a route attaches to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ParentRef {
    /// Name of the `Gateway`.
    pub gateway: String,
    /// Only the listener of this name.
    pub section: Option<String>,
    /// Only listeners on this port.
    pub port: Option<u16>,
}

/// Where a rule sends its requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BackendRef {
    /// Name of the `MultiClusterService`.
    pub service: String,
    /// Share of the rule's requests relative to its other backends. Default 1; 0 to 1,000,000.
    pub weight: u32,
}

/// How a text is compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum StringMatch {
    /// Byte for byte.
    Exact(String),
    /// The whole text matches (syntax of the `regex` crate).
    Regex(String),
}

/// A header that must be there; several of one match are joined by AND.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HeaderMatch {
    /// In lower case.
    pub name: String,
    /// Its value.
    pub value: StringMatch,
}

/// What both kinds of route begin with: `hostnames` and `parentRefs`.
pub(crate) fn head(spec: &mut Fields<'_>) -> (Vec<HostPattern>, Option<Vec<ParentRef>>) {
    let hostnames = spec.or("hostnames", Vec::new(), |at| at.at_most(16)?.list(HostPattern::read));
    spec.not_yet("useDefaultGateways", "name the Gateway in `parentRefs`");
    let parents = spec.need("parentRefs", "name the Gateway: parentRefs: [{name: edge}]", |at| {
        at.at_most(32)?.filled_list(|at| {
            let mut fields = at.fields()?;
            let parent = ParentRef::read(&mut fields)?;
            fields
                .refer_at("name", Reference::Parent { parent: parent.clone(), hostnames: hostnames.clone() });
            Some(parent)
        })
    });
    (hostnames, parents)
}

/// `group`, `kind` and `namespace` of a reference, as far as they are not what they must be.
fn refers_to(fields: &mut Fields<'_>, group: &str, kind: &str, by_default: bool) {
    let remedy = format!("write group: {group}, kind: {kind}");
    let mut must = |name: &'static str, word: &str| match fields.has(name) {
        true => {
            fields.get(name, |at| match at.any_text()? {
                text if text == word => Some(()),
                text => at.refuse(
                    format!("a reference to the {name} `{text}` cannot be served here"),
                    remedy.as_str(),
                ),
            });
        }
        false => {
            fields.ignore(name);
            if !by_default {
                fields.at().error(
                    format!("without `{name}` this refers to a Service of Kubernetes"),
                    remedy.as_str(),
                );
            }
        }
    };
    must("group", group);
    must("kind", kind);
    fields.not_yet("namespace", "leave it out: names are looked up among the given files");
}

impl ParentRef {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        refers_to(fields, "gateway.networking.k8s.io", "Gateway", true);
        let gateway = fields.need("name", "name the Gateway", |at| at.name());
        let section = fields.get("sectionName", |at| at.name());
        let port = fields.get("port", |at| at.port());
        Some(ParentRef { gateway: gateway?, section, port })
    }
}

/// `backendRefs` of a rule. `answered`: a filter answers, so that there must be none.
pub(crate) fn backends(rule: &mut Fields<'_>, answered: bool) -> Vec<BackendRef> {
    let backends =
        rule.or("backendRefs", Vec::new(), |at| at.at_most(16)?.list(|at| BackendRef::read(at.fields()?)));
    let given = rule.has("backendRefs");
    if answered && !backends.is_empty() {
        rule.error_at(
            "backendRefs",
            "a rule that redirects asks no backend",
            "leave `backendRefs` out, or the redirect",
        );
    } else if !answered && !given {
        let remedy = "name a service: backendRefs: [{group: mesh.macleodlabs.io, kind: MultiClusterService, name: api}]";
        rule.at().warn("the rule has no `backendRefs`, so it answers every request with 500", remedy);
    } else if !backends.is_empty() && backends.iter().all(|backend| backend.weight == 0) {
        let message = "every backend has weight 0, so the rule answers every request with 500";
        rule.warn_at("backendRefs", message, "give at least one a weight above 0");
    }
    backends
}

/// A reference to a `MultiClusterService`, which is looked up when everything has been read.
pub(super) fn service_ref(fields: &mut Fields<'_>) -> Option<String> {
    refers_to(fields, "mesh.macleodlabs.io", "MultiClusterService", false);
    let service = fields.need("name", "name the MultiClusterService", |at| at.name());
    fields.get("port", |at| {
        at.warn("a port means nothing here: the endpoints of a Cluster have theirs", "leave it out");
        at.port()
    });
    let service = service?;
    fields.refer_at("name", Reference::Service(service.clone()));
    Some(service)
}

impl BackendRef {
    fn read(mut fields: Fields<'_>) -> Option<Self> {
        let weight = fields.or("weight", 1, |at| at.u32(0..=MAX_WEIGHT));
        fields.not_yet("filters", "move them to the rule");
        Some(BackendRef { service: service_ref(&mut fields)?, weight })
    }
}

/// The largest compiled pattern, in bytes: that of the proxy, so that what loads here compiles there.
const REGEX_LIMIT: usize = 1 << 20;

/// A pattern that the proxy can compile: over bytes, without Unicode classes, whole text.
pub(crate) fn pattern(at: At<'_>) -> Option<String> {
    let text = at.text()?;
    match RegexBuilder::new(&text).unicode(false).size_limit(REGEX_LIMIT).build() {
        Ok(_) => Some(text),
        Err(error) => {
            let reason = error.to_string();
            let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ");
            at.refuse(
                format!("`{text}` is not a pattern: {reason}"),
                "write it in the syntax of the regex crate",
            )
        }
    }
}

/// `type` of a match, beside its `value`; `true` is a regular expression.
pub(crate) fn by_pattern(fields: &mut Fields<'_>) -> bool {
    fields.or("type", false, |at| at.choice(&[("Exact", false), ("RegularExpression", true)]))
}

/// `value` of a header or query match.
pub(crate) fn string_match(fields: &mut Fields<'_>) -> Option<StringMatch> {
    let by_pattern = by_pattern(fields);
    fields.need("value", "write the value to compare with", |at| match by_pattern {
        true => pattern(at).map(StringMatch::Regex),
        false => at.text().map(StringMatch::Exact),
    })
}

/// `headers` of a match. The names differ: Gateway API counts only the first of several.
pub(crate) fn header_matches(fields: &mut Fields<'_>) -> Vec<HeaderMatch> {
    let mut names = HashSet::new();
    fields.or("headers", Vec::new(), |at| {
        at.at_most(16)?.list(|at| {
            let mut fields = at.fields()?;
            let name = fields.need("name", "name the header", |at| unique_header(at, &mut names));
            let value = string_match(&mut fields);
            Some(HeaderMatch { name: name?, value: value? })
        })
    })
}

pub(crate) fn unique_header(at: At<'_>, names: &mut HashSet<String>) -> Option<String> {
    let name = at.header_name()?;
    at.unique(names, "the header", &name);
    Some(name)
}

/// Names of rules: unique in the route (Gateway API `rules[].name`).
pub(crate) fn rule_name(rule: &mut Fields<'_>, names: &mut HashSet<String>) -> Option<String> {
    rule.not_yet("retry", "set `resilience.retries` of the MultiClusterService");
    rule.not_yet("sessionPersistence", "set `loadBalancer.consistentHash` of the MultiClusterService");
    rule.get("name", |at| {
        let name = at.name()?;
        at.unique(names, "the rule", &name);
        Some(name)
    })
}
