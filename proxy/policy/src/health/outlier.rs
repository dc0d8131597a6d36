//! When an endpoint is ejected.

/// By which rule an endpoint was ejected.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
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
