//! Per endpoint, over all services that use its cluster.

use std::collections::HashMap;

use causeway_proxy_policy::health::EndpointView;

use crate::telemetry::exposition::{Label, Page};
use crate::upstream::endpoint::{EndpointState, Standing};

/// Writes all families of endpoints; those that only the health thread knows if `views` are given.
pub(super) fn render(
    page: &mut Page,
    endpoints: &[&EndpointState],
    views: Option<&HashMap<u32, EndpointView>>,
) {
    let mut gauge = |name: &str, help: &str, value: fn(&EndpointState) -> u32| {
        page.gauge(name, help, |family| {
            endpoints.iter().for_each(|endpoint| family.sample(&names(endpoint), value(endpoint)));
        });
    };
    let help = "Whether an endpoint takes requests: not ejected, and not given up by its active check.";
    gauge("causeway_endpoint_up", help, |e| u32::from(e.standing() != Standing::Out));
    let help = "Requests under way at an endpoint.";
    gauge("causeway_endpoint_requests_in_flight", help, EndpointState::in_flight);
    gauge("causeway_endpoint_connections", "Open connections to an endpoint.", |e| {
        e.all_cells().fold(0, |sum, cells| sum.wrapping_add(cells.connections.get()))
    });
    page.counter(
        "causeway_endpoint_requests_total",
        "Finished attempts at an endpoint, by result.",
        |family| {
            for endpoint in endpoints {
                let (total, success) = attempts(endpoint);
                let [cluster, address] = names(endpoint);
                family.sample(&[cluster, address, ("result", "success")], success);
                // The two counters are read a moment apart.
                family.sample(&[cluster, address, ("result", "failure")], total.saturating_sub(success));
            }
        },
    );
    let Some(views) = views else { return };
    let seen = || endpoints.iter().filter_map(|endpoint| Some((names(endpoint), views.get(&endpoint.id)?)));
    page.gauge("causeway_endpoint_ejected", "Whether an endpoint is ejected.", |family| {
        seen().for_each(|(names, view)| family.sample(&names, u8::from(view.ejected_until.is_some())));
    });
    let help = "The number of ejections that sets the next one's length; falls with time.";
    page.gauge("causeway_endpoint_ejection_count", help, |family| {
        seen().for_each(|(names, view)| family.sample(&names, view.ejections));
    });
}

fn names(endpoint: &EndpointState) -> [Label<'_>; 2] {
    [("cluster", &endpoint.cluster), ("endpoint", &endpoint.address)]
}

/// Finished attempts, and how many of them were no failure, over all workers.
pub(crate) fn attempts(endpoint: &EndpointState) -> (u64, u64) {
    endpoint.all_cells().fold((0, 0), |(total, success), cells| {
        (total.wrapping_add(cells.total.get()), success.wrapping_add(cells.success.get()))
    })
}

#[cfg(test)]
mod tests {
    use causeway_proxy_policy::Tick;

    use super::*;
    use crate::telemetry::exposition::check::check;

    #[test]
    fn an_endpoint_that_is_out_is_down_and_one_that_ramps_is_up() {
        let states =
            ["10.0.0.1:80", "[::1]:80", "c:80"].map(|address| EndpointState::new(7, "east", address, 1));
        states[0].set_standing(Standing::Out);
        states[1].set_standing(Standing::RampSince(Tick(5)));
        states[1].cells(0).total.add(5);
        states[1].cells(0).success.add(3);
        let view = EndpointView {
            available: false,
            ramp_since: Tick(0),
            ejected_until: Some(Tick(9)),
            ejections: 2,
            out: None,
        };
        let mut page = Page::default();
        render(&mut page, &[&states[0], &states[1], &states[2]], Some(&HashMap::from([(7, view)])));
        let samples = check(&page.finish());
        for (family, endpoint, more, value) in [
            ("causeway_endpoint_up", "10.0.0.1:80", "", 0.0),
            ("causeway_endpoint_up", "[::1]:80", "", 1.0),
            ("causeway_endpoint_up", "c:80", "", 1.0),
            ("causeway_endpoint_requests_total", "[::1]:80", r#",result="success""#, 3.0),
            ("causeway_endpoint_requests_total", "[::1]:80", r#",result="failure""#, 2.0),
            ("causeway_endpoint_requests_in_flight", "c:80", "", 0.0),
            ("causeway_endpoint_ejected", "c:80", "", 1.0),
            ("causeway_endpoint_ejection_count", "c:80", "", 2.0),
        ] {
            let sample = format!(r#"{family}{{cluster="east",endpoint="{endpoint}"{more}}}"#);
            assert_eq!(samples.get(&sample), Some(&value), "{sample}");
        }
    }
}
