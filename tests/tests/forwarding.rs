//! What proxies tell each other about the client: one header is agreed upon, and only trusted hops are believed.

use causeway_testkit::client::Client;
use causeway_testkit::origin::Origin;
use causeway_tests::{OK, Site, recording};
use serde_json::{Value, json};

/// What a client sends that would like to be somebody else.
const FORGED: &str = "Forwarded: for=6.6.6.6;host=evil, for=7.7.7.7\r\nX-Forwarded-For: 8.8.8.8\r\n\
                      X-Forwarded-Host: evil\r\nX-Forwarded-Proto: https\r\n";

/// What the upstream gets of a request with these fields, as one value a field.
async fn through(client_ip: Value, fields: &str) -> causeway_testkit::raw::Head {
    let (upstream, received) = recording(OK).await;
    let site = Site::start(|config| {
        config.cluster("a", 1, &[upstream.addr()]).client_policy(json!({"clientIP": client_ip}));
        config.set_proxy("accessLog.sample", json!(1));
    })
    .await;
    let mut raw = site.raw().await;
    raw.send(format!("GET / HTTP/1.1\r\nHost: shop.example:8000\r\n{fields}\r\n")).await.expect("sent");
    assert_eq!(raw.response().await.status(), 200);
    received.only().head
}

#[tokio::test]
async fn forwarded_begins_anew_where_nobody_is_trusted() {
    let head = through(json!({"header": "forwarded"}), FORGED).await;
    assert_eq!(head.get("forwarded"), Some("for=127.0.0.1;host=\"shop.example:8000\";proto=http"));
    for gone in ["x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"] {
        assert_eq!(head.get(gone), None, "{gone}: one of the two is spoken");
    }
}

#[tokio::test]
async fn a_trusted_chain_of_forwarded_is_passed_on_and_continued() {
    let head = through(json!({"header": "forwarded", "trustedHops": 1}), FORGED).await;
    let expected = "for=6.6.6.6;host=evil, for=7.7.7.7, for=127.0.0.1;host=\"shop.example:8000\";proto=http";
    assert_eq!(head.get("forwarded"), Some(expected));
    assert_eq!(head.get("x-forwarded-for"), None);
    // An open quote must not swallow what stands behind it.
    let head =
        through(json!({"header": "forwarded", "trustedHops": 1}), "Forwarded: for=\"1.1.1.1\r\n").await;
    assert_eq!(head.get("forwarded"), Some("for=127.0.0.1;host=\"shop.example:8000\";proto=http"));
}

#[tokio::test]
async fn the_header_that_is_not_agreed_upon_is_removed_whoever_is_trusted() {
    let head = through(json!({"trustedHops": 1}), FORGED).await;
    assert_eq!(head.get("forwarded"), None);
    assert_eq!(head.get("x-forwarded-for"), Some("8.8.8.8, 127.0.0.1"));
}

#[tokio::test]
async fn the_address_that_a_trusted_hop_saw_is_who_sticks_and_who_is_logged() {
    let origins = Origin::cluster("a", 4).await;
    let addrs: Vec<_> = origins.iter().map(Origin::addr).collect();
    let site = Site::start(|config| {
        config.cluster("a", 1, &addrs);
        config.client_policy(json!({"clientIP": {"header": "forwarded", "trustedHops": 2}}));
        config.set_service("trafficPolicy.loadBalancer.consistentHash", json!({"useSourceIp": true}));
        config.set_proxy("accessLog.sample", json!(1));
    })
    .await;
    let mut homes = std::collections::BTreeMap::new();
    for round in 0..2 {
        for user in 0..40u8 {
            let forwarded = format!("for=\"[2001:db8::{user:x}]:1234\", for=_edge{round}");
            let mut client = match round {
                0 => Client::http1(site.at).await.expect("a connection"),
                _ => Client::http2(site.at).await.expect("a connection"),
            };
            let answer = client.get("/", &[("forwarded", &forwarded)]).await.expect("an answer");
            let home = answer.header("x-endpoint").to_owned();
            assert_eq!(*homes.entry(user).or_insert_with(|| home.clone()), home, "user {user} stays");
        }
    }
    let distinct: std::collections::BTreeSet<_> = homes.values().collect();
    assert!(distinct.len() > 1, "users are spread by their own addresses: {homes:?}");
    let logged = || {
        let log = site.proxy.folder.access_log();
        log.iter().filter(|line| line["client"] == "2001:db8::7").count()
    };
    causeway_testkit::wait::until("the log", causeway_testkit::wait::WATCHDOG, async || logged() == 2).await;
}
