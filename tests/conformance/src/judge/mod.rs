//! How the checks that are data are run and judged.

pub mod answer;
pub mod frames;
pub mod h2_request;
pub mod hygiene;
pub mod request;
pub mod seen;
