//! `outlierDetection`: when an endpoint is taken out for what it answers.

use std::time::Duration;

use serde::Serialize;

use crate::read::{At, Fields};

/// `trafficPolicy.outlierDetection`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OutlierDetection {
    /// Any 5xx or local error, in a row. Default 5.
    pub consecutive_errors: u32,
    /// 5xx answers in a row. Default: not counted apart.
    pub consecutive_5xx: Option<u32>,
    /// 502, 503 and 504 in a row. Default: not counted apart.
    pub consecutive_gateway: Option<u32>,
    /// Failures to connect, resets and timeouts in a row. Default 5.
    pub consecutive_local_origin: u32,
    /// How often the statistical kinds are computed and ejection counts fall. Default 30 s.
    #[serde(serialize_with = "crate::serialize::duration")]
    pub interval: Duration,
    /// Default 30 s.
    #[serde(serialize_with = "crate::serialize::duration")]
    pub base_ejection_time: Duration,
    /// Default 300 s; never below `base_ejection_time`.
    #[serde(serialize_with = "crate::serialize::duration")]
    pub max_ejection_time: Duration,
    /// Share of a cluster's endpoints that may be out at once, 0 to 100. Default 50.
    pub max_ejection_percent: u32,
    /// Below this percentage of healthy endpoints their health is ignored; 0 is never. Default 50.
    pub panic_threshold: u32,
    /// Ejection of an endpoint whose share of failures is too high.
    pub failure_percentage: FailurePercentage,
    /// Ejection of an endpoint that stands out among the others.
    pub success_rate: SuccessRate,
}

/// `outlierDetection.failurePercentage`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FailurePercentage {
    /// Percent of failed requests in an interval, 0 to 100. Default 85.
    pub threshold: u32,
    /// Endpoints with enough requests that there must be. Default 5.
    pub minimum_hosts: u32,
    /// Requests in the interval from which an endpoint is counted. Default 50.
    pub request_volume: u32,
}

/// `outlierDetection.successRate`: ejects below `mean - stdev_factor * stdev`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SuccessRate {
    /// Default 1.9; above 0.
    pub stdev_factor: f64,
    /// Endpoints with enough requests that there must be. Default 5: a cluster of three never triggers it.
    pub minimum_hosts: u32,
    /// Requests in the interval from which an endpoint is counted. Default 100.
    pub request_volume: u32,
}

impl Default for OutlierDetection {
    fn default() -> Self {
        OutlierDetection {
            consecutive_errors: 5,
            consecutive_5xx: None,
            consecutive_gateway: None,
            consecutive_local_origin: 5,
            interval: Duration::from_secs(30),
            base_ejection_time: Duration::from_secs(30),
            max_ejection_time: Duration::from_secs(300),
            max_ejection_percent: 50,
            panic_threshold: 50,
            failure_percentage: FailurePercentage::default(),
            success_rate: SuccessRate::default(),
        }
    }
}

impl Default for FailurePercentage {
    fn default() -> Self {
        FailurePercentage { threshold: 85, minimum_hosts: 5, request_volume: 50 }
    }
}

impl Default for SuccessRate {
    fn default() -> Self {
        SuccessRate { stdev_factor: 1.9, minimum_hosts: 5, request_volume: 100 }
    }
}

impl OutlierDetection {
    pub(super) fn read(&self, mut fields: Fields<'_>) -> Self {
        let some = |at: At<'_>| at.u32(1..=u32::MAX);
        let read = OutlierDetection {
            consecutive_errors: fields.or("consecutiveErrors", self.consecutive_errors, some),
            consecutive_5xx: fields.get("consecutive5xxErrors", some).or(self.consecutive_5xx),
            consecutive_gateway: fields.get("consecutiveGatewayErrors", some).or(self.consecutive_gateway),
            consecutive_local_origin: fields.or(
                "consecutiveLocalOriginFailures",
                self.consecutive_local_origin,
                some,
            ),
            interval: fields.or("interval", self.interval, |at| at.period()),
            base_ejection_time: fields.or("baseEjectionTime", self.base_ejection_time, |at| at.period()),
            max_ejection_time: fields.or("maxEjectionTime", self.max_ejection_time, |at| at.period()),
            max_ejection_percent: fields
                .or("maxEjectionPercent", self.max_ejection_percent, |at| at.u32(0..=100)),
            panic_threshold: fields.or("panicThreshold", self.panic_threshold, |at| at.u32(0..=100)),
            failure_percentage: fields.or("failurePercentage", self.failure_percentage, |at| {
                let base = self.failure_percentage;
                let mut fields = at.fields()?;
                Some(FailurePercentage {
                    threshold: fields.or("threshold", base.threshold, |at| at.u32(1..=100)),
                    minimum_hosts: fields.or("minimumHosts", base.minimum_hosts, some),
                    request_volume: fields.or("requestVolume", base.request_volume, some),
                })
            }),
            success_rate: fields.or("successRate", self.success_rate, |at| {
                let base = self.success_rate;
                let mut fields = at.fields()?;
                Some(SuccessRate {
                    stdev_factor: fields.or("stdevFactor", base.stdev_factor, |at| at.positive()),
                    minimum_hosts: fields.or("minimumHosts", base.minimum_hosts, some),
                    request_volume: fields.or("requestVolume", base.request_volume, some),
                })
            }),
        };
        if read.max_ejection_time < read.base_ejection_time && fields.has("maxEjectionTime") {
            let remedy = "raise `maxEjectionTime`, or lower `baseEjectionTime`";
            fields.warn_at("maxEjectionTime", "shorter than `baseEjectionTime`, which holds instead", remedy);
        }
        OutlierDetection { max_ejection_time: read.max_ejection_time.max(read.base_ejection_time), ..read }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{service, service_warnings};

    fn policy(policy: &str) -> String {
        format!("clusters: [{{name: a}}], trafficPolicy: {{{policy}}}")
    }

    #[test]
    fn the_longest_ejection_is_never_shorter_than_the_first() {
        let text = policy("outlierDetection: {baseEjectionTime: 10m}");
        assert_eq!(service(&text).outlier.max_ejection_time, Duration::from_secs(600));
        assert_eq!(service_warnings(&text), []);
        let text = policy("outlierDetection: {maxEjectionTime: 10s}");
        assert_eq!(service(&text).outlier.max_ejection_time, Duration::from_secs(30));
        assert_eq!(service_warnings(&text).len(), 1);
    }
}
