//! The admin endpoint: what is going on and why, and a few things that an operator may do by hand.
//!
//! HTTP/1.1 by hyper, on an address of its own and on a runtime of its own, so that neither a scrape nor a
//! pathological client costs a request anything. No password: it listens on loopback by default, and `guard`
//! keeps web pages out. Who opens it to a network opens everything on it.
//!
//! `router` says what is asked for, as a value; the rest of this file does it. Pages are built as plain data
//! from the live state and the health thread's report, so that JSON and text say the same.

mod clusters;
mod clusters_text;
mod config;
mod discovery;
mod explain;
mod guard;
mod params;
mod reply;
mod router;
mod table;

use std::convert::Infallible;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::time::timeout;

use self::reply::Reply;
use self::router::{Action, route};
use crate::health::{HealthInput, HealthReport};
use crate::shared::Shared;
use crate::telemetry::{exposition, log, metrics};
use crate::upstream::view::ServiceView;

/// Connections served at a time: scrapers and people, not users.
const CONNECTIONS: usize = 64;
/// Longest wait for a request's head, and so for the next request of a connection: longer than a usual scrape
/// interval (15 or 30 s), so that a scraper need not connect anew each time.
const HEAD: Duration = Duration::from_secs(60);
/// Longest life of a connection: a client that stopped reading must not keep its place for ever.
const CONNECTION: Duration = Duration::from_secs(600);
/// Longest head; hyper's least.
const HEAD_BYTES: usize = 8192;
/// Longest wait for the health thread. It answers in microseconds or something is very wrong, and then the page
/// without its word is the more needed.
const HEALTH: Duration = Duration::from_secs(1);
/// Pause after the process ran out of descriptors: accepting again at once would spin.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);

/// Serves until the sender of `stop` is dropped; must be called within a runtime that has IO and time. Then what is
/// under way ends, and idle connections do at once: after a handover a scraper must come to the successor. `drain`
/// gets one message for each `POST /drain`.
pub async fn serve(
    listener: TcpListener,
    shared: Arc<Shared>,
    prometheus: PrometheusHandle,
    drain: UnboundedSender<()>,
    mut stop: watch::Receiver<()>,
) {
    let admin = Arc::new(Admin { shared, prometheus, drain });
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let next = async { (places.clone().acquire_owned().await, listener.accept().await) };
        let (place, accepted) = tokio::select! {
            biased;
            _ = stop.changed() => return,
            next = next => next,
        };
        // The semaphore is never closed.
        let Ok(place) = place else { return };
        match accepted {
            Ok((stream, _)) => {
                let (admin, stop) = (admin.clone(), stop.clone());
                tokio::spawn(async move {
                    // Past its time the connection is simply closed.
                    let _ = timeout(CONNECTION, connection(admin, stream, stop)).await;
                    drop(place);
                });
            }
            Err(e) if e.kind() == std::io::ErrorKind::ConnectionAborted => {}
            Err(_) => tokio::time::sleep(EXHAUSTED_PAUSE).await,
        }
    }
}

async fn connection(admin: Arc<Admin>, stream: TcpStream, mut stop: watch::Receiver<()>) {
    let service = service_fn(|request| {
        let admin = admin.clone();
        async move { Ok::<_, Infallible>(response(admin.answer(&request).await)) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    // What breaks a connection is the client's affair; there is nobody to tell.
    tokio::select! {
        _ = &mut connection => {}
        _ = stop.changed() => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}

fn response(reply: Reply) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(reply.body)));
    *response.status_mut() = reply.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(reply.content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Some(allow) = reply.allow {
        headers.insert(ALLOW, HeaderValue::from_static(allow));
    }
    response
}

struct Admin {
    shared: Arc<Shared>,
    prometheus: PrometheusHandle,
    drain: UnboundedSender<()>,
}

impl Admin {
    /// The body of a request is never read: nothing here takes one.
    async fn answer(&self, request: &Request<Incoming>) -> Reply {
        let uri = request.uri();
        if let Err(refusal) = guard::check(request.method(), uri, request.version(), request.headers()) {
            return refusal;
        }
        match route(request.method(), uri.path(), uri.query()) {
            Ok(action) => self.perform(action).await,
            Err(refusal) => refusal,
        }
    }

    async fn perform(&self, action: Action) -> Reply {
        match action {
            Action::Index => Reply::ok(router::INDEX),
            Action::Healthz => Reply::ok("ok"),
            Action::Readyz if self.shared.draining.load(Relaxed) => {
                Reply::text(StatusCode::SERVICE_UNAVAILABLE, "draining")
            }
            Action::Readyz => Reply::ok("ready"),
            Action::Metrics => {
                let report = self.report().await;
                let page = metrics::render(&self.shared, &self.prometheus, report.as_ref());
                Reply::typed(exposition::CONTENT_TYPE, page)
            }
            Action::Config { full } => {
                let snapshot = self.shared.snapshots.load();
                // Plain data: a panic elsewhere does not spoil it.
                let status = self.shared.config_status.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let sources = self.shared.discovery.statuses(&snapshot.config);
                Reply::json(&config::page(&snapshot, &status, &sources, full))
            }
            Action::Clusters { text } => {
                let report = self.report().await;
                let snapshot = self.shared.snapshots.load();
                let sources = self.shared.discovery.statuses(&snapshot.config);
                let page = clusters::page(&snapshot, report.as_ref(), &sources, self.shared.now());
                if text { Reply::ok(clusters_text::render(&page)) } else { Reply::json(&page) }
            }
            Action::Explain { service, key, text } => self.explain(service.as_deref(), &key, text),
            Action::Drain => {
                log::event("admin", "drain, by hand");
                match self.drain.send(()) {
                    Ok(()) => Reply::text(StatusCode::ACCEPTED, "draining"),
                    Err(_) => Reply::text(StatusCode::SERVICE_UNAVAILABLE, "the process is ending already"),
                }
            }
            Action::DrainCluster { cluster, drained } => self.drain_cluster(cluster, drained).await,
            Action::Eject { cluster, address, span } => self.eject(&cluster, &address, span).await,
        }
    }

    async fn report(&self) -> Option<HealthReport> {
        timeout(HEALTH, self.shared.health.report()).await.ok().flatten()
    }

    /// A service may be left out where there is only one.
    fn explain(&self, name: Option<&str>, key: &[Vec<u8>], text: bool) -> Reply {
        let snapshot = self.shared.snapshots.load();
        let names = || snapshot.services.iter().map(|s| &*s.state.name).collect::<Vec<_>>().join(", ");
        let service = match (name, snapshot.services.as_slice()) {
            (None, [only]) => only,
            (None, _) => return Reply::bad(format!("say which `service`: {}", names())),
            (Some(name), _) => match snapshot.service(name) {
                Some(service) => service,
                None => return Reply::not_found(format!("no service `{name}`; there are: {}", names())),
            },
        };
        let hash = match explain::hash(&service.hash_on, key) {
            Ok(hash) => hash,
            Err(what) => return Reply::bad(what),
        };
        let explained = service.plan.explain(hash, &ServiceView::new(service, 0), self.shared.now());
        let page = explain::page(&service.state.name, &service.hash_on, key, explained);
        if text { Reply::ok(explain::render(&page)) } else { Reply::json(&page) }
    }

    async fn drain_cluster(&self, cluster: String, drained: bool) -> Reply {
        let (reply, answer) = oneshot::channel();
        self.shared.health.send(HealthInput::DrainCluster { cluster: cluster.clone(), drained, reply });
        let done = if drained { "drained" } else { "back in service" };
        settled(answer, &format!("{cluster} is {done}"), &format!("no cluster `{cluster}`")).await
    }

    async fn eject(&self, cluster: &str, address: &str, span: Duration) -> Reply {
        let snapshot = self.shared.snapshots.load();
        let Some(dial) = snapshot.clusters.iter().find(|dial| *dial.name == *cluster) else {
            return Reply::not_found(format!("no cluster `{cluster}`"));
        };
        let missing = format!("no endpoint `{address}` in {cluster}");
        let Some(target) = dial.targets.iter().find(|target| *target.state.address == *address) else {
            return Reply::not_found(missing);
        };
        let (reply, answer) = oneshot::channel();
        self.shared.health.send(HealthInput::Eject { endpoint: target.state.id, span, reply });
        let done = match span {
            Duration::ZERO => format!("{address} of {cluster} is not ejected any more"),
            span => format!("{address} of {cluster} is ejected for {span:?}"),
        };
        settled(answer, &done, &missing).await
    }
}

/// Waits for the health thread to have done it.
async fn settled(answer: oneshot::Receiver<bool>, done: &str, missing: &str) -> Reply {
    match timeout(HEALTH, answer).await {
        Ok(Ok(true)) => {
            log::event("admin", format_args!("{done}, by hand"));
            Reply::ok(done)
        }
        Ok(Ok(false)) => Reply::not_found(missing),
        Ok(Err(_)) | Err(_) => {
            Reply::text(StatusCode::SERVICE_UNAVAILABLE, "the health thread did not answer in time")
        }
    }
}

#[cfg(test)]
mod tests;
