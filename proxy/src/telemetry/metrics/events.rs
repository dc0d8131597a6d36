//! Metrics of what happens now and then: reloads, ejections, breakers.
//!
//! By the `metrics` crate, since nothing here is hot. Labels are names from the config; an endpoint's address is
//! not among them: the crate never forgets a label, and addresses come and go with every deployment.

use std::time::{SystemTime, UNIX_EPOCH};

use metrics::{counter, describe_counter, describe_gauge, gauge};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

const RELOADS: &str = "causeway_config_reloads_total";
const RELOADED_AT: &str = "causeway_config_last_reload_timestamp_seconds";
const RELOAD_WORKED: &str = "causeway_config_last_reload_successful";
const EJECTIONS: &str = "causeway_endpoint_ejections_total";
const RETURNS: &str = "causeway_endpoint_returns_total";
const PROBE_VERDICTS: &str = "causeway_endpoint_probe_verdicts_total";
const FLOODS: &str = "causeway_http2_floods_total";
const BREAKER_OPENED: &str = "causeway_cluster_breaker_opened_total";

/// Installs the process's recorder, once. What is counted before is lost.
///
/// The error says that there is one already.
pub fn install() -> Result<PrometheusHandle, String> {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).map_err(|e| e.to_string())?;
    describe();
    Ok(handle)
}

fn describe() {
    describe_counter!(RELOADS, "Attempts to load a config, by result: applied or refused.");
    describe_gauge!(RELOADED_AT, "When the last attempt to load a config was made.");
    describe_gauge!(RELOAD_WORKED, "Whether the last attempt to load a config took effect.");
    describe_counter!(EJECTIONS, "Endpoints taken out of service, by the rule that did it.");
    describe_counter!(RETURNS, "Ejections that ended, early (by a check, a success or by hand) or in time.");
    describe_counter!(PROBE_VERDICTS, "Changes of an active check's verdict on an endpoint.");
    describe_counter!(FLOODS, "HTTP/2 connections ended for a flood, by who sent it and what it was of.");
    describe_counter!(BREAKER_OPENED, "How often the breaker of a service's cluster opened.");
}

/// A config took effect.
pub fn config_applied() {
    reloaded("applied", 1.0);
}

/// A config was refused; the one before stays in force.
pub fn config_refused() {
    reloaded("refused", 0.0);
}

fn reloaded(result: &'static str, worked: f64) {
    counter!(RELOADS, "result" => result).increment(1);
    gauge!(RELOAD_WORKED).set(worked);
    gauge!(RELOADED_AT).set(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64());
}

/// An HTTP/2 connection is ended because the other end, `from` a client or an upstream, sends too much of `kind`:
/// [`Class::as_str`](causeway_proxy_policy::flood::Class::as_str), or `limits` for a limit of `h2`'s own.
pub fn flooded(from: &'static str, kind: &'static str) {
    counter!(FLOODS, "from" => from, "kind" => kind).increment(1);
}

/// An endpoint of `cluster` was ejected; `kind` is
/// [`EjectionKind::as_str`](causeway_proxy_policy::health::outlier::EjectionKind::as_str).
pub fn ejected(cluster: &str, kind: &'static str) {
    counter!(EJECTIONS, "cluster" => cluster.to_owned(), "kind" => kind).increment(1);
}

/// An ejected endpoint of `cluster` came back.
pub fn returned(cluster: &str, early: bool) {
    let when = if early { "early" } else { "in_time" };
    counter!(RETURNS, "cluster" => cluster.to_owned(), "when" => when).increment(1);
}

/// The active check of an endpoint of `cluster` changed its mind.
pub fn probed(cluster: &str, healthy: bool) {
    let verdict = if healthy { "healthy" } else { "unhealthy" };
    counter!(PROBE_VERDICTS, "cluster" => cluster.to_owned(), "verdict" => verdict).increment(1);
}

/// The breaker of `cluster`, as `service` uses it, opened.
pub fn breaker_opened(service: &str, cluster: &str) {
    let labels = [("service", service.to_owned()), ("cluster", cluster.to_owned())];
    counter!(BREAKER_OPENED, &labels).increment(1);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::exposition::check::check;

    #[test]
    fn every_event_is_on_the_page_with_its_help() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        metrics::with_local_recorder(&recorder, || {
            describe();
            config_applied();
            config_refused();
            ejected("east", "consecutive-errors");
            returned("east", true);
            probed("east", false);
            breaker_opened("api", "east");
        });
        let page = handle.render();
        let samples = check(&page);
        for (sample, value) in [
            (r#"causeway_config_reloads_total{result="applied"}"#, 1.0),
            (r#"causeway_config_reloads_total{result="refused"}"#, 1.0),
            ("causeway_config_last_reload_successful", 0.0),
            (r#"causeway_endpoint_ejections_total{cluster="east",kind="consecutive-errors"}"#, 1.0),
            (r#"causeway_endpoint_returns_total{cluster="east",when="early"}"#, 1.0),
            (r#"causeway_endpoint_probe_verdicts_total{cluster="east",verdict="unhealthy"}"#, 1.0),
            (r#"causeway_cluster_breaker_opened_total{service="api",cluster="east"}"#, 1.0),
        ] {
            assert_eq!(samples.get(sample), Some(&value), "{sample} in\n{page}");
        }
        assert_eq!(page.matches("# HELP").count(), 7, "{page}");
    }
}
