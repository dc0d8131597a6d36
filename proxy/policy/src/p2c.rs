//! Two random choices, for requests without a key.
//!
//! Two endpoints are drawn in proportion to their weights, and the cheaper takes the request: Mitzenmacher, "The
//! Power of Two Choices", 2001. Cost is peak EWMA latency times requests in flight, as in Finagle and Linkerd: it
//! rises at once with the first slow answer and falls by and by, so a stalling endpoint is left after one
//! request, not after an average. Rejected: round robin (blind to a slow endpoint), least request (a fast
//! failure looks like a good server; latency alone would too, which is what ejection is for).

use crate::endpoints::EndpointSet;
use crate::hash::{mix13, unit};
use crate::tick::Tick;

/// Time constant of the decay: Linkerd's default, 10 s.
const TAU_NANOS: f64 = 10e9;

/// How many draws may miss an available endpoint before the rest is searched in order.
const DRAWS: u32 = 8;

/// The latency estimate after one more sample. `estimate` 0 = none yet. All times in nanoseconds.
pub fn observe(estimate: u64, updated: Tick, sample: u64, now: Tick) -> u64 {
    if estimate == 0 || sample >= estimate {
        return sample.max(1);
    }
    let kept = libm::exp(-(now.0.saturating_sub(updated.0) as f64) / TAU_NANOS);
    ((estimate as f64 * kept + sample as f64 * (1.0 - kept)) as u64).max(1)
}

/// The estimate as it stands at `now`, sinking while nothing is measured: an endpoint that was slow once must be
/// asked again some day.
pub fn decayed(estimate: u64, updated: Tick, now: Tick) -> u64 {
    if estimate == 0 {
        return 0;
    }
    let kept = libm::exp(-(now.0.saturating_sub(updated.0) as f64) / TAU_NANOS);
    ((estimate as f64 * kept) as u64).max(1)
}

/// What a choice weighs.
#[derive(Copy, Clone, Debug)]
pub struct Load {
    /// Requests in flight.
    pub in_flight: u32,
    /// Decayed peak EWMA in nanoseconds; 0 = not known.
    pub latency: u64,
}

/// Chooses among the endpoints of `set`. `weight(i)` is the factor on the configured weight, 0 = not to be
/// chosen; `load(i)` is asked for the two candidates only.
pub fn choose(
    set: &EndpointSet,
    roll: u64,
    weight: impl Fn(usize) -> f32,
    load: impl Fn(usize) -> Load,
) -> Option<usize> {
    let mut dice = Dice(roll);
    let first = draw(set, &mut dice, &weight, None)?;
    let Some(second) = draw(set, &mut dice, &weight, Some(first)) else {
        return Some(first);
    };
    let (a, b) = (load(first), load(second));
    // Unknown latency is taken to be the other's: neither a magnet (a silent newcomer) nor a stigma.
    let (la, lb) = if a.latency == 0 || b.latency == 0 { (1, 1) } else { (a.latency, b.latency) };
    let part = |i: usize| {
        let mean = set.total_weight as f64 / set.len().max(1) as f64;
        (f64::from(set.nodes[i].weight) * f64::from(weight(i)) / mean).max(1e-3)
    };
    let cost =
        |latency: u64, load: Load, i: usize| latency as f64 * (1.0 + f64::from(load.in_flight) / part(i));
    Some(if cost(lb, b, second) < cost(la, a, first) { second } else { first })
}

/// A stream of rolls from one roll: SplitMix64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix13(self.0)
    }

    fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.roll()) * u128::from(n)) >> 64) as u64
    }
}

fn draw(
    set: &EndpointSet,
    dice: &mut Dice,
    weight: &impl Fn(usize) -> f32,
    besides: Option<usize>,
) -> Option<usize> {
    let n = set.len();
    if n == 0 || set.total_weight == 0 {
        return None;
    }
    // One of two, and not the one: no need to draw.
    let draws = if besides.is_some() && n == 2 { 0 } else { DRAWS };
    for _ in 0..draws {
        let i = if set.uniform {
            dice.below(n as u64) as usize
        } else {
            let at = dice.below(set.total_weight);
            set.cumulative.partition_point(|&sum| sum <= at)
        };
        if Some(i) == besides {
            continue;
        }
        let w = weight(i);
        if w >= 1.0 || (w > 0.0 && unit(dice.roll()) < f64::from(w)) {
            return Some(i);
        }
    }
    let start = dice.below(n as u64) as usize;
    let usable = |i: &usize| Some(*i) != besides && set.nodes[*i].weight > 0 && weight(*i) > 0.0;
    (start..n).chain(0..start).find(usable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoints::{EndpointAlgorithm, EndpointParams};

    fn set(weights: &[u32]) -> EndpointSet {
        let endpoint = |(i, &weight)| EndpointParams { address: format!("10.0.0.{i}:80"), weight };
        let endpoints: Vec<_> = weights.iter().enumerate().map(endpoint).collect();
        EndpointSet::new("c", &endpoints, EndpointAlgorithm::Rendezvous)
    }

    fn idle(_: usize) -> Load {
        Load { in_flight: 0, latency: 0 }
    }

    fn shares(set: &EndpointSet, weight: impl Fn(usize) -> f32, load: impl Fn(usize) -> Load) -> Vec<f64> {
        let mut counts = vec![0u32; set.len()];
        for roll in 0..20_000 {
            counts[choose(set, mix13(roll), &weight, &load).unwrap()] += 1;
        }
        counts.into_iter().map(|n| f64::from(n) / 20_000.0).collect()
    }

    #[test]
    fn idle_endpoints_share_by_weight() {
        let got = shares(&set(&[1, 1, 2]), |_| 1.0, idle);
        assert!(got.iter().zip([0.25, 0.25, 0.5]).all(|(g, e)| (g - e).abs() < 0.02), "{got:?}");
    }

    #[test]
    fn a_slow_or_busy_endpoint_is_left_to_the_others() {
        let slow = |i| Load { in_flight: 1, latency: if i == 0 { 800_000_000 } else { 10_000_000 } };
        assert_eq!(shares(&set(&[1; 4]), |_| 1.0, slow)[0], 0.0);
        let busy = |i| Load { in_flight: if i == 0 { 50 } else { 5 }, latency: 1_000_000 };
        assert_eq!(shares(&set(&[1; 2]), |_| 1.0, busy)[0], 0.0);
    }

    #[test]
    fn a_newcomer_without_a_latency_is_no_magnet() {
        let hanging =
            |i| Load { in_flight: if i == 0 { 10 } else { 2 }, latency: if i == 0 { 0 } else { 10_000_000 } };
        assert_eq!(shares(&set(&[1; 2]), |_| 1.0, hanging)[0], 0.0);
    }

    #[test]
    fn what_is_out_is_not_chosen_and_one_left_is_found_among_many() {
        let got = shares(&set(&[1; 4]), |i| if i == 2 { 0.0 } else { 1.0 }, idle);
        assert_eq!(got[2], 0.0);
        let many = set(&[1; 500]);
        assert_eq!(choose(&many, 7, |i| if i == 123 { 1.0 } else { 0.0 }, idle), Some(123));
        assert_eq!(choose(&many, 7, |_| 0.0, idle), None);
        assert_eq!(choose(&set(&[]), 7, |_| 1.0, idle), None);
    }

    #[test]
    fn slow_start_takes_its_share_only() {
        let got = shares(&set(&[1; 10]), |i| if i == 0 { 0.1 } else { 1.0 }, idle);
        assert!((0.005..0.02).contains(&got[0]), "{got:?}");
    }

    #[test]
    fn latency_peaks_at_once_and_is_forgotten_in_some_tens_of_seconds() {
        let ms = 1_000_000;
        let t = Tick::from_secs;
        let peak = observe(10 * ms, t(1), 800 * ms, t(2));
        assert_eq!(peak, 800 * ms);
        let after = observe(peak, t(2), 10 * ms, t(12));
        assert!((290 * ms..310 * ms).contains(&after), "{after}");
        assert!(decayed(peak, t(2), t(62)) < 3 * ms);
        assert_eq!((decayed(0, t(1), t(9)), observe(0, t(0), 5, t(1))), (0, 5));
    }
}
