//! The live state of a *lane*, one service's use of one cluster: exact limits, admission, counters.
//!
//! Known by the names of service and cluster, and kept through every reload.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

use causeway_proxy_policy::health::ATTEMPTS;
use tokio::sync::Notify;

use super::cell::{Count, InFlight, Limit, Padded, Share, per_worker};
use crate::telemetry::histogram::Histogram;

/// Latency thresholds that one service's triggers may distinguish; a config with more is refused.
pub const SLOW_THRESHOLDS: usize = 4;

/// One service's use of one cluster: its exact limits, its admission, its counters.
pub struct LaneState {
    /// Dense id, given by the registry for the lane's life.
    pub id: u32,
    /// Name of the service.
    pub service: Arc<str>,
    /// Name of the cluster, as the service lists it.
    pub cluster: Arc<str>,
    /// Upstream connections open or being opened.
    pub connections: Limit,
    /// Requests that wait because `maxConnections` is reached.
    pub pending: Limit,
    /// Requests under way.
    pub requests: Limit,
    /// Wakes one request that waits for a connection. Padded: each request reads `admission`.
    pub released: Padded<Notify>,
    /// The share of its own users that the cluster keeps.
    pub admission: Share,
    /// The share of others' users that it takes.
    pub spill_share: Share,
    /// Bits of [`LaneFlags`].
    flags: AtomicU32,
    cells: Box<[Padded<LaneCells>]>,
}

/// What the health engine says of a lane besides its shares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LaneFlags {
    /// So few endpoints are healthy that health is ignored.
    pub panic: bool,
    /// At 0 and not probed: a trickle of requests looks whether it is back.
    pub trickle: bool,
}

/// What one worker counts about one lane.
#[derive(Default)]
pub struct LaneCells {
    /// Attempts that ended with a response head or a failure of the upstream.
    pub attempts: Count,
    /// Of these, the failed ones.
    pub errors: Count,
    /// Of these, those whose first byte took longer than each of the service's latency thresholds.
    pub slow: [Count; SLOW_THRESHOLDS],
    /// The last attempts, packed by the policy crate.
    pub ring: [Count; ATTEMPTS],
    /// Where in the ring the next attempt goes.
    pub ring_at: Count,
    /// Requests whose home this is, wherever they went.
    pub home_requests: Count,
    /// Tries started here by requests whose home it is.
    pub own: Count,
    /// Tries started here by requests whose home is another cluster.
    pub spilled: Count,
    /// Retries that were sent here.
    pub retries: Count,
    /// Answers by class: 1xx to 5xx.
    pub statuses: [Count; 5],
    /// Attempts that failed without an answer, by [`AttemptFailure`].
    pub failures: [Count; AttemptFailure::ALL.len()],
    /// Requests refused by a limit.
    pub overflows: Count,
    /// Requests under way, this worker's.
    pub in_flight: InFlight,
    /// Time to first byte.
    pub latency: Histogram,
}

/// How an attempt failed without an answer: the label of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptFailure {
    /// Refused, unreachable, or no connection in time; TLS included.
    Connect,
    /// Closed or reset before a whole response head.
    Reset,
    /// No response head in time.
    Timeout,
    /// An answer that is not HTTP.
    Malformed,
    /// The stream was refused unprocessed.
    Refused,
    /// The body ended early after the head was passed on.
    Cut,
    /// The endpoint was taken out of service while the request waited.
    EndpointDown,
}

impl AttemptFailure {
    /// In the order of the counters.
    pub const ALL: [AttemptFailure; 7] = [
        AttemptFailure::Connect,
        AttemptFailure::Reset,
        AttemptFailure::Timeout,
        AttemptFailure::Malformed,
        AttemptFailure::Refused,
        AttemptFailure::Cut,
        AttemptFailure::EndpointDown,
    ];

    /// The label.
    pub fn as_str(self) -> &'static str {
        match self {
            AttemptFailure::Connect => "connect",
            AttemptFailure::Reset => "reset",
            AttemptFailure::Timeout => "timeout",
            AttemptFailure::Malformed => "malformed",
            AttemptFailure::Refused => "refused",
            AttemptFailure::Cut => "cut",
            AttemptFailure::EndpointDown => "endpoint_down",
        }
    }
}

const PANIC: u32 = 1;
const TRICKLE: u32 = 2;

impl LaneState {
    /// A new lane, fully admitted.
    pub fn new(id: u32, service: &str, cluster: &str, workers: usize) -> LaneState {
        LaneState {
            id,
            service: service.into(),
            cluster: cluster.into(),
            connections: Limit::default(),
            pending: Limit::default(),
            requests: Limit::default(),
            released: Padded(Notify::new()),
            admission: Share::new(1.0),
            spill_share: Share::new(1.0),
            flags: AtomicU32::new(0),
            cells: per_worker(workers),
        }
    }

    /// One worker's counters.
    pub fn cells(&self, worker: usize) -> &LaneCells {
        &self.cells[worker]
    }

    /// All workers' counters.
    pub fn all_cells(&self) -> impl Iterator<Item = &LaneCells> {
        self.cells.iter().map(|padded| &padded.0)
    }

    /// The sum of one counter over all workers.
    pub fn sum(&self, counter: impl Fn(&LaneCells) -> &Count) -> u64 {
        self.all_cells().fold(0, |sum, cells| sum.wrapping_add(counter(cells).get()))
    }

    /// What the engine last said.
    pub fn flags(&self) -> LaneFlags {
        let bits = self.flags.load(Relaxed);
        LaneFlags { panic: bits & PANIC != 0, trickle: bits & TRICKLE != 0 }
    }

    /// Publishes what the engine says.
    pub fn set_flags(&self, flags: LaneFlags) {
        let bit = |on: bool, bit: u32| if on { bit } else { 0 };
        self.flags.store(bit(flags.panic, PANIC) | bit(flags.trickle, TRICKLE), Relaxed);
    }

    /// Gives a connection back and lets one waiting request try.
    pub fn release_connection(&self) {
        self.connections.give();
        if self.pending.taken() > 0 {
            self.released.notify_one();
        }
    }
}
