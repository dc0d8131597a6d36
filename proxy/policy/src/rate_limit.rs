//! Local rate limits: GCRA, the token bucket that is one number.
//!
//! The generic cell rate algorithm (ITU-T I.371 annex A, "virtual scheduling") keeps of a bucket only the *theoretical
//! arrival time*: when the bucket will be full again. A request moves it on by the emission interval `T`; one that
//! would move it further than `burst x T` ahead of now is refused. So a bucket is one `AtomicU64` and one
//! compare-and-swap, without a lock, a refill timer or a second number to keep in step; a bucket whose time has come
//! is the same as a new one, so that idle ones need no memory. In every span `W` at most `burst + W / T` requests
//! pass, and who keeps to the rate is never refused.
//!
//! Rejected: fixed windows (twice the limit around their edges), sliding logs (memory for each request), a count and
//! a time in two atomics (they tear).

use std::time::Duration;

use crate::Tick;

/// Parts of a nanosecond in which a [`Debt`] counts: with whole ones, an interval of 142.86 ns would be rounded by
/// 0.6 %. 16 leave 36 years before a `u64` is full.
const PARTS: u64 = 16;

/// The fastest rate that can be asked for, in requests a second: there the rounding of the interval is 0.06 %.
pub const MAX_PER_SECOND: u64 = 10_000_000;

/// How far the clocks of two workers may be apart, which read it once a wake-up.
const SKEW: u64 = 1_000_000_000 * PARTS;

/// A rate and how far it may be overdrawn at once.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Rate {
    /// `T`, in sixteenths of a nanosecond; at least 1.
    interval: u64,
    /// `burst x T`.
    depth: u64,
}

/// When a bucket is full again, in sixteenths of a nanosecond since the start; anything up to now is a full bucket.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Debt(pub u64);

impl Debt {
    /// Whether the bucket is full, and so the same as a new one.
    pub fn is_paid(self, now: Tick) -> bool {
        self.0 <= parts(now)
    }
}

/// What becomes of a request.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It passes, if the bucket still holds what the verdict was asked for.
    Pass {
        /// What the bucket is to hold from now on.
        debt: Debt,
        /// What is left for others.
        quota: Quota,
    },
    /// It does not.
    Refuse {
        /// What the bucket is to hold: what it held, unless that is more than this rate can have made of it.
        debt: Debt,
        /// The next request passes after this.
        wait: Duration,
        /// What is left: nothing.
        quota: Quota,
    },
}

/// What a client can be told.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Quota {
    /// Requests that would pass at once.
    pub remaining: u64,
    /// Until `burst` requests would.
    pub reset: Duration,
}

impl Rate {
    /// `requests` in each `per`, at most `burst` at once; all at least 1 (0 is taken as 1). A `per` or `burst` that
    /// would overflow is cut to what fits: centuries.
    pub fn new(requests: u64, per: Duration, burst: u64) -> Rate {
        let whole = per.as_nanos().saturating_mul(u128::from(PARTS));
        let interval = whole.div_ceil(u128::from(requests.max(1)));
        let interval = u64::try_from(interval).unwrap_or(u64::MAX).clamp(1, u64::MAX / 4);
        Rate { interval, depth: interval.saturating_mul(burst.max(1)).min(u64::MAX / 4) }
    }

    /// Decides about a request at `now` that finds `debt`. A debt beyond what this rate allows is one of an earlier,
    /// stricter configuration, and becomes that of a bucket that has just been emptied.
    pub fn decide(&self, debt: Debt, now: Tick) -> Verdict {
        let now = parts(now);
        let ahead = debt.0.saturating_sub(now);
        let (ahead, debt) = match ahead > self.depth + SKEW {
            true => (self.depth, Debt(now.saturating_add(self.depth))),
            false => (ahead, debt),
        };
        let then = ahead + self.interval;
        if then > self.depth {
            let quota = Quota { remaining: 0, reset: duration(ahead) };
            return Verdict::Refuse { debt, wait: duration(then - self.depth), quota };
        }
        let remaining = (self.depth - then) / self.interval;
        let quota = Quota { remaining, reset: duration(then) };
        Verdict::Pass { debt: Debt(now.saturating_add(then)), quota }
    }
}

fn parts(now: Tick) -> u64 {
    now.0.saturating_mul(PARTS)
}

/// Rounded up: who waits so long has waited long enough.
fn duration(parts: u64) -> Duration {
    Duration::from_nanos(parts.div_ceil(PARTS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A bucket with requests at these times: which of them pass.
    fn passed(rate: &Rate, times: &[u64]) -> Vec<u64> {
        let mut debt = Debt::default();
        let passes = |at: &u64| match rate.decide(debt, Tick(*at)) {
            Verdict::Pass { debt: then, .. } => {
                debt = then;
                true
            }
            Verdict::Refuse { .. } => false,
        };
        times.iter().copied().filter(passes).collect()
    }

    fn rates() -> impl Strategy<Value = (u64, u64, u64, Rate)> {
        (1..2_000u64, 1..60_000u64, 1..50u64).prop_map(|(requests, millis, burst)| {
            (requests, millis, burst, Rate::new(requests, Duration::from_millis(millis), burst))
        })
    }

    #[test]
    fn a_full_bucket_holds_its_burst_and_says_what_is_left() {
        let rate = Rate::new(10, Duration::from_secs(1), 3);
        let (mut debt, now) = (Debt::default(), Tick::from_secs(5));
        for remaining in [2, 1, 0] {
            let Verdict::Pass { debt: then, quota } = rate.decide(debt, now) else { panic!("refused") };
            assert_eq!(quota, Quota { remaining, reset: Duration::from_millis(100 * (3 - remaining)) });
            debt = then;
        }
        let refused = Quota { remaining: 0, reset: Duration::from_millis(300) };
        let wait = Duration::from_millis(100);
        assert_eq!(rate.decide(debt, now), Verdict::Refuse { debt, wait, quota: refused });
        assert!(!debt.is_paid(now) && debt.is_paid(now + refused.reset));
    }

    #[test]
    fn a_debt_under_an_earlier_stricter_rate_is_no_more_than_an_empty_bucket() {
        let strict = Rate::new(1, Duration::from_secs(3600), 1);
        let now = Tick::from_secs(1);
        let Verdict::Pass { debt, .. } = strict.decide(Debt::default(), now) else { panic!("refused") };
        let corrected = Rate::new(100, Duration::from_secs(1), 10);
        let Verdict::Refuse { debt, wait, .. } = corrected.decide(debt, now) else {
            panic!("passed at once")
        };
        assert_eq!(wait, Duration::from_millis(10));
        assert!(
            matches!(corrected.decide(debt, now + wait), Verdict::Pass { .. }),
            "it is paid off from now on"
        );
    }

    proptest! {
        #[test]
        fn no_span_sees_more_than_burst_and_rate_allow(
            (requests, millis, burst, rate) in rates(),
            gaps in prop::collection::vec(0..50_000_000u64, 1..300),
        ) {
            let times: Vec<u64> = gaps.iter().scan(1, |at, gap| { *at += gap; Some(*at) }).collect();
            let passed = passed(&rate, &times);
            for from in 0..passed.len() {
                for to in from..passed.len() {
                    let span = u128::from(passed[to] - passed[from]);
                    let most = u128::from(burst) + span * u128::from(requests) / (u128::from(millis) * 1_000_000);
                    prop_assert!((to - from + 1) as u128 <= most, "{} in {span} ns, {most} allowed", to - from + 1);
                }
            }
        }

        #[test]
        fn who_keeps_to_the_rate_is_never_refused((requests, millis, _, rate) in rates(), extra in 0..1_000u64) {
            let interval = (millis * 1_000_000).div_ceil(requests) + 1 + extra;
            let times: Vec<u64> = (0..200).map(|i| i * interval).collect();
            prop_assert_eq!(passed(&rate, &times).len(), 200);
        }

        #[test]
        fn who_waits_as_told_passes_and_not_much_earlier(
            (_, _, _, rate) in rates(),
            debt in 0..u64::from(u32::MAX) * 1_000,
            now in 0..u64::from(u32::MAX) * 1_000,
        ) {
            if let Verdict::Refuse { debt, wait, .. } = rate.decide(Debt(debt), Tick(now)) {
                let passes = |at: Tick| matches!(rate.decide(debt, at), Verdict::Pass { .. });
                prop_assert!(passes(Tick(now) + wait));
                prop_assert!(!passes(Tick(now) + wait.saturating_sub(Duration::from_nanos(2))));
            }
        }

        #[test]
        fn what_is_said_to_remain_does(((_, _, _, rate), now) in (rates(), 0..u64::from(u32::MAX) * 1_000)) {
            let Verdict::Pass { debt, quota } = rate.decide(Debt::default(), Tick(now)) else {
                return Err(TestCaseError::fail("a full bucket refuses"));
            };
            let mut debt = debt;
            let mut more = 0;
            while let Verdict::Pass { debt: then, .. } = rate.decide(debt, Tick(now)) {
                debt = then;
                more += 1;
            }
            prop_assert_eq!(more, quota.remaining);
        }

        #[test]
        fn no_parameter_overflows(requests in any::<u64>(), per in any::<u64>(), burst in any::<u64>(), debt in any::<u64>(), now in any::<u64>()) {
            let rate = Rate::new(requests, Duration::from_secs(per), burst);
            rate.decide(Debt(debt), Tick(now));
        }
    }
}
