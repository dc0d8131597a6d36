//! Sockets that the workers share a port with.
//!
//! Every worker has a listening socket of its own on the same address (`SO_REUSEPORT`): the kernel spreads new
//! connections and no accept lock exists. All are bound before any of them is used, so a config whose port
//! cannot be had changes nothing.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

use crate::shared::Shared;
use crate::snapshot::{PortKey, Snapshot};
use crate::worker::Mail;

/// Connections that the kernel completes before a worker accepts them; the kernel caps it at `somaxconn`.
const BACKLOG: i32 = 4096;

/// Sockets for some ports, one a worker each.
pub type Bound = Vec<(PortKey, Vec<TcpListener>)>;

/// Sockets for the ports of `snapshot` that are not in `held`: all of them, or none.
pub fn bind_ports(snapshot: &Snapshot, held: &[PortKey], workers: usize) -> Result<Bound, String> {
    let mut bound = Vec::new();
    for port in snapshot.ports.iter().filter(|port| !held.contains(&port.key)) {
        let sockets = bind_shared(port.key.0, workers).map_err(|e| {
            format!(
                "cannot listen on {}: {e}\n  choose another port in the Gateway, or end what uses it",
                port.key
            )
        })?;
        bound.push((port.key, sockets));
    }
    Ok(bound)
}

/// Gives each worker its sockets.
pub fn hand_out(shared: &Shared, bound: Bound) {
    let Some(boxes) = shared.mail.get() else { return };
    for (key, sockets) in bound {
        for (worker, socket) in boxes.0.iter().zip(sockets) {
            let _ = worker.send(Mail::Listen(key, socket));
        }
    }
}

/// One socket per worker on `addr`. With port 0 the kernel picks one port for all of them.
fn bind_shared(addr: SocketAddr, workers: usize) -> io::Result<Vec<TcpListener>> {
    // SO_REUSEPORT alone would silently share the port with another proxy of the same user.
    drop(bind(addr, false)?);
    let first = bind(addr, true)?;
    let addr = first.local_addr()?;
    let mut all = vec![first];
    for _ in 1..workers {
        all.push(bind(addr, true)?);
    }
    for listener in &all {
        socket2::SockRef::from(listener).listen(BACKLOG)?;
    }
    Ok(all)
}

fn bind(addr: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    if addr.is_ipv6() {
        // `::` is every address of both families, as in the samples; any other IPv6 address is just that.
        socket.set_only_v6(!addr.ip().is_unspecified())?;
    }
    socket.set_nonblocking(true)?;
    // Small writes must not wait for the ack of the one before. What is accepted inherits it (Linux, BSD), so no
    // connection pays for a system call of its own.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&addr.into())?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_of_another_process_is_refused_and_not_shared() {
        let held = bind_shared("127.0.0.1:0".parse().unwrap(), 2).unwrap();
        let addr = held[0].local_addr().unwrap();
        assert!(held.iter().all(|l| l.local_addr().unwrap() == addr));
        assert_eq!(bind_shared(addr, 1).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
}
