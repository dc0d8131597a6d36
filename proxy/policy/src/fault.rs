//! Faults made on purpose, for game days: which request is delayed, which is answered instead of served.
//!
//! A decision is a pure function of a roll, so that a recording replays and a test needs no luck. Delay and abort are
//! rolled apart: half of the requests delayed and half aborted means a quarter both.

use std::time::Duration;

use crate::hash::{KeyHash, mix, unit};

const SALT_DELAY: u64 = 1;
const SALT_ABORT: u64 = 2;

/// Whether an event of this probability happens at this roll. 0 and below: never; 1 and above: always.
pub fn happens(probability: f64, roll: u64) -> bool {
    unit(roll) < probability
}

/// What is done to the requests of a rule.
#[derive(Copy, Clone, PartialEq, Debug, Default)]
pub struct FaultPlan<A> {
    /// The share of requests that wait, and how long.
    pub delay: Option<(f64, Duration)>,
    /// The share of requests that are answered, and with what.
    pub abort: Option<(f64, A)>,
}

/// What is done to one request: first the wait, then the answer.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Fault<A> {
    /// Wait so long.
    pub delay: Option<Duration>,
    /// Then answer with this.
    pub abort: Option<A>,
}

impl<A: Copy> FaultPlan<A> {
    /// What happens at this roll.
    pub fn decide(&self, roll: u64) -> Fault<A> {
        let at = |salt| mix(KeyHash(roll), 0, salt);
        Fault {
            delay: self.delay.filter(|(share, _)| happens(*share, at(SALT_DELAY))).map(|(_, delay)| delay),
            abort: self.abort.filter(|(share, _)| happens(*share, at(SALT_ABORT))).map(|(_, abort)| abort),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn never_is_never_and_always_is_always() {
        for roll in [0, 1, u64::MAX / 2, u64::MAX - 1, u64::MAX] {
            assert!(!happens(0.0, roll) && happens(1.0, roll), "{roll}");
        }
    }

    #[test]
    fn delay_and_abort_are_independent_and_in_their_shares() {
        let plan = FaultPlan { delay: Some((0.5, Duration::from_secs(1))), abort: Some((0.2, 503)) };
        let faults: Vec<_> = (0..100_000).map(|roll| plan.decide(roll)).collect();
        let share = |wanted: &dyn Fn(&Fault<i32>) -> bool| {
            faults.iter().filter(|fault| wanted(fault)).count() as f64 / faults.len() as f64
        };
        // Five standard deviations of sqrt(p (1 - p) / 100,000) are at most 0.008.
        for (got, expected) in [
            (share(&|fault| fault.delay.is_some()), 0.5),
            (share(&|fault| fault.abort.is_some()), 0.2),
            (share(&|fault| fault.delay.is_some() && fault.abort.is_some()), 0.1),
        ] {
            assert!((got - expected).abs() < 0.008, "{got} instead of {expected}");
        }
    }

    proptest! {
        #[test]
        fn the_same_roll_decides_the_same(roll in any::<u64>(), delay in 0.0..1.0, abort in 0.0..1.0) {
            let plan = FaultPlan { delay: Some((delay, Duration::from_secs(1))), abort: Some((abort, ())) };
            prop_assert_eq!(plan.decide(roll), plan.decide(roll));
            prop_assert_eq!(FaultPlan::<()>::default().decide(roll), Fault { delay: None, abort: None });
        }

        #[test]
        fn a_larger_share_keeps_those_of_a_smaller_one(roll in any::<u64>(), one in 0.0..1.0, other in 0.0..1.0) {
            let (less, more) = if one < other { (one, other) } else { (other, one) };
            prop_assert!(!happens(less, roll) || happens(more, roll));
        }
    }
}
