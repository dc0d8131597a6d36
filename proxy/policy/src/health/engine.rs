//! The engine: events and counters in, views and events out.

use std::collections::HashMap;
use std::time::Duration;

use super::breaker;
use super::carried::{Carried, CarriedService};
use super::cluster::Cluster;
use super::counters::{At, Counters, Failure, PairCounts};
use super::event::HealthEvent;
use super::pair::{self, Below, Pair};
use super::params::{EndpointId, EngineParams, Recovery, ServiceHealthParams, ServiceId, TriggerKind};
use super::views::{ClusterView, EndpointView};
use crate::hash::mix13;
use crate::tick::Tick;

/// The health of everything, and what follows from it. See the [module](super).
///
/// Deterministic: the same calls give the same views and events. All calls of one engine come from one thread;
/// their `now` should not fall, and nothing breaks if it does.
#[derive(Debug)]
pub struct HealthEngine {
    seed: u64,
    clusters: Vec<Cluster>,
    services: Vec<Service>,
    slots: HashMap<EndpointId, (usize, usize)>,
    events: Vec<HealthEvent>,
}

#[derive(Debug)]
struct Service {
    params: ServiceHealthParams,
    thresholds: Vec<Duration>,
    pairs: Vec<Pair>,
}

impl HealthEngine {
    /// An engine that watches nothing yet. `seed` (with the time) spreads the jitter of ejections over proxies.
    pub fn new(now: Tick, seed: u64) -> HealthEngine {
        let seed = seed ^ mix13(now.0);
        HealthEngine { seed, clusters: vec![], services: vec![], slots: HashMap::new(), events: vec![] }
    }

    /// An engine that goes on where its predecessor's ended, on the same clock: what [`HealthEngine::reconfigure`]
    /// then names is taken over as from a configuration before.
    pub fn resume(now: Tick, seed: u64, carried: Carried) -> HealthEngine {
        let clusters = carried.clusters.into_iter().map(|cluster| Cluster::resume(cluster, now)).collect();
        let services = carried.services.into_iter().map(Service::resume).collect();
        HealthEngine { clusters, services, ..HealthEngine::new(now, seed) }
    }

    /// What a successor on the same clock should know.
    pub fn carry(&self) -> Carried {
        let service = |service: &Service| CarriedService {
            name: service.params.name.clone(),
            clusters: service.pairs.iter().map(Pair::carry).collect(),
        };
        Carried {
            clusters: self.clusters.iter().map(Cluster::carry).collect(),
            services: self.services.iter().map(service).collect(),
        }
    }

    /// Takes a new configuration. The state of every endpoint (by cluster and address) and of every
    /// (service, cluster) that is still there goes on; the rest is forgotten.
    pub fn reconfigure(&mut self, params: EngineParams, now: Tick) {
        let mut clusters: HashMap<String, Cluster> =
            self.clusters.drain(..).map(|cluster| (cluster.name.clone(), cluster)).collect();
        let renewed = params.clusters.into_iter().map(|new| {
            let old = clusters.remove(&new.name);
            Cluster::new(new, old, now)
        });
        self.clusters = renewed.collect();
        let mut pairs: HashMap<(String, String), Pair> = HashMap::new();
        for service in self.services.drain(..) {
            let name = service.params.name;
            pairs.extend(service.pairs.into_iter().map(|pair| ((name.clone(), pair.name.clone()), pair)));
        }
        self.services = params.services.into_iter().map(|new| Service::new(new, &mut pairs)).collect();
        for (s, service) in self.services.iter().enumerate() {
            for (p, entry) in service.params.clusters.iter().enumerate() {
                if let Some(cluster) = self.clusters.get_mut(entry.cluster.0 as usize) {
                    cluster.pairs.push((s, p));
                }
            }
        }
        let slots = self.clusters.iter().enumerate().flat_map(|(c, cluster)| {
            cluster.endpoints.iter().enumerate().map(move |(i, endpoint)| (endpoint.id, (c, i)))
        });
        self.slots = slots.collect();
        self.settle_all(now);
    }

    /// A try failed: 5xx, connect, reset or timeout; never a refusal of ours, a client's abort or a 4xx. The
    /// attempt must be in its worker's ring ([`Counters::attempts`]) before this is called.
    pub fn on_failure(&mut self, now: Tick, at: At, failure: Failure, counters: &impl Counters) {
        let Some(&(c, i)) = self.slots.get(&at.endpoint) else { return };
        let cluster = &mut self.clusters[c];
        cluster.endpoints[i].fail(&failure);
        if let Some(kind) = cluster.endpoints[i].reached(&cluster.outlier) {
            cluster.try_eject(now, i, kind, self.seed, &mut self.events);
        }
        self.check_breaker(now, at, failure, c, counters);
        self.settle_users(now, c);
    }

    fn check_breaker(&mut self, now: Tick, at: At, failure: Failure, c: usize, counters: &impl Counters) {
        let Some(service) = self.services.get_mut(at.service.0 as usize) else { return };
        let Some(pair) = service.pairs.get_mut(at.cluster) else { return };
        let fresh_from = pair.outage.fresh_from();
        if failure.sent_at < fresh_from {
            return;
        }
        pair.breaker.failure(failure.kind.is_local_origin());
        if failure.sent_at >= pair.outage.tripped_at() {
            pair.breaker.speaks_against(failure.at);
        }
        let threshold = service.params.breaker_errors;
        if threshold == 0 || pair.breaker_is_open() {
            return;
        }
        let (clusters, slots) = (&self.clusters, &self.slots);
        let stands = |endpoint: &EndpointId| {
            slots.get(endpoint).is_some_and(|&(c, i)| clusters[c].endpoints[i].available())
        };
        let log = counters.attempts(at.service, at.cluster);
        let recent = log.recent(now, breaker::MEMORY, |a| a.sent >= fresh_from && stands(&a.endpoint));
        if breaker::opens(&recent, threshold, pair.breaker.in_row, clusters[c].available)
            && pair.open_breaker(now, &service.params)
        {
            let local_origin_only = pair.breaker.is_local_origin(threshold);
            let (service, cluster) = (at.service, at.cluster);
            self.events.push(HealthEvent::BreakerOpened { service, cluster, local_origin_only });
        }
    }

    /// A try succeeded. Workers report two kinds of successes only, so that this stays rare: the first at an
    /// endpoint since a failure (a flag shared by all workers, set by each failure, tells them), and any while
    /// the cluster's admission is 0.
    pub fn on_success(&mut self, now: Tick, at: At, sent_at: Tick, ended_at: Tick) {
        let Some(&(c, i)) = self.slots.get(&at.endpoint) else { return };
        self.clusters[c].endpoints[i].succeed(ended_at);
        let pair = self.services.get_mut(at.service.0 as usize).and_then(|s| s.pairs.get_mut(at.cluster));
        let Some(pair) = pair else { return };
        pair.breaker.success(ended_at);
        if let Some(marked_at) = pair.marked_at {
            if sent_at >= marked_at {
                pair.revive(now);
                self.clusters[c].lives(now, i, true, &mut self.events);
            }
        } else if pair.view.trickle {
            self.clusters[c].lives(now, i, false, &mut self.events);
        }
        self.settle_users(now, c);
    }

    /// An active check ended.
    pub fn on_probe(&mut self, now: Tick, endpoint: EndpointId, passed: bool) {
        let Some(&(c, i)) = self.slots.get(&endpoint) else { return };
        // What was on its way when the checks were switched off has no say any more: no later one would take it back.
        if self.clusters[c].probe.is_none() {
            return;
        }
        let mut marked = false;
        for &(s, p) in self.clusters[c].pairs.iter().filter(|_| passed) {
            let pair = &mut self.services[s].pairs[p];
            if pair.marked_at.is_some() {
                pair.revive(now);
                marked = true;
            }
        }
        self.clusters[c].probed(now, i, passed, marked, &mut self.events);
        self.settle_users(now, c);
    }

    /// Evaluates windows, intervals, timers and ramps. About every 100 ms; a late one only delays.
    pub fn tick(&mut self, now: Tick, counters: &impl Counters) {
        for cluster in &mut self.clusters {
            cluster.timers(now, &mut self.events);
            cluster.sweep(now, self.seed, |endpoint| counters.endpoint(endpoint), &mut self.events);
        }
        let mut loads = vec![(0u64, 0u64, 0u64); self.clusters.len()];
        for (s, service) in self.services.iter_mut().enumerate() {
            let id = ServiceId(s as u32);
            let counts: Vec<PairCounts> = (0..service.pairs.len()).map(|p| counters.pair(id, p)).collect();
            for (entry, counts) in service.params.clusters.iter().zip(&counts) {
                if let Some(load) = loads.get_mut(entry.cluster.0 as usize) {
                    *load = (load.0 + counts.requests, load.1 + counts.own, load.2 + counts.spilled);
                }
            }
            service.count(now, &counts, |p, threshold| counters.slow(id, p, threshold));
        }
        for (cluster, (requests, own, spilled)) in self.clusters.iter_mut().zip(loads) {
            if let Some(left) = cluster.left() {
                cluster.capacity.observe(now, left, requests, own, spilled);
            }
        }
        self.settle_all(now);
    }

    /// What changed since the last call.
    pub fn drain_events(&mut self) -> impl Iterator<Item = HealthEvent> {
        self.events.drain(..)
    }

    /// One endpoint, if it is configured.
    pub fn endpoint_view(&self, endpoint: EndpointId) -> Option<EndpointView> {
        let &(c, i) = self.slots.get(&endpoint)?;
        Some(self.clusters[c].endpoints[i].view())
    }

    /// One (service, cluster), if it is configured.
    pub fn cluster_view(&self, service: ServiceId, cluster: usize) -> Option<ClusterView> {
        Some(self.services.get(service.0 as usize)?.pairs.get(cluster)?.view.clone())
    }

    /// The latency thresholds that the workers count for a service: ascending, without duplicates.
    pub fn latency_thresholds(&self, service: ServiceId) -> &[Duration] {
        self.services.get(service.0 as usize).map_or(&[], |service| &service.thresholds)
    }

    /// Ejects an endpoint for a while, whatever the ejection limit says; zero returns it. False if unknown.
    pub fn eject_by_hand(&mut self, now: Tick, endpoint: EndpointId, span: Duration) -> bool {
        let Some(&(c, i)) = self.slots.get(&endpoint) else { return false };
        self.clusters[c].eject_by_hand(now, i, span, &mut self.events);
        self.settle_users(now, c);
        true
    }

    /// Takes a `Cluster` out for all services, or back in (with the ramp). Outlives reloads. False if unknown.
    pub fn drain_cluster(&mut self, now: Tick, cluster: &str, drained: bool) -> bool {
        let Some(c) = self.clusters.iter().position(|known| known.name == cluster) else { return false };
        if std::mem::replace(&mut self.clusters[c].drained, drained) && !drained {
            for &(s, p) in &self.clusters[c].pairs {
                let pair = &mut self.services[s].pairs[p];
                if !pair.outage.is_down() {
                    pair.outage.begin_ramp(now, 0.0);
                }
            }
        }
        self.settle_users(now, c);
        true
    }

    /// Settles the services that use a cluster.
    fn settle_users(&mut self, now: Tick, c: usize) {
        let mut last = None;
        for k in 0..self.clusters[c].pairs.len() {
            let (s, _) = self.clusters[c].pairs[k];
            if last.replace(s) != Some(s) {
                self.settle(now, s);
            }
        }
    }

    fn settle_all(&mut self, now: Tick) {
        for s in 0..self.services.len() {
            self.settle(now, s);
        }
    }

    fn settle(&mut self, now: Tick, s: usize) {
        let service = &mut self.services[s];
        for (p, pair) in service.pairs.iter_mut().enumerate() {
            let id = service.params.clusters[p].cluster;
            let below = self.clusters.get(id.0 as usize).map_or(Below::NOTHING, Cluster::below);
            let (admission, share) = (pair.view.admission, pair.view.spill_share);
            pair.settle(now, &service.params, below);
            let (service, cluster) = (ServiceId(s as u32), p);
            if pair.view.admission != admission {
                let (admission, reason) = (pair.view.admission, pair.view.reason);
                self.events.push(HealthEvent::AdmissionChanged { service, cluster, admission, reason });
            }
            if pair.view.spill_share != share {
                let share = pair.view.spill_share;
                self.events.push(HealthEvent::SpillShareChanged { service, cluster, share });
            }
        }
        if !service.pairs.is_empty() && service.pairs.iter().all(|pair| pair.view.admission <= 0.0) {
            service.pairs.iter_mut().for_each(|pair| pair.mark(now));
        }
    }
}

impl Service {
    /// As its predecessor left it. Of its parameters only the name counts: it is replaced by the next configuration.
    fn resume(carried: CarriedService) -> Service {
        let params = ServiceHealthParams {
            name: carried.name,
            overprovisioning: 1.0,
            breaker_errors: 0,
            recovery: Recovery::default(),
            clusters: Vec::new(),
        };
        let pairs = carried.clusters.into_iter().map(Pair::resume).collect();
        Service { params, thresholds: Vec::new(), pairs }
    }

    fn new(params: ServiceHealthParams, known: &mut HashMap<(String, String), Pair>) -> Service {
        let mut thresholds: Vec<Duration> = params
            .clusters
            .iter()
            .flat_map(|cluster| &cluster.triggers)
            .filter_map(|trigger| match trigger.kind {
                TriggerKind::HighLatency(threshold) => Some(threshold),
                TriggerKind::HighErrorRate => None,
            })
            .collect();
        thresholds.sort_unstable();
        thresholds.dedup();
        let measure = |kind| match kind {
            TriggerKind::HighErrorRate => 0,
            TriggerKind::HighLatency(at) => 1 + thresholds.iter().position(|&t| t == at).unwrap_or(0),
        };
        let pairs = params
            .clusters
            .iter()
            .map(|entry| {
                let known = known.remove(&(params.name.clone(), entry.name.clone()));
                let mut pair = known.unwrap_or_else(|| Pair::new(entry));
                pair.retune(&entry.triggers, measure);
                pair
            })
            .collect();
        Service { params, thresholds, pairs }
    }

    /// Reads the counters of all clusters, then judges each against where its users would go.
    fn count(&mut self, now: Tick, counts: &[PairCounts], slow: impl Fn(usize, usize) -> u64) {
        let measures: Vec<_> = (0..self.pairs.len())
            .map(|p| pair::measures(counts[p], (0..self.thresholds.len()).map(|t| slow(p, t))))
            .collect();
        for ((pair, counts), measures) in self.pairs.iter_mut().zip(counts).zip(&measures) {
            pair.history.note(now, counts.attempts, measures.clone());
        }
        for p in 0..self.pairs.len() {
            let worthwhile: Vec<Option<f64>> =
                (0..=self.thresholds.len()).map(|m| self.target_share(p, m)).collect();
            let better = |measure: usize, own: f64| {
                worthwhile.get(measure).copied().flatten().is_some_and(|target| target <= own / 2.0)
            };
            self.pairs[p].count(now, &self.params, counts[p], &measures[p], better);
        }
    }

    /// The share of slow (failed) attempts at the clusters that count for the users of `p`; `None` if none does.
    fn target_share(&self, p: usize, measure: usize) -> Option<f64> {
        let targets = self.params.clusters[p].failover.iter().filter_map(|&t| self.pairs.get(t));
        let counting = targets.filter(|target| target.view.admission >= 1.0);
        let recent = counting.map(|target| target.history.recent(measure));
        let (n, hits) = recent.reduce(|(n, hits), (m, more)| (n + m, hits + more))?;
        Some(if n == 0 { 0.0 } else { hits as f64 / n as f64 })
    }
}

impl Cluster {
    fn below(&self) -> Below {
        Below {
            available: self.available,
            hosts: self.hosts(),
            panic: self.panics(),
            probed: self.probe.is_some(),
            drained: self.drained,
            capacity_keeps: self.rated.map(|_| self.capacity.keeps),
            takes: self.capacity.takes,
        }
    }
}
