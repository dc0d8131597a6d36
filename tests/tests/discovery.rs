//! Endpoints that are looked up are followed as they come and go, and whoever looks them up in vain serves those
//! that it knows.

use std::net::SocketAddr;

use causeway_testkit::certs::Authority;
use causeway_testkit::client::get_as;
use causeway_testkit::dns::{Dns, address, service, ttl};
use causeway_testkit::origin::{Fault, Origin, TlsFront};
use causeway_testkit::proxy::{Folder, Proxy};
use causeway_testkit::wait::{WATCHDOG, until};
use causeway_tests::Site;
use serde_json::{Value, json};

const NAME: &str = "_http._tcp.api.test";

/// SRV records for these origins, all alike, with one TTL.
fn services(origins: &[&Origin], seconds: u32) -> Vec<String> {
    let mut records = vec![ttl(seconds), address("host.test", "127.0.0.1", seconds)];
    records.extend(origins.iter().map(|origin| service(NAME, "host.test", origin.addr().port(), 10, 5)));
    records
}

/// A site whose cluster `a` is looked up like this.
async fn site(folder: Folder, discovery: Value) -> Site {
    Site::start_in(folder, |config| {
        config.cluster("a", 1, &[]).add("Cluster", "a", json!({"discovery": discovery}));
    })
    .await
}

async fn site_by_srv(dns: &Dns) -> Site {
    site(
        Folder::new(),
        json!({"dns": {"name": NAME, "type": "SRV", "nameservers": [dns.addr().to_string()]}}),
    )
    .await
}

/// What the admin page says of the source of cluster `a`.
async fn source(proxy: &Proxy) -> Value {
    proxy.cluster("a").await["discovery"].clone()
}

/// The addresses of cluster `a`.
async fn addresses(proxy: &Proxy) -> Vec<String> {
    let cluster = proxy.cluster("a").await;
    let endpoints = cluster["endpoints"].as_array().expect("a list");
    let mut all: Vec<String> =
        endpoints.iter().map(|endpoint| endpoint["address"].as_str().expect("a text").to_owned()).collect();
    all.sort();
    all
}

async fn until_addresses(proxy: &Proxy, origins: &[&Origin]) {
    let mut expected: Vec<String> = origins.iter().map(|origin| origin.addr().to_string()).collect();
    expected.sort();
    until("these endpoints", WATCHDOG, async || addresses(proxy).await == expected).await;
}

#[tokio::test]
async fn records_are_followed_as_their_ttl_says_and_a_newcomer_is_ramped() {
    let origins = Origin::cluster("a", 2).await;
    let [first, second] = [&origins[0], &origins[1]];
    let Some(mut dns) = Dns::start(&services(&[first], 1)).await else { return };
    let site = site_by_srv(&dns).await;
    assert_eq!(site.endpoint_of("u").await, first.name(), "served from the first request on");
    let kept = site.proxy.endpoint("a", first.addr()).await;
    assert_eq!(kept["ramping_for_ms"], Value::Null, "a new cluster begins at full weight: {kept}");
    assert!(source(&site.proxy).await["next_in_ms"].as_u64().is_some_and(|next| next <= 1_100));

    dns.serve(&services(&[first, second], 600)).await;
    until_addresses(&site.proxy, &[first, second]).await;
    let newcomer = site.proxy.endpoint("a", second.addr()).await;
    assert!(newcomer["ramping_for_ms"].as_u64().is_some_and(|ms| ms < 30_000), "{newcomer}");
    assert_eq!(site.proxy.endpoint("a", first.addr()).await["ramping_for_ms"], Value::Null);
    // 600 s is above the default `maxTTL`, of which a tenth at most is taken off by chance.
    let next = source(&site.proxy).await["next_in_ms"].as_u64().expect("a time");
    assert!((200_000..=300_000).contains(&next), "{next}");
    let page = site.proxy.page("/config").await;
    assert_eq!((&page["applied"], &page["refused"]), (&json!(1), &json!(0)), "no config was loaded for that");
    assert_eq!(page["discovery"][0]["cluster"], "a");
}

#[tokio::test]
async fn srv_records_give_ports_and_weights_and_the_lowest_priority_counts() {
    let origins = Origin::cluster("a", 3).await;
    let port = |i: usize| origins[i].addr().port();
    let records = [
        ttl(60),
        address("host.test", "127.0.0.1", 60),
        service(NAME, "host.test", port(0), 10, 30),
        service(NAME, "host.test", port(1), 10, 10),
        service(NAME, "host.test", port(2), 20, 90),
    ];
    let Some(dns) = Dns::start(&records).await else { return };
    let site = site_by_srv(&dns).await;
    assert_eq!(addresses(&site.proxy).await.len(), 2);
    for user in 0..400 {
        assert_eq!(site.get(&format!("u{user}"), "/").await.status, 200);
    }
    let seen: Vec<u64> = origins.iter().map(|origin| origin.seen().requests).collect();
    // Three to one of 400; four standard deviations are 35.
    assert!((265..=335).contains(&seen[0]) && seen[0] + seen[1] == 400, "{seen:?}");
}

#[tokio::test]
async fn a_name_server_that_dies_costs_nothing_also_not_after_a_restart() {
    let origins = Origin::cluster("a", 2).await;
    let [first, second] = [&origins[0], &origins[1]];
    let Some(mut dns) = Dns::start(&services(&[first], 1)).await else { return };
    let site = site_by_srv(&dns).await;
    dns.stop();
    until("two failures", WATCHDOG, async || source(&site.proxy).await["failures"].as_u64() >= Some(2)).await;
    let told = source(&site.proxy).await;
    assert!(told["error"].is_string() && told["last_success_ms"].as_u64() > Some(0), "{told}");
    assert_eq!((&told["endpoints"], &told["from_last_good"]), (&json!(1), &json!(false)));
    assert_eq!(site.endpoint_of("u").await, first.name());
    let text = site.proxy.admin(http::Method::GET, "/clusters?format=text").await.text();
    assert!(text.contains("NOT LOOKED UP: a (dns SRV _http._tcp.api.test)"), "{text}");
    let metrics = site.proxy.metrics().await;
    let of = |name: &str, more: &[(&str, &str)]| {
        metrics.sum(&format!("causeway_discovery_{name}"), &[&[("cluster", "a")][..], more].concat())
    };
    assert!(of("failures_in_a_row", &[]) >= 2.0 && of("lookups_total", &[("result", "success")]) >= 1.0);
    assert_eq!(of("endpoints", &[]), 1.0);
    assert!(of("last_success_timestamp_seconds", &[]) > 1e9);

    let Site { proxy, at, .. } = site;
    let folder = proxy.folder.clone();
    drop(proxy);
    let proxy = Proxy::start_in(folder).await;
    let told = source(&proxy).await;
    assert_eq!((&told["endpoints"], &told["from_last_good"]), (&json!(1), &json!(true)), "{told}");
    assert_eq!(get_as(at, "u", "/").await.header("x-endpoint"), first.name());

    dns.serve(&services(&[first, second], 1)).await;
    until_addresses(&proxy, &[first, second]).await;
    let told = source(&proxy).await;
    assert_eq!((&told["failures"], &told["from_last_good"]), (&json!(0), &json!(false)), "{told}");
}

#[tokio::test]
async fn a_name_that_is_gone_or_has_no_records_changes_nothing() {
    let origin = Origin::start("a", 0).await;
    let Some(mut dns) = Dns::start(&services(&[&origin], 1)).await else { return };
    let site = site_by_srv(&dns).await;
    for (records, error) in [
        (vec![ttl(1)], "there is no name"),
        (vec![ttl(1), address(NAME, "127.0.0.1", 1)], "has no SRV records"),
        (vec![ttl(1), service(NAME, "gone.test", 80, 10, 5)], "there is no name gone.test"),
    ] {
        dns.serve(&records).await;
        until(error, WATCHDOG, async || {
            source(&site.proxy).await["error"].as_str().is_some_and(|told| told.contains(error))
        })
        .await;
        assert_eq!(site.endpoint_of("u").await, origin.name(), "{error}");
    }
}

#[tokio::test]
async fn the_type_says_which_addresses_are_taken() {
    let [first, second, sixth] = ["127.0.0.1", "127.0.0.2", "::1"].map(|ip| address("api.test", ip, 600));
    let Some(dns) = Dns::start(&[ttl(600), first, second, sixth]).await else { return };
    for (kind, expected) in [
        ("A", &["127.0.0.1:81", "127.0.0.2:81"][..]),
        ("AAAA", &["[::1]:81"]),
        ("A+AAAA", &["127.0.0.1:81", "127.0.0.2:81", "[::1]:81"]),
    ] {
        let of =
            json!({"name": "api.test", "type": kind, "port": 81, "nameservers": [dns.addr().to_string()]});
        let site = site(Folder::new(), json!({"dns": of})).await;
        until(kind, WATCHDOG, async || addresses(&site.proxy).await == expected).await;
    }
}

#[tokio::test]
async fn without_an_answer_at_the_very_first_start_the_others_serve_and_it_joins_when_there_is_one() {
    let origins = [Origin::start("a", 0).await, Origin::start("b", 0).await];
    let Some(mut dns) = Dns::start(&[]).await else { return };
    dns.stop();
    let site = Site::start(|config| {
        let spec = json!({"dns": {"name": NAME, "type": "SRV", "nameservers": [dns.addr().to_string()]}});
        config.cluster("a", 1, &[]).add("Cluster", "a", json!({"discovery": spec}));
        config.cluster("b", 1, &[origins[1].addr()]);
    })
    .await;
    assert_eq!(site.proxy.cluster("a").await["why"], "no-endpoint");
    for user in 0..20 {
        assert_eq!(site.get(&format!("u{user}"), "/").await.header("x-cluster"), "b");
    }
    dns.serve(&services(&[&origins[0]], 1)).await;
    until("all of its users", WATCHDOG, async || site.proxy.admission("a").await == 1.0).await;
    let first = site.proxy.endpoint("a", origins[0].addr()).await;
    assert_eq!(first["ramping_for_ms"], Value::Null, "there is nobody beside it: {first}");
    until("its users at home", WATCHDOG, async || {
        let mut served = 0;
        for user in 0..20 {
            served += u32::from(site.get(&format!("u{user}"), "/").await.header("x-cluster") == "a");
        }
        served > 0
    })
    .await;
}

#[tokio::test]
async fn a_reload_that_names_what_cannot_be_found_is_refused_until_it_can() {
    let origins = [Origin::start("a", 0).await, Origin::start("b", 0).await];
    let Some(mut dns) = Dns::start(&[]).await else { return };
    let mut site = Site::over(&[origins[0].addr()]).await;
    let spec = json!({"dns": {"name": "api.test", "port": origins[1].addr().port(), "nameservers": [dns.addr().to_string()]}});
    site.config.add("Cluster", "a", json!({"discovery": spec}));
    site.proxy.folder.write(&site.config.text());
    until("the refusal", WATCHDOG, async || site.proxy.page("/config").await["refused"] == 1).await;
    let error = site.proxy.page("/config").await["error"].to_string();
    assert!(error.contains("Cluster a: no endpoints: dns A api.test"), "{error}");
    assert!(error.contains("there is no name api.test"), "{error}");
    assert_eq!(site.endpoint_of("u").await, origins[0].name());
    dns.serve(&[address("api.test", "127.0.0.1", 60)]).await;
    until("the change", WATCHDOG, async || site.proxy.page("/config").await["applied"] == 2).await;
    assert_eq!(site.endpoint_of("u").await, origins[1].name());
}

#[tokio::test]
async fn an_answer_too_long_for_udp_comes_by_tcp_and_whole() {
    let addresses: Vec<String> = (1..=200).map(|i| format!("127.0.1.{i}")).collect();
    let records: Vec<String> = addresses.iter().map(|ip| address("many.test", ip, 60)).collect();
    let Some(dns) = Dns::start(&records).await else { return };
    let spec = json!({"dns": {"name": "many.test", "port": 80, "nameservers": [dns.addr().to_string()]}});
    let site = site(Folder::new(), spec).await;
    let mut expected: Vec<String> = addresses.iter().map(|ip| format!("{ip}:80")).collect();
    expected.sort();
    assert_eq!(self::addresses(&site.proxy).await, expected);
}

#[tokio::test]
async fn the_certificates_of_looked_up_endpoints_are_for_the_name_that_was_looked_up() {
    let (origin, authority) = (Origin::start("a", 0).await, Authority::new());
    let front = TlsFront::start(authority.issue(&["api.test"]).server(&["http/1.1"]), origin.addr()).await;
    let records = [address("api.test", "127.0.0.1", 60), address("other.test", "127.0.0.1", 60)];
    let Some(dns) = Dns::start(&records).await else { return };
    let folder = Folder::new();
    let ca = authority.write(&folder.path("ca.pem"));
    for (name, status) in [("api.test", 200), ("other.test", 503)] {
        let spec = json!({
            "discovery": {"dns": {"name": name, "port": front.addr().port(), "nameservers": [dns.addr().to_string()]}},
            "tls": {"caFile": ca},
        });
        let site = Site::start(|config| {
            config.cluster("a", 1, &[]).add("Cluster", "a", spec);
        })
        .await;
        assert_eq!(site.get("u", "/").await.status, status, "{name}");
    }
}

/// A list of endpoints.
fn list(addrs: &[SocketAddr]) -> String {
    json!(addrs.iter().map(|addr| json!({"address": addr.to_string()})).collect::<Vec<_>>()).to_string()
}

/// Replaces a file whole, as a careful writer does.
fn replace(folder: &Folder, text: &str) {
    let part = folder.path("endpoints.part");
    std::fs::write(&part, text).expect("written");
    std::fs::rename(part, folder.config().join("endpoints.yaml")).expect("renamed");
}

#[tokio::test]
async fn a_file_is_followed_and_what_is_no_list_in_it_changes_nothing() {
    let origins = Origin::cluster("a", 2).await;
    let [first, second] = [&origins[0], &origins[1]];
    let folder = Folder::new();
    // Beside the configuration, of which it is no part.
    replace(&folder, &list(&[first.addr()]));
    let site = site(folder, json!({"file": {"path": "endpoints.yaml"}})).await;
    assert_eq!(site.endpoint_of("u").await, first.name());

    replace(&site.proxy.folder, &list(&[first.addr(), second.addr()]));
    until_addresses(&site.proxy, &[first, second]).await;
    let newcomer = site.proxy.endpoint("a", second.addr()).await;
    assert!(newcomer["ramping_for_ms"].is_u64(), "{newcomer}");
    for (garbage, error) in [
        ("[{address: \"10.0.0.1:80\"", "endpoints.yaml:"),
        ("[]", "the list is empty"),
        ("- address: 10.0.0.1\n", "endpoints.yaml:1:"),
    ] {
        replace(&site.proxy.folder, garbage);
        until(error, WATCHDOG, async || {
            source(&site.proxy).await["error"].as_str().is_some_and(|told| told.contains(error))
        })
        .await;
        assert_eq!(addresses(&site.proxy).await.len(), 2, "{garbage}");
    }
    let page = site.proxy.page("/config").await;
    assert_eq!((&page["applied"], &page["error"]), (&json!(1), &Value::Null), "the config is not at fault");
    replace(&site.proxy.folder, &list(&[second.addr()]));
    until_addresses(&site.proxy, &[second]).await;
    assert_eq!(site.endpoint_of("u").await, second.name());
    assert_eq!(source(&site.proxy).await["error"], Value::Null);
}

#[tokio::test]
async fn who_disappears_finishes_what_is_under_way() {
    let origins = Origin::cluster("a", 2).await;
    let folder = Folder::new();
    replace(&folder, &list(&[origins[0].addr()]));
    let site = Site::start_in(folder, |config| {
        config.cluster("a", 1, &[]);
        config.add("Cluster", "a", json!({"discovery": {"file": {"path": "endpoints.yaml"}}}));
        config.set_service("resilience.retries.perTryTimeout", json!("30s"));
        config.set_service("resilience.overallTimeout", json!("30s"));
    })
    .await;
    origins[0].fault(Fault::Hang);
    let at = site.at;
    let waiting = tokio::spawn(async move { get_as(at, "u", "/").await });
    until("a request under way", WATCHDOG, async || origins[0].seen().in_flight == 1).await;
    replace(&site.proxy.folder, &list(&[origins[1].addr()]));
    until_addresses(&site.proxy, &[&origins[1]]).await;
    assert_eq!(site.endpoint_of("u").await, origins[1].name());
    origins[0].fault(Fault::Ok);
    let answer = waiting.await.expect("no panic");
    assert_eq!((answer.status, answer.header("x-endpoint")), (200, origins[0].name()));
}
