//! Per service: requests as their clients saw them.

use causeway_proxy_policy::grpc;

use super::CODE_CLASSES;
use crate::telemetry::exposition::Page;
use crate::telemetry::histogram::Totals;
use crate::upstream::cell::Count;
use crate::upstream::service::{ServiceCells, ServiceState};

/// Writes all families of services.
pub(super) fn render(page: &mut Page, services: &[&ServiceState]) {
    page.counter("causeway_requests_total", "Answers to clients, by class of status.", |family| {
        for service in services {
            for (i, class) in CODE_CLASSES.iter().enumerate() {
                let labels = [("service", &*service.name), ("code_class", class)];
                family.sample(&labels, sum(service, |cells| &cells.statuses[i]));
            }
        }
    });
    let mut plain = |name: &str, help: &str, counter: fn(&ServiceCells) -> &Count| {
        page.counter(name, help, |family| {
            services.iter().for_each(|s| family.sample(&[("service", &s.name)], sum(s, counter)));
        });
    };
    plain("causeway_requests_started_total", "Requests from clients that began.", |c| &c.requests);
    plain("causeway_retries_total", "Retries started.", |c| &c.retries);
    plain("causeway_retries_refused_total", "Retries that the budget refused.", |c| &c.retries_refused);
    plain("causeway_request_body_bytes_total", "Body bytes from clients.", |c| &c.bytes_in);
    plain("causeway_response_body_bytes_total", "Body bytes to clients.", |c| &c.bytes_out);
    let help = "gRPC calls that ended, by the code that the caller was told.";
    page.counter("causeway_grpc_requests_total", help, |family| {
        for service in services {
            let counts: [u64; grpc::CODES] = std::array::from_fn(|code| sum(service, |c| &c.grpc[code]));
            // Most services have none: seventeen lines of 0 each would say nothing.
            if counts.iter().all(|count| *count == 0) {
                continue;
            }
            for (code, count) in counts.into_iter().enumerate() {
                let code = itoa::Buffer::new().format(code).to_owned();
                family.sample(&[("service", &*service.name), ("grpc_status", &code)], count);
            }
        }
    });
    page.gauge("causeway_requests_in_flight", "Requests from clients under way.", |family| {
        for service in services {
            let sum = service.all_cells().fold(0u32, |sum, cells| sum.wrapping_add(cells.in_flight.get()));
            family.sample(&[("service", &service.name)], sum);
        }
    });
    let help = "From a request's head to the end of its response, retries included.";
    page.histogram("causeway_request_duration_seconds", help, |family| {
        for service in services {
            let mut totals = Totals::default();
            service.all_cells().for_each(|cells| cells.duration.add_to(&mut totals));
            family.totals(&[("service", &service.name)], &totals);
        }
    });
}

fn sum(service: &ServiceState, counter: impl Fn(&ServiceCells) -> &Count) -> u64 {
    service.all_cells().fold(0, |sum, cells| sum.wrapping_add(counter(cells).get()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::exposition::check::check;

    #[test]
    fn what_two_workers_counted_is_added_up() {
        let api = ServiceState::new(0, "api", 2);
        for worker in 0..2 {
            api.cells(worker).requests.add(10);
            api.cells(worker).statuses[1].add(7);
            api.cells(worker).statuses[4].add(2);
            api.cells(worker).in_flight.enter();
            api.cells(worker).duration.record(3_000_000);
            api.cells(worker).bytes_out.add(100);
        }
        api.cells(1).retries.add(1);
        api.cells(0).grpc[14].add(3);
        let mut page = Page::default();
        render(&mut page, &[&api, &ServiceState::new(1, "quiet", 2)]);
        let samples = check(&page.finish());
        for (sample, value) in [
            (r#"causeway_requests_total{service="api",code_class="2xx"}"#, 14.0),
            (r#"causeway_requests_total{service="api",code_class="5xx"}"#, 4.0),
            (r#"causeway_requests_total{service="quiet",code_class="5xx"}"#, 0.0),
            (r#"causeway_requests_started_total{service="api"}"#, 20.0),
            (r#"causeway_requests_in_flight{service="api"}"#, 2.0),
            (r#"causeway_retries_total{service="api"}"#, 1.0),
            (r#"causeway_grpc_requests_total{service="api",grpc_status="14"}"#, 3.0),
            (r#"causeway_grpc_requests_total{service="api",grpc_status="0"}"#, 0.0),
            (r#"causeway_retries_refused_total{service="api"}"#, 0.0),
            (r#"causeway_request_body_bytes_total{service="api"}"#, 0.0),
            (r#"causeway_response_body_bytes_total{service="api"}"#, 200.0),
            (r#"causeway_request_duration_seconds_bucket{service="api",le="0.0025"}"#, 0.0),
            (r#"causeway_request_duration_seconds_bucket{service="api",le="0.005"}"#, 2.0),
            (r#"causeway_request_duration_seconds_count{service="api"}"#, 2.0),
        ] {
            assert_eq!(samples.get(sample), Some(&value), "{sample}");
        }
        let quiet = r#"causeway_grpc_requests_total{service="quiet",grpc_status="0"}"#;
        assert_eq!(samples.get(quiet), None, "a service without gRPC has no lines of it");
    }
}
