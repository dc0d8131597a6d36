//! `/clusters`: what the policy thinks of every cluster and endpoint, and why.

use std::time::{Duration, SystemTime};

use causeway_config::ServiceCluster;
use causeway_proxy_policy::health::{BreakerState, ClusterView, EndpointView, OutOfService, Reason};
use causeway_proxy_policy::limits::Limits;
use causeway_proxy_policy::{Tick, p2c};
use serde::Serialize;

use super::discovery::SourceEntry;
use crate::health::HealthReport;
use crate::snapshot::{Lane, Service, Snapshot};
use crate::telemetry::exposition::share;
use crate::telemetry::metrics::attempts;
use crate::upstream::discover::Status;
use crate::upstream::endpoint::{EndpointState, Standing};
use crate::upstream::lane::LaneState;

/// The page. Fields are added, never renamed: dashboards and the demo read it.
#[derive(Serialize)]
pub(super) struct Page {
    /// False: the health thread did not answer in time, and what only it knows is absent.
    pub health_known: bool,
    pub services: Vec<ServiceEntry>,
}

#[derive(Serialize)]
pub(super) struct ServiceEntry {
    pub name: String,
    pub clusters: Vec<ClusterEntry>,
}

/// One cluster as one service uses it. Shares are from 0 to 1, times in milliseconds from now.
#[derive(Serialize)]
pub(super) struct ClusterEntry {
    pub name: String,
    pub weight: Option<u32>,
    pub priority: Option<u32>,
    /// The share of its own users that it keeps.
    pub admission: f64,
    /// What decides that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<&'static str>,
    /// The share of others' users that it takes.
    pub spill_share: f64,
    /// It went down with all others and was not seen alive since.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub marked: Option<bool>,
    /// So few endpoints are healthy that health is ignored.
    pub panic: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub breaker: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold_until_ms: Option<u64>,
    pub connections: u32,
    pub pending: u32,
    pub requests: u32,
    pub limits: LimitsEntry,
    /// How its endpoints are looked up, if they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub discovery: Option<SourceEntry>,
    pub endpoints: Vec<EndpointEntry>,
}

#[derive(Serialize)]
pub(super) struct LimitsEntry {
    pub connections: u32,
    pub pending: u32,
    pub requests: u32,
}

#[derive(Serialize)]
pub(super) struct EndpointEntry {
    pub address: String,
    /// `healthy`, `unhealthy`, `ejected` or `drained`.
    pub health: &'static str,
    /// The rule that ejected it, or `active-check`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ejected_until_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ejections: Option<u32>,
    /// How long it has been in slow start, while it may be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ramping_for_ms: Option<u64>,
    pub in_flight: u32,
    pub requests_total: u64,
    pub success_total: u64,
    /// Peak EWMA of the time to first byte, of the worker that sees it slowest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<f64>,
}

/// The page of a snapshot.
pub(super) fn page(
    snapshot: &Snapshot,
    report: Option<&HealthReport>,
    sources: &[Status],
    now: Tick,
) -> Page {
    let services =
        snapshot.services.iter().map(|service| of_service(snapshot, service, report, sources, now));
    Page { health_known: report.is_some(), services: services.collect() }
}

fn of_service(
    snapshot: &Snapshot,
    service: &Service,
    report: Option<&HealthReport>,
    sources: &[Status],
    now: Tick,
) -> ServiceEntry {
    let name = service.state.name.to_string();
    let listed = snapshot.config.services.get(&name);
    let cluster = |lane: &Lane| {
        let view = report.and_then(|report| report.lanes.get(&lane.state.id));
        let config = listed.and_then(|s| s.clusters.iter().find(|c| *c.name == *lane.state.cluster));
        let drained = view.is_some_and(|view| view.reason == Reason::Drained);
        let endpoints = lane.endpoints.iter().map(|endpoint| {
            let view = report.and_then(|report| report.endpoints.get(&endpoint.state.id));
            of_endpoint(&endpoint.state, view, drained, now)
        });
        let source = sources.iter().find(|status| *status.cluster == *lane.dial.name);
        let discovery = source.map(|status| SourceEntry::new(status, SystemTime::now()));
        let entry = of_cluster(&lane.state, config, lane.limits, view, endpoints.collect(), now);
        ClusterEntry { discovery, ..entry }
    };
    ServiceEntry { clusters: service.lanes.iter().map(cluster).collect(), name }
}

fn of_cluster(
    lane: &LaneState,
    config: Option<&ServiceCluster>,
    limits: Limits,
    view: Option<&ClusterView>,
    endpoints: Vec<EndpointEntry>,
    now: Tick,
) -> ClusterEntry {
    ClusterEntry {
        name: lane.cluster.to_string(),
        weight: config.map(|cluster| cluster.weight),
        priority: config.map(|cluster| cluster.priority),
        admission: share(lane.admission.get()),
        why: view.map(|view| view.reason.as_str()),
        spill_share: share(lane.spill_share.get()),
        marked: view.map(|view| view.marked),
        panic: lane.flags().panic,
        breaker: view.map(|view| match view.breaker {
            BreakerState::Closed => "closed",
            BreakerState::Open => "open",
            BreakerState::HalfOpen => "half-open",
        }),
        hold_until_ms: view.and_then(|view| left(view.hold_until, now)),
        connections: lane.connections.taken(),
        pending: lane.pending.taken(),
        requests: lane.requests.taken(),
        limits: LimitsEntry {
            connections: limits.max_connections,
            pending: limits.max_pending,
            requests: limits.max_requests,
        },
        discovery: None,
        endpoints,
    }
}

fn of_endpoint(
    state: &EndpointState,
    view: Option<&EndpointView>,
    drained: bool,
    now: Tick,
) -> EndpointEntry {
    let standing = state.standing();
    // A dead endpoint of a drained cluster is dead in the first place.
    let (health, why) = match view.and_then(|view| view.out) {
        Some(OutOfService::Ejected(kind)) => ("ejected", Some(kind.as_str())),
        Some(OutOfService::Probe) => ("unhealthy", Some("active-check")),
        None if drained => ("drained", None),
        None if standing == Standing::Out => ("unhealthy", None),
        None => ("healthy", None),
    };
    let (requests_total, success_total) = attempts(state);
    let latency = |cells: &crate::upstream::endpoint::EndpointCells| {
        p2c::decayed(cells.ewma.get(), Tick(cells.ewma_at.get()), now)
    };
    let slowest = state.all_cells().map(latency).max().filter(|nanos| *nanos > 0);
    EndpointEntry {
        address: state.address.to_string(),
        health,
        why,
        ejected_until_ms: view.and_then(|view| left(view.ejected_until, now)),
        ejections: view.map(|view| view.ejections),
        ramping_for_ms: match standing {
            Standing::RampSince(since) => Some(millis(now.since(since))),
            Standing::Full | Standing::Out => None,
        },
        in_flight: state.in_flight(),
        requests_total,
        success_total,
        latency_ms: slowest.map(|nanos| (nanos as f64 / 1e4).round() / 1e2),
    }
}

/// Milliseconds from now; nothing for what is past.
fn left(until: Option<Tick>, now: Tick) -> Option<u64> {
    until.filter(|until| *until > now).map(|until| millis(until.since(now)))
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
pub(super) mod tests {
    use causeway_proxy_policy::health::outlier::EjectionKind;

    use super::*;

    const NOW: Tick = Tick::from_secs(100);

    fn view(out: Option<OutOfService>, until: Option<Tick>) -> EndpointView {
        EndpointView {
            available: out.is_none(),
            ramp_since: Tick(0),
            ejected_until: until,
            ejections: 2,
            out,
        }
    }

    /// One service with one cluster of three endpoints: one ejected, one in slow start, one failing its check.
    pub(crate) fn sample() -> Page {
        let lane = LaneState::new(1, "api", "east", 2);
        lane.admission.set(0.7);
        assert!(lane.connections.try_take(9));
        let cluster = ClusterView {
            admission: 0.7,
            spill_share: 1.0,
            marked: false,
            panic: false,
            trickle: false,
            breaker: BreakerState::HalfOpen,
            reason: Reason::Ramp,
            hold_until: Some(Tick::from_secs(112)),
            healthy: (1, 3),
        };
        let states =
            ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"].map(|a| EndpointState::new(0, "east", a, 2));
        states[0].set_standing(Standing::Out);
        states[1].set_standing(Standing::RampSince(Tick::from_secs(95)));
        states[2].set_standing(Standing::Out);
        for (worker, latency) in [(0, 4_000_000), (1, 9_000_000)] {
            let cells = states[1].cells(worker);
            cells.total.add(10);
            cells.success.add(9);
            cells.ewma.set(latency);
            cells.ewma_at.set(NOW.0);
        }
        let ejected = view(
            Some(OutOfService::Ejected(EjectionKind::ConsecutiveErrors)),
            Some(Tick::from_millis(121_500)),
        );
        let views = [ejected, view(None, Some(Tick::from_secs(90))), view(Some(OutOfService::Probe), None)];
        let endpoints = states.iter().zip(&views).map(|(s, v)| of_endpoint(s, Some(v), false, NOW)).collect();
        let config =
            ServiceCluster { name: "east".into(), weight: 50, priority: 1, endpoints_ref: "east".into() };
        let entry = of_cluster(&lane, Some(&config), Limits::default(), Some(&cluster), endpoints, NOW);
        Page {
            health_known: true,
            services: vec![ServiceEntry { name: "api".into(), clusters: vec![entry] }],
        }
    }

    #[test]
    fn the_page_has_the_shape_that_its_readers_know() {
        let expected = serde_json::json!({"health_known": true, "services": [{"name": "api", "clusters": [{
            "name": "east", "weight": 50, "priority": 1, "admission": 0.7, "why": "ramp", "spill_share": 1.0,
            "marked": false, "panic": false, "breaker": "half-open", "hold_until_ms": 12_000,
            "connections": 1, "pending": 0, "requests": 0,
            "limits": {"connections": 1000, "pending": 100, "requests": 1000},
            "endpoints": [
                {"address": "10.0.0.1:80", "health": "ejected", "why": "consecutive-errors",
                 "ejected_until_ms": 21_500, "ejections": 2, "in_flight": 0, "requests_total": 0,
                 "success_total": 0},
                {"address": "10.0.0.2:80", "health": "healthy", "ejections": 2, "ramping_for_ms": 5_000,
                 "in_flight": 0, "requests_total": 20, "success_total": 18, "latency_ms": 9.0},
                {"address": "10.0.0.3:80", "health": "unhealthy", "why": "active-check", "ejections": 2,
                 "in_flight": 0, "requests_total": 0, "success_total": 0},
            ],
        }]}]});
        assert_eq!(serde_json::to_value(sample()).unwrap(), expected);
    }

    #[test]
    fn in_a_drained_cluster_the_living_are_drained_and_the_dead_stay_dead() {
        let state = EndpointState::new(0, "east", "a:1", 1);
        assert_eq!(of_endpoint(&state, Some(&view(None, None)), true, NOW).health, "drained");
        let dead = view(Some(OutOfService::Probe), None);
        assert_eq!(of_endpoint(&state, Some(&dead), true, NOW).health, "unhealthy");
    }

    #[test]
    fn without_the_health_thread_the_published_standing_counts() {
        let state = EndpointState::new(0, "east", "a:1", 1);
        assert_eq!(of_endpoint(&state, None, false, NOW).health, "healthy");
        state.set_standing(Standing::Out);
        let entry = serde_json::to_value(of_endpoint(&state, None, false, NOW)).unwrap();
        assert_eq!(entry["health"], "unhealthy");
        assert!(entry.get("ejections").is_none(), "nobody knows");
    }
}
