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
use causeway_proxy_policy::overload::{Crowd, Params, Rest, Shedder, Why};
use rustix::time::{ClockId, clock_gettime};

use crate::worker::Worker;

/// Between two measurements: some in each interval of the rule, and little work.
const EVERY: Duration = Duration::from_millis(10);

/// A measurement older than this says nothing any more.
const STALE: Duration = Duration::from_secs(1);

/// Over how many seconds what is served is averaged, about.
const AVERAGE: f64 = 1.0;

/// One worker's load.
#[derive(Default)]
pub struct Load {
    in_flight: Cell<u32>,
    /// Requests admitted since the last measurement, and a second as a moving average.
    admitted: Cell<u32>,
    served: Cell<f64>,
    shedder: Cell<Shedder>,
    /// Rolls below this are refused, of 2^32.
    refuse_below: Cell<u64>,
    /// Requests that connections may carry which are left alone.
    resting: Cell<u32>,
    /// From when on a request looks at the queue.
    look_from: Cell<Tick>,
    /// When the marker that is out was sent, by the CPU's clock.
    sent: Cell<Option<Duration>>,
    /// The last measurement, and when.
    queue_time: Cell<Duration>,
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

/// A connection that is left alone, counted until this is dropped.
pub struct Resting {
    worker: Rc<Worker>,
    requests: u32,
    ends: Tick,
    /// How long until it looks whether it need rest at all, on average.
    look: Duration,
}

impl Resting {
    /// Counts one that may carry so many requests and is to rest for this long, or until there is time again, which
    /// it looks for every now and then: how often is a matter of what a look costs beside what it may carry.
    pub fn begin(worker: &Rc<Worker>, requests: u32, length: Duration, look: Duration) -> Resting {
        let resting = &worker.load.resting;
        resting.set(resting.get().saturating_add(requests));
        Resting { worker: worker.clone(), requests, ends: worker.now() + length, look }
    }

    /// Until when it may last.
    pub fn ends(&self) -> Tick {
        self.ends
    }

    /// When to look next. Not all look at the same time, or they would come back together.
    pub fn next_look(&self) -> Tick {
        self.ends.min(self.worker.now() + self.look.mul_f64(0.5 + fraction(&self.worker)))
    }

    /// Whether it is over.
    pub fn is_over(&self) -> bool {
        let (worker, now) = (&self.worker, self.worker.now());
        let load = &worker.load;
        now >= self.ends || load.shedder.get().may_return(now, self.look, load.crowd(), fraction(worker))
    }
}

impl Drop for Resting {
    fn drop(&mut self) {
        let resting = &self.worker.load.resting;
        resting.set(resting.get().saturating_sub(self.requests));
    }
}

impl Load {
    /// Takes a request in, or says why not. One that `waited` while its connection was left alone is old: when there
    /// is not time for all, the young are served, whose clients still wait ("adaptive LIFO": B. Maurer, "Fail at
    /// Scale", ACM Queue, 2015).
    pub fn admit(&self, params: &Params, worker: &Worker, waited: bool) -> Result<Admitted<'_>, Why> {
        let now = worker.now();
        if now >= self.look_from.get() {
            self.look(params, now);
        }
        let below = self.refuse_below.get();
        let unlucky = below > 0 && worker.roll() >> 32 < below;
        if unlucky || waited && !self.shedder.get().has_time_for_old(params, now, self.crowd()) {
            return Err(Why::QueueTime);
        }
        if self.in_flight.get() >= params.max_in_flight {
            return Err(Why::InFlight);
        }
        self.in_flight.set(self.in_flight.get() + 1);
        self.admitted.set(self.admitted.get().wrapping_add(1));
        Ok(Admitted(self))
    }

    fn crowd(&self) -> Crowd {
        Crowd {
            resting: f64::from(self.resting.get()),
            served: self.served.get(),
            measuring: self.sent.get().is_some(),
        }
    }

    /// For how long the connection is to be left alone whose request is refused now. `None`: not at all.
    pub fn rest(&self, worker: &Worker, rest: Rest) -> Option<Duration> {
        self.shedder.get().rest(rest, self.crowd(), fraction(worker))
    }

    /// Sends a marker, or looks how long the one that is out has waited: it will have waited longer when its turn
    /// comes, and a queue that grows fast must not hide behind its own length.
    fn look(&self, params: &Params, now: Tick) {
        self.look_from.set(now + EVERY);
        if let Some(sent) = self.sent.get() {
            let so_far = cpu_time().saturating_sub(sent);
            if so_far > self.queue_time.get() {
                self.judge(params, now, so_far);
            }
            return;
        }
        if now.since(self.measured.get()) > STALE {
            self.judge(params, now, Duration::ZERO);
        }
        if let Some(waker) = self.waker.take() {
            self.sent.set(Some(cpu_time()));
            waker.wake();
        }
    }

    fn judge(&self, params: &Params, now: Tick, queue_time: Duration) {
        let mut shedder = self.shedder.get();
        let share = shedder.sample(params, now, queue_time);
        self.shedder.set(shedder);
        self.refuse_below.set((share * (1u64 << 32) as f64) as u64);
        self.queue_time.set(queue_time);
        let passed = now.since(self.measured.replace(now)).as_secs_f64();
        if passed > 0.0 {
            let (rate, old) = (f64::from(self.admitted.take()) / passed, self.served.get());
            self.served.set(old + (rate - old) * passed / (passed + AVERAGE));
        }
    }

    /// The marker's task: runs for ever.
    pub async fn measure(worker: Rc<Worker>) {
        std::future::poll_fn(|cx| {
            let load = &worker.load;
            if let Some(sent) = load.sent.take() {
                let now = worker.now();
                load.judge(&worker.snapshot().overload, now, cpu_time().saturating_sub(sent));
                load.look_from.set(now + EVERY);
            }
            *load.waker.borrow_mut() = Some(cx.waker().clone());
            Poll::<()>::Pending
        })
        .await;
    }
}

/// A number in [0, 1).
fn fraction(worker: &Worker) -> f64 {
    (worker.roll() >> 32) as f64 / (1u64 << 32) as f64
}

/// What this thread has computed for so far.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}
