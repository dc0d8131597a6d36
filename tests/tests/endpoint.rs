//! A sick endpoint is its own users' affair, and they hardly notice.

use std::collections::BTreeMap;

use causeway_control_demo::users::{Summary, Users, UsersOptions};
use causeway_testkit::origin::{Fault, Origin, addrs};
use causeway_testkit::wait::{WATCHDOG, until};
use causeway_tests::Site;

/// Requests a second and users: enough that each endpoint gets 15 requests a second.
const RATE: f64 = 100.0;
const USERS: usize = 100;

/// Three clusters of two endpoints, each of which signs as a place of its own, so that the users' books, which
/// are by cluster, are by endpoint here.
async fn places() -> (Site, BTreeMap<String, Origin>) {
    let mut origins = BTreeMap::new();
    let mut by_cluster = Vec::new();
    for cluster in ["a", "b", "c"] {
        let mut all = Vec::new();
        for number in 0..2 {
            all.push(Origin::start(&format!("{cluster}{number}"), number).await);
        }
        by_cluster.push((cluster, addrs(&all)));
        origins.extend(all.into_iter().map(|origin| (origin.cluster_name().to_owned(), origin)));
    }
    let site = Site::start(|config| {
        for (cluster, addrs) in &by_cluster {
            config.cluster(cluster, 1, addrs);
        }
        config.checked();
    })
    .await;
    (site, origins)
}

/// Lets users ask for a while, the endpoint `a0` falling ill after everybody has been served at home, and returns
/// what they saw.
async fn illness(
    site: &Site,
    origins: &mut BTreeMap<String, Origin>,
    fall_ill: impl AsyncFnOnce(&mut Origin),
) -> Summary {
    let options = UsersOptions { users: USERS, rate: RATE, ..UsersOptions::new(site.at) };
    let users = Users::start(options).expect("users");
    let live = users.live();
    let rounds = |rounds: u64| {
        let from = live.read(|books| books.totals().0);
        let live = live.clone();
        async move || live.read(|books| books.totals().0) >= from + rounds * USERS as u64
    };
    until("two rounds of everybody", WATCHDOG, rounds(2)).await;
    fall_ill(origins.get_mut("a0").expect("it")).await;
    until("the endpoint out of service", WATCHDOG, async || {
        let endpoint = site.proxy.endpoint("a", origins["a0"].addr()).await;
        endpoint["health"] != "healthy"
    })
    .await;
    until("ten more rounds", WATCHDOG, rounds(10)).await;
    users.stop();
    users.finish().await
}

/// The promise, by the books of each user.
fn assert_contained(summary: &Summary) {
    assert_eq!((summary.errors, summary.shed), (0, 0), "{:?} {:?}", summary.outcomes, summary.reasons);
    let name = |index: Option<u8>| index.map(|index| summary.clusters[usize::from(index)].as_str());
    let mut moved = 0;
    for (user, stats) in summary.users.iter().enumerate() {
        let (home, last) = (name(stats.home), name(stats.last));
        if home == Some("a0") {
            assert_eq!((last, stats.changes), (Some("a1"), 1), "user {user} of the sick endpoint");
            moved += 1;
        } else {
            assert_eq!((last, stats.changes), (home, 0), "user {user} of another endpoint");
        }
    }
    assert!(moved >= 5, "{moved} users belong to the sick endpoint");
}

/// No endpoint was ejected more often than this, over all of the run.
async fn assert_no_flapping(site: &Site, most: f64) {
    let metrics = site.proxy.metrics().await;
    let ejections = metrics.sum("causeway_endpoint_ejections_total", &[]);
    assert!(ejections <= most, "{ejections} ejections");
    let verdicts = metrics.sum("causeway_endpoint_probe_verdicts_total", &[("verdict", "unhealthy")]);
    assert!(verdicts <= 1.0, "{verdicts} probe verdicts");
    assert_eq!(metrics.sum("causeway_cluster_breaker_opened_total", &[]), 0.0);
    for cluster in ["a", "b", "c"] {
        assert_eq!(site.proxy.admission(cluster).await, 1.0, "{cluster} keeps all of its users");
    }
}

#[tokio::test]
async fn one_that_dies_loses_its_users_to_its_sibling_and_nobody_else_moves() {
    let (site, mut origins) = places().await;
    let summary = illness(&site, &mut origins, async |origin| origin.stop().await).await;
    assert_contained(&summary);
    assert_no_flapping(&site, 1.0).await;
}

#[tokio::test]
async fn one_that_hangs_loses_its_users_to_its_sibling_and_nobody_else_moves() {
    let (site, mut origins) = places().await;
    let summary = illness(&site, &mut origins, async |origin| origin.fault(Fault::Hang)).await;
    assert_contained(&summary);
    assert_no_flapping(&site, 1.0).await;
}

#[tokio::test]
async fn one_that_answers_500_with_a_good_healthz_loses_its_users_and_does_not_flap() {
    let (site, mut origins) = places().await;
    let summary = illness(&site, &mut origins, async |origin| origin.fault(Fault::Status(500))).await;
    assert_contained(&summary);
    assert_no_flapping(&site, 1.0).await;
    let endpoint = site.proxy.endpoint("a", origins["a0"].addr()).await;
    assert_eq!((&endpoint["health"], &endpoint["ejections"]), (&"ejected".into(), &1.into()));
    assert!(
        endpoint["ejected_until_ms"].as_u64() > Some(1_000),
        "the probe does not end it early: {endpoint}"
    );
}
