//! The `causeway` program; see the library.
#![forbid(unsafe_code)]

use std::process::ExitCode;

/// The demo's proxy runs in this program, and wants the allocator that it was measured with.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    causeway_control::cli::main()
}
