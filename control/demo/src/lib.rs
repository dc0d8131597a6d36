//! Everything on one machine: origins with faults, users, a proxy and a live view.
#![forbid(unsafe_code)]

mod lifeline;
pub mod origin;
mod random;
pub mod users;
