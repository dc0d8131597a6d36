//! The main promise: a cluster dies, and its users do not see it; it comes back, and they do too.

use std::time::{Duration, Instant};

use causeway_control_demo::users::{Summary, Users, UsersOptions};
use causeway_testkit::origin::OriginProcess;
use causeway_testkit::wait::{until, within};
use causeway_tests::Site;
use serde_json::json;

const USERS: usize = 1_000;
const RATE: f64 = 600.0;
/// At least so long, killed at, back at.
const DURATION: Duration = Duration::from_secs(120);
const KILLED_AT: Duration = Duration::from_secs(10);
const BACK_AT: Duration = Duration::from_secs(30);
/// 99 % of the users are home so long after the return. The exact value is held in virtual time; in real time, on
/// a machine that does other things too, twice as much.
const HOME_WITHIN: Duration = Duration::from_secs(2 * 90);

/// Name, weight, priority: those of the documentation's example.
const CLUSTERS: [(&str, u32, u32); 3] = [("us-east-1", 50, 1), ("us-west-2", 30, 2), ("eu-west-1", 20, 2)];

#[tokio::test]
async fn a_cluster_is_killed_and_returns_and_its_users_move_out_and_home_without_an_error() {
    let mut origins: Vec<Vec<OriginProcess>> = Vec::new();
    for (name, ..) in CLUSTERS {
        origins.push(vec![OriginProcess::start(name, 0).await, OriginProcess::start(name, 1).await]);
    }
    let site = Site::start(|config| {
        for ((name, weight, priority), origins) in CLUSTERS.iter().zip(&origins) {
            let addrs: Vec<_> = origins.iter().map(OriginProcess::addr).collect();
            config.cluster(name, *weight, &addrs);
            let index = CLUSTERS.iter().position(|(other, ..)| other == name).unwrap_or_default();
            config.set_service(&format!("clusters.{index}.priority"), json!(priority));
        }
        config.checked();
        // As in the example. Recovery is at its default: hold 30 s, ramp 48 s.
        let triggers = json!(["clusterUnhealthy", "highLatency (p99 > 500ms)", "highErrorRate (> 5%)"]);
        let rule = json!([{"from": "us-east-1", "to": ["us-west-2", "eu-west-1"], "triggerOn": triggers}]);
        config.set_service("resilience.failover", rule);
    })
    .await;

    let options = UsersOptions { users: USERS, rate: RATE, ..UsersOptions::new(site.at) };
    let users = Users::start(options).expect("users");
    let live = users.live();
    let elapsed = |at: Duration| {
        let live = live.clone();
        async move || live.elapsed() >= at
    };
    until("the moment of the kill", 2 * KILLED_AT, elapsed(KILLED_AT)).await;
    assert_eq!(live.read(|books| books.away()), 0, "before, everybody is home");
    origins[0].iter_mut().for_each(OriginProcess::kill);
    let half = USERS as u32 * 4 / 10;
    until("the users of the dead cluster elsewhere", BACK_AT, async || {
        live.read(|books| books.away_from("us-east-1")) >= half
    })
    .await;
    until("the moment of the return", 2 * BACK_AT, elapsed(BACK_AT)).await;
    let back = Instant::now();
    origins[0].iter_mut().for_each(OriginProcess::restart);
    until("99 % of the users home", HOME_WITHIN, async || {
        live.read(|books| books.away()) <= USERS as u32 / 100
    })
    .await;
    let home_after = back.elapsed();
    until("all users home", HOME_WITHIN, async || live.read(|books| books.away()) == 0).await;
    until("the end", 2 * DURATION, elapsed(DURATION)).await;
    users.stop();
    let summary = within("the last answers", Duration::from_secs(60), users.finish()).await;
    eprintln!(
        "99 % home {home_after:?} after the return; p50 {:?}, p99 {:?}, p99.9 {:?}, longest {:?}",
        summary.p50, summary.p99, summary.p999, summary.max
    );
    assert_promise(&summary);
}

fn assert_promise(summary: &Summary) {
    let planned = (RATE * DURATION.as_secs_f64()) as u64;
    assert!(summary.requests + summary.shed >= planned, "{} requests", summary.requests);
    assert_eq!((summary.errors, summary.shed), (0, 0), "{:?} {:?}", summary.outcomes, summary.reasons);
    let east = summary.clusters.iter().position(|name| name == "us-east-1").expect("it answered");
    let mut moved = 0;
    for (user, stats) in summary.users.iter().enumerate() {
        assert!(stats.home.is_some() && stats.last == stats.home, "user {user} is not home: {stats:?}");
        if stats.home.map(usize::from) == Some(east) {
            assert!(stats.changes <= 2, "user {user} moved {} times", stats.changes);
            moved += u32::from(stats.changes == 2);
        } else {
            assert_eq!(stats.changes, 0, "user {user} lives in another cluster");
        }
    }
    assert!((400..=600).contains(&moved), "{moved} users moved out and back");
}
