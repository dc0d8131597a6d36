//! Events for people, on standard error: what changed and why. Requests are in the access log.

use std::fmt::Display;
use std::io::Write;
use std::time::SystemTime;

use super::timestamp::Timestamp;

/// Writes one line: time, area, what happened. A closed standard error is no reason to stop serving.
pub fn event(area: &str, what: impl Display) {
    let line = format!("{} {area}: {what}\n", Timestamp(SystemTime::now()));
    // One call: standard error has no buffer, and the lines of two threads must not mix.
    let _ = std::io::stderr().write_all(line.as_bytes());
}
