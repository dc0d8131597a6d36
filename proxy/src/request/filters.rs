//! What an HTTPRoute's filters change: header edits, redirects, rewrites (Gateway API v1, HTTPRouteFilter).

use causeway_config::{
    HeaderModifier, PathRewrite, RedirectScheme, RequestRedirect, RouteFilter, UrlRewrite,
};
use causeway_proxy_http1::{RequestHead, ResponseHead};

/// A rule's filters, in the order in which they act.
#[derive(Clone, Debug, Default)]
pub struct Filters {
    request: Vec<HeaderModifier>,
    response: Vec<HeaderModifier>,
    redirect: Option<RequestRedirect>,
    rewrite: Option<UrlRewrite>,
    /// The path prefix that the rule matches, for `ReplacePrefixMatch`.
    prefix: String,
}

/// Applies one modifier to a request's or a response's head. Names and values were checked when the config was
/// read, so that nothing can fail here.
macro_rules! edit_fields {
    ($head:expr, $edit:expr) => {
        for (name, value) in &$edit.set {
            let _ = $head.set(name.as_bytes(), value.as_bytes());
        }
        for (name, value) in &$edit.add {
            let _ = $head.push(name.as_bytes(), value.as_bytes());
        }
        for name in &$edit.remove {
            $head.remove_name(name.as_bytes());
        }
    };
}

impl Filters {
    /// Sorts a rule's filters; `prefix` is its only match's, where it has just one.
    pub fn new(filters: &[RouteFilter], prefix: Option<&str>) -> Filters {
        let mut out = Filters { prefix: prefix.unwrap_or("/").to_owned(), ..Filters::default() };
        for filter in filters {
            match filter {
                RouteFilter::RequestHeaderModifier(edit) => out.request.push(edit.clone()),
                RouteFilter::ResponseHeaderModifier(edit) => out.response.push(edit.clone()),
                RouteFilter::RequestRedirect(redirect) => out.redirect = Some(redirect.clone()),
                RouteFilter::UrlRewrite(rewrite) => out.rewrite = Some(rewrite.clone()),
                // Compiled into the rule's extras.
                RouteFilter::RequestMirror(_) | RouteFilter::Cors(_) | RouteFilter::ExtensionRef(_) => {}
            }
        }
        out
    }

    /// Edits the request's fields.
    pub fn edit_request(&self, head: &mut RequestHead) {
        for edit in &self.request {
            edit_fields!(head, edit);
        }
    }

    /// Edits the response's fields.
    pub fn edit_response(&self, head: &mut ResponseHead) {
        for edit in &self.response {
            edit_fields!(head, edit);
        }
    }

    /// Path and query for the upstream, where a rewrite changes them.
    pub fn path(&self, head: &RequestHead) -> Option<Box<[u8]>> {
        let path = self.rewrite.as_ref()?.path.as_ref()?;
        Some(with_query(&self.replaced(path, head.path()), head).into())
    }

    /// Host for the upstream, where a rewrite changes it.
    pub fn host(&self) -> Option<&[u8]> {
        self.rewrite.as_ref()?.hostname.as_ref().map(String::as_bytes)
    }

    /// Status and `Location` of a redirect. `port` is the listener's.
    pub fn redirect(&self, head: &RequestHead, tls: bool, port: u16) -> Option<(u16, Vec<u8>)> {
        let redirect = self.redirect.as_ref()?;
        let https = redirect.scheme.map_or(tls, |scheme| scheme == RedirectScheme::Https);
        let own_port = if https { 443 } else { 80 };
        let port = match (redirect.port, redirect.scheme) {
            (Some(port), _) => port,
            (None, Some(_)) => own_port,
            (None, None) => port,
        };
        let mut location = if https { b"https://".to_vec() } else { b"http://".to_vec() };
        match &redirect.hostname {
            Some(hostname) => location.extend_from_slice(hostname.as_bytes()),
            None => location.extend_from_slice(without_port(head.host())),
        }
        if port != own_port {
            location.extend_from_slice(format!(":{port}").as_bytes());
        }
        let path = match &redirect.path {
            Some(path) => self.replaced(path, head.path()),
            None => head.path().to_vec(),
        };
        location.extend_from_slice(&with_query(&path, head));
        Some((redirect.status, location))
    }

    fn replaced(&self, path: &PathRewrite, old: &[u8]) -> Vec<u8> {
        match path {
            PathRewrite::Full(new) => new.as_bytes().to_vec(),
            PathRewrite::Prefix(new) => {
                let prefix = self.prefix.trim_end_matches('/').as_bytes();
                let rest = old.strip_prefix(prefix).unwrap_or(old);
                let mut out = new.trim_end_matches('/').as_bytes().to_vec();
                out.extend_from_slice(rest);
                if out.is_empty() {
                    out.push(b'/');
                }
                out
            }
        }
    }
}

fn with_query(path: &[u8], head: &RequestHead) -> Vec<u8> {
    let mut out = path.to_vec();
    if let Some(query) = head.query() {
        out.push(b'?');
        out.extend_from_slice(query);
    }
    out
}

/// A host without its port; an IPv6 literal keeps its brackets.
fn without_port(host: &[u8]) -> &[u8] {
    match host.iter().rposition(|&b| b == b':') {
        Some(colon) if host[colon + 1..].iter().all(u8::is_ascii_digit) && !host.ends_with(b"]") => {
            &host[..colon]
        }
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use causeway_proxy_http1::{Limits, parse_request};

    fn head(target: &str) -> RequestHead {
        let mut head = RequestHead::default();
        let text = format!("GET {target} HTTP/1.1\r\nHost: a.example:8000\r\n\r\n");
        parse_request(text.as_bytes(), &Limits::default(), &mut 0, &mut head).unwrap().unwrap();
        head
    }

    #[test]
    fn a_prefix_is_replaced_as_the_gateway_api_table_says() {
        for (prefix, new, path, expected) in [
            ("/foo", "/xyz", "/foo/bar", "/xyz/bar"),
            ("/foo", "/xyz/", "/foo/bar", "/xyz/bar"),
            ("/foo/", "/xyz", "/foo/bar", "/xyz/bar"),
            ("/foo", "/xyz", "/foo", "/xyz"),
            ("/foo", "/", "/foo/bar", "/bar"),
            ("/foo", "/", "/foo", "/"),
            ("/", "/v1", "/x?q=1", "/v1/x?q=1"),
        ] {
            let rewrite = UrlRewrite { hostname: None, path: Some(PathRewrite::Prefix(new.into())) };
            let filters = Filters::new(&[RouteFilter::UrlRewrite(rewrite)], Some(prefix));
            let got = filters.path(&head(path)).unwrap();
            assert_eq!(String::from_utf8(got.into()).unwrap(), expected, "{prefix} -> {new} in {path}");
        }
    }

    #[test]
    fn a_redirect_keeps_what_it_does_not_name_and_hides_the_usual_port() {
        let redirect = |scheme, hostname: Option<&str>, port| {
            let hostname = hostname.map(str::to_owned);
            let redirect = RequestRedirect { scheme, hostname, path: None, port, status: 301 };
            let filters = Filters::new(&[RouteFilter::RequestRedirect(redirect)], None);
            String::from_utf8(filters.redirect(&head("/p?q=1"), false, 8000).unwrap().1).unwrap()
        };
        assert_eq!(redirect(Some(RedirectScheme::Https), None, None), "https://a.example/p?q=1");
        assert_eq!(redirect(None, Some("b.example"), None), "http://b.example:8000/p?q=1");
        assert_eq!(redirect(None, None, Some(80)), "http://a.example/p?q=1");
        assert_eq!(redirect(Some(RedirectScheme::Https), None, Some(8443)), "https://a.example:8443/p?q=1");
    }
}
