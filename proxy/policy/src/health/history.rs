//! The last minute of one (service, cluster), second by second: to compare a cluster with where its users go.

use std::collections::VecDeque;
use std::time::Duration;

use smallvec::SmallVec;

use super::window::LONGEST;
use crate::tick::Tick;

const SHORTEST: Duration = Duration::from_secs(5);
const ENOUGH: u64 = 100;
const SPACING: Duration = Duration::from_secs(1);

/// Cumulative counters at one time.
#[derive(Clone, Debug)]
struct Sample {
    at: Tick,
    attempts: u64,
    /// Errors, then slow attempts by threshold.
    counts: SmallVec<[u64; 4]>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct History {
    samples: VecDeque<Sample>,
}

impl History {
    /// Notes the cumulative counters; `counts` are errors, then slow attempts by threshold.
    pub fn note(&mut self, now: Tick, attempts: u64, counts: SmallVec<[u64; 4]>) {
        let restarted =
            self.samples.back().is_some_and(|s| attempts < s.attempts || counts.len() != s.counts.len());
        if restarted {
            self.samples.clear();
        }
        // The newest sample follows the present; a new one is begun every second.
        let n = self.samples.len();
        if n >= 2 && now.since(self.samples[n - 2].at) < SPACING {
            self.samples.pop_back();
        }
        self.samples.push_back(Sample { at: now, attempts, counts });
        while self.samples.front().is_some_and(|s| now.since(s.at) > LONGEST) {
            self.samples.pop_front();
        }
    }

    /// Attempts and hits of measure `which` over the last 5 to 6 s, or as far back as 100 attempts take, at most 60 s.
    pub fn recent(&self, which: usize) -> (u64, u64) {
        let Some(last) = self.samples.back() else { return (0, 0) };
        let old_enough = self.samples.iter().rev().filter(|s| last.at.since(s.at) >= SHORTEST);
        let from = old_enough
            .clone()
            .find(|s| last.attempts - s.attempts >= ENOUGH)
            .or_else(|| self.samples.front())
            .unwrap_or(last);
        let hits = |s: &Sample| s.counts.get(which).copied().unwrap_or(0);
        (last.attempts - from.attempts, hits(last).saturating_sub(hits(from)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(rps: u64, secs: u64) -> History {
        let mut history = History::default();
        for ms in (0..=secs * 1_000).step_by(100) {
            let n = rps * ms / 1_000;
            history.note(Tick::from_millis(ms), n, SmallVec::from_slice(&[n / 10, n / 2]));
        }
        history
    }

    #[test]
    fn a_busy_cluster_is_judged_by_its_last_five_seconds() {
        let (n, errors) = history(100, 30).recent(0);
        assert!((500..=600).contains(&n) && errors == n / 10, "{errors} of {n}");
        assert_eq!(history(100, 30).recent(1), (n, n / 2));
    }

    #[test]
    fn a_quiet_cluster_is_judged_by_a_hundred_attempts_or_a_minute() {
        let (n, _) = history(10, 30).recent(0);
        assert!((100..=110).contains(&n), "{n}");
        let (n, _) = history(1, 200).recent(0);
        assert!((58..=60).contains(&n), "{n}");
        assert_eq!(History::default().recent(0), (0, 0));
    }

    #[test]
    fn counters_that_start_again_start_it_again() {
        let mut history = history(100, 30);
        history.note(Tick::from_secs(31), 5, SmallVec::from_slice(&[0, 0]));
        assert_eq!(history.recent(0), (0, 0));
    }
}
