//! More than can be done: some are refused at once and told so, the others are served.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Instant;

use causeway_testkit::client::{Answer, Client, get_as};
use causeway_testkit::origin::{Fault, Origin};
use causeway_testkit::wait::{WATCHDOG, until};
use causeway_tests::Site;
use serde_json::{Value, json};
use tokio::task::JoinSet;

async fn site(overload: Value) -> (Site, Origin) {
    let origin = Origin::start("a", 0).await;
    let site = Site::start(|config| {
        config
            .cluster("a", 1, &[origin.addr()])
            .set_proxy("overload", overload)
            .set_proxy("workers", json!(1));
    })
    .await;
    (site, origin)
}

/// Seconds.
fn retry_after(answer: &Answer) -> f64 {
    answer.header("retry-after").parse().expect("a number of seconds")
}

fn is_shed(answer: &Answer, details: &str) -> bool {
    if answer.status == 200 {
        return false;
    }
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(retry_after(answer) >= 1.0);
    assert!(answer.header("proxy-status").contains(details), "{}", answer.header("proxy-status"));
    true
}

#[tokio::test]
async fn requests_in_flight_are_bounded_and_the_operators_pages_are_not() {
    let (site, origin) = site(json!({"maxInFlight": 5})).await;
    origin.fault(Fault::Hang);
    let mut all = JoinSet::new();
    for user in 0..20 {
        let at = site.at;
        all.spawn(async move { get_as(at, &format!("u{user}"), "/").await });
    }
    for _ in 0..15 {
        let answer = all.join_next().await.expect("an answer").expect("no panic");
        assert!(is_shed(&answer, "too many requests under way"));
    }
    assert_eq!(site.proxy.readiness().await, Some(200));
    let metrics = site.proxy.metrics().await;
    assert_eq!(metrics.sum("causeway_requests_shed_total", &[("reason", "in_flight")]), 15.0);
    assert_eq!(metrics.sum("causeway_own_answers_total", &[("flag", "OM")]), 15.0);
    origin.fault(Fault::Ok);
    assert!(all.join_all().await.iter().all(|answer| answer.status == 200));
    assert_eq!(get_as(site.at, "u", "/").await.status, 200, "places are given back");
    assert_eq!(site.proxy.endpoint("a", origin.addr()).await["health"], "healthy");
}

#[tokio::test]
async fn a_queue_that_stands_is_shed_until_it_is_short_again() {
    // A target that any queue at all is above.
    let (site, _origin) = site(json!({"queueTime": {"target": "1ms", "interval": "1ms"}})).await;
    let shed = async || {
        let metrics = site.proxy.metrics().await;
        metrics.sum("causeway_requests_shed_total", &[("reason", "queue_time")])
    };
    let refused = Arc::new(AtomicU32::new(0));
    let mut all = JoinSet::new();
    for user in 0..100 {
        let (at, user, refused) = (site.at, format!("u{user}"), refused.clone());
        all.spawn(async move {
            let mut client = Client::http2(at).await.expect("a connection");
            let mut served = 0;
            while refused.load(Relaxed) < 20 {
                let answer = client.get("/", &[("x-user-id", &user)]).await.expect("an answer");
                match is_shed(&answer, "the proxy is overloaded") {
                    true => drop(refused.fetch_add(1, Relaxed)),
                    false => served += 1,
                }
            }
            served
        });
    }
    assert!(all.join_all().await.iter().sum::<u32>() > 0, "some are served all the same");
    let refused = refused.load(Relaxed);
    assert_eq!(shed().await, f64::from(refused));
    // One after the other there is no queue.
    until("nobody is refused any more", WATCHDOG, async || get_as(site.at, "u", "/").await.status == 200)
        .await;
}

#[tokio::test]
async fn who_was_refused_is_left_alone_until_there_is_time_again() {
    let (site, _origin) = site(json!({"queueTime": {"target": "1ms", "interval": "1ms"}})).await;
    let (left_alone, found) = tokio::sync::watch::channel(false);
    let mut all = JoinSet::new();
    for user in 0..150 {
        let (at, user, left_alone, found) = (site.at, format!("u{user}"), left_alone.clone(), found.clone());
        all.spawn(async move {
            let mut client = Client::http1(at).await.expect("a connection");
            while !*found.borrow() {
                let answer = client.get("/", &[("x-user-id", &user)]).await.expect("an answer");
                // "1" is also said to whom is served again at once.
                if !is_shed(&answer, "the proxy is overloaded") || retry_after(&answer) < 2.0 {
                    continue;
                }
                let began = Instant::now();
                let _ = client.get("/", &[("x-user-id", &user)]).await.expect("an answer");
                let waited = began.elapsed().as_secs_f64();
                assert!(waited > 0.45, "{waited} s, before the first look whether there is time again");
                left_alone.send_replace(true);
            }
        });
    }
    all.join_all().await;
    assert!(*found.borrow());
}

#[tokio::test]
async fn nothing_is_shed_in_ordinary_use_by_default() {
    let origin = Origin::start("a", 0).await;
    let site = Site::over(&[origin.addr()]).await;
    let mut all = JoinSet::new();
    for user in 0..50 {
        let (at, user) = (site.at, format!("u{user}"));
        all.spawn(async move {
            let mut client = Client::http1(at).await.expect("a connection");
            for _ in 0..20 {
                let answer = client.get("/", &[("x-user-id", &user)]).await.expect("an answer");
                assert_eq!(answer.status, 200);
            }
        });
    }
    all.join_all().await;
    assert_eq!(site.proxy.metrics().await.sum("causeway_requests_shed_total", &[]), 0.0);
}
