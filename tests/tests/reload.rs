//! A change of the files takes effect at once and costs nobody anything; a mistake in them changes nothing.

use std::time::{Duration, Instant};

use causeway_control_demo::users::{Users, UsersOptions};
use causeway_testkit::client::get_as;
use causeway_testkit::origin::{Fault, Origin, addrs};
use causeway_testkit::ports::PortLease;
use causeway_testkit::proxy::{Folder, Proxy};
use causeway_testkit::wait::{WATCHDOG, until};
use causeway_tests::Site;
use serde_json::{Value, json};
use tokio::net::TcpStream;

/// "Within a second", held with a watchdog of twice that, and the time that a look takes.
const AT_ONCE: Duration = Duration::from_secs(2);

/// Two clusters of one endpoint.
async fn site() -> (Site, Vec<Origin>) {
    let origins = vec![Origin::start("a", 0).await, Origin::start("b", 0).await];
    let site = Site::start(|config| {
        config.cluster("a", 1, &[origins[0].addr()]).cluster("b", 1, &[origins[1].addr()]);
    })
    .await;
    (site, origins)
}

/// Users at a rate that two cores do not feel.
fn users(site: &Site) -> Users {
    Users::start(UsersOptions { users: 200, rate: 200.0, ..UsersOptions::new(site.at) }).expect("users")
}

#[tokio::test]
async fn a_change_takes_effect_within_a_second_and_loses_no_request() {
    let (mut site, origins) = site().await;
    let users = users(&site);
    for round in 0..10 {
        let (weights, cluster) = if round % 2 == 0 { ((1, 0), "a") } else { ((0, 1), "b") };
        site.config.set_service("clusters.0.weight", json!(weights.0));
        site.config.set_service("clusters.1.weight", json!(weights.1));
        site.proxy.folder.write(&site.config.text());
        until("the change", AT_ONCE, async || get_as(site.at, "u", "/").await.header("x-cluster") == cluster)
            .await;
    }
    users.stop();
    let summary = users.finish().await;
    assert_eq!((summary.errors, summary.shed, summary.stale_retries), (0, 0, 0), "{:?}", summary.outcomes);
    assert!(summary.requests > 100, "{} requests", summary.requests);
    assert!(origins.iter().all(|origin| origin.seen().requests > 0));
}

#[tokio::test]
async fn a_request_under_way_ends_under_the_config_it_began_with() {
    let (mut site, origins) = site().await;
    let at = site.at;
    origins.iter().for_each(|origin| origin.fault(Fault::Hang));
    let waiting = tokio::spawn(async move { get_as(at, "u", "/").await });
    let under_way = async || origins.iter().map(|origin| origin.seen().in_flight).sum::<u64>() == 1;
    until("a request under way", WATCHDOG, under_way).await;
    // The service, its clusters and the route are gone; another takes their place.
    let other = Origin::start("c", 0).await;
    site.config = causeway_testkit::config::Config::new(site.at);
    site.config.cluster("c", 1, &[other.addr()]);
    site.proxy.reload(&site.config).await;
    assert_eq!(site.get("u", "/").await.header("x-cluster"), "c");
    origins.iter().for_each(|origin| origin.fault(Fault::Ok));
    let answer = waiting.await.expect("no panic");
    assert_eq!(answer.status, 200);
    assert!(["a", "b"].contains(&answer.header("x-cluster")), "{:?}", answer.headers);
}

#[tokio::test]
async fn a_mistake_changes_nothing_and_is_told_everywhere() {
    let (site, _origins) = site().await;
    let before = site.proxy.page("/config").await;
    let good = site.config.text();
    let mut astray = site.config.clone();
    astray.set_service("clusters.1.name", json!("nowhere"));
    for (what, bad) in [
        ("a misspelt field", good.replace("\"priority\"", "\"pirority\"")),
        ("a reference to nothing", astray.text()),
        ("no YAML", "kind: [".to_owned()),
        ("nothing to listen on", good.replace("\"Gateway\"", "\"Gatewoy\"")),
    ] {
        let refused = site.proxy.page("/config").await["refused"].as_u64().expect("a number");
        site.proxy.folder.write(&bad);
        until(what, WATCHDOG, async || site.proxy.page("/config").await["refused"].as_u64() > Some(refused))
            .await;
        let page = site.proxy.page("/config").await;
        assert_eq!((&page["digest"], &page["applied"]), (&before["digest"], &json!(1)), "{what}");
        assert!(
            page["error"].as_str().is_some_and(|error| error.contains("causeway.yaml")),
            "{what}: {page}"
        );
        assert_eq!(site.get("u", "/").await.status, 200, "{what}");
    }
    let log = site.proxy.process.lines.text();
    assert!(log.contains("pirority") && log.contains("did you mean"), "with a remedy: {log}");
    let metrics = site.proxy.metrics().await;
    assert_eq!(metrics.sum("causeway_config_reloads_total", &[("result", "refused")]), 4.0);
    assert_eq!(metrics.sum("causeway_config_last_reload_successful", &[]), 0.0);

    site.proxy.folder.write(&format!("# better\n{good}"));
    until("the end of it", WATCHDOG, async || site.proxy.page("/config").await["error"] == Value::Null).await;
    assert_eq!(site.proxy.metrics().await.sum("causeway_config_last_reload_successful", &[]), 1.0);
}

#[tokio::test]
async fn a_port_that_cannot_be_had_is_a_mistake_like_any_other() {
    let (mut site, _origins) = site().await;
    let taken = PortLease::take();
    let _held = std::net::TcpListener::bind(taken.addr()).expect("a leased port");
    let good = site.config.clone();
    let listener = json!({"name": "more", "port": taken.addr().port(), "protocol": "HTTP"});
    site.config.set("Gateway", "edge", "listeners.1", listener);
    site.proxy.folder.write(&site.config.text());
    until("the refusal", WATCHDOG, async || site.proxy.page("/config").await["refused"] == 1).await;
    assert_eq!(site.get("u", "/").await.status, 200);
    let error = site.proxy.page("/config").await["error"].to_string();
    assert!(error.contains(&taken.addr().to_string()), "{error}");
    site.proxy.folder.write(&good.text());
    until("the end of it", WATCHDOG, async || site.proxy.page("/config").await["error"] == Value::Null).await;
}

#[tokio::test]
async fn the_last_good_config_survives_a_restart_with_a_bad_file_in_place() {
    let (mut site, _origins) = site().await;
    // The last good one, not the first.
    site.config.set_service("clusters.0.weight", json!(7));
    site.proxy.reload(&site.config).await;
    let digest = site.proxy.page("/config").await["digest"].clone();
    let Site { proxy, at, config, .. } = site;
    let folder = proxy.folder.clone();
    folder.write("kind: [");
    until("the refusal", WATCHDOG, async || proxy.page("/config").await["refused"] == 1).await;
    drop(proxy);

    let proxy = Proxy::start_in(folder.clone()).await;
    assert_eq!(get_as(at, "u", "/").await.status, 200);
    let page = proxy.page("/config").await;
    assert_eq!((&page["digest"], &page["from_last_good"]), (&digest, &json!(true)));
    assert!(page["error"].as_str().is_some_and(|error| error.contains("causeway.yaml")), "{page}");
    assert!(proxy.process.lines.find("last good").is_some());
    // Mended, it is taken without another restart.
    proxy.reload(&config).await;
    assert_eq!(proxy.page("/config").await["from_last_good"], false);
}

#[tokio::test]
async fn a_bad_file_at_the_very_first_start_ends_it_with_the_whole_report() {
    let folder = Folder::new();
    folder.write(
        "apiVersion: mesh.macleodlabs.io/v1\nkind: Cluster\nmetadata: {name: a}\nspec: {endpoint: []}\n",
    );
    let mut process = Proxy::launch(&folder);
    let status = process.end(WATCHDOG).await;
    assert_eq!(status.code(), Some(1));
    until("the report", WATCHDOG, async || process.lines.find("causeway.yaml:4:").is_some()).await;
}

#[tokio::test]
async fn listeners_come_and_go_and_those_that_stay_keep_their_connections() {
    let (mut site, _origins) = site().await;
    let more = PortLease::take();
    let mut kept = site.raw().await;
    let get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    kept.send(get).await.expect("sent");
    assert_eq!(kept.response().await.status(), 200);
    let before = site.config.clone();
    let listener = json!({"name": "more", "port": more.addr().port(), "protocol": "HTTP"});
    site.config.set("Gateway", "edge", "listeners.1", listener);
    site.proxy.reload(&site.config).await;
    until("the new listener", WATCHDOG, async || TcpStream::connect(more.addr()).await.is_ok()).await;
    assert_eq!(get_as(more.addr(), "u", "/").await.status, 200);
    site.proxy.reload(&before).await;
    until("its end", WATCHDOG, async || TcpStream::connect(more.addr()).await.is_err()).await;
    kept.send(get).await.expect("sent");
    assert_eq!(kept.response().await.status(), 200, "the connection from the beginning");
}

#[tokio::test]
async fn an_ejected_endpoint_stays_ejected_while_weights_shift() {
    let (a, b) = (Origin::cluster("a", 3).await, Origin::start("b", 0).await);
    let mut site = Site::start(|config| {
        config.cluster("a", 90, &addrs(&a)).cluster("b", 10, &[b.addr()]);
        config.set_service("trafficPolicy.outlierDetection.baseEjectionTime", json!("300s"));
    })
    .await;
    a[0].fault(Fault::Status(500));
    let sick = a[0].addr();
    let mut user = 0;
    until("the ejection", WATCHDOG, async || {
        user += 1;
        assert_eq!(site.get(&format!("u{user}"), "/").await.status, 200);
        site.proxy.endpoint("a", sick).await["health"] == "ejected"
    })
    .await;
    let seen = a[0].seen().requests;
    let first = site.proxy.endpoint("a", sick).await["ejected_until_ms"].as_u64().expect("a time");
    for step in 1..=5u32 {
        // The canary's weights, and the endpoints' own: all of it is what is hashed, none of it is identity.
        site.config.set_service("clusters.0.weight", json!(90 - 10 * step));
        site.config.set_service("clusters.1.weight", json!(10 + 10 * step));
        site.config.set("Cluster", "a", "endpoints.0.weight", json!(1 + step));
        site.config.set("Cluster", "a", "endpoints.1.weight", json!(2 * step));
        site.proxy.reload(&site.config).await;
        let endpoint = site.proxy.endpoint("a", sick).await;
        assert_eq!(
            (&endpoint["health"], &endpoint["ejections"]),
            (&json!("ejected"), &json!(1)),
            "step {step}"
        );
        for user in 0..50 {
            assert_eq!(site.get(&format!("u{user}"), "/").await.status, 200);
        }
    }
    assert_eq!(a[0].seen().requests, seen, "it got no request in all that time");
    let last = site.proxy.endpoint("a", sick).await["ejected_until_ms"].as_u64().expect("a time");
    assert!(last < first, "its time runs on: {first} ms, then {last} ms");
}

#[tokio::test]
async fn two_hundred_reloads_under_load_fail_nothing_and_keep_no_memory() {
    let (a, b) = (Origin::start("a", 0).await, Origin::start("b", 0).await);
    // Without huge pages, of which the kernel may put one under the heap at any time: 2 MiB are more than 5 % here.
    let folder = Folder::new().with_env("MIMALLOC_ALLOW_THP", "0");
    let mut site = Site::start_in(folder, |config| {
        config.cluster("a", 1, &[a.addr()]).cluster("b", 1, &[b.addr()]);
    })
    .await;
    // A part that stays, so that what the process holds is not all allocator,
    site.config.service("large");
    let path = "trafficPolicy.loadBalancer.endpointAlgorithm";
    site.config.set("MultiClusterService", "large", path, json!("maglev"));
    for cluster in 0..10 {
        let endpoints: Vec<_> = (0..100).map(|n| ([127, 0, 2 + cluster, n], 9).into()).collect();
        site.config.cluster_of("large", &format!("large-{cluster}"), 1, &endpoints);
    }
    // and what may grow: routes, clusters, endpoints that come and go.
    let extra: Vec<_> = (0..240).map(|n| ([127, 0, 1, n as u8], 9).into()).collect();
    let users = users(&site);
    let began = Instant::now();
    let mut after_twenty = 0;
    for round in 1..=200u32 {
        site.config.set_service("clusters.0.weight", json!(1 + round % 7));
        site.config.service("more");
        let from = 4 * (round % 50) as usize;
        site.config.cluster_of("more", &format!("extra-{}", round % 5), 1, &extra[from..from + 40]);
        site.config.route(
            "more",
            json!([{
                "matches": [{"path": {"type": "PathPrefix", "value": format!("/more/{round}")}}],
                "backendRefs": [causeway_testkit::config::backend("more")],
            }]),
        );
        site.proxy.reload(&site.config).await;
        if round == 20 {
            after_twenty = site.proxy.process.resident_kib();
        }
    }
    users.stop();
    let summary = users.finish().await;
    eprintln!("200 reloads in {:?}", began.elapsed());
    assert_eq!((summary.errors, summary.shed, summary.stale_retries), (0, 0, 0), "{:?}", summary.outcomes);
    assert!(summary.requests >= 1_000, "{} requests", summary.requests);
    // What is out of use is let go of within seconds, by the thread that reloads.
    let mut after_all = 0;
    until("no more memory than after 20 reloads", WATCHDOG, async || {
        after_all = site.proxy.process.resident_kib();
        eprintln!("{after_twenty} KiB became {after_all} KiB");
        after_all * 100 <= after_twenty * 105
    })
    .await;
    let page = site.proxy.page("/config").await;
    assert_eq!((&page["applied"], &page["refused"]), (&json!(201), &json!(0)));
}
