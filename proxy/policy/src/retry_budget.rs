//! The retry budget: how many retries a service may start.
//!
//! At most `percent` of the requests of the last `window`, plus `min_per_second`; counted by retries *started*,
//! not by those in flight (a budget of concurrent retries is used up by retries that hang: Envoy, 368 of 6,000
//! requests lost that way). It applies twice: per service, and per (home, cluster retried to) over the requests
//! of that home, so that one sick home cannot spend what the others may need.
//!
//! **On the request path** a request costs one load, one compare and one store, all relaxed and on memory that
//! only its own worker writes: a [`RollingCount`] cell. Only a retry, which is rare, sums the workers' cells.
//! Service totals are the sums over homes, so they cost requests nothing.
//!
//! **How exact:** time is cut into [`SLICES`] slices of the window. A sum covers the running slice and the
//! [`SLICES`] - 1 before it: between 90 and 100 % of the window. Retries that workers start at the same instant
//! may not see one another: the overshoot is at most one retry a worker, once. Nothing drifts.

use std::time::Duration;

use crate::tick::{Tick, nanos};

/// Slices a window is cut into.
pub const SLICES: usize = 10;

/// `resilience.retries.budget`.
#[derive(Copy, Clone, PartialEq, Debug)]
pub struct RetryBudget {
    /// Retries per 100 requests. Default 20.
    pub percent: f64,
    /// Retries a second that are always allowed. Default 10.
    pub min_per_second: f64,
    /// Default 10 s.
    pub window: Duration,
}

impl Default for RetryBudget {
    fn default() -> Self {
        RetryBudget { percent: 20.0, min_per_second: 10.0, window: Duration::from_secs(10) }
    }
}

impl RetryBudget {
    /// Whether one more retry may start, after `requests` and `retries` in the window.
    pub fn allows(&self, requests: u64, retries: u64) -> bool {
        let budget = self.percent / 100.0 * requests as f64 + self.min_per_second * self.window.as_secs_f64();
        retries as f64 + 1.0 <= budget
    }

    /// The number of the slice that `now` lies in: the `slice` of [`bump`] and [`sum`].
    #[inline]
    pub fn slice(&self, now: Tick) -> u32 {
        let length = (nanos(self.window) / SLICES as u64).max(1);
        // Wraps after 136 years of 1 s slices.
        (now.0 / length) as u32
    }
}

/// Which cell of a ring a slice uses.
#[inline]
pub const fn cell_index(slice: u32) -> usize {
    slice as usize % SLICES
}

/// A cell after counting one more in `slice`: its high half names the slice, so that a cell of an earlier turn
/// starts again by itself and nobody has to sweep.
#[inline]
pub const fn bump(cell: u64, slice: u32) -> u64 {
    if (cell >> 32) as u32 == slice {
        // Saturates rather than carrying into the slice's number.
        if cell as u32 == u32::MAX { cell } else { cell + 1 }
    } else {
        ((slice as u64) << 32) | 1
    }
}

/// What the cells of one ring (or of many workers' rings, one after another) hold of the window that ends in
/// `slice`.
pub fn sum(cells: impl IntoIterator<Item = u64>, slice: u32) -> u64 {
    let recent = |cell: &u64| slice.wrapping_sub((cell >> 32) as u32) < SLICES as u32;
    cells.into_iter().filter(recent).map(|cell| cell & u64::from(u32::MAX)).sum()
}

/// One ring of plain cells: for one thread. The shell keeps the same cells in relaxed atomics, one ring a worker,
/// and uses [`bump`] and [`sum`] on them.
#[derive(Clone, Debug, Default)]
pub struct RollingCount {
    cells: [u64; SLICES],
}

impl RollingCount {
    /// Counts one.
    pub fn add(&mut self, slice: u32) {
        let cell = &mut self.cells[cell_index(slice)];
        *cell = bump(*cell, slice);
    }

    /// The count of the window that ends in `slice`.
    pub fn sum(&self, slice: u32) -> u64 {
        sum(self.cells, slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fifth_of_the_requests_and_ten_a_second_may_be_retried() {
        let budget = RetryBudget::default();
        assert!(budget.allows(0, 99) && !budget.allows(0, 100));
        assert!(budget.allows(6_000, 1_299) && !budget.allows(6_000, 1_300));
        let none = RetryBudget { percent: 0.0, min_per_second: 0.0, ..budget };
        assert!(!none.allows(1_000_000, 0));
    }

    #[test]
    fn losing_half_of_600_a_second_spends_the_budget_in_2_2_seconds() {
        let budget = RetryBudget::default();
        let (mut requests, mut retries) = (RollingCount::default(), RollingCount::default());
        let mut spent_at = None;
        for i in 0..(600 * 30) {
            let now = Tick(i * 1_000_000_000 / 600);
            let slice = budget.slice(now);
            requests.add(slice);
            let failing = now >= Tick::from_secs(20) && i % 2 == 0;
            for _ in 0..if failing { 2 } else { 0 } {
                if budget.allows(requests.sum(slice), retries.sum(slice)) {
                    retries.add(slice);
                } else {
                    spent_at.get_or_insert(now);
                }
            }
        }
        let spent = spent_at.unwrap().since(Tick::from_secs(20)).as_secs_f64();
        assert!((1.8..2.3).contains(&spent), "{spent} s");
    }

    #[test]
    fn the_window_forgets_slice_by_slice_and_a_gap_forgets_all() {
        let mut count = RollingCount::default();
        (0..10).for_each(|slice| count.add(slice));
        assert_eq!(count.sum(9), 10);
        assert_eq!(count.sum(12), 7);
        count.add(12);
        assert_eq!(count.sum(12), 8);
        assert_eq!(count.sum(1_000), 0);
    }

    #[test]
    fn workers_add_up() {
        let mut workers = [RollingCount::default(), RollingCount::default()];
        (0..30).for_each(|i| workers[i % 2].add(5));
        assert_eq!(sum(workers.iter().flat_map(|w| w.cells), 5), 30);
    }
}
