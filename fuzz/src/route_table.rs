//! The table of routes against a second matcher that looks at every match of every rule.

use std::cmp::Reverse;

use causeway_proxy_policy::route_table::{MatchSpec, PathSpec, RequestView, RouteTable, RuleSpec, TextMatch};

use crate::bytes::Bytes;

// Small alphabets, so that most requests are matched by several rules.
const HOSTS: [&str; 8] = ["c", "b.c", "a.b.c", "x.c", "*.c", "*.b.c", "*.a.b.c", "*.d"];
const ASKED: [&str; 6] = ["c", "B.c", "a.b.c:80", "x.a.b.c", "d", "b.c."];
const PATHS: [&str; 8] = ["/", "/a", "/b", "/a/", "/a/b", "/a/b/", "/ab", "/b/a/b"];
const NAMES: [&str; 3] = ["x", "y", "z"];

struct Request {
    host: &'static str,
    method: &'static str,
    path: &'static str,
    query: Option<String>,
    headers: Vec<(&'static str, &'static str)>,
}

impl RequestView for Request {
    fn host(&self) -> &[u8] {
        self.host.as_bytes()
    }
    fn path(&self) -> &[u8] {
        self.path.as_bytes()
    }
    fn query(&self) -> Option<&[u8]> {
        self.query.as_deref().map(str::as_bytes)
    }
    fn method(&self) -> &[u8] {
        self.method.as_bytes()
    }
    fn header(&self, lower_name: &str) -> Option<&[u8]> {
        self.headers.iter().find(|(name, _)| *name == lower_name).map(|(_, value)| value.as_bytes())
    }
}

pub fn run(input: &[u8]) {
    let mut bytes = Bytes::new(input);
    let listener = if bytes.flag() { Some(HOSTS[bytes.below(8)]) } else { None };
    let rules: Vec<(RuleSpec, u32)> =
        (0..bytes.below(6)).map(|id| (rule(&mut bytes, id), id as u32)).collect();
    let table = RouteTable::new(listener, rules.clone(), 1).expect("no pattern of these is bad");
    for _ in 0..4 {
        let request = request(&mut bytes);
        assert_eq!(
            table.find(&request),
            slowly(listener, &rules, &request),
            "{} {}",
            request.host,
            request.path
        );
    }
}

fn rule(bytes: &mut Bytes<'_>, index: usize) -> RuleSpec {
    let hostnames = (0..bytes.below(3)).map(|_| HOSTS[bytes.below(8)].to_owned()).collect();
    let route = format!("default/{}", bytes.below(2));
    let matches = (0..bytes.below(3)).map(|_| match_of(bytes)).collect();
    RuleSpec { hostnames, created: bytes.below(2) as u64, route, rule_index: index, matches }
}

fn match_of(bytes: &mut Bytes<'_>) -> MatchSpec {
    let path = PATHS[bytes.below(8)].to_owned();
    let path = if bytes.flag() { PathSpec::Exact(path) } else { PathSpec::Prefix(path) };
    let method = bytes.flag().then(|| "GET".to_owned());
    let mut conditions = || {
        let named = bytes.byte();
        let chosen = NAMES.iter().enumerate().filter(|(i, _)| named & (1 << i) != 0);
        chosen
            .map(|(i, name)| ((*name).to_owned(), TextMatch::Exact(vec![b'a' + (named >> (4 + i) & 1)])))
            .collect()
    };
    MatchSpec { path, method, headers: conditions(), query: conditions() }
}

fn request(bytes: &mut Bytes<'_>) -> Request {
    let value = |bits: u8, i: usize| if bits & (1 << i) != 0 { "a" } else { "b" };
    let (bits, some) = (bytes.byte(), bytes.byte());
    let given = || (0..3).filter(move |i| some & (1 << i) != 0);
    let query: Vec<String> = given().map(|i| format!("{}={}", NAMES[i], value(bits, i))).collect();
    Request {
        host: ASKED[bytes.below(6)],
        method: if bytes.flag() { "GET" } else { "get" },
        path: PATHS[bytes.below(8)],
        query: (!query.is_empty()).then(|| query.join("&")),
        headers: given().map(|i| (NAMES[i], value(bits >> 3, i))).collect(),
    }
}

fn host_matches(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix('*') {
        Some(suffix) => host.len() > suffix.len() && host.ends_with(suffix),
        None => pattern == host,
    }
}

/// Gateway API v1.7's order of precedence, as one tuple.
fn slowly(listener: Option<&str>, rules: &[(RuleSpec, u32)], request: &Request) -> Option<u32> {
    let host = request.host.split(':').next().unwrap_or_default().trim_end_matches('.').to_lowercase();
    if listener.is_some_and(|pattern| !host_matches(pattern, &host)) {
        return None;
    }
    let mut found = Vec::new();
    for (rule, id) in rules {
        let names = rule.hostnames.iter().filter(|pattern| host_matches(pattern, &host));
        let rank =
            names.map(|name| if name.starts_with('*') { (1, name.len()) } else { (2, name.len()) }).max();
        let Some(host_rank) = rank.or(rule.hostnames.is_empty().then_some((0, 0))) else { continue };
        let anything = [MatchSpec::default()];
        for spec in if rule.matches.is_empty() { &anything[..] } else { &rule.matches } {
            let Some(path_rank) = path_rank(&spec.path, request.path) else { continue };
            if holds(spec, request) {
                let conditions = (spec.method.is_some(), spec.headers.len(), spec.query.len());
                let ties = Reverse((rule.created, &rule.route, rule.rule_index));
                found.push(((host_rank, path_rank, conditions, ties), *id));
            }
        }
    }
    found.into_iter().max_by(|a, b| a.0.cmp(&b.0)).map(|(_, id)| id)
}

fn path_rank(spec: &PathSpec, path: &str) -> Option<(u8, usize)> {
    match spec {
        PathSpec::Exact(wanted) => (wanted == path).then_some((2, 0)),
        PathSpec::Prefix(prefix) => {
            let prefix = prefix.trim_end_matches('/');
            let rest = path.strip_prefix(prefix)?;
            (rest.is_empty() || rest.starts_with('/')).then_some((1, prefix.len()))
        }
        PathSpec::Regex(_) | PathSpec::GrpcMethod(_) => None,
    }
}

fn holds(spec: &MatchSpec, request: &Request) -> bool {
    let is = |wanted: &TextMatch, value: &str| matches!(wanted, TextMatch::Exact(text) if *text == value.as_bytes());
    let header =
        |name: &str| request.headers.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
    let query = |name: &str| {
        let pairs = request.query.as_deref()?.split('&').filter_map(|pair| pair.split_once('='));
        pairs.into_iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    };
    spec.method.as_deref().is_none_or(|method| method == request.method)
        && spec.headers.iter().all(|(name, wanted)| header(name).is_some_and(|value| is(wanted, value)))
        && spec.query.iter().all(|(name, wanted)| query(name).is_some_and(|value| is(wanted, value)))
}
