//! How much a slow or failing cluster sheds.
//!
//! On the trip half of its users leave, then half of the rest every 10 s, down to 5 %: those show the recovery.
//! Only while where they go is clearly better, its slow (failing) share at most half of home's: if everything is
//! slow, or becomes slow by what is sent there, moving users helps nobody. Then one step is taken back, and that
//! level is the lowest of this outage, so that the load does not swing between two clusters.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::tick::Tick;

/// Of its users that a cluster keeps at the trip.
const FIRST: f32 = 0.5;
/// The lowest level: enough users to see the recovery by.
const LEAST: f32 = 0.05;
/// Between two steps: two windows, so that the effect of a step is seen before the next.
const STEP: Duration = Duration::from_secs(10);

/// The level that one trigger asks for, from its trip to the ramp.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Shed {
    pub level: f32,
    floor: f32,
    next: Tick,
}

impl Shed {
    /// A trip at a cluster that keeps `present` of its users.
    pub fn new(now: Tick, present: f32) -> Shed {
        Shed { level: FIRST.min(present).max(LEAST), floor: LEAST, next: now + STEP }
    }

    /// Takes the steps that are due. `worthwhile`: the target is at most half as bad.
    pub fn step(&mut self, now: Tick, worthwhile: bool) {
        while now >= self.next {
            self.next = self.next + STEP;
            if worthwhile {
                self.level = (self.level / 2.0).max(self.floor);
            } else {
                self.level = (self.level * 2.0).min(1.0);
                self.floor = self.level;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_leave_by_halves_down_to_a_twentieth() {
        let mut shed = Shed::new(Tick::from_secs(0), 1.0);
        let levels: Vec<f32> = (0..6)
            .map(|i| {
                shed.step(Tick::from_secs(10 * i), true);
                shed.level
            })
            .collect();
        assert_eq!(levels, [0.5, 0.25, 0.125, 0.0625, 0.05, 0.05]);
    }

    #[test]
    fn a_target_that_becomes_slow_gets_one_step_less_and_keeps_that() {
        let mut shed = Shed::new(Tick::from_secs(0), 1.0);
        shed.step(Tick::from_secs(10), true);
        shed.step(Tick::from_secs(20), false);
        assert_eq!(shed.level, 0.5);
        shed.step(Tick::from_secs(60), true);
        assert_eq!(shed.level, 0.5);
    }

    #[test]
    fn a_relapse_in_the_ramp_starts_from_where_the_ramp_stood() {
        assert_eq!(Shed::new(Tick(0), 0.2).level, 0.2);
    }
}
