//! A request is tried again where that is safe, somewhere else, and never so often that it makes things worse.

use std::time::{Duration, Instant};

use causeway_testkit::client::{Answer, Client, empty, fetch, full};
use causeway_testkit::config::Config;
use causeway_testkit::origin::{Fault, Origin, addrs};
use causeway_testkit::script::Scripted;
use causeway_tests::Site;
use http::Method;
use serde_json::json;

/// Outlier detection and breaker out of the way: these tests are about each single request.
fn no_ejection(config: &mut Config) {
    let many = json!({"consecutiveErrors": 100_000, "consecutiveLocalOriginFailures": 100_000});
    config.set_service("trafficPolicy.outlierDetection", many);
    config.set_service("resilience.circuitBreaker", json!({"consecutiveErrors": 100_000}));
    config.set_service("resilience.retries.budget", json!({"percent": 100, "minPerSecond": 100}));
}

/// One cluster of two endpoints, the first of which will be made sick.
async fn pair() -> (Site, Vec<Origin>) {
    let origins = Origin::cluster("a", 2).await;
    let site = Site::start(|config| {
        config.cluster("a", 1, &addrs(&origins));
        no_ejection(config);
    })
    .await;
    (site, origins)
}

async fn call(site: &Site, user: usize, method: Method, path: &str, body: &str) -> Answer {
    let mut client = Client::http1(site.at).await.expect("a connection");
    let user = format!("u{user}");
    let called = client.call(method, path, &[("x-user-id", &user)], full(body.to_owned())).await;
    called.unwrap_or_else(|error| panic!("{user}: {error}"))
}

fn seen(origins: &[Origin]) -> u64 {
    origins.iter().map(|origin| origin.seen().requests).sum()
}

#[tokio::test]
async fn an_idempotent_request_that_fails_is_tried_elsewhere_with_its_body() {
    let (site, origins) = pair().await;
    let body = "x".repeat(10_000);
    for fault in [Fault::Close, Fault::Status(500), Fault::Status(503)] {
        origins[0].fault(fault);
        for (n, method) in [Method::GET, Method::PUT, Method::DELETE, Method::OPTIONS].into_iter().enumerate()
        {
            for user in 0..10 {
                let answer = call(&site, 10 * n + user, method.clone(), "/echo", &body).await;
                assert_eq!(answer.status, 200, "{fault:?}, {method}: {}", answer.text());
                assert_eq!(answer.json()["body"], body.as_str(), "{fault:?}, {method}");
            }
        }
    }
    assert!(origins[0].seen().requests > 20, "the sick endpoint had its share: {:?}", origins[0].seen());
}

#[tokio::test]
async fn a_request_that_may_have_been_executed_is_not_sent_twice() {
    let (site, origins) = pair().await;
    for (fault, reason) in [(Fault::Status(503), ""), (Fault::Close, "connection_terminated")] {
        origins[0].fault(fault);
        let before = seen(&origins);
        let mut failed = 0;
        for user in 0..40 {
            // With a body and without: one that could be replayed is not either.
            let body = if user % 2 == 0 { "order" } else { "" };
            let answer = call(&site, user, Method::POST, "/", body).await;
            if answer.status == 503 {
                failed += 1;
                assert!(answer.header("proxy-status").contains(reason), "{:?}", answer.headers);
            }
        }
        assert_eq!(seen(&origins) - before, 40, "{fault:?}");
        assert!((5..=35).contains(&failed), "{failed} of 40 belong to the sick endpoint");
    }
}

#[tokio::test]
async fn a_request_of_which_nothing_was_sent_is_tried_elsewhere_whatever_its_method() {
    let (site, mut origins) = pair().await;
    origins[0].stop().await;
    for user in 0..40 {
        assert_eq!(call(&site, user, Method::POST, "/", "order").await.status, 200);
    }
    assert_eq!(origins[1].seen().not_idempotent, 40);
}

/// A cluster that reads all of a request and then answers 503, for nearly all users, and one that echoes.
async fn sick_home() -> (Site, Scripted, Origin) {
    let sick = Scripted::answering("HTTP/1.1 503 Sick\r\nContent-Length: 0\r\n\r\n").await;
    let echo = Origin::start("b", 0).await;
    let site = Site::start(|config| {
        config.cluster("a", 10_000, &[sick.addr()]).cluster("b", 1, &[echo.addr()]);
        no_ejection(config);
    })
    .await;
    (site, sick, echo)
}

#[tokio::test]
async fn a_body_is_replayed_up_to_64_kib_and_commits_the_request_beyond() {
    let (site, _sick, echo) = sick_home().await;
    for (size, status) in [(0, 200), (1, 200), (65_536, 200), (65_537, 503), (500_000, 503)] {
        let answer = call(&site, size, Method::PUT, "/echo", &"x".repeat(size)).await;
        assert_eq!(answer.status, status, "{size} bytes");
        if status == 200 {
            assert_eq!(answer.json()["body_bytes"], size);
        }
    }
    assert_eq!(echo.seen().requests, 3);
}

#[tokio::test]
async fn an_upstream_that_asks_for_a_pause_gets_it() {
    let sick = Scripted::answering("HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n").await;
    let other = Origin::start("b", 0).await;
    let site = Site::start(|config| {
        config.cluster("a", 10_000, &[sick.addr()]).cluster("b", 1, &[other.addr()]);
        no_ejection(config);
    })
    .await;
    let began = Instant::now();
    assert_eq!(site.get("u", "/").await.status, 200);
    assert!(began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());
}

#[tokio::test]
async fn only_what_is_listed_is_retried() {
    let (mut site, origins) = pair().await;
    site.config.set_service("resilience.retries.retryOn", json!("reset,connect-failure,409"));
    site.proxy.reload(&site.config).await;
    let bad = async |site: &Site| {
        let mut bad = 0;
        for user in 0..20 {
            bad += u32::from(site.get(&format!("u{user}"), "/").await.status != 200);
        }
        bad
    };
    origins[0].fault(Fault::Status(500));
    assert!(bad(&site).await > 0, "500 is not listed");
    origins[0].fault(Fault::Status(409));
    assert_eq!(bad(&site).await, 0, "409 is");
    origins[0].fault(Fault::Close);
    assert_eq!(bad(&site).await, 0, "a reset is");
}

#[tokio::test]
async fn the_budget_bounds_retries_when_everything_fails() {
    let origins = Origin::cluster("a", 2).await;
    let site = Site::start(|config| {
        config.cluster("a", 1, &addrs(&origins));
        no_ejection(config);
        let budget = json!({"percent": 20, "minPerSecond": 1, "window": "10s"});
        config.set_service("resilience.retries.budget", budget);
        config.set_service("resilience.retries.backoff", json!({"base": "1ms", "max": "2ms"}));
    })
    .await;
    origins.iter().for_each(|origin| origin.fault(Fault::Status(503)));
    const REQUESTS: u64 = 300;
    for user in 0..REQUESTS {
        assert_eq!(site.get(&format!("u{user}"), "/").await.status, 503);
    }
    let retries = seen(&origins) - REQUESTS;
    // A fifth, one a second over the window of 10 s, and one a worker (retries that start in the same instant).
    assert!((10..=REQUESTS / 5 + 10 + 2).contains(&retries), "{retries} retries");
    let metrics = site.proxy.metrics().await;
    assert_eq!(metrics.sum("causeway_retries_total", &[]), retries as f64);
    assert!(metrics.sum("causeway_retries_refused_total", &[]) > 100.0);
}

#[tokio::test]
async fn tries_are_counted_for_the_upstream_and_for_the_log() {
    let (site, origins) = pair().await;
    origins[0].fault(Fault::Close);
    let mut counts = [0, 0];
    for user in 0..40 {
        let seen = site.get(&format!("u{user}"), "/echo").await.json();
        let pairs = seen["headers"].as_array().expect("pairs").iter();
        let attempt: Vec<_> =
            pairs.filter(|pair| pair[0] == "x-causeway-attempt").map(|pair| &pair[1]).collect();
        match attempt[..] {
            [first] if first == "1" => counts[0] += 1,
            [second] if second == "2" => counts[1] += 1,
            ref other => panic!("{other:?}"),
        }
    }
    assert!(counts.iter().all(|&count| count >= 5), "{counts:?}");
    let retries = site.proxy.metrics().await.sum("causeway_retries_total", &[]);
    assert_eq!(retries, f64::from(counts[1]));
}

#[tokio::test]
async fn what_is_itself_a_retry_of_a_trusted_hop_is_not_retried() {
    let (mut site, origins) = pair().await;
    origins.iter().for_each(|origin| origin.fault(Fault::Status(503)));
    let tries = async |site: &Site, fields: &[(&str, &str)]| {
        let before = seen(&origins);
        let answer = fetch(site.at, Method::GET, "/", fields).await.expect("an answer");
        assert_eq!(answer.status, 503);
        seen(&origins) - before
    };
    let retry = [("x-user-id", "u"), ("x-causeway-attempt", "2")];
    assert!(tries(&site, &retry).await > 1, "a stranger's word is nothing");
    site.config.client_policy(json!({"clientIP": {"trustedHops": 1}}));
    site.proxy.reload(&site.config).await;
    assert_eq!(tries(&site, &retry).await, 1);
    assert!(tries(&site, &[("x-user-id", "u"), ("x-causeway-attempt", "1")]).await > 1);
}

/// The `x-request-timeout` that an echoing origin got, in milliseconds.
async fn deadline(site: &Site, fields: &[(&str, &str)]) -> u64 {
    let mut client = Client::http1(site.at).await.expect("a connection");
    let answer = client.call(Method::GET, "/echo", fields, empty()).await.expect("an answer");
    let seen = answer.json();
    let pairs = seen["headers"].as_array().expect("pairs").iter();
    let values: Vec<_> = pairs.filter(|pair| pair[0] == "x-request-timeout").map(|pair| &pair[1]).collect();
    assert_eq!(values.len(), 1, "{seen}");
    values[0].as_str().and_then(|value| value.parse().ok()).expect("a number")
}

#[tokio::test]
async fn the_deadline_travels_and_the_smallest_wins() {
    let (mut site, origins) = pair().await;
    let claim = [("x-request-timeout", "700")];
    let own = deadline(&site, &claim).await;
    assert!((10_000..=15_000).contains(&own), "a stranger's word is nothing: {own}");
    site.config.set("HTTPRoute", "all", "rules.0.timeouts", json!({"request": "9s"}));
    site.config.client_policy(json!({"clientIP": {"trustedHops": 1}}));
    site.proxy.reload(&site.config).await;
    let route = deadline(&site, &[]).await;
    assert!((5_000..=9_000).contains(&route), "{route}");
    let claimed = deadline(&site, &claim).await;
    assert!((1..=700).contains(&claimed), "{claimed}");

    origins.iter().for_each(|origin| origin.fault(Fault::Hang));
    let fields = [("x-user-id", "u"), ("x-request-timeout", "300")];
    let answer = fetch(site.at, Method::GET, "/", &fields).await.expect("an answer");
    assert_eq!(answer.status, 504);
    assert!(answer.header("proxy-status").contains("http_response_timeout"), "{:?}", answer.headers);
}

#[tokio::test]
async fn an_endpoint_that_hangs_costs_one_try_and_not_the_request() {
    let (mut site, origins) = pair().await;
    site.config.set_service("resilience.retries.perTryTimeout", json!("300ms"));
    site.proxy.reload(&site.config).await;
    origins[0].fault(Fault::Hang);
    for user in 0..8 {
        assert_eq!(site.get(&format!("u{user}"), "/").await.status, 200);
    }
    let timeouts =
        site.proxy.metrics().await.sum("causeway_upstream_failures_total", &[("reason", "timeout")]);
    assert!(timeouts >= 1.0, "{timeouts}");
    assert_eq!(origins[1].seen().requests, 8);
}

#[tokio::test]
async fn the_client_sees_the_last_answer_when_the_tries_are_used_up() {
    let origins = Origin::cluster("a", 3).await;
    let site = Site::start(|config| {
        config.cluster("a", 1, &addrs(&origins));
        no_ejection(config);
    })
    .await;
    origins.iter().for_each(|origin| origin.fault(Fault::Status(507)));
    let answer = site.get("u", "/").await;
    assert_eq!((answer.status, answer.header("x-cluster")), (507, "a"));
    assert_eq!(seen(&origins), 3, "three tries in all");
    assert!(origins.iter().all(|origin| origin.seen().requests == 1), "each at another endpoint");
}
