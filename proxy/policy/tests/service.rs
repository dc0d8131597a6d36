//! Where one request goes, try by try.

use std::sync::Arc;

use causeway_proxy_policy::endpoints::EndpointParams;
use causeway_proxy_policy::service::Verdict;
use causeway_proxy_policy::{
    ClusterParams, EndpointAlgorithm, EndpointSet, FailoverParams, FailureKind, KeyHash, Route, Selection,
    ServiceParams, ServicePlan, Target, Tick, View, Why,
};
use proptest::prelude::*;

/// A world that a test writes down.
#[derive(Clone, Debug)]
struct World {
    admission: Vec<f32>,
    spill: Vec<f32>,
    weight: Vec<Vec<f32>>,
    in_flight: Vec<Vec<u32>>,
    timed_out: Vec<Vec<Tick>>,
    panic: Vec<bool>,
    trickle: bool,
}

impl View for World {
    fn admission(&self, cluster: usize) -> f32 {
        self.admission[cluster]
    }
    fn spill_share(&self, cluster: usize) -> f32 {
        self.spill[cluster]
    }
    fn endpoint_weight(&self, cluster: usize, endpoint: usize, _: Tick) -> f32 {
        self.weight[cluster][endpoint]
    }
    fn in_flight(&self, cluster: usize, endpoint: usize) -> u32 {
        self.in_flight[cluster][endpoint]
    }
    fn cluster_in_flight(&self, cluster: usize) -> u32 {
        self.in_flight[cluster].iter().sum()
    }
    fn latency_ewma(&self, _: usize, _: usize, _: Tick) -> u64 {
        0
    }
    fn timed_out_at(&self, cluster: usize, endpoint: usize) -> Tick {
        self.timed_out[cluster][endpoint]
    }
    fn panic(&self, cluster: usize) -> bool {
        self.panic[cluster]
    }
    fn trickle(&self, _: usize) -> bool {
        self.trickle
    }
}

/// Everybody is well.
fn well(plan: &ServicePlan) -> World {
    let n = plan.len();
    fn all<T: Clone>(plan: &ServicePlan, value: T) -> Vec<Vec<T>> {
        (0..plan.len()).map(|c| vec![value.clone(); plan.endpoints(c).unwrap().len()]).collect()
    }
    World {
        admission: vec![1.0; n],
        spill: vec![1.0; n],
        weight: all(plan, 1.0),
        in_flight: all(plan, 0),
        timed_out: all(plan, Tick(0)),
        panic: vec![false; n],
        trickle: false,
    }
}

/// (name, weight, priority, endpoints)
type Listed = (&'static str, u32, u32, usize);

const EXAMPLE: [Listed; 3] = [("us-east-1", 50, 1, 2), ("us-west-2", 30, 2, 2), ("eu-west-1", 20, 2, 2)];

fn params(clusters: &[Listed], algorithm: EndpointAlgorithm) -> ServiceParams {
    let cluster = |&(name, weight, priority, endpoints): &Listed| {
        let endpoints: Vec<_> =
            (0..endpoints).map(|i| EndpointParams { address: format!("10.0.0.{i}:80"), weight: 1 }).collect();
        let endpoints = Arc::new(EndpointSet::new(name, &endpoints, algorithm));
        ClusterParams { name: name.into(), weight, priority, endpoints }
    };
    ServiceParams { clusters: clusters.iter().map(cluster).collect(), ..ServiceParams::default() }
}

fn example() -> ServicePlan {
    ServicePlan::new(params(&EXAMPLE, EndpointAlgorithm::Rendezvous))
}

fn key(i: u64) -> KeyHash {
    KeyHash::of(&[&i.to_le_bytes()])
}

/// Keys at home in a cluster.
fn of(plan: &ServicePlan, cluster: usize) -> impl Iterator<Item = KeyHash> {
    (0..3_000).map(key).filter(move |&key| plan.home(key) == cluster)
}

const NOW: Tick = Tick::from_secs(100);

/// Fails every try until there is no more place to go.
fn way(plan: &ServicePlan, view: &World, route: &mut Route, how: FailureKind, most: usize) -> Vec<Target> {
    let mut way = Vec::new();
    while let Some(target) = plan.next(route, view, NOW, 99 + way.len() as u64) {
        way.push(target);
        if way.len() == most {
            break;
        }
        route.failed(target, how, NOW);
    }
    way
}

fn clusters(way: &[Target]) -> Vec<u16> {
    way.iter().map(|target| target.cluster).collect()
}

#[test]
fn a_retry_tries_one_sibling_and_then_goes_where_failover_sends_the_next_request() {
    let plan = example();
    let up = well(&plan);
    let down = World { admission: vec![0.0, 1.0, 1.0], ..up.clone() };
    for key in of(&plan, 0) {
        let mut route = plan.route(Some(key), 0);
        let way = way(&plan, &up, &mut route, FailureKind::Reset, 4);
        assert_eq!(
            way.iter().map(|t| t.why).collect::<Vec<_>>(),
            [Why::Home, Why::Sibling, Why::Retry, Why::Retry]
        );
        assert_eq!(clusters(&way)[..2], [0, 0]);
        assert_ne!(way[0].endpoint, way[1].endpoint);
        let spilled = plan.next(&mut plan.route(Some(key), 0), &down, NOW, 0).unwrap();
        assert_eq!((spilled.cluster, spilled.endpoint), (way[2].cluster, way[2].endpoint));
        assert_eq!(way[2].cluster + way[3].cluster, 3, "each other cluster once");
    }
}

#[test]
fn a_cluster_that_goes_to_zero_during_a_request_gets_no_second_try() {
    let plan = example();
    let mut view = well(&plan);
    for key in of(&plan, 0).take(50) {
        view.admission[0] = 1.0;
        let mut route = plan.route(Some(key), 0);
        let first = plan.next(&mut route, &view, NOW, 0).unwrap();
        view.admission[0] = 0.0;
        route.failed(first, FailureKind::Timeout, NOW);
        assert_ne!(plan.next(&mut route, &view, NOW, 0).unwrap().cluster, 0);
    }
}

#[test]
fn home_has_further_tries_only_where_no_other_cluster_counts() {
    let plan = ServicePlan::new(params(&[("a", 1, 1, 4), ("b", 1, 1, 1)], EndpointAlgorithm::Rendezvous));
    let mut view = well(&plan);
    let key = of(&plan, 0).next().unwrap();
    let both = way(&plan, &view, &mut plan.route(Some(key), 0), FailureKind::Connect, 5);
    assert_eq!(clusters(&both), [0, 0, 1, 0, 0]);
    view.admission[1] = 0.4;
    let alone = way(&plan, &view, &mut plan.route(Some(key), 0), FailureKind::Connect, 4);
    assert_eq!(clusters(&alone), [0, 0, 0, 0]);
}

#[test]
fn never_the_endpoint_that_just_failed_and_an_earlier_one_only_at_the_very_last() {
    let plan = ServicePlan::new(params(&[("a", 1, 1, 2)], EndpointAlgorithm::Rendezvous));
    let view = well(&plan);
    let tries = way(&plan, &view, &mut plan.route(Some(key(1)), 0), FailureKind::Reset, 4);
    let endpoints: Vec<u32> = tries.iter().map(|t| t.endpoint).collect();
    assert!(endpoints == [0, 1, 0, 1] || endpoints == [1, 0, 1, 0], "{endpoints:?}");

    let single = ServicePlan::new(params(&[("a", 1, 1, 1)], EndpointAlgorithm::Rendezvous));
    let tries = way(&single, &well(&single), &mut single.route(Some(key(1)), 0), FailureKind::Reset, 3);
    assert_eq!(tries.len(), 1, "there is nowhere else to go");
}

#[test]
fn a_refusal_by_a_limit_goes_to_the_next_cluster_and_uses_up_no_attempt() {
    let plan = example();
    let view = well(&plan);
    for key in of(&plan, 0).take(50) {
        let mut route = plan.route(Some(key), 0);
        let first = plan.next(&mut route, &view, NOW, 0).unwrap();
        route.refused(first);
        assert_eq!(route.failures(), 0);
        let second = plan.next(&mut route, &view, NOW, 0).unwrap();
        assert!(second.cluster != 0 && second.why == Why::Overflow);
        route.refused(second);
        let third = plan.next(&mut route, &view, NOW, 0).unwrap();
        route.refused(third);
        assert_eq!(plan.next(&mut route, &view, NOW, 0), None, "all refused");
    }
}

#[test]
fn a_failover_rule_names_who_takes_the_users_and_priority_orders_them() {
    let listed = [("a", 50, 1, 1), ("b", 30, 3, 1), ("c", 20, 2, 1), ("d", 10, 9, 1)];
    let mut rules = params(&listed, EndpointAlgorithm::Rendezvous);
    rules.failover =
        vec![FailoverParams { from: "a".into(), to: vec!["b".into(), "d".into(), "nobody".into()] }];
    let plan = ServicePlan::new(rules);
    let mut view = well(&plan);
    view.admission[0] = 0.0;
    let targets = |view: &World| -> Vec<u16> {
        let go = |key| plan.next(&mut plan.route(Some(key), 0), view, NOW, 0).unwrap().cluster;
        let mut all: Vec<u16> = of(&plan, 0).map(go).collect();
        all.sort_unstable();
        all.dedup();
        all
    };
    assert_eq!(targets(&view), [1]);
    view.admission[1] = 0.0;
    assert_eq!(targets(&view), [3]);
    assert_eq!(plan.failover(1).collect::<Vec<_>>(), [0, 2, 3], "no rule: ascending priority");
}

#[test]
fn a_lost_clusters_users_spread_over_its_targets_by_weight() {
    let plan = example();
    let mut view = well(&plan);
    view.admission[0] = 0.0;
    let (mut west, mut all) = (0, 0);
    for key in of(&plan, 0) {
        west += u32::from(plan.next(&mut plan.route(Some(key), 0), &view, NOW, 0).unwrap().cluster == 1);
        all += 1;
    }
    let share = f64::from(west) / f64::from(all);
    assert!((share - 0.6).abs() < 0.04, "{share} of 30 : 20");
}

#[test]
fn partial_admission_keeps_the_same_users_and_spills_the_others() {
    let plan = example();
    let mut view = well(&plan);
    let mut kept_before: Vec<KeyHash> = Vec::new();
    for admission in [0.1, 0.2, 0.4, 0.7, 1.0] {
        view.admission[0] = admission;
        let stays =
            |key: &KeyHash| plan.next(&mut plan.route(Some(*key), 0), &view, NOW, 0).unwrap().cluster == 0;
        let kept: Vec<KeyHash> = of(&plan, 0).filter(stays).collect();
        let share = kept.len() as f64 / of(&plan, 0).count() as f64;
        assert!((share - f64::from(admission)).abs() < 0.04, "{share} at {admission}");
        assert!(kept_before.iter().all(|key| kept.contains(key)), "somebody moved out again");
        kept_before = kept;
    }
}

#[test]
fn a_target_takes_others_users_only_at_full_admission_and_within_its_share() {
    let plan = example();
    let mut view = World { admission: vec![0.0, 0.9, 1.0], ..well(&plan) };
    let to = |view: &World, cluster| {
        of(&plan, 0)
            .filter(|&key| plan.next(&mut plan.route(Some(key), 0), view, NOW, 0).unwrap().cluster == cluster)
            .count() as f64
            / of(&plan, 0).count() as f64
    };
    assert_eq!(to(&view, 2), 1.0);
    view.admission[1] = 1.0;
    let before = to(&view, 1);
    view.spill[1] = 0.5;
    let after = to(&view, 1);
    assert!((after - before / 2.0).abs() < 0.05, "{before} and then {after}");
}

#[test]
fn with_nobody_at_full_admission_a_dead_homes_users_go_to_the_least_bad() {
    let plan = example();
    let view = World { admission: vec![0.0, 0.1, 0.4], ..well(&plan) };
    for key in of(&plan, 0).take(50) {
        let target = plan.next(&mut plan.route(Some(key), 0), &view, NOW, 0).unwrap();
        assert_eq!((target.cluster, target.why), (2, Why::LeastBad));
    }
}

#[test]
fn with_nobody_left_everybody_goes_home_or_nowhere() {
    let dead = |plan: &ServicePlan| World { admission: vec![0.0; 3], ..well(plan) };
    let plan = example();
    for key in (0..100).map(key) {
        let target = plan.next(&mut plan.route(Some(key), 0), &dead(&plan), NOW, 0).unwrap();
        assert_eq!((usize::from(target.cluster), target.why), (plan.home(key), Why::FailStatic));
    }
    let closed = ServicePlan::new(ServiceParams {
        fail_closed: true,
        ..params(&EXAMPLE, EndpointAlgorithm::Rendezvous)
    });
    assert_eq!(closed.next(&mut closed.route(Some(key(1)), 0), &dead(&closed), NOW, 0), None);
}

#[test]
fn panic_ignores_health_only_when_nobody_else_can_take_the_load() {
    let plan = ServicePlan::new(params(&[("a", 1, 1, 4), ("b", 1, 1, 4)], EndpointAlgorithm::Rendezvous));
    let mut view = well(&plan);
    view.weight[0] = vec![1.0, 0.0, 0.0, 0.0];
    view.admission[0] = 0.5;
    view.panic[0] = true;
    let used = |view: &World| {
        let mut used: Vec<(u16, u32)> = of(&plan, 0)
            .map(|key| plan.next(&mut plan.route(Some(key), 0), view, NOW, 0).unwrap())
            .filter(|target| target.cluster == 0)
            .map(|target| (target.cluster, target.endpoint))
            .collect();
        used.sort_unstable();
        used.dedup();
        used
    };
    assert_eq!(used(&view), [(0, 0)], "the other cluster stands");
    view.admission[1] = 0.0;
    assert_eq!(used(&view).len(), 4, "nobody else stands");
}

#[test]
fn without_panic_no_healthy_endpoint_is_no_answer() {
    let plan = ServicePlan::new(params(&[("a", 1, 1, 2)], EndpointAlgorithm::Rendezvous));
    let mut view = well(&plan);
    view.weight[0] = vec![0.0, 0.0];
    view.admission[0] = 0.0;
    assert_eq!(plan.next(&mut plan.route(Some(key(1)), 0), &view, NOW, 0), None);
    view.panic[0] = true;
    let target = plan.next(&mut plan.route(Some(key(1)), 0), &view, NOW, 0).unwrap();
    assert_eq!(target.why, Why::Panic);
}

#[test]
fn after_a_timeout_a_sibling_that_timed_out_within_the_last_second_is_passed_over() {
    let plan = example();
    for (ago_ms, how, sibling) in [
        (900, FailureKind::Timeout, false),
        (1_000, FailureKind::Timeout, true),
        (900, FailureKind::Reset, true),
    ] {
        let mut view = well(&plan);
        view.timed_out[0] = vec![Tick(NOW.0 - ago_ms * 1_000_000); 2];
        for key in of(&plan, 0).take(30) {
            let mut route = plan.route(Some(key), 0);
            let first = plan.next(&mut route, &view, NOW, 0).unwrap();
            route.failed(first, how, NOW);
            let second = plan.next(&mut route, &view, NOW, 0).unwrap();
            assert_eq!(second.cluster == 0, sibling, "{ago_ms} ms ago, {how:?}");
        }
    }
}

#[test]
fn a_silent_sibling_is_still_better_than_nothing() {
    let plan = ServicePlan::new(params(&[("a", 1, 1, 2)], EndpointAlgorithm::Rendezvous));
    let mut view = well(&plan);
    view.timed_out[0] = vec![NOW; 2];
    let mut route = plan.route(Some(key(1)), 0);
    let tries = way(&plan, &view, &mut route, FailureKind::Timeout, 9);
    assert_eq!(tries.len(), 2, "each once, and then no third wait");
}

#[test]
fn requests_without_a_key_follow_the_weights_and_spread_over_endpoints() {
    let plan = example();
    let view = well(&plan);
    let mut counts = [[0u32; 2]; 3];
    for i in 0..12_000u64 {
        let roll = causeway_proxy_policy::hash::mix13(i);
        let target = plan.next(&mut plan.route(None, roll), &view, NOW, roll ^ 5).unwrap();
        counts[usize::from(target.cluster)][target.endpoint as usize] += 1;
    }
    for (cluster, due) in [(0, 3_000), (1, 1_800), (2, 1_200)] {
        assert!(counts[cluster].iter().all(|n| n.abs_diff(due) < 250), "{counts:?}");
    }
}

#[test]
fn one_keyless_idempotent_request_in_a_hundred_looks_whether_an_unprobed_cluster_is_back() {
    let plan = example();
    let view = World { admission: vec![0.0, 1.0, 1.0], trickle: true, ..well(&plan) };
    let looks = |keyed: bool, idempotent: bool| {
        (0..20_000u64)
            .filter(|&i| {
                let mut route = plan.route(keyed.then(|| key(i)), i).idempotent(idempotent);
                route.home() == 0 && plan.next(&mut route, &view, NOW, i).unwrap().why == Why::Trickle
            })
            .count()
    };
    let n = looks(false, true);
    assert!((60..140).contains(&n), "{n} of about 10,000");
    assert_eq!((looks(true, true), looks(false, false)), (0, 0));
}

#[test]
fn priority_tiers_fill_one_after_another_and_keep_their_users() {
    let plan = ServicePlan::new(ServiceParams {
        selection: Selection::PriorityTiers,
        ..params(&EXAMPLE, EndpointAlgorithm::Rendezvous)
    });
    let mut view = well(&plan);
    let shares = |view: &World| {
        let mut n = [0.0; 3];
        for key in (0..3_000).map(key) {
            let target = plan.next(&mut plan.route(Some(key), 0), view, NOW, 0).unwrap();
            n[usize::from(target.cluster)] += 1.0 / 3_000.0;
        }
        n
    };
    let near = |got: [f64; 3], due: [f64; 3]| got.iter().zip(due).all(|(g, d)| (g - d).abs() < 0.03);
    assert_eq!(shares(&view), shares(&view));
    assert!(near(shares(&view), [1.0, 0.0, 0.0]));
    view.admission[0] = 0.6;
    assert!(near(shares(&view), [0.6, 0.24, 0.16]), "{:?}", shares(&view));
    view.admission = vec![0.2, 0.3, 0.0];
    // Tier 1 has 0.2, tier 2 (30 x 0.3 + 0) / 50 = 0.18: scaled up to 0.526 and 0.474.
    assert!(near(shares(&view), [0.526, 0.474, 0.0]), "{:?}", shares(&view));
    view.admission = vec![0.0; 3];
    assert!(near(shares(&view), [1.0, 0.0, 0.0]), "fail static: the first tier");
}

#[test]
fn maglev_skips_who_is_out_and_sends_everybody_back_afterwards() {
    let plan = ServicePlan::new(params(&[("a", 1, 1, 100)], EndpointAlgorithm::Maglev));
    let mut view = well(&plan);
    let go = |view: &World, key| plan.next(&mut plan.route(Some(key), 0), view, NOW, 0).unwrap().endpoint;
    let before: Vec<u32> = (0..3_000).map(|i| go(&view, key(i))).collect();
    view.weight[0][7] = 0.0;
    let during: Vec<u32> = (0..3_000).map(|i| go(&view, key(i))).collect();
    for (was, is) in before.iter().zip(&during) {
        assert!(was == is || *was == 7, "a user of {was} moved to {is}");
        assert_ne!(*is, 7);
    }
    view.weight[0][7] = 0.3;
    let back = (0..3_000).filter(|&i| before[i as usize] == 7 && go(&view, key(i)) == 7).count() as f64;
    let own = before.iter().filter(|&&e| e == 7).count() as f64;
    assert!(back > 0.0 && back < own, "slow start: {back} of {own}");
    view.weight[0] = vec![0.0; 100];
    view.weight[0][42] = 1.0;
    assert!((0..200).all(|i| go(&view, key(i)) == 42), "the last one is found");
}

#[test]
fn an_unchanged_cluster_keeps_its_table() {
    let endpoints = |n| -> Vec<EndpointParams> {
        (0..n)
            .map(|i| EndpointParams { address: format!("10.0.{}.{}:80", i / 250, i % 250), weight: 1 })
            .collect()
    };
    let first = EndpointSet::reuse(None, "a", &endpoints(500), EndpointAlgorithm::Maglev);
    let same = EndpointSet::reuse(Some(&first), "a", &endpoints(500), EndpointAlgorithm::Maglev);
    let grown = EndpointSet::reuse(Some(&first), "a", &endpoints(501), EndpointAlgorithm::Maglev);
    let other = EndpointSet::reuse(Some(&first), "a", &endpoints(500), EndpointAlgorithm::Rendezvous);
    assert!(Arc::ptr_eq(&first, &same) && !Arc::ptr_eq(&first, &grown) && !Arc::ptr_eq(&first, &other));
}

#[test]
fn bounded_load_passes_a_full_endpoint_over_and_comes_back_to_it() {
    for algorithm in [EndpointAlgorithm::Rendezvous, EndpointAlgorithm::Maglev] {
        let plan = ServicePlan::new(ServiceParams {
            hash_balance_factor: Some(125),
            ..params(&[("a", 1, 1, 4)], algorithm)
        });
        let mut view = well(&plan);
        let go = |view: &World| {
            plan.next(&mut plan.route(Some(key(5)), 0), view, NOW, 0).unwrap().endpoint as usize
        };
        let favourite = go(&view);
        view.in_flight[0][favourite] = 31;
        assert_eq!(go(&view), favourite, "below the floor");
        view.in_flight[0] = vec![40; 4];
        view.in_flight[0][favourite] = 80;
        assert_ne!(go(&view), favourite);
        view.in_flight[0] = vec![80; 4];
        assert_eq!(go(&view), favourite, "all are alike");
    }
}

#[test]
fn an_explanation_says_what_a_request_does_and_why() {
    let plan = example();
    let mut view = well(&plan);
    view.admission = vec![0.5, 0.4, 1.0];
    for key in of(&plan, 0).take(200) {
        let explained = plan.explain(key, &view, NOW);
        let target = plan.next(&mut plan.route(Some(key), 0), &view, NOW, 0);
        assert_eq!(explained.target, target);
        assert_eq!(explained.order.len(), 3);
        let stays = explained.position < 0.5;
        assert_eq!(explained.order[0].verdict, if stays { Verdict::Stays } else { Verdict::NotAdmitted });
        assert_eq!(explained.cluster.as_deref(), Some(if stays { "us-east-1" } else { "eu-west-1" }));
        assert!(explained.endpoint.unwrap().starts_with("10.0.0."));
        let west = explained.order.iter().find(|c| c.name == "us-west-2").unwrap();
        assert_eq!(west.verdict, Verdict::PartlyAdmitted);
    }
}

#[test]
fn a_service_without_clusters_goes_nowhere() {
    let plan = ServicePlan::new(ServiceParams::default());
    assert_eq!(plan.next(&mut plan.route(None, 7), &well(&plan), NOW, 7), None);
    assert!(plan.explain(key(1), &well(&plan), NOW).order.is_empty());
    let empty = ServicePlan::new(params(&[("a", 0, 1, 0), ("b", 0, 1, 1)], EndpointAlgorithm::Maglev));
    let view = World { admission: vec![0.0, 0.0], ..well(&empty) };
    let target = empty.next(&mut empty.route(Some(key(1)), 0), &view, NOW, 0);
    assert_eq!(target.map(|t| t.cluster), Some(1), "an empty home is no place to fail static at");
}

fn views() -> impl Strategy<Value = (World, Vec<usize>, bool, bool, bool, bool)> {
    let cluster = (0..5usize, prop_oneof![Just(0.0f32), Just(1.0), 0.0..1.0f32], any::<bool>())
        .prop_flat_map(|(n, admission, panic)| {
            let weights = proptest::collection::vec(prop_oneof![Just(0.0f32), Just(1.0), 0.0..1.0f32], n);
            (Just(n), Just(admission), Just(panic), weights, 0.0..1.2f32)
        });
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    (proptest::collection::vec(cluster, 0..5), flags).prop_map(
        |(clusters, (tiers, maglev, closed, keyed))| {
            let world = World {
                admission: clusters.iter().map(|c| c.1).collect(),
                spill: clusters.iter().map(|c| c.4).collect(),
                weight: clusters.iter().map(|c| c.3.clone()).collect(),
                in_flight: clusters.iter().map(|c| vec![40; c.0]).collect(),
                timed_out: clusters.iter().map(|c| vec![Tick(NOW.0 - 5); c.0]).collect(),
                panic: clusters.iter().map(|c| c.2).collect(),
                trickle: true,
            };
            (world, clusters.iter().map(|c| c.0).collect(), tiers, maglev, closed, keyed)
        },
    )
}

proptest! {
    #[test]
    fn whatever_the_world_no_try_goes_where_the_last_one_failed_or_to_who_is_out(
        (world, sizes, tiers, maglev, closed, keyed) in views(), user in any::<u64>(), refuse in any::<u8>(),
    ) {
        const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];
        let listed: Vec<Listed> =
            sizes.iter().enumerate().map(|(i, &n)| (NAMES[i], i as u32 * 10, i as u32 % 2, n)).collect();
        let algorithm = if maglev { EndpointAlgorithm::Maglev } else { EndpointAlgorithm::Rendezvous };
        let plan = ServicePlan::new(ServiceParams {
            selection: if tiers { Selection::PriorityTiers } else { Selection::WeightedHome },
            fail_closed: closed,
            hash_balance_factor: (user % 2 == 0).then_some(100),
            ..params(&listed, algorithm)
        });
        let mut route = plan.route(keyed.then(|| key(user)), user).idempotent(true);
        let mut last: Option<Target> = None;
        for step in 0..12u32 {
            let Some(target) = plan.next(&mut route, &world, NOW, user ^ u64::from(step)) else { break };
            let weight = world.weight[usize::from(target.cluster)][target.endpoint as usize];
            prop_assert!(weight > 0.0 || matches!(target.why, Why::Panic | Why::Trickle), "{target:?} is out");
            if let Some(last) = last {
                prop_assert!((last.cluster, last.endpoint) != (target.cluster, target.endpoint));
            }
            if closed {
                prop_assert!(world.admission[usize::from(target.cluster)] > 0.0 || target.why == Why::Trickle);
            }
            if (refuse >> (step % 8)) & 1 == 1 {
                route.refused(target);
            } else {
                let how = if step % 2 == 0 { FailureKind::Timeout } else { FailureKind::Status(503) };
                route.failed(target, how, NOW);
            }
            last = Some(target);
        }
    }
}
