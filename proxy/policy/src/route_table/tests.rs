//! The rules of the specification one by one; `naive.rs` holds all of them at once.

use super::{HostPattern, MatchSpec, PathSpec, RequestView, RouteTable, RuleSpec, TextMatch, attaches};

#[derive(Clone, Debug)]
pub(super) struct Request {
    pub host: String,
    pub method: String,
    pub path: Vec<u8>,
    pub query: Option<String>,
    pub headers: Vec<(String, String)>,
}

impl RequestView for Request {
    fn host(&self) -> &[u8] {
        self.host.as_bytes()
    }
    fn path(&self) -> &[u8] {
        &self.path
    }
    fn query(&self) -> Option<&[u8]> {
        self.query.as_deref().map(str::as_bytes)
    }
    fn method(&self) -> &[u8] {
        self.method.as_bytes()
    }
    fn header(&self, lower_name: &str) -> Option<&[u8]> {
        self.headers.iter().find(|(name, _)| name == lower_name).map(|(_, value)| value.as_bytes())
    }
}

fn get(host: &str, target: &str) -> Request {
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query.to_owned())),
        None => (target, None),
    };
    let (host, method, path) = (host.to_owned(), "GET".to_owned(), path.as_bytes().to_vec());
    Request { host, method, path, query, headers: Vec::new() }
}

impl Request {
    fn with(mut self, header: &str, value: &str) -> Self {
        self.headers.push((header.into(), value.into()));
        self
    }
}

impl MatchSpec {
    fn method(mut self, method: &str) -> Self {
        self.method = Some(method.into());
        self
    }
    fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), TextMatch::Exact(value.into())));
        self
    }
    fn query(mut self, name: &str, value: &str) -> Self {
        self.query.push((name.into(), TextMatch::Exact(value.into())));
        self
    }
}

fn at(path: PathSpec) -> MatchSpec {
    MatchSpec { path, ..MatchSpec::default() }
}

fn exact(path: &str) -> MatchSpec {
    at(PathSpec::Exact(path.into()))
}

fn prefix(path: &str) -> MatchSpec {
    at(PathSpec::Prefix(path.into()))
}

fn regex(pattern: &str) -> MatchSpec {
    at(PathSpec::Regex(pattern.into()))
}

fn rule(hostnames: &[&str], matches: impl IntoIterator<Item = MatchSpec>) -> RuleSpec {
    let hostnames = hostnames.iter().map(|name| name.to_string()).collect();
    RuleSpec { hostnames, matches: matches.into_iter().collect(), ..RuleSpec::default() }
}

fn every_host(spec: MatchSpec) -> RuleSpec {
    rule(&[], [spec])
}

/// A table whose rules are numbered in the order given.
fn table(listener: Option<&str>, rules: impl IntoIterator<Item = RuleSpec>) -> RouteTable {
    let rules = rules.into_iter().zip(0..).collect();
    RouteTable::new(listener, rules, 1).expect("the rules of this test are well-formed")
}

fn matches(spec: MatchSpec, request: &Request) -> bool {
    table(None, [every_host(spec)]).find(request).is_some()
}

/// Both rules match, and the better one wins in whatever order they are given, though the other is
/// favoured by everything that may only break ties.
fn assert_beats_at(listener: Option<&str>, better: RuleSpec, other: RuleSpec, request: &Request) {
    let better = RuleSpec { created: 2, route: "ns/z".into(), rule_index: 1, ..better };
    let other = RuleSpec { created: 1, route: "ns/a".into(), rule_index: 0, ..other };
    assert_eq!(table(listener, [better.clone()]).find(request), Some(0), "the better rule does not match");
    assert_eq!(table(listener, [other.clone()]).find(request), Some(0), "the other rule does not match");
    assert_eq!(table(listener, [better.clone(), other.clone()]).find(request), Some(0));
    assert_eq!(table(listener, [other, better]).find(request), Some(1));
}

fn assert_beats(better: RuleSpec, other: RuleSpec, request: &Request) {
    assert_beats_at(None, better, other, request);
}

#[test]
fn a_rule_without_matches_matches_every_request() {
    let table = table(None, [rule(&[], [])]);
    for request in [get("a.example.com", "/"), get("", "/x/y?z"), get("[::1]:80", "*"), get("a", "")] {
        assert_eq!(table.find(&request), Some(0), "{request:?}");
    }
}

#[test]
fn a_request_that_no_rule_matches_is_not_found() {
    assert_eq!(table(None, []).find(&get("a", "/")), None);
    assert_eq!(table(None, [every_host(prefix("/a"))]).find(&get("a", "/b")), None);
}

#[test]
fn a_rule_matches_if_any_of_its_matches_does() {
    let table =
        table(None, [every_host(prefix("/no")), rule(&[], [exact("/a"), prefix("/b").method("GET")])]);
    assert_eq!(table.find(&get("x", "/a")), Some(1));
    assert_eq!(table.find(&get("x", "/b/c")), Some(1));
    assert_eq!(table.find(&get("x", "/c")), None);
}

// Hostnames.

#[test]
fn a_wildcard_stands_for_one_or_more_labels_but_not_for_none() {
    let table = table(None, [rule(&["*.example.com"], [])]);
    for host in ["test.example.com", "foo.test.example.com"] {
        assert_eq!(table.find(&get(host, "/")), Some(0), "{host}");
    }
    for host in ["example.com", ".example.com", "xexample.com", "test.example.org", "com", ""] {
        assert_eq!(table.find(&get(host, "/")), None, "{host}");
    }
}

#[test]
fn port_case_and_a_trailing_dot_of_the_host_are_ignored() {
    let table = table(None, [rule(&["very.specific.com"], []), rule(&["*.Wild.io"], [])]);
    for host in ["very.specific.com:1234", "VERY.Specific.com", "very.specific.com.", "very.specific.com.:80"]
    {
        assert_eq!(table.find(&get(host, "/")), Some(0), "{host}");
    }
    assert_eq!(table.find(&get("A.WILD.IO:443", "/")), Some(1));
    assert_eq!(table.find(&get("very.specific.com..", "/")), None);
}

#[test]
fn addresses_and_overlong_hosts_match_only_rules_for_every_host() {
    let table = table(None, [rule(&["*.example.com"], []), rule(&[], [])]);
    let long = format!("{}.example.com", "a".repeat(300));
    for host in ["[2001:db8::1]:8080", "[::1]", "127.0.0.1:80", long.as_str(), ""] {
        assert_eq!(table.find(&get(host, "/")), Some(1), "{host}");
    }
    let cut = format!("{}.example.com.evil.org", "a".repeat(255 - ".example.com".len()));
    assert_eq!(table.find(&get(&cut, "/")), Some(1), "a host is not cut off to one that matches");
    let longest = format!("{}.example.com", "a".repeat(255 - ".example.com".len()));
    assert_eq!(table.find(&get(&longest, "/")), Some(0));
}

#[test]
fn an_exact_hostname_beats_a_wildcard_whatever_the_paths() {
    let request = get("a.example.com", "/x");
    assert_beats(rule(&["a.example.com"], []), rule(&["*.example.com"], [exact("/x")]), &request);
    assert_beats(rule(&["a.example.com"], []), rule(&[], [exact("/x").method("GET")]), &request);
}

#[test]
fn a_longer_wildcard_beats_a_shorter_one_and_both_beat_no_hostname() {
    let request = get("a.b.example.com", "/x");
    assert_beats(rule(&["*.b.example.com"], []), rule(&["*.example.com"], [exact("/x")]), &request);
    assert_beats(rule(&["*.com"], []), rule(&[], [exact("/x")]), &request);
}

#[test]
fn the_best_of_a_routes_hostnames_counts() {
    let both = rule(&["*.com", "a.example.com"], []);
    assert_beats(both, rule(&["*.example.com"], [exact("/x")]), &get("a.example.com", "/x"));
}

#[test]
fn rules_of_less_specific_hostnames_answer_where_the_more_specific_have_no_match() {
    let rules = [
        rule(&["a.example.com"], [prefix("/exact")]),
        rule(&["*.a.com", "*.example.com"], [prefix("/wild")]),
        rule(&["*.com"], [prefix("/com")]),
        rule(&[], [prefix("/any")]),
    ];
    let table = table(None, rules);
    for (path, id) in [("/exact", 0), ("/wild", 1), ("/com", 2), ("/any", 3)] {
        assert_eq!(table.find(&get("a.example.com", path)), Some(id), "{path}");
    }
    assert_eq!(table.find(&get("a.example.com", "/none")), None);
}

#[test]
fn only_hosts_of_both_listener_and_route_are_accepted() {
    let exact = table(Some("very.specific.com"), [rule(&["non.matching.com", "*.specific.com"], [])]);
    assert_eq!(exact.find(&get("very.specific.com:80", "/")), Some(0));
    assert_eq!(exact.find(&get("foo.specific.com", "/")), None);
    assert_eq!(exact.find(&get("non.matching.com", "/")), None);

    let wild =
        table(Some("*.wildcard.io"), [rule(&["wildcard.io", "foo.wildcard.io"], []), rule(&["*.io"], [])]);
    assert_eq!(wild.find(&get("foo.wildcard.io", "/")), Some(0));
    assert_eq!(wild.find(&get("foo.bar.wildcard.io", "/")), Some(1));
    assert_eq!(wild.find(&get("wildcard.io", "/")), None);
    assert_eq!(wild.find(&get("other.io", "/")), None);

    let unnamed = table(Some("*.wildcard.io"), [rule(&[], [])]);
    assert_eq!(unnamed.find(&get("a.WILDCARD.io", "/")), Some(0));
    for host in ["wildcard.io", ".wildcard.io", "xwildcard.io"] {
        assert_eq!(unnamed.find(&get(host, "/")), None, "{host}");
    }
}

#[test]
fn a_rule_none_of_whose_hostnames_intersects_is_not_taken_for_one_without_hostnames() {
    let table = table(Some("*.example.com"), [rule(&["example.com", "*.example.org"], [])]);
    assert_eq!(table.find(&get("a.example.com", "/")), None);
    assert_eq!(table.find(&get("example.com", "/")), None);
}

/// The conformance test `HTTPRouteMultipleRoutesAttachmentSameHostnameIntersection`.
#[test]
fn the_routes_own_hostname_decides_where_the_intersections_are_the_same() {
    let (at, request) = (Some("abc.example.com"), get("abc.example.com", "/"));
    assert_beats_at(at, rule(&["abc.example.com"], []), rule(&["*.example.com"], []), &request);
    assert_beats_at(at, rule(&["abc.example.com"], []), rule(&[], []), &request);
    let at = Some("*.example.com");
    assert_beats_at(at, rule(&["*.example.com"], []), rule(&["*.com"], []), &request);
}

#[test]
fn routes_attach_as_in_the_specifications_table() {
    let attached = [
        ("www.example.com", "www.example.com"),
        ("*.example.com", "www.example.com"),
        ("*.example.com", "sub.domain.example.com"),
        ("www.example.com", "*.example.com"),
        ("sub.domain.example.com", "*.example.com"),
        ("*.example.com", "*.example.com"),
        ("*.com", "*.example.com"),
        ("*.example.com", "*.com"),
        ("", "www.example.com"),
    ];
    for (listener, route) in attached {
        assert!(attaches(Some(listener), &[route.into()]), "{listener} {route}");
    }
    for (listener, route) in [
        ("www.example.com", "foo.example.com"),
        ("*.example.com", "example.com"),
        ("example.com", "*.example.com"),
        ("*.example.com", "test.example.net"),
        ("*.example.com", "*.xexample.com"),
    ] {
        assert!(!attaches(Some(listener), &[route.into()]), "{listener} {route}");
    }
    assert!(attaches(None, &["a".into()]) && attaches(Some("a"), &[]) && attaches(None, &[]));
    assert!(attaches(Some("a"), &["b".into(), "a".into()]));
}

#[test]
fn listeners_are_ordered_from_none_over_wildcards_to_exact() {
    let patterns = ["", "*.com", "*.example.com", "a.example.com"].map(HostPattern::parse);
    assert!(patterns.is_sorted_by(|a, b| a.specificity() < b.specificity()));
    assert!(patterns.iter().all(|pattern| pattern.matches(b"A.example.com:80")));
    assert_eq!(patterns.map(|pattern| pattern.matches(b"a.example.org")), [true, false, false, false]);
}

// Paths.

#[test]
fn an_exact_path_is_compared_byte_for_byte() {
    assert!(matches(exact("/abc"), &get("x", "/abc?q")));
    for path in ["/abc/", "/Abc", "/abcd", "/ab", "/a%62c"] {
        assert!(!matches(exact("/abc"), &get("x", path)), "{path}");
    }
}

#[test]
fn a_prefix_matches_whole_segments_and_its_trailing_slash_is_ignored() {
    for value in ["/foo", "/foo/"] {
        for path in ["/foo", "/foo/", "/foo/bar", "/foo//"] {
            assert!(matches(prefix(value), &get("x", path)), "{value} {path}");
        }
        for path in ["/foobar", "/fo", "/", "/Foo", "/x/foo", "/%66oo"] {
            assert!(!matches(prefix(value), &get("x", path)), "{value} {path}");
        }
    }
}

#[test]
fn an_exact_path_beats_a_regular_expression_and_a_prefix() {
    let request = get("x", "/a/b");
    assert_beats(every_host(exact("/a/b")), every_host(prefix("/a/b").method("GET")), &request);
    assert_beats(every_host(exact("/a/b")), every_host(regex("/a/.*").method("GET")), &request);
}

#[test]
fn a_longer_prefix_beats_a_shorter_one_with_more_conditions() {
    let request = get("x", "/a/b/c?q=1").with("v", "1");
    let demanding = |path| every_host(prefix(path).method("GET").header("v", "1").query("q", "1"));
    assert_beats(every_host(prefix("/a/b")), demanding("/a"), &request);
    assert_beats(every_host(prefix("/a")), demanding("/"), &request);
}

#[test]
fn a_trailing_slash_does_not_make_a_prefix_longer() {
    let request = get("x", "/a/b");
    assert_beats(every_host(prefix("/a").method("GET")), every_host(prefix("/a/")), &request);
}

#[test]
fn a_shorter_prefix_answers_where_the_conditions_of_the_longer_fail() {
    let table = table(
        None,
        [every_host(prefix("/")), every_host(prefix("/a")), every_host(prefix("/a/b").method("PUT"))],
    );
    assert_eq!(table.find(&get("x", "/a/b")), Some(1));
    assert_eq!(table.find(&get("x", "/b")), Some(0));
}

#[test]
fn a_regular_expression_beats_a_prefix_and_the_longer_one_a_shorter() {
    let request = get("x", "/a/1");
    assert_beats(every_host(regex("/a/[0-9]")), every_host(prefix("/a/1").method("GET")), &request);
    assert_beats(every_host(regex("/a/[0-9]+")), every_host(regex("/a/.").method("GET")), &request);
    assert_beats(every_host(regex("/./1").method("GET")), every_host(regex("/a/.")), &request);
}

#[test]
fn a_regular_expression_must_match_the_whole_path() {
    assert!(matches(regex("/v[0-9]+"), &get("x", "/v12")));
    for path in ["/v1/", "/x/v1", "/V1"] {
        assert!(!matches(regex("/v[0-9]+"), &get("x", path)), "{path}");
    }
    assert!(!matches(regex("/a|/b"), &get("x", "/ab")));
    assert!(!matches(regex("(?m)^/a$"), &get("x", "/a\n/b")));
}

#[test]
fn a_path_need_not_be_utf_8() {
    let request = Request { path: b"/\xff/a".to_vec(), ..get("x", "/") };
    assert!(matches(regex("/./a"), &request) && matches(prefix("/"), &request));
    assert!(!matches(prefix("/a"), &request));
}

#[test]
fn an_unusable_regular_expression_is_refused_by_name() {
    let build =
        |spec| RouteTable::new(None, vec![(RuleSpec { route: "ns/r".into(), ..every_host(spec) }, 0)], 1);
    for pattern in ["(", "a)|(b", "(?x)a #", r"\p{Greek}", "([a-z]{1000}){1000}"] {
        let error = build(regex(pattern)).expect_err(pattern);
        assert!(error.contains("\"ns/r\"") && error.contains("rule 0") && error.contains("path"), "{error}");
    }
    let mut header = MatchSpec::default();
    header.headers.push(("version".into(), TextMatch::Regex("[".into())));
    assert!(build(header).expect_err("half a class").contains("header \"version\""));
    let mut query = MatchSpec::default();
    query.query.push(("animal".into(), TextMatch::Regex("[".into())));
    assert!(build(query).expect_err("half a class").contains("query parameter \"animal\""));
}

// Conditions.

#[test]
fn methods_are_compared_with_case() {
    assert!(matches(prefix("/").method("GET"), &get("x", "/")));
    assert!(!matches(prefix("/").method("get"), &get("x", "/")));
}

#[test]
fn header_names_are_compared_without_case_and_values_with() {
    let spec = prefix("/").header("Version", "one");
    assert!(matches(spec.clone(), &get("x", "/").with("version", "one")));
    for value in ["One", "one ", "onetwo", ""] {
        assert!(!matches(spec.clone(), &get("x", "/").with("version", value)), "{value:?}");
    }
    assert!(!matches(spec, &get("x", "/").with("other", "one")));
}

#[test]
fn all_conditions_of_a_match_must_hold() {
    let spec = prefix("/").method("GET").header("a", "1").header("b", "2").query("c", "3");
    let full = get("x", "/?c=3").with("a", "1").with("b", "2");
    assert!(matches(spec.clone(), &full));
    assert!(!matches(spec.clone(), &Request { method: "PUT".into(), ..full.clone() }));
    assert!(!matches(spec.clone(), &Request { query: None, ..full.clone() }));
    assert!(!matches(spec, &get("x", "/?c=3").with("a", "1")));
}

#[test]
fn of_two_conditions_with_the_same_name_only_the_first_counts() {
    let headers = prefix("/").header("color", "blue").header("Color", "green");
    assert!(matches(headers.clone(), &get("x", "/").with("color", "blue")));
    assert!(!matches(headers, &get("x", "/").with("color", "green")));
    let query = prefix("/").query("q", "1").query("q", "2").query("Q", "3");
    assert!(matches(query.clone(), &get("x", "/?q=1&Q=3")));
    assert!(!matches(query, &get("x", "/?q=1&Q=4")));
    let request = get("x", "/").with("color", "blue").with("size", "1");
    let two = every_host(prefix("/").header("color", "blue").header("size", "1"));
    let three_of_one = prefix("/").header("color", "blue").header("color", "red").header("COLOR", "x");
    assert_beats(two, every_host(three_of_one), &request);
}

#[test]
fn header_and_query_regular_expressions_must_match_the_whole_value() {
    let pattern = || TextMatch::Regex("v[0-9]".into());
    let header = MatchSpec { headers: vec![("version".into(), pattern())], ..MatchSpec::default() };
    assert!(matches(header.clone(), &get("x", "/").with("version", "v1")));
    assert!(!matches(header, &get("x", "/").with("version", "v12")));
    let query = MatchSpec { query: vec![("version".into(), pattern())], ..MatchSpec::default() };
    assert!(matches(query.clone(), &get("x", "/?version=v1")));
    assert!(!matches(query, &get("x", "/?version=xv1")));
}

#[test]
fn query_parameters_are_compared_as_sent_by_the_first_value() {
    let spec = prefix("/").query("animal", "whale");
    for target in
        ["/?animal=whale", "/?a=1&animal=whale&b", "/?animals=x&animal=whale", "/?animal=whale&animal=dog"]
    {
        assert!(matches(spec.clone(), &get("x", target)), "{target}");
    }
    for target in [
        "/?animal=dog&animal=whale",
        "/?ANIMAL=whale",
        "/?animal=Whale",
        "/?animal=whaledolphin",
        "/?animal",
        "/?animal=wh%61le",
        "/",
        "/?",
    ] {
        assert!(!matches(spec.clone(), &get("x", target)), "{target}");
    }
    assert!(matches(prefix("/").query("flag", ""), &get("x", "/?flag")));
    assert!(matches(prefix("/").query("sum", "1+1=2"), &get("x", "/?sum=1+1=2")));
}

#[test]
fn a_method_beats_headers() {
    let request = get("x", "/?q=1").with("a", "1").with("b", "2");
    let headers = every_host(prefix("/").header("a", "1").header("b", "2").query("q", "1"));
    assert_beats(every_host(prefix("/").method("GET")), headers, &request);
}

#[test]
fn more_headers_beat_fewer_with_more_query_parameters() {
    let request = get("x", "/?q=1&r=2").with("a", "1").with("b", "2");
    let fewer = every_host(prefix("/").header("a", "1").query("q", "1").query("r", "2"));
    assert_beats(every_host(prefix("/").header("a", "1").header("b", "2")), fewer, &request);
}

#[test]
fn more_query_parameters_beat_fewer() {
    let request = get("x", "/?q=1&r=2");
    let one = every_host(prefix("/").query("q", "1"));
    assert_beats(every_host(prefix("/").query("q", "1").query("r", "2")), one.clone(), &request);
    assert_beats(one, every_host(prefix("/")), &request);
}

// Ties.

#[test]
fn ties_go_to_the_oldest_route_then_the_first_name_then_the_first_rule() {
    let of = |created, route: &str, rule_index| RuleSpec {
        created,
        route: route.into(),
        rule_index,
        ..rule(&[], [])
    };
    let first = |a: RuleSpec, b: RuleSpec| {
        assert_eq!(table(None, [a.clone(), b.clone()]).find(&get("x", "/")), Some(0));
        assert_eq!(table(None, [b, a]).find(&get("x", "/")), Some(1));
    };
    first(of(1, "ns/z", 9), of(2, "ns/a", 0));
    first(of(1, "ns/a", 9), of(1, "ns/b", 0));
    first(of(1, "ns/a", 0), of(1, "ns/a", 1));
}

#[test]
fn a_later_rule_of_the_winning_route_still_beats_an_earlier_one_by_a_better_match() {
    let rules = [
        RuleSpec { rule_index: 0, ..rule(&[], [prefix("/"), prefix("/a").header("v", "1")]) },
        RuleSpec { rule_index: 1, ..rule(&[], [prefix("/a")]) },
    ];
    let table = table(None, rules);
    assert_eq!(table.find(&get("x", "/a")), Some(1));
    assert_eq!(table.find(&get("x", "/a").with("v", "1")), Some(0));
    assert_eq!(table.find(&get("x", "/b")), Some(0));
}

// GRPCRoute: characters in the service, then in the method, then headers.

#[test]
fn grpc_ranks_service_and_method_then_service_then_method_then_neither() {
    let grpc = |service, method| every_host(at(PathSpec::grpc(service, method)));
    let request = get("x", "/foo.Bar/Do").with("v", "1");
    let full = grpc(Some("foo.Bar"), Some("Do"));
    let service = every_host(at(PathSpec::grpc(Some("foo.Bar"), None)).header("v", "1"));
    let method = every_host(at(PathSpec::grpc(None, Some("Do"))).header("v", "1"));
    let neither = every_host(at(PathSpec::grpc(None, Some(""))).header("v", "1"));
    assert_beats(full, service, &request);
    assert_beats(grpc(Some("foo.Bar"), None), method, &request);
    assert_beats(grpc(None, Some("Do")), neither, &request);
}

#[test]
fn grpc_names_are_matched_whole_and_with_case() {
    let of = |service, method| at(PathSpec::grpc(service, method));
    assert!(!matches(of(Some("foo.Bar"), None), &get("x", "/foo.Barn/Do")));
    assert!(!matches(of(Some("foo.Bar"), Some("Do")), &get("x", "/foo.bar/Do")));
    assert!(matches(of(None, Some("Do")), &get("x", "/any.Service/Do")));
    for path in ["/any.Service/do", "/any.Service/Do/", "/a/b/Do", "//Do", "/Do", "Do", ""] {
        assert!(!matches(of(None, Some("Do")), &get("x", path)), "{path}");
    }
}

// Conformance tests of Gateway API with more than one rule at work.

#[test]
fn conformance_matching_across_routes() {
    let one = RuleSpec {
        route: "ns/part1".into(),
        ..rule(&["example.com", "example.net"], [prefix("/"), prefix("/").header("version", "one")])
    };
    let two = RuleSpec {
        route: "ns/part2".into(),
        ..rule(&["example.com"], [prefix("/v2"), prefix("/").header("version", "two")])
    };
    let table = table(None, [one, two]);
    assert_eq!(table.find(&get("example.com", "/example").with("version", "one")), Some(0));
    assert_eq!(table.find(&get("example.com", "/v2/example")), Some(1));
    assert_eq!(table.find(&get("example.net", "/v2")), Some(0));
    assert_eq!(table.find(&get("example.com", "/").with("version", "two")), Some(1));
}

#[test]
fn every_one_of_a_thousand_routes_is_found() {
    let mut rules = Vec::new();
    for n in 0..250 {
        rules.push(rule(&[&format!("h{n}.example.com")], [prefix("/")]));
        rules.push(rule(&[&format!("*.w{n}.example.com")], [prefix("/")]));
        rules.push(rule(&["shared.example.com"], [exact(&format!("/exact/{n}"))]));
        rules.push(rule(&["shared.example.com"], [prefix(&format!("/{}/{n}", "p".repeat(n % 7)))]));
    }
    let table = table(None, rules);
    for n in 0..250 {
        let id = 4 * n as u32;
        assert_eq!(table.find(&get(&format!("h{n}.example.com:80"), "/a")), Some(id));
        assert_eq!(table.find(&get(&format!("a.b.w{n}.example.com"), "/a")), Some(id + 1));
        assert_eq!(table.find(&get("shared.example.com", &format!("/exact/{n}"))), Some(id + 2));
        assert_eq!(
            table.find(&get("shared.example.com", &format!("/{}/{n}/x", "p".repeat(n % 7)))),
            Some(id + 3)
        );
    }
}
