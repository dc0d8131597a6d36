//! `filters` of a route's rule: what happens to a request between match and backend.

use std::collections::HashSet;

use serde::Serialize;

use super::http_route::{PathMatch, RouteMatch};
use super::route::unique_header;
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
}

/// Edits of a header section, applied in the order `set`, `add`, `remove`. Names in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HeaderModifier {
    /// Overwrite.
    pub set: Vec<(String, String)>,
    /// Append.
    pub add: Vec<(String, String)>,
    /// Take away.
    pub remove: Vec<String>,
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

/// Gateway API lets each of our types stand once in a rule.
fn once(at: At<'_>, filters: &[RouteFilter], filter: &RouteFilter) {
    if filters.iter().any(|other| std::mem::discriminant(other) == std::mem::discriminant(filter)) {
        at.error("a filter of this type is given twice in the rule", "join the two");
    }
}

/// `filters` of a rule. `read` knows the types that the kind has besides the header modifiers.
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

/// The types of Gateway API that are not run yet, and what holds their settings.
const LATER: [(&str, &str); 4] = [
    ("RequestMirror", "requestMirror"),
    ("CORS", "cors"),
    ("ExternalAuth", "externalAuth"),
    ("ExtensionRef", "extensionRef"),
];

/// A type of filter that the kind does not run.
fn other_filter(kind: &str, fields: &mut Fields<'_>, known: &[&str]) -> Option<RouteFilter> {
    let refuse = |fields: &mut Fields<'_>, message: String, remedy: String| {
        fields.error_at("type", message, remedy);
        None
    };
    if let Some((_, settings)) = LATER.iter().find(|(later, _)| *later == kind) {
        fields.ignore(settings);
        return refuse(
            fields,
            format!("a filter of type `{kind}` is not run yet"),
            String::from("leave the filter out"),
        );
    }
    fields.ignore_rest();
    let remedy = fields.at().file.notes.remedy(kind, known.iter().copied(), "write one of");
    refuse(fields, format!("`{kind}` is not a type of filter"), remedy)
}

/// The filters of a rule of a `GRPCRoute`.
pub(crate) fn grpc_filters(rule: &mut Fields<'_>) -> Vec<RouteFilter> {
    filters(rule, |kind, _, fields| {
        other_filter(kind, fields, &["RequestHeaderModifier", "ResponseHeaderModifier"])
    })
}

/// The filters of a rule of an `HTTPRoute` with these matches.
pub(crate) fn http_filters(rule: &mut Fields<'_>, matches: &[RouteMatch]) -> Vec<RouteFilter> {
    let one_prefix = matches!(matches, [RouteMatch { path: PathMatch::Prefix(_), .. }]);
    let (mut redirected, mut rewritten) = (false, false);
    filters(rule, |kind, at, fields| {
        let filter = match kind {
            "RequestRedirect" => fields
                .need("requestRedirect", "add it", |at| Some(RequestRedirect::read(at.fields()?, one_prefix)))
                .map(RouteFilter::RequestRedirect),
            "URLRewrite" => fields
                .need("urlRewrite", "add it", |at| Some(UrlRewrite::read(at.fields()?, one_prefix)))
                .map(RouteFilter::UrlRewrite),
            other => {
                let known =
                    ["RequestHeaderModifier", "ResponseHeaderModifier", "RequestRedirect", "URLRewrite"];
                return other_filter(other, fields, &known);
            }
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

impl RequestRedirect {
    fn read(mut fields: Fields<'_>, one_prefix: bool) -> Self {
        let schemes = [("http", RedirectScheme::Http), ("https", RedirectScheme::Https)];
        RequestRedirect {
            scheme: fields.get("scheme", |at| at.choice(&schemes)),
            hostname: fields.get("hostname", |at| at.dns_name()),
            path: fields.get("path", |at| PathRewrite::read(at.fields()?, one_prefix)),
            port: fields.get("port", |at| at.port()),
            status: fields.or("statusCode", 302, |at| match at.u32(0..=u32::MAX)? {
                status @ (301 | 302 | 303 | 307 | 308) => u16::try_from(status).ok(),
                status => at.refuse(format!("{status} is not a redirect"), "write 301, 302, 303, 307 or 308"),
            }),
        }
    }
}

impl UrlRewrite {
    fn read(mut fields: Fields<'_>, one_prefix: bool) -> Self {
        UrlRewrite {
            hostname: fields.get("hostname", |at| at.dns_name()),
            path: fields.get("path", |at| PathRewrite::read(at.fields()?, one_prefix)),
        }
    }
}

impl PathRewrite {
    fn read(mut fields: Fields<'_>, one_prefix: bool) -> Option<Self> {
        let prefix = fields.need("type", "write ReplaceFullPath or ReplacePrefixMatch", |at| {
            let prefix = at.choice(&[("ReplaceFullPath", false), ("ReplacePrefixMatch", true)])?;
            if prefix && !one_prefix {
                let remedy = "write one match of type PathPrefix, or ReplaceFullPath";
                at.error("`ReplacePrefixMatch` needs a rule whose only match is a path prefix", remedy);
            }
            Some(prefix)
        });
        let Some(prefix) = prefix else {
            fields.ignore_rest();
            return None;
        };
        let (name, wrap): (_, fn(String) -> Self) = match prefix {
            true => ("replacePrefixMatch", PathRewrite::Prefix),
            false => ("replaceFullPath", PathRewrite::Full),
        };
        fields.need(name, "write the new path", new_path).map(wrap)
    }
}

/// A path to send: what can stand in a request line, at most 1024 bytes. An empty prefix takes the prefix away.
fn new_path(at: At<'_>) -> Option<String> {
    let text = at.any_text()?;
    let legal = text.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#".contains(&byte));
    match legal && text.len() <= 1024 && (text.is_empty() || text.starts_with('/')) {
        true => Some(text.to_owned()),
        false => at.refuse(
            format!("`{text}` is not a path to send"),
            "write an absolute path without query, such as /v2",
        ),
    }
}

impl HeaderModifier {
    fn read(mut fields: Fields<'_>) -> Self {
        let modifier = HeaderModifier {
            set: fields.or("set", Vec::new(), header_list),
            add: fields.or("add", Vec::new(), header_list),
            remove: fields.or("remove", Vec::new(), |at| {
                let mut names = HashSet::new();
                at.at_most(16)?.list(|at| unique_header(at, &mut names))
            }),
        };
        if modifier == HeaderModifier::default() {
            fields.at().warn(
                "the filter changes nothing",
                "write `set`, `add` or `remove`, or leave the filter out",
            );
        }
        modifier
    }
}

fn header_list(at: At<'_>) -> Option<Vec<(String, String)>> {
    let mut names = HashSet::new();
    at.at_most(16)?.list(|at| {
        let mut fields = at.fields()?;
        let name = fields.need("name", "name the header", |at| unique_header(at, &mut names));
        let value = fields.need("value", "write the value", header_value);
        Some((name?, value?))
    })
}

/// RFC 9110 section 5.5: no control characters, and no space at either end.
fn header_value(at: At<'_>) -> Option<String> {
    let text = at.text()?;
    let fits =
        text.len() <= 4096 && text.trim() == text && text.bytes().all(|byte| byte >= b' ' && byte != 0x7f);
    match fits {
        true => Some(text),
        false => at.refuse(
            "this is not the value of a header",
            "write at most 4096 bytes, without line ends or tabs",
        ),
    }
}
