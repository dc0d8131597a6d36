//! The proxy's shell, of one worker: counters, rings, flags, and the view over them.

use std::time::Duration;

use causeway_proxy_policy::health::{
    ATTEMPTS, At, Attempt, AttemptLog, Counters, EndpointCounts, EndpointId, HealthEngine, PairCounts,
    ServiceId,
};
use causeway_proxy_policy::slow_start::SlowStart;
use causeway_proxy_policy::{Tick, View, p2c};

/// Live state of one endpoint, as the shell keeps it in atomics.
#[derive(Clone, Debug, Default)]
pub struct Endpoint {
    pub in_flight: u32,
    pub timed_out_at: Tick,
    pub latency: u64,
    pub latency_at: Tick,
    /// The last outcome was a failure: the next success is reported.
    pub failed: bool,
    pub counts: EndpointCounts,
}

/// Counters of one (service, cluster).
#[derive(Clone, Debug, Default)]
pub struct Pair {
    pub counts: PairCounts,
    pub slow: Vec<u64>,
    pub ring: [u64; ATTEMPTS],
    pub next: usize,
}

#[derive(Clone, Debug, Default)]
pub struct Shell {
    pub endpoints: Vec<Vec<Endpoint>>,
    pub pairs: Vec<Pair>,
    pub thresholds: Vec<Duration>,
}

impl Shell {
    /// Slots are numbered cluster by cluster.
    pub fn slot(&self, cluster: usize, endpoint: usize) -> EndpointId {
        let before: usize = self.endpoints[..cluster].iter().map(Vec::len).sum();
        EndpointId((before + endpoint) as u32)
    }

    pub fn at(&self, cluster: usize, endpoint: usize) -> At {
        At { service: ServiceId(0), cluster, endpoint: self.slot(cluster, endpoint) }
    }

    /// Counts a finished attempt, before its event is sent.
    pub fn record(
        &mut self,
        cluster: usize,
        endpoint: usize,
        sent: Tick,
        now: Tick,
        failed: bool,
        silent: bool,
    ) {
        let slot = self.slot(cluster, endpoint);
        let pair = &mut self.pairs[cluster];
        pair.counts.attempts += 1;
        pair.counts.errors += u64::from(failed);
        for (slow, threshold) in pair.slow.iter_mut().zip(&self.thresholds) {
            *slow += u64::from(silent || now.since(sent) > *threshold);
        }
        pair.ring[pair.next % ATTEMPTS] = Attempt { ended: now, sent, endpoint: slot, failed }.pack();
        pair.next += 1;
        let endpoint = &mut self.endpoints[cluster][endpoint];
        endpoint.counts.total += 1;
        endpoint.counts.success += u64::from(!failed);
        if !failed {
            let sample = now.0 - sent.0;
            endpoint.latency = p2c::observe(endpoint.latency, endpoint.latency_at, sample, now);
            endpoint.latency_at = now;
        }
    }
}

impl Counters for Shell {
    fn pair(&self, _: ServiceId, cluster: usize) -> PairCounts {
        self.pairs[cluster].counts
    }

    fn slow(&self, _: ServiceId, cluster: usize, threshold: usize) -> u64 {
        self.pairs[cluster].slow[threshold]
    }

    fn endpoint(&self, endpoint: EndpointId) -> EndpointCounts {
        let all = self.endpoints.iter().flatten();
        all.map(|e| e.counts).nth(endpoint.0 as usize).unwrap_or_default()
    }

    fn attempts(&self, _: ServiceId, cluster: usize) -> AttemptLog {
        let mut log = AttemptLog::new();
        log.add(self.pairs[cluster].ring);
        log
    }
}

/// What requests see: the engine's views, and the shell's own counters.
pub struct Sight<'a> {
    pub shell: &'a Shell,
    pub engine: &'a HealthEngine,
}

impl Sight<'_> {
    fn cluster<T>(
        &self,
        cluster: usize,
        read: impl Fn(causeway_proxy_policy::health::ClusterView) -> T,
    ) -> T {
        read(self.engine.cluster_view(ServiceId(0), cluster).expect("configured"))
    }
}

impl View for Sight<'_> {
    fn admission(&self, cluster: usize) -> f32 {
        self.cluster(cluster, |view| view.admission)
    }

    fn spill_share(&self, cluster: usize) -> f32 {
        self.cluster(cluster, |view| view.spill_share)
    }

    fn endpoint_weight(&self, cluster: usize, endpoint: usize, now: Tick) -> f32 {
        let view = self.engine.endpoint_view(self.shell.slot(cluster, endpoint)).expect("configured");
        if view.available { SlowStart::default().weight(view.ramp_since, now) } else { 0.0 }
    }

    fn in_flight(&self, cluster: usize, endpoint: usize) -> u32 {
        self.shell.endpoints[cluster][endpoint].in_flight
    }

    fn cluster_in_flight(&self, cluster: usize) -> u32 {
        self.shell.endpoints[cluster].iter().map(|e| e.in_flight).sum()
    }

    fn latency_ewma(&self, cluster: usize, endpoint: usize, now: Tick) -> u64 {
        let e = &self.shell.endpoints[cluster][endpoint];
        p2c::decayed(e.latency, e.latency_at, now)
    }

    fn timed_out_at(&self, cluster: usize, endpoint: usize) -> Tick {
        self.shell.endpoints[cluster][endpoint].timed_out_at
    }

    fn panic(&self, cluster: usize) -> bool {
        self.cluster(cluster, |view| view.panic)
    }

    fn trickle(&self, cluster: usize) -> bool {
        self.cluster(cluster, |view| view.trickle)
    }
}
