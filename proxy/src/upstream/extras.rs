//! Counters of what few rules do: faults on purpose, and mirrors.

use std::sync::Arc;

use super::cell::{Count, InFlight, Padded, per_worker};

/// What is counted of one fault injection.
pub struct FaultState {
    /// Name of the `FaultInjection`.
    pub name: Arc<str>,
    cells: Box<[Padded<FaultCells>]>,
}

/// What one worker counts of one fault injection.
#[derive(Default)]
pub struct FaultCells {
    /// Requests that had to wait.
    pub delayed: Count,
    /// Requests that were answered.
    pub aborted: Count,
}

impl FaultState {
    /// Nothing counted yet.
    pub fn new(name: &str, workers: usize) -> FaultState {
        FaultState { name: name.into(), cells: per_worker(workers) }
    }

    /// One worker's counters.
    pub fn cells(&self, worker: usize) -> &FaultCells {
        &self.cells[worker]
    }

    /// A counter's sum over the workers.
    pub fn sum(&self, counter: impl Fn(&FaultCells) -> &Count) -> u64 {
        self.cells.iter().fold(0, |sum, cells| sum.wrapping_add(counter(cells).get()))
    }
}

/// What is counted of the copies for one service.
pub struct MirrorState {
    /// Name of the `MultiClusterService` that gets the copies.
    pub service: Arc<str>,
    cells: Box<[Padded<MirrorCells>]>,
}

/// What one worker counts of the copies for one service. A copy is counted in one of the first four.
#[derive(Default)]
pub struct MirrorCells {
    /// Got a whole answer, whatever it was.
    pub answered: Count,
    /// Got none.
    pub failed: Count,
    /// Not sent: too many were under way.
    pub dropped: Count,
    /// Not sent: it cannot be copied.
    pub skipped: Count,
    /// Under way, or waiting for their body.
    pub in_flight: InFlight,
}

impl MirrorState {
    /// Nothing counted yet.
    pub fn new(service: &str, workers: usize) -> MirrorState {
        MirrorState { service: service.into(), cells: per_worker(workers) }
    }

    /// One worker's counters.
    pub fn cells(&self, worker: usize) -> &MirrorCells {
        &self.cells[worker]
    }

    /// A counter's sum over the workers.
    pub fn sum(&self, counter: impl Fn(&MirrorCells) -> &Count) -> u64 {
        self.cells.iter().fold(0, |sum, cells| sum.wrapping_add(counter(cells).get()))
    }

    /// Copies under way.
    pub fn in_flight(&self) -> u32 {
        self.cells.iter().fold(0, |sum, cells| sum.wrapping_add(cells.in_flight.get()))
    }
}
