//! A user stays where they are, by whatever they are known; who is not known goes where there is room.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use causeway_testkit::client::Client;
use causeway_testkit::config::backend;
use causeway_testkit::origin::{Origin, addrs};
use causeway_testkit::raw::Raw;
use causeway_tests::Site;
use serde_json::{Value, json};
use tokio::net::TcpSocket;

/// Four endpoints in two clusters, and a service that hashes this.
async fn site(hashed: Value) -> (Site, Vec<Origin>) {
    let mut origins = Origin::cluster("a", 2).await;
    origins.extend(Origin::cluster("b", 2).await);
    let all = addrs(&origins);
    let site = Site::start(|config| {
        config.cluster("a", 1, &all[..2]).cluster("b", 1, &all[2..]);
        config.set_service("trafficPolicy.loadBalancer.consistentHash", hashed);
    })
    .await;
    (site, origins)
}

/// Endpoints seen by repeating a request.
async fn seen(client: &mut Client, path: &str, fields: &[(&str, &str)]) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    for _ in 0..12 {
        let answer = client.get(path, fields).await.expect("an answer");
        assert_eq!(answer.status, 200);
        seen.insert(answer.header("x-endpoint").to_owned());
    }
    seen
}

/// Asserts that each of these is always served by one endpoint, and that they do not all share it.
async fn assert_sticky(site: &Site, requests: impl Iterator<Item = (String, Vec<(String, String)>)>) {
    let mut all = BTreeSet::new();
    for (path, fields) in requests {
        let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let mut own = BTreeSet::new();
        // By several connections, so by both workers.
        for _ in 0..3 {
            let mut client = Client::http1(site.at).await.expect("a connection");
            own.extend(seen(&mut client, &path, &fields).await);
        }
        assert_eq!(own.len(), 1, "{path} {fields:?} went to {own:?}");
        all.extend(own);
    }
    assert_eq!(all.len(), 4, "users are spread over all endpoints");
}

fn field(name: &str, value: impl ToString) -> (String, String) {
    (name.to_owned(), value.to_string())
}

#[tokio::test]
async fn by_header_whatever_its_case() {
    let (site, _origins) = site(json!({"httpHeaderName": "X-User-ID"})).await;
    assert_sticky(&site, (0..40).map(|user| ("/".to_owned(), vec![field("x-user-id", user)]))).await;
}

#[tokio::test]
async fn by_query_parameter_whatever_else_is_in_the_query() {
    let (site, _origins) = site(json!({"httpQueryParameterName": "user"})).await;
    assert_sticky(&site, (0..40).map(|user| (format!("/p?x=1&user={user}&y=2"), vec![]))).await;
    let mut client = Client::http1(site.at).await.expect("a connection");
    let (one, other) =
        (seen(&mut client, "/p?user=7", &[]).await, seen(&mut client, "/q?z=3&user=7", &[]).await);
    assert_eq!(one, other);
}

#[tokio::test]
async fn by_a_cookie_that_is_set_where_there_is_none_and_left_alone_where_there_is() {
    let cookie = json!({"httpCookie": {"name": "stick", "path": "/shop", "ttl": "1h"}});
    let (site, _origins) = site(cookie).await;
    let mut endpoints = BTreeSet::new();
    let mut cookies = BTreeSet::new();
    for _ in 0..40 {
        let mut client = Client::http1(site.at).await.expect("a connection");
        let first = client.get("/", &[("cookie", "other=1")]).await.expect("an answer");
        let set = first.header("set-cookie").to_owned();
        assert!(set.contains("Path=/shop") && set.contains("Max-Age=3600"), "{set}");
        let pair = set.split(';').next().expect("a pair").to_owned();
        let again = client.get("/", &[("cookie", &format!("other=1; {pair}"))]).await.expect("an answer");
        assert_eq!(again.headers.get("set-cookie"), None);
        assert_eq!(again.header("x-endpoint"), first.header("x-endpoint"), "{pair}");
        endpoints.insert(first.header("x-endpoint").to_owned());
        cookies.insert(pair);
    }
    assert_eq!(endpoints.len(), 4, "new users are spread over all endpoints");
    assert_eq!(cookies.len(), 40, "each user has a cookie of their own");
}

#[tokio::test]
async fn by_source_address() {
    let (site, _origins) = site(json!({"useSourceIp": true})).await;
    let mut all = BTreeSet::new();
    for last in 1..=40 {
        let mut own = BTreeSet::new();
        for _ in 0..4 {
            let socket = TcpSocket::new_v4().expect("a socket");
            socket.bind(SocketAddr::from(([127, 0, 0, last], 0))).expect("all of 127/8 is loopback");
            let mut raw = Raw::over(socket.connect(site.at).await.expect("a connection"));
            raw.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.expect("sent");
            own.insert(raw.response().await.head.get("x-endpoint").expect("signed").to_owned());
        }
        assert_eq!(own.len(), 1, "127.0.0.{last} went to {own:?}");
        all.extend(own);
    }
    assert_eq!(all.len(), 4, "addresses are spread over all endpoints");
}

#[tokio::test]
async fn by_several_together() {
    let (site, _origins) =
        site(json!([{"httpHeaderName": "x-tenant"}, {"httpQueryParameterName": "user"}])).await;
    let requests = (0..40).map(|n| (format!("/?user={}", n / 5), vec![field("x-tenant", n % 5)]));
    assert_sticky(&site, requests).await;
}

#[tokio::test]
async fn those_without_a_key_are_spread_by_weight() {
    let mut origins = Origin::cluster("a", 1).await;
    origins.extend(Origin::cluster("b", 1).await);
    let all = addrs(&origins);
    let site = Site::start(|config| {
        config.cluster("a", 80, &all[..1]).cluster("b", 20, &all[1..]);
    })
    .await;
    let mut client = Client::http1(site.at).await.expect("a connection");
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    for _ in 0..2_000 {
        let answer = client.get("/", &[]).await.expect("an answer");
        *counts.entry(answer.header("x-cluster").to_owned()).or_default() += 1;
    }
    // 1,600 expected; five standard deviations of sqrt(2000 x 0.8 x 0.2) = 17.9.
    let a = counts.get("a").copied().unwrap_or(0);
    assert!((1_510..=1_690).contains(&a), "{counts:?}");
}

#[tokio::test]
async fn a_weighted_split_between_services_keeps_each_user_on_one_side_and_moves_few_when_it_shifts() {
    let (old, new) = (Origin::start("old", 0).await, Origin::start("new", 0).await);
    let mut site = Site::start(|config| {
        config.service("next");
        config.cluster("old", 1, &[old.addr()]).cluster_of("next", "new", 1, &[new.addr()]);
        config.route("all", split(9, 1));
    })
    .await;
    let sides = async |site: &Site| {
        let mut client = Client::http1(site.at).await.expect("a connection");
        let mut sides = Vec::new();
        for user in 0..1_000 {
            let answer = client.get("/", &[("x-user-id", &format!("u{user}"))]).await.expect("an answer");
            sides.push(answer.header("x-cluster").to_owned());
        }
        sides
    };
    let before = sides(&site).await;
    assert_eq!(before, sides(&site).await, "a split is sticky");
    let on_new = before.iter().filter(|side| *side == "new").count();
    // 100 expected; five standard deviations of sqrt(1000 x 0.1 x 0.9) = 9.5.
    assert!((53..=147).contains(&on_new), "{on_new}");

    site.config.route("all", split(8, 2));
    site.proxy.reload(&site.config).await;
    let after = sides(&site).await;
    let back =
        before.iter().zip(&after).filter(|(before, after)| *before == "new" && *after == "old").count();
    assert_eq!(back, 0, "a canary that grows gives nobody back");
    let moved = before.iter().zip(&after).filter(|(before, after)| before != after).count();
    assert!((53..=160).contains(&moved), "{moved} moved for a tenth of the weight");
}

fn split(old: u32, new: u32) -> Value {
    let of = |service: &str, weight: u32| {
        let mut backend = backend(service);
        backend["weight"] = weight.into();
        backend
    };
    json!([{"backendRefs": [of("api", old), of("next", new)]}])
}
