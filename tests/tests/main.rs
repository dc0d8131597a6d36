//! What Causeway promises its users, each promise a module, each test its words.
//!
//! Everything runs as it does in production: the built `causeway-proxy` as a process, upstreams on sockets, config
//! in files. Time is real, so deadlines are held with a watchdog of twice the value; the exact ones are tests of
//! the policy crate in virtual time.
#![forbid(unsafe_code)]

mod admin;
mod agreement;
mod bodies;
mod chaos;
mod discovery;
mod drain;
mod endpoint;
mod failover;
mod filters;
mod format_files;
mod forwarding;
mod grpc;
mod h2_abuse;
mod h2spec;
mod http2;
mod hygiene;
mod limits;
mod overload;
mod protocols;
mod proxy_protocol;
mod reload;
mod retries;
mod slow_and_errors;
mod slow_clients;
mod sticky;
mod tls;
mod upgrade;
mod websocket;
