//! This proxy and its peers, side by side on one machine: `causeway-loadtest compare`.
//!
//! | module | what |
//! | --- | --- |
//! | [`peer`] | who is compared: programs, configurations, processes |
//! | [`job`] | what they are asked to do |
//! | [`load`], [`origin`] | who asks, and who answers behind them |
//! | [`overload`] | our proxy at more than it can do |
//! | [`relay`] | the floor: bytes passed on without a look |
//! | [`measure`], [`compare`] | one measurement; all of them, in rounds |
//! | [`results`], [`report`] | what was found, and how it is told |
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod compare;
pub mod job;
pub mod load;
pub mod measure;
pub mod origin;
pub mod overload;
pub mod peer;
pub mod relay;
pub mod report;
pub mod results;
