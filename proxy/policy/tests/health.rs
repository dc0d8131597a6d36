//! The health engine, event by event.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

use causeway_proxy_policy::health::outlier::EjectionKind;
use causeway_proxy_policy::health::{
    At, Attempt, AttemptLog, BreakerState, ClusterHealthParams, ClusterId, ClusterView, Counters,
    EndpointCounts, EndpointId, EngineParams, Failure, HealthEngine, HealthEvent, OutOfService,
    OutlierParams, PairCounts, ProbeThresholds, Reason, Recovery, ServiceClusterParams, ServiceHealthParams,
    ServiceId, Trigger,
};
use causeway_proxy_policy::{FailureKind, Tick};

fn t(secs: u64) -> Tick {
    Tick::from_secs(secs)
}

fn ms(n: u64) -> Tick {
    Tick::from_millis(n)
}

/// What the workers counted, as a test writes it down.
#[derive(Default)]
struct Counted {
    pairs: HashMap<(u32, usize), PairCounts>,
    slow: HashMap<(u32, usize, usize), u64>,
    endpoints: HashMap<EndpointId, EndpointCounts>,
    rings: RefCell<HashMap<(u32, usize), Vec<u64>>>,
}

impl Counters for Counted {
    fn pair(&self, service: ServiceId, cluster: usize) -> PairCounts {
        self.pairs.get(&(service.0, cluster)).copied().unwrap_or_default()
    }
    fn slow(&self, service: ServiceId, cluster: usize, threshold: usize) -> u64 {
        self.slow.get(&(service.0, cluster, threshold)).copied().unwrap_or_default()
    }
    fn endpoint(&self, endpoint: EndpointId) -> EndpointCounts {
        self.endpoints.get(&endpoint).copied().unwrap_or_default()
    }
    fn attempts(&self, service: ServiceId, cluster: usize) -> AttemptLog {
        let mut log = AttemptLog::new();
        log.add(self.rings.borrow().get(&(service.0, cluster)).into_iter().flatten().rev().take(20).copied());
        log
    }
}

/// Services over clusters of so many endpoints; cluster c has the slots from 10 c on.
fn params(services: &[&str], sizes: &[usize], probed: bool) -> EngineParams {
    const NAMES: [&str; 3] = ["a", "b", "c"];
    let clusters = sizes.iter().enumerate().map(|(c, &n)| ClusterHealthParams {
        name: NAMES[c].into(),
        endpoints: (0..n).map(|i| (EndpointId((10 * c + i) as u32), format!("10.0.0.{i}:80"))).collect(),
        outlier: OutlierParams::default(),
        probe: probed.then(ProbeThresholds::default),
        capacity: None,
    });
    let entry = |c: usize| ServiceClusterParams {
        name: NAMES[c].into(),
        cluster: ClusterId(c as u32),
        triggers: Vec::new(),
        failover: (0..sizes.len()).filter(|&other| other != c).collect(),
    };
    let service = |name: &&str| ServiceHealthParams {
        name: (*name).into(),
        overprovisioning: 2.0,
        breaker_errors: 5,
        recovery: Recovery::default(),
        clusters: (0..sizes.len()).map(entry).collect(),
    };
    EngineParams { clusters: clusters.collect(), services: services.iter().map(service).collect() }
}

struct Bench {
    engine: HealthEngine,
    counted: Counted,
}

impl Bench {
    fn new(params: EngineParams) -> Bench {
        let mut engine = HealthEngine::new(ms(1), 1);
        engine.reconfigure(params, ms(1));
        Bench { engine, counted: Counted::default() }
    }

    fn fail_sent(&mut self, service: u32, endpoint: u32, kind: FailureKind, sent_at: Tick, at: Tick) {
        let cluster = endpoint as usize / 10;
        let word = Attempt { ended: at, sent: sent_at, endpoint: EndpointId(endpoint), failed: true }.pack();
        self.counted.rings.borrow_mut().entry((service, cluster)).or_default().push(word);
        let place = At { service: ServiceId(service), cluster, endpoint: EndpointId(endpoint) };
        self.engine.on_failure(at, place, Failure { kind, sent_at, at }, &self.counted);
    }

    fn fail(&mut self, endpoint: u32, kind: FailureKind, at: Tick) {
        self.fail_sent(0, endpoint, kind, Tick(at.0 - 1), at);
    }

    fn good(&mut self, endpoint: u32, at: Tick) {
        let cluster = endpoint as usize / 10;
        let word = Attempt { ended: at, sent: at, endpoint: EndpointId(endpoint), failed: false }.pack();
        self.counted.rings.borrow_mut().entry((0, cluster)).or_default().push(word);
        let place = At { service: ServiceId(0), cluster, endpoint: EndpointId(endpoint) };
        self.engine.on_success(at, place, at, at);
    }

    fn tick(&mut self, at: Tick) {
        self.engine.tick(at, &self.counted);
    }

    /// Ticks each 100 ms until then.
    fn run(&mut self, from: Tick, to: Tick) {
        for at in (from.as_millis()..=to.as_millis()).step_by(100) {
            self.tick(ms(at));
        }
    }

    fn view(&self, cluster: usize) -> ClusterView {
        self.engine.cluster_view(ServiceId(0), cluster).unwrap()
    }

    fn admission(&self, cluster: usize) -> f32 {
        self.view(cluster).admission
    }

    fn probe(&mut self, endpoint: u32, passed: bool, at: Tick) {
        self.engine.on_probe(at, EndpointId(endpoint), passed);
    }

    fn is_out(&self, endpoint: u32) -> Option<OutOfService> {
        self.engine.endpoint_view(EndpointId(endpoint)).unwrap().out
    }

    /// Five failures over both endpoints: the breaker.
    fn trip(&mut self, at: Tick) {
        for i in 0..5 {
            self.fail(i % 2, FailureKind::Status(500), Tick(at.0 + 1_000_000 * u64::from(i)));
        }
    }
}

#[test]
fn a_cluster_keeps_all_of_its_users_down_to_half_of_its_endpoints() {
    let mut bench = Bench::new(params(&["s"], &[10, 2], true));
    let mut seen = Vec::new();
    for endpoint in 0..9 {
        bench.probe(endpoint, false, t(1));
        bench.probe(endpoint, false, t(2));
        seen.push((bench.admission(0) * 10.0).round() as u32);
    }
    assert_eq!(seen, [10, 10, 10, 10, 10, 8, 6, 4, 2], "whatever the ejection limit says");
    assert_eq!(bench.view(0).reason, Reason::Endpoints);
}

#[test]
fn a_cluster_without_a_healthy_endpoint_is_at_zero_at_once_and_panics() {
    let mut bench = Bench::new(params(&["s"], &[2, 2], true));
    for endpoint in [0, 1] {
        bench.probe(endpoint, false, t(1));
        bench.probe(endpoint, false, t(2));
    }
    let view = bench.view(0);
    assert_eq!((view.admission, view.reason, view.panic), (0.0, Reason::NoEndpoint, true));
    assert_eq!(view.healthy, (0, 2));
    assert!(!bench.view(1).panic);
}

#[test]
fn the_breaker_opens_holds_and_comes_back_by_the_ramp() {
    let mut bench = Bench::new(params(&["s"], &[2, 2], true));
    bench.trip(t(10));
    assert_eq!((bench.admission(0), bench.view(0).breaker), (0.0, BreakerState::Open));
    bench.run(t(10), t(39));
    assert_eq!(bench.admission(0), 0.0);
    bench.run(t(40), t(41));
    assert_eq!((bench.admission(0), bench.view(0).breaker), (0.1, BreakerState::HalfOpen));
    bench.run(t(41), t(89));
    assert_eq!((bench.admission(0), bench.view(0).breaker), (1.0, BreakerState::Closed));
    let opened: Vec<_> =
        bench.engine.drain_events().filter(|e| matches!(e, HealthEvent::BreakerOpened { .. })).collect();
    assert_eq!(
        opened,
        [HealthEvent::BreakerOpened { service: ServiceId(0), cluster: 0, local_origin_only: false }]
    );
}

#[test]
fn failures_of_requests_sent_before_the_trip_neither_restart_the_hold_nor_double_it() {
    let mut bench = Bench::new(params(&["s"], &[2, 2], true));
    bench.trip(t(10));
    let until = bench.view(0).hold_until;
    // Fifteen seconds of timeouts come in, and some more just after the ramp began.
    for i in 0..100u64 {
        bench.fail_sent(0, (i % 2) as u32, FailureKind::Timeout, t(10), Tick(t(10).0 + i * 150_000_000));
    }
    assert_eq!(bench.view(0).hold_until, until);
    bench.run(t(25), t(80));
    for i in 0..10u32 {
        bench.fail_sent(0, i % 2, FailureKind::Timeout, t(9), Tick(t(80).0 + u64::from(i)));
    }
    assert_ne!(bench.view(0).breaker, BreakerState::Open);
}

#[test]
fn one_fresh_failure_after_four_stale_ones_is_no_relapse() {
    let mut bench = Bench::new(params(&["s"], &[2, 2], true));
    bench.trip(t(10));
    bench.run(t(10), t(41));
    bench.good(0, t(41));
    bench.good(1, t(41));
    for i in 0..4u32 {
        bench.fail_sent(0, i % 2, FailureKind::Timeout, t(9), Tick(t(42).0 + 1_000_000 * u64::from(i)));
    }
    bench.fail(0, FailureKind::Timeout, ms(42_010));
    assert_eq!(bench.view(0).breaker, BreakerState::HalfOpen);
}

#[test]
fn an_unprobed_cluster_waits_for_its_trickle_but_not_for_what_was_sent_before_the_trip() {
    for (sent, ramps) in [(9, 40), (38, 49)] {
        let mut bench = Bench::new(params(&["s"], &[2, 2], false));
        bench.trip(t(10));
        bench.run(t(11), t(39));
        bench.fail_sent(0, 1, FailureKind::Status(500), t(sent), t(39));
        bench.run(t(39), Tick(t(ramps).0 - 200_000_000));
        assert_eq!(bench.admission(0), 0.0, "sent at {sent}");
        bench.run(t(ramps), t(ramps + 1));
        assert_eq!(bench.admission(0), 0.1, "sent at {sent}");
    }
}

#[test]
fn a_trigger_starts_afresh_in_a_cluster_that_was_revived() {
    let mut params = params(&["s"], &[2, 2], true);
    params.services[0].clusters[0].triggers = vec![Trigger::high_error_rate(0.05)];
    let mut bench = Bench::new(params);
    let errors = |bench: &mut Bench, from: u64, to: u64| {
        for at in (from * 1_000..to * 1_000).step_by(100) {
            for (cluster, errors) in [(0, 2), (1, 0)] {
                let counts = bench.counted.pairs.entry((0, cluster)).or_default();
                counts.attempts += 10;
                counts.errors += errors;
            }
            bench.tick(ms(at));
        }
    };
    errors(&mut bench, 1, 17);
    assert_eq!((bench.admission(0), bench.view(0).reason), (0.5, Reason::HighErrorRate));
    for endpoint in [0, 1, 10, 11] {
        bench.probe(endpoint, false, t(17));
        bench.probe(endpoint, false, t(18));
    }
    bench.probe(0, true, t(20));
    bench.probe(10, true, t(20));
    assert_eq!(bench.admission(0), 1.0);
    errors(&mut bench, 20, 34);
    assert_eq!(bench.admission(0), 1.0, "three windows of its own");
    errors(&mut bench, 34, 36);
    assert_eq!(bench.admission(0), 0.5);
}

#[test]
fn a_relapse_in_the_ramp_doubles_the_hold() {
    let mut bench = Bench::new(params(&["s"], &[2, 2], true));
    bench.trip(t(10));
    bench.run(t(10), t(45));
    assert_eq!(bench.admission(0), 0.1);
    bench.good(0, t(44));
    bench.good(1, t(44));
    bench.trip(t(45));
    assert_eq!(bench.admission(0), 0.0);
    let hold = bench.view(0).hold_until.unwrap().since(t(45));
    assert_eq!(hold.as_secs(), 60);
}

#[test]
fn answers_of_an_endpoint_that_was_ejected_since_do_not_open_the_breaker() {
    // One endpoint of two fails five times and is ejected; the other's first failures follow.
    let mut bench = Bench::new(params(&["s"], &[2, 2], true));
    for i in 0..5 {
        bench.fail(0, FailureKind::Status(500), ms(10_000 + i));
    }
    assert_eq!(bench.is_out(0), Some(OutOfService::Ejected(EjectionKind::ConsecutiveErrors)));
    for i in 0..4 {
        bench.fail(1, FailureKind::Status(500), ms(10_010 + i));
    }
    assert_eq!(bench.view(0).breaker, BreakerState::Closed, "nine in a row, five of them paid for");
    bench.fail(1, FailureKind::Status(500), ms(10_020));
    assert_eq!(bench.view(0).breaker, BreakerState::Open, "the last one standing is the cluster");
}

#[test]
fn a_run_that_a_success_interrupts_is_no_run() {
    let mut bench = Bench::new(params(&["s"], &[2, 2], true));
    for i in 0..4 {
        bench.fail(i as u32 % 2, FailureKind::Status(500), ms(10_000 + i));
    }
    bench.good(0, ms(10_005));
    for i in 0..4 {
        bench.fail(i as u32 % 2, FailureKind::Status(500), ms(10_010 + i));
    }
    assert_eq!((bench.view(0).breaker, bench.is_out(0), bench.is_out(1)), (BreakerState::Closed, None, None));
}

#[test]
fn endpoints_are_shared_by_services_and_breakers_are_not() {
    let mut bench = Bench::new(params(&["s", "z"], &[2, 2], true));
    bench.trip(t(10));
    let other = bench.engine.cluster_view(ServiceId(1), 0).unwrap();
    assert_eq!((bench.admission(0), other.admission), (0.0, 1.0));
    for i in 0..3 {
        bench.fail_sent(1, 0, FailureKind::Status(500), t(11), ms(11_001 + i));
    }
    assert!(bench.is_out(0).is_some(), "failures of both services add up to its run");
}

#[test]
fn one_of_three_may_be_ejected_and_returns_by_its_own_timer() {
    let mut bench = Bench::new(params(&["s"], &[3, 2], false));
    for endpoint in [0, 1] {
        for i in 0..6 {
            bench.fail(endpoint, FailureKind::Status(500), ms(10_000 + i));
            bench.good(2, ms(10_000 + i));
        }
    }
    assert!(bench.is_out(0).is_some() && bench.is_out(1).is_none());
    let until = bench.engine.endpoint_view(EndpointId(0)).unwrap().ejected_until.unwrap();
    bench.tick(Tick(until.0 - 1));
    assert!(bench.is_out(0).is_some());
    bench.tick(until);
    let view = bench.engine.endpoint_view(EndpointId(0)).unwrap();
    assert!(view.available && view.ramp_since == until, "back, in slow start");
    assert!(until >= t(40) && until < t(43));
}

#[test]
fn a_passing_check_ends_an_ejection_by_connect_failures_only() {
    for (kind, ends) in [
        (FailureKind::Connect, true),
        (FailureKind::Reset, true),
        (FailureKind::Timeout, false),
        (FailureKind::Status(503), false),
    ] {
        let mut bench = Bench::new(params(&["s"], &[2, 2], true));
        for i in 0..5 {
            bench.fail(0, kind, ms(10_000 + i));
        }
        assert!(bench.is_out(0).is_some());
        bench.probe(0, true, t(11));
        assert_eq!(bench.is_out(0).is_none(), ends, "{kind:?}");
    }
}

/// Found by fuzzing: the checks' last failures arrived behind the reload that switched the checks off, and no later
/// check was there to take the verdict back.
#[test]
fn a_check_that_was_switched_off_has_no_say_any_more() {
    let mut bench = Bench::new(params(&["s"], &[2, 2], true));
    bench.probe(0, false, t(1));
    bench.engine.reconfigure(params(&["s"], &[2, 2], false), t(2));
    for at in 3..9 {
        bench.probe(0, false, t(at));
    }
    assert_eq!(bench.is_out(0), None);
}

#[test]
fn when_all_clusters_are_at_zero_each_returns_on_its_first_sign_of_life() {
    let mut bench = Bench::new(params(&["s"], &[2, 2], true));
    for endpoint in [0, 1, 10, 11] {
        bench.probe(endpoint, false, t(1));
        bench.probe(endpoint, false, t(2));
    }
    assert!(bench.view(0).marked && bench.view(1).marked);
    bench.probe(11, true, t(5));
    assert_eq!((bench.admission(0), bench.admission(1)), (0.0, 1.0));
    bench.probe(0, true, t(9));
    assert_eq!(
        (bench.admission(0), bench.view(0).marked),
        (1.0, false),
        "also when another came back before"
    );
}

#[test]
fn a_success_revives_a_marked_cluster_but_not_one_of_a_request_sent_before() {
    let mut bench = Bench::new(params(&["s"], &[1], false));
    for i in 0..5 {
        bench.fail(0, FailureKind::Connect, ms(10_000 + i));
    }
    assert!(bench.view(0).marked, "the only cluster there is");
    let at = At { service: ServiceId(0), cluster: 0, endpoint: EndpointId(0) };
    bench.engine.on_success(t(11), at, t(9), t(11));
    assert_eq!(bench.admission(0), 0.0);
    bench.engine.on_success(t(12), at, t(11), t(12));
    assert_eq!(bench.admission(0), 1.0);
}

#[test]
fn an_unprobed_cluster_at_zero_asks_for_a_trickle_and_a_success_of_it_ends_connect_ejections() {
    let mut params = params(&["s"], &[1, 1], false);
    params.clusters[0].outlier.max_ejection_percent = 100;
    let mut bench = Bench::new(params);
    for i in 0..5 {
        bench.fail(0, FailureKind::Connect, ms(10_000 + i));
    }
    assert!(bench.view(0).trickle && bench.is_out(0).is_some() && !bench.view(0).marked);
    let at = At { service: ServiceId(0), cluster: 0, endpoint: EndpointId(0) };
    bench.engine.on_success(t(20), at, t(19), t(20));
    assert!(bench.is_out(0).is_none());
    assert_eq!((bench.admission(0), bench.view(0).reason), (0.0, Reason::Hold), "the hold runs on");
    bench.run(t(20), t(41));
    assert_eq!(bench.admission(0), 0.1);
}

#[test]
fn a_reload_keeps_ejections_outages_and_drains_by_name_and_forgets_what_is_gone() {
    let mut bench = Bench::new(params(&["s"], &[2, 2], true));
    bench.trip(t(10));
    bench.probe(10, false, t(10));
    bench.probe(10, false, t(11));
    bench.engine.drain_cluster(t(12), "b", true);
    let hold = bench.view(0).hold_until;

    // The clusters change places, the slots are renumbered, an endpoint joins.
    let mut new = params(&["s"], &[2, 3], true);
    new.clusters.reverse();
    new.services[0].clusters.reverse();
    for (c, cluster) in new.clusters.iter_mut().enumerate() {
        for (i, endpoint) in cluster.endpoints.iter_mut().enumerate() {
            endpoint.0 = EndpointId((50 + 10 * c + i) as u32);
        }
    }
    for (c, entry) in new.services[0].clusters.iter_mut().enumerate() {
        entry.cluster = ClusterId(c as u32);
    }
    bench.engine.reconfigure(new.clone(), t(13));
    assert_eq!(bench.engine.endpoint_view(EndpointId(10)), None);
    assert_eq!(bench.is_out(50), Some(OutOfService::Probe));
    assert_eq!(bench.view(1).hold_until, hold);
    assert_eq!(bench.view(0).reason, Reason::Drained);
    assert_eq!(
        bench.engine.endpoint_view(EndpointId(52)).unwrap().ramp_since,
        t(13),
        "a newcomer starts slowly"
    );

    new.services[0].clusters.truncate(1);
    new.clusters.truncate(1);
    bench.engine.reconfigure(new, t(14));
    assert_eq!(bench.engine.cluster_view(ServiceId(0), 1), None);
    bench.fail(60, FailureKind::Connect, t(15));
    bench.probe(60, false, t(15));
    bench.run(t(15), t(16));
}

#[test]
fn a_drained_cluster_has_nobody_and_comes_back_by_the_ramp() {
    let mut bench = Bench::new(params(&["s"], &[2, 2], true));
    assert!(!bench.engine.drain_cluster(t(1), "nobody", true));
    assert!(bench.engine.drain_cluster(t(1), "a", true));
    assert_eq!(
        (bench.admission(0), bench.view(0).reason, bench.view(0).trickle),
        (0.0, Reason::Drained, false)
    );
    bench.engine.drain_cluster(t(60), "a", false);
    assert_eq!(bench.admission(0), 0.1);
    bench.run(t(60), t(109));
    assert_eq!(bench.admission(0), 1.0);
}

#[test]
fn an_ejection_by_hand_ignores_the_limit_and_runs_its_time() {
    let mut bench = Bench::new(params(&["s"], &[2, 2], true));
    for endpoint in [0, 1] {
        assert!(bench.engine.eject_by_hand(t(1), EndpointId(endpoint), Duration::from_secs(30)));
        bench.probe(endpoint, true, t(2));
        assert_eq!(bench.is_out(endpoint), Some(OutOfService::Ejected(EjectionKind::ByHand)));
    }
    assert!(bench.engine.eject_by_hand(t(5), EndpointId(0), Duration::ZERO));
    assert!(bench.is_out(0).is_none());
    bench.run(t(5), t(31));
    assert!(bench.is_out(1).is_none());
    assert!(!bench.engine.eject_by_hand(t(5), EndpointId(77), Duration::ZERO));
}

#[test]
fn endpoints_that_return_to_a_dark_cluster_share_its_users_at_once() {
    let mut bench = Bench::new(params(&["s"], &[2, 2], true));
    for endpoint in [0, 1] {
        bench.probe(endpoint, false, t(100));
        bench.probe(endpoint, false, t(101));
    }
    bench.probe(0, true, t(110));
    bench.probe(1, true, t(111));
    for endpoint in [0, 1] {
        assert_eq!(bench.engine.endpoint_view(EndpointId(endpoint)).unwrap().ramp_since, Tick(0));
    }
    bench.probe(1, false, t(200));
    bench.probe(1, false, t(201));
    bench.probe(1, true, t(202));
    assert_eq!(bench.engine.endpoint_view(EndpointId(1)).unwrap().ramp_since, t(202), "one of two ramps");
}

#[test]
fn a_newcomer_ramps_beside_those_that_serve_and_nowhere_else() {
    let ramp = |bench: &Bench, endpoint| bench.engine.endpoint_view(EndpointId(endpoint)).unwrap().ramp_since;
    let mut bench = Bench::new(params(&["s"], &[2, 0], true));
    assert_eq!((ramp(&bench, 0), ramp(&bench, 1)), (Tick(0), Tick(0)), "a new cluster begins at full weight");

    bench.engine.reconfigure(params(&["s"], &[3, 2], true), t(100));
    assert_eq!((ramp(&bench, 0), ramp(&bench, 2)), (Tick(0), t(100)));
    assert_eq!((ramp(&bench, 10), ramp(&bench, 11)), (Tick(0), Tick(0)), "they are the first of theirs");
    assert_eq!(bench.admission(1), 1.0, "to have had no endpoints yet is no outage");

    let mut other = params(&["s"], &[3, 2], true);
    for (_, address) in &mut other.clusters[0].endpoints {
        address.push('0');
    }
    bench.engine.reconfigure(other.clone(), t(200));
    assert_eq!(ramp(&bench, 2), Tick(0), "where all are replaced, nobody can shelter them");

    for endpoint in [0, 1, 2] {
        bench.probe(endpoint, false, t(300));
        bench.probe(endpoint, false, t(301));
    }
    bench.probe(0, true, t(310));
    let mut more = other.clone();
    more.clusters[0].endpoints.push((EndpointId(3), "new:80".to_owned()));
    bench.engine.reconfigure(more.clone(), t(311));
    assert_eq!(ramp(&bench, 3), Tick(0), "the cluster returns by a ramp of its own");
    more.clusters[0].endpoints.push((EndpointId(4), "newer:80".to_owned()));
    bench.engine.reconfigure(more, t(400));
    assert_eq!(ramp(&bench, 4), t(400));
}

#[test]
fn a_success_rate_far_below_the_others_ejects_at_the_interval() {
    let mut bench = Bench::new(params(&["s"], &[6, 2], false));
    bench.tick(ms(1));
    for i in 0..6 {
        let success = if i == 3 { 100 } else { 198 };
        bench.counted.endpoints.insert(EndpointId(i), EndpointCounts { total: 200, success });
    }
    bench.run(ms(100), t(30));
    assert_eq!(bench.is_out(3), None, "the interval is not over");
    bench.run(t(30), t(31));
    assert_eq!(bench.is_out(3), Some(OutOfService::Ejected(EjectionKind::SuccessRate)));
    assert_eq!(bench.is_out(0), None);
}

#[test]
fn who_is_out_already_does_not_blur_the_mean_of_the_others() {
    let mut bench = Bench::new(params(&["s"], &[6, 2], false));
    bench.tick(ms(1));
    bench.engine.eject_by_hand(t(1), EndpointId(0), Duration::from_secs(600));
    for (i, success) in [0, 198, 198, 198, 198, 100].into_iter().enumerate() {
        bench.counted.endpoints.insert(EndpointId(i as u32), EndpointCounts { total: 200, success });
    }
    bench.run(t(30), t(31));
    assert_eq!(bench.is_out(5), Some(OutOfService::Ejected(EjectionKind::SuccessRate)));
}

#[test]
fn a_capacity_decides_instead_of_the_healthy_share() {
    let mut params = params(&["s"], &[4, 2], true);
    params.clusters[0].capacity = Some(1_000.0);
    let mut bench = Bench::new(params);
    let load = |bench: &mut Bench, from: u64, secs: u64, rps: u64| {
        for at in (from * 1_000..(from + secs) * 1_000).step_by(100) {
            let counts = bench.counted.pairs.entry((0, 0)).or_default();
            counts.requests += rps / 10;
            counts.own += rps / 10;
            bench.tick(ms(at));
        }
    };
    for endpoint in [0, 1, 2] {
        bench.probe(endpoint, false, t(1));
        bench.probe(endpoint, false, t(2));
    }
    load(&mut bench, 2, 5, 100);
    assert_eq!(bench.admission(0), 1.0, "a quarter of its endpoints carries 100 a second");
    load(&mut bench, 7, 5, 500);
    assert!((bench.admission(0) - 0.5).abs() < 0.03, "and half of 500: {}", bench.admission(0));
    assert_eq!(bench.view(0).reason, Reason::Capacity);
}

#[test]
fn a_slow_cluster_whose_target_is_as_slow_keeps_its_users() {
    for (target_slow, sheds) in [(0, true), (5, true), (6, false), (10, false)] {
        let mut params = params(&["s"], &[2, 2], true);
        params.services[0].clusters[0].triggers =
            vec![Trigger::high_latency(0.99, Duration::from_millis(500)), Trigger::high_error_rate(0.05)];
        let mut bench = Bench::new(params);
        assert_eq!(bench.engine.latency_thresholds(ServiceId(0)), [Duration::from_millis(500)]);
        let mut least = 1.0f32;
        for at in (1_000..30_000).step_by(100) {
            for (cluster, slow) in [(0, 10), (1, target_slow)] {
                bench.counted.pairs.entry((0, cluster)).or_default().attempts += 100;
                *bench.counted.slow.entry((0, cluster, 0)).or_default() += slow;
            }
            bench.tick(ms(at));
            least = least.min(bench.admission(0));
        }
        assert_eq!(least < 1.0, sheds, "{target_slow} % against 10 %");
    }
}

#[test]
fn an_event_of_something_unknown_is_nothing() {
    let mut bench = Bench::new(EngineParams::default());
    bench.fail_sent(7, 3, FailureKind::Connect, t(1), t(1));
    bench.probe(3, true, t(1));
    bench.good(3, t(1));
    bench.tick(t(2));
    let mut loose = params(&["s"], &[1], false);
    loose.services[0].clusters[0].cluster = ClusterId(9);
    loose.services[0].clusters[0].failover = vec![4];
    bench.engine.reconfigure(loose, t(3));
    bench.tick(t(4));
    assert_eq!(bench.admission(0), 0.0, "a service whose cluster is not there");
    assert_eq!(bench.engine.drain_events().count(), 1);
}

/// The successor of a bench's engine, as it is after the state went through text. Its workers count from 0.
fn succeed(old: &Bench, params: EngineParams, now: Tick) -> Bench {
    let text = serde_json::to_string(&old.engine.carry()).unwrap();
    let mut engine = HealthEngine::resume(now, 2, serde_json::from_str(&text).unwrap());
    engine.reconfigure(params, now);
    Bench { engine, counted: Counted::default() }
}

fn views(bench: &Bench, now: Tick) -> String {
    let clusters: Vec<_> = (0..3).map(|c| bench.view(c)).collect();
    let endpoint = |id| bench.engine.endpoint_view(EndpointId(id)).unwrap();
    let endpoints: Vec<_> = [0, 1, 10, 11, 20, 21].map(endpoint).into();
    format!("{}: {clusters:#?} {endpoints:#?}", now.as_millis())
}

#[test]
fn an_upgrade_in_the_middle_of_an_outage_changes_nothing_of_it() {
    type Scenario = (&'static str, fn(&mut Bench));
    let scenarios: [Scenario; 6] = [
        ("an open breaker", |b| b.trip(t(30))),
        ("a ramp that began", |b| b.trip(t(7))),
        ("an ejection", |b| (0..5).for_each(|i| b.fail(20, FailureKind::Connect, ms(30_000 + i)))),
        ("a failing check", |b| (29..31).for_each(|s| b.probe(11, false, t(s)))),
        ("a dark cluster", |b| (0..2).for_each(|e| (29..31).for_each(|s| b.probe(e, false, t(s))))),
        ("a drain by hand", |b| assert!(b.engine.drain_cluster(t(30), "c", true))),
    ];
    for (what, happens) in scenarios {
        let params = params(&["s"], &[2, 2, 2], true);
        let healthy = views(&Bench::new(params.clone()), t(40));
        let mut old = Bench::new(params.clone());
        happens(&mut old);
        old.run(t(31), t(40));
        assert_ne!(views(&old, t(40)), healthy, "{what}: nothing to carry");
        let mut new = succeed(&old, params, t(40));
        for secs in 40..200 {
            assert_eq!(views(&new, t(secs)), views(&old, t(secs)), "{what}");
            for bench in [&mut old, &mut new] {
                if secs == 60 {
                    (0..2).chain([11]).for_each(|endpoint| bench.probe(endpoint, true, t(60)));
                    bench.engine.drain_cluster(t(60), "c", false);
                }
                bench.run(t(secs), t(secs + 1));
            }
        }
        assert_eq!((0..3).map(|c| new.admission(c)).sum::<f32>(), 3.0, "{what}: it ends");
    }
}

#[test]
fn what_a_slow_cluster_shed_stays_shed_across_an_upgrade() {
    let mut params = params(&["s"], &[2, 2, 2], true);
    params.services[0].clusters[0].triggers = vec![Trigger::high_latency(0.99, Duration::from_millis(500))];
    let busy = |bench: &mut Bench, from: u64, to: u64, slow_in_hundred: u64| {
        for at in (from * 10)..(to * 10) {
            bench.counted.pairs.entry((0, 0)).or_default().attempts += 100;
            *bench.counted.slow.entry((0, 0, 0)).or_default() += slow_in_hundred;
            bench.tick(ms(at * 100));
        }
    };
    let mut old = Bench::new(params.clone());
    busy(&mut old, 1, 38, 50);
    let shed = old.view(0);
    assert!(shed.reason == Reason::HighLatency && shed.admission < 0.5, "{shed:?}");
    let mut new = succeed(&old, params, t(38));
    assert_eq!(format!("{:?}", new.view(0)), format!("{shed:?}"));
    busy(&mut new, 38, 60, 50);
    assert!(new.admission(0) <= shed.admission, "it is as slow as before: {:?}", new.view(0));
    busy(&mut new, 60, 180, 0);
    assert_eq!(new.admission(0), 1.0, "and comes back when it is not");
}
