//! HTTP/1.1 on both sides, over our own codec (`causeway-proxy-http1`).

mod client;
mod server;
mod wire;

pub use client::ClientConn;
pub use server::{ServerConn, serve};
pub use wire::Wire;
