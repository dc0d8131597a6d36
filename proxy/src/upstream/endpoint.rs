//! The live state of an endpoint, which outlives every reload.
//!
//! It is known by cluster + address, never by weight or position, so shifting weight in a canary forgets nothing (Pingora's backend hash includes the
//! weight, and a shift there forgets that a backend is sick).

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};

use super::cell::{Count, InFlight, Padded, per_worker};
use causeway_proxy_policy::Tick;

/// One endpoint of one cluster.
///
/// Aligned, or its `Arc`'s counts and a neighbour in memory would share the line of `standing`, which each request
/// reads.
#[repr(align(128))]
pub struct EndpointState {
    /// Dense id, given by the registry for the endpoint's life.
    pub id: u32,
    /// Name of the cluster.
    pub cluster: Arc<str>,
    /// `host:port` as configured, which is also what is hashed.
    pub address: Arc<str>,
    /// What the health engine publishes: see [`Standing`].
    standing: AtomicU64,
    /// A run of failures is open: the next success must be reported.
    pub failing: AtomicBool,
    timed_out: AtomicU64,
    cells: Box<[Padded<EndpointCells>]>,
}

/// Whether an endpoint takes requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Ejected, failed its active check, or drained.
    Out,
    /// In full service.
    Full,
    /// Back since then, and in slow start by each service's own parameters.
    RampSince(Tick),
}

const FULL: u64 = 0;
const OUT: u64 = u64::MAX;

/// What one worker counts about one endpoint.
#[derive(Default)]
pub struct EndpointCells {
    /// Requests under way.
    pub in_flight: InFlight,
    /// Finished attempts.
    pub total: Count,
    /// Finished attempts that were no failure.
    pub success: Count,
    /// Peak EWMA of the time to first byte in nanoseconds, and when it was last moved.
    pub ewma: Count,
    /// See `ewma`.
    pub ewma_at: Count,
    /// Open connections.
    pub connections: InFlight,
}

impl EndpointState {
    /// A new endpoint, in full service.
    pub fn new(id: u32, cluster: &str, address: &str, workers: usize) -> EndpointState {
        EndpointState {
            id,
            cluster: cluster.into(),
            address: address.into(),
            standing: AtomicU64::new(FULL),
            failing: AtomicBool::new(false),
            timed_out: AtomicU64::new(0),
            cells: per_worker(workers),
        }
    }

    /// What the health engine last said.
    pub fn standing(&self) -> Standing {
        match self.standing.load(Relaxed) {
            OUT => Standing::Out,
            FULL => Standing::Full,
            since => Standing::RampSince(Tick(since)),
        }
    }

    /// Publishes what the health engine says.
    pub fn set_standing(&self, standing: Standing) {
        let word = match standing {
            Standing::Out => OUT,
            Standing::Full => FULL,
            Standing::RampSince(since) => since.0.max(1),
        };
        self.standing.store(word, Relaxed);
    }

    /// One worker's counters.
    pub fn cells(&self, worker: usize) -> &EndpointCells {
        &self.cells[worker]
    }

    /// All workers' counters.
    pub fn all_cells(&self) -> impl Iterator<Item = &EndpointCells> {
        self.cells.iter().map(|padded| &padded.0)
    }

    /// Requests under way over all workers.
    pub fn in_flight(&self) -> u32 {
        self.all_cells().fold(0, |sum, cells| sum.wrapping_add(cells.in_flight.get()))
    }

    /// When a try last ran into a timeout here; `Tick(0)` = never.
    pub fn timed_out_at(&self) -> Tick {
        Tick(self.timed_out.load(Relaxed))
    }

    /// Notes a timeout.
    pub fn timed_out(&self, now: Tick) {
        self.timed_out.store(now.0, Relaxed);
    }
}
