//! A limit is exact: so many at once, not one more, and not one less.

use causeway_testkit::client::{Answer, Client, Error, empty, get_as};
use causeway_testkit::origin::{Fault, Origin};
use causeway_testkit::raw::Raw;
use causeway_testkit::wait::{WATCHDOG, until};
use causeway_tests::Site;
use http::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

/// A proxy over one origin that hangs until told otherwise, with these limits and no timeouts in the way.
async fn hanging(breaker: Value) -> (Site, Origin) {
    let origin = Origin::start("a", 0).await;
    let site = Site::start(|config| {
        config.cluster("a", 1, &[origin.addr()]);
        config.set_service("resilience.circuitBreaker", breaker);
        config.set_service("resilience.retries.perTryTimeout", json!("60s"));
        config.set_service("resilience.overallTimeout", json!("60s"));
    })
    .await;
    origin.fault(Fault::Hang);
    (site, origin)
}

/// So many requests at once, each on a connection of its own.
fn crowd(site: &Site, size: usize) -> JoinSet<Answer> {
    let at = site.at;
    let mut crowd = JoinSet::new();
    for user in 0..size {
        crowd.spawn(async move { get_as(at, &format!("u{user}"), "/").await });
    }
    crowd
}

/// Waits for so many answers, each a refusal for this reason.
async fn refused(crowd: &mut JoinSet<Answer>, number: usize, details: &str) {
    for _ in 0..number {
        let answer = crowd.join_next().await.expect("an answer").expect("no panic");
        assert_eq!(answer.status, 503);
        let status = answer.header("proxy-status");
        assert!(status.contains("connection_limit_reached") && status.contains(details), "{status}");
    }
}

/// Waits for the rest, all of them served.
async fn served(crowd: JoinSet<Answer>, number: usize) {
    let rest = crowd.join_all().await;
    assert_eq!(rest.len(), number);
    assert!(rest.iter().all(|answer| answer.status == 200));
}

#[tokio::test]
async fn requests_under_way_are_limited_exactly() {
    let (site, origin) = hanging(json!({"maxRequests": 5})).await;
    for _ in 0..3 {
        let mut all = crowd(&site, 40);
        refused(&mut all, 35, "requests are under way").await;
        until("the five", WATCHDOG, async || origin.seen().in_flight == 5).await;
        assert_eq!(site.proxy.cluster("a").await["requests"], 5);
        origin.fault(Fault::Ok);
        served(all, 5).await;
        origin.fault(Fault::Hang);
    }
    assert_eq!(origin.seen().requests, 15, "a refused request reaches nobody");
    let metrics = site.proxy.metrics().await;
    assert_eq!(metrics.sum("causeway_upstream_overflows_total", &[]), 105.0);
    assert_eq!(
        site.proxy.endpoint("a", origin.addr()).await["health"],
        "healthy",
        "our refusal is not its fault"
    );
}

#[tokio::test]
async fn connections_and_those_who_wait_for_one_are_limited_exactly() {
    let (site, origin) = hanging(json!({"maxConnections": 2, "maxPendingRequests": 3})).await;
    for round in 0..3 {
        let mut all = crowd(&site, 20);
        refused(&mut all, 15, "wait for a connection").await;
        let page = site.proxy.cluster("a").await;
        assert_eq!((&page["connections"], &page["pending"]), (&json!(2), &json!(3)), "round {round}");
        until("the two", WATCHDOG, async || origin.seen().in_flight == 2).await;
        origin.fault(Fault::Ok);
        served(all, 5).await;
        origin.fault(Fault::Hang);
    }
    assert_eq!(origin.seen().requests, 15);
    let page = site.proxy.cluster("a").await;
    assert_eq!((&page["pending"], &page["requests"]), (&json!(0), &json!(0)));
}

#[tokio::test]
async fn an_idle_connection_of_one_worker_keeps_nobody_waiting_at_another() {
    let (site, origin) = hanging(json!({"maxConnections": 1})).await;
    origin.fault(Fault::Ok);
    for user in 0..60 {
        assert_eq!(get_as(site.at, &format!("u{user}"), "/").await.status, 200);
    }
    assert!(origin.seen().open_connections <= 1, "{:?}", origin.seen());
}

#[tokio::test]
async fn what_a_full_cluster_refuses_the_next_one_takes() {
    let (full, next) = (Origin::start("a", 0).await, Origin::start("b", 0).await);
    let site = Site::start(|config| {
        config.cluster("a", 10_000, &[full.addr()]).cluster("b", 1, &[next.addr()]);
        config.set_service("resilience.circuitBreaker", json!({"maxRequests": 5}));
        config.set_service("resilience.retries.perTryTimeout", json!("60s"));
        config.set_service("resilience.overallTimeout", json!("60s"));
    })
    .await;
    full.fault(Fault::Hang);
    next.fault(Fault::Hang);
    let mut all = crowd(&site, 14);
    refused(&mut all, 4, "requests are under way").await;
    until("five at each", WATCHDOG, async || (full.seen().in_flight, next.seen().in_flight) == (5, 5)).await;
    full.fault(Fault::Ok);
    next.fault(Fault::Ok);
    served(all, 10).await;
}

#[tokio::test]
async fn client_connections_are_limited_and_one_that_ends_makes_room() {
    let origin = Origin::start("a", 0).await;
    let site = Site::start(|config| {
        let limits = json!({"limits": {"connections": 3, "connectionsPerAddress": 0}});
        config.cluster("a", 1, &[origin.addr()]).client_policy(limits);
    })
    .await;
    let get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    origin.fault(Fault::Hang);
    let mut held: Vec<Raw> = Vec::new();
    for busy in 1..=3 {
        let mut raw = site.raw().await;
        raw.send(get).await.expect("sent");
        until("a request under way", WATCHDOG, async || origin.seen().in_flight == busy).await;
        held.push(raw);
    }
    let mut refused = site.raw().await;
    // It may be closed before or after it has sent something.
    let _ = refused.send(get).await;
    assert!(refused.is_closed().await);
    origin.fault(Fault::Ok);
    for raw in &mut held {
        assert_eq!(raw.response().await.status(), 200, "those inside are not disturbed");
    }
    drop(held.pop());
    until("room for another connection", WATCHDOG, async || {
        let mut raw = site.raw().await;
        raw.send(get).await.is_ok() && raw.head().await.is_some_and(|head| head.status() == 200)
    })
    .await;
    assert!(site.proxy.metrics().await.sum("causeway_downstream_connections_refused_total", &[]) >= 1.0);
}

#[tokio::test]
async fn streams_of_an_http_2_connection_are_limited_and_the_others_wait() {
    let origin = Origin::start("a", 0).await;
    let site = Site::start(|config| {
        config.cluster("a", 1, &[origin.addr()]).client_policy(json!({"limits": {"http2Streams": 4}}));
    })
    .await;
    let client = Client::http2(site.at).await.expect("a connection");
    // The limit is known to the client once the first answer is there.
    client.share().get("/", &[]).await.expect("an answer");
    origin.fault(Fault::Hang);
    let mut all: JoinSet<Result<Answer, Error>> = JoinSet::new();
    for _ in 0..10 {
        let mut client = client.share();
        all.spawn(async move { client.call(Method::GET, "/", &[], empty()).await });
    }
    until("as many as are allowed", WATCHDOG, async || origin.seen().in_flight == 4).await;
    assert_eq!(site.proxy.cluster("a").await["requests"], 4);
    origin.fault(Fault::Ok);
    for answer in all.join_all().await {
        assert_eq!(answer.expect("an answer").status, 200);
    }
}
