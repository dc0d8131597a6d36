//! One `Cluster`: its endpoints, who of them is out, and the shared limit on ejecting more.

use std::collections::HashMap;
use std::time::Duration;

use super::capacity::Capacity;
use super::carried::CarriedCluster;
use super::counters::EndpointCounts;
use super::endpoint::Endpoint;
use super::event::HealthEvent;
use super::outlier::{self, EjectionKind};
use super::params::{ClusterHealthParams, EndpointId, OutlierParams, ProbeThresholds};
use crate::hash::mix13;
use crate::tick::Tick;

/// Endpoints that return within this time of the whole cluster's darkness have no slow start: there is nobody to
/// shelter them, since all of the cluster's users are away, and the cluster's own ramp brings them back. With one
/// each, whoever returned first would carry the others' users too. As long as the shortest hold.
const DARK: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct Cluster {
    pub name: String,
    pub outlier: OutlierParams,
    pub probe: Option<ProbeThresholds>,
    pub rated: Option<f64>,
    pub endpoints: Vec<Endpoint>,
    pub available: u32,
    ejected: u32,
    dark_at: Option<Tick>,
    next_sweep: Tick,
    pub drained: bool,
    pub capacity: Capacity,
    /// The (service, cluster) pairs on top of it.
    pub pairs: Vec<(usize, usize)>,
}

impl Cluster {
    /// Compiles a cluster, taking over what is known about its endpoints.
    pub fn new(params: ClusterHealthParams, old: Option<Cluster>, now: Tick) -> Cluster {
        let known = old.is_some();
        let old = old.unwrap_or_else(|| Cluster::blank(now));
        let mut endpoints: HashMap<String, Endpoint> =
            old.endpoints.into_iter().map(|e| (e.address.clone(), e)).collect();
        // Whoever appears beside endpoints that serve is cold, and ramps. Not in a new cluster, where all are; not
        // where nobody stays, since then there is nobody to shelter it; not while the whole cluster returns.
        let shelters = |e: &(EndpointId, String)| endpoints.get(&e.1).is_some_and(Endpoint::available);
        let dark = old.dark_at.is_some_and(|at| now.since(at) < DARK);
        let ramps = known && !dark && params.endpoints.iter().any(shelters);
        let endpoints = params
            .endpoints
            .into_iter()
            .map(|(id, address)| match endpoints.remove(&address) {
                Some(mut endpoint) => {
                    endpoint.id = id;
                    endpoint
                }
                None => {
                    let mut endpoint = Endpoint::new(id, address);
                    endpoint.ramp_since = if ramps { now } else { Tick(0) };
                    endpoint
                }
            })
            .collect();
        let mut cluster = Cluster {
            name: params.name,
            outlier: params.outlier,
            probe: params.probe,
            rated: params.capacity,
            endpoints,
            pairs: Vec::new(),
            ..old
        };
        if cluster.probe.is_none() {
            cluster.endpoints.iter_mut().for_each(|e| {
                e.trust();
            });
        }
        if cluster.rated.is_none() {
            cluster.capacity.forget();
        }
        cluster.refresh(now);
        if !known {
            cluster.dark_at = None;
        }
        cluster
    }

    /// What a successor should know of it. Its measured load is not among it: that is measured again in seconds.
    pub fn carry(&self) -> CarriedCluster {
        CarriedCluster {
            name: self.name.clone(),
            endpoints: self.endpoints.clone(),
            dark_at: self.dark_at,
            drained: self.drained,
        }
    }

    /// One as its predecessor left it; [`Cluster::new`] follows with the parameters.
    pub fn resume(carried: CarriedCluster, now: Tick) -> Cluster {
        let mut cluster = Cluster {
            name: carried.name,
            endpoints: carried.endpoints,
            dark_at: carried.dark_at,
            drained: carried.drained,
            ..Cluster::blank(now)
        };
        let dark_at = cluster.dark_at;
        cluster.refresh(now);
        cluster.dark_at = dark_at;
        cluster
    }

    fn blank(now: Tick) -> Cluster {
        Cluster {
            name: String::new(),
            outlier: OutlierParams::default(),
            probe: None,
            rated: None,
            endpoints: Vec::new(),
            available: 0,
            ejected: 0,
            dark_at: None,
            next_sweep: now,
            drained: false,
            capacity: Capacity::default(),
            pairs: Vec::new(),
        }
    }

    pub fn hosts(&self) -> u32 {
        self.endpoints.len() as u32
    }

    /// Percent healthy below the threshold; 0 disables.
    pub fn panics(&self) -> bool {
        u64::from(self.available) * 100 < u64::from(self.outlier.panic_threshold) * u64::from(self.hosts())
    }

    /// What of its rated capacity its healthy endpoints have.
    pub fn left(&self) -> Option<f64> {
        self.rated.map(|rated| rated * f64::from(self.available) / f64::from(self.hosts().max(1)))
    }

    /// Ejects if the limit allows.
    pub fn try_eject(
        &mut self,
        now: Tick,
        i: usize,
        kind: EjectionKind,
        seed: u64,
        events: &mut Vec<HealthEvent>,
    ) {
        if !outlier::may_eject(self.ejected, self.hosts(), self.outlier.max_ejection_percent) {
            return;
        }
        let endpoint = &mut self.endpoints[i];
        if endpoint.ejection.is_some() {
            return;
        }
        let local_origin_only = endpoint.run_is_local_origin();
        let roll = mix13(seed ^ mix13(now.0 ^ (u64::from(endpoint.id.0) << 32)));
        let until = endpoint.eject(now, kind, &self.outlier, roll);
        events.push(HealthEvent::Ejected { endpoint: endpoint.id, kind, until, local_origin_only });
        self.refresh(now);
    }

    pub fn eject_by_hand(&mut self, now: Tick, i: usize, span: Duration, events: &mut Vec<HealthEvent>) {
        let endpoint = &mut self.endpoints[i];
        let id = endpoint.id;
        if span.is_zero() {
            if endpoint.ejection.is_some() {
                self.take_back(now, i, true, events);
            }
            return;
        }
        let (kind, until) = (EjectionKind::ByHand, now + span);
        endpoint.eject_by_hand(until);
        events.push(HealthEvent::Ejected { endpoint: id, kind, until, local_origin_only: false });
        self.refresh(now);
    }

    /// Ends an ejection.
    pub fn take_back(&mut self, now: Tick, i: usize, early: bool, events: &mut Vec<HealthEvent>) {
        let interval = self.outlier.interval;
        self.endpoints[i].take_back(now, interval);
        events.push(HealthEvent::Unejected { endpoint: self.endpoints[i].id, early });
        self.came_back(now, i);
    }

    /// Counts a probe. `marked`: a service has marked this cluster, so that one passing probe is enough.
    pub fn probed(&mut self, now: Tick, i: usize, passed: bool, marked: bool, events: &mut Vec<HealthEvent>) {
        let thresholds = self.probe.unwrap_or_default();
        let endpoint = &mut self.endpoints[i];
        let id = endpoint.id;
        let mut changed = endpoint.probe(passed, thresholds);
        if !passed {
            if changed {
                events.push(HealthEvent::ProbeUnhealthy { endpoint: id });
                self.refresh(now);
            }
            return;
        }
        if marked {
            changed |= endpoint.trust();
        }
        if changed {
            events.push(HealthEvent::ProbeHealthy { endpoint: id });
            self.came_back(now, i);
        }
        let endpoint = &self.endpoints[i];
        let convinced = endpoint.probe_passes() >= thresholds.healthy.max(1);
        let refuted = |e: &super::endpoint::Ejection| {
            (marked && e.kind != EjectionKind::ByHand) || (convinced && e.connection_only)
        };
        if endpoint.ejection.as_ref().is_some_and(refuted) {
            self.take_back(now, i, true, events);
        }
    }

    /// A request succeeded at an endpoint of a marked or unprobed dark cluster: proof enough of its life.
    /// `certain`: whatever took it out; otherwise only what a passing check would refute.
    pub fn lives(&mut self, now: Tick, i: usize, certain: bool, events: &mut Vec<HealthEvent>) {
        let endpoint = &mut self.endpoints[i];
        if certain && endpoint.trust() {
            events.push(HealthEvent::ProbeHealthy { endpoint: endpoint.id });
            self.came_back(now, i);
        }
        let refuted =
            |e: &super::endpoint::Ejection| e.kind != EjectionKind::ByHand && (certain || e.connection_only);
        if self.endpoints[i].ejection.as_ref().is_some_and(refuted) {
            self.take_back(now, i, true, events);
        }
    }

    /// Timers: returns that are due, ejections that are forgiven. True if somebody returned.
    pub fn timers(&mut self, now: Tick, events: &mut Vec<HealthEvent>) -> bool {
        let mut returned = false;
        for i in 0..self.endpoints.len() {
            if self.endpoints[i].is_due(now) {
                self.take_back(now, i, false, events);
                returned = true;
            }
            self.endpoints[i].forgive(now, self.outlier.interval);
        }
        returned
    }

    /// The statistical kinds, once an interval.
    pub fn sweep(
        &mut self,
        now: Tick,
        seed: u64,
        counts: impl Fn(EndpointId) -> EndpointCounts,
        events: &mut Vec<HealthEvent>,
    ) {
        if now < self.next_sweep {
            return;
        }
        self.next_sweep = now + self.outlier.interval.max(Duration::from_millis(100));
        let in_interval: Vec<Option<EndpointCounts>> = self
            .endpoints
            .iter_mut()
            .map(|endpoint| {
                let count = counts(endpoint.id);
                let before = endpoint.swept.replace(count)?;
                let total = count.total.checked_sub(before.total)?;
                let success = count.success.checked_sub(before.success)?;
                endpoint.ejection.is_none().then_some(EndpointCounts { total, success })
            })
            .collect();
        for (i, kind) in outlier::outliers(&self.outlier, &in_interval) {
            self.try_eject(now, i, kind, seed, events);
        }
    }

    fn came_back(&mut self, now: Tick, i: usize) {
        self.endpoints[i].ramp_since = Tick(0);
        let dark = self.available == 0 || self.dark_at.is_some_and(|at| now.since(at) < DARK);
        if !dark && self.endpoints[i].available() {
            self.endpoints[i].ramp_since = now;
        }
        self.refresh(now);
    }

    fn refresh(&mut self, now: Tick) {
        if self.available == 0 {
            self.dark_at = Some(now);
        }
        self.available = self.endpoints.iter().filter(|e| e.available()).count() as u32;
        self.ejected = self.endpoints.iter().filter(|e| e.ejection.is_some()).count() as u32;
    }
}
