//! Nanoseconds of a decision, over plain arrays: no atomics, no registry, nothing but the policy.
//!
//! Users come from a set of 16,384 in turn, so that the tables are read as many users would read them: at 5,000
//! endpoints a cluster's Maglev table is 1 MB, and most lookups leave the first caches.

use std::cell::Cell;
use std::fmt;
use std::hint::black_box;
use std::sync::Arc;

use causeway_benches::fixture;
use causeway_proxy_policy::endpoints::EndpointParams;
use causeway_proxy_policy::retry_budget::{self, RetryBudget, SLICES};
use causeway_proxy_policy::route_table::{MatchSpec, PathSpec, RequestView, RouteTable, RuleSpec};
use causeway_proxy_policy::{
    ClusterParams, EndpointAlgorithm, EndpointSet, FailureKind, KeyHash, ServiceParams, ServicePlan, Tick,
    View,
};
use divan::{AllocProfiler, Bencher};

/// Says of each benchmark whether it allocates; on the request path none may.
#[global_allocator]
static ALLOCATOR: AllocProfiler<mimalloc::MiMalloc> = AllocProfiler::new(mimalloc::MiMalloc);

fn main() {
    divan::main();
}

const USERS: usize = 16_384;

/// Runs a sample: enough that the clock's 20 ns do not show, and that a hundred samples see every user several times.
/// Left to itself divan settles on one run where the first few happen to be slow.
const SAMPLE: u32 = 1_000;

/// Clusters of every service here, weighted as in the example configuration.
const WEIGHTS: [u32; 3] = [50, 30, 20];

/// Endpoints in each cluster, and how they are chosen.
#[derive(Clone, Copy)]
struct Size(usize, EndpointAlgorithm);

const SIZES: [Size; 4] = [
    Size(2, EndpointAlgorithm::Rendezvous),
    Size(250, EndpointAlgorithm::Rendezvous),
    Size(250, EndpointAlgorithm::Maglev),
    Size(5_000, EndpointAlgorithm::Maglev),
];

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} x {} {:?}", WEIGHTS.len(), self.0, self.1)
    }
}

/// A service whose clusters are all well, unless it is told otherwise.
struct World {
    plan: ServicePlan,
    admission: [f32; WEIGHTS.len()],
    endpoint_weights: [Box<[f32]>; WEIGHTS.len()],
}

impl World {
    fn new(size: Size) -> World {
        let address = |i: usize| format!("{}:8080", fixture::address(i));
        let endpoints: Vec<EndpointParams> =
            (0..size.0).map(|i| EndpointParams { address: address(i), weight: 1 }).collect();
        let cluster = |(i, weight): (usize, &u32)| {
            let name = format!("cluster-{i}");
            let endpoints = Arc::new(EndpointSet::new(&name, &endpoints, size.1));
            ClusterParams { name, weight: *weight, priority: 1, endpoints }
        };
        let clusters = WEIGHTS.iter().enumerate().map(cluster).collect();
        World {
            plan: ServicePlan::new(ServiceParams { clusters, ..ServiceParams::default() }),
            admission: [1.0; WEIGHTS.len()],
            endpoint_weights: std::array::from_fn(|_| vec![1.0; size.0].into()),
        }
    }
}

impl View for World {
    fn admission(&self, cluster: usize) -> f32 {
        self.admission[cluster]
    }

    fn spill_share(&self, _: usize) -> f32 {
        1.0
    }

    fn endpoint_weight(&self, cluster: usize, endpoint: usize, _: Tick) -> f32 {
        self.endpoint_weights[cluster][endpoint]
    }

    fn in_flight(&self, _: usize, _: usize) -> u32 {
        0
    }

    fn cluster_in_flight(&self, _: usize) -> u32 {
        0
    }

    fn latency_ewma(&self, _: usize, _: usize, _: Tick) -> u64 {
        0
    }

    fn timed_out_at(&self, _: usize, _: usize) -> Tick {
        Tick(0)
    }

    fn panic(&self, _: usize) -> bool {
        false
    }
}

/// Users in turn.
struct Users {
    names: Vec<String>,
    next: Cell<usize>,
}

impl Users {
    fn new() -> Users {
        Users { names: (0..USERS).map(fixture::user).collect(), next: Cell::new(0) }
    }

    fn next(&self) -> &str {
        let i = self.next.get();
        self.next.set((i + 1) % USERS);
        &self.names[i]
    }
}

const NOW: Tick = Tick::from_secs(100);

/// The first try of a user's request: key hash, home, admission, endpoint.
#[divan::bench(args = SIZES, sample_size = SAMPLE)]
fn first_try(bencher: Bencher, size: Size) {
    let (world, users) = (World::new(size), Users::new());
    bencher.bench_local(|| {
        let key = KeyHash::of(&[users.next().as_bytes()]);
        let mut route = world.plan.route(Some(key), 0);
        world.plan.next(&mut route, &world, NOW, 0)
    });
}

/// The same for a request without a key: home by weight, then the better of two endpoints.
#[divan::bench(args = SIZES, sample_size = SAMPLE)]
fn first_try_without_a_key(bencher: Bencher, size: Size) {
    let world = World::new(size);
    let mut roll = 0u64;
    bencher.bench_local(|| {
        roll = roll.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut route = world.plan.route(None, roll);
        world.plan.next(&mut route, &world, NOW, roll)
    });
}

/// The first try while every cluster keeps but half of its users and takes no others': the longest way to a first
/// endpoint, with the failover order.
#[divan::bench(args = SIZES, sample_size = SAMPLE)]
fn first_try_in_an_outage(bencher: Bencher, size: Size) {
    let (mut world, users) = (World::new(size), Users::new());
    world.admission = [0.5; WEIGHTS.len()];
    bencher.bench_local(|| {
        let key = KeyHash::of(&[users.next().as_bytes()]);
        let mut route = world.plan.route(Some(key), 0);
        world.plan.next(&mut route, &world, NOW, 0)
    });
}

/// The second try, after a reset: the sibling that a user's request is retried at.
#[divan::bench(args = SIZES, sample_size = SAMPLE)]
fn second_try(bencher: Bencher, size: Size) {
    let (world, users) = (World::new(size), Users::new());
    bencher
        .with_inputs(|| {
            let key = KeyHash::of(&[users.next().as_bytes()]);
            let mut route = world.plan.route(Some(key), 0);
            let first = world.plan.next(&mut route, &world, NOW, 0).expect("every cluster is well");
            route.failed(first, FailureKind::Reset, NOW);
            route
        })
        .bench_local_refs(|route| world.plan.next(route, &world, NOW, 0));
}

/// The measured request of the fixture, as the table asks for it.
struct Request {
    host: String,
    path: String,
}

impl RequestView for Request {
    fn host(&self) -> &[u8] {
        self.host.as_bytes()
    }

    fn path(&self) -> &[u8] {
        self.path.as_bytes()
    }

    fn query(&self) -> Option<&[u8]> {
        Some(b"page=2")
    }

    fn method(&self) -> &[u8] {
        b"GET"
    }

    fn header(&self, _: &str) -> Option<&[u8]> {
        None
    }
}

/// From hostname and path to a rule: one route, or the middle one of 500.
#[divan::bench(args = [1, 500], sample_size = SAMPLE)]
fn find_route(bencher: Bencher, routes: usize) {
    let first = fixture::ROUTE - routes / 2;
    let rule = |i: usize| {
        let path = PathSpec::Prefix(fixture::prefix(i));
        let spec = RuleSpec {
            hostnames: vec![fixture::hostname(i)],
            route: format!("default/route-{i}"),
            matches: vec![MatchSpec { path, ..MatchSpec::default() }],
            ..RuleSpec::default()
        };
        (spec, i as u32)
    };
    let table =
        RouteTable::new(None, (first..first + routes).map(rule).collect(), 1).expect("no expressions");
    let request = Request {
        host: fixture::hostname(fixture::ROUTE),
        path: format!("{}/items", fixture::prefix(fixture::ROUTE)),
    };
    assert_eq!(table.find(&request), Some(fixture::ROUTE as u32));
    bencher.bench_local(|| table.find(black_box(&request)));
}

/// What every request costs the retry budget: one count.
#[divan::bench(sample_size = SAMPLE)]
fn retry_budget_count(bencher: Bencher) {
    let budget = RetryBudget::default();
    let mut ring = [0u64; SLICES];
    bencher.bench_local(|| {
        let slice = budget.slice(black_box(NOW));
        let cell = &mut ring[retry_budget::cell_index(slice)];
        *cell = retry_budget::bump(*cell, slice);
    });
}

/// What a retry costs it: the sums over the rings of so many workers, for a service of three clusters (a ring for
/// each home's requests and for each pair's retries).
#[divan::bench(args = [1, 8, 64], sample_size = SAMPLE)]
fn retry_budget_sum(bencher: Bencher, workers: usize) {
    let budget = RetryBudget::default();
    let slice = budget.slice(NOW);
    let homes = WEIGHTS.len();
    let ring = |workers: usize, n: usize| -> Box<[u64]> {
        (0..workers * n * SLICES).map(|_| retry_budget::bump(0, slice)).collect()
    };
    let (requests, retries) = (ring(workers, homes), ring(workers, homes * homes));
    bencher.bench_local(|| {
        let sum = |cells: &[u64]| retry_budget::sum(cells.iter().copied(), slice);
        budget.allows(sum(black_box(&requests)), sum(black_box(&retries)))
    });
}
