//! Where a request's tries go, in any state of the world: in bounds, deterministic, never where it just failed.

use std::sync::Arc;

use causeway_proxy_policy::endpoints::EndpointParams;
use causeway_proxy_policy::{
    ClusterParams, EndpointAlgorithm, EndpointSet, FailoverParams, FailureKind, KeyHash, Selection,
    ServiceParams, ServicePlan, Target, Tick, View, Why,
};

use crate::bytes::Bytes;

#[derive(Default)]
struct World {
    clusters: Vec<ClusterState>,
}

#[derive(Default)]
struct ClusterState {
    admission: f32,
    spill: f32,
    panic: bool,
    trickle: bool,
    endpoints: Vec<(f32, u32, u64, Tick)>,
    /// As they are configured.
    weights: Vec<u32>,
}

impl View for World {
    fn admission(&self, cluster: usize) -> f32 {
        self.clusters[cluster].admission
    }
    fn spill_share(&self, cluster: usize) -> f32 {
        self.clusters[cluster].spill
    }
    fn endpoint_weight(&self, cluster: usize, endpoint: usize, _: Tick) -> f32 {
        self.clusters[cluster].endpoints[endpoint].0
    }
    fn in_flight(&self, cluster: usize, endpoint: usize) -> u32 {
        self.clusters[cluster].endpoints[endpoint].1
    }
    fn cluster_in_flight(&self, cluster: usize) -> u32 {
        self.clusters[cluster].endpoints.iter().map(|endpoint| endpoint.1).sum()
    }
    fn latency_ewma(&self, cluster: usize, endpoint: usize, _: Tick) -> u64 {
        self.clusters[cluster].endpoints[endpoint].2
    }
    fn timed_out_at(&self, cluster: usize, endpoint: usize) -> Tick {
        self.clusters[cluster].endpoints[endpoint].3
    }
    fn panic(&self, cluster: usize) -> bool {
        self.clusters[cluster].panic
    }
    fn trickle(&self, cluster: usize) -> bool {
        self.clusters[cluster].trickle
    }
}

pub fn run(input: &[u8]) {
    let mut bytes = Bytes::new(input);
    let (params, world) = service(&mut bytes);
    let (closed, weighted) = (params.fail_closed, params.selection == Selection::WeightedHome);
    let plan = ServicePlan::new(params);
    let now = Tick::from_secs(100);
    let key = bytes.flag().then(|| KeyHash::of(&[bytes.piece(8)]));
    let roll = bytes.long();
    let mut route = plan.route(key, roll).idempotent(bytes.flag());
    if let Some(key) = key {
        let explained = plan.explain(key, &world, now);
        drop(explained);
        assert_eq!(plan.home(key), route.home());
    }
    let (mut failed, mut refused): (Option<Target>, Vec<u16>) = (None, Vec::new());
    for turn in 0..12 {
        let next = plan.next(&mut route, &world, now, roll);
        assert_eq!(next, plan.next(&mut route.clone(), &world, now, roll), "a choice is a function");
        let Some(target) = next else { return };
        let (c, e) = (usize::from(target.cluster), target.endpoint as usize);
        let cluster = &world.clusters[c];
        assert!(e < cluster.endpoints.len(), "{target:?}");
        assert!(!refused.contains(&target.cluster), "{target:?} after a refusal");
        let last = failed.map(|last| (last.cluster, last.endpoint));
        assert_ne!(last, Some((target.cluster, target.endpoint)), "where it just failed");
        let available = cluster.endpoints[e].0 > 0.0;
        assert!(available || matches!(target.why, Why::Panic | Why::Trickle), "{target:?} is not available");
        if turn == 0 && weighted {
            let home = &world.clusters[route.home()];
            let mut endpoints = home.endpoints.iter().zip(&home.weights);
            let serves = endpoints.any(|(endpoint, weight)| endpoint.0 > 0.0 && *weight > 0);
            let whole = home.admission >= 1.0 && serves;
            assert!(!whole || c == route.home(), "a home that keeps everybody has lost one: {target:?}");
        }
        assert!(!closed || target.why != Why::FailStatic, "{target:?} although it fails closed");
        if bytes.byte().is_multiple_of(4) {
            route.refused(target);
            refused.push(target.cluster);
        } else {
            let how = if bytes.flag() { FailureKind::Timeout } else { FailureKind::Connect };
            route.failed(target, how, now);
            failed = Some(target);
        }
    }
}

fn service(bytes: &mut Bytes<'_>) -> (ServiceParams, World) {
    let flags = bytes.byte();
    let count = 1 + bytes.below(4);
    let (mut clusters, mut world) = (Vec::new(), World::default());
    for c in 0..count {
        let mut state = ClusterState {
            admission: [0.0, 0.05, 0.5, 1.0, 1.0][bytes.below(5)],
            spill: [0.0, 0.5, 1.0][bytes.below(3)],
            panic: bytes.byte().is_multiple_of(4),
            trickle: bytes.flag(),
            endpoints: Vec::new(),
            weights: Vec::new(),
        };
        let name = format!("c{c}");
        let mut endpoints = Vec::new();
        for e in 0..bytes.below(5) {
            let up = [0.0, 0.1, 1.0, 1.0][bytes.below(4)];
            let silent = Tick::from_secs([0, 99, 100, 101][bytes.below(4)]);
            state.endpoints.push((up, u32::from(bytes.byte()), u64::from(bytes.byte()), silent));
            let weight = bytes.below(3) as u32;
            state.weights.push(weight);
            endpoints.push(EndpointParams { address: format!("e{e}"), weight });
        }
        // A table of Maglev is 65,537 entries: too slow to build for every input, and tested by itself.
        let endpoints = Arc::new(EndpointSet::new(&name, &endpoints, EndpointAlgorithm::Rendezvous));
        world.clusters.push(state);
        clusters.push(ClusterParams {
            name,
            weight: bytes.below(4) as u32,
            priority: bytes.below(3) as u32,
            endpoints,
        });
    }
    let failover = (0..bytes.below(3)).map(|_| FailoverParams {
        from: format!("c{}", bytes.below(count)),
        to: vec![format!("c{}", bytes.below(count)), format!("c{}", bytes.below(count))],
    });
    let failover = failover.collect();
    let selection = if flags & 1 == 0 { Selection::WeightedHome } else { Selection::PriorityTiers };
    let hash_balance_factor = (flags & 4 != 0).then_some(125);
    (ServiceParams { selection, fail_closed: flags & 2 != 0, hash_balance_factor, clusters, failover }, world)
}
