//! The protocols byte by byte, both ends. Nothing here panics on what the other end sends, and nothing is sent that a
//! check did not ask for: what a proper client cannot send is what most checks are about.

pub mod conn;
pub mod h1;
pub mod h2;

pub use conn::{Conn, Read};
