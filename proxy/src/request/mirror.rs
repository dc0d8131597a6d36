//! Copies of requests for another service (Gateway API v1.7 `HTTPRequestMirrorFilter`): sent and forgotten.
//!
//! A copy never delays or fails its request. One without a body leaves at once; one with a body when the body has
//! been sent, if all of it is still in the replay buffer, so that nothing is kept that would not be kept anyway but
//! for methods that are not repeated. What cannot be copied (a longer body, an upgrade, a body whose end was never
//! read) is counted as skipped, what exceeds [`UNDER_WAY`] as dropped.
//!
//! A copy is one try at one endpoint of the mirror's service, a real one: it takes that service's limits, and counts
//! for its health and its load, under its name. There is no retry: a lost copy is a gap in a sample, a repeated one a
//! lie about the load. Its `Host` is the request's, as Gateway API has it (Envoy's `-shadow` is not added).

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use causeway_config::ForwardingHeader;
use causeway_proxy_http1::{Framing, RequestHead, ResponseHead};
use causeway_proxy_policy::fault::happens;
use causeway_proxy_policy::{KeyHash, Tick};
use smallvec::SmallVec;

use super::attempt::Attempts;
use super::body::{REPLAY_BYTES, RequestBody};
use super::client::Client;
use super::error::{ErrorKind, TryError};
use super::grpc::Answered;
use super::key;
use super::record;
use super::send::{MAX_INTERIMS, head_error};
use super::trial::{Connection, condition};
use crate::http::exchange::{Fill, Up};
use crate::snapshot::{ClientLimits, Endpoint, Lane, Rule, Service};
use crate::upstream::connect;
use crate::upstream::extras::MirrorState;
use crate::upstream::permit::RequestPermit;
use crate::worker::Worker;

/// Copies for one service that one worker may have under way. At 64 KiB each that is 4 MiB a worker; a mirror that is
/// slower than that allows is sampled instead of queued for.
pub const UNDER_WAY: u32 = 64;

/// One mirror of one rule.
pub struct Mirror {
    /// Who gets the copies.
    pub service: Arc<Service>,
    /// Which share of the requests, 0 to 1.
    pub share: f64,
    /// Counters.
    pub state: Arc<MirrorState>,
    /// The rule as a copy sees it: same name and rewrites, no timeouts of its own, no extras.
    pub rule: Rule,
    /// Bounds that a client would have.
    pub limits: ClientLimits,
}

/// A request that is to be copied.
pub struct Copies {
    copy: Copy,
    to: SmallVec<[Recipient; 1]>,
}

/// What of the request outlives it.
struct Copy {
    client: Client,
    forwarding: ForwardingHeader,
    head: RequestHead,
    path: Option<Box<[u8]>>,
    body: Vec<u8>,
}

/// One copy's place among those under way; a copy that is let go of unsent is counted as skipped.
struct Recipient {
    mirror: Arc<Mirror>,
    worker: usize,
    key: Option<KeyHash>,
    sent: bool,
}

impl Recipient {
    fn take(mirror: &Arc<Mirror>, worker: usize, key: Option<KeyHash>) -> Option<Recipient> {
        let cells = mirror.state.cells(worker);
        if cells.in_flight.get() >= UNDER_WAY {
            cells.dropped.add(1);
            return None;
        }
        cells.in_flight.enter();
        Some(Recipient { mirror: mirror.clone(), worker, key, sent: false })
    }
}

impl Drop for Recipient {
    fn drop(&mut self) {
        let cells = self.mirror.state.cells(self.worker);
        cells.in_flight.leave();
        if !self.sent {
            cells.skipped.add(1);
        }
    }
}

/// Rolls for each mirror whether it gets a copy of a request as it is sent to its own backend, and sends what needs
/// no body. What comes back waits for the body: see [`send_whole`].
pub fn begin(
    worker: &Rc<Worker>,
    mirrors: &[Arc<Mirror>],
    (client, forwarding): (&Client, ForwardingHeader),
    address: std::net::IpAddr,
    head: &RequestHead,
) -> Option<Box<Copies>> {
    let copyable = head.upgrade.is_none()
        && match head.framing {
            Framing::Length(length) => length <= REPLAY_BYTES as u64,
            _ => true,
        };
    let mut to: SmallVec<[Recipient; 1]> = SmallVec::new();
    for mirror in mirrors.iter().filter(|mirror| happens(mirror.share, worker.roll())) {
        if !copyable {
            mirror.state.cells(worker.index).skipped.add(1);
            continue;
        }
        let key = key::of(&mirror.service.hash_on, head, address, worker.roll()).hash;
        to.extend(Recipient::take(mirror, worker.index, key));
    }
    let path = to.first()?.mirror.rule.filters.path(head);
    let copy = Copy { client: client.clone(), forwarding, head: head.clone(), path, body: Vec::new() };
    let copies = Box::new(Copies { copy, to });
    if head.framing.is_empty() {
        copies.send(worker, Vec::new());
        return None;
    }
    Some(copies)
}

/// Sends the copies once all of the body has gone by and none of it was let go of.
pub fn send_whole(worker: &Rc<Worker>, waiting: &mut Option<Box<Copies>>, body: &mut RequestBody) {
    if waiting.is_some()
        && let Some(body) = body.take_whole()
        && let Some(copies) = waiting.take()
    {
        copies.send(worker, body);
    }
}

impl Copies {
    fn send(self: Box<Self>, worker: &Rc<Worker>, body: Vec<u8>) {
        let Copies { copy, to } = *self;
        let copy = Rc::new(Copy { body, ..copy });
        for mut recipient in to {
            recipient.sent = true;
            let (worker, copy) = (worker.clone(), copy.clone());
            worker.wheel.clone().spawn(async move {
                let answered = recipient.mirror.copy(&worker, &copy, recipient.key).await.is_ok();
                let cells = recipient.mirror.state.cells(worker.index);
                if answered { cells.answered.add(1) } else { cells.failed.add(1) }
            });
        }
    }
}

impl Mirror {
    /// One copy at one endpoint, and its answer read to the end.
    async fn copy(&self, worker: &Rc<Worker>, copy: &Copy, key: Option<KeyHash>) -> Result<(), ErrorKind> {
        let idempotent = copy.head.method.is_idempotent();
        let attempts = Attempts {
            worker,
            client: &copy.client,
            limits: &self.limits,
            service: &self.service,
            rule: &self.rule,
            head: &copy.head,
            path: copy.path.clone(),
            kind: copy.head.kind(false),
            forwarding: copy.forwarding,
            grpc: None,
            idempotent,
            is_retry: false,
            time_left: None,
            timer: Rc::new(worker.wheel.timer()),
        };
        let mut route = self.service.plan.route(key, worker.roll()).idempotent(idempotent);
        record::home(worker, &self.service, route.home(), worker.now());
        loop {
            let at = attempts.next(&mut route).ok_or(ErrorKind::NoEndpoint)?;
            let lane = &self.service.lanes[usize::from(at.cluster)];
            let endpoint = &lane.endpoints[at.endpoint as usize];
            let most = lane.limits.max_requests;
            let Some(permit) = RequestPermit::take(&lane.state, &endpoint.state, worker.index, most) else {
                lane.state.cells(worker.index).overflows.add(1);
                route.refused(at);
                continue;
            };
            record::started(&attempts, lane, usize::from(at.cluster) == route.home(), false);
            let done = attempts.copy(&copy.body, lane, endpoint).await;
            drop(permit);
            return done;
        }
    }
}

impl Attempts<'_, '_> {
    async fn copy(&self, body: &[u8], lane: &Lane, endpoint: &Endpoint) -> Result<(), ErrorKind> {
        let began = self.worker.now();
        let ends = began + self.overall_timeout();
        let mut fresh = false;
        loop {
            let pooled = if fresh { None } else { connect::pooled(self.worker, lane, endpoint, self.client) };
            let connected = match pooled {
                Some(up) => Ok(up),
                None => self.connect(lane, endpoint, Some(ends), fresh).await,
            };
            let mut up = connected
                .inspect_err(|e| record::failed(self, lane, endpoint, e.kind, began))
                .map_err(|e| e.kind)?;
            let sent_at = self.worker.now();
            self.write_head(&mut up, endpoint, &Some(ends), 1).map_err(|_| ErrorKind::BadTarget)?;
            self.timer.set(Some(ends.min(sent_at + self.try_timeout())));
            let mut response = self.worker.take_response_head();
            let answered = self.copy_heads(&mut up, body, &mut response).await;
            match answered {
                Ok(request_ended) => {
                    let answer = Answered { status: response.status, grpc: None };
                    record::answered(self, lane, endpoint, answer, sent_at, request_ended);
                    self.worker.give_response_head(response);
                }
                Err(error) => {
                    self.worker.give_response_head(response);
                    let connection = condition(&up, error.kind);
                    // As for requests: a connection that ended while it idled says nothing about the endpoint.
                    let again = match connection {
                        Connection::Sound => false,
                        Connection::MaybeStale => self.idempotent,
                        Connection::TookNothing => true,
                    };
                    if again && !fresh {
                        fresh = true;
                        continue;
                    }
                    if fresh || connection == Connection::Sound {
                        record::failed(self, lane, endpoint, error.kind, sent_at);
                    }
                    return Err(error.kind);
                }
            }
            self.timer.set(Some(ends));
            let read = self.timer.guard(std::future::poll_fn(|cx| read_to_end(cx, &mut up))).await;
            read.unwrap_or(Err(ErrorKind::Deadline))?;
            if let Up::H1(conn) = up {
                self.worker.pools.give(lane, endpoint, conn, self.worker.now());
            }
            return Ok(());
        }
    }

    /// Sends the body and waits for the head of the final answer; gives the time at which the body was out.
    async fn copy_heads(
        &self,
        up: &mut Up,
        body: &[u8],
        response: &mut ResponseHead,
    ) -> Result<Tick, TryError> {
        let (mut left, mut finished, mut request_ended, mut interims) = (body, false, None, 0);
        let work = std::future::poll_fn(|cx| {
            // An upstream that takes no more may have answered all the same.
            if request_ended.is_none() && poll_send(cx, up, &mut left, &mut finished).is_ready() {
                request_ended = Some(self.worker.now());
            }
            loop {
                match ready!(up.poll_head(cx, self.kind, response)) {
                    Ok(()) if response.is_interim() && interims < MAX_INTERIMS => interims += 1,
                    Ok(()) if response.is_interim() => {
                        let what = "too many interim responses";
                        return Poll::Ready(Err(TryError::touched(ErrorKind::BadResponse(what))));
                    }
                    Ok(()) => return Poll::Ready(Ok(request_ended.unwrap_or(self.worker.now()))),
                    Err(error) => return Poll::Ready(Err(head_error(error))),
                }
            }
        });
        self.timer.guard(work).await.unwrap_or(Err(TryError::touched(ErrorKind::TryTimeout)))
    }
}

/// Ready when the body is out, or is not taken.
fn poll_send(
    cx: &mut Context<'_>,
    up: &mut Up,
    left: &mut &[u8],
    finished: &mut bool,
) -> Poll<io::Result<()>> {
    while !left.is_empty() {
        let n = ready!(up.poll_write(cx, left))?;
        *left = &left[n..];
    }
    if !*finished {
        up.finish(None)?;
        *finished = true;
    }
    up.poll_flush(cx)
}

fn read_to_end(cx: &mut Context<'_>, up: &mut Up) -> Poll<Result<(), ErrorKind>> {
    loop {
        match ready!(up.poll_fill(cx)) {
            Ok(Fill::Data) => {
                let n = up.chunk().len();
                up.consume(n);
            }
            Ok(Fill::End) => return Poll::Ready(Ok(())),
            Err(_) => return Poll::Ready(Err(ErrorKind::ResponseCut)),
        }
    }
}
