//! The new process's side.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use causeway_proxy_policy::health::Carried;

use super::wire::Wire;
use super::{Offer, PATIENCE, SocketsOf, ToNew, ToOld, door};
use crate::snapshot::PortKey;
use crate::telemetry::log;

/// The process that serves at present and has lent its sockets.
pub struct Predecessor {
    wire: Wire,
    pid: u32,
}

/// What it left.
pub struct Inheritance {
    /// Generation of the process that takes over.
    pub generation: u64,
    /// Time since `Tick(0)`.
    pub clock: Duration,
    /// What it knew of health; empty if this version cannot read it.
    pub health: Carried,
    /// Its listening sockets.
    pub sockets: Sockets,
}

/// Of nobody: what a process begins with that is started afresh.
impl Default for Inheritance {
    fn default() -> Self {
        let (health, sockets) = (Carried::default(), Sockets::default());
        Inheritance { generation: 1, clock: Duration::ZERO, health, sockets }
    }
}

/// Listening sockets of a predecessor.
#[derive(Default)]
pub struct Sockets {
    /// Those of each Gateway address.
    pub ports: Vec<(PortKey, Vec<TcpListener>)>,
    /// That of the admin address, and what it was configured as.
    pub admin: Option<(Option<SocketAddr>, TcpListener)>,
}

impl Predecessor {
    /// Asks the process that serves with this state folder for its sockets; `None` if there is none. It goes on
    /// serving until [`Predecessor::relieve`], and for good if this is dropped before.
    pub fn ask(state_dir: &Path) -> Result<Option<(Predecessor, Inheritance)>, String> {
        let fail = |e: io::Error| format!("cannot take over from the proxy of {}: {e}", state_dir.display());
        let Some(stream) = door::connect(state_dir).map_err(fail)? else { return Ok(None) };
        let wire = Wire::new(stream, PATIENCE).map_err(fail)?;
        let (pid, version) = (std::process::id(), env!("CARGO_PKG_VERSION").to_owned());
        wire.send(&ToOld::Take { pid, version }, &[]).map_err(fail)?;
        let offer = match wire.receive().map_err(fail)?.0 {
            ToNew::Offer(offer) => offer,
            ToNew::Refused { why } => return Err(fail(io::Error::other(why))),
            other => return Err(fail(unexpected(&other))),
        };
        let health = offer.health().unwrap_or_else(|e| {
            log::event("handover", format_args!("what process {} knew of health is lost: {e}", offer.pid));
            Carried::default()
        });
        let sockets = receive_sockets(&wire).map_err(fail)?;
        let Offer { pid, generation, clock, .. } = offer;
        let (generation, clock) = (generation.saturating_add(1), Duration::from_nanos(clock));
        Ok(Some((Predecessor { wire, pid }, Inheritance { generation, clock, health, sockets })))
    }

    #[cfg(test)]
    pub(super) fn over(wire: Wire) -> Predecessor {
        Predecessor { wire, pid: 0 }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Tells it that this process serves, so that it stops accepting. Blocks until it has heard.
    ///
    /// The error says that it had given up waiting, and serves on: this process must end.
    pub fn relieve(self) -> Result<(), String> {
        let sent = self.wire.send(&ToOld::Serving, &[]);
        // Even if it could not be sent there may be a last word to read, and a reset is reported ahead of it.
        let mut heard = self.wire.receive();
        if heard.as_ref().is_err_and(|e: &io::Error| e.kind() == io::ErrorKind::ConnectionReset) {
            heard = self.wire.receive();
        }
        match heard {
            Ok((ToNew::Yours, _)) => Ok(()),
            Ok((ToNew::GaveUp, _)) => Err(format!("process {} gave up waiting and serves on", self.pid)),
            Ok((other, _)) => Err(unexpected(&other).to_string()),
            // Then nobody else has the sockets.
            Err(e) => {
                let why = sent.err().unwrap_or(e);
                log::event("handover", format_args!("process {} is gone ({why}): serving alone", self.pid));
                Ok(())
            }
        }
    }
}

fn receive_sockets(wire: &Wire) -> io::Result<Sockets> {
    let mut sockets = Sockets::default();
    loop {
        match wire.receive()? {
            (ToNew::Sockets(SocketsOf::Port(addr)), fds) => {
                let fds = fds.into_iter().map(listening).collect::<io::Result<Vec<_>>>()?;
                match sockets.ports.iter_mut().find(|(key, _)| key.0 == addr) {
                    Some((_, known)) => known.extend(fds),
                    None => sockets.ports.push((PortKey(addr), fds)),
                }
            }
            (ToNew::Sockets(SocketsOf::Admin(configured)), fds) => {
                let fd = fds.into_iter().next().map(listening).transpose()?;
                sockets.admin = fd.map(|fd| (configured, fd));
            }
            (ToNew::All, _) => return Ok(sockets),
            (other, _) => return Err(unexpected(&other)),
        }
    }
}

/// What came must be what it is said to be: everything else relies on it.
fn listening(fd: OwnedFd) -> io::Result<TcpListener> {
    if !rustix::net::sockopt::socket_acceptconn(&fd)? {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a socket that does not listen"));
    }
    let listener = TcpListener::from(fd);
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn unexpected(message: &ToNew) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("unexpected: {message:?}"))
}
