//! Local rate limit: a token bucket as one number.
//!
//! GCRA (the virtual scheduling algorithm of ITU-T I.371): instead of tokens and the time they were last counted,
//! the state is the *theoretical arrival time* of the next request, which fits one atomic. Equivalent to a token
//! bucket that starts full.

use std::time::Duration;

use crate::tick::{Tick, nanos};

/// A rate and a burst.
#[derive(Copy, Clone, PartialEq, Debug)]
pub struct RateLimit {
    /// Nanoseconds a request: the time a token takes.
    interval: u64,
    /// How far the theoretical arrival may run ahead: `(burst - 1)` tokens.
    tolerance: u64,
}

impl RateLimit {
    /// `per_second` requests in the long run, up to `burst` at once (0 counts as 1). A rate that is not above 0
    /// lets the burst through and nothing after it.
    pub fn new(per_second: f64, burst: u32) -> RateLimit {
        let interval = if per_second > 0.0 { (1e9 / per_second).max(1.0) as u64 } else { u64::MAX / 4 };
        RateLimit { interval, tolerance: interval.saturating_mul(u64::from(burst.max(1) - 1)) }
    }

    /// Takes one token. `state` starts at `Tick(0)`. `Ok` is the new state to store, `Err` how long until a
    /// token is there (for Retry-After); the state stays.
    pub fn take(&self, state: Tick, now: Tick) -> Result<Tick, Duration> {
        let arrival = state.max(now);
        let early = arrival.since(now);
        if nanos(early) > self.tolerance {
            return Err(Duration::from_nanos(nanos(early) - self.tolerance));
        }
        Ok(Tick(arrival.0.saturating_add(self.interval)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(limit: RateLimit, times: impl Iterator<Item = u64>) -> usize {
        let mut state = Tick(0);
        times.filter(|&ms| limit.take(state, Tick::from_millis(ms)).map(|next| state = next).is_ok()).count()
    }

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let limit = RateLimit::new(10.0, 5);
        // 1,000 requests in one second: 5 at once and then one every 100 ms, the last at 1,000 ms.
        assert_eq!(run(limit, 1_000..2_000), 5 + 9);
        assert_eq!(run(limit, (0..100).map(|i| 1_000 + 100 * i)), 100);
    }

    #[test]
    fn a_refusal_says_when_to_come_back() {
        let limit = RateLimit::new(2.0, 1);
        let now = Tick::from_secs(1);
        let state = limit.take(Tick(0), now).unwrap();
        let wait = limit.take(state, now).unwrap_err();
        assert_eq!(wait, Duration::from_millis(500));
        assert!(limit.take(state, now + wait).is_ok());
    }

    #[test]
    fn a_rate_of_zero_is_the_burst_and_no_more() {
        assert_eq!(run(RateLimit::new(0.0, 1), 0..100_000), 1);
        assert_eq!(run(RateLimit::new(f64::NAN, 0), 0..100_000), 1);
    }
}
