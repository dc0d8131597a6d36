//! Listening: sockets, accepting, shutting down.

pub mod accept;
pub mod bind;
pub mod drain;
