//! The path of a request, in the order it is walked.
//!
//! ```text
//!  head ── settle claims ── match route ── filters ── key ── limits ─┐
//!                                                                    ▼
//!  log, metrics ◄── relay body ◄── respond ◄── attempt: choose, send, await the head, retry
//! ```

pub mod attempt;
pub mod body;
pub mod client;
pub mod cors;
pub mod error;
pub mod filters;
pub mod forwarded;
pub mod gate;
pub mod grpc;
pub mod key;
pub mod match_route;
pub mod mirror;
pub mod rate_limit;
pub mod record;
pub mod relay;
pub mod respond;
pub mod send;
pub mod trial;
pub mod tunnel;

use std::rc::Rc;

use causeway_proxy_http1::{Framing, Known, Method, RequestHead, RequestKind, Value};
use causeway_proxy_policy::grpc::UNKNOWN;

use self::attempt::Attempts;
use self::body::RequestBody;
pub use self::client::Client;
use self::error::ErrorKind;
use self::gate::{Carried, Gate};
use self::key::Key;
use self::record::Story;
use crate::http::exchange::Down;
use crate::snapshot::Snapshot;
use crate::telemetry::trace;
use crate::worker::Worker;

/// Serves one request, from its head to the last byte of the answer and the line in the log.
///
/// Not an `async fn`, which would hold its arguments twice.
#[inline]
pub fn handle(
    worker: &Rc<Worker>,
    client: &Client,
    mut down: Down<'_>,
    head: &mut RequestHead,
) -> impl Future<Output = ()> {
    let snapshot = worker.snapshot();
    async move {
        let mut story = Story::begin(worker.now(), head.method == Method::Head);
        let served = serve(worker, client, &snapshot, &mut down, head, &mut story).await;
        if let Err(error) = served {
            story.error = Some(error);
            respond::own(worker, &mut down, head, error, &mut story).await;
        }
        record::request(worker, client, head, &story);
    }
}

#[inline]
fn serve<'s>(
    worker: &Rc<Worker>,
    client: &Client,
    snapshot: &'s Snapshot,
    down: &mut Down<'_>,
    head: &mut RequestHead,
    story: &mut Story<'s>,
) -> impl Future<Output = Result<(), ErrorKind>> {
    let port = snapshot.port(client.key);
    async move {
        let port = port.ok_or(ErrorKind::NoRoute)?;
        let _admitted = worker.load.admit(&snapshot.overload, worker, down.waited()).map_err(|why| {
            worker.counters().shed(why);
            ErrorKind::Shed(why)
        })?;
        if let Some(asked) = port.client_auth()
            && !client.is_admitted(asked)
        {
            return Err(ErrorKind::NotAdmitted);
        }
        let claims = client.settle(head, &port.client);
        story.client = Some(claims.address);
        settle_trace(head);
        let grpc = grpc::Call::of(head, story.started).map(Box::new);
        story.grpc = grpc.as_ref().map(|_| UNKNOWN);
        if head.method == Method::Connect {
            return Err(ErrorKind::ConnectMethod);
        }
        if !head.framing.is_empty() {
            // A body would have to end before the tunnel begins; nobody sends one. Served without the upgrade.
            head.upgrade = None;
        }
        let rule = match_route::find(port, head, worker.index).ok_or(ErrorKind::NoRoute)?;
        story.rule = Some(rule);
        // Boxed, and what is needed afterwards with it: few rules have any, and all would carry the room.
        let ((claims, port, rule), advert) = match &rule.extras {
            None => ((claims, port, rule), None),
            Some(extras) => {
                let passed = extras.pass(worker, (claims, port, rule), claims.address, down, head, story);
                match Box::pin(passed).await? {
                    Gate::Open(kept, advert) => (kept, advert),
                    Gate::Answered => return Ok(()),
                }
            }
        };
        if let Some((status, location)) = rule.filters.redirect(head, client.tls, client.key.0.port()) {
            return respond::redirect(worker, down, head, (status, &location), story).await;
        }
        let limits = rule.client.as_deref().unwrap_or(&port.client);
        let limit = limits.body_bytes.unwrap_or(u64::MAX);
        if matches!(head.framing, Framing::Length(n) if n > limit) {
            return Err(ErrorKind::BodyTooLarge);
        }

        let hash_on = match_route::hash_on(rule);
        let Key { hash, mut set_cookie } = key::of(hash_on, head, claims.address, worker.roll());
        let service = match_route::service(rule, hash, worker.roll()).ok_or(ErrorKind::NoBackend)?;
        let _open = story.enter(worker, service);
        rule.filters.edit_request(head);
        let from = (client, port.client.forwarding);
        let mut carried = Carried::begin(rule.extras.as_deref(), advert, worker, from, claims.address, head);
        if head.upgrade.is_some() {
            tunnel::begin(head, || worker.roll());
        }

        let idempotent = head.method.is_idempotent() && head.upgrade.is_none();
        let mut route = service.plan.route(hash, worker.roll()).idempotent(idempotent);
        record::home(worker, service, route.home(), story.started);
        // Over HTTP/2 an upstream can say that it did not process a request: then any method may be repeated.
        let keep = idempotent
            || service.retry.non_idempotent
            || carried.as_ref().is_some_and(|carried| carried.copies.is_some())
            || service.speaks_http2();
        let mut body = RequestBody::new(head.framing, keep, limit);
        let kind = RequestKind {
            head: head.method == Method::Head,
            connect: false,
            upgrade: head.upgrade.is_some(),
        };
        let head = &*head;
        let attempts = Attempts {
            worker,
            client,
            limits,
            service,
            rule,
            head,
            path: rule.filters.path(head),
            kind,
            grpc,
            idempotent,
            is_retry: claims.is_retry,
            time_left: claims.time_left.map(Box::new),
            forwarding: port.client.forwarding,
            timer: down.timer(),
        };
        let won = attempts.run(down, &mut body, &mut route, story).await;
        story.bytes_in = body.taken;
        if let Some(carried) = &mut carried {
            mirror::send_whole(worker, &mut carried.copies, &mut body);
        }
        let mut won = won?;
        if let (Some(extras), Some(carried)) = (&attempts.rule.extras, &carried) {
            extras.edit_response(attempts.head, carried.advert.as_deref(), &mut won.response);
        }
        if kind.upgrade {
            tunnel::finish(head, &mut won.response)?;
        }
        attempts.rule.filters.edit_response(&mut won.response);
        if won.response.get(Known::Date).is_none() {
            // RFC 9110 section 6.6.1: who has a clock dates what it forwards. A date is a valid value.
            let _ = won.response.push(b"Date", &worker.date());
        }
        let set_cookie = set_cookie.as_deref_mut().map(Value::clean);
        let relayed = relay::relay(&attempts, down, &mut body, won, set_cookie, story).await;
        // A service may answer before it has read everything.
        if let Some(carried) = &mut carried {
            mirror::send_whole(worker, &mut carried.copies, &mut body);
        }
        relayed
    }
}

/// Passes a valid trace context on as it came and drops an invalid one.
fn settle_trace(head: &mut RequestHead) {
    if head.get(Known::TraceParent).is_some_and(|context| trace::parse(context).is_none()) {
        head.remove(Known::TraceParent);
        head.remove(Known::TraceState);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The size of what a function of [`handle`]'s form returns.
    fn size<'a, R>(_: impl FnOnce(&'a Rc<Worker>, &'a Client, Down<'a>, &'a mut RequestHead) -> R) -> usize {
        size_of::<R>()
    }

    #[test]
    fn the_future_of_a_request_fits_into_what_the_allocator_hands_out_at_once() {
        let size = size(handle);
        assert!(size <= 1024, "{size} bytes: box what is rare");
    }
}
