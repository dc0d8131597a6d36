//! The limits that `connectionPool` and `circuitBreaker` both set.

use serde::Serialize;

use crate::read::{At, Fields, Place};
use crate::report::Severity;

/// Limits of one (service, cluster) in one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Default 1000; at least 1.
    pub max_connections: u32,
    /// Requests queued because `max_connections` is reached; 0 queues none. Default 100.
    pub max_pending: u32,
    /// Requests in flight. Default 1000; at least 1.
    pub max_requests: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { max_connections: 1000, max_pending: 100, max_requests: 1000 }
    }
}

/// A number as written, and where.
type Written = Option<(u32, Place)>;

/// Limits that one of two places may set.
#[derive(Default)]
pub(super) struct PoolLimits {
    connections: Written,
    pending: Written,
    requests: Written,
}

impl PoolLimits {
    pub(super) fn read_pool(mut fields: Fields<'_>) -> Self {
        let connections = fields.get("tcp", |at| {
            let mut fields = at.fields()?;
            fields.get("maxConnections", |at| written(at, 1))
        });
        let http = fields.get("http", |at| {
            let mut fields = at.fields()?;
            let pending = fields.get("http1MaxPendingRequests", |at| written(at, 0));
            let requests = fields.get("http2MaxRequests", |at| written(at, 1));
            Some((pending, requests))
        });
        let (pending, requests) = http.unwrap_or_default();
        PoolLimits { connections, pending, requests }
    }

    /// The part of `circuitBreaker` that limits.
    pub(super) fn read_breaker(fields: &mut Fields<'_>) -> Self {
        PoolLimits {
            connections: fields.get("maxConnections", |at| written(at, 1)),
            pending: fields.get("maxPendingRequests", |at| written(at, 0)),
            requests: fields.get("maxRequests", |at| written(at, 1)),
        }
    }

    /// The smaller of the two that are written, with a warning if they differ. What is not written does not
    /// compete: a pool of 5,000 alone is 5,000, not the default of the other place.
    pub(super) fn join(at: At<'_>, pool: PoolLimits, breaker: PoolLimits, base: Limits) -> Limits {
        Limits {
            max_connections: smaller(at, pool.connections, breaker.connections, base.max_connections),
            max_pending: smaller(at, pool.pending, breaker.pending, base.max_pending),
            max_requests: smaller(at, pool.requests, breaker.requests, base.max_requests),
        }
    }
}

fn written(at: At<'_>, least: u32) -> Written {
    at.u32(least..=u32::MAX).map(|number| (number, at.place()))
}

fn smaller(at: At<'_>, pool: Written, breaker: Written, base: u32) -> u32 {
    match (pool, breaker) {
        (Some((a, first)), Some((b, second))) if a != b => {
            let (less, place) = if a < b { (a, second) } else { (b, first) };
            let message =
                format!("`connectionPool` and `circuitBreaker` say {a} and {b}; the smaller, {less}, holds");
            at.file.notes.note(
                Severity::Warning,
                &place,
                message,
                "write the same number in both, or only one",
            );
            less
        }
        (Some((number, _)), _) | (None, Some((number, _))) => number,
        (None, None) => base,
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{service, service_warnings};

    fn policy(policy: &str) -> String {
        format!("clusters: [{{name: a}}], trafficPolicy: {{{policy}}}")
    }

    #[test]
    fn the_smaller_limit_holds_and_what_is_not_written_does_not_compete() {
        let pool = "connectionPool: {tcp: {maxConnections: 5000}, http: {http2MaxRequests: 7}}";
        assert_eq!(service(&policy(pool)).limits.max_connections, 5000);
        let both = format!(
            "{}, resilience: {{circuitBreaker: {{maxConnections: 4000, maxRequests: 9}}}}",
            policy(pool)
        );
        let limits = service(&both).limits;
        assert_eq!((limits.max_connections, limits.max_requests, limits.max_pending), (4000, 7, 100));
        let warnings = service_warnings(&both);
        assert_eq!(warnings.len(), 2);
        assert_eq!(
            warnings[0].message,
            "`connectionPool` and `circuitBreaker` say 5000 and 4000; the smaller, 4000, holds"
        );
        assert!(warnings[0].path.ends_with("connectionPool.tcp.maxConnections"));
        assert!(warnings[1].path.ends_with("circuitBreaker.maxRequests"));
    }
}
