//! The table against a second matcher, written from the specification's text: it looks at every
//! match of every rule under every hostname, and takes the greatest by one tuple of numbers.

use std::cmp::Reverse;

use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::tests::Request;
use super::{MatchSpec, PathSpec, RouteTable, RuleSpec, TextMatch};

type Meaning = fn(&str) -> bool;

/// Patterns with their meaning, so that the oracle needs no regular expressions of its own.
const PATTERNS: [(&str, Meaning); 3] = [
    ("/[ab]", |text| text == "/a" || text == "/b"),
    ("/a.*", |text| text.starts_with("/a")),
    (".*b", |text| text.ends_with('b')),
];

fn pattern_matches(pattern: &str, text: &str) -> bool {
    PATTERNS.iter().any(|(known, meaning)| *known == pattern && meaning(text))
}

fn host_matches(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix("*.") {
        Some(parent) => host
            .strip_suffix(parent)
            .and_then(|labels| labels.strip_suffix('.'))
            .is_some_and(|labels| !labels.is_empty()),
        None => pattern == host,
    }
}

/// "Characters in a matching non-wildcard hostname", "characters in a matching hostname".
fn hostname_rank(rule: &RuleSpec, host: &str) -> Option<(usize, usize)> {
    if rule.hostnames.is_empty() {
        return Some((0, 0));
    }
    let matching = rule.hostnames.iter().filter(|pattern| host_matches(pattern, host));
    matching.map(|name| if name.starts_with('*') { (0, name.len()) } else { (name.len(), name.len()) }).max()
}

/// The kind of path, then its characters.
fn path_rank(spec: &PathSpec, path: &str) -> Option<(u8, usize)> {
    let segments = |path: &str| path.split('/').map(str::to_owned).collect::<Vec<_>>();
    match spec {
        PathSpec::Exact(wanted) => (wanted == path).then_some((4, 0)),
        PathSpec::Regex(pattern) => pattern_matches(pattern, path).then_some((3, pattern.len())),
        PathSpec::Prefix(prefix) if prefix == "/" => Some((0, 0)),
        PathSpec::Prefix(prefix) => {
            let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
            segments(path).starts_with(&segments(prefix)).then_some((2, prefix.len()))
        }
        PathSpec::GrpcMethod(method) => {
            let segments = segments(path);
            let matches = segments.len() == 3 && !segments[1].is_empty() && segments[2] == *method;
            matches.then_some((1, 0))
        }
    }
}

fn text_matches(wanted: &TextMatch, value: &str) -> bool {
    match wanted {
        TextMatch::Exact(wanted) => wanted == value.as_bytes(),
        TextMatch::Regex(pattern) => pattern_matches(pattern, value),
    }
}

fn conditions_hold(spec: &MatchSpec, request: &Request) -> bool {
    let header =
        |name: &str| request.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    let parameter = |name: &str| {
        let pairs =
            request.query.as_deref()?.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        pairs.filter(|(known, _)| *known == name).map(|(_, value)| value).next()
    };
    spec.method.as_ref().is_none_or(|method| *method == request.method)
        && spec
            .headers
            .iter()
            .all(|(name, wanted)| header(name).is_some_and(|value| text_matches(wanted, value)))
        && spec
            .query
            .iter()
            .all(|(name, wanted)| parameter(name).is_some_and(|value| text_matches(wanted, value)))
}

fn naive(listener: Option<&str>, rules: &[(RuleSpec, u32)], request: &Request) -> Option<u32> {
    let host = request.host.split(':').next().unwrap_or_default().to_lowercase();
    if listener.is_some_and(|listener| !host_matches(listener, &host)) {
        return None;
    }
    let path = std::str::from_utf8(&request.path).expect("the requests of this test are ASCII");
    let mut found = Vec::new();
    for (rule, id) in rules {
        let every_request = vec![MatchSpec::default()];
        for spec in if rule.matches.is_empty() { &every_request } else { &rule.matches } {
            let (Some(hostname), Some(path)) = (hostname_rank(rule, &host), path_rank(&spec.path, path))
            else {
                continue;
            };
            if conditions_hold(spec, request) {
                let conditions = (spec.method.is_some(), spec.headers.len(), spec.query.len());
                let ties = Reverse((rule.created, &rule.route, rule.rule_index));
                found.push(((hostname, path, conditions, ties), *id));
            }
        }
    }
    found.into_iter().max_by(|a, b| a.0.cmp(&b.0)).map(|(_, id)| id)
}

// The alphabets are small, so that most requests are matched by several rules.
const HOSTNAMES: [&str; 8] = ["c", "b.c", "a.b.c", "x.c", "*.c", "*.b.c", "*.a.b.c", "*.d"];
const PATHS: [&str; 8] = ["/", "/a", "/b", "/a/", "/a/b", "/a/b/", "/ab", "/b/a/b"];

fn text_match(values: &'static [&'static str]) -> impl Strategy<Value = TextMatch> {
    prop_oneof![
        3 => select(values).prop_map(|value| TextMatch::Exact(value.into())),
        1 => Just(TextMatch::Regex(".*b".into())),
    ]
}

/// Conditions on some of these names, each at most once.
fn conditions(names: &'static [&'static str]) -> impl Strategy<Value = Vec<(String, TextMatch)>> {
    subsequence(names, 0..=names.len()).prop_flat_map(|names| {
        names.into_iter().map(|name| (Just(name.to_owned()), text_match(&["a", "b"]))).collect::<Vec<_>>()
    })
}

fn path_spec() -> impl Strategy<Value = PathSpec> {
    prop_oneof![
        2 => Just(PathSpec::default()),
        1 => select(&PATHS[..]).prop_map(|path| PathSpec::Exact(path.into())),
        1 => select(&PATHS[..]).prop_map(|path| PathSpec::Prefix(path.into())),
        1 => select(&PATTERNS[..]).prop_map(|(pattern, _)| PathSpec::Regex(pattern.into())),
        1 => select(vec!["a", "b"]).prop_map(|method| PathSpec::GrpcMethod(method.into())),
    ]
}

fn match_spec() -> impl Strategy<Value = MatchSpec> {
    let method = proptest::option::weighted(0.3, select(vec!["GET".to_owned(), "PUT".to_owned()]));
    (path_spec(), method, conditions(&["h", "i"]), conditions(&["q", "r"]))
        .prop_map(|(path, method, headers, query)| MatchSpec { path, method, headers, query })
}

fn rules() -> impl Strategy<Value = Vec<(RuleSpec, u32)>> {
    let matches = prop_oneof![
        1 => Just(Vec::new()),
        2 => path_spec().prop_map(|path| vec![MatchSpec { path, ..MatchSpec::default() }]),
        4 => proptest::collection::vec(match_spec(), 1..4),
    ];
    let hostnames = prop_oneof![Just(Vec::new()), subsequence(&HOSTNAMES[..], 1..=3)];
    let rule = (hostnames, select(vec!["ns/a", "ns/b", "ns/c"]), 0_u64..3, matches);
    proptest::collection::vec(rule, 0..12).prop_map(|rules| {
        let rules =
            rules.into_iter().enumerate().map(|(at, (hostnames, route, created, matches))| RuleSpec {
                hostnames: hostnames.into_iter().map(str::to_owned).collect(),
                created,
                route: route.into(),
                // Not in the order of the list, but each only once.
                rule_index: at ^ 5,
                matches,
            });
        rules.zip(100..).collect()
    })
}

fn request() -> impl Strategy<Value = Request> {
    let host = select(vec![
        "c", "b.c", "a.b.c", "z.b.c", "z.a.b.c", "Z.Y.C", "x.c:80", "B.c:8443", "d", "e.d", "e", "",
    ]);
    let method = select(vec!["GET", "PUT"]);
    let path = prop_oneof![
        3 => select(&PATHS[..]).prop_map(str::to_owned),
        1 => "(/[ab]{0,2}){0,4}",
        1 => Just("*".to_owned()),
    ];
    let query = proptest::option::of("([qrs](=[ab]{0,2})?(&[qrs]=[ab])?)?");
    let headers = (proptest::option::of("[ab]"), proptest::option::of("[ab]"));
    (host, method, path, query, headers).prop_map(|(host, method, path, query, (h, i))| {
        let named = |name: &str, value: Option<String>| value.map(|value| (name.to_owned(), value));
        let headers = [named("h", h), named("i", i)].into_iter().flatten().collect();
        Request { host: host.into(), method: method.into(), path: path.into_bytes(), query, headers }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_table_finds_what_the_specification_finds(
        listener in select(vec![None, None, Some("b.c"), Some("*.c"), Some("*.b.c")]),
        rules in rules(),
        requests in proptest::collection::vec(request(), 8),
    ) {
        let table = RouteTable::new(listener, rules.clone(), 1).expect("the patterns are well-formed");
        for request in requests {
            prop_assert_eq!(table.find(&request), naive(listener, &rules, &request), "{:?}", request);
        }
    }
}
