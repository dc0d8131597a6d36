//! Protocols: HTTP/1.1 and HTTP/2 on both sides, joined in one [`exchange`] model.

pub mod buffer;
pub mod exchange;
pub mod h1;
pub mod h2;
pub mod socket;
pub mod stream;
