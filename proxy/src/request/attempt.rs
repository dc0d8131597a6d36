//! The tries of one request: where, how often, and when to stop. All of it is decided by the policy crate; what is
//! here is the order in which it is asked.

use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use causeway_proxy_http1::{Known, RequestHead, RequestKind, ResponseHead};
use causeway_proxy_policy::retry::{Outcome, Pushback, RetryContext};
use causeway_proxy_policy::{FailureKind, Route, Tick};

use super::body::RequestBody;
use super::client::{Claims, Client};
use super::error::{ErrorKind, LimitKind, TryError};
use super::record::{self, Story};
use super::send::Waiting;
use crate::http::exchange::{Down, Fill, Request, Up};
use crate::snapshot::{ClientLimits, Endpoint, Lane, Rule, Service};
use crate::timer::{Fired, Timer};
use crate::upstream::connect;
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
    pub path: Option<&'a [u8]>,
    pub kind: RequestKind,
    pub idempotent: bool,
    pub claims: Claims,
    pub timer: Rc<Timer>,
}

/// A try whose answer is going to the client.
pub struct Won<'s> {
    pub up: Up,
    pub lane: &'s Lane,
    pub endpoint: &'s Endpoint,
    pub response: ResponseHead,
    /// Held until the response has ended.
    pub permit: RequestPermit,
}

/// What a try ended in.
enum Ended<'s> {
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
        self.claims.time_left.map_or(own, |left| left.min(own))
    }

    /// Longest single try.
    pub fn try_timeout(&self) -> Duration {
        self.rule.try_timeout.map_or(self.service.try_timeout, |route| route.min(self.service.try_timeout))
    }

    /// Tries until there is an answer for the client, or an error that is one.
    pub async fn run(
        &self,
        down: &mut Down<'_>,
        body: &mut RequestBody,
        mut route: Route,
        story: &mut Story<'s>,
    ) -> Result<Won<'s>, ErrorKind> {
        let worker = self.worker;
        let view = ServiceView::new(self.service, worker.index);
        let next = |route: &mut Route| self.service.plan.next(route, &view, worker.now(), worker.roll());
        let mut deadline = None;
        let mut refused = None;
        let mut tries = 0;
        let mut target = next(&mut route);
        loop {
            let Some(at) = target else { return Err(refused.unwrap_or(ErrorKind::NoEndpoint)) };
            let lane = &self.service.lanes[usize::from(at.cluster)];
            let endpoint = &lane.endpoints[at.endpoint as usize];
            let permit = RequestPermit::take(&lane.state, &endpoint.state, worker.index, lane.max_requests);
            let Some(permit) = permit else {
                lane.state.cells(worker.index).overflows.add(1);
                refused = Some(ErrorKind::Overloaded(LimitKind::Requests));
                route.refused(at);
                target = next(&mut route);
                continue;
            };
            tries += 1;
            story.tries(at, route.home(), lane, endpoint, tries);
            record::started(self, lane, usize::from(at.cluster) == route.home(), tries > 1);
            let ended = self.one(down, body, lane, endpoint, permit, &mut deadline, tries, story).await;

            let (outcome, how, untouched) = match &ended {
                Ended::Answer(won) => {
                    let status = won.response.status;
                    (Outcome::Status(status), FailureKind::Status(status), false)
                }
                Ended::Error(error) => match outcome(error.kind) {
                    Some((outcome, how)) => (outcome, how, error.untouched),
                    // A limit's refusal uses up no attempt; the client's own errors end the request.
                    None if matches!(error.kind, ErrorKind::Overloaded(_)) => {
                        tries -= 1;
                        lane.state.cells(worker.index).overflows.add(1);
                        refused = Some(error.kind);
                        route.refused(at);
                        target = next(&mut route);
                        continue;
                    }
                    None => return Err(error.kind),
                },
            };
            let now = worker.now();
            let context = RetryContext {
                idempotent: self.idempotent,
                committed: !body.can_replay(),
                nothing_sent: untouched,
                is_retry: self.claims.is_retry,
                tries,
                remaining: deadline.map_or(Duration::MAX, |at: Tick| at.since(now)),
                pushback: match &ended {
                    Ended::Answer(won) => pushback(&won.response),
                    Ended::Error(_) => Pushback::None,
                },
            };
            let again = self.service.retry.decide(outcome, &context).ok().and_then(|wait| {
                route.failed(at, how, now);
                let to = next(&mut route)?;
                record::may_retry(self, route.home(), usize::from(to.cluster), now).then_some((to, wait))
            });
            let Some((to, least)) = again else {
                return match ended {
                    Ended::Answer(won) => Ok(won),
                    Ended::Error(error) => Err(error.kind),
                };
            };
            if let Ended::Answer(won) = ended {
                self.discard(won);
            }
            body.rewind();
            let gave_up = outcome == Outcome::GivenUp;
            let wait =
                if gave_up { least } else { least.max(self.service.backoff.delay(tries, worker.roll())) };
            self.pause(wait, deadline).await.map_err(|_| ErrorKind::Deadline)?;
            target = Some(to);
        }
    }

    /// Lets go of an answer that is not wanted. If all of it is here already, as a small error page is, the
    /// connection can be used again: a cluster that errs must not cost a connection an error.
    fn discard(&self, won: Won<'_>) {
        let Won { mut up, lane, endpoint, response, permit } = won;
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

    /// Waits before a retry; fails where the request's deadline comes first.
    async fn pause(&self, wait: Duration, deadline: Option<Tick>) -> Result<(), Fired> {
        if wait.is_zero() {
            return Ok(());
        }
        let until = self.worker.now() + wait;
        if deadline.is_some_and(|deadline| deadline <= until) {
            return Err(Fired::Deadline);
        }
        self.timer.set(Some(until));
        self.timer.fired().await;
        Ok(())
    }

    /// One try, and a second one on a fresh connection where a pooled one proves to have been closed by the
    /// upstream just as it was used: that says nothing about the endpoint.
    #[allow(clippy::too_many_arguments)]
    async fn one(
        &self,
        down: &mut Down<'_>,
        body: &mut RequestBody,
        lane: &'s Lane,
        endpoint: &'s Endpoint,
        permit: RequestPermit,
        deadline: &mut Option<Tick>,
        attempt: u32,
        story: &mut Story<'s>,
    ) -> Ended<'s> {
        let mut fresh = false;
        loop {
            let sent_at = self.worker.now();
            let mut response = self.worker.take_response_head();
            let mut reused = false;
            let tried = self.try_once(
                down,
                body,
                lane,
                endpoint,
                deadline,
                attempt,
                fresh,
                &mut reused,
                &mut response,
            );
            match tried.await {
                Ok(up) => {
                    story.first_byte = Some(record::answered(self, lane, endpoint, &response, sent_at));
                    return Ended::Answer(Won { up, lane, endpoint, response, permit });
                }
                Err(error) => {
                    self.worker.give_response_head(response);
                    let stale = reused && error.kind == ErrorKind::Reset && !fresh;
                    if stale && self.idempotent && body.can_replay() {
                        body.rewind();
                        fresh = true;
                        continue;
                    }
                    if !stale {
                        record::failed(self, lane, endpoint, error.kind, sent_at);
                    }
                    return Ended::Error(error);
                }
            }
        }
    }

    #[allow(clippy::too_many_arguments)]
    async fn try_once(
        &self,
        down: &mut Down<'_>,
        body: &mut RequestBody,
        lane: &Lane,
        endpoint: &Endpoint,
        deadline: &mut Option<Tick>,
        attempt: u32,
        fresh: bool,
        reused: &mut bool,
        response: &mut ResponseHead,
    ) -> Result<Up, TryError> {
        let mut up = match connect::pooled(self.worker, lane, endpoint).filter(|_| !fresh) {
            Some(up) => up,
            None => self.connect(lane, endpoint, *deadline, fresh).await?,
        };
        self.write_head(&mut up, deadline, attempt).map_err(|_| TryError::untouched(ErrorKind::Reset))?;
        let waiting = Waiting { endpoint: endpoint.state.id, lane: lane.state.id };
        let answered = self.exchange_heads(down, &mut up, body, response, deadline, waiting).await;
        *reused = matches!(&up, Up::H1(conn) if conn.was_used_before() && !conn.answered());
        answered.map(|()| up)
    }

    async fn connect(
        &self,
        lane: &Lane,
        endpoint: &Endpoint,
        deadline: Option<Tick>,
        fresh: bool,
    ) -> Result<Up, TryError> {
        let try_ends = self.worker.now() + self.try_timeout();
        self.timer.set(Some(deadline.map_or(try_ends, |deadline| deadline.min(try_ends))));
        let work = connect::obtain(self.worker, lane, endpoint, fresh);
        self.timer.guard(work).await.unwrap_or_else(|_| {
            // The connect itself has a shorter limit of its own: this was the queue for a connection.
            Err(TryError::untouched(ErrorKind::Overloaded(LimitKind::Pending)))
        })
    }

    fn write_head(&self, up: &mut Up, deadline: &Option<Tick>, attempt: u32) -> std::io::Result<()> {
        let left = deadline.map_or(self.overall_timeout(), |at| at.since(self.worker.now()));
        let (mut left_text, mut attempt_text) = (itoa::Buffer::new(), itoa::Buffer::new());
        let left_text = left_text.format(u64::try_from(left.as_millis()).unwrap_or(u64::MAX));
        let mut extra: [(&[u8], &[u8]); 6] = [
            (b"Via", b"1.1 causeway"),
            (b"X-Request-Timeout", left_text.as_bytes()),
            (b"X-Causeway-Attempt", attempt_text.format(attempt).as_bytes()),
            (b"", b""),
            (b"", b""),
            (b"", b""),
        ];
        let mut n = 3;
        let proto: &[u8] = if self.client.tls { b"https" } else { b"http" };
        let claims: [(Known, &[u8], &[u8]); 3] = [
            (Known::XForwardedFor, b"X-Forwarded-For", self.client.peer_text.as_bytes()),
            (Known::XForwardedProto, b"X-Forwarded-Proto", proto),
            (Known::XForwardedHost, b"X-Forwarded-Host", self.head.host()),
        ];
        for (known, name, value) in claims {
            // What a trusted proxy said stays: see `Client::settle`.
            if !value.is_empty() && self.head.get(known).is_none() {
                extra[n] = (name, value);
                n += 1;
            }
        }
        let host = self.rule.filters.host();
        up.request(self.head, Request { path: self.path, host, extra: &extra[..n] })
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

/// What the answer says about coming back. A date in Retry-After is not read: it is for people.
fn pushback(response: &ResponseHead) -> Pushback {
    let text = |known| response.get(known).and_then(|value| std::str::from_utf8(value).ok());
    if let Some(pushback) = text(Known::GrpcRetryPushback) {
        return match pushback.parse::<u64>() {
            Ok(millis) => Pushback::After(Duration::from_millis(millis)),
            Err(_) => Pushback::Never,
        };
    }
    match text(Known::RetryAfter).and_then(|value| value.parse::<u64>().ok()) {
        Some(seconds) => Pushback::After(Duration::from_secs(seconds)),
        None => Pushback::None,
    }
}
