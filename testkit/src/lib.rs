//! What the end-to-end tests start, and how they wait.
//!
//! Everything here is the real thing at its real boundary: the built programs as processes, sockets on loopback,
//! files in a folder, signals. What a test holds (a port, a process, a folder) ends with the value that stands
//! for it, also when the test panics; when the test itself is killed, [`binaries`]' processes follow it.
//!
//! Nothing sleeps in the hope that a state is reached by then. [`wait::eventually`] looks for the state and a
//! watchdog far beyond the usual time ends a wait that has become hopeless.
//!
//! | module | what |
//! | --- | --- |
//! | [`ports`] | addresses that no other test is given |
//! | [`config`] | configuration as a test thinks of it, edited by path |
//! | [`binaries`], [`process`] | the built programs; children that do not outlive their test |
//! | [`proxy`] | `causeway-proxy`: its folder, its admin pages, its events, its memory |
//! | [`origin`] | upstreams with faults, in this process or as processes to be killed |
//! | [`faulty`] | upstreams that break HTTP, request by request |
//! | [`raw`], [`script`] | HTTP/1.1 byte by byte, as a client and as an upstream |
//! | [`frames`] | HTTP/2 frame by frame, as a client or an upstream that misbehaves |
//! | [`tools`] | conformance suites of others, installed where they can be |
//! | [`client`], [`certs`] | proper HTTP/1.1 and HTTP/2 clients, with and without TLS |
//! | [`dns`] | a name server |
//! | [`python`] | the real gRPC and WebSocket libraries, where Python is there |
//! | [`skip`] | a word about a test that cannot be run here |
//! | [`metrics`] | the page that Prometheus scrapes, as numbers |
#![forbid(unsafe_code)]

pub mod binaries;
pub mod certs;
pub mod client;
pub mod config;
pub mod dns;
pub mod faulty;
pub mod frames;
pub mod metrics;
pub mod origin;
pub mod ports;
pub mod process;
pub mod proxy;
pub mod python;
pub mod raw;
pub mod script;
pub mod skip;
pub mod tools;
pub mod wait;

mod background;
