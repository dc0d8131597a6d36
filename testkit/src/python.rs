//! The real gRPC and WebSocket libraries, of Python: what others' programs are made with.
//!
//! They live in an environment of their own under `~/.cache/causeway`, made once: by `python3 -m venv` and from PyPI.
//! Where that cannot be, the tests that want them say so, and what would help, and pass.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use serde_json::Value;
use tokio::io::AsyncWriteExt;

use crate::process::Child;
use crate::skip::skipped;
use crate::wait::{WATCHDOG, eventually, within};

/// What PyPI is asked for. New versions by hand, so that two runs of one commit test the same programs.
const PACKAGES: [&str; 2] = ["grpcio==1.85.3", "websockets==17.4"];

/// A Python that has `PACKAGES`.
#[derive(Clone, Debug)]
pub struct Python {
    program: PathBuf,
}

impl Python {
    /// Finds it, or makes it. `None`: it cannot be had; what to do about it was printed.
    pub fn find() -> Option<Python> {
        static FOUND: OnceLock<Option<Python>> = OnceLock::new();
        let find = || {
            let made = make();
            made.inspect_err(|why| {
                skipped(format_args!(
                    "tests with the real gRPC and WebSocket libraries of Python: {why}\n  \
                     .ci/setup --test    (as root, or see what it says)"
                ));
            })
            .ok()
        };
        FOUND.get_or_init(find).clone()
    }

    /// Starts a server by script and waits until it says `serving`.
    ///
    /// # Panics
    /// When it does not.
    pub async fn serve(&self, script: &Path, args: &[&str]) -> Child {
        let mut child = Child::start(Command::new(&self.program).arg(script).args(args));
        eventually("a server in Python", WATCHDOG, async || {
            if let Some(status) = child.ended() {
                panic!("{} ended with {status}:\n{}", script.display(), child.lines.text());
            }
            child.lines.find("serving")
        })
        .await;
        child
    }

    /// Runs a script to its end, with JSON in and JSON out.
    ///
    /// # Panics
    /// When it fails, with what it said.
    pub async fn ask(&self, script: &Path, args: &[&str], input: &Value) -> Value {
        let mut child = tokio::process::Command::new(&self.program)
            .arg(script)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("Python starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        stdin.write_all(input.to_string().as_bytes()).await.expect("it reads");
        drop(stdin);
        let output = within("a script's end", WATCHDOG, child.wait_with_output()).await.expect("an end");
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
            panic!("{}: {error}:\n{}", script.display(), String::from_utf8_lossy(&output.stderr))
        })
    }
}

fn make() -> Result<Python, String> {
    let home = std::env::var_os("HOME").ok_or("$HOME is not set")?;
    let cache = Path::new(&home).join(".cache/causeway");
    fs::create_dir_all(&cache).map_err(|e| format!("{}: {e}", cache.display()))?;
    // Test processes run side by side; one of them makes it.
    let lock = File::create(cache.join("python-tests.lock")).and_then(|lock| lock.lock().map(|()| lock));
    let _lock = lock.map_err(|e| format!("{}: {e}", cache.display()))?;
    let environment = cache.join("python-tests");
    let (program, stamp) = (environment.join("bin/python"), environment.join("packages"));
    let wanted = PACKAGES.join("\n");
    if program.is_file() && fs::read_to_string(&stamp).is_ok_and(|made| made == wanted) {
        return Ok(Python { program });
    }
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&environment))?;
    let install =
        ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:"];
    run(Command::new(&program).args(install).args(PACKAGES))?;
    fs::write(&stamp, wanted).map_err(|e| format!("{}: {e}", stamp.display()))?;
    Ok(Python { program })
}

fn run(command: &mut Command) -> Result<Output, String> {
    let output = command.stdin(Stdio::null()).output().map_err(|e| format!("{command:?}: {e}"))?;
    if output.status.success() {
        return Ok(output);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{command:?}: {}", said.trim().lines().last().unwrap_or("failed")))
}
