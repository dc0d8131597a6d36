//! Promises of the policy, held in virtual time, with deadlines to the millisecond.
//!
//! Every scenario runs over the three clusters of the format's example: 50/30/20, two endpoints each, 1,000 users,
//! 600 requests a second, probes each second.

mod sim;

use std::time::Duration;

use causeway_proxy_policy::Tick;
use causeway_proxy_policy::health::HealthEvent;
use sim::{Behaviour, Report, Setup, at, run};

const US_EAST: usize = 0;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Nobody but the users of the first cluster ever changed cluster.
fn only_its_users_moved(report: &Report) {
    for (user, changes) in report.changes().into_iter().enumerate() {
        assert!(
            report.homes[user] == US_EAST || changes == 0,
            "user {user} of another cluster moved {changes} times"
        );
    }
}

#[test]
fn the_same_seed_gives_the_same_run_and_another_seed_another() {
    let setup = |seed| {
        Setup { seed, secs: 30, ..Setup::default() }
            .then(5, 0, None, Behaviour::Dead)
            .then(10, 0, None, Behaviour::Err(20))
            .then(15, 1, Some(0), Behaviour::Hang)
    };
    let (a, b, c) = (run(&setup(7)), run(&setup(7)), run(&setup(8)));
    assert_eq!((a.hash, a.answers.len(), a.events.len()), (b.hash, b.answers.len(), b.events.len()));
    assert_ne!(a.hash, c.hash);
}

#[test]
fn in_quiet_times_everybody_is_at_home() {
    let report = run(&Setup::default());
    assert_eq!(report.errors(), 0);
    assert_eq!(report.share_home(at(0), at(60)), 1.0);
    assert!(report.events.is_empty(), "{:?}", report.events);
    assert!(report.answers.iter().all(|a| a.tries == 1));
}

#[test]
fn a_killed_cluster_costs_no_error_and_gets_its_users_back() {
    for seed in 1..=3 {
        let report = run(&Setup { seed, secs: 120, ..Setup::default() }
            .then(10, US_EAST, None, Behaviour::Dead)
            .then(30, US_EAST, None, Behaviour::Up));
        assert_eq!(report.errors(), 0, "seed {seed}");
        only_its_users_moved(&report);
        assert!(report.changes().iter().all(|&n| n <= 2), "seed {seed}: {:?}", report.changes().iter().max());

        let down = report.first(|e| matches!(e, HealthEvent::AdmissionChanged { cluster: US_EAST, .. }));
        assert!(down.unwrap().since(at(10)) < ms(100), "seed {seed}: seen at {down:?}");
        let early = report.tries.iter().find(|t| t.at > at(11) && t.at < at(40) && t.cluster == 0);
        assert!(early.is_none(), "seed {seed}: {early:?} before the hold was over");
        // The hold ends 30 s after the trip, the ramp 48 s later: 88 s, 58 s after the return.
        let steps = [39, 41, 53, 65, 77, 89].map(|secs| report.admission(US_EAST, at(secs)));
        assert_eq!(steps, [0.0, 0.1, 0.2, 0.4, 0.7, 1.0], "seed {seed}");
        // A cold cluster gets no more than its ramp.
        for (from, to, most) in [(41, 52, 0.1), (53, 64, 0.2), (65, 76, 0.4), (77, 88, 0.7)] {
            let got = share_of_its_users(&report, US_EAST, from, to);
            assert!(got < most + 0.03 && got > most - 0.07, "seed {seed}: {got} at {most}");
        }
        assert_eq!(report.share_home(at(89), at(120)), 1.0, "seed {seed}");
    }
}

/// Of the requests of a cluster's own users, those that it answered.
fn share_of_its_users(report: &Report, cluster: usize, from: u64, to: u64) -> f64 {
    let own = || {
        report
            .answers
            .iter()
            .filter(|a| a.sent >= at(from) && a.sent < at(to) && report.homes[a.user] == cluster)
    };
    let here = own().filter(|a| a.from.is_some_and(|(c, _)| usize::from(c) == cluster));
    here.count() as f64 / own().count() as f64
}

#[test]
fn a_cluster_with_a_capacity_takes_of_a_lost_clusters_load_what_fits() {
    let mut setup = Setup { triggers: false, ..Setup::default() };
    setup.clusters[1].capacity = Some(250.0);
    let report = run(&setup.then(10, US_EAST, None, Behaviour::Dead));
    assert_eq!(report.errors(), 0);
    let rate = |cluster, from, to| {
        let tries = report.tries.iter().filter(|t| t.cluster == cluster && t.at >= at(from) && t.at < at(to));
        tries.count() as f64 / (to - from) as f64
    };
    // Its own are 180 a second, of the lost 300 it would take 180; 250 is what it can.
    assert!((165.0..195.0).contains(&rate(1, 0, 10)), "{}", rate(1, 0, 10));
    assert!((205.0..=255.0).contains(&rate(1, 15, 40)), "{}", rate(1, 15, 40));
    assert!(rate(2, 15, 40) > 340.0, "the other one takes the rest: {}", rate(2, 15, 40));
    assert_eq!(share_of_its_users(&report, 1, 0, 60), 1.0, "its own users stay");
}

#[test]
fn requests_without_a_key_leave_an_unprobed_dead_cluster_and_find_it_back() {
    let setup = Setup { keyed: false, probes: false, secs: 100, ..Setup::default() };
    let report = run(&setup.then(10, US_EAST, None, Behaviour::Dead).then(20, US_EAST, None, Behaviour::Up));
    assert_eq!(report.errors(), 0);
    let tries = |from, to| {
        let here = |t: &&sim::report::Try| t.cluster == 0 && t.at >= at(from) && t.at < at(to);
        report.tries.iter().filter(here).count()
    };
    let looks = tries(21, 40);
    assert!((20..120).contains(&looks), "one in a hundred of 300 a second looks: {looks}");
    assert_eq!(report.admission(US_EAST, at(90)), 1.0);
    assert!(tries(90, 100) > 2_700);
}

#[test]
fn a_dead_endpoint_of_two_moves_its_users_to_its_sibling_and_nobody_else() {
    let report = run(&Setup::default().then(10, US_EAST, Some(0), Behaviour::Dead).then(
        30,
        US_EAST,
        Some(0),
        Behaviour::Up,
    ));
    assert_eq!(report.errors(), 0);
    assert!(report.changes().iter().all(|&n| n == 0), "somebody left the cluster");
    let ejected =
        report.first(|e| matches!(e, HealthEvent::Ejected { local_origin_only: true, .. })).unwrap();
    assert!(ejected.since(at(10)) < ms(100), "{ejected:?}");
    let back = report.first(|e| matches!(e, HealthEvent::Unejected { early: true, .. })).unwrap();
    assert!(back.since(at(30)) < ms(1_010), "a passing check ends a connect failure: {back:?}");
    assert_eq!(report.admission(US_EAST, at(20)), 1.0);
}

#[test]
fn a_hanging_endpoint_of_two_keeps_nobody_waiting_past_detection() {
    let report = run(&Setup::default().then(10, US_EAST, Some(0), Behaviour::Hang));
    assert_eq!(report.errors(), 0);
    assert!(report.changes().iter().all(|&n| n == 0), "somebody left the cluster");
    // Five timeouts of 2 s, or two missed probes a second apart, each 0.5 s: whatever is first.
    let out = report.first(|e| matches!(e, HealthEvent::Ejected { .. } | HealthEvent::ProbeUnhealthy { .. }));
    assert!(out.unwrap().since(at(10)) <= ms(2_100), "{out:?}");
    let slowest = *report.latencies(at(10), at(12)).last().unwrap();
    assert!(slowest <= ms(2_100), "{slowest:?}");
    let after = *report.latencies(at(13), at(60)).last().unwrap();
    assert!(after <= ms(10), "{after:?}");
}

#[test]
fn an_endpoint_that_answers_500_runs_its_time_whatever_its_probe_says() {
    let report = run(&Setup { secs: 150, ..Setup::default() }.then(10, US_EAST, Some(0), Behaviour::Broken));
    assert_eq!(report.errors(), 0);
    assert!(report.changes().iter().all(|&n| n == 0), "somebody left the cluster");
    let spans: Vec<u64> = report
        .events
        .iter()
        .filter_map(|(now, event)| match event {
            HealthEvent::Ejected { until, .. } => Some(until.since(*now).as_secs()),
            HealthEvent::Unejected { early, .. } => {
                assert!(!early, "a good /healthz ended it at {now:?}");
                None
            }
            _ => None,
        })
        .collect();
    // Out at 10 s, back at 40 to 43, out again, and longer each time.
    assert_eq!(spans.len(), 3, "{spans:?}");
    assert!((30..33).contains(&spans[0]) && (60..63).contains(&spans[1]), "{spans:?}");
}

#[test]
fn a_slow_cluster_sheds_by_halves_and_comes_back_by_the_ramp() {
    let report = run(&Setup { secs: 150, ..Setup::default() }
        .then(10, US_EAST, None, Behaviour::Slow(800))
        .then(60, US_EAST, None, Behaviour::Up));
    assert_eq!(report.errors(), 0);
    only_its_users_moved(&report);
    // Three bad windows of 5 s; the window that the slowness began in may be the first of them.
    let trip = report.first(|e| matches!(e, HealthEvent::AdmissionChanged { .. })).unwrap();
    assert!((at(20)..=at(30) + ms(200)).contains(&trip), "{trip:?}");
    let later = |secs| report.admission(US_EAST, trip + Duration::from_secs(secs));
    assert_eq!([1, 11, 21, 31].map(later), [0.5, 0.25, 0.125, 0.0625]);
    // Back since 60 s. At 5 % of its 300 requests a second a window of 100 takes 6.7 s: the one that was running,
    // two good ones, and then the ramp from the first step not below what it has.
    let back = report.admissions.iter().find(|(now, a)| *now > at(66) && a[US_EAST] > 0.0625).unwrap();
    assert!(back.1[US_EAST] == 0.1 && back.0 <= at(84), "{back:?}");
    assert!(report.changes().iter().all(|&n| n <= 2));
    assert_eq!(report.share_home(back.0 + Duration::from_secs(49), at(150)), 1.0);
}

#[test]
fn ten_percent_errors_are_hidden_by_retries_and_then_shed() {
    let report = run(&Setup { secs: 90, ..Setup::default() }.then(10, US_EAST, None, Behaviour::Err(10)));
    assert_eq!(report.errors(), 0);
    let shed =
        report.first(|e| matches!(e, HealthEvent::AdmissionChanged { admission, .. } if *admission <= 0.5));
    assert!((at(20)..=at(30) + ms(200)).contains(&shed.unwrap()), "{shed:?}");
    assert!(report.admission(US_EAST, at(80)) <= 0.0625);
    let opened = report.first(|e| matches!(e, HealthEvent::BreakerOpened { .. }));
    assert_eq!(opened, None, "a tenth of errors is no outage");
}

#[test]
fn when_every_cluster_dies_the_first_one_back_does_not_get_everybody() {
    let mut setup = Setup { secs: 60, ..Setup::default() };
    for cluster in 0..3 {
        setup = setup.then(10, cluster, None, Behaviour::Dead).then(
            20 + 5 * cluster as u64,
            cluster,
            None,
            Behaviour::Up,
        );
    }
    let report = run(&setup);
    // Each is at full admission from its first passing probe on, within a second of its return.
    for cluster in 0..3 {
        let back = at(20 + 5 * cluster as u64);
        assert_eq!(report.admission(cluster, back.before()), 0.0);
        assert_eq!(report.admission(cluster, back + ms(1_200)), 1.0, "cluster {cluster}");
    }
    let good = report.answers.iter().filter(|a| a.sent >= at(32)).all(|a| a.good);
    assert!(good, "five seconds of 503 after everything is back");
    assert_eq!(report.share_home(at(32), at(60)), 1.0);
}

#[test]
fn a_silent_cluster_costs_one_timeout_and_not_two() {
    let report = run(&Setup { probes: false, ..Setup::default() }.then(10, US_EAST, None, Behaviour::Hang));
    assert_eq!(report.errors(), 0);
    let worst = *report.latencies(at(10), at(60)).last().unwrap();
    assert!(worst < ms(2_500), "{worst:?}");
}

#[test]
fn a_post_that_may_have_been_executed_is_not_sent_twice() {
    let setup = Setup { idempotent: false, secs: 35, ..Setup::default() };
    let report = run(&setup.then(10, US_EAST, Some(0), Behaviour::Broken));
    let errors = report.errors();
    assert!((5..=9).contains(&errors), "{errors}: those until the ejection, and no others");
    assert!(report.tries.iter().all(|t| !t.retry));
}

trait Before {
    fn before(self) -> Tick;
}

impl Before for Tick {
    fn before(self) -> Tick {
        Tick(self.0 - 1)
    }
}
