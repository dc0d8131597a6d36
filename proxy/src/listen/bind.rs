//! Sockets that the workers share a port with.
//!
//! Every worker has a listening socket of its own on the same address (`SO_REUSEPORT`): the kernel spreads new
//! connections and no accept lock exists. All are bound before any of them is used, so a config whose port
//! cannot be had changes nothing.
//!
//! A port's sockets outlive processes (see [`super::handover`]), and so the number of workers.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

use crate::shared::Shared;
use crate::snapshot::{PortKey, Snapshot};
use crate::worker::Mail;

/// Connections that the kernel completes before a worker accepts them; the kernel caps it at `somaxconn`.
const BACKLOG: i32 = 4096;

/// Sockets for some ports, at least one a worker each.
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

/// Sockets for all ports of `snapshot`: those of a predecessor where it has some, new ones elsewhere. Its other
/// sockets are closed here; where they are accepted from, they stay open.
pub fn inherit(snapshot: &Snapshot, inherited: Bound, workers: usize) -> Result<Bound, String> {
    let mut bound: Bound = inherited
        .into_iter()
        .filter(|(key, sockets)| snapshot.port(*key).is_some() && !sockets.is_empty())
        .collect();
    for (key, sockets) in &mut bound {
        widen(sockets, workers).map_err(|e| format!("cannot add a socket for {key}: {e}"))?;
    }
    let held: Vec<PortKey> = bound.iter().map(|(key, _)| *key).collect();
    bound.extend(bind_ports(snapshot, &held, workers)?);
    Ok(bound)
}

/// Adds sockets to those of one port until [`spread`] is content. They do not listen yet: a start that fails later
/// on would reset what they had been given.
fn widen(sockets: &mut Vec<TcpListener>, workers: usize) -> io::Result<()> {
    let Some(first) = sockets.first() else { return Ok(()) };
    let addr = first.local_addr()?;
    for _ in sockets.len()..spread(sockets.len(), workers) {
        sockets.push(bind(addr, true)?);
    }
    Ok(())
}

/// How many sockets a port should have that has `held` and is served by `workers`.
///
/// None is ever closed while the port is served: what waits in it would be reset. So fewer workers serve several
/// sockets each, and since the kernel spreads connections over sockets, each worker should have as many as the
/// others: sockets are added up to the next multiple, while that is below four each. Beyond, an uneven rest costs a
/// worker at most a quarter more than another, and ever more sockets would cost more than that.
pub fn spread(held: usize, workers: usize) -> usize {
    let workers = workers.max(1);
    if held < workers.saturating_mul(4) { held.max(1).next_multiple_of(workers) } else { held }
}

/// Makes all sockets listen; those that do already go on.
pub fn listen(bound: &Bound) -> Result<(), String> {
    for (key, sockets) in bound {
        for socket in sockets {
            let listens = socket2::SockRef::from(socket).listen(BACKLOG);
            listens.map_err(|e| format!("cannot listen on {key}: {e}"))?;
        }
    }
    Ok(())
}

/// Gives each worker its sockets: one of each port, or several where there are more sockets than workers.
pub fn hand_out(shared: &Shared, bound: Bound) {
    let Some(boxes) = shared.mail.get() else { return };
    for (key, sockets) in bound {
        for (worker, socket) in boxes.0.iter().cycle().zip(sockets) {
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

    #[test]
    fn workers_have_as_many_sockets_as_each_other_and_their_number_stays_bounded() {
        for (held, workers, total) in [
            (0, 2, 2),
            (2, 2, 2),
            (1, 4, 4),
            (4, 1, 4),
            (3, 2, 4),
            (8, 7, 14),
            (14, 8, 16),
            (4, 1, 4),
            (9, 2, 9),
        ] {
            assert_eq!(spread(held, workers), total, "{held} sockets for {workers} workers");
        }
        let mut held = 8;
        for _ in 0..100 {
            held = spread(spread(held, 7), 8);
        }
        assert!(held <= 32, "{held}");
    }

    #[test]
    fn a_socket_that_was_added_gets_no_connection_before_it_listens() {
        let mut sockets = bind_shared("127.0.0.1:0".parse().unwrap(), 1).unwrap();
        let addr = sockets[0].local_addr().unwrap();
        widen(&mut sockets, 3).unwrap();
        assert_eq!(sockets.len(), 3);
        let clients: Vec<_> = (0..20).map(|_| std::net::TcpStream::connect(addr).unwrap()).collect();
        assert!(clients.iter().all(|_| sockets[0].accept().is_ok()), "all wait in the first");
        let key = PortKey(addr);
        listen(&vec![(key, sockets)]).unwrap();
    }
}
