//! Active checks: one task an endpoint, a new connection each time, because that is what users need too.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use causeway_config::{HealthCheck, Probe};
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio_rustls::TlsConnector;

use super::{HealthHandle, HealthInput};
use crate::listen::proxy_protocol;
use crate::snapshot::{Dial, Snapshot, Target};
use crate::tls::client::Offer;

/// The checks that run, by endpoint id.
#[derive(Default)]
pub struct Probes(HashMap<u32, Running>);

struct Running {
    check: HealthCheck,
    dial: Arc<Dial>,
    task: AbortHandle,
}

impl Probes {
    /// Starts what is new, stops what is gone, leaves the rest alone.
    pub fn reconcile(&mut self, snapshot: &Snapshot, health: &HealthHandle) {
        let mut old = std::mem::take(&mut self.0);
        for dial in &snapshot.clusters {
            let Some(check) = &dial.check else { continue };
            for Target { state, socket, name } in &dial.targets {
                let kept = old.remove(&state.id).filter(|running| {
                    running.check == *check && running.dial.same_opening(dial) && !running.task.is_finished()
                });
                let running = kept.unwrap_or_else(|| {
                    let task = tokio::task::spawn_local(probe_for_ever(
                        state.id,
                        *socket,
                        name.clone(),
                        state.address.clone(),
                        dial.clone(),
                        check.clone(),
                        health.clone(),
                    ));
                    Running { check: check.clone(), dial: dial.clone(), task: task.abort_handle() }
                });
                self.0.insert(state.id, running);
            }
        }
        for running in old.into_values() {
            running.task.abort();
        }
    }
}

impl Drop for Probes {
    fn drop(&mut self) {
        for running in self.0.values() {
            running.task.abort();
        }
    }
}

async fn probe_for_ever(
    endpoint: u32,
    socket: SocketAddr,
    name: ServerName<'static>,
    address: Arc<str>,
    dial: Arc<Dial>,
    check: HealthCheck,
    health: HealthHandle,
) {
    // Spread over the interval, so that 5,000 endpoints are not all asked in the same millisecond.
    let spread = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), endpoint);
    let offset = check.interval.mul_f64((spread >> 11) as f64 / (1u64 << 53) as f64);
    tokio::time::sleep(offset.min(Duration::from_millis(500))).await;
    let mut every = tokio::time::interval(check.interval);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        let once = probe(socket, &name, &address, &dial, &check.probe);
        let passed = tokio::time::timeout(check.timeout, once).await.unwrap_or(false);
        health.send(HealthInput::Probe { endpoint, passed });
    }
}

async fn probe(
    socket: SocketAddr,
    name: &ServerName<'static>,
    address: &str,
    dial: &Dial,
    probe: &Probe,
) -> bool {
    let Ok(mut tcp) = TcpStream::connect(socket).await else { return false };
    let _ = tcp.set_nodelay(true);
    if let Some(version) = dial.proxy_protocol {
        // A check is our own connection, no client's: LOCAL.
        if tcp.write_all(&proxy_protocol::write(version, None)).await.is_err() {
            return false;
        }
    }
    let Probe::Http { path, host, expected } = probe else { return true };
    let host = host.as_deref().unwrap_or(address);
    let status = match &dial.tls {
        None => ask(tcp, dial.offer == Offer::Http2, "http", host, path).await,
        Some(tls) => {
            let Ok(stream) = TlsConnector::from(tls.config.clone()).connect(name.clone(), tcp).await else {
                return false;
            };
            let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            ask(stream, http2, "https", host, path).await
        }
    };
    status.is_some_and(|status| expected.iter().any(|range| range.contains(status)))
}

/// One GET; the status of its answer.
async fn ask<S>(stream: S, http2: bool, scheme: &str, host: &str, path: &str) -> Option<u16>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let io = TokioIo::new(stream);
    let request =
        http::Request::get(if http2 { format!("{scheme}://{host}{path}") } else { path.to_owned() });
    let request = if http2 { request } else { request.header("host", host).header("connection", "close") };
    let request = request.header("user-agent", "causeway-proxy-check").body(Empty::<Bytes>::new()).ok()?;
    if http2 {
        let (mut send, connection) = hyper::client::conn::http2::handshake(LocalExecutor, io).await.ok()?;
        let connection = Driving(tokio::task::spawn_local(async { drop(connection.await) }).abort_handle());
        let status = send.send_request(request).await.ok()?.status().as_u16();
        drop(connection);
        return Some(status);
    }
    let (mut send, connection) = hyper::client::conn::http1::handshake(io).await.ok()?;
    let connection = Driving(tokio::task::spawn_local(async { drop(connection.await) }).abort_handle());
    let status = send.send_request(request).await.ok()?.status().as_u16();
    drop(connection);
    Some(status)
}

/// Ends a connection's task with its check.
struct Driving(AbortHandle);

impl Drop for Driving {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Runs hyper's tasks on the health thread.
#[derive(Clone)]
struct LocalExecutor;

impl<F> hyper::rt::Executor<F> for LocalExecutor
where
    F: Future + 'static,
    F::Output: 'static,
{
    fn execute(&self, task: F) {
        tokio::task::spawn_local(task);
    }
}
