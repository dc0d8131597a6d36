//! The origin.
