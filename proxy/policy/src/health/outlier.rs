//! When an endpoint is ejected, and for how long.
//!
//! Ejection is counted per `Cluster`, with the parameters of the first service by name that uses it, and shared by
//! all services: an endpoint is one process, sick or not for everybody. The rules are Envoy's (its documentation
//! "Outlier detection"), with these differences, each for a reason that was measured:
//!
//! * The limit is `100 x (ejected + 1) / hosts <= max_ejection_percent`, without Envoy's "at least one": at 50 %
//!   one host of one is never ejected, one of two and of three is, two of four.
//! * Each endpoint has its own timer. Envoy's returns hosts at its sweep, which turns 30 s into 30 to 60.
//! * A passing active check ends only an ejection whose whole run was connect failures and resets. One that
//!   counted an answer or a timeout runs its time: an endpoint with a good `/healthz` that errs or hangs would
//!   flap every second.
//! * Failures of requests that were sent before an endpoint returned do not count against it afterwards.
//!
//! **The success rate kind needs at least five endpoints** with the request volume (and so does the failure
//! percentage, by default): the mean of three says nothing about the third. Clusters of fewer endpoints are
//! served by the consecutive kinds and by the admission rules.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::counters::EndpointCounts;
use super::params::OutlierParams;
use crate::tick::nanos;

/// By which rule an endpoint was ejected.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum EjectionKind {
    /// Any 5xx or local error, in a row.
    ConsecutiveErrors,
    /// 5xx answers, in a row.
    Consecutive5xx,
    /// 502, 503 or 504 answers, in a row.
    ConsecutiveGateway,
    /// Connect failures, resets and timeouts, in a row.
    ConsecutiveLocalOrigin,
    /// Its share of failures in an interval.
    FailurePercentage,
    /// Its distance from the cluster's mean in an interval.
    SuccessRate,
    /// By an administrator.
    ByHand,
}

impl EjectionKind {
    /// A short name for metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            EjectionKind::ConsecutiveErrors => "consecutive-errors",
            EjectionKind::Consecutive5xx => "consecutive-5xx",
            EjectionKind::ConsecutiveGateway => "consecutive-gateway",
            EjectionKind::ConsecutiveLocalOrigin => "consecutive-local-origin",
            EjectionKind::FailurePercentage => "failure-percentage",
            EjectionKind::SuccessRate => "success-rate",
            EjectionKind::ByHand => "by-hand",
        }
    }
}

/// Whether one more endpoint may be ejected. Active checks take endpoints out whatever this says.
pub fn may_eject(ejected: u32, hosts: u32, max_ejection_percent: u32) -> bool {
    100 * (u64::from(ejected) + 1) <= u64::from(max_ejection_percent) * u64::from(hosts)
}

/// How long the `count`-th ejection lasts: `min(base x count, max(max_ejection_time, base))`, plus a jitter of up
/// to a tenth of the base, so that endpoints ejected together do not return together. `count` rises by one an
/// ejection and falls by one an interval, once an interval has passed since the return.
pub fn ejection_span(params: &OutlierParams, count: u32, roll: u64) -> Duration {
    let base = params.base_ejection_time;
    let jitter = (u128::from(nanos(base) / 10) * u128::from(roll)) >> 64;
    base.saturating_mul(count.max(1)).min(params.max_ejection_time.max(base))
        + Duration::from_nanos(jitter as u64)
}

/// The endpoints that stand out in an interval, the worst first (the ejection limit may not have room for all),
/// each with the rule that found it. `counts[i]` are endpoint i's requests in the interval, `None` where it is
/// out already.
pub fn outliers(params: &OutlierParams, counts: &[Option<EndpointCounts>]) -> Vec<(usize, EjectionKind)> {
    let mut found: Vec<(usize, EjectionKind, f64)> = Vec::new();
    let by_rate = &params.success_rate;
    let rates = rates(counts, by_rate.request_volume);
    if by_rate.stdev_factor > 0.0 && !rates.is_empty() && rates.len() >= by_rate.minimum_hosts as usize {
        let hosts = rates.len() as f64;
        let mean = rates.iter().map(|(_, rate)| rate).sum::<f64>() / hosts;
        let variance = rates.iter().map(|(_, rate)| (rate - mean) * (rate - mean)).sum::<f64>() / hosts;
        let least = mean - by_rate.stdev_factor * variance.sqrt();
        let below = rates.into_iter().filter(|(_, rate)| *rate < least);
        found.extend(below.map(|(i, rate)| (i, EjectionKind::SuccessRate, rate)));
    }
    let by_share = &params.failure_percentage;
    let rates = self::rates(counts, by_share.request_volume);
    if by_share.threshold > 0 && rates.len() >= by_share.minimum_hosts as usize {
        let most = f64::from(by_share.threshold) / 100.0;
        let failing = rates.into_iter().filter(|(_, rate)| 1.0 - rate >= most);
        found.extend(failing.map(|(i, rate)| (i, EjectionKind::FailurePercentage, rate)));
    }
    found.sort_by(|a, b| a.2.total_cmp(&b.2).then(a.0.cmp(&b.0)));
    let mut seen = Vec::new();
    found.retain(|(i, ..)| {
        !seen.contains(i) && {
            seen.push(*i);
            true
        }
    });
    found.into_iter().map(|(i, kind, _)| (i, kind)).collect()
}

/// Success rates of the endpoints that have the volume.
fn rates(counts: &[Option<EndpointCounts>], volume: u64) -> Vec<(usize, f64)> {
    let judged = counts.iter().enumerate().filter_map(|(i, c)| c.map(|c| (i, c)));
    judged
        .filter(|(_, c)| c.total > 0 && c.total >= volume)
        .map(|(i, c)| (i, c.success.min(c.total) as f64 / c.total as f64))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_fifty_percent_none_of_one_and_one_of_three_and_two_of_four_may_go() {
        let most = |hosts| (0..hosts).take_while(|&ejected| may_eject(ejected, hosts, 50)).count();
        assert_eq!([1, 2, 3, 4, 5, 10].map(most), [0, 1, 1, 2, 2, 5]);
        assert!(!may_eject(0, 10, 0) && may_eject(9, 10, 100));
    }

    #[test]
    fn ejections_grow_by_the_base_up_to_the_longest() {
        let params = OutlierParams::default();
        let spans = [1, 2, 9, 10, 11, 500].map(|count| ejection_span(&params, count, 0).as_secs());
        assert_eq!(spans, [30, 60, 270, 300, 300, 300]);
        let long = OutlierParams { base_ejection_time: Duration::from_secs(600), ..params.clone() };
        assert_eq!(ejection_span(&long, 3, 0).as_secs(), 600);
        assert!(ejection_span(&params, 1, u64::MAX) < Duration::from_secs(33));
    }

    fn counts(success: &[u64]) -> Vec<Option<EndpointCounts>> {
        success.iter().map(|&success| Some(EndpointCounts { total: 100, success })).collect()
    }

    #[test]
    fn the_one_far_below_its_peers_is_an_outlier() {
        let found = outliers(&OutlierParams::default(), &counts(&[99, 98, 70, 99, 100]));
        assert_eq!(found, [(2, EjectionKind::SuccessRate)]);
        assert!(outliers(&OutlierParams::default(), &counts(&[90, 91, 92, 93, 94])).is_empty());
    }

    #[test]
    fn a_cluster_of_four_never_has_an_outlier_by_rate() {
        assert!(outliers(&OutlierParams::default(), &counts(&[0, 100, 100, 100])).is_empty());
    }

    #[test]
    fn nearly_everything_failing_is_found_even_where_all_fail() {
        let found = outliers(&OutlierParams::default(), &counts(&[10, 5, 5, 5, 5]));
        let kinds: Vec<_> = found.iter().map(|(i, kind)| (*i, *kind)).collect();
        assert_eq!(kinds.len(), 5);
        assert_eq!(kinds[4], (0, EjectionKind::FailurePercentage));
    }

    #[test]
    fn few_requests_say_nothing() {
        let mut few = counts(&[100, 100, 100, 100, 100]);
        few[0] = Some(EndpointCounts { total: 40, success: 0 });
        assert!(outliers(&OutlierParams::default(), &few).is_empty());
        few[0] = None;
        assert!(outliers(&OutlierParams::default(), &few).is_empty());
    }
}
