//! A worker's idle upstream connections.
//!
//! Keyed by the dense id of (lane, endpoint), so finding one is an array access. Last in, first out: the warm ones
//! stay warm and the surplus of a burst idles out. A connection is looked at before use without a system call:
//! the runtime has heard of its end or not.
//!
//! In a cluster that is told of clients by the PROXY protocol a connection belongs to one client connection for good
//! (as in HAProxy and Envoy): what it was announced as is part of what it is found by, and it ends with its client.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use causeway_proxy_policy::Tick;
use tokio::sync::Notify;

use crate::http::{h1, h2};
use crate::listen::proxy_protocol::Addresses;
use crate::request::error::TryError;
use crate::shared::Shared;
use crate::snapshot::{Dial, Endpoint, Lane, Snapshot};
use crate::worker::Mail;

/// All pools of one worker.
pub struct Pools {
    worker: usize,
    shared: Arc<Shared>,
    slots: RefCell<Vec<Slot>>,
}

#[derive(Default)]
struct Slot {
    lane: u32,
    endpoint: u32,
    /// How the connections below were made. Those of another way (protocol, TLS) are not kept: a name that is not
    /// trusted any more must not be served on a connection from before.
    dial: Option<Arc<Dial>>,
    idle: Vec<(Box<h1::ClientConn>, Tick)>,
    shared: Vec<Multiplexed>,
    opening: Vec<(Option<Addresses>, Rc<Underway>)>,
    speaks: Rc<Cell<Option<Speaks>>>,
}

/// A shared HTTP/2 connection, and the client that it was announced for, if it was for one.
struct Multiplexed {
    of: Option<Addresses>,
    sender: h2::Sender,
}

/// What an endpoint was found to speak, where ALPN decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaks {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

impl Slot {
    fn is_made_by(&self, dial: &Arc<Dial>) -> bool {
        self.dial.as_ref().is_some_and(|made| Arc::ptr_eq(made, dial) || made.same_way(dial))
    }

    /// Empties the slot, except that whoever opens a connection still wakes those that wait for it.
    fn begin_anew(&mut self) -> Slot {
        let fresh = Slot {
            lane: self.lane,
            endpoint: self.endpoint,
            opening: std::mem::take(&mut self.opening),
            ..Slot::default()
        };
        std::mem::replace(self, fresh)
    }
}

impl Pools {
    /// Empty pools of worker `worker`.
    pub fn new(worker: usize, shared: Arc<Shared>) -> Pools {
        Pools { worker, shared, slots: RefCell::default() }
    }

    fn with<T>(&self, lane: &Lane, endpoint: &Endpoint, act: impl FnOnce(&mut Slot) -> T) -> T {
        let mut slots = self.slots.borrow_mut();
        let id = endpoint.pool.0 as usize;
        if slots.len() <= id {
            slots.resize_with(id + 1, Slot::default);
        }
        let slot = &mut slots[id];
        (slot.lane, slot.endpoint) = (lane.state.id, endpoint.state.id);
        if slot.dial.is_none() {
            slot.dial = Some(lane.dial.clone());
        }
        act(slot)
    }

    /// An idle HTTP/1.1 connection that is still alive. `of`: only one that was announced for this client; in a
    /// cluster that is told of clients there are no others.
    pub fn take(
        &self,
        lane: &Lane,
        endpoint: &Endpoint,
        of: Option<&Addresses>,
    ) -> Option<Box<h1::ClientConn>> {
        self.with(lane, endpoint, |slot| {
            loop {
                let (mut conn, _) = match of {
                    None => slot.idle.pop()?,
                    Some(_) => {
                        let at = slot.idle.iter().rposition(|(conn, _)| conn.announced() == of)?;
                        slot.idle.remove(at)
                    }
                };
                if !conn.is_stale() {
                    return Some(conn);
                }
            }
        })
    }

    /// Takes a connection back, if another request may follow on it.
    pub fn give(&self, lane: &Lane, endpoint: &Endpoint, mut conn: Box<h1::ClientConn>, now: Tick) {
        if !conn.is_reusable() {
            return;
        }
        conn.park();
        self.with(lane, endpoint, |slot| {
            if slot.is_made_by(&lane.dial) {
                slot.idle.push((conn, now));
            }
        });
        if lane.state.pending.taken() > 0 {
            // Somebody waits for a connection: this one, or the right to open another instead of it.
            lane.state.released.notify_one();
        }
    }

    /// A shared HTTP/2 connection with room for another stream; `of` as for [`Pools::take`].
    pub fn sender(&self, lane: &Lane, endpoint: &Endpoint, of: Option<&Addresses>) -> Option<h2::Sender> {
        self.with(lane, endpoint, |slot| {
            slot.shared.retain(|shared| !shared.sender.is_closed());
            let fits = |shared: &&Multiplexed| shared.sender.has_room() && shared.of.as_ref() == of;
            slot.shared.iter().find(fits).map(|shared| shared.sender.clone())
        })
    }

    /// Adds a shared HTTP/2 connection.
    pub fn add_sender(&self, lane: &Lane, endpoint: &Endpoint, of: Option<Addresses>, sender: h2::Sender) {
        self.with(lane, endpoint, |slot| {
            if slot.is_made_by(&lane.dial) {
                slot.shared.push(Multiplexed { of, sender });
            }
        });
    }

    /// What the endpoint was found to speak.
    pub fn speaks(&self, lane: &Lane, endpoint: &Endpoint) -> Rc<Cell<Option<Speaks>>> {
        self.with(lane, endpoint, |slot| slot.speaks.clone())
    }

    /// `Ok`: the caller opens a connection that others wait for. `Err`: somebody else does; wait for that.
    pub fn begin_opening(
        &self,
        lane: &Lane,
        endpoint: &Endpoint,
        of: Option<Addresses>,
    ) -> Result<Opening<'_>, Rc<Underway>> {
        self.with(lane, endpoint, |slot| match slot.opening.iter().find(|(other, _)| *other == of) {
            Some((_, opening)) => Err(opening.clone()),
            None => {
                let underway = Rc::new(Underway::default());
                slot.opening.push((of, underway.clone()));
                Ok(Opening { pools: self, id: endpoint.pool.0 as usize, underway })
            }
        })
    }

    /// Closes what was announced for a client that is gone, after the streams under way.
    pub fn forget(&self, client: &Addresses) {
        let mut closing = Vec::new();
        for slot in self.slots.borrow_mut().iter_mut() {
            if slot.dial.as_ref().is_some_and(|dial| dial.proxy_protocol.is_some()) {
                closing.extend(slot.idle.extract_if(.., |(conn, _)| conn.announced() == Some(client)));
                slot.shared.retain(|shared| shared.of.as_ref() != Some(client));
            }
        }
        // Dropped after the borrow ends: see `sweep`.
        drop(closing);
    }

    /// Closes the oldest idle connection of a lane. `false` = there is none.
    pub fn evict_oldest(&self, lane: u32) -> bool {
        let evicted = {
            let mut slots = self.slots.borrow_mut();
            let oldest = slots
                .iter_mut()
                .filter(|slot| slot.lane == lane)
                .filter_map(|slot| slot.idle.first().map(|(_, since)| *since).map(|since| (since, slot)))
                .min_by_key(|(since, _)| *since);
            oldest.map(|(_, slot)| slot.idle.remove(0))
        };
        evicted.is_some()
    }

    /// Closes a shared connection of a lane that carries no stream. Its permit is free once its task has ended,
    /// a moment later.
    pub fn evict_unused(&self, lane: u32) {
        let mut slots = self.slots.borrow_mut();
        for slot in slots.iter_mut().filter(|slot| slot.lane == lane) {
            if let Some(i) = slot.shared.iter().position(|shared| shared.sender.streams() == 0) {
                return slot.shared.remove(i).sender.close();
            }
        }
    }

    /// Asks the other workers to close their oldest idle connection to a lane.
    pub fn ask_others(&self, lane: u32) {
        if let Some(mail) = self.shared.mail.get() {
            mail.to_others(self.worker, || Mail::Evict(lane));
        }
    }

    /// Closes all idle connections to an endpoint that was taken out of service.
    pub fn drop_endpoint(&self, endpoint: u32) {
        let mut closing = Vec::new();
        for slot in self.slots.borrow_mut().iter_mut().filter(|slot| slot.endpoint == endpoint) {
            closing.append(&mut slot.idle);
            slot.shared.clear();
        }
    }

    /// Closes what a new snapshot has no use for.
    pub fn retain(&self, snapshot: &Snapshot) {
        let mut known = vec![None; self.slots.borrow().len()];
        for lane in snapshot.services.iter().flat_map(|service| &service.lanes) {
            for endpoint in &lane.endpoints {
                if let Some(place) = known.get_mut(endpoint.pool.0 as usize) {
                    *place = Some((lane.state.id, endpoint.state.id, &lane.dial));
                }
            }
        }
        let mut closing = Vec::new();
        for (slot, known) in self.slots.borrow_mut().iter_mut().zip(known) {
            match known {
                Some((lane, endpoint, dial)) if (lane, endpoint) == (slot.lane, slot.endpoint) => {
                    if !slot.is_made_by(dial) {
                        closing.push(slot.begin_anew());
                    }
                    slot.dial = Some(dial.clone());
                }
                _ => closing.push(std::mem::take(slot)),
            }
        }
    }

    /// Closes connections that idled longer than their cluster allows, and those that the other end closed.
    pub fn sweep(&self, now: Tick) {
        let mut closing = Vec::new();
        for slot in self.slots.borrow_mut().iter_mut() {
            let timeout = slot.dial.as_ref().map_or(Duration::ZERO, |dial| dial.idle_timeout);
            let old = slot.idle.iter().take_while(|(_, since)| now.since(*since) >= timeout).count();
            closing.extend(slot.idle.drain(..old).map(|(conn, _)| conn));
            let mut i = 0;
            while i < slot.idle.len() {
                if slot.idle[i].0.is_stale() {
                    closing.push(slot.idle.remove(i).0);
                } else {
                    i += 1;
                }
            }
            slot.shared.retain(|Multiplexed { sender, .. }| {
                !sender.is_closed()
                    && (sender.streams() > 0 || now.since(Tick(sender.idle_since())) < timeout)
            });
        }
        // Dropped after the borrow ends: a permit's drop may wake a request that asks for a pool.
        drop(closing);
    }
}

/// A connection that one request opens and others wait for.
#[derive(Default)]
pub struct Underway {
    ended: Notify,
    error: Cell<Option<TryError>>,
}

impl Underway {
    /// Waits for its end; gives the error if there was one. `None`: look again.
    pub async fn ended(&self) -> Option<TryError> {
        self.ended.notified().await;
        self.error.get()
    }
}

/// The right to open a connection that others wait for; they look again when it is dropped.
pub struct Opening<'a> {
    pools: &'a Pools,
    id: usize,
    underway: Rc<Underway>,
}

impl Opening<'_> {
    /// Tells those that wait that it failed.
    pub fn fail(&self, error: TryError) {
        self.underway.error.set(Some(error));
    }
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        // The slot may have been emptied by a new snapshot meanwhile: those that wait are told all the same.
        if let Some(slot) = self.pools.slots.borrow_mut().get_mut(self.id) {
            slot.opening.retain(|(_, underway)| !Rc::ptr_eq(underway, &self.underway));
        }
        self.underway.ended.notify_waiters();
    }
}
