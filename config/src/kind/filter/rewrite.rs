//! `requestRedirect` and `urlRewrite`: another place, told to the client or kept from it.

use serde::Serialize;

use crate::read::{At, Fields};

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

impl RequestRedirect {
    pub(super) fn read(mut fields: Fields<'_>, one_prefix: bool) -> Self {
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
    pub(super) fn read(mut fields: Fields<'_>, one_prefix: bool) -> Self {
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
