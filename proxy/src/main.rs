//! `causeway-proxy`: see the library for what it does.

use std::process::ExitCode;

/// mimalloc: per-thread heaps suit one worker a core.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    causeway_proxy::run_from_args(std::env::args_os().skip(1))
}
