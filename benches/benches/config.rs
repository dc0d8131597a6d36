//! From text to a snapshot in force, and a request's decisions on the snapshot: for the small and the large
//! configuration of `scale`.

use std::cell::Cell;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use causeway_benches::fixture::{self, LARGE, SMALL, Shape};
use causeway_config::{Config, Source, Strictness};
use causeway_proxy::request::{key, match_route};
use causeway_proxy::snapshot::Snapshot;
use causeway_proxy::snapshot::cell::SnapshotCell;
use causeway_proxy::snapshot::compile::compile;
use causeway_proxy::upstream::discover::Discovered;
use causeway_proxy::upstream::permit::RequestPermit;
use causeway_proxy::upstream::registry::Registry;
use causeway_proxy::upstream::view::ServiceView;
use causeway_proxy_http1::{Limits, RequestHead, parse_request};
use causeway_proxy_policy::Tick;
use divan::{AllocProfiler, Bencher};

/// The proxy's allocator, with counts.
#[global_allocator]
static ALLOCATOR: AllocProfiler<mimalloc::MiMalloc> = AllocProfiler::new(mimalloc::MiMalloc);

fn main() {
    divan::main();
}

#[derive(Clone, Copy)]
struct Named(Shape);

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.name())
    }
}

const SHAPES: [Named; 2] = [Named(SMALL), Named(LARGE)];

fn sources(shape: Named) -> Vec<Source> {
    let listen: SocketAddr = ([127, 0, 0, 1], 8000).into();
    vec![Source::new("scale.yaml", shape.0.text(listen, 9000))]
}

fn config(shape: Named) -> Config {
    causeway_config::load(&sources(shape), Strictness::Proxy).expect("the fixture is valid").config
}

fn snapshot(shape: Named, registry: &Registry) -> Arc<Snapshot> {
    Arc::new(compile(config(shape), &Discovered::default(), registry, None).expect("the fixture compiles"))
}

/// Text to validated model.
#[divan::bench(args = SHAPES)]
fn load(bencher: Bencher, shape: Named) {
    let sources = sources(shape);
    bencher.bench_local(|| causeway_config::load(&sources, Strictness::Proxy));
}

/// Model to snapshot at start: all live state and all tables are made.
#[divan::bench(args = SHAPES)]
fn compile_first(bencher: Bencher, shape: Named) {
    let config = config(shape);
    bencher.with_inputs(|| config.clone()).bench_local_values(|config| {
        let registry = Registry::new(1);
        compile(config, &Discovered::default(), &registry, None)
    });
}

/// Model to snapshot at a reload in which no endpoint changed: state is found again, tables are shared.
#[divan::bench(args = SHAPES)]
fn compile_again(bencher: Bencher, shape: Named) {
    let registry = Registry::new(1);
    let (config, previous) = (config(shape), snapshot(shape, &registry));
    bencher
        .with_inputs(|| config.clone())
        .bench_local_values(|config| compile(config, &Discovered::default(), &registry, Some(&previous)));
}

/// Runs a sample of what takes nanoseconds: see `policy`.
const SAMPLE: u32 = 1_000;

/// The moment of a reload that everything else prepares: the pointer is exchanged, then read as a worker does.
#[divan::bench(args = SHAPES, sample_size = SAMPLE)]
fn swap(bencher: Bencher, shape: Named) {
    let registry = Registry::new(1);
    let (one, other) = (snapshot(shape, &registry), snapshot(shape, &registry));
    let cell = SnapshotCell::new(one.clone());
    let turn = Cell::new(false);
    bencher.bench_local(|| {
        turn.set(!turn.get());
        cell.store(if turn.get() { other.clone() } else { one.clone() });
        cell.load()
    });
}

/// Sizes of a decision: those of `scale`, and three clusters of two and of 5,000 endpoints.
const DECISIONS: [Named; 4] = [
    SHAPES[0],
    Named(Shape { endpoints: 6, ..SMALL }),
    SHAPES[1],
    Named(Shape { endpoints: 15_000, ..LARGE }),
];

/// All that is decided about a request with a parsed head, over the live state that workers share: listener, route,
/// key, service, home, admission, endpoint, and a permit of the exact limits, taken and given back. Users in turn, as
/// many as there are endpoints in the large configuration.
#[divan::bench(args = DECISIONS, sample_size = SAMPLE)]
fn whole_decision(bencher: Bencher, shape: Named) {
    let registry = Registry::new(1);
    let snapshot = snapshot(shape, &registry);
    let port = &snapshot.ports[0];
    let heads: Vec<RequestHead> = (0..LARGE.endpoints).map(head).collect();
    let now = Tick::from_secs(1);
    let turn = Cell::new(0);
    let decide = || {
        turn.set((turn.get() + 1) % heads.len());
        let head = &heads[turn.get()];
        let rule = match_route::find(port, head, 0)?;
        let key = key::of(match_route::hash_on(rule), head, IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
        let service = match_route::service(rule, key.hash, 0)?;
        let mut route = service.plan.route(key.hash, 0);
        let target = service.plan.next(&mut route, &ServiceView::new(service, 0), now, 0)?;
        let lane = &service.lanes[usize::from(target.cluster)];
        let endpoint = &lane.endpoints[target.endpoint as usize];
        RequestPermit::take(&lane.state, &endpoint.state, 0, lane.limits.max_requests).map(drop)
    };
    assert!(decide().is_some(), "nothing refuses the fixture's request");
    bencher.bench_local(decide);
}

/// A user's request, parsed.
fn head(user: usize) -> RequestHead {
    let mut head = RequestHead::default();
    let parsed = parse_request(&fixture::request(user), &Limits::default(), &mut 0, &mut head);
    assert!(parsed.is_ok_and(|read| read.is_some()), "the fixture's request is whole");
    head
}
