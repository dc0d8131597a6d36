//! What all threads of the process share.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Instant, SystemTime};

use causeway_proxy_policy::Tick;

use crate::health::HealthHandle;
use crate::listen::crowd::Crowd;
use crate::snapshot::cell::SnapshotCell;
use crate::telemetry::access_log::AccessLog;
use crate::telemetry::counters::WorkerCounters;
use crate::upstream::cell::{Limit, Padded, per_worker};
use crate::upstream::discover::Board;
use crate::upstream::registry::Registry;
use crate::worker::Mailboxes;

/// What all threads of the process share.
pub struct Shared {
    /// `Tick(0)`: the start of this process, or of the first of those that handed over to one another.
    pub started: Instant,
    /// When this process started, by the wall clock.
    pub born: SystemTime,
    /// 1 for a process that was started afresh, one more for each that took over.
    pub generation: u64,
    /// Number of workers, fixed for the life of the process.
    pub workers: usize,
    /// Live state of endpoints, lanes and services.
    pub registry: Arc<Registry>,
    /// The snapshot in force.
    pub snapshots: SnapshotCell,
    /// Open client connections.
    pub downstream: Limit,
    /// The same by address.
    pub crowd: Crowd,
    /// Each worker's own counters.
    pub counters: Box<[Padded<WorkerCounters>]>,
    /// To every worker; set once they run.
    pub mail: OnceLock<Mailboxes>,
    /// To the health thread.
    pub health: HealthHandle,
    /// The access log.
    pub access_log: AccessLog,
    /// The process drains: not ready any more.
    pub draining: AtomicBool,
    /// What became of the last attempt to load a config.
    pub config_status: Mutex<ConfigStatus>,
    /// What discovery knows.
    pub discovery: Arc<Board>,
}

/// What became of the last attempt to load a config.
#[derive(Clone, Debug, Default)]
pub struct ConfigStatus {
    /// Attempts that took effect, the first included.
    pub applied: u64,
    /// Attempts that were refused.
    pub refused: u64,
    /// Why the newest files are not in force, if they are not.
    pub error: Option<String>,
    /// What validation warned of.
    pub warnings: Vec<String>,
    /// When the config in force was applied.
    pub applied_at: Option<SystemTime>,
    /// The config in force came from the state folder, not from the files.
    pub from_last_good: bool,
}

impl Shared {
    /// Now, in ticks.
    pub fn now(&self) -> Tick {
        Tick(self.started.elapsed().as_nanos() as u64)
    }

    /// Fresh counters for `workers`.
    pub fn counters(workers: usize) -> Box<[Padded<WorkerCounters>]> {
        per_worker(workers)
    }

    /// Sends to every worker, once they run.
    pub fn mail(&self, mail: impl FnMut() -> crate::worker::Mail) {
        if let Some(boxes) = self.mail.get() {
            boxes.broadcast(mail);
        }
    }
}
