//! The process as a whole: client connections, the config in force, itself.

use std::time::{SystemTime, UNIX_EPOCH};

use causeway_proxy_policy::overload::Why;

use crate::telemetry::counters::{ConnectionEnd, WorkerCounters};
use crate::telemetry::exposition::Page;
use crate::upstream::cell::Count;

/// Client connections, and requests that reached no service.
pub(super) fn connections(page: &mut Page, workers: &[&WorkerCounters]) {
    page.gauge("causeway_downstream_connections", "Open client connections.", |family| {
        family.sample(&[], workers.iter().fold(0u32, |sum, w| sum.wrapping_add(w.connections.get())));
    });
    let help = "Tasks of a worker that live: connections, spare ones for HTTP/2 streams, a few of its own.";
    page.gauge("causeway_worker_tasks", help, |family| {
        for (index, worker) in workers.iter().enumerate() {
            family.sample(&[("worker", &index.to_string())], worker.tasks.get());
        }
    });
    let mut plain = |name: &str, help: &str, counter: fn(&WorkerCounters) -> &Count| {
        page.counter(name, help, |family| {
            family.sample(&[], workers.iter().fold(0u64, |sum, w| sum.wrapping_add(counter(w).get())));
        });
    };
    plain("causeway_downstream_connections_total", "Client connections taken in.", |w| &w.connections_total);
    let help = "Client connections closed at once because the limit was reached.";
    plain("causeway_downstream_connections_refused_total", help, |w| &w.connections_refused);
    let help = "Client connections closed at once because their address has too many.";
    plain("causeway_downstream_connections_crowded_out_total", help, |w| &w.crowded_out);
    let help = "Times that the process could not accept: out of descriptors or memory.";
    plain("causeway_downstream_accept_errors_total", help, |w| &w.accept_errors);
    let help = "TLS handshakes with clients that succeeded.";
    plain("causeway_downstream_tls_handshakes_total", help, |w| &w.tls_handshakes);
    let help = "Of these, those that resumed a session.";
    plain("causeway_downstream_tls_resumed_total", help, |w| &w.tls_resumed);
    plain("causeway_bad_requests_total", "Input that was not a request.", |w| &w.bad_requests);
    plain("causeway_requests_unrouted_total", "Requests that no route matched.", |w| &w.no_route);
    let help = "Requests refused because the worker has more to do than it can.";
    page.counter("causeway_requests_shed_total", help, |family| {
        let sum = |of: fn(&WorkerCounters) -> &Count| {
            workers.iter().fold(0u64, |sum, w| sum.wrapping_add(of(w).get()))
        };
        family.sample(&[("reason", Why::InFlight.as_str())], sum(|w| &w.shed_in_flight));
        family.sample(&[("reason", Why::QueueTime.as_str())], sum(|w| &w.shed_queue_time));
    });
    let help = "Client connections that ended for another reason than being done.";
    page.counter("causeway_downstream_connections_failed_total", help, |family| {
        for end in ConnectionEnd::ALL {
            let sum = workers.iter().fold(0u64, |sum, w| sum.wrapping_add(w.ends(end)));
            family.sample(&[("reason", end.as_str())], sum);
        }
    });
    let help = "Answers of our own instead of an upstream's, by the access log's flag.";
    page.counter("causeway_own_answers_total", help, |family| {
        let none = WorkerCounters::default();
        for (slot, (flag, _)) in none.own_answers().enumerate() {
            let of = |w: &&WorkerCounters| w.own_answers().nth(slot).map_or(0, |(_, n)| n);
            family.sample(&[("flag", flag)], workers.iter().map(of).fold(0, u64::wrapping_add));
        }
    });
}

/// The config in force.
pub(super) fn config(page: &mut Page, digest: &str, version: u64) {
    let help = "1; the SHA-256 of the config in force, the same on every proxy that has it.";
    page.gauge("causeway_config_info", help, |family| family.sample(&[("digest", digest)], 1));
    page.gauge("causeway_config_version", "Counts the configs that took effect in this process.", |family| {
        family.sample(&[], version);
    });
}

/// What the process knows of itself.
pub(super) struct Facts {
    /// When it started, by the wall clock.
    pub started: SystemTime,
    /// How many processes served on these sockets, this one included.
    pub generation: u64,
    /// It is on its way out.
    pub draining: bool,
    /// Records of the access log that were written.
    pub log_written: u64,
    /// Records of the access log that were lost.
    pub log_dropped: u64,
    /// See [`crate::telemetry::panics`].
    pub panics: u64,
}

/// The process.
pub(super) fn itself(page: &mut Page, facts: &Facts) {
    page.gauge("causeway_build_info", "1; the version of this program.", |family| {
        family.sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
    });
    page.gauge("process_start_time_seconds", "When the process started, since the epoch.", |family| {
        let since = facts.started.duration_since(UNIX_EPOCH).unwrap_or_default();
        family.sample(&[], format_args!("{:.2}", since.as_secs_f64()));
    });
    let help = "1 for a process that was started afresh, one more for each that took over from another.";
    page.gauge("causeway_process_generation", help, |family| family.sample(&[], facts.generation));
    page.gauge("causeway_draining", "Whether the process is on its way out.", |family| {
        family.sample(&[], u8::from(facts.draining));
    });
    page.counter(
        "causeway_access_log_records_total",
        "Records of the access log that were written.",
        |family| {
            family.sample(&[], facts.log_written);
        },
    );
    let help = "Records of the access log lost because the writer fell behind or could not write.";
    page.counter("causeway_access_log_dropped_total", help, |family| family.sample(&[], facts.log_dropped));
    let help = "Panics; each cost a connection at most, and each is a bug.";
    page.counter("causeway_panics_total", help, |family| family.sample(&[], facts.panics));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::error::ErrorKind;
    use crate::request::respond::answer;
    use crate::telemetry::exposition::check::check;

    #[test]
    fn all_workers_count_into_one_page() {
        let workers = [WorkerCounters::default(), WorkerCounters::default()];
        for worker in &workers {
            worker.connections.enter();
            worker.connections_total.add(3);
            worker.tasks.enter();
            worker.bad_requests.add(1);
            worker.ended(ConnectionEnd::TlsFailed);
            worker.answered(&answer(ErrorKind::NoRoute));
        }
        let mut page = Page::default();
        connections(&mut page, &[&workers[0], &workers[1]]);
        config(&mut page, "abc", 7);
        let facts = Facts {
            started: UNIX_EPOCH,
            generation: 3,
            draining: true,
            log_written: 4,
            log_dropped: 5,
            panics: 6,
        };
        itself(&mut page, &facts);
        let samples = check(&page.finish());
        for (sample, value) in [
            ("causeway_downstream_connections", 2.0),
            (r#"causeway_worker_tasks{worker="1"}"#, 1.0),
            ("causeway_downstream_connections_total", 6.0),
            ("causeway_bad_requests_total", 2.0),
            (r#"causeway_downstream_connections_failed_total{reason="tls_failed"}"#, 2.0),
            (r#"causeway_own_answers_total{flag="NR"}"#, 2.0),
            (r#"causeway_own_answers_total{flag="other"}"#, 0.0),
            (r#"causeway_config_info{digest="abc"}"#, 1.0),
            ("causeway_config_version", 7.0),
            ("causeway_draining", 1.0),
            ("causeway_process_generation", 3.0),
            ("causeway_access_log_records_total", 4.0),
            ("causeway_access_log_dropped_total", 5.0),
            ("causeway_panics_total", 6.0),
            ("process_start_time_seconds", 0.0),
        ] {
            assert_eq!(samples.get(sample), Some(&value), "{sample}");
        }
    }
}
