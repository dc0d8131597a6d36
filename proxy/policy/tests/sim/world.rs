//! The event loop.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use causeway_proxy_policy::backoff::Backoff;
use causeway_proxy_policy::health::{EndpointId, Failure, HealthEngine, HealthEvent, ServiceId};
use causeway_proxy_policy::retry::{Outcome, Pushback, RetryContext, RetryOn, RetryPolicy};
use causeway_proxy_policy::retry_budget::RollingCount;
use causeway_proxy_policy::{FailureKind, KeyHash, Route, ServicePlan, Target, Tick};

use super::Dice;
use super::proxy::{Endpoint, Pair, Shell, Sight};
use super::report::{Answer, Report, Try};
use super::setup::{Behaviour, Setup, Variant};

const OVERALL: Duration = Duration::from_secs(15);
const TICK: Duration = Duration::from_millis(100);
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
const PROBE_TIMEOUT: Duration = Duration::from_millis(500);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrival,
    /// (request, number of its try)
    Ends(usize, u32, Ends),
    Again(usize),
    Probe(usize, usize),
    Probed(usize, usize, bool),
    /// Something reaches the engine.
    Failed(usize, usize, Kind, Tick, Tick),
    Succeeded(usize, usize, Tick, Tick),
    Tick,
    Script(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Ends {
    Well,
    Badly(Kind),
}

/// [`FailureKind`], ordered, so that events have a total order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Connect,
    Reset,
    Timeout,
    Status(u16),
}

impl From<Kind> for FailureKind {
    fn from(kind: Kind) -> FailureKind {
        match kind {
            Kind::Connect => FailureKind::Connect,
            Kind::Reset => FailureKind::Reset,
            Kind::Timeout => FailureKind::Timeout,
            Kind::Status(status) => FailureKind::Status(status),
        }
    }
}

struct Request {
    user: usize,
    sent: Tick,
    route: Route,
    try_sent: Tick,
    tries: u32,
    target: Option<Target>,
    /// A try is out; otherwise it waits for its next one.
    waits: bool,
    deadline: Tick,
}

struct World<'a> {
    setup: &'a Setup,
    now: Tick,
    plan: ServicePlan,
    engine: HealthEngine,
    shell: Shell,
    behaviours: Vec<Vec<Behaviour>>,
    policy: RetryPolicy,
    queue: BinaryHeap<Reverse<(Tick, u64, Event)>>,
    sequence: u64,
    dice: Dice,
    open: BTreeMap<usize, Request>,
    arrived: usize,
    requests: Vec<RollingCount>,
    retries: Vec<Vec<RollingCount>>,
    report: Report,
}

/// Runs a setup to its end, and on until nothing is in flight.
pub fn run(setup: &Setup) -> Report {
    let plan = setup.plan();
    let n = setup.clusters.len();
    let mut engine = HealthEngine::new(Tick(1), setup.seed);
    engine.reconfigure(setup.engine_params(), Tick(1));
    let thresholds = engine.latency_thresholds(ServiceId(0)).to_vec();
    let pair = Pair { slow: vec![0; thresholds.len()], ..Pair::default() };
    let mut world = World {
        setup,
        now: Tick(1),
        shell: Shell {
            endpoints: setup.clusters.iter().map(|c| vec![Endpoint::default(); c.endpoints]).collect(),
            pairs: vec![pair; n],
            thresholds,
        },
        behaviours: setup.clusters.iter().map(|c| vec![Behaviour::Up; c.endpoints]).collect(),
        policy: RetryPolicy {
            attempts: setup.attempts,
            on: RetryOn { five_xx: true, reset: true, connect_failure: true, ..RetryOn::default() },
            non_idempotent: false,
        },
        engine,
        queue: BinaryHeap::new(),
        sequence: 0,
        dice: Dice(setup.seed),
        open: BTreeMap::new(),
        arrived: 0,
        requests: vec![RollingCount::default(); n],
        retries: vec![vec![RollingCount::default(); n]; n],
        report: Report {
            homes: (0..setup.users).map(|user| plan.home(key(user as usize))).collect(),
            ..Report::default()
        },
        plan,
    };
    world.start();
    while let Some(Reverse((at, _, event))) = world.queue.pop() {
        world.now = world.now.max(at);
        world.handle(event);
        world.hear();
    }
    world.report
}

fn key(user: usize) -> KeyHash {
    KeyHash::of(&[format!("user-{user}").as_bytes()])
}

impl World<'_> {
    fn start(&mut self) {
        self.schedule(Duration::from_millis(1), Event::Arrival);
        self.schedule(TICK, Event::Tick);
        for (i, action) in self.setup.script.iter().enumerate() {
            self.schedule(action.at.since(self.now), Event::Script(i));
        }
        for (c, cluster) in self.setup.clusters.iter().enumerate().filter(|_| self.setup.probes) {
            for e in 0..cluster.endpoints {
                let offset = Duration::from_millis(self.dice.below(1_000));
                self.schedule(offset, Event::Probe(c, e));
            }
        }
    }

    fn schedule(&mut self, after: Duration, event: Event) {
        self.sequence += 1;
        self.queue.push(Reverse((self.now + after, self.sequence, event)));
    }

    /// Up to 3 ms: a channel, and a busy engine.
    fn tell_engine(&mut self, event: Event) {
        let late = Duration::from_micros(self.dice.below(3_000));
        self.schedule(late, event);
    }

    fn running(&self) -> bool {
        self.now < Tick::from_secs(self.setup.secs)
    }

    fn handle(&mut self, event: Event) {
        self.note(&event);
        match event {
            Event::Arrival => self.arrival(),
            Event::Ends(request, number, ends) => {
                let current = self.open.get(&request).is_some_and(|r| r.tries == number && r.waits);
                if current {
                    let ending = if let Ends::Badly(kind) = ends { Err(kind) } else { Ok(()) };
                    self.ended(request, ending);
                }
            }
            Event::Again(request) => self.send(request),
            Event::Probe(c, e) => self.probe(c, e),
            Event::Probed(c, e, passed) => self.engine.on_probe(self.now, self.shell.slot(c, e), passed),
            Event::Failed(c, e, kind, sent_at, at) => {
                let failure = Failure { kind: kind.into(), sent_at, at };
                self.engine.on_failure(self.now, self.shell.at(c, e), failure, &self.shell);
            }
            Event::Succeeded(c, e, sent, ended) => {
                self.engine.on_success(self.now, self.shell.at(c, e), sent, ended);
            }
            Event::Tick => {
                self.engine.tick(self.now, &self.shell);
                let n = self.setup.clusters.len();
                let admission = |c| self.engine.cluster_view(ServiceId(0), c).expect("configured").admission;
                self.report.admissions.push((self.now, (0..n).map(admission).collect()));
                if self.running() {
                    self.schedule(TICK, Event::Tick);
                }
            }
            Event::Script(i) => self.act(i),
        }
    }

    /// Folds an event into the run's hash.
    fn note(&mut self, event: &Event) {
        let parts = [format!("{event:?}"), format!("{:?}", self.now)];
        let bytes: Vec<&[u8]> = parts.iter().map(|part| part.as_bytes()).collect();
        self.report.hash = self.report.hash.rotate_left(1) ^ KeyHash::of(&bytes).0;
    }

    fn act(&mut self, i: usize) {
        let action = self.setup.script[i];
        for e in 0..self.behaviours[action.cluster].len() {
            if action.endpoint.is_some_and(|only| only != e) {
                continue;
            }
            self.behaviours[action.cluster][e] = action.behaviour;
            if action.behaviour == Behaviour::Dead {
                for request in self.waiting(action.cluster, Some(e)) {
                    self.ended(request, Err(Kind::Reset));
                }
            }
        }
    }

    fn waiting(&self, cluster: usize, endpoint: Option<usize>) -> Vec<usize> {
        let there = |target: Target| {
            usize::from(target.cluster) == cluster && endpoint.is_none_or(|e| e == target.endpoint as usize)
        };
        self.open.iter().filter(|(_, r)| r.waits && r.target.is_some_and(there)).map(|(&id, _)| id).collect()
    }

    fn arrival(&mut self) {
        if !self.running() {
            return;
        }
        let gap = 1_000_000_000 / self.setup.rps;
        let jitter = self.dice.below(gap);
        self.schedule(Duration::from_nanos(gap / 2 + jitter), Event::Arrival);
        let user = self.dice.below(self.setup.users) as usize;
        let roll = self.dice.roll();
        let route =
            self.plan.route(self.setup.keyed.then(|| key(user)), roll).idempotent(self.setup.idempotent);
        let home = route.home();
        self.shell.pairs[home].counts.requests += 1;
        self.requests[home].add(self.setup.budget.slice(self.now));
        let id = self.arrived;
        self.arrived += 1;
        let (sent, deadline) = (self.now, self.now + OVERALL);
        self.open.insert(
            id,
            Request { user, sent, route, try_sent: sent, tries: 0, target: None, waits: false, deadline },
        );
        self.send(id);
    }

    /// The next try, if there is a place for it and the budget has one.
    fn send(&mut self, id: usize) {
        let roll = self.dice.roll();
        let Some(mut request) = self.open.remove(&id) else { return };
        let sight = Sight { shell: &self.shell, engine: &self.engine };
        let mut target = self.plan.next(&mut request.route, &sight, self.now, roll);
        let retry = request.tries > 0;
        if retry && self.setup.variant == Variant::RetriesOnTheSameHost {
            target = request.target.or(target);
        }
        let home = request.route.home();
        let Some(target) = target.filter(|t| !retry || self.may_retry(home, usize::from(t.cluster))) else {
            self.open.insert(id, request);
            return self.finish(id, false);
        };
        let (c, e) = (usize::from(target.cluster), target.endpoint as usize);
        let counts = &mut self.shell.pairs[c].counts;
        *(if c == home { &mut counts.own } else { &mut counts.spilled }) += 1;
        self.shell.endpoints[c][e].in_flight += 1;
        request.tries += 1;
        request.target = Some(target);
        request.waits = true;
        request.try_sent = self.now;
        let number = request.tries;
        let left = request.deadline.since(self.now);
        self.open.insert(id, request);
        let (at, cluster, endpoint) = (self.now, target.cluster, target.endpoint);
        self.report.tries.push(Try { at, request: id, cluster, endpoint, retry });

        let quick = Duration::from_micros(4_000 + self.dice.below(2_000));
        let (after, ends) = match self.behaviours[c][e] {
            Behaviour::Up => (quick, Ends::Well),
            Behaviour::Dead => (Duration::from_micros(200), Ends::Badly(Kind::Connect)),
            Behaviour::Hang => (Duration::MAX, Ends::Well),
            Behaviour::Slow(ms) => (Duration::from_millis(ms) + quick, Ends::Well),
            Behaviour::Err(percent) if self.dice.below(100) < percent => {
                (quick, Ends::Badly(Kind::Status(503)))
            }
            Behaviour::Err(_) => (quick, Ends::Well),
            Behaviour::Broken => (quick, Ends::Badly(Kind::Status(500))),
        };
        let patience = self.setup.per_try.min(left);
        let (after, ends) =
            if after < patience { (after, ends) } else { (patience, Ends::Badly(Kind::Timeout)) };
        self.schedule(after, Event::Ends(id, number, ends));
    }

    fn may_retry(&mut self, home: usize, target: usize) -> bool {
        let budget = self.setup.budget;
        let slice = budget.slice(self.now);
        let requests: u64 = self.requests.iter().map(|r| r.sum(slice)).sum();
        let retries: u64 = self.retries.iter().flatten().map(|r| r.sum(slice)).sum();
        let of_pair = self.retries[home][target].sum(slice);
        let allowed =
            budget.allows(requests, retries) && budget.allows(self.requests[home].sum(slice), of_pair);
        if allowed {
            self.retries[home][target].add(slice);
        }
        allowed
    }

    fn ended(&mut self, id: usize, ending: Result<(), Kind>) {
        let now = self.now;
        let Some(request) = self.open.get_mut(&id) else { return };
        let Some(target) = request.target else { return };
        let (c, e) = (usize::from(target.cluster), target.endpoint as usize);
        let sent = request.try_sent;
        request.waits = false;
        self.shell.endpoints[c][e].in_flight -= 1;
        let silent = ending == Err(Kind::Timeout);
        self.shell.record(c, e, sent, now, ending.is_err(), silent);
        match ending {
            Ok(()) => {
                let dark = self.engine.cluster_view(ServiceId(0), c).expect("configured").admission <= 0.0;
                if std::mem::take(&mut self.shell.endpoints[c][e].failed) || dark {
                    self.tell_engine(Event::Succeeded(c, e, sent, now));
                }
                self.finish(id, true);
            }
            Err(kind) => {
                let endpoint = &mut self.shell.endpoints[c][e];
                endpoint.failed = true;
                if silent {
                    endpoint.timed_out_at = now;
                }
                if self.setup.variant != Variant::NoPassiveHealth {
                    self.tell_engine(Event::Failed(c, e, kind, sent, now));
                }
                let outcome = match kind {
                    Kind::Connect => Outcome::ConnectFailure,
                    Kind::Reset => Outcome::Reset,
                    Kind::Timeout => Outcome::Timeout,
                    Kind::Status(status) => Outcome::Status(status),
                };
                self.retry(id, outcome, kind.into());
            }
        }
    }

    fn retry(&mut self, id: usize, outcome: Outcome, how: FailureKind) {
        let Some(request) = self.open.get_mut(&id) else { return };
        let Some(target) = request.target else { return };
        request.route.failed(target, how, self.now);
        let context = RetryContext {
            idempotent: self.setup.idempotent,
            committed: false,
            nothing_sent: false,
            is_retry: false,
            tries: request.tries,
            remaining: request.deadline.since(self.now),
            pushback: Pushback::None,
        };
        let tries = request.tries;
        match self.policy.decide(outcome, &context) {
            Err(_) => self.finish(id, false),
            Ok(_) if outcome == Outcome::GivenUp => self.schedule(Duration::ZERO, Event::Again(id)),
            Ok(wait) => {
                let roll = self.dice.roll();
                self.schedule(wait.max(Backoff::default().delay(tries, roll)), Event::Again(id));
            }
        }
    }

    fn finish(&mut self, id: usize, good: bool) {
        let Some(request) = self.open.remove(&id) else { return };
        let from = if good { request.target.map(|t| (t.cluster, t.endpoint)) } else { None };
        let (user, sent, ended, tries) = (request.user, request.sent, self.now, request.tries);
        self.report.answers.push(Answer { user, sent, ended, from, good, tries });
    }

    fn probe(&mut self, c: usize, e: usize) {
        let (after, passed) = match self.behaviours[c][e] {
            Behaviour::Dead => (Duration::from_micros(200), false),
            Behaviour::Hang => (PROBE_TIMEOUT, false),
            _ => (Duration::from_millis(1), true),
        };
        self.schedule(after, Event::Probed(c, e, passed));
        if self.running() {
            self.schedule(PROBE_INTERVAL, Event::Probe(c, e));
        }
    }

    /// What the engine says: logged, and waiters are woken.
    fn hear(&mut self) {
        let events: Vec<HealthEvent> = self.engine.drain_events().collect();
        for event in events {
            let woken = match &event {
                HealthEvent::Ejected { endpoint, local_origin_only: true, .. }
                | HealthEvent::ProbeUnhealthy { endpoint } => {
                    let (c, e) = self.place(*endpoint);
                    self.waiting(c, Some(e))
                }
                HealthEvent::BreakerOpened { cluster, local_origin_only: true, .. } => {
                    self.waiting(*cluster, None)
                }
                _ => Vec::new(),
            };
            self.report.events.push((self.now, event));
            if self.setup.variant == Variant::WaitersSleep || !self.setup.idempotent {
                continue;
            }
            for id in woken {
                let request = self.open.get_mut(&id);
                let target = request.and_then(|request| {
                    request.waits = false;
                    request.target
                });
                if let Some(target) = target {
                    self.shell.endpoints[usize::from(target.cluster)][target.endpoint as usize].in_flight -=
                        1;
                    self.retry(id, Outcome::GivenUp, FailureKind::Timeout);
                }
            }
        }
    }

    fn place(&self, endpoint: EndpointId) -> (usize, usize) {
        let all =
            self.setup.clusters.iter().enumerate().flat_map(|(c, s)| (0..s.endpoints).map(move |e| (c, e)));
        all.clone().nth(endpoint.0 as usize).unwrap_or_default()
    }
}
