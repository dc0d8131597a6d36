//! What loads but can hardly be meant is said so, at its place.

use crate::support::{TO_S, cluster, document, gateway, route, service, warnings};

#[test]
fn what_is_meant_is_loaded_without_a_word() {
    warnings(
        &service("failover: [{from: a, to: [b], triggerOn: [clusterUnhealthy, highLatency (p99 > 500ms)]}]"),
        &[],
    );
    warnings(&route(&format!("{{{TO_S}}}")), &[]);
    let pattern = "matches: [{path: {type: RegularExpression, value: '/v\\d+/\\w*'}}]";
    warnings(&route(&format!("{{{pattern}, {TO_S}}}")), &[]);
    warnings(&cluster("healthCheck: {tcp: {}}, protocol: http2"), &[]);
}

#[test]
fn services() {
    for (fields, expected) in [
        (
            "resilience: {overallTimeout: 1s, retries: {perTryTimeout: §2s}}",
            ("longer than `overallTimeout`", "raise `resilience.overallTimeout`"),
        ),
        (
            "failover: [{from: a, to: [b], triggerOn: [clusterUnhealthy, §highLatency (p99 > 2s)]}]",
            ("never triggers", "lower the latency"),
        ),
        (
            "trafficPolicy: {connectionPool: {http: {http2MaxRequests: §9}}}, resilience: {circuitBreaker: {maxRequests: 7}}",
            ("say 9 and 7; the smaller, 7, holds", "the same number in both"),
        ),
        (
            "trafficPolicy: {loadBalancer: {hashBalanceFactor: §125}}",
            ("there is no hash to balance", "`consistentHash`"),
        ),
        (
            "trafficPolicy: {outlierDetection: {maxEjectionTime: §10s}}",
            ("shorter than `baseEjectionTime`", ""),
        ),
    ] {
        warnings(&service(fields), &[expected]);
    }
}

fn clusters(endpoints: usize) -> String {
    let list: Vec<String> =
        (0..endpoints).map(|number| format!("{{address: \"10.0.0.{number}:80\"}}")).collect();
    let cluster = |name| document("Cluster", name, &format!("{{endpoints: [{}]}}", list.join(", ")));
    cluster("a") + &cluster("b")
}

#[test]
fn maglev_is_advised_above_64_endpoints_where_users_stick() {
    let sticky = "trafficPolicy: {loadBalancer: {consistentHash: {useSourceIp: true}}}";
    let marked = service(sticky).replace("name: a}, {name: b", "name: §a}, {name: §b");
    let advice = ("has 65 endpoints", "endpointAlgorithm: maglev");
    warnings(&(clusters(65) + &marked), &[advice, advice]);
    warnings(&(clusters(64) + &service(sticky)), &[]);
    warnings(&(clusters(65) + &service("")), &[]);
}

#[test]
fn a_success_rate_that_cannot_trigger_is_told_only_where_it_is_written() {
    let written = service("trafficPolicy: {outlierDetection: {successRate: §{stdevFactor: 2}}}");
    let expected = ("never ejects in `a`, which has less than 5 endpoints", "minimumHosts");
    let other = ("never ejects in `b`", "");
    let (line, mark) = (clusters(4), written);
    // One place, said for each cluster.
    let text = line + &mark.replace('§', "§§");
    warnings(&text, &[expected, other]);
    warnings(&(clusters(5) + &mark.replace('§', "")), &[]);
    warnings(&(clusters(4) + &service("")), &[]);
}

#[test]
fn two_services_of_one_cluster_should_agree_about_outliers() {
    let first = service("").replace("{name: a}, {name: b}", "{name: a}");
    let second = document(
        "MultiClusterService",
        "t",
        "{clusters: [{name: x, endpointsRef: a}], trafficPolicy: {outlierDetection: §{consecutiveErrors: 9}}}",
    );
    warnings(
        &format!("{first}{second}"),
        &[("`s` has another outlierDetection for the same Cluster `a`", "")],
    );
    warnings(&format!("{first}{}", second.replace("§{consecutiveErrors: 9}", "{consecutiveErrors: 5}")), &[]);
}

#[test]
fn clusters_and_gateways() {
    warnings(&cluster("protocol: §auto"), &[("without `tls` there is no ALPN", "http1 or http2")]);
    warnings(
        &cluster("healthCheck: {tcp: {}, timeout: §2s}"),
        &[("`timeout` is longer than `interval`", "")],
    );
    let text = gateway("{name: a, port: 80, protocol: HTTP}").replace("causeway", "§envoy");
    warnings(&text, &[("of another class", "write causeway")]);
}

#[test]
fn routes() {
    warnings(&document("HTTPRoute", "r", "§{parentRefs: [{name: g}]}"), &[("has no `rules`", "")]);
    warnings(
        &route("§{name: a}"),
        &[("no `backendRefs`, so it answers every request with 500", "name a service")],
    );
    let backend = "group: mesh.macleodlabs.io, kind: MultiClusterService, name: s";
    warnings(
        &route(&format!("{{backendRefs: §[{{{backend}, weight: 0}}]}}")),
        &[("every backend has weight 0", "")],
    );
    warnings(
        &route(&format!("{{backendRefs: [{{{backend}, port: §80}}]}}")),
        &[("a port means nothing here", "")],
    );
    let empty = "{type: RequestHeaderModifier, requestHeaderModifier: §{}}";
    warnings(&route(&format!("{{filters: [{empty}], {TO_S}}}")), &[("the filter changes nothing", "")]);
    let cors = |fields: &str| {
        format!("{{matches: [{{method: GET}}], filters: [§{{type: CORS, cors: {fields}}}], {TO_S}}}")
    };
    warnings(
        &route(&cors("{allowOrigins: [\"https://a.b\"]}")),
        &[("no preflight (OPTIONS) gets here", "OPTIONS")],
    );
    let cors = |fields: &str| route(&format!("{{filters: [{{type: CORS, cors: {fields}}}], {TO_S}}}"));
    warnings(&cors("§{}"), &[("no origin is allowed", "list the origins")]);
    warnings(
        &cors("{allowOrigins: §[\"*\"], allowCredentials: true}"),
        &[("any website may act as the user", "list the origins")],
    );
    let mirror = |fields: &str| {
        let to = "backendRef: {group: mesh.macleodlabs.io, kind: MultiClusterService, name: t}";
        format!("{{type: RequestMirror, requestMirror: §{{{to}, {fields}}}}}")
    };
    warnings(
        &route(&format!("{{filters: [{}], {TO_S}}}", mirror("percent: 0"))),
        &[("nothing is mirrored", "")],
    );
    let own = mirror("").replace('§', "").replace("name: t", "name: s");
    warnings(
        &route(&format!("{{filters: §[{own}], {TO_S}}}")),
        &[("the mirror `s` is a backend of the rule as well", "another")],
    );
    let redirect = "{type: RequestRedirect, requestRedirect: {scheme: https}}";
    warnings(
        &route(&format!("{{filters: §[{redirect}, {}]}}", mirror("").replace('§', ""))),
        &[("a rule that redirects has nothing to mirror", "")],
    );
    let fault =
        "{type: ExtensionRef, extensionRef: §{group: mesh.macleodlabs.io, kind: FaultInjection, name: f}}";
    warnings(
        &route(&format!("{{filters: [{fault}], {TO_S}}}")),
        &[("FAULTS ARE INJECTED: requests of this rule fail or wait on purpose, by `f`", "game day")],
    );
    let bound = |timeouts: &str| service("") + &route(&format!("{{timeouts: {timeouts}, {TO_S}}}"));
    warnings(&bound("§{request: 20s}"), &[("`request` is longer than `overallTimeout` of `s`", "raise")]);
    warnings(
        &bound("§{backendRequest: 3s}"),
        &[("`backendRequest` is longer than `retries.perTryTimeout`", "")],
    );
    warnings(&bound("{request: 15s, backendRequest: 2s}"), &[]);
}

#[test]
fn policies_and_settings() {
    let policy = |kind: &str, fields: &str| {
        document(
            "ClientTrafficPolicy",
            "p",
            &format!("{{targetRefs: [{{kind: {kind}, name: g}}], {fields}}}"),
        )
    };
    warnings(&policy("Gateway", "limits: {headerBytes: §0}"), &[("one client can take all memory", "64Ki")]);
    warnings(
        &policy("HTTPRoute", "limits: {bodyBytes: 1Mi, connections: §5}"),
        &[("has no effect on a route", "Gateway")],
    );
    warnings(&policy("Gateway", "limits: {bodyBytes: 1Mi, connections: 5}"), &[]);
    warnings(
        &document("ProxyConfig", "p", "{admin: §{address: \"0.0.0.0:9901\"}}"),
        &[("no login and is open beyond this host", "127.0.0.1")],
    );
}

#[test]
fn extensions_of_filters() {
    warnings(
        &document("LocalRateLimit", "l", "{requests: 1, buckets: §2048}"),
        &[("without `key` there is one bucket", "set `key`")],
    );
    warnings(
        &document("FaultInjection", "f", "§{headers: [{name: a, value: b}]}"),
        &[("no fault is injected", "")],
    );
}

#[test]
fn cost_aware_scheduling() {
    let with = |fields: &str| {
        document(
            "CostAwareScheduling",
            "c",
            &format!("{{resources: {{cpu: 1, memory: 1Gi, gpu: 1, gpuType: [T4]}}, {fields}}}"),
        )
    };
    warnings(&with("gpuSpeed: §{V100: 3}"), &[("`V100` has a speed but is not among", "")]);
    warnings(&with("costPolicy: {maxCostPerHour: 1, spotMaxPrice: §2}"), &[("above `maxCostPerHour`", "")]);
    let windows =
        "[{hours: \"20:00-02:00\", preferRegions: [a]}, {hours: \"01:00-03:00\", preferRegions: [b]}]";
    warnings(&with(&format!("costPolicy: {{timeOfDay: §{windows}}}")), &[("two windows hold at 01:00", "")]);
    let none = document("CostAwareScheduling", "c", "{resources: {cpu: 1, memory: 1Gi, gpuType: §[T4]}}");
    warnings(&none, &[("a job without a GPU", "")]);
}
