//! The last attempts at a cluster: what the breaker looks at.
//!
//! Each worker keeps, per (service, cluster), a ring of its last [`ATTEMPTS`] attempts as packed words: one
//! relaxed store an attempt, no lock. The engine merges the rings of all workers by time. The last 20 of the
//! union are always among the last 20 of each, so the merge is exact; only attempts that ended in the same
//! millisecond on two workers may swap.

use std::time::Duration;

use super::params::EndpointId;
use crate::tick::{Tick, nanos};

/// How many attempts a ring holds.
pub const ATTEMPTS: usize = 20;

const ENDPOINT_BITS: u32 = 20;
const AGE_BITS: u32 = 7;
const TICK_BITS: u32 = 36;
const ENDPOINT_MASK: u64 = (1 << ENDPOINT_BITS) - 1;
const AGE_MASK: u64 = (1 << AGE_BITS) - 1;
const TICK_MASK: u64 = (1 << TICK_BITS) - 1;

/// One finished attempt.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub struct Attempt {
    /// When the outcome was known.
    pub ended: Tick,
    /// When the request was sent.
    pub sent: Tick,
    /// Where.
    pub endpoint: EndpointId,
    /// 5xx or a local error.
    pub failed: bool,
}

impl Attempt {
    /// Packs into one word that is never 0, which stands for an empty slot:
    /// `milliseconds + 1 : 36 | age : 7 | endpoint : 20 | failed : 1`.
    ///
    /// Milliseconds wrap after 2.2 years, endpoint slots after a million. The age (from sending to outcome) is a
    /// small float with three bits of mantissa, rounded up: up to 8 ms exact, 12.5 % off at most, 245 s at most.
    /// Rounded up a failure seems sent slightly earlier, so at worst one too many is taken for history.
    pub fn pack(self) -> u64 {
        let tick = (self.ended.as_millis() % TICK_MASK) + 1;
        let age = compress(self.ended.since(self.sent));
        (tick << (1 + ENDPOINT_BITS + AGE_BITS))
            | (age << (1 + ENDPOINT_BITS))
            | ((u64::from(self.endpoint.0) & ENDPOINT_MASK) << 1)
            | u64::from(self.failed)
    }

    /// The inverse, to the millisecond; `None` for an empty slot. `now` gives back the wrapped bits: the attempt
    /// is taken to be of the last year, or at most slightly ahead of `now` on another worker.
    pub fn unpack(word: u64, now: Tick) -> Option<Attempt> {
        if word == 0 {
            return None;
        }
        let tick = (word >> (1 + ENDPOINT_BITS + AGE_BITS)).saturating_sub(1);
        let ago = (now.as_millis() % TICK_MASK + TICK_MASK - tick) % TICK_MASK;
        let ago = if ago > TICK_MASK / 2 { 0 } else { ago };
        let ended = Tick::from_millis(now.as_millis().saturating_sub(ago));
        let age = expand((word >> (1 + ENDPOINT_BITS)) & AGE_MASK);
        Some(Attempt {
            ended,
            sent: Tick(ended.0.saturating_sub(nanos(age))),
            endpoint: EndpointId(((word >> 1) & ENDPOINT_MASK) as u32),
            failed: word & 1 == 1,
        })
    }
}

/// Milliseconds as a 4-bit exponent and a 3-bit mantissa, rounded up. A carry out of the mantissa lands in the
/// exponent, as in any float.
fn compress(age: Duration) -> u64 {
    let millis = nanos(age).div_ceil(1_000_000);
    if millis < 8 {
        return millis;
    }
    let shift = 60 - millis.leading_zeros();
    ((u64::from(shift) << 3) + millis.div_ceil(1 << shift)).min(AGE_MASK)
}

fn expand(code: u64) -> Duration {
    let (exponent, mantissa) = (code >> 3, code & 7);
    Duration::from_millis(if exponent == 0 { mantissa } else { (8 + mantissa) << (exponent - 1) })
}

/// Collects the attempts of all workers at one (service, cluster).
#[derive(Debug, Default)]
pub struct AttemptLog {
    words: Vec<u64>,
}

impl AttemptLog {
    /// An empty log.
    pub fn new() -> AttemptLog {
        AttemptLog::default()
    }

    /// Adds one worker's ring, in any order.
    pub fn add(&mut self, ring: impl IntoIterator<Item = u64>) {
        self.words.extend(ring);
    }

    /// The last [`ATTEMPTS`] that ended within `memory` before `now` and that `counts` keeps, newest first.
    pub(super) fn recent(
        &self,
        now: Tick,
        memory: Duration,
        counts: impl Fn(&Attempt) -> bool,
    ) -> Vec<Attempt> {
        let mut recent: Vec<Attempt> = self
            .words
            .iter()
            .filter_map(|&word| Attempt::unpack(word, now))
            .filter(|attempt| now.since(attempt.ended) <= memory && counts(attempt))
            .collect();
        recent.sort_by_key(|attempt| std::cmp::Reverse(attempt.ended));
        recent.truncate(ATTEMPTS);
        recent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(ended: u64, sent: u64, endpoint: u32, failed: bool) -> Attempt {
        Attempt {
            ended: Tick::from_millis(ended),
            sent: Tick::from_millis(sent),
            endpoint: EndpointId(endpoint),
            failed,
        }
    }

    #[test]
    fn an_attempt_survives_packing() {
        for a in
            [attempt(0, 0, 0, false), attempt(1, 0, 1, true), attempt(1_000_000, 999_995, 1_048_575, true)]
        {
            assert_ne!(a.pack(), 0);
            assert_eq!(Attempt::unpack(a.pack(), Tick::from_millis(1_000_003)), Some(a));
        }
        assert_eq!(Attempt::unpack(0, Tick(0)), None);
    }

    #[test]
    fn a_long_attempt_seems_sent_earlier_and_by_at_most_an_eighth() {
        for age in [8, 100, 999, 2_000, 15_000, 240_000] {
            let word = attempt(1_000_000, 1_000_000 - age, 3, true).pack();
            let back = Attempt::unpack(word, Tick::from_millis(1_000_000)).unwrap();
            let seen = back.ended.since(back.sent).as_millis() as u64;
            assert!(seen >= age && seen <= age + age / 8 + 1, "{age} ms became {seen} ms");
        }
    }

    #[test]
    fn time_comes_back_after_it_wrapped_and_when_a_worker_is_ahead() {
        let years = 3 * 365 * 86_400_000;
        let late = attempt(years, years - 5, 1, true);
        assert_eq!(Attempt::unpack(late.pack(), Tick::from_millis(years + 2)), Some(late));
        let ahead = Attempt::unpack(late.pack(), Tick::from_millis(years - 2)).unwrap();
        assert_eq!(ahead.ended, Tick::from_millis(years - 2));
    }

    #[test]
    fn the_log_merges_workers_by_time_and_forgets_the_old() {
        let ring =
            |range: std::ops::Range<u64>| range.map(|ms| attempt(ms, ms, (ms % 2) as u32, false).pack());
        let mut log = AttemptLog::new();
        log.add(ring(900..910));
        log.add(ring(905..925));
        log.add([0, 0]);
        let recent = log.recent(Tick::from_millis(930), Duration::from_millis(15), |a| a.endpoint.0 == 0);
        let times: Vec<u64> = recent.iter().map(|a| a.ended.as_millis()).collect();
        assert_eq!(times, [924, 922, 920, 918, 916]);
    }
}
