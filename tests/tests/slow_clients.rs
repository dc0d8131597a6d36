//! Clients that take their time on purpose: each is bounded, by limits that are on without being asked for.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use causeway_testkit::certs::Authority;
use causeway_testkit::origin::Origin;
use causeway_testkit::ports::PortLease;
use causeway_testkit::proxy::{Folder, add_https};
use causeway_testkit::raw::Raw;
use causeway_testkit::wait::{WATCHDOG, until, within};
use causeway_tests::Site;
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

async fn site(policy: Value) -> (Site, Origin) {
    let origin = Origin::start("a", 0).await;
    let site = Site::start(|config| {
        config.cluster("a", 1, &[origin.addr()]).client_policy(policy);
    })
    .await;
    (site, origin)
}

/// Whether a newcomer is served; it may have to come again.
async fn newcomer(site: &Site) {
    until("a newcomer's answer", WATCHDOG, async || {
        let mut raw = site.raw().await;
        raw.send(GET).await.is_ok() && raw.head().await.is_some_and(|head| head.status() == 200)
    })
    .await;
}

async fn evicted(site: &Site) -> f64 {
    let metrics = site.proxy.metrics().await;
    metrics.sum("causeway_downstream_connections_failed_total", &[("reason", "evicted")])
}

/// Uploads a piece of so many bytes every 50 ms, until there is an answer.
async fn upload(site: &Site, piece: usize, pieces: usize) -> u16 {
    let mut raw = site.raw().await;
    let length = piece * pieces;
    raw.send(format!("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"))
        .await
        .expect("sent");
    let (mut tick, mut left) = (tokio::time::interval(Duration::from_millis(50)), pieces);
    let answered = async {
        loop {
            tokio::select! {
                head = raw.head() => return head.expect("an answer").status(),
                _ = tick.tick(), if left > 0 => left -= 1,
            }
            if left < pieces {
                // It may be answered, and closed, by now.
                let _ = raw.send(vec![b'x'; piece]).await;
            }
        }
    };
    within("the end of an upload", WATCHDOG, answered).await
}

#[tokio::test]
async fn an_upload_by_the_byte_is_ended_and_one_of_a_fair_pace_is_not() {
    let (site, _origin) = site(json!({"timeouts": {"bodyIdle": "1s"}})).await;
    assert_eq!(upload(&site, 1, 100_000).await, 408, "20 bytes a second");
    assert_eq!(upload(&site, 100, 60).await, 200, "2,000 bytes a second, for three times the span");
}

#[tokio::test]
async fn any_pace_will_do_where_the_floor_is_off() {
    let (site, _origin) =
        site(json!({"timeouts": {"bodyIdle": "500ms"}, "limits": {"minBytesPerSecond": 0}})).await;
    assert_eq!(upload(&site, 1, 40).await, 200, "20 bytes a second, for four times the span");
}

#[tokio::test]
async fn silent_connections_give_way_to_newcomers() {
    let (site, _origin) = site(json!({"limits": {"connections": 10, "connectionsPerAddress": 0}})).await;
    let mut hoard = Vec::new();
    for _ in 0..10 {
        hoard.push(site.raw().await);
    }
    until("the hoard to be in", WATCHDOG, async || {
        site.proxy.metrics().await.sum("causeway_downstream_connections", &[]) >= 10.0
    })
    .await;
    newcomer(&site).await;
    assert!(evicted(&site).await >= 1.0);
}

#[tokio::test]
async fn who_does_not_begin_a_handshake_gives_way_to_newcomers() {
    let (folder, encrypted) = (Folder::new(), PortLease::take());
    let (cert, key) = Authority::new().issue(&["edge.test"]).write(&folder.path(""), "edge");
    let origin = Origin::start("a", 0).await;
    let site = Site::start_in(folder, |config| {
        add_https(config, encrypted.addr(), &cert, &key);
        config.cluster("a", 1, &[origin.addr()]).client_policy(json!({
            "limits": {"connections": 10, "connectionsPerAddress": 0},
            "timeouts": {"tlsHandshake": "10m"},
        }));
    })
    .await;
    let mut hoard = Vec::new();
    for _ in 0..10 {
        hoard.push(TcpStream::connect(encrypted.addr()).await.expect("a connection"));
    }
    until("the hoard to be in", WATCHDOG, async || {
        site.proxy.metrics().await.sum("causeway_downstream_connections", &[]) >= 10.0
    })
    .await;
    newcomer(&site).await;
    assert!(evicted(&site).await >= 1.0);
}

#[tokio::test]
async fn half_requests_give_way_to_newcomers_and_whole_ones_do_not() {
    let (site, origin) = site(json!({"limits": {"connections": 10, "connectionsPerAddress": 0}})).await;
    origin.fault(causeway_testkit::origin::Fault::Hang);
    let mut busy = site.raw().await;
    busy.send(GET).await.expect("sent");
    until("a request under way", WATCHDOG, async || origin.seen().in_flight == 1).await;
    let mut hoard = Vec::new();
    for _ in 0..9 {
        let mut raw = site.raw().await;
        raw.send("GET / HTTP/1.1\r\nHost: a\r\nX-Drip: ").await.expect("sent");
        hoard.push(raw);
    }
    until("the hoard to be in", WATCHDOG, async || {
        site.proxy.metrics().await.sum("causeway_downstream_connections", &[]) >= 10.0
    })
    .await;
    origin.fault(causeway_testkit::origin::Fault::Ok);
    newcomer(&site).await;
    assert_eq!(busy.response().await.status(), 200);
    assert!(evicted(&site).await >= 1.0);
}

#[tokio::test]
async fn one_address_does_not_get_the_places_of_others() {
    let (site, _origin) = site(json!({"limits": {"connectionsPerAddress": 4}})).await;
    let mut held = Vec::new();
    for _ in 0..4 {
        let mut raw = site.raw().await;
        raw.send(GET).await.expect("sent");
        assert_eq!(raw.response().await.status(), 200);
        held.push(raw);
    }
    let mut fifth = site.raw().await;
    // It may be closed before or after it has sent something.
    let _ = fifth.send(GET).await;
    assert!(fifth.is_closed().await);
    let other = TcpSocket::new_v4().expect("a socket");
    other.bind(SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), 0))).expect("all of 127/8 is loopback");
    let mut other = Raw::over(other.connect(site.at).await.expect("a connection"));
    other.send(GET).await.expect("sent");
    assert_eq!(other.response().await.status(), 200, "another address has places of its own");
    drop(held.pop());
    newcomer(&site).await;
    let metrics = site.proxy.metrics().await;
    assert!(metrics.sum("causeway_downstream_connections_crowded_out_total", &[]) >= 1.0);
}
