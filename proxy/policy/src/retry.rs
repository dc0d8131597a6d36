//! Whether a failed try may be tried again.
//!
//! Three questions, in this order. Is it *safe* (the client would not notice a second execution)? Is it *asked
//! for* (`retryOn`)? Is it *allowed* (attempts left, not itself a retry, the server did not ask us to stop)? The
//! budget ([`crate::retry_budget`]) is asked last, by the caller, since only a retry that would happen may
//! spend it.

use std::time::Duration;

use smallvec::SmallVec;

/// `resilience.retries.retryOn`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RetryOn {
    /// Any 5xx; as in Envoy also a per-try timeout, a reset and a connect failure.
    pub five_xx: bool,
    /// 502, 503, 504, and what we would answer with one of them: timeout, reset, connect failure.
    pub gateway_error: bool,
    /// No response head at all: reset, timeout, connect failure.
    pub reset: bool,
    /// No connection.
    pub connect_failure: bool,
    /// The upstream did not process the stream (RFC 9113 section 8.7).
    pub refused_stream: bool,
    /// 409, the one 4xx that may go away by itself.
    pub retriable_4xx: bool,
    /// Further statuses.
    pub statuses: SmallVec<[u16; 4]>,
    /// gRPC codes, read from headers, Trailers-Only and trailers. Naming one also says that such a call may be
    /// made twice.
    pub grpc: SmallVec<[u8; 4]>,
}

/// How a try ended.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// No connection, within its timeout or not: nothing was sent.
    ConnectFailure,
    /// The connection broke before a response head.
    Reset,
    /// REFUSED_STREAM, or a GOAWAY below the stream: the upstream says that it did not process the request.
    NotProcessed,
    /// No response head within the per-try timeout.
    Timeout,
    /// The endpoint was given up (ejected, failed its check, breaker opened) while we waited for its first byte.
    GivenUp,
    /// A response head with this status.
    Status(u16),
    /// A gRPC status other than OK.
    Grpc(u8),
}

/// What a response said about coming back: `Retry-After` (RFC 9110 section 10.2.3) or `grpc-retry-pushback-ms`
/// (gRFC A6, where a negative or unreadable value means never).
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub enum Pushback {
    /// Nothing.
    #[default]
    None,
    /// Not before this has passed.
    After(Duration),
    /// Not at all.
    Never,
}

/// The request that failed.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct RetryContext {
    /// By its method ([`is_idempotent`]), or by configuration.
    pub idempotent: bool,
    /// Some of the response reached the client, or the request's body is past the replay buffer: no way back.
    pub committed: bool,
    /// Not one byte of the request was written to the upstream.
    pub nothing_sent: bool,
    /// It came to us as a retry of another proxy of ours (attempt count header from a trusted hop).
    pub is_retry: bool,
    /// Tries made so far, the first included; refusals by limits not.
    pub tries: u32,
    /// What is left of the overall timeout.
    pub remaining: Duration,
    /// What the response asked for.
    pub pushback: Pushback,
}

/// Why not.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Hash)]
pub enum NoRetry {
    /// `retryOn` does not name this outcome.
    NotAsked,
    /// No way back.
    Committed,
    /// It may have been executed, and executing it twice may matter.
    NotIdempotent,
    /// The attempts are used up.
    Attempts,
    /// It is itself a retry: 1 -> 3 -> 9 over hops is how outages grow (Istio #40091).
    IsRetry,
    /// The upstream asked us not to.
    Pushback,
    /// There is not enough time left for it.
    Deadline,
}

/// `resilience.retries`, apart from budget and backoff.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RetryPolicy {
    /// Tries in all, the first included. Default 3.
    pub attempts: u32,
    /// Which outcomes.
    pub on: RetryOn,
    /// Retry methods that are not idempotent too. Default off.
    pub non_idempotent: bool,
}

impl RetryPolicy {
    /// Whether to try again; `Ok` is the least wait that the upstream asked for (usually zero), to which the
    /// caller applies its backoff as a minimum: wait the longer of the two.
    pub fn decide(&self, outcome: Outcome, request: &RetryContext) -> Result<Duration, NoRetry> {
        if !self.on.covers(outcome) {
            return Err(NoRetry::NotAsked);
        }
        if request.committed {
            return Err(NoRetry::Committed);
        }
        let unexecuted =
            request.nothing_sent || matches!(outcome, Outcome::ConnectFailure | Outcome::NotProcessed);
        // Every gRPC call is a POST: whoever lists a code of gRPC means calls that may be made twice, as in Envoy.
        let opted_in = self.non_idempotent || matches!(outcome, Outcome::Grpc(_));
        if !(request.idempotent || opted_in || unexecuted) {
            return Err(NoRetry::NotIdempotent);
        }
        if request.is_retry {
            return Err(NoRetry::IsRetry);
        }
        if request.tries >= self.attempts {
            return Err(NoRetry::Attempts);
        }
        let wait = match request.pushback {
            Pushback::None => Duration::ZERO,
            Pushback::After(wait) => wait,
            Pushback::Never => return Err(NoRetry::Pushback),
        };
        if wait >= request.remaining {
            return Err(NoRetry::Deadline);
        }
        Ok(wait)
    }
}

impl RetryOn {
    /// Whether this outcome is one to retry on.
    pub fn covers(&self, outcome: Outcome) -> bool {
        let no_answer = self.five_xx || self.gateway_error || self.reset;
        match outcome {
            Outcome::ConnectFailure => no_answer || self.connect_failure,
            Outcome::Reset | Outcome::Timeout | Outcome::GivenUp => no_answer,
            Outcome::NotProcessed => no_answer || self.refused_stream,
            Outcome::Status(status) => {
                (self.five_xx && (500..600).contains(&status))
                    || (self.gateway_error && matches!(status, 502..=504))
                    || (self.retriable_4xx && status == 409)
                    || self.statuses.contains(&status)
            }
            Outcome::Grpc(code) => self.grpc.contains(&code),
        }
    }
}

/// Whether a second execution of this method has the effect of one (RFC 9110 section 9.2.2). Methods are case
/// sensitive; an unknown one is not idempotent.
pub fn is_idempotent(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PUT" | "DELETE")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `5xx,reset,connect-failure`, three attempts: the format's example.
    fn policy() -> RetryPolicy {
        let on = RetryOn { five_xx: true, reset: true, connect_failure: true, ..RetryOn::default() };
        RetryPolicy { attempts: 3, on, non_idempotent: false }
    }

    fn get() -> RetryContext {
        RetryContext {
            idempotent: true,
            committed: false,
            nothing_sent: false,
            is_retry: false,
            tries: 1,
            remaining: Duration::from_secs(10),
            pushback: Pushback::None,
        }
    }

    #[test]
    fn three_attempts_are_three_tries_in_all() {
        let at = |tries| policy().decide(Outcome::Status(503), &RetryContext { tries, ..get() });
        assert_eq!([at(1), at(2), at(3)], [Ok(Duration::ZERO), Ok(Duration::ZERO), Err(NoRetry::Attempts)]);
    }

    #[test]
    fn a_post_is_retried_only_when_it_was_certainly_not_executed() {
        let post = RetryContext { idempotent: false, ..get() };
        for outcome in [Outcome::Status(503), Outcome::Reset, Outcome::Timeout, Outcome::GivenUp] {
            assert_eq!(policy().decide(outcome, &post), Err(NoRetry::NotIdempotent), "{outcome:?}");
        }
        for outcome in [Outcome::ConnectFailure, Outcome::NotProcessed] {
            assert!(policy().decide(outcome, &post).is_ok(), "{outcome:?}");
        }
        assert!(policy().decide(Outcome::Reset, &RetryContext { nothing_sent: true, ..post }).is_ok());
        let opted_in = RetryPolicy { non_idempotent: true, ..policy() };
        assert!(opted_in.decide(Outcome::Status(503), &post).is_ok());
        let on = RetryOn { grpc: [14].into_iter().collect(), ..policy().on };
        let by_code = RetryPolicy { on, ..policy() };
        assert!(by_code.decide(Outcome::Grpc(14), &post).is_ok());
        assert_eq!(by_code.decide(Outcome::Status(503), &post), Err(NoRetry::NotIdempotent));
    }

    #[test]
    fn five_xx_includes_what_never_answered() {
        let on = RetryOn { five_xx: true, ..RetryOn::default() };
        for outcome in [Outcome::Status(500), Outcome::Reset, Outcome::Timeout, Outcome::ConnectFailure] {
            assert!(on.covers(outcome), "{outcome:?}");
        }
        assert!(!on.covers(Outcome::Status(404)) && !on.covers(Outcome::Grpc(14)));
    }

    #[test]
    fn each_word_of_retry_on_covers_its_own_outcomes_only() {
        let none = RetryOn::default;
        let cases = [
            (RetryOn { gateway_error: true, ..none() }, Outcome::Status(502), Outcome::Status(500)),
            (RetryOn { reset: true, ..none() }, Outcome::Timeout, Outcome::Status(503)),
            (RetryOn { connect_failure: true, ..none() }, Outcome::ConnectFailure, Outcome::Reset),
            (RetryOn { refused_stream: true, ..none() }, Outcome::NotProcessed, Outcome::Reset),
            (RetryOn { retriable_4xx: true, ..none() }, Outcome::Status(409), Outcome::Status(408)),
            (
                RetryOn { statuses: [429].into_iter().collect(), ..none() },
                Outcome::Status(429),
                Outcome::Status(430),
            ),
            (RetryOn { grpc: [14].into_iter().collect(), ..none() }, Outcome::Grpc(14), Outcome::Grpc(13)),
        ];
        for (on, covered, not) in cases {
            assert!(on.covers(covered) && !on.covers(not), "{on:?}");
        }
    }

    #[test]
    fn a_retry_is_not_retried_and_a_committed_request_neither() {
        let retry = RetryContext { is_retry: true, ..get() };
        assert_eq!(policy().decide(Outcome::Reset, &retry), Err(NoRetry::IsRetry));
        let committed = RetryContext { committed: true, ..get() };
        assert_eq!(policy().decide(Outcome::ConnectFailure, &committed), Err(NoRetry::Committed));
    }

    #[test]
    fn the_upstreams_wish_is_honoured() {
        let with = |pushback| policy().decide(Outcome::Status(503), &RetryContext { pushback, ..get() });
        assert_eq!(with(Pushback::After(Duration::from_secs(2))), Ok(Duration::from_secs(2)));
        assert_eq!(with(Pushback::After(Duration::from_secs(60))), Err(NoRetry::Deadline));
        assert_eq!(with(Pushback::Never), Err(NoRetry::Pushback));
    }

    #[test]
    fn methods_are_case_sensitive() {
        assert!(
            is_idempotent("PUT")
                && !is_idempotent("POST")
                && !is_idempotent("PATCH")
                && !is_idempotent("get")
        );
    }
}
