//! The data plane: the IO shell around the policy.
//!
//! Read it in the order a request travels: [`listen`], [`http`], [`request`], [`upstream`]. Beside that path stand
//! [`snapshot`] (from files to what a request needs), [`health`] (the one owner of the health engine),
//! [`telemetry`] and [`admin`]. [`run`](mod@run) starts it all, [`control`](mod@control) keeps it.

pub mod admin;
pub mod control;
pub mod health;
pub mod http;
pub mod listen;
pub mod overload;
pub mod request;
pub mod run;
pub mod settings;
pub mod shared;
pub mod snapshot;
pub mod telemetry;
pub mod timer;
pub mod tls;
pub mod upstream;
pub mod worker;

use std::ffi::OsString;
use std::process::ExitCode;

/// Runs a proxy with a command line, without the program's name, until it is told to stop.
pub fn run_from_args(args: impl Iterator<Item = OsString>) -> ExitCode {
    match settings::Settings::parse(std::iter::once("causeway-proxy".into()).chain(args)) {
        Ok(settings) => run::run(settings),
        Err(error) => {
            let _ = error.print();
            ExitCode::from(if error.use_stderr() { 2 } else { 0 })
        }
    }
}
