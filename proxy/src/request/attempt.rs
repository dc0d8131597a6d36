//! The tries of one request: where, how often, and when to stop. All of it is decided by the policy crate; what is
//! here is the order in which it is asked.

use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use causeway_config::ForwardingHeader;
use causeway_proxy_http1::{Known, RequestHead, RequestKind, ResponseHead};
use causeway_proxy_policy::pace::Floor;
use causeway_proxy_policy::retry::{Outcome, Pushback, RetryContext};
use causeway_proxy_policy::{FailureKind, Route, Target, Tick, grpc};

use super::body::RequestBody;
use super::client::Client;
use super::error::{ErrorKind, LimitKind, TryError};
use super::grpc::Call;
use super::record::{self, Story};
use crate::http::exchange::{Down, Fill, Up};
use crate::snapshot::{ClientLimits, Endpoint, Lane, Rule, Service};
use crate::timer::Timer;
use crate::upstream::permit::RequestPermit;
use crate::upstream::view::ServiceView;
use crate::worker::Worker;

/// What does not change between the tries of a request.
pub struct Attempts<'a, 's> {
    pub worker: &'a Rc<Worker>,
    pub client: &'a Client,
    pub limits: &'a ClientLimits,
    pub service: &'s Service,
    pub rule: &'s Rule,
    pub head: &'a RequestHead,
    /// Path and query, where a filter changed them.
    pub path: Option<Box<[u8]>>,
    pub kind: RequestKind,
    /// It is a gRPC call. Boxed, since the others carry the room.
    pub grpc: Option<Box<Call>>,
    pub idempotent: bool,
    /// It is a retry of another proxy.
    pub is_retry: bool,
    /// The time that the caller still waits. Boxed, since few say.
    pub time_left: Option<Box<Duration>>,
    /// Where the upstream is told of the client.
    pub forwarding: ForwardingHeader,
    pub timer: Rc<Timer>,
}

/// A try whose answer is going to the client.
pub struct Won<'s> {
    pub up: Up,
    pub lane: &'s Lane,
    pub endpoint: &'s Endpoint,
    pub response: Box<ResponseHead>,
    /// Of a gRPC call: the code, where the answer began with it.
    pub grpc: Option<u8>,
    /// Held until the response has ended.
    pub permit: RequestPermit<'s>,
}

/// What a try ended in.
pub enum Ended<'s> {
    Answer(Won<'s>),
    Error(TryError),
}

impl<'s> Attempts<'_, 's> {
    /// Longest request, retries included: the smallest of the service's, the route's and the caller's.
    pub fn overall_timeout(&self) -> Duration {
        let own = self
            .rule
            .request_timeout
            .map_or(self.service.overall_timeout, |route| route.min(self.service.overall_timeout));
        self.time_left.as_deref().map_or(own, |left| own.min(*left))
    }

    /// Longest single try.
    pub fn try_timeout(&self) -> Duration {
        self.rule.try_timeout.map_or(self.service.try_timeout, |route| route.min(self.service.try_timeout))
    }

    /// When the request is over, as far as that is known: `deadline` is known once its last byte has gone.
    pub fn ends(&self, deadline: Option<Tick>) -> Option<Tick> {
        deadline.or(self.grpc.as_ref().and_then(|call| call.ends))
    }

    /// The deadline of a request whose last byte goes out now.
    pub fn deadline(&self, now: Tick) -> Tick {
        let ends = now + self.overall_timeout();
        self.ends(None).map_or(ends, |call_ends| call_ends.min(ends))
    }

    /// Whether a try that took so long says something about its endpoint, whatever the caller's own deadline was.
    pub fn waited_long(&self, waited: Duration) -> bool {
        waited >= self.try_timeout().min(self.service.overall_timeout) / 2
    }

    /// Whether it may have nothing to say for long: a gRPC call, and not only by its own word. An upstream that speaks
    /// HTTP/1.1 alone has none.
    fn may_be_silent(&self) -> bool {
        self.grpc.is_some() && self.service.speaks_http2()
    }

    /// Longest pause within a body; of a gRPC stream, as of a tunnel.
    pub fn body_idle(&self) -> Duration {
        if self.may_be_silent() { self.limits.upgrade_idle } else { self.limits.body_idle }
    }

    /// The slowest that the client may be; any for gRPC, which has something to say when it has.
    pub fn floor(&self) -> Option<Floor> {
        self.limits.floor.filter(|_| !self.may_be_silent())
    }

    /// Tries until there is an answer for the client, or an error that is one.
    #[inline]
    pub fn run(
        &self,
        down: &mut Down<'_>,
        body: &mut RequestBody,
        route: &mut Route,
        story: &mut Story<'s>,
    ) -> impl Future<Output = Result<Won<'s>, ErrorKind>> {
        let mut deadline = None;
        let mut refused = None;
        let mut tries = 0;
        async move {
            let mut target = self.next(route);
            loop {
                let Some(at) = target else { return Err(refused.unwrap_or(ErrorKind::NoEndpoint)) };
                let lane = &self.service.lanes[usize::from(at.cluster)];
                let endpoint = &lane.endpoints[at.endpoint as usize];
                let permit = RequestPermit::take(
                    &lane.state,
                    &endpoint.state,
                    self.worker.index,
                    lane.limits.max_requests,
                );
                let Some(permit) = permit else {
                    lane.state.cells(self.worker.index).overflows.add(1);
                    refused = Some(ErrorKind::Overloaded(LimitKind::Requests));
                    route.refused(at);
                    target = self.next(route);
                    continue;
                };
                tries += 1;
                story.tries(at, route.home(), lane, endpoint, tries);
                record::started(self, lane, usize::from(at.cluster) == route.home(), tries > 1);
                let ended = self.one(down, body, lane, endpoint, permit, &mut deadline, story).await;

                let (outcome, how, untouched) = match &ended {
                    Ended::Answer(won) => {
                        let (outcome, status) = self.verdict(won);
                        (outcome, FailureKind::Status(status), false)
                    }
                    Ended::Error(error) => match outcome(error.kind) {
                        Some((outcome, how)) => (outcome, how, error.untouched),
                        // A limit's refusal uses up no attempt; the client's own errors end the request.
                        None if matches!(error.kind, ErrorKind::Overloaded(_)) => {
                            tries -= 1;
                            lane.state.cells(self.worker.index).overflows.add(1);
                            refused = Some(error.kind);
                            route.refused(at);
                            target = self.next(route);
                            continue;
                        }
                        None => return Err(error.kind),
                    },
                };
                let now = self.worker.now();
                let context = RetryContext {
                    idempotent: self.idempotent,
                    committed: !body.can_replay(),
                    nothing_sent: untouched,
                    is_retry: self.is_retry,
                    tries,
                    remaining: self.ends(deadline).map_or(Duration::MAX, |at: Tick| at.since(now)),
                    pushback: match &ended {
                        Ended::Answer(won) => pushback(won),
                        Ended::Error(_) => Pushback::None,
                    },
                };
                let again = self.service.retry.decide(outcome, &context).ok().and_then(|least| {
                    let gave_up = outcome == Outcome::GivenUp;
                    let backoff = self.service.backoff.delay(tries, self.worker.roll());
                    let wait = if gave_up { least } else { least.max(backoff) };
                    if wait >= context.remaining {
                        return None;
                    }
                    route.failed(at, how, now);
                    let to = self.next(route)?;
                    record::may_retry(self, route.home(), usize::from(to.cluster), now).then_some((to, wait))
                });
                let Some((to, wait)) = again else {
                    return match ended {
                        Ended::Answer(won) => Ok(won),
                        Ended::Error(error) => Err(error.kind),
                    };
                };
                if let Ended::Answer(won) = ended {
                    self.discard(won);
                }
                body.rewind();
                self.pause(wait).await;
                target = Some(to);
            }
        }
    }

    /// What an answer is to the retry policy and, as an HTTP status, to the router.
    fn verdict(&self, won: &Won<'_>) -> (Outcome, u16) {
        let status = won.response.status;
        match won.grpc.map(|code| (Outcome::Grpc(code), code)) {
            Some((outcome, code)) if self.service.retry.on.covers(outcome) => {
                (outcome, grpc::failure(code, true).unwrap_or(503))
            }
            _ => (Outcome::Status(status), status),
        }
    }

    pub(super) fn next(&self, route: &mut Route) -> Option<Target> {
        let view = ServiceView::new(self.service, self.worker.index);
        self.service.plan.next(route, &view, self.worker.now(), self.worker.roll())
    }

    /// Lets go of an answer that is not wanted. If all of it is here already, as a small error page is, the
    /// connection can be used again: a cluster that errs must not cost a connection an error.
    fn discard(&self, won: Won<'_>) {
        let Won { mut up, lane, endpoint, response, permit, .. } = won;
        drop(permit);
        self.worker.give_response_head(response);
        let mut cx = Context::from_waker(Waker::noop());
        while let Poll::Ready(Ok(Fill::Data)) = up.poll_fill(&mut cx) {
            let n = up.chunk().len();
            up.consume(n);
        }
        if let Up::H1(conn) = up {
            self.worker.pools.give(lane, endpoint, conn, self.worker.now());
        }
    }

    /// Waits before a retry.
    async fn pause(&self, wait: Duration) {
        if !wait.is_zero() {
            self.timer.set(Some(self.worker.now() + wait));
            self.timer.fired().await;
        }
    }
}

/// A failed try as the retry policy and the router see it; `None` = not the upstream's doing.
fn outcome(error: ErrorKind) -> Option<(Outcome, FailureKind)> {
    use ErrorKind::*;
    Some(match error {
        ConnectFailed | TlsFailed => (Outcome::ConnectFailure, FailureKind::Connect),
        ConnectTimeout => (Outcome::ConnectFailure, FailureKind::ConnectTimeout),
        Reset | BadResponse(_) => (Outcome::Reset, FailureKind::Reset),
        RefusedStream => (Outcome::NotProcessed, FailureKind::Reset),
        TryTimeout => (Outcome::Timeout, FailureKind::Timeout),
        EndpointDown => (Outcome::GivenUp, FailureKind::Timeout),
        _ => return None,
    })
}

/// What the answer says about coming back, a gRPC one also in its trailers. A date in Retry-After is not read: it is
/// for people.
fn pushback(won: &Won<'_>) -> Pushback {
    let Won { response, up, .. } = won;
    let in_trailers = || up.trailers().filter(|_| won.grpc.is_some())?.get(Known::GrpcRetryPushback);
    if let Some(pushback) = response.get(Known::GrpcRetryPushback).or_else(in_trailers) {
        return match number(pushback) {
            Some(millis) => Pushback::After(Duration::from_millis(millis)),
            None => Pushback::Never,
        };
    }
    match response.get(Known::RetryAfter).and_then(number) {
        Some(seconds) => Pushback::After(Duration::from_secs(seconds)),
        None => Pushback::None,
    }
}

fn number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}
