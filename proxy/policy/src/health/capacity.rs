//! Clusters that say what they can take: `capacity.requestsPerSecond`.
//!
//! What is left of the capacity is its healthy share. Of its own users a cluster keeps `left / their requests`;
//! of others' it takes `(left - own load) / spilled load`. Both shares fall at once and rise by at most 10 points in
//! 5 s, so that a cluster which was just relieved is not filled again at once.
//!
//! The load that *wants* to spill is not what arrives: of it only the share s arrives. Each interval's arrivals
//! are divided by the share of that interval, so a changing share does not feed back into its own measure.

use std::collections::VecDeque;
use std::time::Duration;

use crate::tick::Tick;

/// Rates are taken over this long: short enough to follow a spill, long enough to count.
const SPAN: Duration = Duration::from_secs(1);
/// How fast a share rises: 10 points in 5 s.
const RISE_PER_SECOND: f64 = 0.02;
/// Below this share arrivals say too little about what wants to come.
const LEAST_KNOWN: f64 = 0.01;

/// The load of one `Cluster` over all services.
#[derive(Clone, Debug)]
pub(super) struct Capacity {
    /// (when, requests at home, own tries, spill that wanted to come), cumulative.
    samples: VecDeque<(Tick, f64, f64, f64)>,
    seen: Option<(u64, u64, u64)>,
    wanted: f64,
    /// Of its own users' requests that it can take.
    pub keeps: f64,
    /// Of others' requests that it takes.
    pub takes: f64,
}

impl Default for Capacity {
    fn default() -> Self {
        Capacity { samples: VecDeque::new(), seen: None, wanted: 0.0, keeps: 1.0, takes: 1.0 }
    }
}

impl Capacity {
    /// Reads the cumulative counters. `left` = requests a second that the healthy endpoints can take.
    pub fn observe(&mut self, now: Tick, left: f64, requests: u64, own: u64, spilled: u64) {
        let (_, _, spilled_then) = self.seen.unwrap_or((requests, own, spilled));
        self.seen = Some((requests, own, spilled));
        self.wanted += spilled.saturating_sub(spilled_then) as f64 / self.takes.max(LEAST_KNOWN);
        let elapsed = self.samples.back().map_or(Duration::ZERO, |s| now.since(s.0)).as_secs_f64();
        if self.samples.back().is_some_and(|s| (requests as f64) < s.1 || (own as f64) < s.2) {
            self.samples.clear();
        }
        self.samples.push_back((now, requests as f64, own as f64, self.wanted));
        while self.samples.get(1).is_some_and(|s| now.since(s.0) >= SPAN) {
            self.samples.pop_front();
        }
        let Some(&(then, requests_then, own_then, wanted_then)) = self.samples.front() else { return };
        let secs = now.since(then).as_secs_f64();
        if secs <= 0.0 {
            return;
        }
        let rate = |now: f64, then: f64| (now - then) / secs;
        let (home, own) = (rate(requests as f64, requests_then), rate(own as f64, own_then));
        let wanted = rate(self.wanted, wanted_then);
        self.keeps = toward(self.keeps, share(left, home), elapsed);
        self.takes = toward(self.takes, share(left - own, wanted), elapsed);
    }

    /// No capacity is configured (any more).
    pub fn forget(&mut self) {
        *self = Capacity::default();
    }
}

/// The part of `load` that fits into `room`.
fn share(room: f64, load: f64) -> f64 {
    match () {
        () if room <= 0.0 => 0.0,
        () if load <= room => 1.0,
        () => room / load,
    }
}

fn toward(share: f64, aim: f64, elapsed: f64) -> f64 {
    if aim <= share { aim } else { aim.min(share + RISE_PER_SECOND * elapsed) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs with a closed loop: of the `wanted` spill, the share that is taken arrives.
    fn run(capacity: &mut Capacity, from: u64, secs: u64, left: f64, own: f64, wanted: f64) -> f64 {
        let (mut home, mut spilled) = capacity.seen.map_or((0.0, 0.0), |s| (s.0 as f64, s.2 as f64));
        for ms in (from * 1_000 + 100..=(from + secs) * 1_000).step_by(100) {
            home += own / 10.0;
            spilled += wanted * capacity.takes / 10.0;
            capacity.observe(Tick::from_millis(ms), left, home as u64, home as u64, spilled as u64);
        }
        capacity.takes
    }

    #[test]
    fn a_cluster_takes_what_fits_beside_its_own_load() {
        let mut capacity = Capacity::default();
        assert_eq!(run(&mut capacity, 0, 10, 5_000.0, 3_000.0, 0.0), 1.0);
        let takes = run(&mut capacity, 10, 5, 5_000.0, 3_000.0, 5_000.0);
        assert!((takes - 0.4).abs() < 0.02, "{takes}");
        let takes = run(&mut capacity, 15, 20, 5_000.0, 3_000.0, 5_000.0);
        assert!((takes - 0.4).abs() < 0.02, "steady: {takes}");
    }

    #[test]
    fn its_share_falls_at_once_and_rises_by_ten_points_in_five_seconds() {
        let mut capacity = Capacity::default();
        run(&mut capacity, 0, 10, 5_000.0, 5_500.0, 1_000.0);
        assert_eq!(capacity.takes, 0.0);
        let after_five = run(&mut capacity, 10, 5, 5_000.0, 1_000.0, 100.0);
        assert!((0.07..=0.1).contains(&after_five), "{after_five}");
        assert_eq!(run(&mut capacity, 15, 60, 5_000.0, 1_000.0, 100.0), 1.0);
    }

    #[test]
    fn of_its_own_users_it_keeps_what_its_healthy_endpoints_can_take() {
        let mut capacity = Capacity::default();
        run(&mut capacity, 0, 5, 5_000.0, 4_000.0, 0.0);
        assert_eq!(capacity.keeps, 1.0);
        run(&mut capacity, 5, 3, 2_500.0, 4_000.0, 0.0);
        assert!((capacity.keeps - 0.625).abs() < 0.02, "{}", capacity.keeps);
    }
}
