//! The outage of one (service, cluster): trip, hold, ramp, relapse.
//!
//! ```text
//!            trip                     hold over and healthy              ramp done
//!   Clear ----------> Down (a as the rules say) ----------> Ramp 10..100 % ----------> Clear
//!                      ^                                      |
//!                      +------------- relapse ---------------+   the hold doubles
//! ```
//!
//! * The hold (30 s) runs from the **first** trip of an outage. Further triggers before the ramp neither restart
//!   nor double it.
//! * The ramp gives 10, 20, 40, 70, 100 % of the users back at 0, 12, 24, 36, 48 s, beginning at the first step not
//!   below what the cluster keeps at present. A cluster that comes back cold gets no more than that, ever (Envoy's
//!   let 20 to 68 % of arrivals be refused in the first seconds).
//! * A trip once the ramp has begun is a relapse: the hold doubles, up to 300 s, and is 30 s again after 300 s at
//!   full admission. Only what was sent since the ramp began can be evidence of one ([`Outage::fresh_from`]): a
//!   failure of a request sent earlier is news of the outage that is already known.
//!
//! One machine for all rules, instead of a timer each for breaker, ejection and shedding: two timers that disagree
//! are how a cluster flaps.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::params::Recovery;
use crate::tick::Tick;

/// What the ramp gives back, at 0, 1/4, 2/4, 3/4 and 4/4 of its length. Each step at most doubles the load, which is
/// what a cold cache or an autoscaler can follow.
const STEPS: [f32; 5] = [0.10, 0.20, 0.40, 0.70, 1.0];

/// What decides a cluster's admission right now.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Nothing: it keeps all of its users.
    Healthy,
    /// Its healthy share times the overprovisioning is below 1.
    Endpoints,
    /// Its measured load is above what its healthy endpoints can take.
    Capacity,
    /// No healthy endpoint.
    NoEndpoint,
    /// The breaker is open.
    Breaker,
    /// `highLatency` sheds.
    HighLatency,
    /// `highErrorRate` sheds.
    HighErrorRate,
    /// The outage is over as far as can be seen; the hold still runs.
    Hold,
    /// The ramp after an outage.
    Ramp,
    /// Drained by hand.
    Drained,
}

impl Reason {
    /// A short name for metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Reason::Healthy => "healthy",
            Reason::Endpoints => "endpoints",
            Reason::Capacity => "capacity",
            Reason::NoEndpoint => "no-endpoint",
            Reason::Breaker => "breaker",
            Reason::HighLatency => "high-latency",
            Reason::HighErrorRate => "high-error-rate",
            Reason::Hold => "hold",
            Reason::Ramp => "ramp",
            Reason::Drained => "drained",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Phase {
    Clear,
    Down { hold_until: Tick },
    Ramp { begun: Tick, from: usize },
}

/// The outage state of one (service, cluster).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Outage {
    phase: Phase,
    /// The length of the last hold; `None` = no outage yet, or all forgiven.
    hold: Option<Duration>,
    full_since: Option<Tick>,
    tripped_at: Tick,
    fresh_from: Tick,
}

impl Outage {
    pub fn new() -> Outage {
        Outage { phase: Phase::Clear, hold: None, full_since: None, tripped_at: Tick(0), fresh_from: Tick(0) }
    }

    /// A rule trips. True if this is the first trip of an outage (or a relapse).
    pub fn trip(&mut self, now: Tick, recovery: &Recovery) -> bool {
        if self.is_down() {
            return false;
        }
        let forgiven = self.full_since.is_some_and(|since| now.since(since) >= recovery.max_hold);
        let hold = match self.hold {
            Some(hold) if !forgiven => hold.saturating_mul(2).min(recovery.max_hold).max(recovery.hold),
            _ => recovery.hold,
        };
        self.hold = Some(hold);
        self.full_since = None;
        self.tripped_at = now;
        self.phase = Phase::Down { hold_until: now + hold };
        true
    }

    /// Starts the ramp if the hold is over; `present` is what the cluster keeps. True if it began.
    pub fn try_ramp(&mut self, now: Tick, present: f32) -> bool {
        let Phase::Down { hold_until } = self.phase else { return false };
        if now < hold_until {
            return false;
        }
        self.begin_ramp(now, present);
        true
    }

    /// Starts the ramp at once: after a drain by hand.
    pub fn begin_ramp(&mut self, now: Tick, present: f32) {
        let from = STEPS.iter().position(|&step| step >= present).unwrap_or(STEPS.len() - 1);
        self.phase = Phase::Ramp { begun: now, from };
        self.fresh_from = now;
    }

    /// Forgets the outage, its hold and its ramp: the cluster was marked, and lives.
    pub fn clear(&mut self, now: Tick) {
        *self = Outage { fresh_from: now, ..Outage::new() };
    }

    /// What the ramp allows at `now`; 1 outside of it. Ends the ramp when it is done.
    pub fn ramp(&mut self, now: Tick, recovery: &Recovery) -> f32 {
        let Phase::Ramp { begun, from } = self.phase else { return 1.0 };
        let quarter = (recovery.ramp / (STEPS.len() as u32 - 1)).max(Duration::from_nanos(1));
        let climbed = (now.since(begun).as_nanos() / quarter.as_nanos()).min(STEPS.len() as u128) as usize;
        let step = STEPS.get(from + climbed).copied().unwrap_or(1.0);
        if step >= 1.0 {
            self.phase = Phase::Clear;
        }
        step
    }

    /// Tells what the cluster keeps in the end: full admission for long enough forgives.
    pub fn note(&mut self, now: Tick, admission: f32) {
        match admission >= 1.0 {
            true => self.full_since = self.full_since.or(Some(now)),
            false => self.full_since = None,
        }
    }

    pub fn is_down(&self) -> bool {
        matches!(self.phase, Phase::Down { .. })
    }

    pub fn is_ramping(&self) -> bool {
        matches!(self.phase, Phase::Ramp { .. })
    }

    pub fn hold_until(&self) -> Option<Tick> {
        match self.phase {
            Phase::Down { hold_until } => Some(hold_until),
            _ => None,
        }
    }

    /// The first trip of the last outage: what was sent before says nothing about the recovery.
    pub fn tripped_at(&self) -> Tick {
        self.tripped_at
    }

    /// Only requests sent from then on are evidence of a new trip.
    pub fn fresh_from(&self) -> Tick {
        self.fresh_from
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECOVERY: Recovery = Recovery {
        hold: Duration::from_secs(30),
        max_hold: Duration::from_secs(300),
        ramp: Duration::from_secs(48),
    };

    fn t(secs: u64) -> Tick {
        Tick::from_secs(secs)
    }

    fn steps(outage: &mut Outage, from: u64) -> Vec<f32> {
        (0..5).map(|i| outage.ramp(t(from + 12 * i), &RECOVERY)).collect()
    }

    #[test]
    fn after_the_hold_the_users_come_back_in_five_steps() {
        let mut outage = Outage::new();
        assert!(outage.trip(t(100), &RECOVERY));
        assert!(!outage.try_ramp(t(129), 0.0));
        assert!(outage.try_ramp(t(130), 0.0));
        assert_eq!(steps(&mut outage, 130), [0.1, 0.2, 0.4, 0.7, 1.0]);
        assert!(!outage.is_ramping() && !outage.is_down());
    }

    #[test]
    fn the_ramp_begins_at_the_first_step_not_below_what_is_kept() {
        for (present, first) in [(0.0, 0.1), (0.05, 0.1), (0.125, 0.2), (0.5, 0.7), (1.0, 1.0)] {
            let mut outage = Outage::new();
            outage.trip(t(0), &RECOVERY);
            outage.try_ramp(t(30), present);
            assert_eq!(outage.ramp(t(30), &RECOVERY), first, "from {present}");
        }
    }

    #[test]
    fn further_trips_of_one_outage_do_not_restart_its_hold() {
        let mut outage = Outage::new();
        outage.trip(t(0), &RECOVERY);
        assert!(!outage.trip(t(29), &RECOVERY));
        assert_eq!(outage.hold_until(), Some(t(30)));
    }

    #[test]
    fn relapses_double_the_hold_up_to_the_longest() {
        let mut outage = Outage::new();
        let mut now = 0;
        let holds: Vec<u64> = (0..6)
            .map(|_| {
                outage.trip(t(now), &RECOVERY);
                let hold = outage.hold_until().unwrap().since(t(now)).as_secs();
                now += hold;
                outage.try_ramp(t(now), 0.0);
                hold
            })
            .collect();
        assert_eq!(holds, [30, 60, 120, 240, 300, 300]);
    }

    #[test]
    fn five_minutes_at_full_admission_forgive() {
        for (quiet, hold) in [(299, 60), (300, 30)] {
            let mut outage = Outage::new();
            outage.trip(t(0), &RECOVERY);
            outage.try_ramp(t(30), 0.0);
            let admission = outage.ramp(t(78), &RECOVERY);
            outage.note(t(78), admission);
            outage.trip(t(78 + quiet), &RECOVERY);
            assert_eq!(outage.hold_until(), Some(t(78 + quiet + hold)));
        }
    }
}
