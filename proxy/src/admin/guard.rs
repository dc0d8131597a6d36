//! Who may speak to the admin endpoint at all.
//!
//! It has no password: it listens on loopback by default, where only people of the machine get. Except for web
//! pages, whose scripts reach loopback through the browser of a person who merely visits them, in two ways:
//!
//! - DNS rebinding: the page's own name is made to resolve to 127.0.0.1, and the script may then read everything.
//!   The browser still sends the page's name as the host, so a host must be an address or `localhost`.
//! - A blind POST to `http://127.0.0.1:9901/drain` from anywhere. Browsers send `Origin` with every POST of a
//!   script or a form (Fetch standard, "append a request Origin header"), so an origin must be our own.
//!
//! A name that resolves honestly (a Kubernetes service) is refused as well; scrapers there use addresses.

use hyper::header::{HOST, ORIGIN};
use hyper::{HeaderMap, Method, StatusCode, Uri, Version};

use super::reply::Reply;

/// Refuses what comes from a web page of somebody else.
pub(super) fn check(method: &Method, uri: &Uri, version: Version, headers: &HeaderMap) -> Result<(), Reply> {
    let mut hosts = headers.get_all(HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() || (host.is_none() && version >= Version::HTTP_11) {
        // RFC 9112 section 3.2. HTTP/1.0 had no such field, and browsers do not speak that.
        return Err(Reply::bad("exactly one Host field, please"));
    }
    let host = host.map(|host| host.to_str().unwrap_or_default());
    // A target in absolute form names its host as well; both must be good.
    let named = host.into_iter().chain(uri.authority().map(|authority| authority.as_str()));
    if named.clone().any(|name| !is_address_or_localhost(name)) {
        let text =
            "the host must be an address or localhost, so that no web page reaches this by its own name";
        return Err(Reply::text(StatusCode::FORBIDDEN, text));
    }
    let foreign = |origin: &str| origin.strip_prefix("http://") != host;
    let mut origins = headers.get_all(ORIGIN).iter().map(|origin| origin.to_str().unwrap_or_default());
    if !matches!(*method, Method::GET | Method::HEAD) && origins.any(foreign) {
        return Err(Reply::text(StatusCode::FORBIDDEN, "this is not for the pages of other sites"));
    }
    Ok(())
}

/// `authority` is `HOST` or `HOST:PORT`.
fn is_address_or_localhost(authority: &str) -> bool {
    if let Some(rest) = authority.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else { return false };
        return address.parse::<std::net::Ipv6Addr>().is_ok() && (port.is_empty() || is_port(port));
    }
    let (name, port) = authority.split_at(authority.find(':').unwrap_or(authority.len()));
    let good = name.eq_ignore_ascii_case("localhost") || name.parse::<std::net::Ipv4Addr>().is_ok();
    good && (port.is_empty() || is_port(port))
}

/// `:` and a number.
fn is_port(text: &str) -> bool {
    text.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn an_address_or_localhost_is_a_good_host() {
        for good in [
            "localhost",
            "LOCALHOST:9901",
            "127.0.0.1",
            "127.0.0.1:9901",
            "10.1.2.3:80",
            "[::1]",
            "[::1]:9901",
        ] {
            assert!(is_address_or_localhost(good), "{good}");
        }
    }

    #[test]
    fn any_other_name_is_not_even_one_that_looks_like_an_address() {
        for bad in [
            "",
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "127.0.0.1@evil.example",
            "evil.example#127.0.0.1",
            "localhost:evil",
            "[::1",
            "[::1]evil",
            "[evil]",
            "::1",
            "2130706433",
            "127.1",
        ] {
            assert!(!is_address_or_localhost(bad), "{bad}");
        }
    }

    fn checked(method: Method, target: &str, version: Version, fields: &[(&'static str, &str)]) -> u16 {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        let uri: Uri = target.parse().unwrap();
        check(&method, &uri, version, &headers).map_or_else(|reply| reply.status.as_u16(), |()| 200)
    }

    #[test]
    fn one_good_host_is_needed() {
        let get = |fields: &[(&'static str, &str)]| checked(Method::GET, "/", Version::HTTP_11, fields);
        assert_eq!(get(&[("host", "localhost:9901")]), 200);
        assert_eq!(get(&[("host", "evil.example:9901")]), 403);
        assert_eq!(get(&[("host", "localhost"), ("host", "localhost")]), 400);
        assert_eq!(get(&[]), 400);
        assert_eq!(checked(Method::GET, "/", Version::HTTP_10, &[]), 200);
        let absolute = "http://evil.example/";
        assert_eq!(checked(Method::GET, absolute, Version::HTTP_11, &[("host", "localhost")]), 403);
    }

    #[test]
    fn a_page_of_another_site_cannot_act() {
        let host = ("host", "127.0.0.1:9901");
        let post = |origin| checked(Method::POST, "/drain", Version::HTTP_11, &[host, ("origin", origin)]);
        assert_eq!(post("http://127.0.0.1:9901"), 200);
        for foreign in ["https://evil.example", "null", "http://127.0.0.1:8000", ""] {
            assert_eq!(post(foreign), 403, "{foreign}");
        }
        assert_eq!(checked(Method::POST, "/drain", Version::HTTP_11, &[host]), 200, "curl sends none");
    }
}
