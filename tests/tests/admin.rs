//! Operators see what happens and why, and can step in; web pages cannot.

use std::collections::BTreeSet;

use causeway_testkit::client::fetch;
use causeway_testkit::origin::{Origin, addrs};
use causeway_testkit::raw::Raw;
use causeway_testkit::wait::{WATCHDOG, until};
use causeway_tests::Site;
use http::Method;
use serde_json::{Value, json};

/// Two clusters of two endpoints, which come back quickly.
async fn site() -> (Site, Vec<Origin>) {
    let mut origins = Origin::cluster("a", 2).await;
    origins.extend(Origin::cluster("b", 2).await);
    let all = addrs(&origins);
    let site = Site::start(|config| {
        config.cluster("a", 1, &all[..2]).cluster("b", 1, &all[2..]);
        config.set_service("resilience.recovery", json!({"hold": "1s", "ramp": "2s"}));
        config.set_service("trafficPolicy.loadBalancer.slowStart", json!({"window": "1s"}));
    })
    .await;
    (site, origins)
}

async fn whereabouts(site: &Site) -> Vec<String> {
    let mut all = Vec::new();
    for user in 0..40 {
        all.push(site.endpoint_of(&format!("u{user}")).await);
    }
    all
}

#[tokio::test]
async fn each_page_answers_and_what_is_no_page_says_what_is() {
    let (site, _origins) = site().await;
    for page in ["/", "/healthz", "/readyz", "/metrics", "/config", "/clusters", "/clusters?format=text"] {
        let answer = site.proxy.admin(Method::GET, page).await;
        assert_eq!(answer.status, 200, "{page}");
        let head = site.proxy.admin(Method::HEAD, page).await;
        assert_eq!((head.status, head.body.len()), (200, 0), "{page}");
        assert_eq!(site.proxy.admin(Method::POST, page).await.status, 405, "{page}");
    }
    let missing = site.proxy.admin(Method::GET, "/nothing").await;
    assert!(missing.status == 404 && missing.text().contains("/clusters"), "{}", missing.text());
    assert_eq!(site.proxy.admin(Method::GET, "/drain").await.status, 405);
    assert_eq!(site.proxy.readiness().await, Some(200));
}

#[tokio::test]
async fn a_web_page_of_somebody_elses_gets_nothing_and_moves_nothing() {
    let (site, _origins) = site().await;
    let port = site.proxy.admin.port();
    for (what, request, status) in [
        ("a rebound name", format!("GET /clusters HTTP/1.1\r\nHost: evil.example:{port}\r\n\r\n"), 403),
        ("no host", "GET /clusters HTTP/1.1\r\n\r\n".to_owned(), 400),
        (
            "a foreign origin",
            format!("POST /drain HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nOrigin: http://evil.example\r\n\r\n"),
            403,
        ),
        ("localhost", format!("GET /clusters HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n"), 200),
    ] {
        let mut raw = Raw::connect(site.proxy.admin).await;
        raw.send(request).await.expect("sent");
        assert_eq!(raw.response().await.status(), status, "{what}");
    }
    assert_eq!(site.proxy.readiness().await, Some(200));
}

#[tokio::test]
async fn explain_says_where_requests_really_go() {
    let (site, origins) = site().await;
    for user in 0..30 {
        let user = format!("u{user}");
        let told = site.proxy.page(&format!("/explain?service=api&key={user}")).await;
        let endpoint = site.endpoint_of(&user).await;
        let origin = origins.iter().find(|origin| origin.name() == endpoint).expect("one of ours");
        assert_eq!(told["endpoint"], origin.addr().to_string(), "{user}");
        assert_eq!(told["home"], told["cluster"]);
        assert_eq!(told["hash_on"], json!(["header x-user-id"]));
    }
    let wrong = site.proxy.admin(Method::GET, "/explain?service=none&key=x").await;
    assert_eq!(wrong.status, 404, "{}", wrong.text());
}

#[tokio::test]
async fn config_tells_the_digest_that_every_proxy_with_this_config_has() {
    let (mut site, origins) = site().await;
    // A file's name is part of the model, as an absolute path: these two proxies must not differ in one.
    site.config.set_proxy("accessLog", json!({"path": "off"}));
    site.proxy.reload(&site.config).await;
    let page = site.proxy.page("/config").await;
    assert_eq!((&page["applied"], &page["refused"], &page["error"]), (&json!(2), &json!(0), &Value::Null));
    let digest = page["digest"].as_str().expect("text").to_owned();
    assert!(digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()), "{digest}");
    assert!(page.get("model").is_none());
    let full = site.proxy.page("/config?full").await;
    assert!(full["model"].to_string().contains(&origins[0].addr().to_string()));
    assert!(site.proxy.metrics().await.has("causeway_config_info", &[("digest", &digest)]));

    let folder = causeway_testkit::proxy::Folder::new();
    drop(site.proxy);
    // The same meaning, written in another way.
    folder.write(&format!("# a remark\n{}", site.config.text().replace(": 1,", ":   1  , ")));
    let other = causeway_testkit::proxy::Proxy::start_in(folder.into()).await;
    assert_eq!(other.page("/config").await["digest"], digest.as_str());
}

#[tokio::test]
async fn an_endpoint_ejected_by_hand_loses_its_users_to_its_sibling_until_it_returns() {
    let (site, origins) = site().await;
    let before = whereabouts(&site).await;
    let eject = format!("/endpoints/a/{}/eject?for=10m", origins[0].addr());
    assert_eq!(site.proxy.admin(Method::POST, &eject).await.status, 200);
    let page = site.proxy.endpoint("a", origins[0].addr()).await;
    assert_eq!(page["health"], "ejected", "{page}");
    assert!(page["ejected_until_ms"].as_u64().is_some_and(|ms| ms > 500_000), "{page}");
    for (before, now) in before.iter().zip(whereabouts(&site).await) {
        let expected = if before == "a-0" { "a-1" } else { before };
        assert_eq!(now, expected, "its users stay in the cluster, the others where they are");
    }
    let back = format!("/endpoints/a/{}/uneject", origins[0].addr());
    assert_eq!(site.proxy.admin(Method::POST, &back).await.status, 200);
    until("everybody back", WATCHDOG, async || whereabouts(&site).await == before).await;

    let unknown = site.proxy.admin(Method::POST, "/endpoints/a/10.9.9.9:1/eject").await;
    assert_eq!(unknown.status, 404, "{}", unknown.text());
    let wrong =
        site.proxy.admin(Method::POST, &format!("/endpoints/a/{}/eject?for=x", origins[0].addr())).await;
    assert_eq!(wrong.status, 400, "{}", wrong.text());
}

#[tokio::test]
async fn a_cluster_drained_by_hand_loses_its_users_without_an_error_and_gets_them_back() {
    let (site, _origins) = site().await;
    let before = whereabouts(&site).await;
    assert!(before.iter().collect::<BTreeSet<_>>().len() == 4);
    assert_eq!(site.proxy.admin(Method::POST, "/clusters/a/drain").await.status, 200);
    until("an empty cluster", WATCHDOG, async || site.proxy.admission("a").await == 0.0).await;
    assert_eq!(site.proxy.cluster("a").await["why"], "drained");
    for (before, now) in before.iter().zip(whereabouts(&site).await) {
        assert!(now.starts_with('b'), "{now}");
        assert!(before.starts_with('a') || *before == now, "who was not there stays: {before} became {now}");
    }
    assert_eq!(site.proxy.admin(Method::POST, "/clusters/a/undrain").await.status, 200);
    until("everybody back", WATCHDOG, async || whereabouts(&site).await == before).await;
    assert_eq!(site.proxy.admin(Method::POST, "/clusters/none/drain").await.status, 404);
}

#[tokio::test]
async fn metrics_count_what_was_sent() {
    let mut origins = Origin::cluster("a", 1).await;
    let site = Site::start(|config| {
        config.cluster("a", 1, &addrs(&origins));
        config.route(
            "all",
            json!([{
                "matches": [{"path": {"type": "PathPrefix", "value": "/api"}}],
                "filters": [{"type": "URLRewrite", "urlRewrite": {
                    "path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"},
                }}],
                "backendRefs": [causeway_testkit::config::backend("api")],
            }]),
        );
    })
    .await;
    for (path, times, status) in [("/api/", 12, 200), ("/api/status/404", 5, 404), ("/elsewhere", 3, 404)] {
        for _ in 0..times {
            assert_eq!(site.get("u", path).await.status, status, "{path}");
        }
    }
    assert_eq!(origins[0].seen().requests, 17);
    origins[0].stop().await;
    for _ in 0..2 {
        assert_eq!(site.get("u", "/api/").await.status, 503);
    }
    let api = ("service", "api");
    // A request is counted when its answer has ended: a moment after the client has it.
    until("every request counted", WATCHDOG, async || {
        let metrics = site.proxy.metrics().await;
        metrics.sum("causeway_request_duration_seconds_count", &[api]) >= 19.0
            && metrics.sum("causeway_requests_unrouted_total", &[]) >= 3.0
    })
    .await;
    let metrics = site.proxy.metrics().await;
    for (name, labels, expected) in [
        ("causeway_requests_total", vec![api, ("code_class", "2xx")], 12.0),
        ("causeway_requests_total", vec![api, ("code_class", "4xx")], 5.0),
        ("causeway_requests_total", vec![api, ("code_class", "5xx")], 2.0),
        ("causeway_requests_started_total", vec![api], 19.0),
        ("causeway_requests_in_flight", vec![api], 0.0),
        ("causeway_requests_unrouted_total", vec![], 3.0),
        ("causeway_own_answers_total", vec![("flag", "NR")], 3.0),
        ("causeway_own_answers_total", vec![("flag", "UF")], 2.0),
        ("causeway_upstream_requests_total", vec![api, ("cluster", "a"), ("code_class", "2xx")], 12.0),
        ("causeway_upstream_requests_total", vec![api, ("cluster", "a"), ("code_class", "4xx")], 5.0),
        ("causeway_request_duration_seconds_count", vec![api], 19.0),
        ("causeway_upstream_request_duration_seconds_count", vec![api], 17.0),
        ("causeway_panics_total", vec![], 0.0),
    ] {
        assert_eq!(metrics.sum(name, &labels), expected, "{name} {labels:?}");
    }
    assert!(metrics.sum("causeway_upstream_failures_total", &[("reason", "connect")]) >= 2.0);
    assert!(metrics.sum("process_resident_memory_bytes", &[]) > 1e6);
}

#[tokio::test]
async fn nothing_that_a_client_sends_becomes_a_label() {
    let (site, _origins) = site().await;
    site.get("u", "/").await;
    let before = site.proxy.metrics().await.series();
    for n in 0..50 {
        let path = format!("/path-{n}?q={n}");
        let fields =
            [("x-user-id", "x"), ("user-agent", &*format!("agent-{n}")), ("x-request-id", &*n.to_string())];
        fetch(site.at, Method::GET, &path, &fields).await.expect("an answer");
        let method = Method::from_bytes(format!("METHOD{n}").as_bytes()).expect("a method");
        fetch(site.at, method, "/", &fields).await.expect("an answer");
    }
    assert_eq!(site.proxy.metrics().await.series(), before);
}

#[tokio::test]
async fn failures_are_in_the_access_log_with_their_reason_and_successes_only_where_asked_for() {
    let mut origins = Origin::cluster("a", 1).await;
    let site = Site::over(&addrs(&origins)).await;
    site.get("u", "/good").await;
    origins[0].stop().await;
    assert_eq!(site.get("u", "/bad?x=1").await.status, 503);
    let log = || site.proxy.folder.access_log();
    until("a line in the log", WATCHDOG, async || !log().is_empty()).await;
    let lines = log();
    assert_eq!(lines.len(), 1, "{lines:?}");
    let line = &lines[0];
    assert_eq!((&line["status"], &line["path"]), (&json!(503), &json!("/bad?x=1")));
    assert!(line["flags"].to_string().contains("UF"), "{line}");
    assert_eq!((&line["service"], &line["cluster"]), (&json!("api"), &json!("a")));
}
