//! The health engine under any sequence of events, late and out of order, with reloads and upgrades in between:
//! what it may never do.

use std::collections::HashMap;
use std::time::Duration;

use causeway_proxy_policy::health::outlier::EjectionKind;
use causeway_proxy_policy::health::{
    At, Attempt, AttemptLog, ClusterHealthParams, ClusterId, Counters, EndpointCounts, EndpointId,
    EngineParams, Failure, HealthEngine, HealthEvent, OutOfService, OutlierParams, PairCounts,
    ProbeThresholds, Recovery, ServiceClusterParams, ServiceHealthParams, ServiceId, Trigger,
};
use causeway_proxy_policy::{FailureKind, Tick};

use crate::bytes::Bytes;

const CLUSTERS: usize = 3;
const SERVICES: usize = 2;
/// Slots that a cluster's endpoints have.
const WIDTH: usize = 8;

#[derive(Default)]
struct Counted {
    pairs: HashMap<(u32, usize), (PairCounts, u64)>,
    endpoints: HashMap<u32, EndpointCounts>,
    rings: HashMap<(u32, usize), Vec<u64>>,
}

impl Counters for Counted {
    fn pair(&self, service: ServiceId, cluster: usize) -> PairCounts {
        self.pairs.get(&(service.0, cluster)).map_or_else(PairCounts::default, |(counts, _)| *counts)
    }
    fn slow(&self, service: ServiceId, cluster: usize, _: usize) -> u64 {
        self.pairs.get(&(service.0, cluster)).map_or(0, |(_, slow)| *slow)
    }
    fn endpoint(&self, endpoint: EndpointId) -> EndpointCounts {
        self.endpoints.get(&endpoint.0).copied().unwrap_or_default()
    }
    fn attempts(&self, service: ServiceId, cluster: usize) -> AttemptLog {
        let mut log = AttemptLog::new();
        log.add(self.rings.get(&(service.0, cluster)).into_iter().flatten().rev().take(20).copied());
        log
    }
}

struct World {
    engine: HealthEngine,
    params: EngineParams,
    counted: Counted,
    now: Tick,
    drained: [bool; CLUSTERS],
}

pub fn run(input: &[u8]) {
    let mut bytes = Bytes::new(input);
    let params = params(&mut bytes);
    let now = Tick::from_secs(1);
    let mut engine = HealthEngine::new(now, 7);
    engine.reconfigure(params.clone(), now);
    let mut world = World { engine, params, counted: Counted::default(), now, drained: [false; CLUSTERS] };
    world.check();
    while !bytes.is_empty() {
        world.step(&mut bytes);
        world.check();
    }
}

fn params(bytes: &mut Bytes<'_>) -> EngineParams {
    let clusters = (0..CLUSTERS).map(|c| cluster(bytes, c)).collect();
    let services = (0..SERVICES).map(|s| ServiceHealthParams {
        name: format!("s{s}"),
        overprovisioning: [1.0, 2.0, 0.5, 10.0][bytes.below(4)],
        breaker_errors: bytes.below(6) as u32,
        recovery: Recovery::default(),
        clusters: (0..CLUSTERS)
            .map(|c| ServiceClusterParams {
                name: format!("c{c}"),
                cluster: ClusterId(c as u32),
                triggers: [
                    vec![],
                    vec![Trigger::high_error_rate(0.05)],
                    vec![
                        Trigger::high_latency(0.99, Duration::from_millis(500)),
                        Trigger::high_error_rate(0.2),
                    ],
                ][bytes.below(3)]
                .clone(),
                failover: (0..CLUSTERS).filter(|other| *other != c).collect(),
            })
            .collect(),
    });
    let services = services.collect();
    EngineParams { clusters, services }
}

fn cluster(bytes: &mut Bytes<'_>, c: usize) -> ClusterHealthParams {
    let count = bytes.below(WIDTH + 1);
    let flags = bytes.byte();
    ClusterHealthParams {
        name: format!("c{c}"),
        endpoints: (0..count).map(|i| (EndpointId((WIDTH * c + i) as u32), format!("{c}.{i}"))).collect(),
        outlier: OutlierParams {
            consecutive_errors: bytes.below(6) as u32,
            consecutive_5xx: (flags & 4 != 0).then_some(3),
            max_ejection_percent: [0, 10, 50, 100][bytes.below(4)],
            panic_threshold: [0, 50, 100][bytes.below(3)],
            ..OutlierParams::default()
        },
        probe: (flags & 1 != 0).then(ProbeThresholds::default),
        capacity: (flags & 2 != 0).then_some(100.0),
    }
}

impl World {
    fn step(&mut self, bytes: &mut Bytes<'_>) {
        match bytes.byte() % 10 {
            0..=2 => self.attempt(bytes, true),
            3 => self.attempt(bytes, false),
            4 => {
                let endpoint = EndpointId(bytes.below(CLUSTERS * WIDTH) as u32);
                self.engine.on_probe(self.now, endpoint, bytes.flag());
            }
            5 => {
                let (endpoint, span) = (bytes.below(CLUSTERS * WIDTH) as u32, bytes.below(120) as u64);
                self.engine.eject_by_hand(self.now, EndpointId(endpoint), Duration::from_secs(span));
            }
            6 => {
                let (c, drained) = (bytes.below(CLUSTERS), bytes.flag());
                assert!(self.engine.drain_cluster(self.now, &format!("c{c}"), drained));
                self.drained[c] = drained;
            }
            7 => self.busy(bytes),
            8 => {
                if bytes.flag() {
                    self.params = params(bytes);
                    self.engine.reconfigure(self.params.clone(), self.now);
                } else {
                    self.upgrade(bytes.flag());
                }
            }
            _ => {
                let step = [10, 100, 1_000, 5_000, 30_000, 400_000][bytes.below(6)];
                self.now = self.now + Duration::from_millis(step);
                self.engine.tick(self.now, &self.counted);
            }
        }
    }

    /// One try, which may have been sent long ago.
    fn attempt(&mut self, bytes: &mut Bytes<'_>, failed: bool) {
        let (service, c, i) = (bytes.below(SERVICES) as u32, bytes.below(CLUSTERS), bytes.below(WIDTH));
        let (age, kind) = (Duration::from_millis(bytes.short().into()), bytes.byte());
        let endpoint = EndpointId((WIDTH * c + i) as u32);
        let (sent, at) = (Tick(self.now.0.saturating_sub(age.as_nanos() as u64)), self.now);
        let word = Attempt { ended: at, sent, endpoint, failed }.pack();
        self.counted.rings.entry((service, c)).or_default().push(word);
        self.count(service, c, endpoint, 1, failed);
        let place = At { service: ServiceId(service), cluster: c, endpoint };
        let kind = match kind % 5 {
            0 => FailureKind::Connect,
            1 => FailureKind::ConnectTimeout,
            2 => FailureKind::Reset,
            3 => FailureKind::Timeout,
            _ => FailureKind::Status(500 + u16::from(kind / 5) % 5),
        };
        if failed {
            self.engine.on_failure(at, place, Failure { kind, sent_at: sent, at }, &self.counted);
        } else {
            self.engine.on_success(at, place, sent, at);
        }
    }

    fn count(&mut self, service: u32, c: usize, endpoint: EndpointId, n: u64, failed: bool) {
        let (pair, slow) = self.counted.pairs.entry((service, c)).or_default();
        pair.requests += n;
        pair.own += n;
        pair.attempts += n;
        let counts = self.counted.endpoints.entry(endpoint.0).or_default();
        counts.total += n;
        if failed {
            pair.errors += n;
            *slow += n;
        } else {
            counts.success += n;
        }
    }

    /// Half a minute of traffic that only the counters see.
    fn busy(&mut self, bytes: &mut Bytes<'_>) {
        let (service, c, bad) =
            (bytes.below(SERVICES) as u32, bytes.below(CLUSTERS), bytes.below(101) as u64);
        for round in 0..6 {
            let endpoint = EndpointId((WIDTH * c + round) as u32);
            self.count(service, c, endpoint, bad, true);
            self.count(service, c, endpoint, 100 - bad, false);
            self.now = self.now + Duration::from_secs(5);
            self.engine.tick(self.now, &self.counted);
        }
    }

    /// What was out stays out, and what was held stays held.
    fn upgrade(&mut self, as_text: bool) {
        let before: Vec<_> = self.endpoints().collect();
        let holds: Vec<_> = self.views().map(|(.., view)| view.hold_until).collect();
        let mut carried = self.engine.carry();
        if as_text {
            let text = serde_json::to_string(&carried).expect("it can be written");
            carried = serde_json::from_str(&text).expect("and read");
        }
        self.engine = HealthEngine::resume(self.now, 9, carried);
        self.engine.reconfigure(self.params.clone(), self.now);
        // Its workers count from 0.
        self.counted = Counted::default();
        assert_eq!(self.endpoints().collect::<Vec<_>>(), before);
        for (hold, (s, c, view)) in holds.into_iter().zip(self.views()) {
            assert!(view.hold_until == hold || hold.is_some_and(|until| until <= self.now), "{s} {c}");
        }
    }

    fn endpoints(&self) -> impl Iterator<Item = (usize, causeway_proxy_policy::health::EndpointView)> {
        let all = self
            .params
            .clusters
            .iter()
            .enumerate()
            .flat_map(|(c, cluster)| cluster.endpoints.iter().map(move |(id, _)| (c, *id)));
        all.map(|(c, id)| (c, self.engine.endpoint_view(id).expect("it is configured")))
    }

    fn views(&self) -> impl Iterator<Item = (usize, usize, causeway_proxy_policy::health::ClusterView)> {
        let all = (0..SERVICES).flat_map(|s| (0..CLUSTERS).map(move |c| (s, c)));
        all.map(|(s, c)| (s, c, self.engine.cluster_view(ServiceId(s as u32), c).expect("it is configured")))
    }

    fn check(&mut self) {
        let events: Vec<HealthEvent> = self.engine.drain_events().collect();
        let endpoints: Vec<_> = self.endpoints().collect();
        for (c, cluster) in self.params.clusters.iter().enumerate() {
            let own = || endpoints.iter().filter(|(of, _)| *of == c).map(|(_, view)| view);
            let ejected = own().filter(|view| view.ejected_until.is_some()).count() as u64;
            let by_rule = events.iter().any(|event| match event {
                HealthEvent::Ejected { endpoint, kind, .. } => {
                    *kind != EjectionKind::ByHand && endpoint.0 as usize / WIDTH == c
                }
                _ => false,
            });
            let most = u64::from(cluster.outlier.max_ejection_percent) * cluster.endpoints.len() as u64;
            assert!(!by_rule || 100 * ejected <= most, "{ejected} of {} ejected", cluster.endpoints.len());
            for view in own() {
                assert_eq!(view.available, view.out.is_none());
                if let (Some(until), Some(OutOfService::Ejected(kind))) = (view.ejected_until, &view.out) {
                    let longest = Duration::from_secs(if *kind == EjectionKind::ByHand { 120 } else { 303 });
                    assert!(until <= self.now + longest, "ejected for {:?}", until.since(self.now));
                }
            }
            let available = own().filter(|view| view.available).count() as u32;
            for (_, of, view) in self.views().filter(|(_, of, _)| *of == c) {
                assert_eq!(view.healthy, (available, cluster.endpoints.len() as u32), "cluster {of}");
            }
        }
        for (s, c, view) in self.views() {
            assert!((0.0..=1.0).contains(&view.admission), "{s} {c}: admission {}", view.admission);
            assert!((0.0..=1.0).contains(&view.spill_share), "{s} {c}: share {}", view.spill_share);
            assert!(view.admission == 0.0 || (view.healthy.0 > 0 && !self.drained[c]), "{s} {c}: {view:?}");
            let longest = self.now + Recovery::default().max_hold;
            assert!(view.hold_until.is_none_or(|until| until <= longest), "{s} {c}: {view:?}");
            assert!(!view.trickle || view.admission == 0.0);
        }
        // Whoever follows the events knows what the views say.
        let mut told = HashMap::new();
        for event in &events {
            if let HealthEvent::AdmissionChanged { service, cluster, admission, .. } = event {
                told.insert((service.0 as usize, *cluster), *admission);
            }
        }
        for (s, c, view) in self.views() {
            assert!(told.get(&(s, c)).is_none_or(|last| *last == view.admission), "{s} {c}: {view:?}");
        }
    }
}
