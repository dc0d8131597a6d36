//! How a child process learns that its parent is gone, even by SIGKILL.
//!
//! The parent holds the writing end of the child's standard input and never writes: the kernel closes it
//! when the parent ends, in whatever way, and the child reads the end of file. Rejected:
//! `prctl(PR_SET_PDEATHSIG)`, which needs `unsafe`, exists only on Linux and follows the parent's thread,
//! not its process.

use std::io::Read;

/// Ends this process (exit code 0) as soon as its standard input does.
pub(crate) fn exit_when_stdin_ends() {
    std::thread::spawn(|| {
        let mut ignored = [0; 256];
        let mut stdin = std::io::stdin();
        loop {
            match stdin.read(&mut ignored) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        std::process::exit(0);
    });
}
