//! One worker's load: what it has in flight, how long its queue is, and so what it must refuse.
//!
//! The decision is the policy's ([`causeway_proxy_policy::overload`]); here its signs are taken. Queue time is measured
//! with a marker: a request that comes wakes a task of our own, which gets the place at the end of the worker's queue,
//! and is timed until its turn. At most one marker is out, at most one every `EVERY`, and none without requests: an
//! idle worker does not wake up for this.
//!
//! It is timed by the thread's own CPU clock. What the marker waits for is the work before it; that another process
//! took the CPU meanwhile is true and no reason to refuse what would be done next.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use causeway_proxy_policy::Tick;
use causeway_proxy_policy::overload::{Params, Shedder, Why};
use rustix::time::{ClockId, clock_gettime};

use crate::worker::Worker;

/// Between two measurements: some in each interval of the rule, and little work.
const EVERY: Duration = Duration::from_millis(10);

/// A measurement older than this says nothing any more.
const STALE: Duration = Duration::from_secs(1);

/// One worker's load.
#[derive(Default)]
pub struct Load {
    in_flight: Cell<u32>,
    /// Rolls below this are refused, of 2^32.
    refuse_below: Cell<u64>,
    /// From when on a request sends the marker; the end of time while it is out.
    measure_from: Cell<Tick>,
    /// When the marker was sent, by the CPU's clock.
    sent: Cell<Option<Duration>>,
    measured: Cell<Tick>,
    waker: RefCell<Option<Waker>>,
}

/// A request that was admitted, counted until this is dropped.
pub struct Admitted<'w>(&'w Load);

impl Drop for Admitted<'_> {
    fn drop(&mut self) {
        self.0.in_flight.set(self.0.in_flight.get() - 1);
    }
}

impl Load {
    /// Takes a request in, or says why not.
    pub fn admit(&self, params: &Params, worker: &Worker) -> Result<Admitted<'_>, Why> {
        let now = worker.now();
        if now >= self.measure_from.get() {
            self.send_marker(now);
        }
        if self.refuse_below.get() > 0 && worker.roll() >> 32 < self.refuse_below.get() {
            return Err(Why::QueueTime);
        }
        if self.in_flight.get() >= params.max_in_flight {
            return Err(Why::InFlight);
        }
        self.in_flight.set(self.in_flight.get() + 1);
        Ok(Admitted(self))
    }

    /// Whether some requests are refused for the length of the queue.
    pub fn is_shedding(&self) -> bool {
        self.refuse_below.get() > 0
    }

    fn send_marker(&self, now: Tick) {
        if now.since(self.measured.get()) > STALE {
            self.refuse_below.set(0);
        }
        if let Some(waker) = self.waker.take() {
            self.sent.set(Some(cpu_time()));
            self.measure_from.set(Tick::MAX);
            waker.wake();
        }
    }

    /// The marker's task: runs for ever.
    pub async fn measure(worker: Rc<Worker>) {
        let mut shedder = Shedder::default();
        std::future::poll_fn(|cx| {
            let load = &worker.load;
            if let Some(sent) = load.sent.take() {
                let now = worker.now();
                let queue_time = cpu_time().saturating_sub(sent);
                let share = shedder.sample(&worker.snapshot().overload, now, queue_time);
                load.refuse_below.set((share * (1u64 << 32) as f64) as u64);
                load.measured.set(now);
                load.measure_from.set(now + EVERY);
            }
            *load.waker.borrow_mut() = Some(cx.waker().clone());
            Poll::<()>::Pending
        })
        .await;
    }
}

/// What this thread has computed for so far.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}
