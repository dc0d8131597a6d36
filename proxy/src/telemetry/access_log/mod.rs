//! The access log: one line a request, failures always, successes by a sampled share.
//!
//! A worker decides by [`AccessLog::wants`] whether a request is logged, makes a [`Record`] and hands it over by
//! [`AccessLog::send`]. Formatting and writing happen on a thread of their own: a slow disk or a reader that
//! stopped reading a pipe must cost no request its latency, so the queue is bounded, nothing waits for it, and
//! what does not fit is dropped and counted.
//!
//! # Lines
//!
//! As JSON, one object a line; a field that does not apply is absent, times are whole microseconds:
//!
//! | field | what |
//! | --- | --- |
//! | `time` | when the request's head was there, UTC, RFC 3339 with milliseconds |
//! | `client` | the client's address, by trusted hops of `X-Forwarded-For` or `Forwarded` |
//! | `identity` | who the client proved to be by its certificate: URI, else DNS name, else subject |
//! | `method`, `host`, `path`, `protocol` | of the request; `path` with its query, cut at 2 KiB |
//! | `status` | what the client got; 0 if nothing |
//! | `flags` | what was out of the ordinary: see below |
//! | `duration_us` | from the request's head to the end of the response |
//! | `first_byte_us` | until the upstream's response head, of the last attempt |
//! | `bytes_in`, `bytes_out` | body bytes from and to the client |
//! | `service`, `route` | `route` as `NAME/RULE` |
//! | `home`, `cluster`, `endpoint` | the key's home cluster, and where the last attempt went |
//! | `why` | why it went there: `home`, `spilled`, `retry`, ... |
//! | `attempts` | tries, the first included |
//! | `trace_id` | of a valid `traceparent` |
//! | `user_agent` | cut at 512 bytes |
//!
//! Flags are those of [`answer`](crate::request::respond::answer) for answers of our own, and [`RETRIED`],
//! [`FAILED_OVER`], [`PANIC`] and [`DELAYED`].
//!
//! As text, for people: time, status, method, host and path first, the rest as `key=value`, values quoted as
//! JSON strings where they hold anything but plain letters.
//!
//! # What is never in it
//!
//! A record has no place for other headers: `Authorization` and `Cookie` cannot get in. The query string is logged
//! as it came: if clients put secrets there, switch the log off or filter behind it.

mod format;
mod record;
mod sink;
mod writer;

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::Thread;
use std::time::Duration;

use causeway_config::AccessLogTarget;

pub use record::{DELAYED, FAILED_OVER, Flags, Names, PANIC, RETRIED, Record};
use sink::Sink;

/// Records that may wait for the writer: a second of failures at 8,000/s, some 5 MiB when full.
const QUEUE: usize = 8192;

/// The handle; every thread shares it.
pub struct AccessLog {
    queue: SyncSender<Message>,
    state: Arc<State>,
    /// The writer's thread, to be had out of its pause.
    writer: Option<Thread>,
    /// Failures are logged.
    failures: AtomicBool,
    /// A success is logged if half its roll is below this; at most 2^63.
    threshold: AtomicU64,
}

/// What handle and writer share.
#[derive(Default)]
struct State {
    written: AtomicU64,
    dropped: AtomicU64,
    /// What the writer should take over before its next record. Not sent through the queue: a full queue must
    /// not block a reload.
    next: Mutex<Option<Sink>>,
    /// To be answered as soon as the queue is empty.
    flushes: Mutex<Vec<SyncSender<()>>>,
}

impl State {
    fn next(&self) -> MutexGuard<'_, Option<Sink>> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn flushes(&self) -> MutexGuard<'_, Vec<SyncSender<()>>> {
        self.flushes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Message {
    Record(Box<Record>),
    /// Look at the shared state.
    Wake,
}

/// A target that is open and waits to be put in force.
pub struct Prepared {
    sink: Sink,
    failures: bool,
    threshold: u64,
}

impl AccessLog {
    /// Starts the writer's thread. Nothing is logged before the first [`AccessLog::configure`]. If the system
    /// refuses a thread, everything is dropped and counted.
    pub fn start() -> AccessLog {
        let (queue, records) = sync_channel(QUEUE);
        let state = Arc::new(State::default());
        let theirs = state.clone();
        let thread = std::thread::Builder::new().name("access-log".to_owned());
        let writer = match thread.spawn(move || writer::run(&records, &theirs)) {
            Ok(writer) => Some(writer.thread().clone()),
            Err(e) => {
                super::log::event("access-log", format_args!("cannot start its thread: {e}"));
                None
            }
        };
        AccessLog { queue, state, writer, failures: AtomicBool::new(false), threshold: AtomicU64::new(0) }
    }

    /// Opens what `config` names, and changes nothing yet: the error, a path with the system's reason, refuses
    /// the config while the old one is still in force.
    pub fn prepare(config: &causeway_config::AccessLog) -> Result<Prepared, String> {
        let sink = Sink::open(config)?;
        let on = config.path != AccessLogTarget::Off;
        let share = if on { config.sample.clamp(0.0, 1.0) } else { 0.0 };
        Ok(Prepared { sink, failures: on, threshold: (share * (1u64 << 63) as f64) as u64 })
    }

    /// Puts a target in force. The old one is let go of once the new one has taken over; records that wait in the
    /// queue go to the new one.
    pub fn apply(&self, prepared: Prepared) {
        *self.state.next() = Some(prepared.sink);
        self.failures.store(prepared.failures, Relaxed);
        self.threshold.store(prepared.threshold, Relaxed);
        self.wake();
    }

    /// [`AccessLog::prepare`] and [`AccessLog::apply`] in one.
    pub fn configure(&self, config: &causeway_config::AccessLog) -> Result<(), String> {
        AccessLog::prepare(config).map(|prepared| self.apply(prepared))
    }

    /// Whether a request is to be logged: failures unless the log is off, successes by the configured share.
    /// `roll` is any random number.
    pub fn wants(&self, failed: bool, roll: u64) -> bool {
        if failed { self.failures.load(Relaxed) } else { roll >> 1 < self.threshold.load(Relaxed) }
    }

    /// Hands a record over. Never waits.
    pub fn send(&self, record: Record) {
        if self.queue.try_send(Message::Record(Box::new(record))).is_err() {
            self.state.dropped.fetch_add(1, Relaxed);
        }
    }

    /// Waits until what was sent before has been written, at most for `longest`. Says whether it was.
    pub fn flush(&self, longest: Duration) -> bool {
        let (done, answer) = sync_channel(1);
        self.state.flushes().push(done);
        self.wake() && answer.recv_timeout(longest).is_ok()
    }

    /// Records that were written.
    pub fn written(&self) -> u64 {
        self.state.written.load(Relaxed)
    }

    /// Records that were lost: the queue was full or the target took nothing.
    pub fn dropped(&self) -> u64 {
        self.state.dropped.load(Relaxed)
    }

    /// Says whether there is a writer. A full queue needs no wake: its writer is not asleep.
    fn wake(&self) -> bool {
        let sent = self.queue.try_send(Message::Wake);
        if let Some(writer) = &self.writer {
            writer.unpark();
        }
        !matches!(sent, Err(TrySendError::Disconnected(_)))
    }
}

#[cfg(test)]
mod tests;
