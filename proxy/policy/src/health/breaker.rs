//! The breaker of one (service, cluster): when a run of failures is the cluster's and not chance's.
//!
//! `circuitBreaker.consecutiveErrors` alone is a hair trigger: five in a row at 1,000 requests a second and a
//! 10 % error rate trip by chance every 111 s. So it opens only when also at least half of the last 20 attempts
//! failed (of those in the last 10 s, if fewer), and the run touches two endpoints where at least two are not
//! out. Answers of endpoints that were taken out since do not count: what they did is already paid for. (At
//! 10 % errors and 330 a second: by chance once in about 7 hours.)
//!
//! It has no timer and no half-open state of its own: the hold and the ramp in [`super::admission`] are that.

use std::time::Duration;

use super::attempts::{ATTEMPTS, Attempt};
use crate::tick::Tick;

/// How long an attempt is remembered.
pub(super) const MEMORY: Duration = Duration::from_secs(10);

/// Whether the breaker opens: `recent` are the attempts that count, newest first; `threshold` is
/// `consecutiveErrors` (0 = never); `in_row` the failures reported since the last success, for thresholds above
/// what a ring remembers; `available` the endpoints that are not out.
pub(super) fn opens(recent: &[Attempt], threshold: u32, in_row: u32, available: u32) -> bool {
    let wanted = threshold as usize;
    let run = recent.iter().take_while(|attempt| attempt.failed);
    let length = run.clone().count();
    if wanted == 0 || length < wanted.min(ATTEMPTS) || (wanted > ATTEMPTS && in_row < threshold) {
        return false;
    }
    let failed = recent.iter().filter(|attempt| attempt.failed).count();
    let mut endpoints = run.map(|attempt| attempt.endpoint);
    let first = endpoints.next();
    let touches_two = endpoints.any(|endpoint| Some(endpoint) != first);
    2 * failed >= recent.len() && (touches_two || available < 2)
}

/// What was reported since the last success, and in which words.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory {
    pub in_row: u32,
    /// The kinds of the last 64 failures, the latest in the lowest bit; 1 = local origin.
    local: u64,
    last_bad: Option<Tick>,
    last_good: Option<Tick>,
}

impl Memory {
    pub fn failure(&mut self, local: bool) {
        self.in_row = self.in_row.saturating_add(1);
        self.local = (self.local << 1) | u64::from(local);
    }

    /// A request that was sent since the trip failed.
    pub fn speaks_against(&mut self, at: Tick) {
        self.last_bad = self.last_bad.max(Some(at));
    }

    pub fn success(&mut self, at: Tick) {
        self.in_row = 0;
        self.last_good = self.last_good.max(Some(at));
    }

    /// None of the last `n` failures was an answer.
    pub fn is_local_origin(&self, n: u32) -> bool {
        let mask = 1u64.checked_shl(n).map_or(u64::MAX, |bit| bit - 1);
        self.local & mask == mask
    }

    /// Nothing speaks against trying: what was sent since the trip ended well the last time, or not at all of
    /// late.
    pub fn permits(&self, now: Tick) -> bool {
        self.last_bad.is_none_or(|bad| self.last_good > Some(bad) || now.since(bad) >= MEMORY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::EndpointId;

    /// Newest first; a digit is a failure at that endpoint, a dot a success.
    fn attempts(recent: &str) -> Vec<Attempt> {
        let at = Tick::from_secs(1);
        let attempt = |c: char| Attempt {
            ended: at,
            sent: at,
            endpoint: EndpointId(c.to_digit(10).unwrap_or(9)),
            failed: c != '.',
        };
        recent.chars().map(attempt).collect()
    }

    #[test]
    fn five_in_a_row_over_two_endpoints_open_it() {
        assert!(opens(&attempts("12121"), 5, 5, 2));
        assert!(!opens(&attempts("1212"), 5, 4, 2));
        assert!(!opens(&attempts("121.21212"), 5, 3, 2));
    }

    #[test]
    fn five_in_a_row_of_twenty_good_ones_do_not() {
        assert!(!opens(&attempts("12121..............."), 5, 5, 2));
        assert!(opens(&attempts("1212112121.........."), 5, 10, 2));
    }

    #[test]
    fn chance_opens_it_once_in_millions_where_five_in_a_row_alone_would_all_day() {
        // 330 attempts a second for three hours, one in ten failing, over two endpoints.
        let (mut recent, mut bare, mut ours, mut roll) = (Vec::new(), 0, 0, 1u64);
        for _ in 0..330 * 3 * 3_600 {
            roll = crate::hash::mix13(roll.wrapping_add(0x9E37_79B9_7F4A_7C15));
            let at = Tick::from_secs(1);
            let endpoint = EndpointId((roll >> 63) as u32);
            recent.insert(0, Attempt { ended: at, sent: at, endpoint, failed: roll % 10 == 0 });
            recent.truncate(ATTEMPTS);
            bare += u32::from(recent.len() >= 5 && recent[..5].iter().all(|a| a.failed));
            ours += u32::from(recent[0].failed && opens(&recent, 5, 5, 2));
        }
        assert!(bare >= 20 && ours <= 2, "{bare} and {ours}");
    }

    #[test]
    fn one_endpoints_run_is_the_clusters_only_where_it_is_the_last_one() {
        assert!(!opens(&attempts("11111"), 5, 5, 2));
        assert!(opens(&attempts("11111"), 5, 5, 1));
    }

    #[test]
    fn a_threshold_above_twenty_asks_the_reports_and_zero_is_off() {
        let all = attempts("12121212121212121212");
        assert!(!opens(&all, 50, 49, 2) && opens(&all, 50, 50, 2));
        assert!(!opens(&all, 0, 50, 2) && !opens(&[], 5, 0, 2));
    }

    #[test]
    fn its_kind_is_that_of_the_run_that_opened_it() {
        let mut memory = Memory::default();
        memory.failure(false);
        (0..4).for_each(|_| memory.failure(true));
        assert!(memory.is_local_origin(4) && !memory.is_local_origin(5));
    }

    #[test]
    fn a_trickle_that_fails_keeps_it_shut_for_ten_seconds() {
        let mut memory = Memory::default();
        assert!(memory.permits(Tick::from_secs(1)));
        memory.speaks_against(Tick::from_secs(5));
        assert!(!memory.permits(Tick::from_secs(14)) && memory.permits(Tick::from_secs(15)));
        memory.success(Tick::from_secs(6));
        assert!(memory.permits(Tick::from_secs(7)));
    }
}
