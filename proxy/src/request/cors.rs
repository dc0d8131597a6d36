//! Cross-origin requests: preflights are answered here, answers are marked for those who may read them (Gateway API
//! v1.7 `HTTPCORSFilter`; Fetch standard, section 3.2 "CORS protocol").
//!
//! The filter is the one authority: what an upstream says in `Access-Control-*` fields is replaced, also where the
//! origin is not allowed, or one lax service would open what the route closes. Answers of our own are marked as
//! well: without that a page could not tell a 429 from a dead network.
//!
//! Where Gateway API leaves a choice: a refused preflight is a 403; an allowed one a 200, which is what all clients
//! take. `*` is said for origins and methods wherever it may be (without credentials), since every cache may then
//! share the answer; requested headers are echoed, since `*` does not cover `Authorization` (Fetch, "CORS
//! non-wildcard request-header name"). `exposeHeaders: ["*"]` with credentials lists the fields of the very answer.

use causeway_config::{self as config, Listed, OriginHost, OriginPattern};
use causeway_proxy_http1::{Known, Method, RequestHead, ResponseHead};

const REQUEST_METHOD: &[u8] = b"access-control-request-method";
const REQUEST_HEADERS: &[u8] = b"access-control-request-headers";
const ALLOW_ORIGIN: &[u8] = b"Access-Control-Allow-Origin";
const ALLOW_CREDENTIALS: &[u8] = b"Access-Control-Allow-Credentials";
const ALLOW_METHODS: &[u8] = b"Access-Control-Allow-Methods";
const ALLOW_HEADERS: &[u8] = b"Access-Control-Allow-Headers";
const EXPOSE_HEADERS: &[u8] = b"Access-Control-Expose-Headers";
const MAX_AGE: &[u8] = b"Access-Control-Max-Age";
const VARY: &[u8] = b"Vary";

/// Every field of the protocol that an answer may have.
const ANSWERED: [&[u8]; 6] =
    [ALLOW_ORIGIN, ALLOW_CREDENTIALS, ALLOW_METHODS, ALLOW_HEADERS, EXPOSE_HEADERS, MAX_AGE];

/// A rule's filter.
#[derive(Debug)]
pub struct Cors {
    origins: Vec<OriginPattern>,
    /// The origins are `*`.
    any: bool,
    credentials: bool,
    methods: Names,
    headers: Names,
    expose: Names,
    max_age: String,
}

/// A list of names as it is said.
#[derive(Debug)]
enum Names {
    All,
    /// Joined by commas; empty: none.
    These(String),
}

impl From<&Listed> for Names {
    fn from(listed: &Listed) -> Names {
        match listed {
            Listed::All => Names::All,
            Listed::These(names) => Names::These(names.join(", ")),
        }
    }
}

/// What a preflight gets.
#[derive(Debug, PartialEq, Eq)]
pub struct Preflight<'a> {
    /// 200 or 403.
    pub status: u16,
    /// Fields besides those that [`Cors::mark`] adds.
    pub fields: Vec<(&'static [u8], &'a [u8])>,
}

impl Cors {
    /// Compiles the filter.
    pub fn new(cors: &config::Cors) -> Cors {
        Cors {
            any: cors.allow_origins.contains(&OriginPattern::Any),
            origins: cors.allow_origins.clone(),
            credentials: cors.allow_credentials,
            methods: Names::from(&cors.allow_methods),
            headers: Names::from(&cors.allow_headers),
            expose: Names::from(&cors.expose_headers),
            max_age: cors.max_age.to_string(),
        }
    }

    /// The answer to a preflight; `None`: the request is none (Fetch: OPTIONS with `Origin` and
    /// `Access-Control-Request-Method`).
    pub fn preflight<'a>(&'a self, request: &'a RequestHead) -> Option<Preflight<'a>> {
        if request.method != Method::Options {
            return None;
        }
        let origin = request.get(Known::Origin)?;
        let method = request.find(REQUEST_METHOD).next()?;
        let varies: &[u8] = b"Access-Control-Request-Method, Access-Control-Request-Headers";
        let mut fields = vec![(VARY, varies)];
        if !self.allows(origin) {
            return Some(Preflight { status: 403, fields });
        }
        match &self.methods {
            Names::All if self.credentials => fields.push((ALLOW_METHODS, method)),
            Names::All => fields.push((ALLOW_METHODS, b"*")),
            Names::These(names) if names.is_empty() => {}
            Names::These(names) => fields.push((ALLOW_METHODS, names.as_bytes())),
        }
        match &self.headers {
            Names::All => match request.find(REQUEST_HEADERS).next() {
                Some(asked) => fields.push((ALLOW_HEADERS, asked)),
                None if self.credentials => {}
                None => fields.push((ALLOW_HEADERS, b"*")),
            },
            Names::These(names) if names.is_empty() => {}
            Names::These(names) => fields.push((ALLOW_HEADERS, names.as_bytes())),
        }
        fields.push((MAX_AGE, self.max_age.as_bytes()));
        Some(Preflight { status: 200, fields })
    }

    /// Makes an upstream's answer speak for this filter alone.
    pub fn replace(&self, request: &RequestHead, response: &mut ResponseHead) {
        for name in ANSWERED {
            response.remove_name(name);
        }
        self.mark(request, response);
    }

    /// Says in an answer who may read it. Values were checked when they were read, by us or as a request.
    pub fn mark(&self, request: &RequestHead, response: &mut ResponseHead) {
        let origin = request.get(Known::Origin);
        let constant = self.any && !self.credentials;
        // The same for everybody, and said to everybody: then caches need not tell them apart.
        let allowed = match origin {
            _ if constant => Some(&b"*"[..]),
            Some(origin) if self.allows(origin) => Some(origin),
            _ => None,
        };
        if !constant && !varies_by_origin(response) {
            let _ = response.push(VARY, b"Origin");
        }
        let Some(allowed) = allowed else { return };
        let exposed = match &self.expose {
            Names::All if self.credentials => names_of(response),
            Names::All => b"*".to_vec(),
            Names::These(names) => names.as_bytes().to_vec(),
        };
        let _ = response.push(ALLOW_ORIGIN, allowed);
        if self.credentials {
            let _ = response.push(ALLOW_CREDENTIALS, b"true");
        }
        if !exposed.is_empty() {
            let _ = response.push(EXPOSE_HEADERS, &exposed);
        }
    }

    fn allows(&self, origin: &[u8]) -> bool {
        self.any || Origin::parse(origin).is_some_and(|origin| self.origins.iter().any(|p| origin.fits(p)))
    }
}

/// An origin as a browser writes it (RFC 6454 section 6.2). `null` is none: only `*` lets it in.
struct Origin<'a> {
    https: bool,
    host: &'a [u8],
    port: u16,
}

impl<'a> Origin<'a> {
    fn parse(text: &'a [u8]) -> Option<Origin<'a>> {
        let (https, rest) = match text.strip_prefix(b"https://") {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix(b"http://")?),
        };
        let (host, port) = match rest.iter().rposition(|&byte| byte == b':') {
            Some(colon) if !rest.ends_with(b"]") => {
                (&rest[..colon], std::str::from_utf8(&rest[colon + 1..]).ok()?.parse().ok()?)
            }
            _ => (rest, if https { 443 } else { 80 }),
        };
        // What no host has could only be there to end like one.
        let v6 = host.strip_prefix(b"[").and_then(|host| host.strip_suffix(b"]"));
        let fits = match v6 {
            Some(v6) => v6.iter().all(|byte| byte.is_ascii_hexdigit() || b":.".contains(byte)),
            None => host.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(byte)),
        };
        (fits && !host.is_empty()).then_some(Origin { https, host, port })
    }

    fn fits(&self, pattern: &OriginPattern) -> bool {
        let OriginPattern::Of { https, host, port } = pattern else { return true };
        let host_fits = match host {
            OriginHost::Any => true,
            OriginHost::Exact(name) => self.host.eq_ignore_ascii_case(name.as_bytes()),
            OriginHost::Suffix(end) => {
                self.host.len() > end.len()
                    && self.host[self.host.len() - end.len()..].eq_ignore_ascii_case(end.as_bytes())
            }
        };
        (*https, *port) == (self.https, self.port) && host_fits
    }
}

fn varies_by_origin(response: &ResponseHead) -> bool {
    let mut items = response.find(VARY).flat_map(|line| line.split(|&byte| byte == b','));
    items.any(|item| {
        let item = item.trim_ascii();
        item == b"*" || item.eq_ignore_ascii_case(b"origin")
    })
}

/// The names of all fields that a script may be shown.
fn names_of(response: &ResponseHead) -> Vec<u8> {
    let mut names: Vec<Vec<u8>> = response
        .iter()
        .filter(|(.., known)| *known != Known::SetCookie)
        .map(|(name, ..)| name.to_ascii_lowercase())
        .collect();
    names.sort_unstable();
    names.dedup();
    names.join(&b", "[..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use causeway_proxy_http1::{Limits, Version, parse_request};

    fn request(method: &str, fields: &str) -> RequestHead {
        let mut head = RequestHead::default();
        let text = format!("{method} / HTTP/1.1\r\nHost: api.example\r\n{fields}\r\n");
        parse_request(text.as_bytes(), &Limits::default(), &mut 0, &mut head).unwrap().unwrap();
        head
    }

    fn response(fields: &[(&str, &str)]) -> ResponseHead {
        let mut head = ResponseHead::default();
        head.begin(200, Version::Http11).unwrap();
        fields.iter().for_each(|(name, value)| head.push(name.as_bytes(), value.as_bytes()).unwrap());
        head
    }

    fn of(https: bool, host: OriginHost, port: u16) -> OriginPattern {
        OriginPattern::Of { https, host, port }
    }

    fn app() -> OriginPattern {
        of(true, OriginHost::Exact("app.example".into()), 443)
    }

    fn cors(edit: impl FnOnce(&mut config::Cors)) -> Cors {
        let none = || Listed::These(Vec::new());
        let mut cors = config::Cors {
            allow_origins: vec![app()],
            allow_credentials: false,
            allow_methods: none(),
            allow_headers: none(),
            expose_headers: none(),
            max_age: 5,
        };
        edit(&mut cors);
        Cors::new(&cors)
    }

    /// Names and values, in order.
    fn said<'a>(fields: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Vec<String> {
        let text = |bytes| String::from_utf8_lossy(bytes);
        fields.map(|(name, value)| format!("{}: {}", text(name).to_lowercase(), text(value))).collect()
    }

    fn marked(cors: &Cors, origin: Option<&str>, upstream: &[(&str, &str)]) -> Vec<String> {
        let fields = origin.map_or(String::new(), |origin| format!("Origin: {origin}\r\n"));
        let mut response = response(upstream);
        cors.replace(&request("GET", &fields), &mut response);
        said(response.iter().map(|(name, value, _)| (name, value)))
    }

    fn preflight(cors: &Cors, fields: &str) -> Option<(u16, Vec<String>)> {
        let request = request("OPTIONS", fields);
        let answer = cors.preflight(&request)?;
        Some((answer.status, said(answer.fields.iter().copied()).split_off(1)))
    }

    const ASKS: &str = "Origin: https://app.example\r\nAccess-Control-Request-Method: PUT\r\n";

    #[test]
    fn origins_match_by_scheme_host_and_port_as_gateway_api_says() {
        let bar = || OriginHost::Suffix(".bar.com".into());
        for (pattern, origin, fits) in [
            (app(), "https://app.example", true),
            (app(), "https://app.example:443", true),
            (app(), "https://APP.example", true),
            (app(), "http://app.example", false),
            (app(), "https://app.example:8443", false),
            (app(), "https://app.example.evil.com", false),
            (app(), "https://evil.com/app.example", false),
            (app(), "null", false),
            (app(), "", false),
            (of(true, bar(), 443), "https://www.bar.com", true),
            (of(true, bar(), 443), "https://a.b.bar.com", true),
            (of(true, bar(), 443), "https://bar.com", false),
            (of(true, bar(), 443), "https://.bar.com", false),
            (of(true, bar(), 443), "https://foobar.com", false),
            (of(true, bar(), 443), "https://evil.com/.bar.com", false),
            (of(true, bar(), 443), "https://evil@x.bar.com", false),
            (of(false, OriginHost::Any, 8080), "http://[::1]:8080", true),
            (of(false, OriginHost::Any, 80), "http://[::1]", true),
            (of(false, OriginHost::Any, 80), "http://a:80:80", false),
            (OriginPattern::Any, "null", true),
        ] {
            let cors = cors(|cors| cors.allow_origins = vec![pattern.clone()]);
            assert_eq!(cors.allows(origin.as_bytes()), fits, "{pattern} {origin}");
        }
    }

    #[test]
    fn a_preflight_is_an_options_with_origin_and_the_method_asked_for() {
        let cors = cors(|_| {});
        assert!(preflight(&cors, ASKS).is_some());
        assert_eq!(preflight(&cors, "Origin: https://app.example\r\n"), None);
        assert_eq!(preflight(&cors, "Access-Control-Request-Method: PUT\r\n"), None);
        assert_eq!(cors.preflight(&request("GET", ASKS)), None);
        let stranger = ASKS.replace("app", "evil");
        assert_eq!(preflight(&cors, &stranger), Some((403, vec![])));
    }

    #[test]
    fn a_preflight_is_told_what_is_listed_and_no_wildcard_with_credentials() {
        let these = |names: &[&str]| Listed::These(names.iter().map(|name| (*name).to_owned()).collect());
        let listed = cors(|cors| {
            (cors.allow_methods, cors.allow_headers) = (these(&["GET", "PUT"]), these(&["x-a", "x-b"]));
            cors.max_age = 3600;
        });
        let expected = [
            "access-control-allow-methods: GET, PUT",
            "access-control-allow-headers: x-a, x-b",
            "access-control-max-age: 3600",
        ];
        assert_eq!(preflight(&listed, ASKS).unwrap().1, expected);
        let all = |credentials| {
            cors(|cors| {
                (cors.allow_methods, cors.allow_headers) = (Listed::All, Listed::All);
                cors.allow_credentials = credentials;
            })
        };
        let with_headers = format!("{ASKS}Access-Control-Request-Headers: authorization,x-a\r\n");
        for (credentials, asks, methods, headers) in [
            (false, ASKS, "*", Some("*")),
            (false, &with_headers, "*", Some("authorization,x-a")),
            (true, ASKS, "PUT", None),
            (true, &with_headers, "PUT", Some("authorization,x-a")),
        ] {
            let mut expected = vec![format!("access-control-allow-methods: {methods}")];
            expected.extend(headers.map(|headers| format!("access-control-allow-headers: {headers}")));
            expected.push("access-control-max-age: 5".into());
            assert_eq!(preflight(&all(credentials), asks).unwrap().1, expected, "{credentials} {asks}");
        }
        assert_eq!(preflight(&cors(|_| {}), ASKS).unwrap().1, ["access-control-max-age: 5"]);
    }

    #[test]
    fn an_answer_is_marked_for_its_origin_and_caches_are_told_that_it_varies() {
        let plain = cors(|_| {});
        let allow = "access-control-allow-origin: https://app.example";
        assert_eq!(marked(&plain, Some("https://app.example"), &[]), ["vary: Origin", allow]);
        assert_eq!(marked(&plain, Some("https://evil.example"), &[]), ["vary: Origin"]);
        assert_eq!(marked(&plain, None, &[]), ["vary: Origin"]);
        for vary in ["Accept, origin", "*"] {
            let expected = [format!("vary: {vary}"), allow.to_owned()];
            assert_eq!(marked(&plain, Some("https://app.example"), &[("Vary", vary)]), expected);
        }
        let anybody = cors(|cors| cors.allow_origins = vec![OriginPattern::Any]);
        for origin in [None, Some("null"), Some("https://app.example")] {
            assert_eq!(marked(&anybody, origin, &[]), ["access-control-allow-origin: *"]);
        }
    }

    #[test]
    fn credentials_take_the_origin_itself_and_the_names_of_what_is_exposed() {
        let cors = cors(|cors| {
            cors.allow_origins = vec![OriginPattern::Any];
            cors.allow_credentials = true;
            cors.expose_headers = Listed::All;
        });
        let upstream = [("X-Total", "3"), ("Set-Cookie", "a=b"), ("Content-Type", "text/plain")];
        let said = marked(&cors, Some("https://app.example"), &upstream);
        let expected = [
            "vary: Origin",
            "access-control-allow-origin: https://app.example",
            "access-control-allow-credentials: true",
            "access-control-expose-headers: content-type, vary, x-total",
        ];
        assert_eq!(said[3..], expected);
    }

    #[test]
    fn what_the_upstream_says_is_replaced_even_for_strangers() {
        let upstream = [
            ("access-control-allow-origin", "*"),
            ("Access-Control-Allow-Credentials", "true"),
            ("Access-Control-Expose-Headers", "x-secret"),
            ("X-Kept", "1"),
        ];
        let cors = cors(|cors| cors.expose_headers = Listed::These(vec!["x-kept".into()]));
        assert_eq!(marked(&cors, Some("https://evil.example"), &upstream), ["x-kept: 1", "vary: Origin"]);
        let expected = [
            "x-kept: 1",
            "vary: Origin",
            "access-control-allow-origin: https://app.example",
            "access-control-expose-headers: x-kept",
        ];
        assert_eq!(marked(&cors, Some("https://app.example"), &upstream), expected);
    }
}
