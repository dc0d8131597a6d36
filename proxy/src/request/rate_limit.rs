//! A rule's local rate limits: who is counted with whom, and what clients are told.
//!
//! The fields are those of draft-ietf-httpapi-ratelimit-headers-10: `RateLimit-Policy: "name";q=100;w=60` and
//! `RateLimit: "name";r=0;t=12`. With a token bucket, `t` is the time until all of the burst is there again.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use causeway_config::{self as config, LimitKey};
use causeway_proxy_http1::RequestHead;
use causeway_proxy_policy::hash::address_part;
use causeway_proxy_policy::rate_limit::{Quota, Rate, Verdict};

use crate::upstream::buckets::LimitState;
use crate::worker::Worker;

/// One `LocalRateLimit`, shared by all rules that name it.
pub struct RateLimit {
    /// Its buckets, which outlive the configuration.
    pub state: Arc<LimitState>,
    /// Whether requests that pass are told what is left.
    pub advertise: bool,
    rate: Rate,
    key: LimitKey,
    /// An item of `RateLimit-Policy`.
    policy: String,
}

impl RateLimit {
    /// The buckets that it needs; `None`: one for all.
    pub fn slots(limit: &config::LocalRateLimit) -> Option<u32> {
        (limit.key != LimitKey::None).then_some(limit.buckets)
    }

    /// Compiles a limit over its buckets.
    pub fn new(limit: &config::LocalRateLimit, state: Arc<LimitState>) -> RateLimit {
        // The draft counts windows in whole seconds.
        let window = match (limit.per.as_secs(), limit.per.subsec_nanos()) {
            (seconds, 0) => format!(";w={seconds}"),
            _ => String::new(),
        };
        RateLimit {
            state,
            advertise: limit.advertise,
            rate: Rate::new(limit.requests.into(), limit.per, limit.burst.into()),
            key: limit.key.clone(),
            policy: format!("\"{}\";q={}{window}", limit.name, limit.requests),
        }
    }

    /// Charges one request of a client at `address`.
    pub fn charge(&self, worker: &Worker, head: &RequestHead, address: IpAddr) -> Verdict {
        let charge = |key| self.state.charge(worker.index, key, &self.rate, worker.now());
        match &self.key {
            LimitKey::None => charge(None),
            LimitKey::Header(name) => charge(head.find(name.as_bytes()).next()),
            LimitKey::SourceIp => charge(Some(network(&address_part(address)))),
        }
    }
}

/// What an address is counted as: an IPv6 client has at least a /64 to choose its addresses from (RFC 4291 section
/// 2.5.4).
fn network(octets: &[u8]) -> &[u8] {
    &octets[..octets.len().min(8)]
}

/// What clients are told of several limits.
#[derive(Debug, Default)]
pub struct Advert {
    /// `RateLimit-Policy`.
    pub policy: String,
    /// `RateLimit`.
    pub quota: String,
}

impl Advert {
    /// Adds a limit.
    pub fn add(&mut self, limit: &RateLimit, quota: Quota) {
        if !self.policy.is_empty() {
            self.policy.push_str(", ");
            self.quota.push_str(", ");
        }
        self.policy.push_str(&limit.policy);
        let (remaining, reset) = (quota.remaining, seconds(quota.reset));
        self.quota.push_str(&format!("\"{}\";r={remaining};t={reset}", limit.state.name));
    }
}

/// Whole seconds, rounded up: who waits so long has waited long enough.
pub fn seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(name: &str, per: Duration) -> RateLimit {
        let limit = config::LocalRateLimit {
            name: name.into(),
            requests: 100,
            per,
            burst: 10,
            key: LimitKey::None,
            buckets: 1_024,
            advertise: true,
        };
        RateLimit::new(&limit, Arc::new(LimitState::new(name, None, 1)))
    }

    #[test]
    fn clients_are_told_as_the_draft_says() {
        let mut advert = Advert::default();
        let quota = |remaining, millis| Quota { remaining, reset: Duration::from_millis(millis) };
        advert.add(&limit("all", Duration::from_secs(60)), quota(3, 4_001));
        advert.add(&limit("per-user", Duration::from_millis(500)), quota(0, 1_000));
        assert_eq!(advert.policy, r#""all";q=100;w=60, "per-user";q=100"#);
        assert_eq!(advert.quota, r#""all";r=3;t=5, "per-user";r=0;t=1"#);
    }

    #[test]
    fn an_ipv6_client_is_counted_by_its_network_and_a_mapped_one_by_its_ipv4_address() {
        let counted = |text: &str| network(&address_part(text.parse().unwrap())).to_vec();
        assert_eq!(counted("2001:db8::1"), counted("2001:db8::ffff:2"));
        assert_ne!(counted("2001:db8::1"), counted("2001:db8:0:1::1"));
        assert_eq!(counted("::ffff:10.0.0.1"), counted("10.0.0.1"));
        assert_ne!(counted("10.0.0.1"), counted("10.0.0.2"));
    }
}
