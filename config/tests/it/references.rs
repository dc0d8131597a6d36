//! Names that point to other documents.

use causeway_config::{Severity, Source, Strictness, load};

use crate::support::{TO_S, cluster, config, document, errors, gateway, load_text, route, service};

const LISTENERS: &str = "{name: http, port: 80, protocol: HTTP, hostname: \"*.example.com\"}, {name: alt, port: 81, protocol: HTTP}";

#[test]
fn a_missing_name_stops_a_proxy_and_only_warns_a_validation() {
    let text = gateway(LISTENERS)
        + &route(
            "{backendRefs: [{group: mesh.macleodlabs.io, kind: MultiClusterService, name: api-gatway}]}",
        )
        + &document("MultiClusterService", "api-gateway", "{clusters: [{name: us-east-1}]}");
    let report = load_text(&text, Strictness::Proxy).unwrap_err();
    let errors: Vec<_> = report.problems().map(|p| (p.line, p.column, &*p.message, &*p.remedy)).collect();
    assert_eq!(
        errors,
        [
            (4, 199, "there is no MultiClusterService named `api-gatway`", "did you mean `api-gateway`?"),
            (
                6,
                121,
                "there is no Cluster named `us-east-1`",
                "add the Cluster `us-east-1`, or give its file as well"
            ),
        ]
    );
    let loaded = load_text(&text, Strictness::Validate).unwrap();
    let warned: Vec<_> = loaded.warnings.problems().map(|p| (p.severity, p.line)).collect();
    assert_eq!(warned, [(Severity::Warning, 4), (Severity::Warning, 6)]);
}

#[test]
fn what_filters_name_must_be_there() {
    let extension = |kind: &str, name: &str| {
        format!(
            "{{type: ExtensionRef, extensionRef: {{group: mesh.macleodlabs.io, kind: {kind}, name: {name}}}}}"
        )
    };
    let mirror = "{type: RequestMirror, requestMirror: {backendRef: {group: mesh.macleodlabs.io, kind: MultiClusterService, name: shadow}}}";
    let filters =
        [extension("LocalRateLimit", "per-usr"), extension("FaultInjection", "gone"), mirror.to_owned()];
    let base = gateway(LISTENERS)
        + &route(&format!("{{filters: [{}]}}", filters.join(", ")))
        + &document("LocalRateLimit", "per-user", "{requests: 1}");
    let report = load_text(&base, Strictness::Proxy).unwrap_err();
    let said = |severity| {
        let of = report.problems().filter(move |problem| problem.severity == severity);
        of.map(|problem| (&*problem.message, &*problem.remedy)).collect::<Vec<_>>()
    };
    assert_eq!(
        said(Severity::Error),
        [
            ("there is no LocalRateLimit named `per-usr`", "did you mean `per-user`?"),
            (
                "there is no FaultInjection named `gone`",
                "add the FaultInjection `gone`, or give its file as well"
            ),
            (
                "there is no MultiClusterService named `shadow`",
                "add the MultiClusterService `shadow`, or give its file as well"
            ),
        ]
    );
}

#[test]
fn a_document_with_a_mistake_is_not_missing_as_well() {
    let bad = cluster("protocol: §http9").replace("name: c", "name: a");
    let good = cluster("").replace("name: c", "name: b");
    errors(&(bad + &good + &service("")), &[("`http9` is not known here", "")]);
}

#[test]
fn nothing_is_missing_from_files_that_could_not_be_read_to_their_end() {
    let text = service("") + "---\n[";
    let report = load_text(&text, Strictness::Proxy).unwrap_err();
    assert_eq!(report.problems().len(), 1, "{report}");
}

#[test]
fn names_are_found_across_files_in_any_order() {
    let all =
        [service(""), cluster("").replace("name: c", "name: a"), cluster("").replace("name: c", "name: b")];
    let sources: Vec<Source> = all.iter().map(|text| Source::new("x.yaml", text.as_str())).collect();
    let loaded = load(&sources, Strictness::Proxy).unwrap();
    let reversed: Vec<Source> = sources.into_iter().rev().collect();
    assert_eq!(load(&reversed, Strictness::Proxy).unwrap().config, loaded.config);
}

#[test]
fn a_parent_must_have_the_listener() {
    let with = |parent: &str, hosts: &str| {
        let route = document(
            "HTTPRoute",
            "r",
            &format!("{{parentRefs: [{{{parent}}}], hostnames: [{hosts}], rules: [{{{TO_S}}}]}}"),
        );
        gateway(LISTENERS) + &route
    };
    let listeners = "its listeners are: http (80), alt (81)";
    errors(&with("name: §g, sectionName: htpp", ""), &[("the Gateway `g` has no such listener", listeners)]);
    errors(&with("name: §g, port: 8080", ""), &[("no such listener", listeners)]);
    errors(&with("name: §g, sectionName: alt, port: 80", ""), &[("no such listener", listeners)]);
    config(&with("name: g, sectionName: alt, port: 81", ""));
    let unmatched =
        load_text(&with("name: g, sectionName: http", "other.org"), Strictness::Validate).unwrap();
    assert!(unmatched.warnings.to_string().contains("no hostname of the route belongs to a listener of `g`"));
    let matched =
        load_text(&with("name: g, sectionName: http", "a.example.com"), Strictness::Validate).unwrap();
    assert!(!matched.warnings.to_string().contains("no hostname"));
}

#[test]
fn two_gateways_do_not_share_a_port() {
    let with = |name: &str, ip: &str, port: u16| {
        let spec = format!(
            "{{gatewayClassName: causeway, addresses: [{{value: \"{ip}\"}}], listeners: §[{{name: a, port: {port}, protocol: HTTP}}]}}"
        );
        document("Gateway", name, &spec)
    };
    for (one, other, meet) in [
        ("127.0.0.1", "127.0.0.1", true),
        ("127.0.0.1", "127.0.0.2", false),
        ("0.0.0.0", "127.0.0.1", true),
        ("127.0.0.1", "0.0.0.0", true),
        ("::", "127.0.0.1", true),
        ("::", "::1", true),
        ("::1", "::", true),
        ("0.0.0.0", "::1", false),
    ] {
        let first = with("g", one, 80).replace('§', "");
        let second = with("h", other, 80);
        if meet {
            errors(&format!("{first}{second}"), &[("the Gateway `g` listens on port 80 as well", "")]);
        } else {
            config(&format!("{first}{second}").replace('§', ""));
        }
        config(&(first + &with("h", other, 81).replace('§', "")));
    }
}

#[test]
fn a_policy_needs_its_target_and_a_target_has_one_policy() {
    let policy = |name: &str, target: &str| {
        document("ClientTrafficPolicy", name, &format!("{{targetRefs: [{{{target}}}]}}"))
    };
    let base = gateway(LISTENERS) + &route(&format!("{{name: rest, {TO_S}}}"));
    errors(
        &(base.clone() + &policy("p", "kind: Gateway, name: §g, sectionName: htp")),
        &[("the Gateway `g` has no section `htp`", "did you mean `http`?")],
    );
    errors(
        &(base.clone() + &policy("p", "kind: HTTPRoute, name: §r, sectionName: first")),
        &[("the HTTPRoute `r` has no section `first`", "its sections are: rest")],
    );
    errors(
        &(base.clone() + &policy("p", "kind: Gateway, name: g") + &policy("q", "kind: Gateway, name: §g")),
        &[("the policy `p` applies to the same", "the narrower target wins")],
    );
    let both = base
        + &policy("wide", "kind: Gateway, name: g")
        + &policy("narrow", "kind: Gateway, name: g, sectionName: alt");
    let config = config(&both);
    let name = |listener| config.listener_policy("g", listener).map(|policy| &*policy.name);
    assert_eq!((name("http"), name("alt")), (Some("wide"), Some("narrow")));
    assert!(config.listener_policy("other", "http").is_none());
    assert!(config.rule_policy("r", Some("rest")).is_none());
}

#[test]
fn defaults_reach_every_service_wherever_they_stand() {
    let defaults = document(
        "TrafficDefaults",
        "d",
        "{failClosed: true, trafficPolicy: {loadBalancer: {consistentHash: {useSourceIp: true}}, connectionPool: {tcp: {maxConnections: 7}}}, resilience: {retries: {attempts: 2}}}",
    );
    let own = "failClosed: false, trafficPolicy: {loadBalancer: {consistentHash: {}}}, resilience: {retries: {perTryTimeout: 1s}}";
    for text in [service(own) + &defaults, defaults.clone() + &service(own)] {
        let config = config(&text);
        let service = &config.services["s"];
        assert!(!service.fail_closed);
        assert!(service.load_balancer.hash_on.is_empty());
        assert_eq!((service.retries.attempts, service.retries.per_try_timeout.as_secs()), (2, 1));
        assert_eq!(service.limits.max_connections, 7);
    }
    let config = config(&(service("") + &defaults));
    assert!(config.services["s"].fail_closed);
    assert_eq!(config.services["s"].load_balancer.hash_on, [causeway_config::HashOn::SourceIp]);
}
