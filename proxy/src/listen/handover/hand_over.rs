//! The old process's side.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::unbounded_channel;
use tokio::time::timeout;

use super::wire::{FDS, Wire};
use super::{Offer, PATIENCE, SocketsOf, ToNew, ToOld};
use crate::shared::Shared;
use crate::snapshot::PortKey;
use crate::telemetry::log;
use crate::worker::Mail;

/// For what takes a worker or the health thread microseconds.
const AT_ONCE: Duration = Duration::from_secs(5);

/// All that is handed over.
pub struct Lot {
    offer: Offer,
    ports: Vec<(PortKey, OwnedFd)>,
    admin: (Option<SocketAddr>, OwnedFd),
}

impl Lot {
    /// Puts it together. Nothing stops because of it: what is handed over are further descriptors of sockets that
    /// are accepted from as before.
    pub async fn of(shared: &Arc<Shared>, admin: (Option<SocketAddr>, OwnedFd)) -> Result<Lot, String> {
        let carried = timeout(AT_ONCE, shared.health.carry()).await.ok().flatten();
        let carried = carried.ok_or("the health thread does not answer")?;
        let health = serde_json::to_string(&carried).map_err(|e| e.to_string())?;
        let (sender, mut lent) = unbounded_channel();
        shared.mail(|| Mail::Lend(sender.clone()));
        drop(sender);
        let mut ports = Vec::new();
        for _ in 0..shared.workers {
            // A worker that does not answer may have connections waiting: better no upgrade than to lose them.
            let part = timeout(AT_ONCE, lent.recv()).await.ok().flatten();
            ports.extend(part.ok_or("a worker does not lend its sockets")?.map_err(|e| e.to_string())?);
        }
        let clock = shared.now().0;
        let offer = Offer { pid: std::process::id(), generation: shared.generation, clock, health };
        Ok(Lot { offer, ports, admin })
    }
}

/// Talks with a successor until it serves; gives its process id. Blocks. The error says why it does not, and that
/// this process serves on.
pub fn hand_over(stream: UnixStream, lot: Result<Lot, String>) -> Result<u32, String> {
    let wire = Wire::new(stream, PATIENCE).map_err(|e| e.to_string())?;
    let Ok((ToOld::Take { pid, version }, _)) = wire.receive() else {
        return Err("somebody connected and did not ask for it".to_owned());
    };
    log::event("handover", format_args!("process {pid} (version {version}) asks for the sockets"));
    let lost = |e: io::Error| format!("process {pid} did not take over: {e}");
    let lot = match lot {
        Ok(lot) => lot,
        Err(why) => {
            let _ = wire.send(&ToNew::Refused { why: why.clone() }, &[]);
            return Err(why);
        }
    };
    send(&wire, lot).map_err(lost)?;
    match wire.receive() {
        Ok((ToOld::Serving, _)) => {
            // Fails only where the other one has ended since.
            wire.send(&ToNew::Yours, &[]).map_err(lost)?;
            Ok(pid)
        }
        Ok((other, _)) => Err(format!("process {pid}: unexpected: {other:?}")),
        Err(e) => {
            let _ = wire.send(&ToNew::GaveUp, &[]);
            Err(lost(e))
        }
    }
}

fn send(wire: &Wire, lot: Lot) -> io::Result<()> {
    wire.send(&ToNew::Offer(lot.offer), &[])?;
    let mut keys: Vec<PortKey> = Vec::new();
    lot.ports.iter().for_each(|(key, _)| {
        if !keys.contains(key) {
            keys.push(*key);
        }
    });
    for key in keys {
        let of_key = lot.ports.iter().filter(|(of, _)| *of == key);
        let sockets: Vec<BorrowedFd<'_>> = of_key.map(|(_, socket)| socket.as_fd()).collect();
        for some in sockets.chunks(FDS) {
            wire.send(&ToNew::Sockets(SocketsOf::Port(key.0)), some)?;
        }
    }
    let (configured, socket) = &lot.admin;
    wire.send(&ToNew::Sockets(SocketsOf::Admin(*configured)), &[socket.as_fd()])?;
    wire.send(&ToNew::All, &[])
}
