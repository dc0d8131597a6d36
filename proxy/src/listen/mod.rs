//! Listening: sockets, accepting, shutting down, handing over.

pub mod accept;
pub mod bind;
pub mod crowd;
pub mod drain;
pub mod handover;
mod preamble;
pub mod proxy_protocol;
