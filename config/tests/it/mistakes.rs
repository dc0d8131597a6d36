//! Every class of mistake is found at its exact place, with a remedy. A `§` marks the place.

use causeway_config::{Strictness, load};

use crate::support::{TO_S, cluster, document, errors, gateway, load_text, route, service};

#[test]
fn all_mistakes_of_all_documents_are_told_at_once_in_order() {
    let text = "\
apiVersion: mesh.macleodlabs.io/v1
kind: Cluster
metadata:
  name: a
spec:
  endpoint: []
  protocol: http3
---
apiVersion: mesh.macleodlabs.io/v1
kind: MultiClusterService
metadata:
  name: Bad_Name
spec:
  clusters:
    - name: a
      weight: -1
    - name: a
      wieght: 5
";
    let report = load_text(text, Strictness::Proxy).unwrap_err();
    let expected = "\
test.yaml:6:3: error: Cluster/a: spec.endpoint: unknown field `endpoint`
  remedy: did you mean `endpoints`?
test.yaml:6:3: error: Cluster/a: spec: `endpoints` is missing
  remedy: list the endpoints: [{address: 10.0.0.1:8080}], or write discovery
test.yaml:7:13: error: Cluster/a: spec.protocol: `http3` is not known here
  remedy: did you mean `http1`?
test.yaml:12:9: error: MultiClusterService/Bad_Name: metadata.name: `Bad_Name` is not a name
  remedy: write lower-case letters, digits, `-` and `.`, such as us-east-1
test.yaml:16:15: error: MultiClusterService/Bad_Name: spec.clusters[0].weight: `-1` is not a whole number
  remedy: write a whole number
test.yaml:17:13: error: MultiClusterService/Bad_Name: spec.clusters[1].name: the cluster `a` is given twice
  remedy: keep one of the two, or rename it
test.yaml:18:7: error: MultiClusterService/Bad_Name: spec.clusters[1].wieght: unknown field `wieght`
  remedy: did you mean `weight`?";
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&report.to_string()), sorted(expected));
    let lines: Vec<u32> = report.problems().map(|problem| problem.line).collect();
    assert_eq!(lines, [6, 6, 7, 12, 16, 17, 18]);
}

#[test]
fn the_text_itself() {
    errors("a: [1\nb§: 2\n", &[("not YAML", "check the indentation, the brackets and the quotes")]);
    errors(
        &document("ProxyConfig", "p", "{workers: 1,\n§workers: 2}"),
        &[("`workers` is given twice, first in line 2", "keep one")],
    );
}

#[test]
fn the_envelope() {
    errors("§just text", &[("a map is needed", "`name: value`")]);
    errors(
        "§{kind: Cluster, metadata: {name: a}, spec: {endpoints: [{address: \"a:1\"}]}}",
        &[("`apiVersion` is missing", "mesh.macleodlabs.io/v1")],
    );
    errors(
        "{apiVersion: v1, kind: §Clutser}",
        &[("the kind `Clutser` is not known", "did you mean `Cluster`?")],
    );
    errors(
        "{apiVersion: v1, kind: §Pod}",
        &[("the kind `Pod`", "the kinds are: MultiClusterService, Cluster")],
    );
    errors(
        "{apiVersion: §mesh.macleodlabs.io/v2, kind: Cluster, metadata: {name: a}, spec: {endpoints: [{address: \"a:1\"}]}}",
        &[("a Cluster of version `mesh.macleodlabs.io/v2` is not known", "write mesh.macleodlabs.io/v1")],
    );
    errors(
        "{apiVersion: mesh.macleodlabs.io/v1, kind: ProxyConfig, metadata: §{}, spec: {}}",
        &[("`name` is missing", "name it")],
    );
    errors(
        "§{apiVersion: mesh.macleodlabs.io/v1, kind: ProxyConfig, metadata: {name: a}}",
        &[("`spec` is missing", "")],
    );
    errors(
        "{apiVersion: mesh.macleodlabs.io/v1, kind: ProxyConfig, metadata: {name: a}, §sepc: {}, spec: {}}",
        &[("unknown field `sepc`", "did you mean `spec`?")],
    );
}

#[test]
fn a_name_given_twice_says_where_the_first_is() {
    let text = cluster("") + &cluster("").replace("name: c", "name: §c");
    errors(&text, &[("the Cluster `c` is given already, at test.yaml:2:70", "rename or remove")]);
    let text = document("ProxyConfig", "a", "{}") + &document("ProxyConfig", "§b", "{}");
    errors(&text, &[("there is a ProxyConfig already, at test.yaml:2:74", "only one")]);
    let text = document("TrafficDefaults", "a", "{}") + &document("TrafficDefaults", "§b", "{}");
    errors(&text, &[("there is a TrafficDefaults already", "only one")]);
}

#[test]
fn values_of_the_wrong_form() {
    for (field, expected) in [
        ("failClosed: §yes", ("`yes` is neither true nor false", "write true or false")),
        ("failClosed: §\"true\"", ("`true` is neither", "without quotes")),
        ("overprovisioning: §0.5", ("0.5 is out of range", "from 1 to 1000")),
        ("overprovisioning: §\"2\"", ("\"2\" is a text, a number is needed", "take the quotes off")),
        ("overprovisioning: §[2]", ("a single value is needed, this is a list", "")),
        ("overprovisioning: §.inf", ("`.inf` is not a number", "")),
        ("trafficPolicy: §5", ("a map is needed, this is a single value", "")),
        ("trafficPolicy: §[a]", ("a map is needed, this is a list", "")),
        ("resilience: {overallTimeout: §30}", ("`30` is not a duration", "such as 500ms, 30s or 1m30s")),
        ("resilience: {overallTimeout: §0s}", ("above 0s", "24h")),
        ("selection: §weightedHome", ("`weightedHome` is not known here", "did you mean `WeightedHome`?")),
        ("failover: §{from: a}", ("a list is needed", "- item")),
        ("§<<: {failClosed: true}", ("unknown field `<<`", "merge keys are not part of YAML 1.2")),
    ] {
        errors(&service(field), &[expected]);
    }
}

#[test]
fn clusters_of_a_service() {
    let with = |clusters: &str| document("MultiClusterService", "s", &format!("{{clusters: {clusters}}}"));
    errors(&document("MultiClusterService", "s", "§{}"), &[("`clusters` is missing", "list the clusters")]);
    errors(&with("§[]"), &[("the list is empty", "at least one")]);
    errors(&with("[§{weight: 1}]"), &[("`name` is missing", "name the cluster")]);
    errors(&with("[{name: a}, {name: §a}]"), &[("the cluster `a` is given twice", "")]);
    errors(
        &with("§[{name: a, weight: 0}, {name: b, weight: 0}]"),
        &[("every cluster has weight 0", "at least one")],
    );
    errors(&with("[{name: a, weight: §1000001}]"), &[("out of range", "from 0 to 1000000")]);
}

#[test]
fn traffic_policy() {
    for (policy, expected) in [
        (
            "loadBalancer: {endpointAlgorithm: §ring}",
            ("`ring` is not known here", "write one of: rendezvous, maglev"),
        ),
        ("loadBalancer: {hashBalanceFactor: §50}", ("not even the mean load fits", "100 or more")),
        ("loadBalancer: {slowStart: {aggression: §0}}", ("0 is out of range", "above 0")),
        (
            "loadBalancer: {consistentHash: {httpHeaderName: §x user}}",
            ("`x user` is not a header name", "RFC 9110"),
        ),
        ("loadBalancer: {consistentHash: {httpCookie: §{}}}", ("`name` is missing", "name the cookie")),
        (
            "loadBalancer: {consistentHash: {httpCookie: {name: a, path: §\"/;x\"}}}",
            ("not a cookie path", "`/`"),
        ),
        (
            "loadBalancer: {consistentHash: §{httpHeaderName: a, useSourceIp: true}}",
            ("several parts in one map have no order", "write a list"),
        ),
        ("loadBalancer: {consistentHash: [§{}]}", ("one item names one part", "")),
        ("outlierDetection: {maxEjectionPercent: §101}", ("101 is out of range", "from 0 to 100")),
        ("outlierDetection: {interval: §0s}", ("above 0s", "")),
        ("connectionPool: {tcp: {maxConnections: §0}}", ("0 is out of range", "1 or more")),
    ] {
        errors(&service(&format!("trafficPolicy: {{{policy}}}")), &[expected]);
    }
}

#[test]
fn resilience() {
    for (field, expected) in [
        ("retries: {attempts: §0}", ("0 tries would send nothing", "write 1 for no retry")),
        ("retries: {retryOn: §\"5xx,resett\"}", ("`resett` is nothing to retry on", "did you mean `reset`?")),
        ("retries: {retryOn: [5xx, §301]}", ("`301` is nothing to retry on", "400 to 599")),
        ("retries: {budget: {percent: §120}}", ("120 is out of range", "from 0 to 100")),
        ("retries: {backoff: {base: §1s}}", ("`base` is longer than `max`", "raise `max`")),
        ("recovery: {hold: §10m}", ("`hold` is longer than `maxHold`", "raise `maxHold`")),
        ("circuitBreaker: {consecutiveErrors: §0}", ("0 is out of range", "1 or more")),
    ] {
        errors(&service(&format!("resilience: {{{field}}}")), &[expected]);
    }
}

#[test]
fn failover() {
    for (rule, expected) in [
        ("§{to: [b]}", ("`from` is missing", "")),
        ("§{from: a}", ("`to` is missing", "")),
        ("{from: a, to: §[]}", ("the list is empty", "")),
        ("{from: a, to: [§a]}", ("`a` fails over to itself", "another cluster")),
        ("{from: a, to: [b, §b]}", ("the target `b` is given twice", "")),
        (
            "{from: §c, to: [b]}",
            ("`c` is not one of the service's clusters", "the clusters of this service are: a, b"),
        ),
        ("{from: a, to: [b]}, {from: §a, to: [b]}", ("a rule from `a` is given twice", "")),
        (
            "{from: a, to: [b], triggerOn: [§clusterUnhealty]}",
            ("is not a trigger", "did you mean `clusterUnhealthy`?"),
        ),
        (
            "{from: a, to: [b], triggerOn: [clusterUnhealthy, §highLatency]}",
            ("needs a condition", "p99 > 500ms"),
        ),
        ("{from: a, to: [b], triggerOn: [§{type: highLatency}]}", ("`threshold` is missing", "p99 > 500ms")),
        (
            "{from: a, to: [b], triggerOn: [highLatency (p99 > 1ms), highLatency (p99 > 2ms), \
             highLatency (p99 > 3ms), highLatency (p99 > 4ms), §highLatency (p99 > 5ms)]}",
            ("more than 4 latencies", "one of those above"),
        ),
        ("{from: a, to: [b], triggerOn: [{type: highLatency, threshold: §5%}]}", ("cannot be used", "500ms")),
        (
            "{from: a, to: [b], triggerOn: [{type: highErrorRate, quantile: §0.9, threshold: 5%}]}",
            ("only `highLatency`", ""),
        ),
        (
            "{from: a, to: [b], triggerOn: [{type: clusterUnhealthy, threshold: §5%}]}",
            ("has no threshold", "leave it out"),
        ),
        (
            "{from: a, to: [b], triggerOn: [{type: highErrorRate, threshold: 5%, recoverThreshold: §6%}]}",
            ("clear while it trips", "at most 5.000%"),
        ),
        (
            "{from: a, to: [b], triggerOn: [{type: highErrorRate, threshold: 5%, for: §0}]}",
            ("out of range", ""),
        ),
    ] {
        errors(&service(&format!("failover: [{rule}]")), &[expected]);
        errors(&service(&format!("resilience: {{failover: [{rule}]}}")), &[expected]);
    }
}

#[test]
fn failover_stands_in_one_place() {
    let rule = "[{from: a, to: [b]}]";
    errors(
        &service(&format!("failover: {rule}, resilience: {{failover: §{rule}}}")),
        &[("`failover` is given under `spec` as well", "keep one of the two")],
    );
    errors(
        &document("TrafficDefaults", "d", &format!("{{resilience: {{failover: §{rule}}}}}")),
        &[("names clusters, so it has no default", "MultiClusterService")],
    );
}

#[test]
fn endpoints() {
    let with = |endpoints: &str| document("Cluster", "c", &format!("{{endpoints: {endpoints}}}"));
    errors(&with("§[]"), &[("the list is empty", "")]);
    for (address, remedy) in [
        ("10.0.0.1", "write host:port"),
        ("10.0.0.1:0", "1 to 65535"),
        ("10.0.0.1:99999", "1 to 65535"),
        ("::1:80", "brackets"),
        ("under_score:80", "write host:port"),
        ("http://a:80", "write host:port"),
    ] {
        errors(
            &with(&format!("[{{address: §\"{address}\"}}]")),
            &[("is not the address of an endpoint", remedy)],
        );
    }
    errors(&with("[{address: §\"0.0.0.0:80\"}]"), &[("an address to listen on", "127.0.0.1")]);
    errors(&with("[{address: \"a:80\"}, {address: §\"A:80\"}]"), &[("`a:80` is given twice", "`weight`")]);
    errors(&with("§[{address: \"a:80\", weight: 0}]"), &[("every endpoint has weight 0", "")]);
    errors(&with("§{dns: {name: a}}"), &[("a list is needed, this is a map", "write discovery: {dns:")]);
    errors(&cluster("dns: §{name: a}"), &[("`dns` belongs under `discovery`", "write discovery: {dns:")]);
    errors(
        &document("Cluster", "c", "§{protocol: http1}"),
        &[("`endpoints` is missing", "or write discovery")],
    );
}

#[test]
fn discovery() {
    let with = |discovery: &str| document("Cluster", "c", &format!("{{discovery: {discovery}}}"));
    let dns = |fields: &str| with(&format!("{{dns: {fields}}}"));
    errors(
        &cluster("discovery: §{file: {path: a}}"),
        &[("endpoints are listed as well", "keep `endpoints`")],
    );
    errors(&with("§{}"), &[("does not say where endpoints are looked up", "file: {path: endpoints.yaml}")]);
    errors(
        &with("{dns: {name: a.b, port: 80}, file: §{path: a}}"),
        &[("one place, `dns` or `file`", "keep one")],
    );
    errors(
        &with("{kubernetes: §{service: a}}"),
        &[("`kubernetes` is not supported yet", "headless Service")],
    );
    errors(&with("{file: §{}}"), &[("`path` is missing", "list of endpoints")]);
    errors(&dns("§{port: 80}"), &[("`name` is missing", "api.internal")]);
    errors(&dns("§{name: a.b}"), &[("`port` is missing", "listen on")]);
    errors(&dns("{name: a.b, port: §80, type: SRV}"), &[("SRV records name the ports", "remove `port`")]);
    errors(&dns("{name: a.b, port: 80, type: §MX}"), &[("`MX` is not known here", "A, AAAA, A+AAAA, SRV")]);
    errors(&dns("{name: §_http._tcp.a.b, port: 80}"), &[("is not a host name", "api.internal")]);
    errors(&dns("{name: §10.0.0.1, port: 80}"), &[("is not a host name", "api.internal")]);
    errors(&dns("{name: §__a.b, type: SRV}"), &[("is not the name of a service", "_http._tcp")]);
    errors(&dns("{name: a.b, port: §0}"), &[("0 is out of range", "1 to 65535")]);
    errors(&dns("{name: a.b, port: 80, minTTL: §0s}"), &[("above 0s", "")]);
    errors(&dns("{name: a.b, port: 80, minTTL: §10s, maxTTL: 5s}"), &[("longer than `maxTTL`", "lower")]);
    errors(&dns("{name: a.b, port: 80, maxTTL: §500ms}"), &[("longer than `maxTTL`", "raise")]);
    errors(&dns("{name: a.b, port: 80, nameservers: §[]}"), &[("the list is empty", "")]);
    for server in ["dns.internal", "10.0.0.2:0", "0.0.0.0"] {
        errors(
            &dns(&format!("{{name: a.b, port: 80, nameservers: [§\"{server}\"]}}")),
            &[("is not the address of a name server", "an IP address")],
        );
    }
    errors(&dns("{name: a.b, port: 80, §ttl: 1s}"), &[("unknown field `ttl`", "the fields here are")]);
}

#[test]
fn the_rest_of_a_cluster() {
    for (field, expected) in [
        ("protocol: §h2", ("`h2` is not known here", "http1, http2, auto")),
        ("tls: {certFile: §c.pem}", ("`certFile` is of no use without `keyFile`", "give both")),
        ("tls: {serverName: §\"a:443\"}", ("is not a host name", "")),
        ("tls: {subjectAltNames: [§\"spiffe://\"]}", ("is not a URI", "spiffe://")),
        (
            "tls: {§insecureSkipVerify: true}",
            ("unknown field `insecureSkipVerify`", "the fields here are: caFile"),
        ),
        (
            "tls: {subjectAltNames: [§\"spiffe://a/b*\"]}",
            ("is not a SPIFFE ID", "spiffe://trust-domain/path/*"),
        ),
        ("proxyProtocol: §true", ("`true` is not known here", "v1, v2")),
        ("healthCheck: §{interval: 1s}", ("does not say what to ask", "http: {path: /healthz}")),
        ("healthCheck: {http: {}, tcp: §{}}", ("either `http` or `tcp`", "")),
        ("healthCheck: {grpc: §{}}", ("`grpc` is not supported yet", "")),
        ("healthCheck: {http: {path: §healthz}}", ("is not a path to ask for", "`/`")),
        ("healthCheck: {http: {host: §a b}}", ("is not a Host header", "")),
        ("healthCheck: {http: {expectedStatuses: [§299-200]}}", ("is not a status or a range", "200-299")),
        ("capacity: {requestsPerSecond: §0}", ("0 is out of range", "above 0")),
        ("capacity: §{}", ("`requestsPerSecond` is missing", "")),
        ("timeouts: {connect: §0s}", ("above 0s", "")),
    ] {
        errors(&cluster(field), &[expected]);
    }
}

#[test]
fn gateways() {
    let tls = "tls: {options: {mesh.macleodlabs.io/cert-file: c, mesh.macleodlabs.io/key-file: k}}";
    for (listener, expected) in [
        ("§{port: 80, protocol: HTTP}", ("`name` is missing", "")),
        ("{name: a, port: §0, protocol: HTTP}", ("0 is out of range", "from 1 to 65535")),
        ("{name: a, port: 80, protocol: §http}", ("`http` is not known here", "did you mean `HTTP`?")),
        ("{name: a, port: 80, protocol: §TCP}", ("the protocol TCP is not supported yet", "")),
        ("§{name: a, port: 443, protocol: HTTPS}", ("needs `tls`", "cert-file")),
        (
            &format!("{{name: a, port: 80, protocol: HTTP, {}}}", tls.replace("{options", "§{options")),
            ("has no `tls`", "HTTPS"),
        ),
        ("{name: a, port: 443, protocol: HTTPS, tls: §{}}", ("`options` is missing", "cert-file")),
        (
            "{name: a, port: 443, protocol: HTTPS, tls: {options: §{mesh.macleodlabs.io/cert-file: c}}}",
            ("`mesh.macleodlabs.io/key-file` is missing", ""),
        ),
        (
            "{name: a, port: 80, protocol: HTTP, hostname: §10.0.0.1}",
            ("`10.0.0.1` is not a host name", "without port"),
        ),
        (
            "{name: a, port: 80, protocol: HTTP, hostname: §\"a.*.b\"}",
            ("is not a host name", "*.example.com"),
        ),
        (
            "{name: a, port: 80, protocol: HTTP}, {name: §a, port: 81, protocol: HTTP}",
            ("the listener `a` is given twice", ""),
        ),
        (
            "{name: a, port: 80, protocol: HTTP}, §{name: b, port: 80, protocol: HTTP}",
            ("port and hostname are those of the listener `a`", "own `hostname`"),
        ),
        (
            &format!("{{name: a, port: 80, protocol: HTTP}}, §{{name: b, port: 80, protocol: HTTPS, {tls}}}"),
            ("port 80 speaks another protocol", "another port"),
        ),
        (
            "{name: a, port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: §Selector}}}",
            ("`Selector` is not supported yet", "Same or All"),
        ),
    ] {
        errors(&gateway(listener), &[expected]);
    }
    let option = |option: &str| {
        let own = "mesh.macleodlabs.io/cert-file: c, mesh.macleodlabs.io/key-file: k";
        format!("{{name: a, port: 443, protocol: HTTPS, tls: {{options: {{{own}, {option}}}}}}}")
            .replace("client-", "mesh.macleodlabs.io/client-")
    };
    for (written, expected) in [
        (
            "client-auth: §optional",
            ("is of no use without `mesh.macleodlabs.io/client-ca-file`", "authority"),
        ),
        ("client-subject-alt-names: §a.b", ("is of no use without", "authority")),
        ("client-ca-file: ca, client-auth: §maybe", ("`maybe` is not known here", "required, optional")),
        ("client-ca-file: ca, client-subject-alt-names: §\"a.b, spiffe://c/\"", ("is not a SPIFFE ID", "/*")),
        ("client-ca-file: ca, client-subject-alt-names: §\"a.b,\"", ("`` is not a host name", "spiffe://")),
    ] {
        errors(&gateway(&option(written)), &[expected]);
    }
    let other = option("client-ca-file: ca").replace("name: a", "name: b, hostname: b.example");
    let both = format!("{}, §{other}", option("client-ca-file: ca, client-auth: optional"));
    errors(
        &gateway(&both),
        &[("the listener `a` on port 443 asks clients for other certificates", "client-")],
    );
    let tls = "[{name: a, port: 443, protocol: HTTPS, tls: {certificateRefs: §[{name: s}], options: {mesh.macleodlabs.io/cert-file: c, mesh.macleodlabs.io/key-file: k}}}]";
    errors(&gateway(&tls[1..tls.len() - 1]), &[("`certificateRefs` is not supported yet", "name the files")]);
    let listener = "listeners: [{name: a, port: 80, protocol: HTTP}]";
    errors(
        &document("Gateway", "g", &format!("§{{{listener}}}")),
        &[("`gatewayClassName` is missing", "causeway")],
    );
    let with = |addresses: &str| {
        document(
            "Gateway",
            "g",
            &format!("{{gatewayClassName: causeway, addresses: {addresses}, {listener}}}"),
        )
    };
    errors(&with("[{value: §localhost}]"), &[("`localhost` is not an address", "")]);
    errors(
        &with("[{type: §Hostname, value: 127.0.0.1}]"),
        &[("`Hostname` is not supported yet", "IPAddress")],
    );
}

#[test]
fn routes() {
    for (rule, expected) in [
        (
            &*format!("matches: [{{path: {{value: §api}}}}], {TO_S}"),
            ("it does not begin with `/`", "absolute"),
        ),
        (&format!("matches: [{{path: {{value: §/a//b}}}}], {TO_S}"), ("it contains `//`", "")),
        (&format!("matches: [{{path: {{value: §/a/..}}}}], {TO_S}"), ("it contains `/..`", "")),
        (&format!("matches: [{{path: {{value: §/a%2Fb}}}}], {TO_S}"), ("it contains `%2f`", "")),
        (&format!("matches: [{{path: {{value: §/ä}}}}], {TO_S}"), ("percent-encoded", "")),
        (&format!("matches: [{{path: {{value: §/%4}}}}], {TO_S}"), ("percent-encoded", "")),
        (
            &format!("matches: [{{path: {{type: §Prefix}}}}], {TO_S}"),
            ("`Prefix` is not known here", "Exact, PathPrefix"),
        ),
        (
            &format!("matches: [{{path: {{type: RegularExpression, value: §\"/(a\"}}}}], {TO_S}"),
            ("is not a pattern: unclosed group", "regex crate"),
        ),
        (
            &format!("matches: [{{path: {{type: RegularExpression, value: §'/\\p{{Greek}}'}}}}], {TO_S}"),
            ("is not a pattern: Unicode", "regex crate"),
        ),
        (&format!("matches: [{{method: §get}}], {TO_S}"), ("`get` is not known here", "did you mean `GET`?")),
        (
            &format!("matches: [{{headers: [{{name: a, value: b}}, {{name: §A, value: c}}]}}], {TO_S}"),
            ("the header `a` is given twice", ""),
        ),
        (&format!("matches: [{{headers: [§{{name: a}}]}}], {TO_S}"), ("`value` is missing", "")),
        (
            &format!("matches: [{{queryParams: [{{name: a, value: b}}, {{name: §a, value: c}}]}}], {TO_S}"),
            ("the query parameter `a`", ""),
        ),
        (
            &format!("timeouts: {{request: 1s, backendRequest: §2s}}, {TO_S}"),
            ("longer than `request`", "lower `backendRequest`"),
        ),
        (&format!("§retries: 3, {TO_S}"), ("unknown field `retries`", "the fields here are: retry, ")),
        (&format!("retry: §{{attempts: 3}}, {TO_S}"), ("`retry` is not supported yet", "resilience.retries")),
        (
            "backendRefs: [§{kind: MultiClusterService, name: s}]",
            ("without `group` this refers to a Service", "mesh.macleodlabs.io"),
        ),
        (
            "backendRefs: [{group: mesh.macleodlabs.io, kind: §Service, name: s}]",
            ("the kind `Service` cannot be served here", "MultiClusterService"),
        ),
        (
            "backendRefs: [{group: mesh.macleodlabs.io, kind: MultiClusterService, name: s, namespace: §x}]",
            ("`namespace` is not supported yet", ""),
        ),
    ] {
        errors(&route(&format!("{{{rule}}}")), &[expected]);
    }
    errors(
        &document("HTTPRoute", "r", "§{rules: []}").replace("rules: []", "hostnames: [a]"),
        &[("`parentRefs` is missing", "edge")],
    );
    errors(
        &document("HTTPRoute", "r", "{parentRefs: [{name: g}], hostnames: [§\"a:80\"]}"),
        &[("`a:80` is not a host name", "without port")],
    );
    let seventeen = vec![format!("{{{TO_S}}}"); 17].join(", ");
    errors(
        &route(&seventeen).replace("rules: [", "rules: §["),
        &[("17 items are too many", "16 at most (Gateway API)")],
    );
    let named = format!("{{name: a, {TO_S}}}, {{name: §a, {TO_S}}}");
    errors(&route(&named), &[("the rule `a` is given twice", "")]);
}

#[test]
fn filters() {
    let set = "requestHeaderModifier: {set: [{name: a, value: b}]}";
    for (filters, expected) in [
        ("§{requestHeaderModifier: {}}", ("`type` is missing", "")),
        ("{type: §Rewrite}", ("`Rewrite` is not a type of filter", "did you mean `URLRewrite`?")),
        (
            "{type: §ExternalAuth, externalAuth: {}}",
            ("`ExternalAuth` is not run yet", "leave the filter out"),
        ),
        ("§{type: RequestHeaderModifier}", ("`requestHeaderModifier` is missing", "")),
        (
            &format!("{{type: RequestHeaderModifier, {set}, §urlRewrite: {{}}}}"),
            ("unknown field `urlRewrite`", ""),
        ),
        (
            &format!("{{type: RequestHeaderModifier, {set}}}, §{{type: RequestHeaderModifier, {set}}}"),
            ("given twice in the rule", "join the two"),
        ),
        (
            "{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: a, value: §\"b\\nc\"}]}}",
            ("not the value of a header", ""),
        ),
        (
            "{type: URLRewrite, urlRewrite: {path: {type: ReplaceFullPath, replaceFullPath: §v2}}}",
            ("is not a path to send", ""),
        ),
        (
            "{type: URLRewrite, urlRewrite: {path: {type: §ReplacePrefix, replacePrefixMatch: /}}}",
            ("`ReplacePrefix` is not known here", "did you mean `Replace"),
        ),
        (
            "{type: URLRewrite, urlRewrite: {path: §{type: ReplaceFullPath}}}",
            ("`replaceFullPath` is missing", ""),
        ),
    ] {
        errors(&route(&format!("{{filters: [{filters}], {TO_S}}}")), &[expected]);
    }
    let rewrite =
        "{type: URLRewrite, urlRewrite: {path: {type: §ReplacePrefixMatch, replacePrefixMatch: /}}}";
    errors(
        &route(&format!("{{matches: [{{path: {{type: Exact, value: /a}}}}], filters: [{rewrite}], {TO_S}}}")),
        &[("needs a rule whose only match is a path prefix", "PathPrefix")],
    );
    let redirect = "{type: RequestRedirect, requestRedirect: {scheme: https}}";
    errors(
        &route(&format!("{{filters: [{redirect}], {}}}", TO_S.replace(": [", ": §["))),
        &[("a rule that redirects asks no backend", "")],
    );
    errors(
        &route(&format!("{{filters: [{redirect}, §{{type: URLRewrite, urlRewrite: {{}}}}]}}")),
        &[("exclude each other", "")],
    );
    errors(
        &route("{filters: [{type: RequestRedirect, requestRedirect: {statusCode: §200}}]}"),
        &[("200 is not a redirect", "301, 302")],
    );
}

#[test]
fn mirrors_cors_and_extensions() {
    let to = "backendRef: {group: mesh.macleodlabs.io, kind: MultiClusterService, name: t}";
    let mirror = |fields: &str| format!("{{type: RequestMirror, requestMirror: {fields}}}");
    let cors = |fields: &str| format!("{{type: CORS, cors: {{{fields}}}}}");
    let extension = |fields: &str| format!("{{type: ExtensionRef, extensionRef: {{{fields}}}}}");
    let limit = "group: mesh.macleodlabs.io, kind: LocalRateLimit, name: l";
    for (filter, expected) in [
        (mirror("§{}"), ("`backendRef` is missing", "gets the copies")),
        (
            mirror("{backendRef: §{kind: MultiClusterService, name: t}}"),
            ("without `group` this refers to a Service", ""),
        ),
        (mirror(&format!("{{{to}, percent: §101}}")), ("101 is out of range", "from 0 to 100")),
        (
            mirror(&format!("{{{to}, percent: 1, fraction: §{{numerator: 1}}}}")),
            ("`percent` and `fraction` say the same", "one of the two"),
        ),
        (
            mirror(&format!("{{{to}, fraction: {{numerator: §101}}}}")),
            ("more than all requests", "100 by default"),
        ),
        (
            mirror(&format!("{{{to}, fraction: {{numerator: 0, denominator: §0}}}}")),
            ("0 is out of range", ""),
        ),
        (cors("allowOrigins: [§app.example]"), ("`app.example` is not an origin", "scheme://host[:port]")),
        (cors("allowOrigins: [\"https://a.b\", §\"https://A.b:443\"]"), ("`https://a.b` is given twice", "")),
        (cors("allowOrigins: §[\"*\", \"https://a.b\"]"), ("beside other origins", "keep `*`")),
        (
            cors("allowOrigins: [\"*\"], allowMethods: [§get]"),
            ("`get` is not known here", "did you mean `GET`?"),
        ),
        (cors("allowOrigins: [\"*\"], allowMethods: §[\"*\", GET]"), ("beside others", "keep `*`")),
        (cors("allowOrigins: [\"*\"], allowHeaders: §[\"*\", a]"), ("beside others", "keep `*`")),
        (cors("allowOrigins: [\"*\"], allowHeaders: [a, §A]"), ("the header `a` is given twice", "")),
        (cors("allowOrigins: [\"*\"], maxAge: §0"), ("0 is out of range", "")),
        (extension("group: §example.org, kind: LocalRateLimit, name: l"), ("`example.org` is not known", "")),
        (
            extension("group: mesh.macleodlabs.io, kind: §RateLimit, name: l"),
            ("`RateLimit` is not known here", "LocalRateLimit"),
        ),
        (
            format!("{}, §{}", extension(limit), extension(limit)),
            ("the same document is named twice in the rule", "keep one"),
        ),
        (format!("{0}, §{0}", cors("allowOrigins: [\"*\"]")), ("given twice in the rule", "join the two")),
    ] {
        errors(&route(&format!("{{filters: [{filter}], {TO_S}}}")), &[expected]);
    }
}

#[test]
fn local_rate_limits() {
    for (spec, expected) in [
        ("§{}", ("`requests` is missing", "in each `per`")),
        ("{requests: §0}", ("0 is out of range", "from 1")),
        ("{requests: 1, per: §25h}", ("longer than a day", "24h")),
        ("{requests: §10001, per: 1ms}", ("more than 10,000,000 a second", "raise `per`")),
        ("{requests: 1, burst: §0}", ("0 is out of range", "")),
        ("{requests: 1, key: §{httpHeaderName: a, useSourceIp: true}}", ("a key is one thing", "")),
        ("{requests: 1, key: {§httpCookie: {name: a}}}", ("unknown field `httpCookie`", "httpHeaderName")),
        ("{requests: 1, key: {useSourceIp: true}, buckets: §100}", ("100 is out of range", "from 1024")),
    ] {
        errors(&document("LocalRateLimit", "l", spec), &[expected]);
    }
}

#[test]
fn fault_injections() {
    for (spec, expected) in [
        ("{delay: §{fixed: 2s}}", ("`percent` is missing", "in percent")),
        ("{delay: {percent: §101, fixed: 2s}}", ("101 is out of range", "")),
        ("{delay: {percent: 1, fixed: §11m}}", ("no client waits so long", "10m")),
        ("{abort: §{percent: 1}}", ("has a `status` or a `grpcStatus`", "status: 503")),
        (
            "{abort: §{percent: 1, status: 503, grpcStatus: internal}}",
            ("has a `status` or", "one of the two"),
        ),
        ("{abort: {percent: 1, status: §200}}", ("200 is out of range", "from 400 to 599")),
        (
            "{abort: {percent: 1, grpcStatus: §unavailible}}",
            ("not a failure in gRPC", "did you mean `unavailable`?"),
        ),
    ] {
        errors(&document("FaultInjection", "f", spec), &[expected]);
    }
}

#[test]
fn grpc_routes() {
    let with = |rule: &str| {
        document("GRPCRoute", "r", &format!("{{parentRefs: [{{name: g}}], rules: [{{{rule}, {TO_S}}}]}}"))
    };
    for (rule, expected) in [
        ("matches: [{method: §{}}]", ("neither `service` nor `method`", "")),
        ("matches: [{method: {service: §shop-v1}}]", ("is not a name in gRPC", "grpc.health.v1.Health")),
        ("matches: [{method: {method: §1st}}]", ("is not a name in gRPC", "Check")),
        (
            "filters: [{type: §URLRewrite, urlRewrite: {}}]",
            ("`URLRewrite` is not a type of filter", "RequestHeaderModifier"),
        ),
        ("timeouts: §{}", ("`timeouts` is not supported yet", "")),
        ("§path: {}", ("unknown field `path`", "")),
    ] {
        errors(&with(rule), &[expected]);
    }
}

#[test]
fn client_traffic_policies() {
    let with = |fields: &str| {
        document(
            "ClientTrafficPolicy",
            "p",
            &format!("{{targetRefs: [{{kind: Gateway, name: g}}], {fields}}}"),
        )
    };
    errors(&document("ClientTrafficPolicy", "p", "§{}"), &[("`targetRefs` is missing", "kind: Gateway")]);
    errors(
        &document("ClientTrafficPolicy", "p", "{targetRefs: [{kind: §Service, name: g}]}"),
        &[("`Service` is not known here", "Gateway, HTTPRoute")],
    );
    for (field, expected) in [
        ("timeouts: {requestHeader: §0s}", ("above 0s", "")),
        ("limits: {headerBytes: §64KB}", ("`64KB` is not a number of bytes", "64Ki")),
        ("limits: {headerBytes: §100}", ("too small", "1Ki")),
        ("limits: {§headerByte: 64Ki}", ("unknown field", "did you mean `headerBytes`?")),
        ("limits: {connectionsPerAddress: §-1}", ("not a whole number", "")),
        ("limits: {minBytesPerSecond: §1Ki}", ("not a whole number", "")),
        ("clientIP: {trustedHops: §-1}", ("not a whole number", "")),
        ("proxyProtocol: §v2", ("neither true nor false", "")),
        ("clientIP: {header: §Forwarded}", ("is not known here", "did you mean `forwarded`?")),
    ] {
        errors(&with(field), &[expected]);
    }
}

#[test]
fn proxy_configs() {
    for (field, expected) in [
        ("workers: §0", ("0 is out of range", "from 1 to 1024")),
        ("workers: §many", ("`many` is not a whole number", "")),
        ("admin: {address: §localhost:9901}", ("is not an address to listen on", "127.0.0.1:9901")),
        ("accessLog: {format: §xml}", ("`xml` is not known here", "json, text")),
        ("accessLog: {sample: §2}", ("2 is out of range", "from 0 to 1")),
        ("drain: {timeout: §soon}", ("`soon` is not a duration", "")),
        ("overload: {maxInFlight: §many}", ("`many` is not a whole number", "")),
        ("overload: {queueTime: {target: §20}}", ("`20` is not a duration", "")),
        ("overload: {queueTime: {interval: §0s}}", ("above 0s", "")),
        ("overload: {§queueTarget: 1s}", ("unknown field", "")),
    ] {
        errors(&document("ProxyConfig", "p", &format!("{{{field}}}")), &[expected]);
    }
}

#[test]
fn application_sets() {
    let with = |elements: &str, template: &str| {
        document(
            "ApplicationSet",
            "a",
            &format!(
                "{{generators: [{{list: {{elements: {elements}}}}}], template: {{spec: {{{template}}}}}}}"
            ),
        )
    };
    errors(
        &document("ApplicationSet", "a", "{generators: [§{git: §{}}], template: {spec: {}}}"),
        &[
            ("`list` is missing", "use a `list` generator"),
            ("`git` is not supported yet", "use a `list` generator"),
        ],
    );
    for (elements, template, expected) in [
        ("§[]", "", ("the list is empty", "")),
        ("[{cluster: a}, {cluster: §a}]", "", ("the cluster `a` is given twice", "")),
        ("[{cluster: a, weight: §0}]", "", ("0 is out of range", "from 1 to 100")),
        ("[{cluster: a, canaryDuration: §5}]", "", ("`5` is not a duration", "")),
        ("[{cluster: a}]", "preSync: [{kind: §Pod, name: a}]", ("`Pod` is not known here", "Job")),
        (
            "[{cluster: a}]",
            "syncPolicy: {syncOptions: [§CreateNamespace]}",
            ("has no value", "CreateNamespace=true"),
        ),
        ("[{cluster: a}]", "health: {checks: [{kind: Deployment, threshold: §101}]}", ("out of range", "")),
        ("[{cluster: a}]", "health: {checks: [§{kind: Service}]}", ("`responseTime` is missing", "200ms")),
        (
            "[{cluster: a}]",
            "health: {checks: [{kind: Service, responseTime: 1s, §threshold: 1}]}",
            ("unknown field `threshold`", ""),
        ),
        ("[{cluster: a}]", "health: {checks: [{kind: §Pod, threshold: 1}]}", ("`Pod` is not known here", "")),
    ] {
        errors(&with(elements, template), &[expected]);
    }
}

#[test]
fn cost_aware_scheduling() {
    for (fields, expected) in [
        ("costPolicy: {maxCostPerHour: §0}", ("0 is out of range", "above 0")),
        (
            "costPolicy: {timeOfDay: [{hours: §\"8-18\", preferRegions: [a]}]}",
            ("is not a window of hours", "08:00-18:00"),
        ),
        (
            "costPolicy: {timeOfDay: [{hours: \"08:00-18:00\", preferRegions: §[]}]}",
            ("the list is empty", ""),
        ),
        ("slaPolicy: {interruptionTolerance: §hihg}", ("`hihg` is not known here", "did you mean `high`?")),
        ("slaPolicy: {completionDeadline: 1h, estimatedRuntime: §2h}", ("every job would be late", "")),
        ("slaPolicy: {checkpoint: §{sizeGB: 1}}", ("`interval` is missing", "")),
        ("timeZone: §\"UTC +1\"", ("is not a time zone", "Europe/Berlin")),
        ("data: [{region: a, sizeGB: §0}]", ("0 is out of range", "")),
        ("gpuSpeed: {T4: §fast}", ("`fast` is not a number", "")),
    ] {
        let text = document(
            "CostAwareScheduling",
            "c",
            &format!("{{resources: {{cpu: 1, memory: 1Gi}}, {fields}}}"),
        );
        errors(&text, &[expected]);
    }
    for (resources, expected) in [
        ("§{memory: 1Gi}", ("`cpu` is missing", "")),
        ("{cpu: §0, memory: 1Gi}", ("without a CPU", "")),
        ("{cpu: 1, memory: §1GB}", ("is not a number of bytes", "")),
        ("{cpu: 1, memory: 1Gi, gpu: §one}", ("is not a number of GPUs", "")),
        ("{cpu: 1, memory: 1Gi, gpu: 1, gpuType: [T4, §T4]}", ("the GPU type `T4` is given twice", "")),
    ] {
        errors(&document("CostAwareScheduling", "c", &format!("{{resources: {resources}}}")), &[expected]);
    }
}

#[test]
fn a_report_of_a_million_mistakes_stays_bounded() {
    let unknown: Vec<String> = (0..50_000).map(|number| format!("fild{number}: 1")).collect();
    let text = document("ProxyConfig", "p", &format!("{{{}}}", unknown.join(", ")));
    let report = load(&[causeway_config::Source::new("a.yaml", text)], Strictness::Proxy).unwrap_err();
    assert_eq!(report.errors(), 50_000);
    assert_eq!(report.problems().len(), 10_000);
    assert!(report.to_string().ends_with("... and 40000 more"));
}
