//! Upgrade in place: a new process takes the listening sockets over, the old one drains.
//!
//! ```text
//!   new: take (--takeover)  ---->
//!                           <----  offer: ports, generation, clock, health
//!                           <----  sockets, by SCM_RIGHTS, and the end of the list
//!   (validates, compiles, starts its workers on them: both accept)
//!   new: serving            ---->
//!                           <----  yours                    (stops accepting, drains)
//! ```
//!
//! The sockets themselves change hands, so a connection that waits in one is accepted by either process. Closing a
//! listening socket resets what waits in it, whatever others share its port by `SO_REUSEPORT` (19 of 40 connections,
//! measured), so none is closed: not here, and not when the number of workers changes (see [`super::bind::spread`]).
//!
//! Until `yours` the old process serves as if nothing happened, and if the new one fails on the way (a bad config,
//! a crash, silence for `PATIENCE`) it goes on doing so. Should the old one die on the way, the new one has the
//! sockets and serves alone. If the old one gave up just before it heard `serving`, it says so, and the new one ends.
//!
//! Both talk over a Unix socket in the state folder, which only its owner can open; each side asks the kernel who
//! the other is (`SO_PEERCRED`). Rejected: inheriting descriptors by `exec` over the old process, which would end
//! the connections under way; systemd's descriptor store, which not everybody has.

mod door;
mod hand_over;
mod respawn;
mod take_over;
mod wire;

use std::net::SocketAddr;
use std::time::Duration;

use causeway_proxy_policy::health::Carried;
use serde::{Deserialize, Serialize};

pub use door::Door;
pub use hand_over::{Lot, hand_over};
pub use respawn::Respawn;
pub use take_over::{Inheritance, Predecessor, Sockets};

/// How long either side waits for the other's next word. The longest is that for `serving`: the new process reads
/// and compiles its config in between, which takes seconds at tens of thousands of endpoints.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the new process says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "say")]
enum ToOld {
    /// Hand your sockets over.
    Take {
        /// Its process id, for people.
        pid: u32,
        /// Its version, for people: what follows is read by field, unknown ones are passed over.
        version: String,
    },
    /// My workers accept on them.
    Serving,
}

/// What the old process says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "say")]
enum ToNew {
    /// Not now.
    Refused {
        /// For people.
        why: String,
    },
    /// What is about to come.
    Offer(Offer),
    /// With this message came sockets of this address.
    Sockets(SocketsOf),
    /// That was all of them.
    All,
    /// They are yours; I drain.
    Yours,
    /// You took too long, I serve on: end.
    GaveUp,
}

/// What a process tells its successor of itself.
#[derive(Debug, Serialize, Deserialize)]
struct Offer {
    pid: u32,
    /// How many handed over before: 1 for a process that was started afresh.
    generation: u64,
    /// Nanoseconds since `Tick(0)`: the successor goes on with this clock.
    clock: u64,
    /// [`Carried`], as text of its own: a version that cannot read it can still take the sockets.
    health: String,
}

impl Offer {
    fn health(&self) -> Result<Carried, serde_json::Error> {
        serde_json::from_str(&self.health)
    }
}

/// Whose sockets came with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum SocketsOf {
    /// A Gateway's address, as configured.
    Port(SocketAddr),
    /// The admin address, as configured; `None` = nobody configured one.
    Admin(Option<SocketAddr>),
}

#[cfg(test)]
mod tests;
