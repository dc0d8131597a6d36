//! Sockets that the workers share a port with.
//!
//! Every worker has a listening socket of its own on the same address (`SO_REUSEPORT`): the kernel spreads new
//! connections and no accept lock exists. All are bound before any of them is used, so a config whose port
//! cannot be had changes nothing.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that the kernel completes before a worker accepts them; the kernel caps it at `somaxconn`.
const BACKLOG: i32 = 4096;

/// One socket per worker on `addr`. With port 0 the kernel picks one port for all of them.
pub fn bind_shared(addr: SocketAddr, workers: usize) -> io::Result<Vec<TcpListener>> {
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
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
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
