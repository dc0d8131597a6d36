//! Everything on one machine: origins with faults, users, a proxy and a live view.
//!
//! [`run`] is `causeway demo`. It starts the program it is part of again, once for each origin and once for
//! the proxy (the hidden subcommands `origin` and `proxy`), so that a cluster can be killed with SIGKILL and
//! one `cargo run` builds all that is needed. Threads in one process were rejected: they cannot be killed,
//! and what a kill does to sockets is what there is to see.
//!
//! Read in this order: `topology` (what there is), `processes` and `stage` (its moving parts), `users` (the
//! load), `picture` (what is known of it) and the two ways to show that, `view` and `plain`. [`origin`] and
//! [`users`] stand on their own; tests use them without the rest.
#![forbid(unsafe_code)]

mod events;
mod fetch;
mod lifeline;
pub mod origin;
mod picture;
mod plain;
pub mod processes;
mod proxy_view;
pub mod random;
mod run;
mod stage;
mod switchboard;
pub mod topology;
pub mod users;
mod view;

use std::{ffi::OsString, process::ExitCode};

pub use run::{DemoOptions, run};

/// `causeway proxy`: the data plane with these arguments (those of `causeway-proxy`, without the program's
/// name). When `tied`, it ends with its standard input.
pub fn proxy_process(args: Vec<OsString>, tied: bool) -> ExitCode {
    if tied {
        lifeline::exit_when_stdin_ends();
    }
    causeway_proxy::run_from_args(args.into_iter())
}
