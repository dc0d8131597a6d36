//! One endpoint: its runs of failures, its ejection, its active check.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::counters::{EndpointCounts, Failure};
use super::outlier::{EjectionKind, ejection_span};
use super::params::{EndpointId, OutlierParams, ProbeThresholds};
use super::views::{EndpointView, OutOfService};
use crate::FailureKind;
use crate::tick::Tick;

/// Failures since the last success.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Run {
    errors: u32,
    answers: u32,
    five_xx: u32,
    gateway: u32,
    local: u32,
    connection: u32,
    last: Tick,
}

/// While it is out by its failures, or by hand.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Ejection {
    pub kind: EjectionKind,
    pub until: Tick,
    /// Its whole run was connect failures and resets: a passing check refutes it.
    pub connection_only: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Endpoint {
    #[serde(skip)]
    pub id: EndpointId,
    pub address: String,
    run: Run,
    last_success: Tick,
    pub ejection: Option<Ejection>,
    ejections: u32,
    returned_at: Tick,
    forgives_at: Option<Tick>,
    probe_unhealthy: bool,
    probes: (u32, u32),
    pub ramp_since: Tick,
    /// Counters at the last sweep; of this process alone.
    #[serde(skip)]
    pub swept: Option<EndpointCounts>,
}

impl Endpoint {
    pub fn new(id: EndpointId, address: String) -> Endpoint {
        Endpoint {
            id,
            address,
            run: Run::default(),
            last_success: Tick(0),
            ejection: None,
            ejections: 0,
            returned_at: Tick(0),
            forgives_at: None,
            probe_unhealthy: false,
            probes: (0, 0),
            ramp_since: Tick(0),
            swept: None,
        }
    }

    pub fn available(&self) -> bool {
        self.ejection.is_none() && !self.probe_unhealthy
    }

    /// Counts a failure, unless it is history: older than the last success (another worker saw further), or of
    /// a request sent before the endpoint returned.
    pub fn fail(&mut self, failure: &Failure) {
        if self.ejection.is_some() || failure.at < self.last_success || failure.sent_at < self.returned_at {
            return;
        }
        let run = &mut self.run;
        run.last = run.last.max(failure.at);
        run.errors += 1;
        match failure.kind {
            FailureKind::Status(status) => {
                run.answers += 1;
                run.local = 0;
                run.five_xx = if status >= 500 { run.five_xx + 1 } else { 0 };
                run.gateway = if matches!(status, 502..=504) { run.gateway + 1 } else { 0 };
            }
            kind => {
                run.local += 1;
                run.connection += u32::from(kind.is_connection());
            }
        }
    }

    /// Ends the run, unless it failed again since.
    pub fn succeed(&mut self, ended_at: Tick) {
        self.last_success = self.last_success.max(ended_at);
        if ended_at >= self.run.last {
            self.run = Run::default();
        }
    }

    /// The rule that this run has reached. Where several are reached at once the run decides the kind: local
    /// origin only if no answer was in it.
    pub fn reached(&self, params: &OutlierParams) -> Option<EjectionKind> {
        let run = &self.run;
        let reached = |count: u32, threshold: u32| threshold > 0 && count >= threshold;
        let local = reached(run.local, params.consecutive_local_origin);
        let five_xx = params.consecutive_5xx.is_some_and(|n| reached(run.five_xx, n));
        let gateway = params.consecutive_gateway.is_some_and(|n| reached(run.gateway, n));
        match () {
            () if local && run.answers == 0 => Some(EjectionKind::ConsecutiveLocalOrigin),
            () if reached(run.errors, params.consecutive_errors) => Some(EjectionKind::ConsecutiveErrors),
            () if gateway => Some(EjectionKind::ConsecutiveGateway),
            () if five_xx => Some(EjectionKind::Consecutive5xx),
            () if local => Some(EjectionKind::ConsecutiveLocalOrigin),
            () => None,
        }
    }

    /// No answer in the run: waiting on for one is vain.
    pub fn run_is_local_origin(&self) -> bool {
        self.run.errors > 0 && self.run.answers == 0
    }

    /// Takes it out. A statistical or manual ejection does not come from the run, so no check refutes it.
    pub fn eject(&mut self, now: Tick, kind: EjectionKind, params: &OutlierParams, roll: u64) -> Tick {
        self.ejections = self.ejections.saturating_add(1);
        let until = now + ejection_span(params, self.ejections, roll);
        let by_run = !matches!(kind, EjectionKind::SuccessRate | EjectionKind::FailurePercentage);
        let connection_only = by_run && self.run.errors > 0 && self.run.connection == self.run.errors;
        self.put_out(Ejection { kind, until, connection_only });
        until
    }

    pub fn eject_by_hand(&mut self, until: Tick) {
        self.put_out(Ejection { kind: EjectionKind::ByHand, until, connection_only: false });
    }

    fn put_out(&mut self, ejection: Ejection) {
        self.ejection = Some(ejection);
        self.forgives_at = None;
        self.run = Run::default();
    }

    /// Ends the ejection. What was sent before now is history.
    pub fn take_back(&mut self, now: Tick, interval: Duration) {
        self.ejection = None;
        self.returned_at = now;
        self.run = Run::default();
        self.forgives_at = Some(now + interval);
    }

    pub fn is_due(&self, now: Tick) -> bool {
        self.ejection.as_ref().is_some_and(|ejection| now >= ejection.until)
    }

    /// Forgives one ejection an interval.
    pub fn forgive(&mut self, now: Tick, interval: Duration) {
        while let Some(at) = self.forgives_at.filter(|&at| now >= at && self.ejections > 0) {
            self.ejections -= 1;
            self.forgives_at = (self.ejections > 0 && !interval.is_zero()).then(|| at + interval);
        }
    }

    /// Counts a probe; true if the active check's verdict changed.
    pub fn probe(&mut self, passed: bool, thresholds: ProbeThresholds) -> bool {
        let (passes, failures) = self.probes;
        self.probes = if passed { (passes.saturating_add(1), 0) } else { (0, failures.saturating_add(1)) };
        let unhealthy = match self.probe_unhealthy {
            true => self.probes.0 < thresholds.healthy.max(1),
            false => self.probes.1 >= thresholds.unhealthy.max(1),
        };
        std::mem::replace(&mut self.probe_unhealthy, unhealthy) != unhealthy
    }

    /// Overrules the active check, or forgets it where it was switched off; true if it had given up.
    pub fn trust(&mut self) -> bool {
        std::mem::take(&mut self.probe_unhealthy)
    }

    pub fn probe_passes(&self) -> u32 {
        self.probes.0
    }

    pub fn view(&self) -> EndpointView {
        let out = match (&self.ejection, self.probe_unhealthy) {
            (Some(ejection), _) => Some(OutOfService::Ejected(ejection.kind)),
            (None, true) => Some(OutOfService::Probe),
            (None, false) => None,
        };
        EndpointView {
            available: self.available(),
            ramp_since: self.ramp_since,
            ejected_until: self.ejection.as_ref().map(|ejection| ejection.until),
            ejections: self.ejections,
            out,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint() -> Endpoint {
        Endpoint::new(EndpointId(0), "a:1".into())
    }

    fn fail(endpoint: &mut Endpoint, kind: FailureKind, n: u64) {
        for ms in 0..n {
            let at = Tick::from_millis(1_000 + ms);
            endpoint.fail(&Failure { kind, sent_at: at, at });
        }
    }

    #[test]
    fn the_run_decides_the_kind_when_one_failure_reaches_several_counters() {
        let params = OutlierParams::default();
        let mut refused = endpoint();
        fail(&mut refused, FailureKind::Connect, 5);
        assert_eq!(refused.reached(&params), Some(EjectionKind::ConsecutiveLocalOrigin));

        let mut mixed = endpoint();
        fail(&mut mixed, FailureKind::Status(503), 1);
        fail(&mut mixed, FailureKind::Connect, 4);
        assert_eq!(mixed.reached(&params), Some(EjectionKind::ConsecutiveErrors));
        mixed.eject(Tick(0), EjectionKind::ConsecutiveErrors, &params, 0);
        assert!(!mixed.ejection.unwrap().connection_only);
    }

    #[test]
    fn an_answer_ends_the_run_of_silence() {
        let params = OutlierParams { consecutive_errors: 0, ..OutlierParams::default() };
        let mut e = endpoint();
        fail(&mut e, FailureKind::Timeout, 4);
        fail(&mut e, FailureKind::Status(503), 1);
        fail(&mut e, FailureKind::Timeout, 4);
        assert_eq!(e.reached(&params), None);
        fail(&mut e, FailureKind::Timeout, 1);
        assert_eq!(e.reached(&params), Some(EjectionKind::ConsecutiveLocalOrigin));
    }

    #[test]
    fn only_connect_failures_and_resets_are_refuted_by_a_check() {
        for (kind, refutable) in
            [(FailureKind::Connect, true), (FailureKind::Reset, true), (FailureKind::Timeout, false)]
        {
            let mut e = endpoint();
            fail(&mut e, kind, 5);
            e.eject(Tick::from_secs(2), EjectionKind::ConsecutiveLocalOrigin, &OutlierParams::default(), 0);
            assert_eq!(e.ejection.unwrap().connection_only, refutable, "{kind:?}");
        }
    }

    #[test]
    fn a_success_ends_the_run_but_not_one_that_is_older_than_the_last_failure() {
        let params = OutlierParams::default();
        let mut e = endpoint();
        fail(&mut e, FailureKind::Status(500), 4);
        e.succeed(Tick::from_millis(900));
        fail(&mut e, FailureKind::Status(500), 1);
        assert!(e.reached(&params).is_some());
        e.succeed(Tick::from_millis(2_000));
        assert!(e.reached(&params).is_none());
        // A failure that happened before that success and arrives after it.
        fail(&mut e, FailureKind::Status(500), 5);
        assert!(e.reached(&params).is_none());
    }

    #[test]
    fn gateway_errors_are_502_to_504_in_a_row() {
        let params =
            OutlierParams { consecutive_errors: 0, consecutive_gateway: Some(3), ..OutlierParams::default() };
        let mut e = endpoint();
        fail(&mut e, FailureKind::Status(503), 2);
        fail(&mut e, FailureKind::Status(500), 1);
        fail(&mut e, FailureKind::Status(502), 2);
        assert_eq!(e.reached(&params), None);
        fail(&mut e, FailureKind::Status(504), 1);
        assert_eq!(e.reached(&params), Some(EjectionKind::ConsecutiveGateway));
    }

    #[test]
    fn failures_of_requests_sent_before_the_return_do_not_count() {
        let params = OutlierParams::default();
        let mut e = endpoint();
        fail(&mut e, FailureKind::Timeout, 5);
        e.eject(Tick::from_secs(2), EjectionKind::ConsecutiveLocalOrigin, &params, 0);
        e.take_back(Tick::from_secs(40), params.interval);
        for _ in 0..10 {
            let (sent_at, at) = (Tick::from_secs(39), Tick::from_secs(41));
            e.fail(&Failure { kind: FailureKind::Timeout, sent_at, at });
        }
        assert_eq!(e.reached(&params), None);
        for _ in 0..5 {
            let (sent_at, at) = (Tick::from_secs(41), Tick::from_secs(43));
            e.fail(&Failure { kind: FailureKind::Timeout, sent_at, at });
        }
        assert!(e.reached(&params).is_some());
    }

    #[test]
    fn one_ejection_is_forgiven_an_interval_after_the_return() {
        let params = OutlierParams::default();
        let mut e = endpoint();
        for _ in 0..3 {
            e.eject(Tick::from_secs(1), EjectionKind::ByHand, &params, 0);
        }
        e.take_back(Tick::from_secs(100), params.interval);
        let left = [129, 130, 159, 160, 400].map(|secs| {
            e.forgive(Tick::from_secs(secs), params.interval);
            e.ejections
        });
        assert_eq!(left, [3, 2, 2, 1, 0]);
    }

    #[test]
    fn probes_change_their_mind_at_their_thresholds() {
        let thresholds = ProbeThresholds { unhealthy: 2, healthy: 3 };
        let mut e = endpoint();
        let changes = [false, true, false, false, true, true, false, true, true, true];
        let changed = changes.map(|passed| e.probe(passed, thresholds));
        assert_eq!(changed, [false, false, false, true, false, false, false, false, false, true]);
        assert!(e.available());
    }
}
