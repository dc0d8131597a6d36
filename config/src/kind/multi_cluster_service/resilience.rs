//! `resilience`: retries, the breaker, the time a request may take, the way back.

use std::time::Duration;

use serde::Serialize;

use super::limits::PoolLimits;
use crate::read::{At, Fields, units};

/// `resilience.circuitBreaker`, beside its share of [`Limits`](super::Limits).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CircuitBreaker {
    /// Errors of a cluster in a row that open it, under the further conditions of the policy. Default 5.
    pub consecutive_errors: u32,
}

/// `resilience.retries`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Retries {
    /// Tries in all, the first one included; 1 never repeats. Default 3; at most 10.
    pub attempts: u32,
    /// From the request's last byte to the response head. Default 2 s.
    #[serde(serialize_with = "crate::serialize::duration")]
    pub per_try_timeout: Duration,
    /// Default `5xx,reset,connect-failure`.
    pub on: RetryOn,
    /// How much retrying a service may do.
    pub budget: RetryBudget,
    /// Whether a request that is not idempotent is repeated too, after it was sent. Default `false`.
    pub non_idempotent: bool,
    /// The pause before a retry: uniform in `[0, (2^n - 1) * base)`, at most `max`.
    pub backoff: Backoff,
}

/// `retries.retryOn`: what counts as worth another try.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RetryOn {
    /// `5xx`: any 5xx answer, and as in Envoy also a per-try timeout, a reset and a connect failure.
    #[serde(rename = "5xx")]
    pub five_xx: bool,
    /// `gateway-error`: 502, 503, 504.
    pub gateway_error: bool,
    /// `reset`: no answer (disconnect, reset, timeout).
    pub reset: bool,
    /// `connect-failure`.
    pub connect_failure: bool,
    /// `refused-stream`: REFUSED_STREAM of HTTP/2.
    pub refused_stream: bool,
    /// `retriable-4xx`: 409, as in Envoy.
    pub retriable_4xx: bool,
    /// Single HTTP statuses, ascending, each 400 to 599.
    pub statuses: Vec<u16>,
    /// gRPC codes by number, ascending, each 1 to 16.
    pub grpc: Vec<u8>,
}

/// `retries.budget`: `percent` of the requests plus `min_per_second`, over `window`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RetryBudget {
    /// Default 20; 0 to 100.
    pub percent: f64,
    /// Default 10.
    pub min_per_second: f64,
    /// Default 10 s.
    #[serde(serialize_with = "crate::serialize::duration")]
    pub window: Duration,
}

/// `retries.backoff`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Backoff {
    /// Default 25 ms.
    #[serde(serialize_with = "crate::serialize::duration")]
    pub base: Duration,
    /// Default 250 ms; at least `base`.
    #[serde(serialize_with = "crate::serialize::duration")]
    pub max: Duration,
}

/// `resilience.recovery`: how a cluster that was out gets its users back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Recovery {
    /// Wait after the first trip of an outage. Default 30 s.
    #[serde(serialize_with = "crate::serialize::duration")]
    pub hold: Duration,
    /// The hold doubles with a relapse, up to this. Default 300 s; at least `hold`.
    #[serde(serialize_with = "crate::serialize::duration")]
    pub max_hold: Duration,
    /// From 10 to 100 % of the users in five steps. Default 48 s.
    #[serde(serialize_with = "crate::serialize::duration")]
    pub ramp: Duration,
}

impl Default for CircuitBreaker {
    fn default() -> Self {
        CircuitBreaker { consecutive_errors: 5 }
    }
}

impl Default for Retries {
    fn default() -> Self {
        Retries {
            attempts: 3,
            per_try_timeout: Duration::from_secs(2),
            on: RetryOn { five_xx: true, reset: true, connect_failure: true, ..RetryOn::default() },
            budget: RetryBudget::default(),
            non_idempotent: false,
            backoff: Backoff::default(),
        }
    }
}

impl Default for RetryBudget {
    fn default() -> Self {
        RetryBudget { percent: 20.0, min_per_second: 10.0, window: Duration::from_secs(10) }
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Backoff { base: Duration::from_millis(25), max: Duration::from_millis(250) }
    }
}

impl Default for Recovery {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Recovery { hold: seconds(30), max_hold: seconds(300), ramp: seconds(48) }
    }
}

/// `resilience` without `failover`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Resilience {
    pub(super) retries: Retries,
    pub(super) breaker: CircuitBreaker,
    pub(super) overall_timeout: Duration,
    pub(super) recovery: Recovery,
}

impl Default for Resilience {
    fn default() -> Self {
        Resilience {
            retries: Retries::default(),
            breaker: CircuitBreaker::default(),
            overall_timeout: Duration::from_secs(15),
            recovery: Recovery::default(),
        }
    }
}

impl Resilience {
    pub(super) fn read(&self, mut fields: Fields<'_>) -> (Self, PoolLimits) {
        let overall_timeout = fields.or("overallTimeout", self.overall_timeout, |at| at.period());
        let retries = fields
            .get("retries", |at| at.fields().map(|fields| self.retries.read(fields, overall_timeout)))
            .unwrap_or_else(|| self.retries.clone());
        let breaker = fields.get("circuitBreaker", |at| {
            let mut fields = at.fields()?;
            let some = |at: At<'_>| at.u32(1..=u32::MAX);
            let consecutive_errors = fields.or("consecutiveErrors", self.breaker.consecutive_errors, some);
            Some((CircuitBreaker { consecutive_errors }, PoolLimits::read_breaker(&mut fields)))
        });
        let (breaker, limits) = breaker.unwrap_or((self.breaker, PoolLimits::default()));
        let recovery = fields.or("recovery", self.recovery, |at| at.fields().map(|f| self.recovery.read(f)));
        (Resilience { retries, breaker, overall_timeout, recovery }, limits)
    }
}

impl Retries {
    fn read(&self, mut fields: Fields<'_>, overall_timeout: Duration) -> Self {
        let attempts = fields.or("attempts", self.attempts, |at| match at.u32(0..=10)? {
            0 => at.refuse(
                "0 tries would send nothing",
                "write 1 for no retry: `attempts` counts the first try too",
            ),
            attempts => Some(attempts),
        });
        let per_try_timeout = fields.or("perTryTimeout", self.per_try_timeout, |at| at.period());
        if per_try_timeout > overall_timeout && fields.has("perTryTimeout") {
            let remedy = "lower `perTryTimeout`, or raise `resilience.overallTimeout`";
            fields.warn_at(
                "perTryTimeout",
                "longer than `overallTimeout`, which ends the request before",
                remedy,
            );
        }
        let on = fields.get("retryOn", RetryOn::read).unwrap_or_else(|| self.on.clone());
        let budget = fields.or("budget", self.budget, |at| {
            let mut fields = at.fields()?;
            Some(RetryBudget {
                percent: fields.or("percent", self.budget.percent, |at| at.f64(0.0..=100.0)),
                min_per_second: fields.or("minPerSecond", self.budget.min_per_second, |at| at.f64(0.0..=1e9)),
                window: fields.or("window", self.budget.window, |at| at.period()),
            })
        });
        let non_idempotent = fields.or("nonIdempotent", self.non_idempotent, |at| at.boolean());
        let backoff = fields.or("backoff", self.backoff, |at| {
            let mut fields = at.fields()?;
            let base = fields.or("base", self.backoff.base, |at| at.duration());
            let max = fields.or("max", self.backoff.max, |at| at.duration());
            if base > max {
                let name = if fields.has("base") { "base" } else { "max" };
                fields.error_at(name, "`base` is longer than `max`", "raise `max`, or lower `base`");
            }
            Some(Backoff { base, max })
        });
        Retries { attempts, per_try_timeout, on, budget, non_idempotent, backoff }
    }
}

/// The gRPC codes by name, in the spelling of Envoy's `retry_on`; the first is 1.
pub(in crate::kind) const GRPC_CODES: [&str; 16] = [
    "cancelled",
    "unknown",
    "invalid-argument",
    "deadline-exceeded",
    "not-found",
    "already-exists",
    "permission-denied",
    "resource-exhausted",
    "failed-precondition",
    "aborted",
    "out-of-range",
    "unimplemented",
    "internal",
    "unavailable",
    "data-loss",
    "unauthenticated",
];

const HTTP_WORDS: [&str; 6] =
    ["5xx", "gateway-error", "reset", "connect-failure", "refused-stream", "retriable-4xx"];

impl RetryOn {
    /// A text with commas, or a list.
    fn read(at: At<'_>) -> Option<Self> {
        let mut on = RetryOn::default();
        if at.is_list() {
            at.list(|at| at.any_text().map(|word| on.add(at, word.trim())))?;
        } else {
            for word in at.any_text()?.split(',').map(str::trim).filter(|word| !word.is_empty()) {
                on.add(at, word);
            }
        }
        on.statuses.sort_unstable();
        on.statuses.dedup();
        on.grpc.sort_unstable();
        on.grpc.dedup();
        Some(on)
    }

    fn add(&mut self, at: At<'_>, word: &str) {
        match word {
            "5xx" => self.five_xx = true,
            "gateway-error" => self.gateway_error = true,
            "reset" => self.reset = true,
            "connect-failure" => self.connect_failure = true,
            "refused-stream" => self.refused_stream = true,
            "retriable-4xx" => self.retriable_4xx = true,
            _ => match (units::digits(word), GRPC_CODES.iter().zip(1..).find(|(name, _)| **name == word)) {
                (Some(status @ 400..600), _) => self.statuses.extend(u16::try_from(status)),
                (_, Some((_, code))) => self.grpc.push(code),
                _ => {
                    let words = HTTP_WORDS.into_iter().chain(GRPC_CODES);
                    let remedy = at.file.notes.remedy(word, words, "write a status of 400 to 599, or one of");
                    at.error(format!("`{word}` is nothing to retry on"), remedy);
                }
            },
        }
    }
}

impl Recovery {
    fn read(&self, mut fields: Fields<'_>) -> Self {
        let hold = fields.or("hold", self.hold, |at| at.duration());
        let max_hold = fields.or("maxHold", self.max_hold, |at| at.duration());
        let ramp = fields.or("ramp", self.ramp, |at| at.duration());
        if hold > max_hold {
            let name = if fields.has("hold") { "hold" } else { "maxHold" };
            fields.error_at(name, "`hold` is longer than `maxHold`", "raise `maxHold`, or lower `hold`");
        }
        Recovery { hold, max_hold, ramp }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{service, service_warnings};

    fn retries(text: &str) -> String {
        format!("clusters: [{{name: a}}], resilience: {{retries: {{{text}}}}}")
    }

    #[test]
    fn the_defaults_are_those_of_the_format_file() {
        let service = service("clusters: [{name: a}]");
        assert_eq!(service.retries, Retries::default());
        assert_eq!(service.overall_timeout, Duration::from_secs(15));
        assert_eq!((service.breaker, service.recovery), (CircuitBreaker::default(), Recovery::default()));
    }

    #[test]
    fn retry_conditions_are_words_statuses_and_grpc_codes() {
        let on =
            service(&retries("retryOn: \"gateway-error, 503,429,503,unavailable,cancelled\"")).retries.on;
        let expected = RetryOn {
            gateway_error: true,
            statuses: vec![429, 503],
            grpc: vec![1, 14],
            ..RetryOn::default()
        };
        assert_eq!(on, expected);
        assert_eq!(
            service(&retries("retryOn: [gateway-error, 503, 429, unavailable, cancelled]")).retries.on,
            expected
        );
        assert_eq!(service(&retries("retryOn: []")).retries.on, RetryOn::default());
    }

    #[test]
    fn only_a_written_try_timeout_is_compared_with_the_overall_one() {
        assert_eq!(service_warnings("clusters: [{name: a}], resilience: {overallTimeout: 1s}"), []);
        let both =
            "clusters: [{name: a}], resilience: {overallTimeout: 1s, retries: {perTryTimeout: 1500ms}}";
        assert_eq!(service_warnings(both).len(), 1);
    }
}
