//! HTTP/2 (RFC 9113) by hand: frames as a check wants them, and enough of the protocol to see what comes back.

pub mod conn;
pub mod frame;
pub mod hpack;
mod huffman;

pub use conn::{Answer, H2};
pub use frame::{Frame, code, flag, kind, setting};
