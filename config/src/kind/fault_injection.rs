//! `FaultInjection`: failures on purpose, for game days. Filters of routes name it, and every load warns of that.

use std::time::Duration;

use serde::Serialize;

use super::multi_cluster_service::GRPC_CODES;
use super::route::{self, HeaderMatch};
use crate::read::{At, Fields};

/// What is done to a share of the requests before any backend is asked.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FaultInjection {
    /// `metadata.name`.
    pub name: String,
    /// Only to requests with all of these headers. Default: to every request.
    pub headers: Vec<HeaderMatch>,
    /// Some wait.
    pub delay: Option<FaultDelay>,
    /// Some are answered, after their wait if they have one.
    pub abort: Option<FaultAbort>,
}

/// A wait.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FaultDelay {
    /// Of the requests; 0 to 100.
    pub percent: f64,
    /// Above 0, up to 10 min.
    #[serde(serialize_with = "crate::serialize::duration")]
    pub fixed: Duration,
}

/// An answer of the proxy's own.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FaultAbort {
    /// Of the requests; 0 to 100.
    pub percent: f64,
    /// With what.
    pub answer: AbortAnswer,
}

/// What an aborted request is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum AbortAnswer {
    /// An HTTP status of 400 to 599.
    Status(u16),
    /// A gRPC code of 1 to 16, in headers alone (Trailers-Only).
    Grpc(u8),
}

/// Longer than any client waits; beyond it, a slip of the unit.
const MAX_DELAY: Duration = Duration::from_secs(600);

impl FaultInjection {
    pub(crate) fn read(name: &str, mut spec: Fields<'_>) -> Option<Self> {
        let headers = route::header_matches(&mut spec);
        let delay = spec.get("delay", |at| {
            let mut fields = at.fields()?;
            let percent = fields.need("percent", PERCENT, |at| at.f64(0.0..=100.0));
            let fixed = fields.need("fixed", "write how long, such as 2s", |at| match at.period()? {
                fixed if fixed > MAX_DELAY => at.refuse("no client waits so long", "write 10m or less"),
                fixed => Some(fixed),
            });
            Some(FaultDelay { percent: percent?, fixed: fixed? })
        });
        let abort = spec.get("abort", |at| {
            let mut fields = at.fields()?;
            let percent = fields.need("percent", PERCENT, |at| at.f64(0.0..=100.0));
            let status =
                fields.get("status", |at| at.u32(400..=599)).and_then(|status| u16::try_from(status).ok());
            let code = fields.get("grpcStatus", grpc_code);
            if fields.has("status") == fields.has("grpcStatus") {
                let remedy = "write one of the two, such as status: 503 or grpcStatus: unavailable";
                at.error("an abort has a `status` or a `grpcStatus`", remedy);
            }
            let answer = status.map(AbortAnswer::Status).or(code.map(AbortAnswer::Grpc));
            Some(FaultAbort { percent: percent?, answer: answer? })
        });
        if !spec.has("delay") && !spec.has("abort") {
            spec.at().warn("no fault is injected", "write `delay`, `abort` or both");
        }
        Some(FaultInjection { name: name.to_owned(), headers, delay, abort })
    }
}

const PERCENT: &str = "write the share of requests, in percent: 0 to 100";

fn grpc_code(at: At<'_>) -> Option<u8> {
    let text = at.any_text()?;
    let code = GRPC_CODES.iter().zip(1..).find(|(name, _)| **name == text).map(|(_, code)| code);
    code.or_else(|| {
        let remedy = at.file.notes.remedy(text, GRPC_CODES, "write one of");
        at.refuse(format!("`{text}` is not a failure in gRPC"), remedy)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::StringMatch;
    use crate::testing::load_one;

    #[test]
    fn a_fault_is_a_delay_an_answer_or_both_for_all_or_for_marked_requests() {
        let fault = |spec: &str| {
            let config = load_one("FaultInjection", spec).config;
            std::sync::Arc::unwrap_or_clone(config.fault_injections.into_values().next().unwrap())
        };
        let both = fault(
            "headers: [{name: X-Game-Day, value: a}], delay: {percent: 0.5, fixed: 2s}, abort: {percent: 10, grpcStatus: unavailable}",
        );
        let expected = FaultInjection {
            name: "it".into(),
            headers: vec![HeaderMatch { name: "x-game-day".into(), value: StringMatch::Exact("a".into()) }],
            delay: Some(FaultDelay { percent: 0.5, fixed: Duration::from_secs(2) }),
            abort: Some(FaultAbort { percent: 10.0, answer: AbortAnswer::Grpc(14) }),
        };
        assert_eq!(both, expected);
        let abort = fault("abort: {percent: 100, status: 503}");
        assert_eq!((abort.headers.len(), abort.delay), (0, None));
        assert_eq!(abort.abort, Some(FaultAbort { percent: 100.0, answer: AbortAnswer::Status(503) }));
    }
}
