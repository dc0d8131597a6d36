//! Per source of looked-up endpoints.

use std::time::UNIX_EPOCH;

use crate::telemetry::exposition::Page;
use crate::upstream::discover::Status;

/// Writes all families of discovery; none where nothing is looked up.
pub(super) fn render(page: &mut Page, sources: &[Status]) {
    let help = "Endpoints that are served from a cluster's source.";
    page.gauge("causeway_discovery_endpoints", help, |family| {
        sources.iter().for_each(|s| family.sample(&[("cluster", &s.cluster)], s.endpoints));
    });
    let help = "When all endpoints were last found by this process; absent before.";
    page.gauge("causeway_discovery_last_success_timestamp_seconds", help, |family| {
        for source in sources {
            if let Some(at) = source.succeeded_at {
                let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
                family.sample(&[("cluster", &source.cluster)], format_args!("{:.3}", since.as_secs_f64()));
            }
        }
    });
    let help = "Lookups, by result. After a failure what was found before is served.";
    page.counter("causeway_discovery_lookups_total", help, |family| {
        for source in sources {
            let (success, failure) = source.totals;
            family.sample(&[("cluster", &source.cluster), ("result", "success")], success);
            family.sample(&[("cluster", &source.cluster), ("result", "failure")], failure);
        }
    });
    let help = "Failed lookups since the last one that found everything.";
    page.gauge("causeway_discovery_failures_in_a_row", help, |family| {
        sources.iter().for_each(|s| family.sample(&[("cluster", &s.cluster)], s.failures));
    });
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::telemetry::exposition::check::check;

    #[test]
    fn a_source_shows_its_age_and_its_failures() {
        let status = |cluster: &str, succeeded_at| Status {
            cluster: cluster.into(),
            source: "dns A a.b:80".into(),
            endpoints: 3,
            totals: (5, 2),
            failures: 2,
            error: None,
            from_last_good: true,
            succeeded_at,
            next_in: None,
        };
        let mut page = Page::default();
        render(&mut page, &[status("a", None), status("b", Some(UNIX_EPOCH + Duration::from_millis(1500)))]);
        let samples = check(&page.finish());
        for (sample, value) in [
            (r#"causeway_discovery_endpoints{cluster="a"}"#, Some(3.0)),
            (r#"causeway_discovery_last_success_timestamp_seconds{cluster="a"}"#, None),
            (r#"causeway_discovery_last_success_timestamp_seconds{cluster="b"}"#, Some(1.5)),
            (r#"causeway_discovery_lookups_total{cluster="a",result="success"}"#, Some(5.0)),
            (r#"causeway_discovery_lookups_total{cluster="a",result="failure"}"#, Some(2.0)),
            (r#"causeway_discovery_failures_in_a_row{cluster="b"}"#, Some(2.0)),
        ] {
            assert_eq!(samples.get(sample).copied(), value, "{sample}");
        }
    }
}
