//! `causeway-proxy`: see the library for what it does.

use std::process::ExitCode;

/// mimalloc: per-thread heaps suit one worker a core.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // The allocator would ask for huge pages: 12 MiB more at start and a quarter more an idle connection, for no less
    // CPU a request (1.00 in ten paired runs). Where the system refuses, it serves as well.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    causeway_proxy::run_from_args(std::env::args_os().skip(1))
}
