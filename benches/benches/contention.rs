//! The cost of each cache line that two workers write: the same act by one thread alone, and while another CPU does it
//! without a pause. `README.md` lists the lines.
//!
//! Both are extremes. A worker writes a line twice in some 12 us of a request, not all the time; so of two workers one
//! pays the difference now and then, of sixty-four nearly always.

use std::sync::Arc;

use causeway_benches::fixture;
use causeway_benches::rival::Rival;
use causeway_proxy::health::{HealthHandle, HealthInput};
use causeway_proxy::upstream::cell::Limit;
use causeway_proxy::upstream::endpoint::EndpointState;
use causeway_proxy::upstream::lane::LaneState;
use causeway_proxy::upstream::permit::{ConnectionPermit, RequestPermit};
use causeway_proxy::upstream::registry::Registry;
use causeway_proxy_policy::health::Failure;
use causeway_proxy_policy::retry_budget::RetryBudget;
use causeway_proxy_policy::route_table::{MatchSpec, PathSpec, RequestView, RouteTable, RuleSpec};
use causeway_proxy_policy::{FailureKind, Tick};
use divan::{AllocProfiler, Bencher};

/// Says of each benchmark whether it allocates.
#[global_allocator]
static ALLOCATOR: AllocProfiler<mimalloc::MiMalloc> = AllocProfiler::new(mimalloc::MiMalloc);

fn main() {
    divan::main();
}

/// Runs a sample: long enough (a millisecond) for a line to travel thousands of times.
const SAMPLE: u32 = 50_000;

const MAX: u32 = 1_000_000;

/// What the other CPU does meanwhile.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Beside {
    /// Nothing.
    Nobody,
    /// The same, as worker 1.
    Another,
    /// The same at a lane or an endpoint of its own: what is left then is the machine's, or a line that should not be
    /// shared.
    Elsewhere,
}

const TWO: [Beside; 2] = [Beside::Nobody, Beside::Another];
const THREE: [Beside; 3] = [Beside::Nobody, Beside::Another, Beside::Elsewhere];

/// Live state for two workers: two lanes, and two endpoints that lie as near to each other as those of a cluster do.
struct Live {
    registry: Registry,
    lanes: [Arc<LaneState>; 2],
    endpoints: [Arc<EndpointState>; 2],
}

impl Live {
    fn new() -> Live {
        let registry = Registry::new(2);
        let lanes = ["c0", "c1"].map(|cluster| registry.lane("api", cluster));
        let make = |i| registry.endpoint("c0", &format!("{}:8080", fixture::address(i)));
        let mut made: Vec<_> = (0..64).map(make).collect();
        made.sort_by_key(|endpoint| Arc::as_ptr(endpoint).addr());
        let gap = |i: usize| Arc::as_ptr(&made[i + 1]).addr() - Arc::as_ptr(&made[i]).addr();
        let first = (0..63).min_by_key(|&i| gap(i)).unwrap_or(0);
        let endpoints = [made[first].clone(), made[first + 1].clone()];
        Live { registry, lanes, endpoints }
    }

    /// Where the rival works; `None` = there is none.
    fn of(&self, beside: Beside) -> Option<(Arc<LaneState>, Arc<EndpointState>)> {
        let i = match beside {
            Beside::Nobody => return None,
            Beside::Another => 0,
            Beside::Elsewhere => 1,
        };
        Some((self.lanes[i].clone(), self.endpoints[i].clone()))
    }
}

/// A request's permit of the exact limits, taken and given back: every try.
#[divan::bench(args = THREE, sample_size = SAMPLE)]
fn request_permit(bencher: Bencher, beside: Beside) {
    let live = Live::new();
    let (lane, endpoint) = (&live.lanes[0], &live.endpoints[0]);
    let _rival = live
        .of(beside)
        .map(|(lane, endpoint)| Rival::start(move || drop(RequestPermit::take(&lane, &endpoint, 1, MAX))));
    bencher.bench_local(|| drop(RequestPermit::take(lane, endpoint, 0, MAX)));
}

/// An upstream connection's: every connection that is opened to an endpoint.
#[divan::bench(args = THREE, sample_size = SAMPLE)]
fn connection_permit(bencher: Bencher, beside: Beside) {
    let live = Live::new();
    let (lane, endpoint) = (&live.lanes[0], &live.endpoints[0]);
    let _rival = live
        .of(beside)
        .map(|(lane, endpoint)| Rival::start(move || drop(ConnectionPermit::take(&lane, &endpoint, 1, MAX))));
    bencher.bench_local(|| drop(ConnectionPermit::take(lane, endpoint, 0, MAX)));
}

/// A client connection's: every connection that is accepted.
#[divan::bench(args = TWO, sample_size = SAMPLE)]
fn downstream_limit(bencher: Bencher, beside: Beside) {
    let limit = Arc::new(Limit::default());
    let theirs = limit.clone();
    let turn = |limit: &Limit| {
        if limit.try_take(MAX) {
            limit.give();
        }
    };
    let _rival = (beside == Beside::Another).then(|| Rival::start(move || turn(&theirs)));
    bencher.bench_local(|| turn(&limit));
}

/// One count of references to what all workers share: TLS settings at a handshake, a port's limits at an HTTP/2
/// connection.
#[divan::bench(args = TWO, sample_size = SAMPLE)]
fn reference_count(bencher: Bencher, beside: Beside) {
    let shared = Arc::new(0u64);
    let theirs = shared.clone();
    let _rival = (beside == Beside::Another).then(|| Rival::start(move || drop(theirs.clone())));
    bencher.bench_local(|| drop(shared.clone()));
}

/// Which a request counts at its home, in a cell of its own worker: a service of so many clusters.
#[divan::bench(args = TWO, consts = [1, 2, 3], sample_size = SAMPLE)]
fn retry_budget_count<const CLUSTERS: usize>(bencher: Bencher, beside: Beside) {
    let live = Live::new();
    let clusters = (0..CLUSTERS).map(|c| format!("c{c}").into()).collect();
    let state = live.registry.budget("api", clusters);
    let slice = RetryBudget::default().slice(Tick::from_secs(100));
    let theirs = state.clone();
    let _rival = (beside == Beside::Another).then(|| Rival::start(move || theirs.request(1, 0, slice)));
    bencher.bench_local(|| state.request(0, 0, slice));
}

/// What every request reads of an endpoint, its standing and where its worker's cells are, while another worker opens
/// and closes connections to it or to its neighbour.
#[divan::bench(args = THREE, sample_size = SAMPLE)]
fn standing_beside_connections(bencher: Bencher, beside: Beside) {
    let live = Live::new();
    let endpoint = &live.endpoints[0];
    let _rival = live
        .of(beside)
        .map(|(lane, endpoint)| Rival::start(move || drop(ConnectionPermit::take(&lane, &endpoint, 1, MAX))));
    bencher.bench_local(|| (endpoint.standing(), endpoint.cells(0).total.get()));
}

/// The same while each of another worker's requests to it (or to its neighbour) runs into a timeout, which is noted
/// beside the standing.
#[divan::bench(args = THREE, sample_size = SAMPLE)]
fn standing_beside_timeouts(bencher: Bencher, beside: Beside) {
    let live = Live::new();
    let endpoint = &live.endpoints[0];
    let _rival =
        live.of(beside).map(|(_, endpoint)| Rival::start(move || endpoint.timed_out(Tick::from_secs(1))));
    bencher.bench_local(|| (endpoint.standing(), endpoint.cells(0).total.get()));
}

/// What a request without a key reads of each of two endpoints: the requests that all workers have there.
#[divan::bench(args = THREE, sample_size = SAMPLE)]
fn in_flight_of_all_workers(bencher: Bencher, beside: Beside) {
    let live = Live::new();
    let endpoint = &live.endpoints[0];
    let _rival = live.of(beside).map(|(_, endpoint)| {
        let cells = move || {
            endpoint.cells(1).in_flight.enter();
            endpoint.cells(1).in_flight.leave();
        };
        Rival::start(cells)
    });
    bencher.bench_local(|| endpoint.in_flight());
}

/// A counter of a worker's own, for comparison: nobody else writes its line.
#[divan::bench(args = TWO, sample_size = SAMPLE)]
fn own_counter(bencher: Bencher, beside: Beside) {
    let live = Live::new();
    let lane = &live.lanes[0];
    let _rival = live.of(beside).map(|(lane, _)| Rival::start(move || lane.cells(1).attempts.add(1)));
    bencher.bench_local(|| lane.cells(0).attempts.add(1));
}

/// A letter to the health thread, which takes letters out without a pause: every failure, and the first success after
/// one.
#[divan::bench(args = TWO, sample_size = 1_000)]
fn letter_to_health(bencher: Bencher, beside: Beside) {
    let (handle, mut inputs) = HealthHandle::new();
    let mut kept = None;
    let _rival = match beside {
        Beside::Another => Some(Rival::start(move || while inputs.try_recv().is_ok() {})),
        _ => {
            kept = Some(inputs);
            None
        }
    };
    let empty = || {
        if let Some(inputs) = &mut kept {
            while inputs.try_recv().is_ok() {}
        }
    };
    let now = Tick::from_secs(100);
    let failure = Failure { kind: FailureKind::Reset, sent_at: now, at: now };
    bencher
        .with_inputs(empty)
        .bench_local_values(|()| handle.send(HealthInput::Failure { lane: 0, endpoint: 0, failure }));
}

struct Request {
    worker: usize,
}

impl RequestView for Request {
    fn host(&self) -> &[u8] {
        b"svc.example.com"
    }

    fn path(&self) -> &[u8] {
        b"/users/4711/orders"
    }

    fn query(&self) -> Option<&[u8]> {
        None
    }

    fn method(&self) -> &[u8] {
        b"GET"
    }

    fn header(&self, _: &str) -> Option<&[u8]> {
        None
    }

    fn reader(&self) -> usize {
        self.worker
    }
}

/// A route found by a regular expression, each worker with scratch memory of its own.
#[divan::bench(args = TWO, sample_size = 1_000)]
fn route_by_expression(bencher: Bencher, beside: Beside) {
    let path = PathSpec::Regex("/users/[0-9]+/orders".to_owned());
    let spec = RuleSpec { matches: vec![MatchSpec { path, ..MatchSpec::default() }], ..RuleSpec::default() };
    let table = Arc::new(RouteTable::new(None, vec![(spec, 0)], 2).expect("an expression"));
    assert_eq!(table.find(&Request { worker: 0 }), Some(0));
    let theirs = table.clone();
    let turn = move || {
        std::hint::black_box(theirs.find(&Request { worker: 1 }));
    };
    let _rival = (beside == Beside::Another).then(|| Rival::start(turn));
    bencher.bench_local(|| table.find(&Request { worker: 0 }));
}
