//! What the process tells about itself: metrics, access log, trace context, events, panics.

pub mod access_log;
pub mod counters;
pub mod exposition;
pub mod histogram;
pub mod log;
pub mod metrics;
pub mod panics;
pub mod process;
pub mod service_manager;
pub mod timestamp;
pub mod trace;
