//! One worker: a thread with a runtime of its own that accepts, proxies and pools by itself.
//!
//! One current-thread runtime per core instead of a work-stealing one: no request ever moves between cores, so
//! its state needs no lock and its futures need not be `Send`. What must be shared (exact limits, health) is in
//! atomics of the registry; everything else reaches a worker by mail.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;

use causeway_proxy_http1::{RequestHead, ResponseHead};
use causeway_proxy_policy::Tick;
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use crate::http::buffer::BufferPool;
use crate::http::h2::Servants;
use crate::listen::accept;
use crate::overload::Load;
use crate::shared::Shared;
use crate::snapshot::{PortKey, Snapshot};
use crate::telemetry::counters::WorkerCounters;
use crate::telemetry::log;
use crate::telemetry::panics::Vital;
use crate::timer::{Fired, Tag, Wheel};
use crate::upstream::pool::Pools;

/// What the rest of the process tells a worker.
pub enum Mail {
    /// Serve by this from the next request on.
    Snapshot(Arc<Snapshot>),
    /// Accept on this socket.
    Listen(PortKey, TcpListener),
    /// Stop accepting on this address.
    Unlisten(PortKey),
    /// Give further descriptors of all sockets that are accepted from.
    Lend(UnboundedSender<io::Result<Vec<(PortKey, OwnedFd)>>>),
    /// The endpoint with this id is out of service: idempotent requests that wait for its first byte move on.
    EndpointDown(u32),
    /// The breaker of the lane with this id opened: the same for requests that wait in it.
    LaneDown(u32),
    /// Another worker needs a connection to the lane with this id: close the oldest idle one.
    Evict(u32),
    /// Stop accepting, answer with `Connection: close`, finish what is under way.
    Drain {
        /// A successor accepts from the same sockets: leave it what waits in them.
        handed_over: bool,
    },
    /// Close idle connections.
    CloseIdle,
    /// Another worker had to refuse a client: close those that have been idle longest.
    MakeRoom,
}

/// Sends to every worker.
#[derive(Clone)]
pub struct Mailboxes(pub Arc<[UnboundedSender<Mail>]>);

impl Mailboxes {
    /// Sends one mail to each worker.
    pub fn broadcast(&self, mut mail: impl FnMut() -> Mail) {
        for sender in self.0.iter() {
            // A worker that is gone needs no mail.
            let _ = sender.send(mail());
        }
    }

    /// Sends to all but `index`.
    pub fn to_others(&self, index: usize, mut mail: impl FnMut() -> Mail) {
        for (_, sender) in self.0.iter().enumerate().filter(|(i, _)| *i != index) {
            let _ = sender.send(mail());
        }
    }
}

/// A worker's own state; everything in it stays on its thread.
pub struct Worker {
    /// Which worker this is, and so which cells of the registry are its own.
    pub index: usize,
    /// What all threads share.
    pub shared: Arc<Shared>,
    /// Deadlines of all its connections.
    pub wheel: Rc<Wheel>,
    /// Spare read buffers.
    pub buffers: BufferPool,
    /// Spare tasks for HTTP/2 streams.
    pub servants: Servants,
    /// Idle upstream connections.
    pub pools: Pools,
    /// What is in flight, and how long the queue is.
    pub load: Load,
    snapshot: RefCell<Rc<Held>>,
    draining: Cell<bool>,
    handed_over: Cell<bool>,
    listening: RefCell<Vec<Listening>>,
    /// Connections that were evicted for others that have not come yet.
    leaving: Cell<usize>,
    /// When idle connections are to be looked for again, after none was found.
    search_after: Cell<Tick>,
    #[allow(clippy::vec_box, reason = "what is kept here is handed out boxed")]
    request_heads: RefCell<Vec<Box<RequestHead>>>,
    #[allow(clippy::vec_box, reason = "as above")]
    response_heads: RefCell<Vec<Box<ResponseHead>>>,
    rolls: Cell<u64>,
    date: Cell<(Tick, [u8; DATE_BYTES])>,
}

/// Bytes of an IMF-fixdate (RFC 9110 section 5.6.7).
const DATE_BYTES: usize = 29;

/// How old the date may be that is kept as text: it is said in seconds.
const DATE_AGE: std::time::Duration = std::time::Duration::from_millis(200);

/// A snapshot as one worker holds it. Requests count their use of it in an `Rc`, so that no two workers write the
/// same counter.
pub struct Held(Arc<Snapshot>);

impl std::ops::Deref for Held {
    type Target = Snapshot;

    fn deref(&self) -> &Snapshot {
        &self.0
    }
}

/// Idle connections that are closed at once when there is no place for a new one.
const EVICT: usize = 32;

/// Pause after a search for idle connections in vain: it looks at all of them, and each refused client asks for one.
const SEARCH_EVERY: std::time::Duration = std::time::Duration::from_millis(10);
/// A socket that is accepted from.
struct Listening {
    key: PortKey,
    socket: Rc<accept::Listener>,
    stop: Rc<Notify>,
}

/// Spare heads kept per worker.
const KEEP: usize = 256;

/// A head above this is not kept: a burst of large ones must not stay in memory.
const KEEP_BYTES: usize = 32 * 1024;

impl Worker {
    /// A worker that serves `snapshot`.
    pub fn new(index: usize, shared: Arc<Shared>, snapshot: Arc<Snapshot>) -> Rc<Worker> {
        let seed = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), index);
        Rc::new(Worker {
            index,
            wheel: Wheel::new(shared.started, shared.counters[index].tasks.clone()),
            buffers: BufferPool::default(),
            servants: Servants::default(),
            pools: Pools::new(index, shared.clone()),
            load: Load::default(),
            shared,
            snapshot: RefCell::new(Rc::new(Held(snapshot))),
            draining: Cell::new(false),
            handed_over: Cell::new(false),
            listening: RefCell::default(),
            leaving: Cell::default(),
            search_after: Cell::default(),
            request_heads: RefCell::default(),
            response_heads: RefCell::default(),
            rolls: Cell::new(seed | 1),
            date: Cell::new((Tick(0), [0; DATE_BYTES])),
        })
    }

    /// Runs until the process ends.
    pub async fn run(self: Rc<Self>, mut mail: UnboundedReceiver<Mail>) {
        self.wheel.spawn(Vital("a worker's timers").watch(self.wheel.clone().drive()));
        self.wheel.spawn(self.clone().sweep_pools());
        self.wheel.spawn(Vital("a worker's measure of its queue").watch(Load::measure(self.clone())));
        while let Some(mail) = self.wheel.on_time(mail.recv()).await {
            match mail {
                Mail::Snapshot(snapshot) => {
                    self.pools.retain(&snapshot);
                    *self.snapshot.borrow_mut() = Rc::new(Held(snapshot));
                }
                Mail::Listen(key, listener) => self.listen(key, listener),
                Mail::Unlisten(key) => self.unlisten(Some(key)),
                Mail::EndpointDown(id) => {
                    self.pools.drop_endpoint(id);
                    let waits = |tag| matches!(tag, Tag::FirstByte { endpoint, .. } if endpoint == id);
                    self.wheel.fire_where(waits, Fired::EndpointDown);
                }
                Mail::LaneDown(id) => {
                    let waits = |tag| matches!(tag, Tag::FirstByte { lane, .. } if lane == id);
                    self.wheel.fire_where(waits, Fired::EndpointDown);
                }
                Mail::Evict(lane) => {
                    if !self.pools.evict_oldest(lane) {
                        self.pools.evict_unused(lane);
                    }
                }
                Mail::Lend(reply) => {
                    let _ = reply.send(self.lend());
                }
                Mail::Drain { handed_over } => {
                    self.draining.set(true);
                    self.handed_over.set(handed_over);
                    self.unlisten(None);
                    self.wheel.fire_where(|tag| matches!(tag, Tag::Http2 | Tag::Http2Idle), Fired::Drain);
                }
                Mail::MakeRoom => {
                    self.evict();
                }
                Mail::CloseIdle => {
                    self.wheel.fire_where(|tag| matches!(tag, Tag::Idle | Tag::Resting), Fired::Drain)
                }
            }
        }
    }

    fn listen(self: &Rc<Self>, key: PortKey, listener: TcpListener) {
        match accept::Listener::new(listener) {
            Ok(socket) => {
                let (socket, stop) = (Rc::new(socket), Rc::new(Notify::new()));
                let accepts = accept::accept_all(self.clone(), key, socket.clone(), stop.clone());
                self.wheel.spawn(Vital("accepting").watch(accepts));
                self.listening.borrow_mut().push(Listening { key, socket, stop });
            }
            Err(e) => {
                let worker = self.index;
                log::event("listen", format_args!("worker {worker}: cannot listen on {key}: {e}"));
            }
        }
    }

    fn unlisten(&self, only: Option<PortKey>) {
        self.listening.borrow_mut().retain(|listening| {
            let ends = only.is_none_or(|only| only == listening.key);
            if ends {
                listening.stop.notify_one();
            }
            !ends
        });
    }

    /// Takes a place for a new connection of a client; false = all are taken, by clients that do something.
    ///
    /// At the limit those that have been idle longest give way, so that a hoard of silent connections keeps nobody
    /// out. They end on their own wake-ups: until then the count is above the limit, by `EVICT` a worker at most.
    pub fn take_place(&self, limit: u32) -> bool {
        let taken = &self.shared.downstream;
        if taken.try_take(limit) {
            self.leaving.set(0);
            return true;
        }
        let mut leaving = self.leaving.get();
        if leaving == 0 && self.now() >= self.search_after.get() {
            leaving = self.evict();
            if leaving == 0 {
                self.search_after.set(self.now() + SEARCH_EVERY);
                if let Some(boxes) = self.shared.mail.get() {
                    boxes.to_others(self.index, || Mail::MakeRoom);
                }
            }
        }
        let Some(left) = leaving.checked_sub(1) else { return false };
        self.leaving.set(left);
        taken.take();
        true
    }

    /// Closes the idle connections that are oldest, or who was refused and rests, or those that have been at a request's
    /// head for longest. Several at once, since finding them means looking at all.
    fn evict(&self) -> usize {
        let first = |meant: fn(Tag) -> bool| self.wheel.fire_first(meant, EVICT, Fired::Evicted);
        let tiers: [fn(Tag) -> bool; 3] = [
            |tag| matches!(tag, Tag::Idle | Tag::Http2Idle),
            |tag| tag == Tag::Resting,
            |tag| tag == Tag::Head,
        ];
        tiers.into_iter().map(first).find(|evicted| *evicted > 0).unwrap_or(0)
    }

    fn lend(&self) -> io::Result<Vec<(PortKey, OwnedFd)>> {
        let listening = self.listening.borrow();
        listening.iter().map(|listening| Ok((listening.key, listening.socket.lend()?))).collect()
    }

    /// Closes upstream connections that idled too long, once a second.
    async fn sweep_pools(self: Rc<Self>) {
        let mut every = tokio::time::interval(std::time::Duration::from_secs(1));
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            every.tick().await;
            self.pools.sweep(self.now());
        }
    }

    /// The process's clock, as of this task's wake-up.
    pub fn now(&self) -> Tick {
        self.wheel.now()
    }

    /// The time of day, as `Date` says it.
    pub fn date(&self) -> [u8; DATE_BYTES] {
        let (made, text) = self.date.get();
        let now = self.now();
        // The first one is all zeros.
        if text[0] != 0 && now.since(made) < DATE_AGE {
            return text;
        }
        let written = httpdate::fmt_http_date(std::time::SystemTime::now());
        let text = written.as_bytes().first_chunk().copied().unwrap_or(text);
        self.date.set((now, text));
        text
    }

    /// The snapshot that a request takes once and keeps through its retries.
    pub fn snapshot(&self) -> Rc<Held> {
        self.snapshot.borrow().clone()
    }

    /// This worker's own counters.
    pub fn counters(&self) -> &WorkerCounters {
        &self.shared.counters[self.index]
    }

    /// Whether connections should end after the request under way.
    pub fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Whether a successor accepts from the sockets that this process listened on.
    pub fn has_handed_over(&self) -> bool {
        self.handed_over.get()
    }

    /// A pseudo-random number (SplitMix64): chance for balancing and backoff, not for secrets.
    pub fn roll(&self) -> u64 {
        let state = self.rolls.get().wrapping_add(0x9E37_79B9_7F4A_7C15);
        self.rolls.set(state);
        let z = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A request head to be filled, its memory used before. Boxed: it is passed on more often than made.
    pub fn take_request_head(&self) -> Box<RequestHead> {
        self.request_heads.borrow_mut().pop().unwrap_or_default()
    }

    /// Takes a request head back.
    pub fn give_request_head(&self, head: Box<RequestHead>) {
        let mut spare = self.request_heads.borrow_mut();
        if spare.len() < KEEP && head.bytes.capacity() <= KEEP_BYTES {
            spare.push(head);
        }
    }

    /// A response head to be filled, its memory used before.
    pub fn take_response_head(&self) -> Box<ResponseHead> {
        self.response_heads.borrow_mut().pop().unwrap_or_default()
    }

    /// Takes a response head back.
    pub fn give_response_head(&self, head: Box<ResponseHead>) {
        let mut spare = self.response_heads.borrow_mut();
        if spare.len() < KEEP && head.bytes.capacity() <= KEEP_BYTES {
            spare.push(head);
        }
    }
}
