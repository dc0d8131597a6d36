//! `highLatency` and `highErrorRate`: windows over two counters.
//!
//! "p99 > 500 ms" is read as "more than 1 % of attempts took over 500 ms": a share of counted attempts, which adds
//! up over workers and proxies exactly, where a quantile sketch has an error and an average of quantiles no
//! meaning. A window is bad when the count is above what chance explains: `count > t n + 2.33 sqrt(t (1 - t) n)`,
//! the 99 % point of the normal approximation to a binomial with share t. Three in a row trip: a false alarm once
//! in a million windows. A window is good below half of t; two in a row clear.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::params::Trigger;
use crate::tick::Tick;

/// A window that does not fill is judged by what it has.
pub(super) const LONGEST: Duration = Duration::from_secs(60);

/// 99 % of a normal distribution lie below this many standard deviations.
const Z99: f64 = 2.33;

/// Good windows in a row that clear.
const CLEARS: u32 = 2;

/// More than chance explains if the true share were `t`.
pub(super) fn is_above(count: u64, n: u64, t: f64) -> bool {
    let n = n as f64;
    count as f64 > t * n + Z99 * (t * (1.0 - t) * n).max(0.0).sqrt()
}

/// The state of one trigger at one (service, cluster).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Windows {
    // Counters of this process: those of the next begin at 0.
    #[serde(skip)]
    start: Option<(Tick, u64, u64)>,
    bad: u32,
    good: u32,
    /// Share in the last window.
    pub share: f64,
    tripped: bool,
}

impl Windows {
    pub fn new() -> Windows {
        Windows { start: None, bad: 0, good: 0, share: 0.0, tripped: false }
    }

    /// Reads the cumulative counters; true if a window ended and was judged.
    pub fn observe(&mut self, trigger: &Trigger, now: Tick, attempts: u64, count: u64) -> bool {
        let Some((since, attempts_then, count_then)) = self.start else {
            self.start = Some((now, attempts, count));
            return false;
        };
        let (Some(n), Some(hits)) = (attempts.checked_sub(attempts_then), count.checked_sub(count_then))
        else {
            // The counters started again.
            self.start = Some((now, attempts, count));
            return false;
        };
        let age = now.since(since);
        let full = age >= trigger.window && n >= trigger.min_requests.max(1);
        if !full && age < LONGEST.max(trigger.window) {
            return false;
        }
        self.start = Some((now, attempts, count));
        if n == 0 {
            return false;
        }
        self.share = hits as f64 / n as f64;
        self.bad = if is_above(hits, n, trigger.share) { self.bad + 1 } else { 0 };
        let good = (hits as f64) < trigger.share * trigger.recover_ratio * n as f64;
        self.good = if good { self.good + 1 } else { 0 };
        if self.good >= CLEARS {
            self.tripped = false;
        }
        true
    }

    /// Enough bad windows in a row.
    pub fn alarms(&self, trigger: &Trigger) -> bool {
        self.bad >= trigger.windows.max(1)
    }

    pub fn tripped(&self) -> bool {
        self.tripped
    }

    pub fn trip(&mut self) {
        self.tripped = true;
        self.good = 0;
    }

    /// The next window starts at the next reading.
    pub fn rebase(&mut self) {
        self.start = None;
    }

    /// Forgets: what was counted until now says nothing about what comes.
    pub fn restart(&mut self) {
        *self = Windows::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(windows: &mut Windows, trigger: &Trigger, rps: u64, share: f64, from: u64, secs: u64) -> Vec<u64> {
        let mut trips = Vec::new();
        for ms in (from * 1_000..=(from + secs) * 1_000).step_by(100) {
            let n = ms * rps / 1_000;
            windows.observe(trigger, Tick::from_millis(ms), n, (n as f64 * share) as u64);
            if windows.alarms(trigger) && !windows.tripped() {
                windows.trip();
                trips.push(ms);
            }
        }
        trips
    }

    #[test]
    fn three_bad_windows_of_five_seconds_trip_after_fifteen() {
        let trigger = Trigger::high_error_rate(0.05);
        let mut windows = Windows::new();
        assert_eq!(run(&mut windows, &trigger, 100, 0.10, 0, 30), [15_000]);
    }

    #[test]
    fn chance_does_not_trip_and_just_above_the_share_is_not_significant() {
        let trigger = Trigger::high_error_rate(0.05);
        assert!(run(&mut Windows::new(), &trigger, 100, 0.06, 0, 120).is_empty());
        assert!(is_above(8, 100, 0.03) && !is_above(7, 100, 0.05));
    }

    #[test]
    fn a_window_waits_for_a_hundred_requests_but_no_longer_than_a_minute() {
        let trigger = Trigger::high_latency(0.99, Duration::from_millis(500));
        assert_eq!(run(&mut Windows::new(), &trigger, 5, 1.0, 0, 100), [60_000]);
        assert_eq!(run(&mut Windows::new(), &trigger, 1, 1.0, 0, 300), [180_000]);
    }

    #[test]
    fn two_windows_below_half_of_the_share_clear() {
        let trigger = Trigger::high_error_rate(0.05);
        let mut windows = Windows::new();
        run(&mut windows, &trigger, 100, 0.5, 0, 16);
        assert!(windows.tripped());
        windows.rebase();
        run(&mut windows, &trigger, 100, 0.03, 100, 20);
        assert!(windows.tripped(), "3 % is not below half of 5 %");
        windows.rebase();
        run(&mut windows, &trigger, 100, 0.01, 200, 9);
        assert!(windows.tripped(), "one good window is not two");
        run(&mut windows, &trigger, 100, 0.01, 210, 5);
        assert!(!windows.tripped());
    }

    #[test]
    fn a_minute_without_requests_is_no_window() {
        let trigger = Trigger::high_error_rate(0.05);
        let mut windows = Windows::new();
        run(&mut windows, &trigger, 100, 1.0, 0, 10);
        assert_eq!((windows.bad, windows.share), (2, 1.0));
        assert!(!windows.observe(&trigger, Tick::from_secs(80), 1_000, 1_000));
        assert_eq!((windows.bad, windows.share), (2, 1.0));
    }

    #[test]
    fn counters_that_start_again_are_not_a_negative_window() {
        let trigger = Trigger::high_error_rate(0.05);
        let mut windows = Windows::new();
        windows.observe(&trigger, Tick::from_secs(0), 1_000, 900);
        assert!(!windows.observe(&trigger, Tick::from_secs(6), 200, 0));
        assert!(windows.observe(&trigger, Tick::from_secs(12), 400, 0));
    }
}
