//! A copy is what the backend gets, and costs its request nothing.

use causeway_testkit::client::{Client, full};
use causeway_testkit::config::backend;
use causeway_testkit::origin::{Fault, Origin};
use causeway_testkit::wait::{WATCHDOG, until};
use causeway_tests::{Site, recording};
use http::Method;
use serde_json::{Value, json};

use super::rule;

fn mirror(share: Value) -> Value {
    let mut settings = json!({"backendRef": backend("shadow")});
    if let (Some(settings), Some(share)) = (settings.as_object_mut(), share.as_object()) {
        settings.extend(share.clone());
    }
    json!({"type": "RequestMirror", "requestMirror": settings})
}

/// A proxy over `a` that mirrors to `shadow`, with these further filters.
async fn site(a: std::net::SocketAddr, shadow: std::net::SocketAddr, filters: &[Value]) -> Site {
    let filters = json!(filters);
    Site::start(|config| {
        config.service("shadow");
        config.cluster("a", 1, &[a]).cluster_of("shadow", "m", 1, &[shadow]);
        // A mirror that hangs keeps its copies for as long as a test may take.
        for path in ["resilience.retries.perTryTimeout", "resilience.overallTimeout"] {
            config.set("MultiClusterService", "shadow", path, json!("60s"));
        }
        config.route("all", json!([rule("/", filters)]));
    })
    .await
}

async fn mirrored(site: &Site, result: &str) -> f64 {
    site.proxy
        .metrics()
        .await
        .sum("causeway_mirrored_requests_total", &[("service", "shadow"), ("result", result)])
}

#[tokio::test]
async fn a_copy_is_what_the_backend_gets_and_its_answer_is_thrown_away() {
    let ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let (a, seen) = recording(ok).await;
    let (shadow, copies) =
        recording("HTTP/1.1 500 Oops\r\nContent-Length: 4\r\nX-Shadow: 1\r\n\r\noops").await;
    let filters = [
        json!({"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "x-set", "value": "1"}]}}),
        json!({"type": "URLRewrite", "urlRewrite": {
            "hostname": "inner.example",
            "path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/v2/"},
        }}),
        mirror(json!({})),
    ];
    let site = site(a.addr(), shadow.addr(), &filters).await;
    let mut client = Client::http1(site.at).await.expect("a connection");
    let body = "b".repeat(60_000);
    let calls =
        [(Method::GET, "/?q=1", ""), (Method::POST, "/x", "body"), (Method::PUT, "/y", body.as_str())];
    for (method, path, body) in calls {
        let answer = client.call(method, path, &[], full(body.to_owned())).await.expect("an answer");
        assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
        assert_eq!(answer.headers.get("x-shadow"), None);
    }
    until("three copies", WATCHDOG, async || copies.all().len() == 3).await;
    let key = |message: &causeway_testkit::raw::Message| message.head.start.clone();
    let (mut seen, mut copies) = (seen.all(), copies.all());
    seen.sort_by_key(key);
    copies.sort_by_key(key);
    for (sent, copy) in seen.iter().zip(&copies) {
        assert_eq!((&sent.head.start, sent.body.len()), (&copy.head.start, copy.body.len()));
        assert_eq!(sent.body, copy.body);
        for name in ["host", "x-set", "x-forwarded-for", "x-forwarded-host", "via", "content-length"] {
            assert_eq!(sent.head.all(name), copy.head.all(name), "{name} of {}", sent.head.start);
        }
    }
    assert_eq!(copies[0].head.start, "GET /v2/?q=1 HTTP/1.1");
    assert_eq!(copies[0].head.get("host"), Some("inner.example"));
    until("the answers to be read", WATCHDOG, async || mirrored(&site, "answered").await == 3.0).await;
    // The 500s are the mirror's own affair.
    let metrics = site.proxy.metrics().await;
    let of = |service| [("service", service), ("code_class", "5xx")];
    assert_eq!(metrics.sum("causeway_upstream_requests_total", &of("api")), 0.0);
    assert_eq!(metrics.sum("causeway_upstream_requests_total", &of("shadow")), 3.0);
    assert_eq!(
        metrics.sum("causeway_requests_started_total", &[("service", "shadow")]),
        0.0,
        "no client asked"
    );
}

#[tokio::test]
async fn a_mirror_that_hangs_or_is_dead_costs_requests_nothing_and_copies_beyond_a_bound_are_dropped() {
    let (a, mut shadow) = (Origin::start("a", 0).await, Origin::start("m", 0).await);
    let site = site(a.addr(), shadow.addr(), &[mirror(json!({}))]).await;
    shadow.fault(Fault::Hang);
    for user in 0..300 {
        assert_eq!(site.get(&format!("u{user}"), "/").await.status, 200);
    }
    let metrics = site.proxy.metrics().await;
    let under_way = metrics.sum("causeway_mirrored_requests_in_flight", &[]);
    assert!(under_way <= 128.0, "{under_way} copies of two workers are under way");
    assert!(mirrored(&site, "dropped").await >= 300.0 - 128.0);
    shadow.stop().await;
    until("nothing under way", WATCHDOG, async || {
        site.proxy.metrics().await.sum("causeway_mirrored_requests_in_flight", &[]) == 0.0
    })
    .await;
    let failed = mirrored(&site, "failed").await;
    for user in 0..10 {
        assert_eq!(site.get(&format!("u{user}"), "/").await.status, 200);
    }
    assert_eq!(a.seen().requests, 310);
    assert_eq!(site.proxy.endpoint("a", a.addr()).await["health"], "healthy");
    until("ten more failures", WATCHDOG, async || mirrored(&site, "failed").await == failed + 10.0).await;
}

#[tokio::test]
async fn a_share_of_the_requests_is_copied_and_none_with_a_body_that_is_not_kept() {
    let (a, shadow) = (Origin::start("a", 0).await, Origin::start("m", 0).await);
    let half = mirror(json!({"fraction": {"numerator": 1, "denominator": 2}}));
    let mut site = site(a.addr(), shadow.addr(), &[half]).await;
    let mut client = Client::http1(site.at).await.expect("a connection");
    for _ in 0..1_000 {
        assert_eq!(client.get("/", &[]).await.expect("an answer").status, 200);
    }
    until("no copy under way", WATCHDOG, async || {
        let metrics = site.proxy.metrics().await;
        metrics.sum("causeway_mirrored_requests_in_flight", &[]) == 0.0
    })
    .await;
    let sent = mirrored(&site, "answered").await + mirrored(&site, "dropped").await;
    // 500 expected; five standard deviations of sqrt(1000 / 4) = 15.8.
    assert!((421.0..=579.0).contains(&sent), "{sent}");

    site.config.route("all", json!([rule("/", json!([mirror(json!({"percent": 100}))]))]));
    site.proxy.reload(&site.config).await;
    let before = shadow.seen().requests;
    let long = "l".repeat(100_000);
    let answer = client.call(Method::POST, "/echo-body", &[], full(long.clone())).await.expect("an answer");
    assert_eq!((answer.status, answer.text() == long), (200, true));
    let mut raw = site.raw().await;
    let chunks = format!("8000\r\n{}\r\n", "c".repeat(0x8000)).repeat(3);
    let head = "POST /echo-body HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    raw.send(format!("{head}{chunks}0\r\n\r\n")).await.expect("sent");
    assert_eq!(raw.response().await.body.len(), 3 * 0x8000);
    until("both skipped", WATCHDOG, async || mirrored(&site, "skipped").await == 2.0).await;
    assert_eq!(shadow.seen().requests, before);
}

#[tokio::test]
async fn copies_of_http_2_requests_and_to_http_2_services_have_their_bodies() {
    let (a, shadow) = (Origin::start("a", 0).await, Origin::start("m", 0).await);
    let site = Site::start(|config| {
        config.service("shadow");
        config.cluster("a", 1, &[a.addr()]).cluster_of("shadow", "m", 1, &[shadow.addr()]);
        config.set("Cluster", "m", "protocol", json!("http2"));
        let spec = json!({"parentRefs": [{"name": "edge"}], "rules": [{
            "matches": [{"method": {"service": "shop.v1.Orders"}}],
            "filters": [mirror(json!({}))],
            "backendRefs": [backend("api")],
        }]});
        config.add("GRPCRoute", "orders", spec);
    })
    .await;
    let mut client = Client::http2(site.at).await.expect("a connection");
    let fields = [("content-type", "application/grpc"), ("te", "trailers")];
    for _ in 0..5 {
        let call = client.call(Method::POST, "/shop.v1.Orders/Place", &fields, full("12345")).await;
        assert_eq!(call.expect("an answer").status, 200);
    }
    until("five copies", WATCHDOG, async || mirrored(&site, "answered").await == 5.0).await;
    assert_eq!((shadow.seen().requests, shadow.seen().not_idempotent), (5, 5));
}
