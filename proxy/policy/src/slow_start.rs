//! Slow start: an endpoint that returns gets its share back by and by.
//!
//! `max(min_weight, (t / window)^(1 / aggression))` of the configured weight, t since its return: Envoy's rule
//! and Envoy's parameters. A cold process that gets its whole share at once fails again, and would be ejected
//! again for that.

use std::time::Duration;

use crate::tick::{Tick, nanos};

/// `trafficPolicy.loadBalancer.slowStart`.
#[derive(Copy, Clone, PartialEq, Debug)]
pub struct SlowStart {
    /// How long the ramp takes. Default 30 s; zero = no ramp.
    pub window: Duration,
    /// 1 = linear; above, steeper at the beginning. Default 1.
    pub aggression: f64,
    /// The weight at the beginning, in (0, 1]. Default 0.1.
    pub min_weight: f64,
}

impl Default for SlowStart {
    fn default() -> Self {
        SlowStart { window: Duration::from_secs(30), aggression: 1.0, min_weight: 0.1 }
    }
}

impl SlowStart {
    /// The share of its weight that an endpoint has at `now`, in (0, 1]. `since` is when it returned;
    /// `Tick(0)` = it did not, and has its full weight.
    #[inline]
    pub fn weight(&self, since: Tick, now: Tick) -> f32 {
        let age = now.since(since);
        if since == Tick(0) || age >= self.window {
            return 1.0;
        }
        let share = nanos(age) as f64 / nanos(self.window) as f64;
        let share = if self.aggression == 1.0 || self.aggression <= 0.0 {
            share
        } else {
            libm::pow(share, 1.0 / self.aggression)
        };
        share.max(self.min_weight).clamp(0.01, 1.0) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Tick {
        Tick::from_secs(secs)
    }

    #[test]
    fn an_endpoint_climbs_from_a_tenth_to_all_of_its_weight_in_the_window() {
        let ramp = SlowStart::default();
        let weights: Vec<f32> =
            [100, 101, 103, 115, 129, 130, 500].map(|t| ramp.weight(at(100), at(t))).into();
        let expected = [0.1, 0.1, 0.1, 0.5, 0.966_666_7, 1.0, 1.0];
        assert!(weights.iter().zip(expected).all(|(w, e)| (w - e).abs() < 1e-6), "{weights:?}");
    }

    #[test]
    fn aggression_lifts_the_middle_of_the_ramp() {
        let ramp = SlowStart { aggression: 2.0, ..SlowStart::default() };
        assert!((ramp.weight(at(100), at(107) + Duration::from_millis(500)) - 0.5).abs() < 1e-6);
    }

    #[test]
    fn an_endpoint_that_never_left_has_its_full_weight() {
        assert_eq!(SlowStart::default().weight(Tick(0), at(1)), 1.0);
    }

    #[test]
    fn nonsense_parameters_still_give_a_weight_above_zero() {
        for aggression in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let ramp = SlowStart { aggression, min_weight: 0.0, ..SlowStart::default() };
            let w = ramp.weight(at(100), at(100));
            assert!(w > 0.0 && w <= 1.0, "{aggression}: {w}");
        }
    }
}
