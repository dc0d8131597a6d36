//! A new snapshot put in force: what it costs a reader, whoever swaps, and the one who is told.
//!
//! A worker does not read the one `ArcSwap` that there is. It is sent the new snapshot and keeps it in an `Rc`; what a
//! request pays is a clone of that (`worker_reads`). What it would pay otherwise stands beside it: the `ArcSwap`'s
//! guard, and the full load that the admin address does.

use std::fmt;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Instant, SystemTime};

use arc_swap::ArcSwap;
use causeway_benches::fixture::{LARGE, SMALL, Shape};
use causeway_benches::rival::Rival;
use causeway_config::{Config, Source, Strictness};
use causeway_proxy::health::HealthHandle;
use causeway_proxy::listen::crowd::Crowd;
use causeway_proxy::shared::Shared;
use causeway_proxy::snapshot::Snapshot;
use causeway_proxy::snapshot::cell::SnapshotCell;
use causeway_proxy::snapshot::compile::compile;
use causeway_proxy::telemetry::access_log::AccessLog;
use causeway_proxy::upstream::cell::Limit;
use causeway_proxy::upstream::discover::Discovered;
use causeway_proxy::upstream::registry::Registry;
use causeway_proxy::worker::{Mail, Mailboxes, Worker};
use divan::{AllocProfiler, Bencher};
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::LocalSet;

/// The proxy's allocator, with counts.
#[global_allocator]
static ALLOCATOR: AllocProfiler<mimalloc::MiMalloc> = AllocProfiler::new(mimalloc::MiMalloc);

fn main() {
    divan::main();
}

/// Runs a sample: see `policy`.
const SAMPLE: u32 = 1_000;

#[derive(Clone, Copy)]
struct Named(Shape);

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.name())
    }
}

const SHAPES: [Named; 2] = [Named(SMALL), Named(LARGE)];

/// What the other CPU does meanwhile.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Beside {
    Nothing,
    /// Reads as the timed one does.
    AReader,
    /// Swaps without a pause.
    ASwapper,
}

const BESIDE: [Beside; 3] = [Beside::Nothing, Beside::AReader, Beside::ASwapper];

fn config(shape: Shape) -> Config {
    let text = shape.text(([127, 0, 0, 1], 8000).into(), 9000);
    causeway_config::load(&[Source::new("scale.yaml", text)], Strictness::Proxy).expect("valid").config
}

/// Two snapshots of one configuration, as before and after a reload that changed nothing.
fn two(shape: Shape, registry: &Registry) -> [Arc<Snapshot>; 2] {
    let first = compile(config(shape), &Discovered::default(), registry, None).expect("it compiles");
    let second = compile(config(shape), &Discovered::default(), registry, Some(&first)).expect("it compiles");
    [Arc::new(first), Arc::new(second)]
}

/// A worker at its desk: its mail is read when it is asked to.
struct Desk {
    runtime: Runtime,
    tasks: LocalSet,
    worker: Rc<Worker>,
    mail: UnboundedSender<Mail>,
}

impl Desk {
    fn new(shape: Shape) -> (Desk, [Arc<Snapshot>; 2]) {
        let registry = Arc::new(Registry::new(1));
        let snapshots = two(shape, &registry);
        let shared = Shared {
            started: Instant::now(),
            born: SystemTime::now(),
            generation: 0,
            crowd: Crowd::default(),
            workers: 1,
            registry,
            snapshots: SnapshotCell::new(snapshots[0].clone()),
            downstream: Limit::default(),
            counters: Shared::counters(1),
            mail: OnceLock::new(),
            health: HealthHandle::new().0,
            access_log: AccessLog::start(),
            draining: AtomicBool::new(false),
            config_status: Mutex::default(),
            discovery: Arc::default(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let tasks = LocalSet::new();
        let worker = Worker::new(0, Arc::new(shared), snapshots[0].clone());
        // Its table of pools as it is once every endpoint was used: a new snapshot is held against all of it.
        for lane in snapshots[0].services.iter().flat_map(|service| &service.lanes) {
            lane.endpoints.iter().for_each(|endpoint| drop(worker.pools.speaks(lane, endpoint)));
        }
        let (mail, mailbox) = unbounded_channel();
        tasks.spawn_local(worker.clone().run(mailbox));
        (Desk { runtime, tasks, worker, mail }, snapshots)
    }

    /// Lets the worker's tasks run until they wait.
    fn read_mail(&self) {
        self.tasks.block_on(&self.runtime, async {
            for _ in 0..3 {
                tokio::task::yield_now().await;
            }
        });
    }
}

/// What a request pays for its snapshot. Beside a swapper the worker gets a new one by mail before each sample, as
/// fast as it can take them.
#[divan::bench(args = [Beside::Nothing, Beside::ASwapper], sample_size = SAMPLE)]
fn worker_reads(bencher: Bencher, beside: Beside) {
    let (desk, snapshots) = Desk::new(SMALL);
    let taken = Arc::new(AtomicBool::new(true));
    let _rival = (beside == Beside::ASwapper).then(|| {
        let (shared, mail, taken) = (desk.worker.shared.clone(), desk.mail.clone(), taken.clone());
        let mut turn = 0;
        Rival::start(move || {
            turn ^= 1;
            shared.snapshots.store(snapshots[turn].clone());
            // At most one letter at a time, or they would pile up.
            if taken.swap(false, Relaxed) {
                let _ = mail.send(Mail::Snapshot(snapshots[turn].clone()));
            }
        })
    });
    let calls = std::cell::Cell::new(0u32);
    let between_samples = || {
        calls.set(calls.get() + 1);
        if calls.get().is_multiple_of(SAMPLE) {
            desk.read_mail();
            taken.store(true, Relaxed);
        }
    };
    bencher.with_inputs(between_samples).bench_local_values(|()| drop(desk.worker.snapshot()));
}

/// The same by an `ArcSwap`'s guard.
#[divan::bench(args = BESIDE, sample_size = SAMPLE)]
fn arc_swap_guard(bencher: Bencher, beside: Beside) {
    read(bencher, beside, ArcSwap::new, |cell| drop(cell.load()), ArcSwap::store);
}

/// The same by a full load, which counts its use in the snapshot that all share.
#[divan::bench(args = BESIDE, sample_size = SAMPLE)]
fn full_load(bencher: Bencher, beside: Beside) {
    read(bencher, beside, SnapshotCell::new, |cell| drop(cell.load()), SnapshotCell::store);
}

/// Times `load` of a shared cell, with another CPU loading or storing beside it.
fn read<C: Send + Sync + 'static>(
    bencher: Bencher,
    beside: Beside,
    new: fn(Arc<Snapshot>) -> C,
    load: fn(&C),
    store: fn(&C, Arc<Snapshot>),
) {
    let snapshots = two(SMALL, &Registry::new(1));
    let cell = Arc::new(new(snapshots[0].clone()));
    let (theirs, mut turn) = (cell.clone(), 0);
    let _rival = match beside {
        Beside::Nothing => None,
        Beside::AReader => Some(Rival::start(move || load(&theirs))),
        Beside::ASwapper => Some(Rival::start(move || {
            turn ^= 1;
            store(&theirs, snapshots[turn].clone());
        })),
    };
    bencher.bench_local(|| load(&cell));
}

/// What the `ArcSwap` costs who swaps, while a reader holds and drops it without a pause.
#[divan::bench(args = [Beside::Nothing, Beside::AReader], sample_size = SAMPLE)]
fn store(bencher: Bencher, beside: Beside) {
    let snapshots = two(SMALL, &Registry::new(1));
    let cell = Arc::new(SnapshotCell::new(snapshots[0].clone()));
    let theirs = cell.clone();
    let _rival = (beside == Beside::AReader).then(|| Rival::start(move || drop(theirs.load())));
    let mut turn = 0;
    bencher.bench_local(|| {
        turn ^= 1;
        cell.store(snapshots[turn].clone());
    });
}

/// All that is done at the moment of a reload, for so many workers: the pointer, and a letter to each.
#[divan::bench(args = [1, 8, 64], sample_size = 100)]
fn store_and_mail(bencher: Bencher, workers: usize) {
    let snapshots = two(SMALL, &Registry::new(1));
    let cell = SnapshotCell::new(snapshots[0].clone());
    let (senders, mut boxes): (Vec<_>, Vec<_>) = (0..workers).map(|_| unbounded_channel()).unzip();
    let mailboxes = Mailboxes(senders.into());
    let mut turn = 0;
    let empty = || boxes.iter_mut().for_each(|mailbox| while mailbox.try_recv().is_ok() {});
    bencher.with_inputs(empty).bench_local_values(|()| {
        turn ^= 1;
        cell.store(snapshots[turn].clone());
        mailboxes.broadcast(|| Mail::Snapshot(snapshots[turn].clone()));
    });
}

/// What a worker pays for one reload: woken, its pools held against the new snapshot, the `Rc` exchanged. An idle turn
/// of the runtime (`idle_turn`) is in it.
#[divan::bench(args = SHAPES, sample_size = 10)]
fn worker_takes_it(bencher: Bencher, shape: Named) {
    let (desk, snapshots) = Desk::new(shape.0);
    desk.read_mail();
    let mut turn = 0;
    let mut take = || {
        turn ^= 1;
        let _ = desk.mail.send(Mail::Snapshot(snapshots[turn].clone()));
        desk.read_mail();
        std::ptr::eq(&**desk.worker.snapshot(), &*snapshots[turn])
    };
    assert!(take(), "the letter is read in one turn");
    bencher.bench_local(take);
}

/// See `worker_takes_it`.
#[divan::bench(sample_size = 10)]
fn idle_turn(bencher: Bencher) {
    let (desk, _) = Desk::new(SMALL);
    bencher.bench_local(|| desk.read_mail());
}

/// The end of the old snapshot, on the thread that lets go of it last: the control thread, or a worker, whose requests
/// wait that long. The endpoints' state lives on in the next one.
#[divan::bench(args = SHAPES, sample_size = 1)]
fn last_drop(bencher: Bencher, shape: Named) {
    let registry = Registry::new(1);
    let (config, next) = (config(shape.0), two(shape.0, &registry));
    bencher
        .with_inputs(|| {
            Arc::new(
                compile(config.clone(), &Discovered::default(), &registry, Some(&next[0]))
                    .expect("it compiles"),
            )
        })
        .bench_local_values(drop);
}
