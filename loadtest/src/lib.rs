//! This proxy and its peers, side by side on one machine.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod load;
pub mod origin;
pub mod relay;
