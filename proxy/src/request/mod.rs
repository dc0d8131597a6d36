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
pub mod error;
pub mod filters;
pub mod key;
pub mod match_route;
pub mod record;
pub mod relay;
pub mod respond;
pub mod send;
pub mod trial;

use std::rc::Rc;

use causeway_proxy_http1::{Framing, Known, Method, RequestHead, RequestKind, Value};

use self::attempt::Attempts;
use self::body::RequestBody;
pub use self::client::Client;
use self::error::ErrorKind;
use self::key::Key;
use self::record::Story;
use crate::http::exchange::Down;
use crate::snapshot::Snapshot;
use crate::telemetry::trace::{self, TraceId};
use crate::tls::client::Offer;
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
            respond::own(worker, &mut down, error, &mut story).await;
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
        let claims = client.settle(head, port.client.trusted_hops);
        story.client = Some(claims.address);
        story.trace = settle_trace(head);
        if head.method == Method::Connect {
            return Err(ErrorKind::ConnectMethod);
        }
        if !head.framing.is_empty() {
            // A body would have to end before the tunnel begins; nobody sends one. Served without the upgrade.
            head.upgrade = None;
        }
        let rule = match_route::find(port, head, worker.index).ok_or(ErrorKind::NoRoute)?;
        story.rule = Some(&rule.name);
        if let Some((status, location)) = rule.filters.redirect(head, client.tls, client.key.0.port()) {
            return respond::redirect(worker, down, status, &location, story).await;
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

        let idempotent = head.method.is_idempotent() && head.upgrade.is_none();
        let mut route = service.plan.route(hash, worker.roll()).idempotent(idempotent);
        record::home(worker, service, route.home(), story.started);
        // Over HTTP/2 an upstream can say that it did not process a request: then any method may be repeated.
        let keep = idempotent
            || service.retry.non_idempotent
            || service.lanes.iter().any(|lane| lane.dial.offer != Offer::Http1);
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
            idempotent,
            is_retry: claims.is_retry,
            time_left: claims.time_left,
            timer: down.timer(),
        };
        let won = attempts.run(down, &mut body, &mut route, story).await;
        story.bytes_in = body.taken;
        let mut won = won?;
        attempts.rule.filters.edit_response(&mut won.response);
        let set_cookie = set_cookie.as_deref_mut().map(Value::clean);
        relay::relay(&attempts, down, &mut body, won, set_cookie, story).await
    }
}

/// Passes a valid trace context on as it came and drops an invalid one.
fn settle_trace(head: &mut RequestHead) -> Option<TraceId> {
    let found = trace::parse(head.get(Known::TraceParent)?);
    if found.is_none() {
        head.remove(Known::TraceParent);
        head.remove(Known::TraceState);
    }
    found
}
