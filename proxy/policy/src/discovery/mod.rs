//! Endpoints that are looked up: when to look again, and which set to serve meanwhile.
//!
//! The rule above all others is *fail static*: a lookup that fails, or finds nothing at all, says something about
//! the lookup, not about the endpoints. Whoever was served stays served, also after a restart.

mod join;

use std::time::Duration;

pub use join::{Addresses, SrvTarget, srv};

use crate::tick::nanos;

/// How long an answer may be used, at least and at most.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct TtlBounds {
    /// Default 1 s.
    pub min: Duration,
    /// Default 300 s.
    pub max: Duration,
}

impl TtlBounds {
    /// When to look again at what may be used for `ttl`: that time within the bounds, and a tenth of it by chance,
    /// so that proxies which started together do not go on asking together.
    ///
    /// The tenth is added, so that a cache between us and the source has let go of its answer by then, except
    /// where `max` cuts the time short: there it is taken off, and the answer is still good.
    pub fn refresh_in(&self, ttl: Duration, roll: u64) -> Duration {
        let span = ttl.max(self.min).min(self.max);
        let spread = part(span / 10, roll);
        if ttl < self.max { span + spread } else { span - spread }
    }
}

/// The first wait after a failure.
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// The longest wait after a failure: an outage of the source is noticed to be over within half a minute.
const LAST_RETRY: Duration = Duration::from_secs(30);

/// When to look again after `failures` failures in a row: 1, 2, 4 ... 30 s, of which the upper half is by chance
/// ("equal jitter": a source that comes back is not met by everybody at once, and not asked in vain at once).
pub fn retry_in(failures: u32, roll: u64) -> Duration {
    let doublings = failures.saturating_sub(1).min(5);
    let bound = (FIRST_RETRY * (1 << doublings)).min(LAST_RETRY);
    bound / 2 + part(bound / 2, roll)
}

/// `roll`'s share of a span.
fn part(span: Duration, roll: u64) -> Duration {
    Duration::from_nanos(((u128::from(nanos(span)) * u128::from(roll)) >> 64) as u64)
}

/// What one lookup found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Found<T> {
    /// The whole set, not empty.
    All(T),
    /// Some of it, not empty: a part of the lookup failed.
    Some(T),
    /// Nothing: it failed, or the answer was empty.
    Nothing,
}

/// What follows from a lookup.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Step {
    /// Another set is to be served from now on.
    pub changed: bool,
    /// Look again after this time.
    pub again_in: Duration,
}

/// One source of endpoints over time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tracker<T> {
    served: Option<T>,
    inherited: bool,
    /// Failures in a row.
    failures: u32,
    successes_total: u64,
    failures_total: u64,
}

impl<T: PartialEq> Tracker<T> {
    /// A source that was not looked at yet. `kept` is what an earlier process or configuration last served from
    /// it.
    pub fn new(kept: Option<T>) -> Tracker<T> {
        Tracker {
            inherited: kept.is_some(),
            served: kept,
            failures: 0,
            successes_total: 0,
            failures_total: 0,
        }
    }

    /// Takes in a lookup.
    ///
    /// A part of a set is a failure like any other and served only where there is nothing else: a set that lacks
    /// some endpoints for want of an answer would move their users for nothing.
    pub fn found(&mut self, found: Found<T>, ttl: Duration, bounds: TtlBounds, roll: u64) -> Step {
        let (set, whole) = match found {
            Found::All(set) => (Some(set), true),
            Found::Some(set) => (Some(set).filter(|_| self.served.is_none()), false),
            Found::Nothing => (None, false),
        };
        let again_in = if whole {
            self.failures = 0;
            self.successes_total += 1;
            self.inherited = false;
            bounds.refresh_in(ttl, roll)
        } else {
            self.failures = self.failures.saturating_add(1);
            self.failures_total += 1;
            retry_in(self.failures, roll)
        };
        let changed = set.is_some() && set != self.served;
        if changed {
            self.served = set;
        }
        Step { changed, again_in }
    }

    /// What is served; `None` = nothing was ever found.
    pub fn served(&self) -> Option<&T> {
        self.served.as_ref()
    }

    /// What is served was found by an earlier process or configuration and has not been confirmed since.
    pub fn is_inherited(&self) -> bool {
        self.inherited
    }

    /// Whether any lookup has ended.
    pub fn was_looked_at(&self) -> bool {
        self.successes_total + self.failures_total > 0
    }

    /// Failures since the last success.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// All lookups so far: those that found everything, and the others.
    pub fn totals(&self) -> (u64, u64) {
        (self.successes_total, self.failures_total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: TtlBounds = TtlBounds { min: Duration::from_secs(1), max: Duration::from_secs(300) };
    const HALF: u64 = 1 << 63;

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn a_ttl_is_kept_within_its_bounds_and_spread_over_a_tenth() {
        for (ttl, earliest, latest) in [(0, 1.0, 1.1), (1, 1.0, 1.1), (60, 60.0, 66.0), (300, 270.0, 300.0)] {
            let at = |roll| BOUNDS.refresh_in(secs(ttl), roll).as_secs_f64();
            let (a, b) = (at(0).min(at(u64::MAX)), at(0).max(at(u64::MAX)));
            assert!((a - earliest).abs() < 1e-6 && (b - latest).abs() < 1e-6, "{ttl}: {a} to {b}");
            assert!((at(HALF) - (earliest + latest) / 2.0).abs() < 1e-6, "{ttl}");
        }
        assert!(BOUNDS.refresh_in(secs(86_400), 0) <= secs(300));
        assert!(BOUNDS.refresh_in(Duration::MAX, u64::MAX) >= secs(269));
    }

    #[test]
    fn a_failing_source_is_asked_less_and_less_and_never_in_step() {
        let bounds: Vec<(u64, u64)> = (0..=8)
            .map(|n| (retry_in(n, 0).as_millis() as u64, retry_in(n, u64::MAX).as_millis() as u64))
            .collect();
        assert_eq!(bounds[..4], [(500, 999), (500, 999), (1_000, 1_999), (2_000, 3_999)]);
        assert_eq!(bounds[6..], [(15_000, 29_999); 3]);
        assert_eq!(retry_in(u32::MAX, 0), secs(15));
    }

    #[test]
    fn a_failure_or_an_empty_answer_changes_nothing_that_is_served() {
        let mut source = Tracker::new(None);
        assert_eq!(source.served(), None);
        assert!(source.found(Found::All("a"), secs(9), BOUNDS, 0).changed);
        for n in 1..4 {
            let step = source.found(Found::Nothing, secs(9), BOUNDS, 0);
            assert_eq!(step, Step { changed: false, again_in: retry_in(n, 0) });
            assert_eq!((source.served(), source.failures()), (Some(&"a"), n));
        }
        let step = source.found(Found::All("a"), secs(9), BOUNDS, 0);
        assert_eq!(step, Step { changed: false, again_in: secs(9) }, "the same set is no news");
        assert_eq!((source.failures(), source.totals()), (0, (2, 3)));
    }

    #[test]
    fn a_part_is_served_only_where_there_is_nothing_else() {
        let mut source = Tracker::new(None);
        assert!(source.found(Found::Some("part"), secs(9), BOUNDS, 0).changed);
        assert_eq!(source.failures(), 1, "and is asked for again soon");
        assert!(source.found(Found::All("all"), secs(9), BOUNDS, 0).changed);
        assert!(!source.found(Found::Some("part"), secs(9), BOUNDS, 0).changed);
        assert_eq!(source.served(), Some(&"all"));
    }

    #[test]
    fn what_an_earlier_process_found_is_served_until_it_is_confirmed_or_replaced() {
        let mut source = Tracker::new(Some("old"));
        assert!(source.is_inherited() && !source.was_looked_at());
        assert!(!source.found(Found::Nothing, secs(9), BOUNDS, 0).changed);
        assert!(source.is_inherited() && source.was_looked_at());
        assert!(!source.found(Found::Some("part"), secs(9), BOUNDS, 0).changed);
        assert!(source.found(Found::All("new"), secs(9), BOUNDS, 0).changed);
        assert!(!source.is_inherited());
    }
}
