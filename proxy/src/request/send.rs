//! One try: send the request, wait for the head of the answer.

use std::task::Poll;

use causeway_proxy_http1::ResponseHead;
use causeway_proxy_policy::Tick;
use causeway_proxy_policy::pace::Pace;

use super::attempt::Attempts;
use super::body::{RequestBody, SendError};
use super::error::{ErrorKind, TryError};
use crate::http::exchange::{Down, HeadError, Up};
use crate::timer::{Fired, Tag};

/// Interim responses (1xx) that one request may get: more would be work without end in one go.
pub(super) const MAX_INTERIMS: u32 = 32;

/// The ids that a waiting request is found by when its endpoint goes down.
#[derive(Clone, Copy)]
pub struct Waiting {
    /// Id of the endpoint.
    pub endpoint: u32,
    /// Id of the lane.
    pub lane: u32,
}

impl Attempts<'_, '_> {
    /// Sends the request on `up` and reads the head of the final answer into `response`; 1xx go straight to the
    /// client. Gives the time at which the request's last byte was sent: an upload is not the upstream's latency.
    /// `deadline` is the request's, once it is known: it begins with the request's last byte. The timer keeps its
    /// tag.
    #[inline]
    pub fn exchange_heads(
        &self,
        down: &mut Down<'_>,
        up: &mut Up,
        body: &mut RequestBody,
        response: &mut ResponseHead,
        deadline: &mut Option<Tick>,
        waiting: Waiting,
    ) -> impl Future<Output = Result<Tick, TryError>> {
        let mut sent = false;
        let mut broken = false;
        let mut armed = false;
        let mut interims = 0;
        let mut by_deadline = false;
        let mut now = self.worker.now();
        let mut pace = Pace::default();
        std::future::poll_fn(move |cx| {
            loop {
                if !sent && !broken {
                    let step = body.poll_send(cx, down, up);
                    if armed || step.is_pending() {
                        now = self.worker.now();
                    }
                    if step.is_pending() && (body.take_progress() || !armed) {
                        let idle = now + self.body_idle();
                        self.timer.set(sooner(Some(idle), self.ends(*deadline)));
                        armed = true;
                    }
                    match step {
                        Poll::Pending => {
                            let waits = body.waits_for_client();
                            let keeps = |floor| pace.keeps(floor, now, body.taken, waits);
                            if !self.floor().is_none_or(keeps) {
                                return Poll::Ready(Err(TryError::touched(ErrorKind::ClientTimeout)));
                            }
                        }
                        Poll::Ready(Ok(())) => {
                            sent = true;
                            let ends = *deadline.get_or_insert_with(|| self.deadline(now));
                            let try_ends = now + self.try_timeout();
                            by_deadline = ends <= try_ends;
                            self.timer.set(Some(ends.min(try_ends)));
                            if self.idempotent {
                                self.timer
                                    .tag(Tag::FirstByte { endpoint: waiting.endpoint, lane: waiting.lane });
                            }
                        }
                        Poll::Ready(Err(SendError::Client(kind))) => {
                            return Poll::Ready(Err(TryError::touched(kind)));
                        }
                        // It may have answered before it had read everything: look for that, but not for long.
                        Poll::Ready(Err(SendError::Upstream)) => {
                            broken = true;
                            self.timer.set(Some(now + self.try_timeout()));
                        }
                    }
                }
                match up.poll_head(cx, self.kind, response) {
                    Poll::Ready(Ok(())) if response.is_interim() => {
                        interims += 1;
                        if interims > MAX_INTERIMS {
                            let what = "too many interim responses";
                            return Poll::Ready(Err(TryError::touched(ErrorKind::BadResponse(what))));
                        }
                        down.interim(response);
                        // What does not fit now leaves with what follows.
                        let _ = down.poll_flush(cx);
                        continue;
                    }
                    Poll::Ready(Ok(())) => return Poll::Ready(Ok(now)),
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(head_error(error))),
                    Poll::Pending => {}
                }
                if sent && down.poll_gone(cx).is_ready() {
                    return Poll::Ready(Err(TryError::touched(ErrorKind::ClientGone)));
                }
                return self.timer.poll_fired(cx).map(|why| {
                    Err(TryError::touched(match why {
                        Fired::EndpointDown => ErrorKind::EndpointDown,
                        _ if self.ends(None).is_some_and(|ends| self.worker.now() >= ends) => {
                            ErrorKind::Deadline
                        }
                        _ if !sent && !broken && body.waits_for_client() => ErrorKind::ClientTimeout,
                        _ if by_deadline => ErrorKind::Deadline,
                        _ => ErrorKind::TryTimeout,
                    }))
                });
            }
        })
    }
}

/// The earlier of two deadlines, where there are any.
pub fn sooner(a: Option<Tick>, b: Option<Tick>) -> Option<Tick> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

pub(super) fn head_error(error: HeadError) -> TryError {
    match error {
        HeadError::Reset => TryError::touched(ErrorKind::Reset),
        HeadError::Refused => TryError::untouched(ErrorKind::RefusedStream),
        HeadError::Malformed(what) => TryError::touched(ErrorKind::BadResponse(what)),
    }
}
