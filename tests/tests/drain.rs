//! A proxy that is told to end finishes what is under way, and nobody sees it go.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use causeway_testkit::client::{Answer, Client, empty, fetch};
use causeway_testkit::origin::{Fault, Origin, addrs};
use causeway_testkit::wait::{WATCHDOG, until};
use causeway_tests::{Site, keep_asking};
use http::Method;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

#[tokio::test]
async fn sigterm_under_load_fails_no_request_and_exits_with_0() {
    let origins = Origin::cluster("a", 2).await;
    let mut site = Site::over(&addrs(&origins)).await;
    let answered = Arc::new(AtomicU64::new(0));
    let mut load = JoinSet::new();
    for n in 0..12 {
        let client = if n % 3 == 0 { Client::http2(site.at).await } else { Client::http1(site.at).await };
        load.spawn(keep_asking(client.expect("a connection"), answered.clone()));
    }
    let mut slow = JoinSet::new();
    for n in 0..6 {
        let client = if n % 2 == 0 { Client::http2(site.at).await } else { Client::http1(site.at).await };
        let mut client = client.expect("a connection");
        let request = client.request(Method::GET, "/slow-body?ms=300&chunks=6", &[], empty());
        let response = client.send(request).await.expect("a head at once");
        slow.spawn(async move {
            let answer = Answer::collect(response).await;
            drop(client);
            answer
        });
    }
    until("a load", WATCHDOG, async || answered.load(Relaxed) > 500).await;
    site.proxy.terminate();
    for ended in load.join_all().await {
        assert!(ended.is_ok(), "{ended:?}");
    }
    for answer in slow.join_all().await {
        let answer = answer.expect("a whole answer");
        assert_eq!((answer.status, answer.body.len()), (200, 6 * 26));
    }
    assert_eq!(site.proxy.process.end(WATCHDOG).await.code(), Some(0));
    assert!(site.proxy.process.lines.text().contains("0 connections cut off"));
}

#[tokio::test]
async fn a_draining_proxy_is_alive_but_not_ready_and_takes_no_connections() {
    let origin = Origin::start("a", 0).await;
    let site = Site::start(|config| {
        config.cluster("a", 1, &[origin.addr()]).set_proxy("drain", json!({"timeout": "60s"}));
    })
    .await;
    assert_eq!(site.proxy.readiness().await, Some(200));
    origin.fault(Fault::Hang);
    let at = site.at;
    let waiting = tokio::spawn(async move { fetch(at, Method::GET, "/", &[]).await });
    until("a request under way", WATCHDOG, async || origin.seen().in_flight == 1).await;
    site.proxy.terminate();
    until("not ready", WATCHDOG, async || site.proxy.readiness().await == Some(503)).await;
    assert_eq!(site.proxy.admin(Method::GET, "/healthz").await.status, 200);
    until("a closed door", WATCHDOG, async || TcpStream::connect(site.at).await.is_err()).await;
    assert_eq!(site.proxy.metrics().await.sum("causeway_draining", &[]), 1.0);
    origin.fault(Fault::Ok);
    let answer = waiting.await.expect("no panic").expect("an answer");
    assert_eq!((answer.status, answer.header("connection")), (200, "close"));
}

#[tokio::test]
async fn with_a_delay_it_serves_on_while_balancers_learn_that_it_is_not_ready() {
    let origin = Origin::start("a", 0).await;
    let mut site = Site::start(|config| {
        config.cluster("a", 1, &[origin.addr()]).set_proxy("drain", json!({"delay": "2s"}));
    })
    .await;
    site.proxy.terminate();
    until("not ready", WATCHDOG, async || site.proxy.readiness().await == Some(503)).await;
    assert_eq!(site.get("u", "/").await.status, 200, "a new connection, after the signal");
    assert_eq!(site.proxy.process.end(WATCHDOG).await.code(), Some(0));
}

#[tokio::test]
async fn idle_connections_hold_up_nothing() {
    let origin = Origin::start("a", 0).await;
    let mut site = Site::start(|config| {
        config.cluster("a", 1, &[origin.addr()]).set_proxy("drain", json!({"timeout": "600s"}));
    })
    .await;
    let mut idle = site.raw().await;
    idle.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("sent");
    assert_eq!(idle.response().await.status(), 200);
    let mut silent = site.raw().await;
    let mut http2 = Client::http2(site.at).await.expect("a connection");
    http2.get("/", &[]).await.expect("an answer");
    site.proxy.terminate();
    assert!(idle.is_closed().await && silent.is_closed().await);
    assert_eq!(site.proxy.process.end(WATCHDOG).await.code(), Some(0));
}

#[tokio::test]
async fn what_does_not_end_in_time_is_cut_off() {
    let origin = Origin::start("a", 0).await;
    let mut site = Site::start(|config| {
        config.cluster("a", 1, &[origin.addr()]).set_proxy("drain", json!({"timeout": "500ms"}));
    })
    .await;
    origin.fault(Fault::Hang);
    let mut raw = site.raw().await;
    raw.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("sent");
    until("a request under way", WATCHDOG, async || origin.seen().in_flight == 1).await;
    site.proxy.terminate();
    assert_eq!(site.proxy.process.end(WATCHDOG).await.code(), Some(0));
    assert!(raw.is_closed().await);
    assert!(site.proxy.process.lines.text().contains("1 connections cut off"));
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let origin = Origin::start("a", 0).await;
    let mut site = Site::start(|config| {
        config.cluster("a", 1, &[origin.addr()]).set_proxy("drain", json!({"timeout": "600s"}));
    })
    .await;
    origin.fault(Fault::Hang);
    let mut raw = site.raw().await;
    raw.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("sent");
    until("a request under way", WATCHDOG, async || origin.seen().in_flight == 1).await;
    site.proxy.terminate();
    until("not ready", WATCHDOG, async || site.proxy.readiness().await == Some(503)).await;
    site.proxy.terminate();
    // Far less than the 600 s that it would wait.
    site.proxy.process.end(Duration::from_secs(20)).await;
}

#[tokio::test]
async fn draining_by_hand_is_the_same() {
    let origin = Origin::start("a", 0).await;
    let mut site = Site::over(&[origin.addr()]).await;
    let answer = site.proxy.admin(Method::POST, "/drain").await;
    assert!((200..300).contains(&answer.status), "{}", answer.text());
    assert_eq!(site.proxy.process.end(WATCHDOG).await.code(), Some(0));
}
