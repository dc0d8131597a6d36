//! What the benchmarks have in common: two configurations that differ in size alone, the proxy as a process, the
//! traffic that is sent through it, and the arithmetic of a fair comparison.
//!
//! | module | what |
//! | --- | --- |
//! | [`baseline`] | the committed counts of instructions that a change may not exceed |
//! | [`fixture`] | the small and the large configuration, and a request that both answer alike |
//! | [`subject`] | `causeway-proxy` as a process: start, CPU time, memory, end |
//! | [`traffic`] | an origin and a closed loop of clients, on one thread |
//! | [`ratio`] | the median of paired ratios, and an interval that holds it |
//! | [`rival`] | a second thread that writes what the first one writes |
//! | [`instructions`] | instructions a request under callgrind |
//! | [`machine`] | what the numbers were measured on, and which CPU does what |
//!
//! `benches/policy.rs` and `benches/config.rs` time functions; `src/bin/scale.rs` compares whole processes.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod baseline;
pub mod fixture;
pub mod instructions;
pub mod machine;
pub mod ratio;
pub mod rival;
pub mod subject;
pub mod traffic;
