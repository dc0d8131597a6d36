//! Per service and cluster: what the cluster did, and what the policy makes of it.

use std::collections::HashMap;

use causeway_proxy_policy::health::{BreakerState, ClusterView};

use super::CODE_CLASSES;
use crate::telemetry::exposition::{Label, Page, share};
use crate::telemetry::histogram::Totals;
use crate::upstream::cell::Count;
use crate::upstream::lane::{AttemptFailure, LaneCells, LaneState};

/// Writes all families of lanes; those that only the health thread knows if `views` are given.
pub(super) fn render(page: &mut Page, lanes: &[&LaneState], views: Option<&HashMap<u32, ClusterView>>) {
    traffic(page, lanes);
    standing(page, lanes);
    if let Some(views) = views {
        let seen: Vec<_> = lanes.iter().filter_map(|lane| Some((*lane, views.get(&lane.id)?))).collect();
        judgement(page, &seen);
    }
}

fn names(lane: &LaneState) -> [Label<'_>; 2] {
    [("service", &lane.service), ("cluster", &lane.cluster)]
}

/// The lane's names and one more label.
fn and<'a>(lane: &'a LaneState, name: &'a str, value: &'a str) -> [Label<'a>; 3] {
    let [service, cluster] = names(lane);
    [service, cluster, (name, value)]
}

fn traffic(page: &mut Page, lanes: &[&LaneState]) {
    page.counter("causeway_upstream_requests_total", "Answers of a cluster, by class of status.", |family| {
        for lane in lanes {
            for (i, class) in CODE_CLASSES.iter().enumerate() {
                family.sample(&and(lane, "code_class", class), lane.sum(|cells| &cells.statuses[i]));
            }
        }
    });
    let help = "Attempts at a cluster that failed without a whole answer.";
    page.counter("causeway_upstream_failures_total", help, |family| {
        for lane in lanes {
            for reason in AttemptFailure::ALL {
                let n = lane.sum(|cells| &cells.failures[reason as usize]);
                family.sample(&and(lane, "reason", reason.as_str()), n);
            }
        }
    });
    let help = "Tries started at a cluster: own, of requests whose home it is, or spilled from another one.";
    page.counter("causeway_upstream_tries_total", help, |family| {
        for lane in lanes {
            family.sample(&and(lane, "origin", "own"), lane.sum(|cells| &cells.own));
            family.sample(&and(lane, "origin", "spilled"), lane.sum(|cells| &cells.spilled));
        }
    });
    let mut plain = |name: &str, help: &str, counter: fn(&LaneCells) -> &Count| {
        page.counter(name, help, |family| {
            lanes.iter().for_each(|lane| family.sample(&names(lane), lane.sum(counter)));
        });
    };
    plain("causeway_upstream_retries_total", "Retries sent to a cluster.", |c| &c.retries);
    plain("causeway_upstream_overflows_total", "Tries that a limit of a cluster refused.", |c| &c.overflows);
    let help = "Requests whose home a cluster is, wherever they went.";
    plain("causeway_cluster_home_requests_total", help, |c| &c.home_requests);
    let help = "Time to the first byte of an attempt.";
    page.histogram("causeway_upstream_request_duration_seconds", help, |family| {
        for lane in lanes {
            let mut totals = Totals::default();
            lane.all_cells().for_each(|cells| cells.latency.add_to(&mut totals));
            family.totals(&names(lane), &totals);
        }
    });
}

fn standing(page: &mut Page, lanes: &[&LaneState]) {
    let mut gauge = |name: &str, help: &str, value: fn(&LaneState) -> f64| {
        page.gauge(name, help, |family| {
            lanes.iter().for_each(|lane| family.sample(&names(lane), value(lane)));
        });
    };
    let help = "Connections to a cluster, open or being opened.";
    gauge("causeway_upstream_connections", help, |lane| lane.connections.taken().into());
    let help = "Requests that wait because a cluster's limit on connections is reached.";
    gauge("causeway_upstream_requests_pending", help, |lane| lane.pending.taken().into());
    let help = "Requests under way at a cluster.";
    gauge("causeway_upstream_requests_in_flight", help, |lane| lane.requests.taken().into());
    let help = "The share (0 to 1) of its own users that a cluster keeps.";
    gauge("causeway_cluster_admission", help, |lane| share(lane.admission.get()));
    let help = "The share (0 to 1) of others' users that a cluster takes.";
    gauge("causeway_cluster_spill_share", help, |lane| share(lane.spill_share.get()));
    let help = "Whether so few endpoints are healthy that health is ignored.";
    gauge("causeway_cluster_panic", help, |lane| f64::from(u8::from(lane.flags().panic)));
}

const BREAKER_STATES: [(BreakerState, &str); 3] =
    [(BreakerState::Closed, "closed"), (BreakerState::Open, "open"), (BreakerState::HalfOpen, "half_open")];

fn judgement(page: &mut Page, lanes: &[(&LaneState, &ClusterView)]) {
    page.gauge("causeway_cluster_breaker_state", "1 for the state that a breaker is in.", |family| {
        for (lane, view) in lanes {
            for (state, name) in BREAKER_STATES {
                family.sample(&and(lane, "state", name), u8::from(view.breaker == state));
            }
        }
    });
    page.gauge("causeway_cluster_admission_reason", "1 for what decides a cluster's admission.", |family| {
        for (lane, view) in lanes {
            family.sample(&and(lane, "reason", view.reason.as_str()), 1);
        }
    });
    let help = "Whether a cluster went down with all others and was not seen alive since.";
    page.gauge("causeway_cluster_marked", help, |family| {
        lanes.iter().for_each(|(lane, view)| family.sample(&names(lane), u8::from(view.marked)));
    });
    page.gauge(
        "causeway_cluster_endpoints",
        "Endpoints of a cluster, by whether they are available.",
        |family| {
            for (lane, view) in lanes {
                let (healthy, all) = view.healthy;
                family.sample(&and(lane, "available", "yes"), healthy);
                family.sample(&and(lane, "available", "no"), all.saturating_sub(healthy));
            }
        },
    );
}

#[cfg(test)]
mod tests {
    use causeway_proxy_policy::health::Reason;

    use super::*;
    use crate::telemetry::exposition::check::check;
    use crate::upstream::lane::LaneFlags;

    fn lane() -> LaneState {
        let lane = LaneState::new(4, "api", "east", 2);
        for worker in 0..2 {
            let cells = lane.cells(worker);
            cells.statuses[4].add(1);
            cells.failures[AttemptFailure::Timeout as usize].add(2);
            cells.spilled.add(3);
            cells.overflows.add(4);
            cells.latency.record(1);
        }
        assert!(lane.connections.try_take(9));
        lane.admission.set(0.7);
        lane.set_flags(LaneFlags { panic: true, ..LaneFlags::default() });
        lane
    }

    #[test]
    fn a_lane_tells_its_traffic_and_its_standing() {
        let mut page = Page::default();
        render(&mut page, &[&lane()], None);
        let page = page.finish();
        let samples = check(&page);
        for (family, more, value) in [
            ("causeway_upstream_requests_total", r#",code_class="5xx""#, 2.0),
            ("causeway_upstream_failures_total", r#",reason="timeout""#, 4.0),
            ("causeway_upstream_failures_total", r#",reason="connect""#, 0.0),
            ("causeway_upstream_tries_total", r#",origin="spilled""#, 6.0),
            ("causeway_upstream_overflows_total", "", 8.0),
            ("causeway_upstream_request_duration_seconds_count", "", 2.0),
            ("causeway_upstream_connections", "", 1.0),
            ("causeway_upstream_requests_pending", "", 0.0),
            ("causeway_cluster_admission", "", 0.7),
            ("causeway_cluster_spill_share", "", 1.0),
            ("causeway_cluster_panic", "", 1.0),
        ] {
            let sample = format!(r#"{family}{{service="api",cluster="east"{more}}}"#);
            assert_eq!(samples.get(&sample), Some(&value), "{sample}");
        }
        assert!(!page.contains("breaker"), "the health thread said nothing");
    }

    #[test]
    fn a_breaker_is_in_exactly_one_state() {
        let view = ClusterView {
            admission: 0.0,
            spill_share: 1.0,
            marked: false,
            panic: false,
            trickle: false,
            breaker: BreakerState::HalfOpen,
            reason: Reason::Ramp,
            hold_until: None,
            healthy: (1, 3),
        };
        let mut page = Page::default();
        render(&mut page, &[&lane()], Some(&HashMap::from([(4, view)])));
        let samples = check(&page.finish());
        let of = |name: &str| {
            let found = samples.iter().filter(|(series, value)| series.starts_with(name) && **value > 0.0);
            found.map(|(series, _)| series.clone()).collect::<Vec<_>>()
        };
        let lane = r#"{service="api",cluster="east""#;
        assert_eq!(
            of("causeway_cluster_breaker_state"),
            [format!(r#"causeway_cluster_breaker_state{lane},state="half_open"}}"#)]
        );
        assert_eq!(
            of("causeway_cluster_admission_reason"),
            [format!(r#"causeway_cluster_admission_reason{lane},reason="ramp"}}"#)]
        );
        assert_eq!(samples[&format!(r#"causeway_cluster_endpoints{lane},available="no"}}"#)], 2.0);
    }
}
