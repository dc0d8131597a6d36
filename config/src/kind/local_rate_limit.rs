//! `LocalRateLimit`: how many requests a proxy lets through, in all or for each user. Filters of routes name it.

use std::time::Duration;

use serde::Serialize;

use crate::read::{At, Fields};

/// A rate with a burst. All rules that name it share it: it is one limit, of one process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LocalRateLimit {
    /// `metadata.name`; clients see it in `RateLimit-Policy`.
    pub name: String,
    /// Requests in each `per`; 1 to 1,000,000,000, and at most 10,000,000 a second.
    pub requests: u32,
    /// Default 1 s; up to 24 h.
    #[serde(serialize_with = "crate::serialize::duration")]
    pub per: Duration,
    /// Requests that may come at once after a pause; 1 to 1,000,000,000. Default `requests`.
    pub burst: u32,
    /// Who has a limit of their own. Default: all share one.
    pub key: LimitKey,
    /// How many keys are told apart, of 16 bytes each. 1,024 to 16,777,216; default 65,536.
    pub buckets: u32,
    /// Whether answers to requests that pass say what is left. Default false; refusals always do.
    pub advertise: bool,
}

/// What has a limit of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum LimitKey {
    /// Nothing: one limit for all requests together.
    None,
    /// Each value of this request header (name in lower case); requests without it share one limit.
    Header(String),
    /// Each client: an IPv4 address, or the first 64 bits of an IPv6 address.
    SourceIp,
}

/// What the proxy's arithmetic still counts to 0.1 %.
const MAX_PER_SECOND: f64 = 10_000_000.0;

impl LocalRateLimit {
    pub(crate) fn read(name: &str, mut spec: Fields<'_>) -> Option<Self> {
        let requests = spec.need("requests", "write how many requests may pass in each `per`", count);
        let per = spec.or("per", Duration::from_secs(1), |at| match at.period()? {
            per if per > Duration::from_secs(24 * 3600) => {
                at.refuse("longer than a day: no proxy keeps its counts over a restart", "write 24h or less")
            }
            per => Some(per),
        });
        let burst = spec.get("burst", count);
        let key = spec.or("key", LimitKey::None, |at| {
            let mut fields = at.fields()?;
            let header = fields.get("httpHeaderName", |at| at.header_name());
            let source = fields.or("useSourceIp", false, |at| at.boolean());
            match (header, source) {
                (Some(_), true) => at.refuse("a key is one thing", "keep one of the two"),
                (Some(header), false) => Some(LimitKey::Header(header)),
                (None, true) => Some(LimitKey::SourceIp),
                (None, false) => Some(LimitKey::None),
            }
        });
        let buckets = spec.or("buckets", 65_536, |at| at.u32(1_024..=16_777_216));
        let advertise = spec.or("advertise", false, |at| at.boolean());
        if key == LimitKey::None && spec.has("buckets") {
            spec.warn_at("buckets", "without `key` there is one bucket", "set `key`, or leave `buckets` out");
        }
        let requests = requests?;
        if f64::from(requests) / per.as_secs_f64() > MAX_PER_SECOND {
            spec.error_at("requests", "more than 10,000,000 a second", "lower `requests`, or raise `per`");
        }
        let burst = burst.unwrap_or(requests);
        Some(LocalRateLimit { name: name.to_owned(), requests, per, burst, key, buckets, advertise })
    }
}

fn count(at: At<'_>) -> Option<u32> {
    at.u32(1..=1_000_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::load_one;

    fn limit(spec: &str) -> LocalRateLimit {
        let config = load_one("LocalRateLimit", spec).config;
        std::sync::Arc::unwrap_or_clone(config.rate_limits.into_values().next().unwrap())
    }

    #[test]
    fn a_limit_needs_a_number_and_has_defaults_for_the_rest() {
        let expected = LocalRateLimit {
            name: "it".into(),
            requests: 100,
            per: Duration::from_secs(1),
            burst: 100,
            key: LimitKey::None,
            buckets: 65_536,
            advertise: false,
        };
        assert_eq!(limit("requests: 100"), expected);
        assert_eq!(limit("requests: 100, key: {}"), expected);
        assert_eq!(limit("requests: 100, key: {useSourceIp: false}"), expected);
        assert_eq!(limit("requests: 100, burst: 7").burst, 7);
    }

    #[test]
    fn a_key_is_a_header_or_the_source_address() {
        assert_eq!(
            limit("requests: 1, key: {httpHeaderName: X-Api-Key}").key,
            LimitKey::Header("x-api-key".into())
        );
        assert_eq!(limit("requests: 1, key: {useSourceIp: true}").key, LimitKey::SourceIp);
    }
}
