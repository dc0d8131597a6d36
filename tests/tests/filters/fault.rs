//! Faults happen to those they are meant for, and nobody upstream is blamed.

use std::time::{Duration, Instant};

use causeway_testkit::client::{Client, fetch, full};
use causeway_testkit::origin::Origin;
use causeway_testkit::wait::{WATCHDOG, until};
use causeway_tests::Site;
use http::Method;
use serde_json::{Value, json};

use super::{extension, rule};

async fn site(fault: Value) -> (Site, Origin) {
    let a = Origin::start("a", 0).await;
    let site = Site::start(|config| {
        config.cluster("a", 1, &[a.addr()]);
        config.add("FaultInjection", "game-day", fault);
        config.route("all", json!([rule("/", json!([extension("FaultInjection", "game-day")]))]));
        config.set_proxy("accessLog.sample", json!(1));
    })
    .await;
    (site, a)
}

const MARKED: [(&str, &str); 1] = [("x-game-day", "yes")];

/// Waits until the access log has a record with this flag.
async fn logged(site: &Site, flag: &str) {
    let has = |record: &Value| record["flags"].to_string().contains(flag);
    until(flag, WATCHDOG, async || site.proxy.folder.access_log().iter().any(has)).await;
}

#[tokio::test]
async fn marked_requests_are_aborted_others_are_served_and_no_endpoint_is_blamed() {
    let fault = json!({
        "headers": [{"name": "X-Game-Day", "value": "y.*", "type": "RegularExpression"}],
        "abort": {"percent": 100, "status": 503},
    });
    let (site, a) = site(fault).await;
    for _ in 0..20 {
        let answer = fetch(site.at, Method::GET, "/", &MARKED).await.expect("an answer");
        assert_eq!(answer.status, 503);
        assert!(answer.header("proxy-status").contains("proxy_internal_response"), "{:?}", answer.headers);
        for other in [&[][..], &[("x-game-day", "no")]] {
            assert_eq!(fetch(site.at, Method::GET, "/", other).await.expect("an answer").status, 200);
        }
    }
    assert_eq!(a.seen().requests, 40);
    let metrics = site.proxy.metrics().await;
    let of = |kind| [("fault", "game-day"), ("kind", kind)];
    assert_eq!(metrics.sum("causeway_faults_injected_total", &of("abort")), 20.0);
    assert_eq!(metrics.sum("causeway_faults_injected_total", &of("delay")), 0.0);
    assert_eq!(metrics.sum("causeway_upstream_failures_total", &[]), 0.0);
    assert_eq!(site.proxy.endpoint("a", a.addr()).await["health"], "healthy");
    logged(&site, "FI").await;
    let warnings = site.proxy.page("/config").await["warnings"].to_string();
    assert!(warnings.contains("FAULTS ARE INJECTED"), "{warnings}");
}

#[tokio::test]
async fn a_share_is_aborted_and_a_grpc_call_gets_a_code() {
    let (site, a) = site(json!({"abort": {"percent": 30, "grpcStatus": "unavailable"}})).await;
    let mut client = Client::http2(site.at).await.expect("a connection");
    let mut aborted = 0;
    for _ in 0..1_000 {
        let fields = [("content-type", "application/grpc")];
        let answer = client.call(Method::POST, "/s.S/M", &fields, full("12345")).await.expect("an answer");
        assert_eq!(answer.status, 200);
        aborted += u64::from(answer.header("grpc-status") == "14");
    }
    // 300 expected; five standard deviations of sqrt(1000 x 0.3 x 0.7) = 14.5.
    assert!((228..=372).contains(&aborted), "{aborted}");
    assert_eq!(a.seen().requests, 1_000 - aborted);
}

#[tokio::test]
async fn a_delayed_request_waits_and_is_then_served_and_one_whose_client_leaves_is_not() {
    let fault = json!({
        "headers": [{"name": "x-game-day", "value": "yes"}],
        "delay": {"percent": 100, "fixed": "300ms"},
    });
    let (mut site, a) = site(fault.clone()).await;
    let began = Instant::now();
    assert_eq!(fetch(site.at, Method::GET, "/", &MARKED).await.expect("an answer").status, 200);
    assert!(began.elapsed() >= Duration::from_millis(300));
    logged(&site, "DI").await;

    let mut long = fault;
    long["delay"]["fixed"] = json!("10m");
    site.config.add("FaultInjection", "game-day", long);
    site.proxy.reload(&site.config).await;
    let mut raw = site.raw().await;
    raw.send("GET / HTTP/1.1\r\nHost: a\r\nX-Game-Day: yes\r\n\r\n").await.expect("sent");
    let delayed = async || {
        let labels = [("fault", "game-day"), ("kind", "delay")];
        site.proxy.metrics().await.sum("causeway_faults_injected_total", &labels)
    };
    until("the second to wait", WATCHDOG, async || delayed().await == 2.0).await;
    drop(raw);
    logged(&site, "DC").await;
    assert_eq!(a.seen().requests, 1);
}
