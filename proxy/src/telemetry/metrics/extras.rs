//! What few rules have: rate limits, faults on purpose, mirrors.

use crate::telemetry::exposition::Page;
use crate::upstream::buckets::LimitState;
use crate::upstream::extras::{FaultState, MirrorState};

/// Rate limits.
pub(super) fn limits(page: &mut Page, limits: &[&LimitState]) {
    page.counter("causeway_rate_limit_requests_total", "Requests that met a rate limit.", |family| {
        for limit in limits {
            let labels = |result| [("limit", &*limit.name), ("result", result)];
            family.sample(&labels("passed"), limit.sum(|cells| &cells.passed));
            family.sample(&labels("refused"), limit.sum(|cells| &cells.refused));
        }
    });
    let help = "Keys whose count was forgotten because a rate limit's table was full.";
    page.counter("causeway_rate_limit_forgotten_total", help, |family| {
        for limit in limits {
            family.sample(&[("limit", &limit.name)], limit.sum(|cells| &cells.forgotten));
        }
    });
}

/// Faults on purpose.
pub(super) fn faults(page: &mut Page, faults: &[&FaultState]) {
    page.counter("causeway_faults_injected_total", "Requests delayed or aborted on purpose.", |family| {
        for fault in faults {
            let labels = |kind| [("fault", &*fault.name), ("kind", kind)];
            family.sample(&labels("delay"), fault.sum(|cells| &cells.delayed));
            family.sample(&labels("abort"), fault.sum(|cells| &cells.aborted));
        }
    });
}

/// Mirrors.
pub(super) fn mirrors(page: &mut Page, mirrors: &[&MirrorState]) {
    let help =
        "Copies of requests: answered, failed, dropped (too many under way) or skipped (not to be copied).";
    page.counter("causeway_mirrored_requests_total", help, |family| {
        for mirror in mirrors {
            let labels = |result| [("service", &*mirror.service), ("result", result)];
            family.sample(&labels("answered"), mirror.sum(|cells| &cells.answered));
            family.sample(&labels("failed"), mirror.sum(|cells| &cells.failed));
            family.sample(&labels("dropped"), mirror.sum(|cells| &cells.dropped));
            family.sample(&labels("skipped"), mirror.sum(|cells| &cells.skipped));
        }
    });
    page.gauge("causeway_mirrored_requests_in_flight", "Copies of requests under way.", |family| {
        mirrors.iter().for_each(|mirror| family.sample(&[("service", &mirror.service)], mirror.in_flight()));
    });
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use causeway_proxy_policy::Tick;
    use causeway_proxy_policy::rate_limit::Rate;

    use super::*;
    use crate::telemetry::exposition::check::check;

    #[test]
    fn what_two_workers_counted_is_added_up_under_the_names_of_the_config() {
        let limit = LimitState::new("per-user", None, 2);
        let rate = Rate::new(1, Duration::from_secs(60), 1);
        for worker in 0..2 {
            limit.charge(worker, None, &rate, Tick::from_secs(1));
        }
        let (fault, mirror) = (FaultState::new("slow", 2), MirrorState::new("shadow", 2));
        for worker in 0..2 {
            fault.cells(worker).delayed.add(3);
            mirror.cells(worker).dropped.add(2);
            mirror.cells(worker).in_flight.enter();
        }
        let mut page = Page::default();
        limits(&mut page, &[&limit]);
        faults(&mut page, &[&fault]);
        mirrors(&mut page, &[&mirror]);
        let samples = check(&page.finish());
        for (sample, value) in [
            (r#"causeway_rate_limit_requests_total{limit="per-user",result="passed"}"#, 1.0),
            (r#"causeway_rate_limit_requests_total{limit="per-user",result="refused"}"#, 1.0),
            (r#"causeway_rate_limit_forgotten_total{limit="per-user"}"#, 0.0),
            (r#"causeway_faults_injected_total{fault="slow",kind="delay"}"#, 6.0),
            (r#"causeway_faults_injected_total{fault="slow",kind="abort"}"#, 0.0),
            (r#"causeway_mirrored_requests_total{service="shadow",result="dropped"}"#, 4.0),
            (r#"causeway_mirrored_requests_total{service="shadow",result="answered"}"#, 0.0),
            (r#"causeway_mirrored_requests_in_flight{service="shadow"}"#, 2.0),
        ] {
            assert_eq!(samples.get(sample), Some(&value), "{sample}");
        }
    }
}
