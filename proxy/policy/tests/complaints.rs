//! What people complain about in other proxies, each as a promise that must hold here.
//!
//! Where it is cheap, the test runs the broken variant first and shows that it has the fault: a test that cannot fail
//! proves nothing.

mod sim;

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use causeway_proxy_policy::endpoints::EndpointParams;
use causeway_proxy_policy::health::{EndpointId, HealthEvent, OutOfService};
use causeway_proxy_policy::rendezvous::{self, Node};
use causeway_proxy_policy::retry::{Outcome, Pushback, RetryContext, RetryOn, RetryPolicy};
use causeway_proxy_policy::service::Verdict;
use causeway_proxy_policy::{
    ClusterParams, EndpointAlgorithm, EndpointSet, KeyHash, Selection, ServiceParams, ServicePlan, Tick,
    View, hash,
};
use sim::{Behaviour, ClusterSetup, Setup, Variant, at, run};

const KEYS: u64 = 12_000;

fn key(i: u64) -> KeyHash {
    KeyHash::of(&[format!("user-{i}").as_bytes()])
}

/// All is well.
struct Well;

impl View for Well {
    fn admission(&self, _: usize) -> f32 {
        1.0
    }
    fn spill_share(&self, _: usize) -> f32 {
        1.0
    }
    fn endpoint_weight(&self, _: usize, _: usize, _: Tick) -> f32 {
        1.0
    }
    fn in_flight(&self, _: usize, _: usize) -> u32 {
        0
    }
    fn cluster_in_flight(&self, _: usize) -> u32 {
        0
    }
    fn latency_ewma(&self, _: usize, _: usize, _: Tick) -> u64 {
        0
    }
    fn timed_out_at(&self, _: usize, _: usize) -> Tick {
        Tick(0)
    }
    fn panic(&self, _: usize) -> bool {
        false
    }
}

/// (cluster, address) of a key when all is well.
fn place(plan: &ServicePlan, key: KeyHash) -> (String, String) {
    let explained = plan.explain(key, &Well, at(1));
    (explained.cluster.unwrap(), explained.endpoint.unwrap())
}

/// HAProxy, nginx, Envoy: 62 to 70 % of a dead endpoint's users land in other clusters, because the ring is flat.
#[test]
fn a_dead_endpoints_users_stay_in_their_cluster() {
    // The flat ring: one rendezvous over all six endpoints, weighted by their clusters.
    let flat: Vec<Node> = (0..6u32)
        .map(|i| Node {
            hash: hash::endpoint_node("flat", &format!("10.0.{}.{}:80", i / 2, i % 2)),
            weight: [50, 30, 20][i as usize / 2],
            rank: i,
        })
        .collect();
    let (mut lost, mut left) = (0, 0);
    for key in (0..KEYS).map(key).filter(|&key| rendezvous::best(key, &flat, false) == Some(0)) {
        lost += 1;
        let next = rendezvous::best_by(key, &flat, |i| if i == 0 { 0.0 } else { 1.0 });
        left += u32::from(next != Some(1));
    }
    let broken = f64::from(left) / f64::from(lost);
    assert!((0.62..=0.70).contains(&broken), "the broken variant moves {broken}");

    let report = run(&Setup::default().then(10, 0, Some(0), Behaviour::Dead));
    assert!(report.changes().iter().all(|&n| n == 0));
    assert_eq!(report.errors(), 0);
}

/// All of them: no proxy sheds by latency.
#[test]
fn a_slow_cluster_loses_its_users_to_a_quick_one() {
    let setup = Setup::default().then(5, 0, None, Behaviour::Slow(800));
    let p50 = |setup: &Setup| {
        let latencies = run(setup).latencies(at(50), at(60));
        latencies[latencies.len() / 2]
    };
    let without = p50(&Setup { triggers: false, ..setup.clone() });
    assert!(without >= Duration::from_millis(800), "without triggers half of the users wait on: {without:?}");
    assert!(p50(&setup) < Duration::from_millis(10));
}

/// HAProxy, nginx: five seconds of 503 after everything is back.
#[test]
fn when_everything_is_back_everything_answers() {
    let mut setup = Setup { probes: false, ..Setup::default() };
    for cluster in 0..3 {
        setup = setup.then(10, cluster, None, Behaviour::Dead).then(20, cluster, None, Behaviour::Up);
    }
    let late_errors = |setup: &Setup| {
        let report = run(setup);
        report.answers.iter().filter(|answer| !answer.good && answer.sent >= at(20)).count()
    };
    assert!(late_errors(&Setup { fail_closed: true, ..setup.clone() }) > 600 * 5, "the broken variant");
    assert_eq!(late_errors(&setup), 0);
}

/// Envoy #27317: the retry goes to the host that just died.
#[test]
fn a_retry_never_goes_to_the_host_that_just_failed() {
    let setup = Setup { secs: 20, ..Setup::default() }.then(10, 0, Some(0), Behaviour::Dead);
    let broken = run(&setup.clone().variant(Variant::RetriesOnTheSameHost));
    assert!(broken.errors() > 0, "the broken variant shows errors");
    let ours = run(&setup);
    assert_eq!(ours.errors(), 0);
    for (i, retry) in ours.tries.iter().enumerate().filter(|(_, t)| t.retry) {
        let before = ours.tries[..i].iter().rev().find(|t| t.request == retry.request).unwrap();
        assert_ne!((before.cluster, before.endpoint), (retry.cluster, retry.endpoint));
    }
}

/// Envoy #288, open since 2016: latency never ejects.
#[test]
fn an_endpoint_that_times_out_is_ejected() {
    let setup = Setup { probes: false, ..Setup::default() }.then(10, 0, Some(0), Behaviour::Slow(3_000));
    let slow_after = |setup: &Setup| {
        let report = run(setup);
        report.latencies(at(14), at(40)).iter().filter(|l| **l > Duration::from_secs(2)).count()
    };
    assert!(slow_after(&setup.clone().variant(Variant::NoPassiveHealth)) > 1_000, "the broken variant");
    assert_eq!(slow_after(&setup), 0);
}

/// Istio #35124, #33470, Linkerd #8464: weights or failover, not both.
#[test]
fn weights_and_failover_work_together() {
    let shares = |setup: &Setup, from, to| {
        let report = run(setup);
        let span = || report.answers.iter().filter(|a| a.sent >= at(from) && a.sent < at(to));
        [0u16, 1, 2].map(|c| {
            span().filter(|a| a.from.is_some_and(|(cluster, _)| cluster == c)).count() as f64
                / span().count() as f64
        })
    };
    let near = |got: [f64; 3], due: [f64; 3]| got.iter().zip(due).all(|(g, d)| (g - d).abs() < 0.04);
    let setup = Setup::default().then(30, 0, None, Behaviour::Dead);
    let tiers = Setup { selection: Selection::PriorityTiers, ..setup.clone() };
    assert!(!near(shares(&tiers, 0, 30), [0.5, 0.3, 0.2]), "with priorities alone the weights mean nothing");
    assert!(near(shares(&setup, 0, 30), [0.5, 0.3, 0.2]), "the weights, in quiet times");
    assert!(near(shares(&setup, 31, 60), [0.0, 0.6, 0.4]), "and the rule, when one is lost");
}

/// Envoy #8167, #24741, Istio #1703, #33343: stickiness is lost across a weighted split.
#[test]
fn a_user_stays_on_one_endpoint_across_a_weighted_split() {
    let wanderers = |keyed| {
        let report = run(&Setup { keyed, ..Setup::default() });
        report.changes().iter().filter(|&&changes| changes > 0).count()
    };
    assert!(wanderers(false) > 900, "without a key nearly everybody wanders");
    assert_eq!(wanderers(true), 0);

    // And a split that shifts by ten points moves ten percent, not everybody.
    let plan = |stable, canary| {
        let cluster = |name: &'static str, weight| ClusterSetup {
            name,
            weight,
            priority: 1,
            endpoints: 1,
            capacity: None,
        };
        Setup { clusters: vec![cluster("stable", stable), cluster("canary", canary)], ..Setup::default() }
            .plan()
    };
    let (before, after) = (plan(90, 10), plan(80, 20));
    let moved =
        (0..KEYS).map(key).filter(|&key| before.home(key) != after.home(key)).count() as f64 / KEYS as f64;
    assert!((0.09..=0.111).contains(&moved), "{moved}");
}

/// Istio #41674: every proxy hashes differently.
#[test]
fn two_proxies_that_were_told_the_same_in_different_orders_agree_on_every_user() {
    let plan = |algorithm, reverse: bool| {
        let cluster = |&(name, weight): &(&str, u32)| {
            let mut endpoints: Vec<_> = (0..20)
                .map(|i| EndpointParams { address: format!("10.0.0.{i}:80"), weight: 1 + i % 3 })
                .collect();
            if reverse {
                endpoints.reverse();
            }
            let endpoints = Arc::new(EndpointSet::new(name, &endpoints, algorithm));
            ClusterParams { name: name.into(), weight, priority: 1, endpoints }
        };
        let mut clusters: Vec<_> = [("a", 50), ("b", 30), ("c", 20)].iter().map(cluster).collect();
        if reverse {
            clusters.reverse();
        }
        ServicePlan::new(ServiceParams { clusters, ..ServiceParams::default() })
    };
    let random = [RandomState::new(), RandomState::new()];
    let theirs = |i: u64| random.each_ref().map(|state| state.hash_one(i) % 3);
    assert!(
        (0..1_000).any(|i| theirs(i)[0] != theirs(i)[1]),
        "the broken variant: a hasher seeded by process"
    );
    for algorithm in [EndpointAlgorithm::Rendezvous, EndpointAlgorithm::Maglev] {
        let (a, b) = (plan(algorithm, false), plan(algorithm, true));
        assert!((0..2_000).map(key).all(|key| place(&a, key) == place(&b, key)), "{algorithm:?}");
    }
}

/// Envoy #28304: 3,100 failed requests in the second in which all of the first priority die.
#[test]
fn the_second_in_which_the_first_priority_dies_costs_no_request() {
    for selection in [Selection::PriorityTiers, Selection::WeightedHome] {
        let setup =
            Setup { selection, rps: 3_000, secs: 20, ..Setup::default() }.then(10, 0, None, Behaviour::Dead);
        let broken =
            run(&Setup { breaker_errors: 0, probes: false, ..setup.clone() }
                .variant(Variant::NoPassiveHealth));
        assert!(broken.errors() > 1_000, "{selection:?}: without quick detection the retry budget runs out");
        assert_eq!(run(&setup).errors(), 0, "{selection:?}");
    }
}

/// Envoy #40697, #26758: ejection works only the first time.
#[test]
fn an_endpoint_is_ejected_each_time_and_longer_each_time() {
    let report =
        run(&Setup { secs: 400, rps: 100, ..Setup::default() }.then(5, 0, Some(0), Behaviour::Broken));
    let spans: Vec<u64> = report
        .events
        .iter()
        .filter_map(|(now, event)| match event {
            HealthEvent::Ejected { until, .. } => Some(until.since(*now).as_secs() / 30),
            _ => None,
        })
        .collect();
    // 30, 60, 90, 120, 150 s, each with a jitter of up to 3 s.
    assert_eq!(spans, [1, 2, 3, 4, 5]);
    assert_eq!(report.errors(), 0);
}

/// Istio #40091: retries multiply over hops.
#[test]
fn retries_do_not_multiply_over_hops() {
    let policy = RetryPolicy {
        attempts: 3,
        on: RetryOn { five_xx: true, ..RetryOn::default() },
        non_idempotent: false,
    };
    /// Tries that reach the last hop, for one request of a user.
    fn tries(policy: &RetryPolicy, hops: u32, is_retry: bool, says_so: bool) -> u32 {
        if hops == 0 {
            return 1;
        }
        let mut sum = 0;
        for made in 1.. {
            sum += tries(policy, hops - 1, says_so && (is_retry || made > 1), says_so);
            let context = RetryContext {
                idempotent: true,
                committed: false,
                nothing_sent: false,
                is_retry,
                tries: made,
                remaining: Duration::from_secs(5),
                pushback: Pushback::None,
            };
            if policy.decide(Outcome::Status(503), &context).is_err() {
                break;
            }
        }
        sum
    }
    assert_eq!(tries(&policy, 3, false, false), 27, "the broken variant: nobody says that it is a retry");
    assert_eq!(tries(&policy, 3, false, true), 7, "1 + 2 a hop, and not 3 to the power of hops");
}

/// Envoy #45212: a stale ring after an update.
#[test]
fn an_endpoint_that_was_removed_gets_nobody() {
    let endpoints = |n: u32| -> Vec<EndpointParams> {
        (0..n).map(|i| EndpointParams { address: format!("10.0.0.{i}:80"), weight: 1 }).collect()
    };
    for algorithm in [EndpointAlgorithm::Rendezvous, EndpointAlgorithm::Maglev] {
        let plan = |set: &Arc<EndpointSet>| {
            let cluster =
                ClusterParams { name: "a".into(), weight: 1, priority: 1, endpoints: Arc::clone(set) };
            ServicePlan::new(ServiceParams { clusters: vec![cluster], ..ServiceParams::default() })
        };
        let old = EndpointSet::reuse(None, "a", &endpoints(10), algorithm);
        let new = EndpointSet::reuse(Some(&old), "a", &endpoints(9), algorithm);
        let gets = |set| (0..2_000).filter(|&i| place(&plan(set), key(i)).1 == "10.0.0.9:80").count();
        assert!(gets(&old) > 100, "the stale set sends there");
        assert_eq!(gets(&new), 0);
    }
}

/// Istio #43974: "is my header hashed?" is answered by debug logs.
#[test]
fn explain_answers_where_a_key_goes_and_why() {
    let plan = Setup::default().plan();
    let alice = KeyHash::of(&[b"alice"]);
    let explained = plan.explain(alice, &Well, at(1));
    assert_eq!((explained.key, explained.home), (alice, plan.home(alice)));
    assert_eq!(explained.order[0].verdict, Verdict::Stays);
    assert_eq!(explained.order.len(), 3);
    assert_eq!(explained.cluster.as_deref(), plan.cluster_name(explained.home));
    assert!(explained.endpoint.unwrap().ends_with(":8080"));
}

/// Pingora's backends are hashed with their weight: a shifted weight forgets that a backend is sick.
#[test]
fn a_shifted_weight_does_not_forget_who_is_sick() {
    let setup = Setup::default();
    let mut engine = causeway_proxy_policy::health::HealthEngine::new(at(1), 1);
    engine.reconfigure(setup.engine_params(), at(1));
    for _ in 0..2 {
        engine.on_probe(at(2), EndpointId(0), false);
    }
    let mut shifted = setup;
    shifted.clusters[0].weight = 5;
    shifted.clusters.reverse();
    engine.reconfigure(shifted.engine_params(), at(3));
    // The slots were renumbered with the clusters: the first endpoint of us-east-1 is now number 4.
    assert_eq!(engine.endpoint_view(EndpointId(4)).unwrap().out, Some(OutOfService::Probe));
    assert!(engine.endpoint_view(EndpointId(0)).unwrap().available);
}
