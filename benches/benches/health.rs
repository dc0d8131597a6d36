//! What the health engine pays for what workers tell it: a failure, the first success after one, an ejection, the
//! breaker, and its tick. All of it on the health thread, never on a request's; what telling costs a worker is in
//! `contention`.

use std::cell::Cell;
use std::fmt;
use std::hint::black_box;
use std::time::Duration;

use causeway_benches::fixture;
use causeway_proxy_policy::health::{
    At, Attempt, AttemptLog, ClusterHealthParams, ClusterId, Counters, EndpointCounts, EndpointId,
    EngineParams, Failure, HealthEngine, OutlierParams, PairCounts, Recovery, ServiceClusterParams,
    ServiceHealthParams, ServiceId, Trigger,
};
use causeway_proxy_policy::{FailureKind, Tick};
use divan::{AllocProfiler, Bencher};

/// Says of each benchmark whether it allocates.
#[global_allocator]
static ALLOCATOR: AllocProfiler<mimalloc::MiMalloc> = AllocProfiler::new(mimalloc::MiMalloc);

fn main() {
    divan::main();
}

/// Runs a sample: see `policy`.
const SAMPLE: u32 = 1_000;

/// Clusters of the one service.
const CLUSTERS: usize = 3;

const NOW: Tick = Tick::from_secs(100);

/// Endpoints in each cluster.
#[derive(Clone, Copy)]
struct Size(usize);

const SIZES: [Size; 3] = [Size(2), Size(250), Size(5_000)];

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{CLUSTERS} x {}", self.0)
    }
}

/// What the workers counted: nothing, beside the rings of the last attempts.
struct Counted {
    rings: Vec<Vec<u64>>,
}

impl Counted {
    /// Each worker's last attempts, `failed` in turn.
    fn new(workers: usize, failed: &[bool]) -> Counted {
        let attempt = |i: usize| {
            let ended = Tick::from_millis(NOW.as_millis() - i as u64);
            Attempt {
                ended,
                sent: ended,
                endpoint: EndpointId((i % 2) as u32),
                failed: failed[i % failed.len()],
            }
        };
        let ring = || (0..causeway_proxy_policy::health::ATTEMPTS).map(|i| attempt(i).pack()).collect();
        Counted { rings: (0..workers).map(|_| ring()).collect() }
    }
}

impl Counters for Counted {
    fn pair(&self, _: ServiceId, _: usize) -> PairCounts {
        black_box(PairCounts::default())
    }

    fn slow(&self, _: ServiceId, _: usize, _: usize) -> u64 {
        black_box(0)
    }

    fn endpoint(&self, _: EndpointId) -> EndpointCounts {
        black_box(EndpointCounts::default())
    }

    fn attempts(&self, _: ServiceId, _: usize) -> AttemptLog {
        let mut log = AttemptLog::new();
        self.rings.iter().for_each(|ring| log.add(ring.iter().copied()));
        log
    }
}

/// One service over three clusters, watched as a full configuration has it. `in_row` failures eject an endpoint, and
/// so many open the breaker (0 = never).
fn engine(size: Size, in_row: u32, breaker: u32) -> HealthEngine {
    let outlier = OutlierParams {
        consecutive_errors: in_row,
        consecutive_local_origin: in_row,
        ..OutlierParams::default()
    };
    let cluster = |c: usize| {
        let endpoint = |i: usize| (EndpointId(i as u32), format!("{}:8080", fixture::address(i)));
        ClusterHealthParams {
            name: format!("c{c}"),
            endpoints: (c * size.0..(c + 1) * size.0).map(endpoint).collect(),
            outlier: outlier.clone(),
            probe: None,
            capacity: None,
        }
    };
    let entry = |c: usize| ServiceClusterParams {
        name: format!("c{c}"),
        cluster: ClusterId(c as u32),
        triggers: vec![
            Trigger::high_latency(0.99, Duration::from_millis(500)),
            Trigger::high_error_rate(0.05),
        ],
        failover: (0..CLUSTERS).filter(|&other| other != c).collect(),
    };
    let service = ServiceHealthParams {
        name: "api".to_owned(),
        overprovisioning: 2.0,
        breaker_errors: breaker,
        recovery: Recovery::default(),
        clusters: (0..CLUSTERS).map(entry).collect(),
    };
    let clusters = (0..CLUSTERS).map(cluster).collect();
    let mut engine = HealthEngine::new(Tick(0), 0);
    engine.reconfigure(EngineParams { clusters, services: vec![service] }, NOW);
    engine
}

/// The endpoints of the first cluster in turn.
struct Turn {
    size: Size,
    next: Cell<usize>,
}

impl Turn {
    fn new(size: Size) -> Turn {
        Turn { size, next: Cell::new(0) }
    }

    fn next(&self) -> At {
        let i = (self.next.get() + 1) % self.size.0;
        self.next.set(i);
        At { service: ServiceId(0), cluster: 0, endpoint: EndpointId(i as u32) }
    }
}

const RESET: Failure = Failure { kind: FailureKind::Reset, sent_at: NOW, at: NOW };

/// Never reached.
const NEVER: u32 = u32::MAX;

/// A failure that ejects nobody, without a breaker: the endpoint's run, and the service's clusters settled anew.
#[divan::bench(args = SIZES, sample_size = SAMPLE)]
fn failure(bencher: Bencher, size: Size) {
    let (mut engine, turn) = (engine(size, NEVER, 0), Turn::new(size));
    let counted = Counted::new(1, &[true]);
    bencher.bench_local(|| engine.on_failure(NOW, turn.next(), RESET, &counted));
}

/// The first success after a failure, which ends the endpoint's run.
#[divan::bench(args = SIZES, sample_size = SAMPLE)]
fn first_success(bencher: Bencher, size: Size) {
    let (mut engine, turn) = (engine(size, NEVER, 5), Turn::new(size));
    bencher.bench_local(|| engine.on_success(NOW, turn.next(), NOW, NOW));
}

/// The failure that ejects, with its event, and the return by hand (a timer's does the same).
#[divan::bench(args = SIZES, sample_size = SAMPLE)]
fn ejection_and_return(bencher: Bencher, size: Size) {
    let (mut engine, turn) = (engine(size, 1, 0), Turn::new(size));
    let counted = Counted::new(1, &[true]);
    let mut once = || {
        let at = turn.next();
        engine.on_failure(NOW, at, RESET, &counted);
        engine.eject_by_hand(NOW, at.endpoint, Duration::ZERO);
        engine.drain_events().count()
    };
    assert_eq!(once(), 2, "it is ejected and returns, and no cluster's admission moves");
    bencher.bench_local(once);
}

/// A failure in the face of the breaker, which merges the last attempts of so many workers and stays shut: one in
/// four of them failed.
#[divan::bench(args = [1, 8, 64], sample_size = 100)]
fn breaker(bencher: Bencher, workers: usize) {
    let size = Size(250);
    let (mut engine, turn) = (engine(size, NEVER, 5), Turn::new(size));
    let counted = Counted::new(workers, &[true, false, false, false]);
    engine.on_failure(NOW, turn.next(), RESET, &counted);
    assert_eq!(engine.drain_events().count(), 0, "the breaker stays shut");
    bencher.bench_local(|| engine.on_failure(NOW, turn.next(), RESET, &counted));
}

/// The failure that opens it: the same, the trip, and the events of that.
#[divan::bench(args = [1, 8, 64], sample_size = 100)]
fn breaker_opens(bencher: Bencher, workers: usize) {
    let size = Size(2);
    let counted = Counted::new(workers, &[true]);
    let turn = Turn::new(size);
    bencher.with_inputs(|| engine(size, NEVER, 5)).bench_local_refs(|engine| {
        engine.on_failure(NOW, turn.next(), RESET, &counted);
        let events = engine.drain_events().count();
        debug_assert!(events > 0, "it opens");
        events
    });
}

/// What happens every 100 ms: timers of all endpoints, the windows of all triggers. Ten times a second, so a
/// microsecond here is a hundred-thousandth of a CPU.
#[divan::bench(args = SIZES, sample_size = 10)]
fn tick(bencher: Bencher, size: Size) {
    let mut engine = engine(size, 5, 5);
    let counted = Counted::new(2, &[false]);
    bencher.bench_local(|| engine.tick(NOW, &counted));
}

/// The same once in 30 s, when the endpoints are compared with each other.
#[divan::bench(args = SIZES, sample_size = 10)]
fn tick_with_a_sweep(bencher: Bencher, size: Size) {
    let mut engine = engine(size, 5, 5);
    let counted = Counted::new(2, &[false]);
    let mut now = NOW;
    bencher.bench_local(|| {
        now = now + Duration::from_secs(30);
        engine.tick(now, &counted);
    });
}
