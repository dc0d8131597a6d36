//! From an endpoint to something a request can be sent on: pooled, shared or new, within the exact limits.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::permit::{ConnectionPermit, PendingPermit};
use super::pool::Speaks;
use crate::http::exchange::Up;
use crate::http::stream::Stream;
use crate::http::{h1, h2};
use crate::listen::proxy_protocol::{self, Addresses};
use crate::request::Client;
use crate::request::error::{ErrorKind, LimitKind, TryError};
use crate::snapshot::{Dial, Endpoint, Lane};
use crate::tls::client::{Offer, offering};
use crate::worker::Worker;

/// An idle HTTP/1.1 connection, without waiting: the common case.
pub fn pooled(worker: &Worker, lane: &Lane, endpoint: &Endpoint, client: &Client) -> Option<Up> {
    if lane.dial.offer != Offer::Http1 {
        return None;
    }
    worker.pools.take(lane, endpoint, announced(lane, client).as_ref()).map(Up::H1)
}

/// What a connection is announced as, to an upstream that is told of clients.
fn announced(lane: &Lane, client: &Client) -> Option<Addresses> {
    lane.dial.proxy_protocol.map(|_| client.addresses())
}

/// A connection to `endpoint`, ready for one request. `fresh` asks for a new one: the last pooled one turned out
/// to have been closed by the upstream.
///
/// The caller bounds the wait by its own deadline; a connect of its own is bounded by the cluster's
/// `timeouts.connect`.
pub async fn obtain(
    worker: &Rc<Worker>,
    lane: &Lane,
    endpoint: &Endpoint,
    client: &Client,
    fresh: bool,
    phase: &Cell<Phase>,
) -> Result<Up, TryError> {
    let pools = &worker.pools;
    let of = announced(lane, client);
    match lane.dial.offer {
        Offer::Http1 => {}
        Offer::Http2 => return shared_stream(worker, lane, endpoint, of, phase).await,
        Offer::Both => {
            let speaks = pools.speaks(lane, endpoint);
            match speaks.get() {
                Some(Speaks::Http1) => {}
                Some(Speaks::Http2) | None => {
                    return shared_stream(worker, lane, endpoint, of, phase).await;
                }
            }
        }
    }
    if !fresh && let Some(conn) = pools.take(lane, endpoint, of.as_ref()) {
        return Ok(Up::H1(conn));
    }
    match permit(worker, lane, endpoint, of.as_ref(), fresh).await? {
        Permitted::New(permit) => {
            open(worker, lane, endpoint, of, permit, lane.dial.offer, phase).await.map(Up::from)
        }
        Permitted::Pooled(conn) => Ok(Up::H1(conn)),
    }
}

/// A new connection of HTTP/1.1 to an endpoint that speaks HTTP/2 where it is asked for both: for a tunnel, which
/// its HTTP/2 does not take. Browsers do the same.
pub async fn http1_for_tunnel(
    worker: &Rc<Worker>,
    lane: &Lane,
    endpoint: &Endpoint,
    client: &Client,
    phase: &Cell<Phase>,
) -> Result<Up, TryError> {
    let of = announced(lane, client);
    let permit = match permit(worker, lane, endpoint, of.as_ref(), true).await? {
        Permitted::New(permit) => permit,
        Permitted::Pooled(conn) => return Ok(Up::H1(conn)),
    };
    let opened = open(worker, lane, endpoint, of, permit, Offer::Http1, phase).await;
    opened.map(Up::from).map_err(|error| match error.kind {
        // It takes HTTP/2 alone. That is no failure: a client's wish must not eject it.
        ErrorKind::TlsFailed => TryError::untouched(ErrorKind::NoTunnel),
        _ => error,
    })
}

/// How far [`obtain`] has come: who is to blame if it takes too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// For the right to connect, or for another request that connects.
    Waiting,
    /// For the endpoint.
    Dialling,
}

/// What waiting for the right to connect can give.
enum Permitted {
    New(ConnectionPermit),
    Pooled(Box<h1::ClientConn>),
}

/// The right to open a connection. At the limit: close our own oldest idle one to that cluster, ask the other
/// workers for theirs, and only then queue.
async fn permit(
    worker: &Rc<Worker>,
    lane: &Lane,
    endpoint: &Endpoint,
    of: Option<&Addresses>,
    fresh: bool,
) -> Result<Permitted, TryError> {
    let take =
        || ConnectionPermit::take(&lane.state, &endpoint.state, worker.index, lane.limits.max_connections);
    if let Some(permit) = take() {
        return Ok(Permitted::New(permit));
    }
    if worker.pools.evict_oldest(lane.state.id)
        && let Some(permit) = take()
    {
        return Ok(Permitted::New(permit));
    }
    let overflow = || TryError::untouched(ErrorKind::Overloaded(LimitKind::Pending));
    let _pending = PendingPermit::take(&lane.state, lane.limits.max_pending).ok_or_else(overflow)?;
    loop {
        // Listening begins before the last look, so that no release can fall between the two.
        let mut released = std::pin::pin!(lane.state.released.notified());
        released.as_mut().enable();
        if let Some(permit) = take() {
            return Ok(Permitted::New(permit));
        }
        if !fresh && let Some(conn) = worker.pools.take(lane, endpoint, of) {
            return Ok(Permitted::Pooled(conn));
        }
        if worker.pools.evict_oldest(lane.state.id) {
            continue;
        }
        worker.pools.evict_unused(lane.state.id);
        worker.pools.ask_others(lane.state.id);
        released.await;
    }
}

/// A stream on a shared HTTP/2 connection; one request opens it, the others wait for that.
async fn shared_stream(
    worker: &Rc<Worker>,
    lane: &Lane,
    endpoint: &Endpoint,
    of: Option<Addresses>,
    phase: &Cell<Phase>,
) -> Result<Up, TryError> {
    let pools = &worker.pools;
    let speaks = pools.speaks(lane, endpoint);
    loop {
        if let Some(sender) = pools.sender(lane, endpoint, of.as_ref()) {
            return Ok(Up::H2(Box::new(sender.stream())));
        }
        if lane.dial.offer == Offer::Both && speaks.get() == Some(Speaks::Http1) {
            if let Some(conn) = pools.take(lane, endpoint, of.as_ref()) {
                return Ok(Up::H1(conn));
            }
            return match permit(worker, lane, endpoint, of.as_ref(), false).await? {
                Permitted::New(permit) => {
                    open(worker, lane, endpoint, of, permit, lane.dial.offer, phase).await.map(Up::from)
                }
                Permitted::Pooled(conn) => Ok(Up::H1(conn)),
            };
        }
        let opening = match pools.begin_opening(lane, endpoint, of) {
            Ok(opening) => opening,
            Err(opened) => match opened.ended().await {
                // It failed for one, so it failed for all that waited: each trying again would only take turns.
                Some(error) => return Err(error),
                None => continue,
            },
        };
        let permit = match permit(worker, lane, endpoint, of.as_ref(), true).await? {
            Permitted::New(permit) => permit,
            Permitted::Pooled(conn) => return Ok(Up::H1(conn)),
        };
        let opened = open(worker, lane, endpoint, of, permit, lane.dial.offer, phase)
            .await
            .inspect_err(|error| opening.fail(*error))?;
        let up = match opened {
            Opened::H1(conn) => {
                speaks.set(Some(Speaks::Http1));
                Up::H1(conn)
            }
            Opened::H2(sender) => {
                speaks.set(Some(Speaks::Http2));
                let stream = sender.stream();
                pools.add_sender(lane, endpoint, of, sender);
                Up::H2(Box::new(stream))
            }
        };
        drop(opening);
        return Ok(up);
    }
}

/// A connection that was just made.
enum Opened {
    H1(Box<h1::ClientConn>),
    H2(h2::Sender),
}

impl From<Opened> for Up {
    fn from(opened: Opened) -> Up {
        match opened {
            Opened::H1(conn) => Up::H1(conn),
            Opened::H2(sender) => Up::H2(Box::new(sender.stream())),
        }
    }
}

async fn open(
    worker: &Rc<Worker>,
    lane: &Lane,
    endpoint: &Endpoint,
    of: Option<Addresses>,
    permit: ConnectionPermit,
    offer: Offer,
    phase: &Cell<Phase>,
) -> Result<Opened, TryError> {
    phase.set(Phase::Dialling);
    let dial = &*lane.dial;
    let timer = worker.wheel.timer();
    timer.set(Some(worker.now() + dial.connect_timeout));
    let stream = match timer.guard(stream(dial, endpoint, of.as_ref(), offer)).await {
        Ok(stream) => stream?,
        Err(_) => return Err(TryError::untouched(ErrorKind::ConnectTimeout)),
    };
    let http2 = match offer {
        Offer::Http1 => false,
        Offer::Http2 => true,
        Offer::Both => stream.alpn() == Some(b"h2"),
    };
    if !http2 {
        return Ok(Opened::H1(Box::new(h1::ClientConn::new(stream, &worker.buffers, permit, of))));
    }
    let connected = h2::connect(stream, permit, &worker.buffers, worker.wheel.clone());
    match timer.guard(connected).await {
        Ok(Ok(sender)) => Ok(Opened::H2(sender)),
        Ok(Err(_)) => Err(TryError::untouched(ErrorKind::ConnectFailed)),
        Err(_) => Err(TryError::untouched(ErrorKind::ConnectTimeout)),
    }
}

async fn stream(
    dial: &Dial,
    endpoint: &Endpoint,
    of: Option<&Addresses>,
    offer: Offer,
) -> Result<Stream, TryError> {
    let failed = |_| TryError::untouched(ErrorKind::ConnectFailed);
    let mut tcp = dial_tcp(endpoint.socket).await.map_err(failed)?;
    if let Some(version) = dial.proxy_protocol {
        // Before everything else on the connection, TLS included.
        tcp.write_all(&proxy_protocol::write(version, of)).await.map_err(failed)?;
    }
    let Some(tls) = &dial.tls else { return Ok(Stream::Tcp(tcp.into())) };
    let config = if offer == dial.offer { tls.config.clone() } else { offering(&tls.config, offer) };
    match TlsConnector::from(config).connect(endpoint.name.clone(), tcp).await {
        Ok(tls) => Ok(Stream::Tls(Box::new(tls.into()))),
        Err(_) => Err(TryError::untouched(ErrorKind::TlsFailed)),
    }
}

async fn dial_tcp(addr: SocketAddr) -> std::io::Result<TcpStream> {
    let tcp = TcpStream::connect(addr).await?;
    tcp.set_nodelay(true)?;
    Ok(tcp)
}
