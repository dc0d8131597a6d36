//! The page that Prometheus scrapes.
//!
//! Two kinds of metrics are on it. What is counted on the request path lives in cells of one writer each (see
//! [`crate::upstream::cell`]) and is folded here. What happens now and then (a reload, an ejection) goes through
//! the `metrics` crate, by the functions below. That crate for everything was rejected: it looks a key up per
//! count and keeps a histogram's samples under a lock.
//!
//! Every label value is a name from the config, an address from the config or one of our own words, never
//! anything that a client sent: the number of series is bounded by the config, and for endpoints by
//! [`MAX_ENDPOINTS`] besides. Units are in the names (`_seconds`, `_bytes`), counters end in `_total`, by
//! Prometheus's naming practices.
//!
//! Names: `causeway_requests_*` is what clients saw, once a request; `causeway_upstream_*` is what clusters did,
//! once an attempt, before retries; `causeway_cluster_*` and `causeway_endpoint_*` are what the policy thinks.

mod discovery;
mod endpoints;
mod events;
mod extras;
mod lanes;
mod process;
mod services;

use std::sync::atomic::Ordering::Relaxed;

use metrics_exporter_prometheus::PrometheusHandle;

pub(crate) use self::endpoints::attempts;
pub use self::events::{
    breaker_opened, config_applied, config_refused, ejected, flooded, install, probed, returned,
};
use super::exposition::Page;
use crate::health::HealthReport;
use crate::shared::Shared;

/// Endpoints with series of their own; what is beyond is only counted. At seven series an endpoint this is a page
/// of about 15 MB, near what a scrape is worth.
pub const MAX_ENDPOINTS: usize = 20_000;

/// The whole page. Without a report (the health thread did not answer in time) what only that thread knows is
/// missing, and the rest is there.
pub fn render(shared: &Shared, handle: &PrometheusHandle, report: Option<&HealthReport>) -> String {
    let snapshot = shared.snapshots.load();
    let mut page = Page::with(handle.render());

    let services: Vec<_> = snapshot.services.iter().map(|service| &*service.state).collect();
    services::render(&mut page, &services);

    extras::limits(&mut page, &snapshot.limits.iter().map(|limit| &*limit.state).collect::<Vec<_>>());
    extras::faults(&mut page, &snapshot.faults.iter().map(|fault| &*fault.state).collect::<Vec<_>>());
    extras::mirrors(&mut page, &snapshot.mirrors.iter().map(|mirror| &**mirror).collect::<Vec<_>>());

    let lanes: Vec<_> =
        snapshot.services.iter().flat_map(|service| &service.lanes).map(|l| &*l.state).collect();
    lanes::render(&mut page, &lanes, report.map(|report| &report.lanes));

    let targets = || snapshot.clusters.iter().flat_map(|dial| &dial.targets).map(|target| &*target.state);
    let endpoints: Vec<_> = targets().take(MAX_ENDPOINTS).collect();
    endpoints::render(&mut page, &endpoints, report.map(|report| &report.endpoints));
    page.gauge("causeway_endpoints_without_series", "Endpoints left out of this page.", |family| {
        family.sample(&[], targets().count() - endpoints.len());
    });

    discovery::render(&mut page, &shared.discovery.statuses(&snapshot.config));

    let workers: Vec<_> = shared.counters.iter().map(|padded| &padded.0).collect();
    process::connections(&mut page, &workers);
    process::config(&mut page, &snapshot.digest, snapshot.version);
    process::itself(
        &mut page,
        &process::Facts {
            started: shared.born,
            generation: shared.generation,
            draining: shared.draining.load(Relaxed),
            log_written: shared.access_log.written(),
            log_dropped: shared.access_log.dropped(),
            panics: super::panics::count(),
        },
    );
    super::process::render(&mut page);
    page.finish()
}

/// The classes of HTTP statuses, as the counters number them.
const CODE_CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
