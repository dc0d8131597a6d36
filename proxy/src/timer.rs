//! One coarse timer wheel per worker, instead of one tokio timer per stage of a request.
//!
//! A connection (or an HTTP/2 stream) owns one [`Timer`] for its whole life and moves its deadline as it
//! passes from stage to stage. Moving a deadline later costs a store: the wheel finds out when the old slot
//! comes up and files the entry again. Only moving it before the filed slot costs a push. tokio's own timer
//! was rejected for the request path: it takes a lock and relinks an entry at each of about six stages.
//!
//! A timer can also be fired by hand, by tag: that is how a waiting request learns that its endpoint has just
//! been ejected, and an idle connection that the process drains, at no cost to the requests that never do.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use causeway_proxy_policy::Tick;
use pin_project_lite::pin_project;
use slab::Slab;

use crate::upstream::cell::InFlight;

/// Resolution: a deadline fires up to this much late, never early.
const SLOT: u64 = 8_000_000;
/// Slots in the ring; a later deadline is filed at the far end and again from there.
const SLOTS: u64 = 512;

/// What [`Wheel::wake_soon`] waits at least; at most twice as long.
pub const WAKE_SOON: Duration = Duration::from_nanos(SLOT);

/// Why a timer woke its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fired {
    /// The deadline passed.
    Deadline,
    /// The endpoint that the owner waits for was taken out of service.
    EndpointDown,
    /// The process drains: idle connections close.
    Drain,
    /// The place of an idle connection is needed.
    Evicted,
}

/// What a timer's owner waits for, so that the wheel can find it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Tag {
    #[default]
    None,
    /// An idle downstream connection.
    Idle,
    /// A downstream connection that is left alone for a while.
    Resting,
    /// A downstream connection of which a handshake is waited for, or a head, for long already.
    Head,
    /// An HTTP/2 connection of a client.
    Http2,
    /// The same without a stream.
    Http2Idle,
    /// An idempotent request that waits for the first byte of this endpoint, for this lane (by their ids).
    FirstByte {
        /// Id of the endpoint.
        endpoint: u32,
        /// Id of the lane.
        lane: u32,
    },
}

#[derive(Default)]
struct Entry {
    /// Slot number of the deadline; `u64::MAX` = none.
    due: u64,
    /// The slot under which the wheel will look at this entry next; `u64::MAX` = not filed.
    filed: u64,
    tag: Tag,
    fired: Option<Fired>,
    waker: Option<Waker>,
}

struct Inner {
    entries: Slab<Entry>,
    ring: Vec<Vec<u32>>,
    /// The next slot to be looked at.
    next: u64,
    /// The slot the driver sleeps for; `u64::MAX` = it sleeps for good.
    planned: u64,
    driver: Option<Waker>,
    /// Who is to be woken, and at which slot; in order.
    soon: VecDeque<(u64, Waker)>,
}

impl Inner {
    /// Has the driver awake at `slot`.
    fn plan(&mut self, slot: u64) {
        if slot < self.planned {
            self.planned = slot;
            if let Some(driver) = self.driver.take() {
                driver.wake();
            }
        }
    }
}

/// The wheel of one worker.
pub struct Wheel {
    inner: RefCell<Inner>,
    origin: Instant,
    /// The time of the wake-up under way; `None` = nobody has asked for it yet.
    time: Cell<Option<Tick>>,
    /// Tasks spawned that have not ended.
    tasks: Arc<InFlight>,
}

impl Wheel {
    /// `origin` is the instant of `Tick(0)`, one for the whole process; `tasks` counts what [`Wheel::spawn`] starts.
    pub fn new(origin: Instant, tasks: Arc<InFlight>) -> Rc<Wheel> {
        let inner = Inner {
            entries: Slab::new(),
            ring: (0..SLOTS).map(|_| Vec::new()).collect(),
            next: slot_after(tick_since(origin)),
            planned: u64::MAX,
            driver: None,
            soon: VecDeque::new(),
        };
        Rc::new(Wheel { inner: RefCell::new(inner), origin, time: Cell::new(None), tasks })
    }

    /// The process's clock, read at most once a wake-up of a task: what a task does between two waits takes
    /// microseconds, and a dozen readings of it would be a tenth of a request's instructions.
    ///
    /// True only inside of [`Wheel::on_time`], which every task of a worker is.
    pub fn now(&self) -> Tick {
        self.time.get().unwrap_or_else(|| {
            let now = tick_since(self.origin);
            self.time.set(Some(now));
            now
        })
    }

    /// Makes `task` see the time of its own wake-ups.
    pub fn on_time<F: Future>(self: &Rc<Self>, task: F) -> OnTime<F> {
        OnTime { wheel: self.clone(), task }
    }

    /// Starts a task of this worker, counted until it has ended or panicked.
    pub fn spawn(self: &Rc<Self>, task: impl Future<Output = ()> + 'static) {
        self.tasks.enter();
        tokio::task::spawn_local(Spawned { live: Live(self.clone()), task });
    }

    /// Wakes what is due, for ever. One such task runs per worker.
    pub async fn drive(self: Rc<Self>) {
        loop {
            let slot = self.planned().await;
            let at = self.origin + Duration::from_nanos(slot * SLOT);
            let sleep = tokio::time::sleep_until(at.into());
            tokio::pin!(sleep);
            // An earlier deadline than the one slept for ends the sleep.
            std::future::poll_fn(|cx| {
                let mut inner = self.inner.borrow_mut();
                if inner.planned < slot || sleep.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(());
                }
                inner.driver = Some(cx.waker().clone());
                Poll::Pending
            })
            .await;
            self.advance(self.now());
        }
    }

    fn planned(&self) -> impl Future<Output = u64> + '_ {
        std::future::poll_fn(|cx| {
            let mut inner = self.inner.borrow_mut();
            if inner.planned == u64::MAX {
                inner.driver = Some(cx.waker().clone());
                return Poll::Pending;
            }
            Poll::Ready(inner.planned)
        })
    }

    /// Fires all that is due at `now`, files the rest of those slots again.
    fn advance(&self, now: Tick) {
        let inner = &mut *self.inner.borrow_mut();
        let last = now.0 / SLOT;
        // After a long stall every slot is looked at once, not once per lap.
        let from = inner.next.max(last.saturating_sub(SLOTS - 1));
        inner.next = inner.next.max(last + 1);
        // Filed again only after the loop: a slot just ahead of `last` has the place of one that is still to be
        // looked at.
        let mut again = Vec::new();
        for slot in from..=last {
            let mut due = std::mem::take(&mut inner.ring[(slot % SLOTS) as usize]);
            for key in due.drain(..) {
                let Some(entry) = inner.entries.get_mut(key as usize) else { continue };
                // A stale note: the entry was filed elsewhere since, or belongs to a new owner.
                if entry.filed > last {
                    continue;
                }
                entry.filed = u64::MAX;
                if entry.due <= last {
                    entry.due = u64::MAX;
                    // Who was fired by hand and has not noticed yet must hear why.
                    if entry.fired.is_none() {
                        fire(entry, Fired::Deadline);
                    }
                } else if entry.due != u64::MAX {
                    again.push(key);
                }
            }
            // Keep the allocation unless the slot was filled again meanwhile.
            let place = &mut inner.ring[(slot % SLOTS) as usize];
            if place.is_empty() {
                *place = due;
            }
        }
        for key in again {
            let entry = &mut inner.entries[key as usize];
            let at = entry.due.min(last + SLOTS);
            entry.filed = at;
            inner.ring[(at % SLOTS) as usize].push(key);
        }
        while let Some((_, waker)) = inner.soon.pop_front_if(|(slot, _)| *slot <= last) {
            waker.wake();
        }
        let soon = inner.soon.front().map_or(u64::MAX, |(slot, _)| *slot);
        let timer = (inner.next..inner.next + SLOTS)
            .find(|slot| !inner.ring[(slot % SLOTS) as usize].is_empty())
            .unwrap_or(u64::MAX);
        inner.planned = timer.min(soon);
    }

    /// Wakes a task once, after [`WAKE_SOON`]: cheaper than a timer for what will hardly ever be needed.
    pub fn wake_soon(&self, waker: &Waker) {
        let slot = slot_after(self.now() + WAKE_SOON);
        let inner = &mut *self.inner.borrow_mut();
        inner.soon.push_back((slot, waker.clone()));
        inner.plan(slot);
    }

    /// Fires every timer whose tag is meant. Looks at all of them: for rare events only.
    pub fn fire_where(&self, meant: impl Fn(Tag) -> bool, why: Fired) {
        for (_, entry) in self.inner.borrow_mut().entries.iter_mut() {
            if meant(entry.tag) {
                fire(entry, why);
            }
        }
    }

    /// Fires the timers with the earliest deadlines among those whose tag is meant: `most`, or as many as there are.
    /// Says how many. Looks at all of them.
    pub fn fire_first(&self, meant: impl Fn(Tag) -> bool, most: usize, why: Fired) -> usize {
        let inner = &mut *self.inner.borrow_mut();
        let found = inner.entries.iter().filter(|(_, entry)| meant(entry.tag) && entry.fired.is_none());
        let mut found: Vec<(u64, usize)> = found.map(|(key, entry)| (entry.due, key)).collect();
        if found.len() > most {
            found.select_nth_unstable(most);
            found.truncate(most);
        }
        for (_, key) in &found {
            fire(&mut inner.entries[*key], why);
        }
        found.len()
    }

    /// A timer without a deadline.
    pub fn timer(self: &Rc<Self>) -> Timer {
        let entry = Entry { due: u64::MAX, filed: u64::MAX, ..Entry::default() };
        let key = self.inner.borrow_mut().entries.insert(entry);
        Timer { wheel: self.clone(), key }
    }
}

fn fire(entry: &mut Entry, why: Fired) {
    entry.fired = Some(why);
    if let Some(waker) = entry.waker.take() {
        waker.wake();
    }
}

fn tick_since(origin: Instant) -> Tick {
    Tick(origin.elapsed().as_nanos() as u64)
}

/// The first slot that is wholly after `tick`.
fn slot_after(tick: Tick) -> u64 {
    tick.0 / SLOT + 1
}

pin_project! {
    /// A task of the worker whose clock this wheel keeps (see [`Wheel::on_time`]).
    pub struct OnTime<F> {
        wheel: Rc<Wheel>,
        #[pin]
        task: F,
    }
}

/// Counts a task as live; tokio drops it with the task, also after a panic.
struct Live(Rc<Wheel>);

impl Drop for Live {
    fn drop(&mut self) {
        self.0.tasks.leave();
    }
}

pin_project! {
    /// As [`OnTime`], and counted.
    struct Spawned<F> {
        live: Live,
        #[pin]
        task: F,
    }
}

impl<F: Future> Future for Spawned<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        this.live.0.time.set(None);
        this.task.poll(cx)
    }
}

impl<F: Future> Future for OnTime<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        this.wheel.time.set(None);
        this.task.poll(cx)
    }
}

pin_project! {
    /// Work until the timer fires (see [`Timer::guard`]). Not an `async fn`, which would hold its argument twice.
    pub struct Guard<'a, F> {
        timer: &'a Timer,
        #[pin]
        work: F,
    }
}

impl<F: Future> Future for Guard<'_, F> {
    type Output = Result<F::Output, Fired>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        match this.work.poll(cx) {
            Poll::Ready(out) => Poll::Ready(Ok(out)),
            Poll::Pending => this.timer.poll_fired(cx).map(Err),
        }
    }
}

/// One owner's deadline on a [`Wheel`].
pub struct Timer {
    wheel: Rc<Wheel>,
    key: usize,
}

impl Timer {
    /// Sets the deadline and forgets an earlier firing. `None` = no deadline.
    pub fn set(&self, at: Option<Tick>) {
        let inner = &mut *self.wheel.inner.borrow_mut();
        let entry = &mut inner.entries[self.key];
        entry.fired = None;
        entry.due = at.map_or(u64::MAX, slot_after);
        if entry.due >= entry.filed {
            return;
        }
        let slot = entry.due.clamp(inner.next, inner.next + SLOTS - 1);
        entry.filed = slot;
        inner.ring[(slot % SLOTS) as usize].push(self.key as u32);
        inner.plan(slot);
    }

    /// The process's clock.
    pub fn now(&self) -> Tick {
        self.wheel.now()
    }

    /// Says what the owner waits for (see [`Tag`]).
    pub fn tag(&self, tag: Tag) {
        self.wheel.inner.borrow_mut().entries[self.key].tag = tag;
    }

    /// Ready once fired; the firing stays until the next [`Timer::set`].
    pub fn poll_fired(&self, cx: &mut Context<'_>) -> Poll<Fired> {
        let entry = &mut self.wheel.inner.borrow_mut().entries[self.key];
        if let Some(why) = entry.fired {
            return Poll::Ready(why);
        }
        match &entry.waker {
            Some(waker) if waker.will_wake(cx.waker()) => {}
            _ => entry.waker = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// Runs `work` until it ends or the timer fires; the work goes first when both are ready.
    pub fn guard<F: Future>(&self, work: F) -> Guard<'_, F> {
        Guard { timer: self, work }
    }

    /// Waits for the firing alone.
    pub fn fired(&self) -> impl Future<Output = Fired> + '_ {
        std::future::poll_fn(|cx| self.poll_fired(cx))
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        // A note left in the ring is harmless: `advance` checks that the entry there is due.
        self.wheel.inner.borrow_mut().entries.remove(self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fired(timer: &Timer) -> Option<Fired> {
        match timer.poll_fired(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(why) => Some(why),
            Poll::Pending => None,
        }
    }

    fn wheel() -> Rc<Wheel> {
        Wheel::new(Instant::now(), Arc::default())
    }

    #[test]
    fn a_deadline_fires_late_by_at_most_a_slot_and_never_early() {
        let wheel = wheel();
        let timer = wheel.timer();
        timer.set(Some(Tick::from_millis(100)));
        wheel.advance(Tick::from_millis(99));
        assert_eq!(fired(&timer), None);
        wheel.advance(Tick(100_000_000 + SLOT));
        assert_eq!(fired(&timer), Some(Fired::Deadline));
    }

    #[test]
    fn a_deadline_does_not_hide_what_fired_by_hand() {
        let wheel = wheel();
        let timer = wheel.timer();
        timer.tag(Tag::Resting);
        timer.set(Some(Tick::from_millis(20)));
        assert_eq!(wheel.fire_first(|tag| tag == Tag::Resting, 1, Fired::Evicted), 1);
        wheel.advance(Tick::from_secs(1));
        assert_eq!(fired(&timer), Some(Fired::Evicted));
    }

    #[test]
    fn a_deadline_moved_later_does_not_fire_at_its_old_slot() {
        let wheel = wheel();
        let timer = wheel.timer();
        timer.set(Some(Tick::from_millis(50)));
        timer.set(Some(Tick::from_secs(60)));
        for ms in (0..59_900).step_by(100) {
            wheel.advance(Tick::from_millis(ms));
            assert_eq!(fired(&timer), None, "at {ms} ms");
        }
        wheel.advance(Tick::from_millis(60_020));
        assert_eq!(fired(&timer), Some(Fired::Deadline));
    }

    #[test]
    fn a_deadline_moved_earlier_fires_once_at_its_new_slot() {
        let wheel = wheel();
        let timer = wheel.timer();
        timer.set(Some(Tick::from_secs(3)));
        timer.set(Some(Tick::from_millis(20)));
        wheel.advance(Tick::from_millis(40));
        assert_eq!(fired(&timer), Some(Fired::Deadline));
        timer.set(None);
        wheel.advance(Tick::from_secs(4));
        assert_eq!(fired(&timer), None, "the note of the first deadline is stale");
    }

    #[test]
    fn a_slot_is_not_inherited_by_the_next_owner_of_a_key() {
        let wheel = wheel();
        let first = wheel.timer();
        first.set(Some(Tick::from_millis(20)));
        drop(first);
        let second = wheel.timer();
        second.set(Some(Tick::from_secs(2)));
        wheel.advance(Tick::from_millis(500));
        assert_eq!(fired(&second), None);
        wheel.advance(Tick::from_millis(2_020));
        assert_eq!(fired(&second), Some(Fired::Deadline));
    }

    #[test]
    fn after_a_stall_longer_than_a_lap_everything_due_fires() {
        let wheel = wheel();
        let timers: Vec<Timer> = (0..50u64)
            .map(|i| {
                let timer = wheel.timer();
                timer.set(Some(Tick::from_millis(i * 100)));
                timer
            })
            .collect();
        wheel.advance(Tick::from_secs(100));
        assert!(timers.iter().all(|timer| fired(timer) == Some(Fired::Deadline)));
    }

    #[test]
    fn who_asked_to_be_woken_soon_is_woken_once_and_not_before_a_slot_has_passed() {
        struct Count(std::sync::atomic::AtomicU32);
        impl std::task::Wake for Count {
            fn wake(self: std::sync::Arc<Self>) {
                self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            }
        }
        let wheel = wheel();
        let count = std::sync::Arc::new(Count(Default::default()));
        let woken = || count.0.load(std::sync::atomic::Ordering::Relaxed);
        wheel.wake_soon(&Waker::from(count.clone()));
        let due = wheel.inner.borrow().planned;
        assert!(due * SLOT >= wheel.now().0 + SLOT && due * SLOT <= wheel.now().0 + 2 * SLOT);
        wheel.advance(Tick(due * SLOT - 1));
        assert_eq!((woken(), wheel.inner.borrow().planned), (0, due), "the driver must not sleep over it");
        wheel.advance(Tick(due * SLOT));
        assert_eq!((woken(), wheel.inner.borrow().planned), (1, u64::MAX));
    }

    #[test]
    fn the_first_of_the_tagged_are_fired_once() {
        let wheel = wheel();
        let timers: Vec<Timer> = (0..10).map(|_| wheel.timer()).collect();
        for (i, timer) in timers.iter().enumerate() {
            timer.set(Some(Tick::from_secs(100 - i as u64)));
            timer.tag(if i == 9 { Tag::None } else { Tag::Idle });
        }
        let first = |most| wheel.fire_first(|tag| tag == Tag::Idle, most, Fired::Evicted);
        assert_eq!((first(2), first(3), first(100), first(1)), (2, 3, 4, 0));
        assert_eq!(fired(&timers[8]), Some(Fired::Evicted));
        assert_eq!(fired(&timers[9]), None, "a tag that was not meant");
    }

    #[test]
    fn tasks_are_counted_until_they_end_and_a_panic_ends_one_and_no_other() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, async {
            let wheel = wheel();
            let (go, gone) = tokio::sync::oneshot::channel::<()>();
            wheel.spawn(async { drop(gone.await) });
            wheel.spawn(async { panic!("on purpose") });
            assert_eq!(wheel.tasks.get(), 2);
            tokio::task::yield_now().await;
            assert_eq!(wheel.tasks.get(), 1, "the other one lives");
            go.send(()).unwrap();
            while wheel.tasks.get() > 0 {
                tokio::task::yield_now().await;
            }
        });
    }

    #[test]
    fn only_the_tagged_are_fired_by_hand() {
        let wheel = wheel();
        let (a, b) = (wheel.timer(), wheel.timer());
        a.tag(Tag::FirstByte { endpoint: 7, lane: 1 });
        b.tag(Tag::Idle);
        wheel.fire_where(|tag| matches!(tag, Tag::FirstByte { endpoint: 7, .. }), Fired::EndpointDown);
        assert_eq!((fired(&a), fired(&b)), (Some(Fired::EndpointDown), None));
    }
}
