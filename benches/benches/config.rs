//! From text to a snapshot in force, and a request's decisions on the snapshot: for the small and the large
//! configuration of `scale`.

use std::cell::Cell;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use causeway_benches::fixture::{self, LARGE, SMALL, Shape};
use causeway_config::{Config, Source, Strictness};
use causeway_proxy::snapshot::Snapshot;
use causeway_proxy::snapshot::cell::SnapshotCell;
use causeway_proxy::snapshot::compile::compile;
use causeway_proxy::upstream::registry::Registry;
use causeway_proxy::upstream::view::ServiceView;
use causeway_proxy_policy::{KeyHash, Tick};
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
    Arc::new(compile(config(shape), registry, None).expect("the fixture compiles"))
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
        compile(config, &registry, None)
    });
}

/// Model to snapshot at a reload in which no endpoint changed: state is found again, tables are shared.
#[divan::bench(args = SHAPES)]
fn compile_again(bencher: Bencher, shape: Named) {
    let registry = Registry::new(1);
    let (config, previous) = (config(shape), snapshot(shape, &registry));
    bencher
        .with_inputs(|| config.clone())
        .bench_local_values(|config| compile(config, &registry, Some(&previous)));
}

/// The moment of a reload that everything else prepares: the pointer is exchanged, then read as a worker does.
#[divan::bench(args = SHAPES)]
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

/// A first try on a compiled snapshot: what `policy` measures over plain arrays, here over the live state that
/// workers share. Users in turn, as many as there are endpoints in the large configuration.
#[divan::bench(args = SHAPES)]
fn first_try(bencher: Bencher, shape: Named) {
    let registry = Registry::new(1);
    let snapshot = snapshot(shape, &registry);
    let service = &snapshot.services[0];
    let users: Vec<String> = (0..LARGE.endpoints).map(fixture::user).collect();
    let turn = Cell::new(0);
    bencher.bench_local(|| {
        turn.set((turn.get() + 1) % users.len());
        let key = KeyHash::of(&[users[turn.get()].as_bytes()]);
        let view = ServiceView::new(service, 0);
        let mut route = service.plan.route(Some(key), 0);
        service.plan.next(&mut route, &view, Tick::from_secs(1), 0)
    });
}
