//! What Causeway promises its users, each promise a module, each test its words.
//!
//! Everything runs as it does in production: the built `causeway-proxy` as a process, upstreams on sockets, config
//! in files. Time is real, so deadlines are held with a watchdog of twice the value; the exact ones are tests of
//! the policy crate in virtual time.
#![forbid(unsafe_code)]

mod bodies;
mod hygiene;
mod protocols;
mod sticky;
