//! HTTP/2 on both sides, by the `h2` crate: connection, streams, flow control and HPACK are its; heads, bodies
//! and trailers are turned into our exchange model here.

mod body;
mod client;
mod fields;
pub mod frames;
mod hpack;
mod io;
mod keepalive;
mod malformed;
mod pause;
mod prefixed;
mod servants;
mod server;

pub use client::{ClientStream, Sender, connect};
pub use servants::Servants;
pub use server::{ServerStream, serve};
