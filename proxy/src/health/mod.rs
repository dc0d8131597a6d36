//! The health thread: the one owner of the policy's health engine.
//!
//! Workers send it what is rare (a failure, the first success after one), its own probes send their results, a
//! ticker lets it read what the workers count. It publishes standings and shares as atomics, and tells the workers
//! when a request waits in vain. A thread of its own, so that neither a slow compile nor a scrape delays it.

mod counters;
mod probe;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use causeway_proxy_policy::Tick;
use causeway_proxy_policy::health::{
    At, Carried, ClusterView, EndpointId, EndpointView, Failure, HealthEngine, HealthEvent, ServiceId,
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use crate::shared::Shared;
use crate::snapshot::{Lane, Snapshot};
use crate::telemetry::metrics;
use crate::upstream::endpoint::{EndpointState, Standing};
use crate::upstream::lane::LaneFlags;
use crate::worker::Mail;
use counters::WorkerCounts;

/// How often counters are read and timers looked at. A window is 5 s long, a ramp's step 12 s: a tenth of a second
/// is exact enough for both and costs nothing.
const TICK: Duration = Duration::from_millis(100);

/// What the health thread is told.
pub enum HealthInput {
    /// A try failed.
    Failure {
        /// Id of the lane.
        lane: u32,
        /// Id of the endpoint.
        endpoint: u32,
        /// How, and when.
        failure: Failure,
    },
    /// A try succeeded where the last had failed, or in a cluster at 0.
    Success {
        /// Id of the lane.
        lane: u32,
        /// Id of the endpoint.
        endpoint: u32,
        /// When the request was sent.
        sent_at: Tick,
        /// When the answer came.
        ended_at: Tick,
    },
    /// An active check ended.
    Probe {
        /// Id of the endpoint.
        endpoint: u32,
        /// Whether it passed.
        passed: bool,
    },
    /// A new snapshot is in force.
    Reconfigure(Arc<Snapshot>),
    /// Ejects an endpoint by hand; zero returns it.
    Eject {
        /// Id of the endpoint.
        endpoint: u32,
        /// For how long.
        span: Duration,
        /// Whether it was found.
        reply: oneshot::Sender<bool>,
    },
    /// Takes a cluster out by hand, or back in.
    DrainCluster {
        /// Name of the `Cluster`.
        cluster: String,
        /// Out or in.
        drained: bool,
        /// Whether it was found.
        reply: oneshot::Sender<bool>,
    },
    /// Asks for what a successor should know.
    Carry(oneshot::Sender<Carried>),
    /// Asks for everything.
    Report(oneshot::Sender<HealthReport>),
}

/// Everything the engine thinks, by the ids of the registry.
#[derive(Clone, Debug, Default)]
pub struct HealthReport {
    /// By endpoint id.
    pub endpoints: HashMap<u32, EndpointView>,
    /// By lane id.
    pub lanes: HashMap<u32, ClusterView>,
}

/// Where to send to the health thread.
#[derive(Clone)]
pub struct HealthHandle(UnboundedSender<HealthInput>);

impl HealthHandle {
    /// Both ends.
    pub fn new() -> (HealthHandle, UnboundedReceiver<HealthInput>) {
        let (sender, receiver) = unbounded_channel();
        (HealthHandle(sender), receiver)
    }

    /// Tells it something; never waits.
    pub fn send(&self, input: HealthInput) {
        // It ends only with the process.
        let _ = self.0.send(input);
    }

    /// What it thinks now; `None` while the process ends.
    pub async fn report(&self) -> Option<HealthReport> {
        let (reply, report) = oneshot::channel();
        self.send(HealthInput::Report(reply));
        report.await.ok()
    }

    /// What a successor should know; `None` while the process ends.
    pub async fn carry(&self) -> Option<Carried> {
        let (reply, carried) = oneshot::channel();
        self.send(HealthInput::Carry(reply));
        carried.await.ok()
    }
}

/// Runs the engine until the process ends. `carried` is what a predecessor knew, or nothing.
pub async fn run(
    shared: Arc<Shared>,
    snapshot: Arc<Snapshot>,
    carried: Carried,
    mut inputs: UnboundedReceiver<HealthInput>,
) {
    let seed = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0);
    let engine = HealthEngine::resume(shared.now(), seed, carried);
    let mut keeper = Keeper { shared, engine, index: Index::default(), probes: probe::Probes::default() };
    keeper.reconfigure(snapshot);
    let mut every = tokio::time::interval(TICK);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            input = inputs.recv() => match input {
                Some(input) => keeper.take(input),
                None => return,
            },
            _ = every.tick() => {
                let now = keeper.shared.now();
                keeper.engine.tick(now, &keeper.index.counts);
                keeper.publish_events();
                keeper.publish_lanes();
            }
        }
    }
}

struct Keeper {
    shared: Arc<Shared>,
    engine: HealthEngine,
    index: Index,
    probes: probe::Probes,
}

/// The present snapshot's ids.
#[derive(Default)]
struct Index {
    counts: WorkerCounts,
    lanes: HashMap<u32, (ServiceId, usize)>,
    endpoints: HashMap<u32, Arc<EndpointState>>,
}

impl Keeper {
    fn take(&mut self, input: HealthInput) {
        let now = self.shared.now();
        match input {
            HealthInput::Failure { lane, endpoint, failure } => {
                if let Some(at) = self.index.at(lane, endpoint) {
                    self.engine.on_failure(now, at, failure, &self.index.counts);
                }
            }
            HealthInput::Success { lane, endpoint, sent_at, ended_at } => {
                if let Some(at) = self.index.at(lane, endpoint) {
                    self.engine.on_success(now, at, sent_at, ended_at);
                }
            }
            HealthInput::Probe { endpoint, passed } => {
                self.engine.on_probe(now, EndpointId(endpoint), passed);
            }
            HealthInput::Reconfigure(snapshot) => return self.reconfigure(snapshot),
            HealthInput::Eject { endpoint, span, reply } => {
                let _ = reply.send(self.engine.eject_by_hand(now, EndpointId(endpoint), span));
            }
            HealthInput::DrainCluster { cluster, drained, reply } => {
                let _ = reply.send(self.engine.drain_cluster(now, &cluster, drained));
            }
            HealthInput::Carry(reply) => {
                let _ = reply.send(self.engine.carry());
                return;
            }
            HealthInput::Report(reply) => {
                let _ = reply.send(self.report());
                return;
            }
        }
        self.publish_events();
    }

    fn reconfigure(&mut self, snapshot: Arc<Snapshot>) {
        self.engine.reconfigure(snapshot.health.clone(), self.shared.now());
        self.probes.reconcile(&snapshot, &self.shared.health);
        self.index = Index::of(&snapshot);
        // Ids may have moved: everything is published once, not only what changed.
        for (id, state) in &self.index.endpoints {
            if let Some(view) = self.engine.endpoint_view(EndpointId(*id)) {
                state.set_standing(standing(&view));
            }
        }
        self.publish_events();
        self.publish_lanes();
    }

    /// What changed: at once, and work in proportion to the change.
    fn publish_events(&mut self) {
        let events: Vec<HealthEvent> = self.engine.drain_events().collect();
        for event in events {
            self.publish_event(&event);
        }
    }

    /// All lanes, with what no event tells (panic, trickle): at each tick.
    fn publish_lanes(&self) {
        for (service, cluster, lane) in self.index.counts.lanes() {
            self.publish_lane(service, cluster, lane);
        }
    }

    fn publish_lane(&self, service: ServiceId, cluster: usize, lane: &Lane) {
        if let Some(view) = self.engine.cluster_view(service, cluster) {
            lane.state.admission.set(view.admission);
            lane.state.spill_share.set(view.spill_share);
            lane.state.set_flags(LaneFlags { panic: view.panic, trickle: view.trickle });
        }
    }

    fn publish_event(&self, event: &HealthEvent) {
        match *event {
            HealthEvent::Ejected { endpoint, kind, until, local_origin_only } => {
                self.publish_endpoint(endpoint);
                if let Some(state) = self.index.endpoints.get(&endpoint.0) {
                    metrics::ejected(&state.cluster, kind.as_str());
                    let left = until.since(self.shared.now()).as_secs_f64();
                    say(state, &format!("ejected for {left:.1} s ({})", kind.as_str()));
                }
                if local_origin_only {
                    self.shared.mail(|| Mail::EndpointDown(endpoint.0));
                }
            }
            HealthEvent::Unejected { endpoint, early } => {
                self.publish_endpoint(endpoint);
                if let Some(state) = self.index.endpoints.get(&endpoint.0) {
                    metrics::returned(&state.cluster, early);
                    say(state, if early { "is back before its time" } else { "is back" });
                }
            }
            HealthEvent::ProbeUnhealthy { endpoint } => {
                self.publish_endpoint(endpoint);
                self.probed(endpoint, false);
                self.shared.mail(|| Mail::EndpointDown(endpoint.0));
            }
            HealthEvent::ProbeHealthy { endpoint } => {
                self.publish_endpoint(endpoint);
                self.probed(endpoint, true);
            }
            HealthEvent::BreakerOpened { service, cluster, local_origin_only } => {
                if let Some(lane) = self.index.counts.lane(service, cluster) {
                    self.publish_lane(service, cluster, lane);
                    metrics::breaker_opened(&lane.state.service, &lane.state.cluster);
                    log(&format!("{}: the breaker of {} opened", lane.state.service, lane.state.cluster));
                    if local_origin_only {
                        let id = lane.state.id;
                        self.shared.mail(|| Mail::LaneDown(id));
                    }
                }
            }
            HealthEvent::AdmissionChanged { service, cluster, admission, reason } => {
                if let Some(lane) = self.index.counts.lane(service, cluster) {
                    self.publish_lane(service, cluster, lane);
                    let (service, cluster) = (&lane.state.service, &lane.state.cluster);
                    log(&format!(
                        "{service}: {cluster} keeps {:.0} % ({})",
                        admission * 100.0,
                        reason.as_str()
                    ));
                }
            }
            HealthEvent::SpillShareChanged { service, cluster, .. } => {
                if let Some(lane) = self.index.counts.lane(service, cluster) {
                    self.publish_lane(service, cluster, lane);
                }
            }
        }
    }

    fn publish_endpoint(&self, endpoint: EndpointId) {
        if let Some(state) = self.index.endpoints.get(&endpoint.0)
            && let Some(view) = self.engine.endpoint_view(endpoint)
        {
            state.set_standing(standing(&view));
        }
    }

    fn probed(&self, endpoint: EndpointId, healthy: bool) {
        if let Some(state) = self.index.endpoints.get(&endpoint.0) {
            metrics::probed(&state.cluster, healthy);
            say(state, if healthy { "passes its active check again" } else { "fails its active check" });
        }
    }

    fn report(&self) -> HealthReport {
        let endpoint = |id: &u32| Some((*id, self.engine.endpoint_view(EndpointId(*id))?));
        let lane = |(service, cluster, lane): (ServiceId, usize, &Lane)| {
            Some((lane.state.id, self.engine.cluster_view(service, cluster)?))
        };
        HealthReport {
            endpoints: self.index.endpoints.keys().filter_map(endpoint).collect(),
            lanes: self.index.counts.lanes().filter_map(lane).collect(),
        }
    }
}

impl Index {
    fn of(snapshot: &Arc<Snapshot>) -> Index {
        let counts = WorkerCounts::new(snapshot.clone());
        let lanes =
            counts.lanes().map(|(service, cluster, lane)| (lane.state.id, (service, cluster))).collect();
        let targets = snapshot.clusters.iter().flat_map(|dial| &dial.targets);
        let endpoints = targets.map(|target| (target.state.id, target.state.clone())).collect();
        Index { counts, lanes, endpoints }
    }

    /// Where an event happened; `None` if the present snapshot has no such place any more.
    fn at(&self, lane: u32, endpoint: u32) -> Option<At> {
        let &(service, cluster) = self.lanes.get(&lane)?;
        Some(At { service, cluster, endpoint: EndpointId(endpoint) })
    }
}

fn standing(view: &EndpointView) -> Standing {
    match (view.available, view.ramp_since) {
        (false, _) => Standing::Out,
        (true, Tick(0)) => Standing::Full,
        (true, since) => Standing::RampSince(since),
    }
}

fn say(state: &EndpointState, what: &str) {
    log(&format!("{} of {} {what}", state.address, state.cluster));
}

fn log(what: &str) {
    crate::telemetry::log::event("health", what);
}
