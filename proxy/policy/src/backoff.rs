//! How long to wait before a retry.

use std::time::Duration;

use crate::tick::nanos;

/// `resilience.retries.backoff`: "full jitter", uniform in `[0, (2^N - 1) x base)` before the N-th retry, and at
/// most `max`.
///
/// The shape is Envoy's. Rejected: equal steps (retries of one incident stay in step with one another), half
/// jitter (more waiting, no fewer collisions: Brooker, "Exponential Backoff And Jitter", 2015).
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Backoff {
    /// Default 25 ms.
    pub base: Duration,
    /// Default 250 ms.
    pub max: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Backoff { base: Duration::from_millis(25), max: Duration::from_millis(250) }
    }
}

impl Backoff {
    /// The wait before retry number `n`, counted from 1. (0 waits not at all.)
    pub fn delay(&self, n: u32, roll: u64) -> Duration {
        let factor = 1u64.checked_shl(n).unwrap_or(u64::MAX) - 1;
        let bound = nanos(self.base).saturating_mul(factor).min(nanos(self.max));
        Duration::from_nanos(((u128::from(bound) * u128::from(roll)) >> 64) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_retry_waits_within_its_own_range_and_below_the_cap() {
        let backoff = Backoff::default();
        for (n, bound) in [(1, 25), (2, 75), (3, 175), (4, 250), (5, 250), (64, 250), (u32::MAX, 250)] {
            let longest = backoff.delay(n, u64::MAX);
            assert!(longest < Duration::from_millis(bound), "retry {n}: {longest:?}");
            assert!(longest > Duration::from_millis(bound).mul_f64(0.999), "retry {n}: {longest:?}");
            assert_eq!(backoff.delay(n, 0), Duration::ZERO);
            assert_eq!(backoff.delay(n, 1 << 63), Duration::from_millis(bound) / 2);
        }
    }
}
