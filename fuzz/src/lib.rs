//! What is fuzzed: one plain function a target, from bytes to an assertion.
//!
//! A target panics when a promise is broken, and not only when the code under it does: two ways to the same
//! result must agree, what is written must read as what was meant, and invariants must hold after every step.
//! libFuzzer runs them by millions (`make fuzz`, `libfuzzer/`), and `tests/replay.rs` runs them over the kept corpus
//! in every test run, on a stable compiler without libFuzzer. What was found is in that corpus for good, and has a
//! test of its own where it was mended.
//!
//! Parsers get the bytes as they are, so that a corpus can be read and written by hand. State machines get them
//! through [`Bytes`], as a list of decisions.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod body;
mod budgets;
mod bytes;
mod choice;
mod config;
mod defences;
#[cfg(feature = "proxy")]
mod forwarded;
#[cfg(feature = "proxy")]
mod h2_frames;
mod h2_head;
#[cfg(feature = "proxy")]
mod header_policy;
mod health;
#[cfg(feature = "proxy")]
mod proxy_protocol;
mod reference;
mod request;
mod response;
mod route_table;

pub use bytes::Bytes;

/// One target.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name, and that of its corpus.
    pub name: &'static str,
    /// Runs it once; a panic is a finding.
    pub run: fn(&[u8]),
    /// Longest input worth trying, in bytes.
    pub longest: usize,
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target { name: "request", run: request::run, longest: 1024 },
    Target { name: "response", run: response::run, longest: 1024 },
    Target { name: "body", run: body::run, longest: 512 },
    Target { name: "h2_head", run: h2_head::run, longest: 512 },
    #[cfg(feature = "proxy")]
    Target { name: "h2_frames", run: h2_frames::run, longest: 512 },
    #[cfg(feature = "proxy")]
    Target { name: "header_policy", run: header_policy::run, longest: 1024 },
    #[cfg(feature = "proxy")]
    Target { name: "forwarded", run: forwarded::run, longest: 512 },
    #[cfg(feature = "proxy")]
    Target { name: "proxy_protocol", run: proxy_protocol::run, longest: 512 },
    Target { name: "route_table", run: route_table::run, longest: 256 },
    Target { name: "config", run: config::run, longest: 2048 },
    Target { name: "health", run: health::run, longest: 192 },
    Target { name: "choice", run: choice::run, longest: 256 },
    Target { name: "budgets", run: budgets::run, longest: 128 },
    Target { name: "defences", run: defences::run, longest: 128 },
];

/// The target of that name.
pub fn target(name: &str) -> Option<Target> {
    TARGETS.iter().copied().find(|target| target.name == name)
}
