//! The `causeway` command: checks configuration, explains where a user goes, and runs the demo.
//!
//! A library beside the program, so that what the command prints is tested without starting it.
#![forbid(unsafe_code)]

pub mod cli;
pub mod plan;
