//! `filters` of a route's rule: what happens to a request between match and backend.

mod cors;
mod edit;
mod extension;
mod mirror;
mod rewrite;

use serde::Serialize;

pub use self::cors::{Cors, Listed, OriginHost, OriginPattern};
pub use self::edit::HeaderModifier;
pub use self::extension::{ExtensionKind, ExtensionRef};
pub use self::mirror::{Fraction, RequestMirror};
pub use self::rewrite::{PathRewrite, RedirectScheme, RequestRedirect, UrlRewrite};
use super::http_route::{PathMatch, RouteMatch};
use super::route::BackendRef;
use crate::read::{At, Fields};

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
    /// Sends a copy elsewhere. May stand several times in a rule.
    RequestMirror(RequestMirror),
    /// Lets web pages of other origins in.
    Cors(Cors),
    /// A step of our own, described in a document of its own. May stand several times in a rule.
    ExtensionRef(ExtensionRef),
}

/// Gateway API lets most types stand once in a rule; mirrors and references to different documents, any number.
fn once(at: At<'_>, filters: &[RouteFilter], filter: &RouteFilter) {
    let same_type = |other: &RouteFilter| std::mem::discriminant(other) == std::mem::discriminant(filter);
    match filter {
        RouteFilter::ExtensionRef(_) if filters.contains(filter) => {
            at.error("the same document is named twice in the rule", "keep one of the two");
        }
        RouteFilter::ExtensionRef(_) | RouteFilter::RequestMirror(_) => {}
        _ if filters.iter().any(same_type) => {
            at.error("a filter of this type is given twice in the rule", "join the two");
        }
        _ => {}
    }
}

/// `filters` of a rule. `read` knows the types that only this kind of route has.
fn filters(
    rule: &mut Fields<'_>,
    mut read: impl FnMut(&str, At<'_>, &mut Fields<'_>) -> Option<RouteFilter>,
) -> Vec<RouteFilter> {
    let mut all: Vec<RouteFilter> = Vec::new();
    rule.get("filters", |at| {
        at.at_most(16)?.list(|at| {
            let mut fields = at.fields()?;
            let Some(kind) = fields.need("type", "name the type of the filter", |at| at.text()) else {
                fields.ignore_rest();
                return None;
            };
            let filter = match &*kind {
                "RequestHeaderModifier" => fields
                    .need("requestHeaderModifier", MODIFIER, |at| at.fields().map(HeaderModifier::read))
                    .map(RouteFilter::RequestHeaderModifier),
                "ResponseHeaderModifier" => fields
                    .need("responseHeaderModifier", MODIFIER, |at| at.fields().map(HeaderModifier::read))
                    .map(RouteFilter::ResponseHeaderModifier),
                "RequestMirror" => fields
                    .need("requestMirror", "add it, with `backendRef`", |at| {
                        RequestMirror::read(at.fields()?)
                    })
                    .map(RouteFilter::RequestMirror),
                "ExtensionRef" => fields
                    .need("extensionRef", "add it, with group, kind and name", |at| {
                        ExtensionRef::read(at.fields()?)
                    })
                    .map(RouteFilter::ExtensionRef),
                other => read(other, at, &mut fields),
            }?;
            once(at, &all, &filter);
            all.push(filter);
            Some(())
        })
    });
    all
}

const MODIFIER: &str = "add it, with `set`, `add` or `remove`";

/// The types that routes of every kind have.
const COMMON: [&str; 4] =
    ["RequestHeaderModifier", "ResponseHeaderModifier", "RequestMirror", "ExtensionRef"];

/// The types that only an `HTTPRoute` has.
const HTTP_ONLY: [&str; 3] = ["RequestRedirect", "URLRewrite", "CORS"];

/// A type of filter that the kind does not run; `more` are those that it runs besides [`COMMON`].
fn other_filter(kind: &str, fields: &mut Fields<'_>, more: &[&str]) -> Option<RouteFilter> {
    let refuse = |fields: &mut Fields<'_>, message: String, remedy: String| {
        fields.error_at("type", message, remedy);
        None
    };
    if kind == "ExternalAuth" {
        fields.ignore("externalAuth");
        return refuse(
            fields,
            format!("a filter of type `{kind}` is not run yet"),
            String::from("leave the filter out"),
        );
    }
    fields.ignore_rest();
    let known = COMMON.iter().chain(more).copied();
    let remedy = fields.at().file.notes.remedy(kind, known, "write one of");
    refuse(fields, format!("`{kind}` is not a type of filter"), remedy)
}

/// The filters of a rule of a `GRPCRoute`.
pub(crate) fn grpc_filters(rule: &mut Fields<'_>) -> Vec<RouteFilter> {
    filters(rule, |kind, _, fields| other_filter(kind, fields, &[]))
}

/// The filters of a rule of an `HTTPRoute` with these matches.
pub(crate) fn http_filters(rule: &mut Fields<'_>, matches: &[RouteMatch]) -> Vec<RouteFilter> {
    let one_prefix = matches!(matches, [RouteMatch { path: PathMatch::Prefix(_), .. }]);
    let no_preflight =
        matches.iter().all(|found| found.method.as_deref().is_some_and(|name| name != "OPTIONS"));
    let (mut redirected, mut rewritten) = (false, false);
    filters(rule, |kind, at, fields| {
        let filter = match kind {
            "RequestRedirect" => fields
                .need("requestRedirect", "add it", |at| Some(RequestRedirect::read(at.fields()?, one_prefix)))
                .map(RouteFilter::RequestRedirect),
            "URLRewrite" => fields
                .need("urlRewrite", "add it", |at| Some(UrlRewrite::read(at.fields()?, one_prefix)))
                .map(RouteFilter::UrlRewrite),
            "CORS" => {
                if no_preflight {
                    let remedy = "match OPTIONS as well, or no method";
                    at.warn(
                        "the rule matches other methods only, so no preflight (OPTIONS) gets here",
                        remedy,
                    );
                }
                fields
                    .need("cors", "add it, with `allowOrigins`", |at| at.fields().map(Cors::read))
                    .map(RouteFilter::Cors)
            }
            other => return other_filter(other, fields, &HTTP_ONLY),
        };
        redirected |= kind == "RequestRedirect";
        rewritten |= kind == "URLRewrite";
        if redirected && rewritten {
            at.error(
                "`RequestRedirect` and `URLRewrite` exclude each other",
                "keep one of the two in the rule",
            );
        }
        filter
    })
}

/// What can hardly be meant of the mirrors of a rule with these backends.
pub(crate) fn check_mirrors(rule: &Fields<'_>, filters: &[RouteFilter], backends: &[BackendRef]) {
    let redirects = filters.iter().any(|filter| matches!(filter, RouteFilter::RequestRedirect(_)));
    for filter in filters {
        let RouteFilter::RequestMirror(mirror) = filter else { continue };
        if redirects {
            let remedy = "leave the mirror out, or the redirect";
            rule.warn_at("filters", "a rule that redirects has nothing to mirror", remedy);
        }
        if backends.iter().any(|backend| backend.service == mirror.service) {
            let message = format!(
                "the mirror `{}` is a backend of the rule as well: it does the work twice",
                mirror.service
            );
            rule.warn_at("filters", message, "mirror to another MultiClusterService");
        }
    }
}
