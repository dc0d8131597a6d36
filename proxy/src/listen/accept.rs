//! From a listening socket to a connection that is served: limits, what comes before HTTP, the choice of protocol.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use rustix::net::SocketFlags;
use tokio::io::Interest;
use tokio::sync::Notify;

use super::crowd::Place;
use super::preamble::Preamble;
use super::proxy_protocol::Addresses;
use crate::http::socket::Socket;
use crate::http::stream::Stream;
use crate::http::{h1, h2};
use crate::request::Client;
use crate::snapshot::PortKey;
use crate::worker::Worker;

/// Pause after the process ran out of descriptors or memory: accepting again at once would spin.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);

/// HTTP/2 with prior knowledge announces itself with these bytes (RFC 9113 section 3.4).
const H2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Accepts until told to stop, then takes what the kernel has already completed, so that closing the socket
/// resets nobody; unless another process accepts from the socket as well, which then is the one to do so.
pub async fn accept_all(worker: Rc<Worker>, key: PortKey, listener: Rc<Listener>, stop: Rc<Notify>) {
    let stopped = stop.notified();
    tokio::pin!(stopped);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut stopped => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((tcp, peer)) => begin(&worker, key, tcp, peer),
            // The client gave up before we came: its own affair.
            Err(e) if e.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(_) => {
                worker.counters().accept_errors.add(1);
                tokio::time::sleep(EXHAUSTED_PAUSE).await;
            }
        }
    }
    if worker.has_handed_over() {
        return;
    }
    // Past the runtime, which may not have heard of the last ones yet.
    while let Ok((tcp, peer)) = listener.accept_now() {
        begin(&worker, key, tcp, peer);
    }
}

/// A listening socket that hands out sockets which nobody watches yet (see [`Socket`]).
///
/// tokio's own listener hands out watched ones, and its `AsyncFd` cannot be had without `unsafe`. To be told of
/// new connections the type around the descriptor does not matter, so it is a stream.
pub struct Listener(tokio::net::TcpStream);

impl Listener {
    /// Must be called on a runtime; `listener` must not block.
    pub fn new(listener: TcpListener) -> io::Result<Listener> {
        tokio::net::TcpStream::from_std(OwnedFd::from(listener).into()).map(Listener)
    }

    /// Another descriptor of the same socket.
    pub fn lend(&self) -> io::Result<OwnedFd> {
        self.0.as_fd().try_clone_to_owned()
    }

    async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        self.0.async_io(Interest::READABLE, || self.accept_now()).await
    }

    fn accept_now(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let (tcp, peer) = rustix::net::acceptfrom_with(&self.0, flags)?;
        let peer = peer.ok_or(io::ErrorKind::ConnectionAborted)?.try_into()?;
        Ok((tcp.into(), peer))
    }
}

/// Starts a connection's task, unless the limit on connections is reached.
fn begin(worker: &Rc<Worker>, key: PortKey, tcp: TcpStream, peer: SocketAddr) {
    let snapshot = worker.snapshot();
    let Some(port) = snapshot.port(key) else { return };
    let place = match port.client.connections_per_address {
        u32::MAX => None,
        most => match worker.shared.crowd.enter(peer.ip(), most) {
            Some(place) => Some(place),
            None => return worker.counters().crowded_out.add(1),
        },
    };
    if !worker.take_place(port.client.connections) {
        worker.counters().connections_refused.add(1);
        place.into_iter().for_each(|place| worker.shared.crowd.leave(place));
        return;
    }
    worker.counters().connections.enter();
    worker.counters().connections_total.add(1);
    let admitted = Admitted(worker.clone(), place);
    let mut client = Client::new(key, peer, port.tls.is_some());
    if snapshot.announces_clients {
        client.destination = tcp.local_addr().ok().map(Box::new);
    }
    let limits = &port.client;
    if port.tls.is_none() && !limits.proxy_protocol {
        return worker.wheel.spawn(converse(admitted, client, Stream::Tcp(Socket::fresh(tcp))));
    }
    let preamble = Preamble {
        header_within: limits.proxy_protocol.then_some(limits.request_header),
        tls: port.tls.clone().map(|tls| (tls, limits.tls_handshake)),
    };
    worker.wheel.spawn(async move {
        // Boxed: the connection's task must not carry for ever what only its beginning needs.
        match Box::pin(preamble.pass(&admitted.0, tcp, client)).await {
            Ok((client, stream)) => Box::pin(converse(admitted, client, stream)).await,
            Err(Some(end)) => admitted.0.counters().ended(end),
            Err(None) => {}
        }
    });
}

/// Speaks with a client until the connection ends. Not an `async fn`, which would hold its arguments twice.
fn converse(admitted: Admitted, client: Client, stream: Stream) -> impl Future<Output = ()> {
    let mut conn = h1::ServerConn::new(&admitted.0, client.key, stream);
    async move {
        let worker = &admitted.0;
        match conn.is_http2().await {
            Some(true) => {
                let addresses = client.destination.is_some().then(|| Box::new(client.addresses()));
                Box::pin(h2::serve(worker.clone(), client, conn.into_parts())).await;
                forget(worker, addresses.as_deref());
            }
            Some(false) => {
                h1::serve(worker, &client, &mut conn).await;
                forget(worker, client.destination.is_some().then(|| client.addresses()).as_ref());
            }
            None => {}
        }
    }
}

/// Closes what was opened on behalf of a client that is gone: nobody else may use it.
fn forget(worker: &Worker, client: Option<&Addresses>) {
    if let Some(client) = client {
        worker.pools.forget(client);
    }
}

/// An open downstream connection; counted out when dropped, also by a panic.
struct Admitted(Rc<Worker>, Option<Place>);

impl Drop for Admitted {
    fn drop(&mut self) {
        self.0.shared.downstream.give();
        if let Some(place) = self.1.take() {
            self.0.shared.crowd.leave(place);
        }
        self.0.counters().connections.leave();
    }
}

/// What the first bytes of a cleartext connection say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// HTTP/2 with prior knowledge.
    Http2,
    /// Anything else is HTTP/1.
    Http1,
    /// Not enough bytes to tell.
    Unclear,
}

/// Tells HTTP/2 from HTTP/1 by the first bytes.
pub fn opening(bytes: &[u8]) -> Opening {
    if bytes.len() >= H2_PREFACE.len() && bytes.starts_with(H2_PREFACE) {
        Opening::Http2
    } else if H2_PREFACE.starts_with(bytes) {
        Opening::Unclear
    } else {
        Opening::Http1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http2_is_told_from_http1_by_its_preface_alone() {
        assert_eq!(opening(b"GET / HTTP/1.1\r\n"), Opening::Http1);
        assert_eq!(opening(b"PRI"), Opening::Unclear);
        assert_eq!(opening(b""), Opening::Unclear);
        assert_eq!(opening(b"PRI * HTTP/1.1\r\n"), Opening::Http1);
        assert_eq!(opening(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0"), Opening::Http2);
    }
}
