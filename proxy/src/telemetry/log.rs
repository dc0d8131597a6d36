//! Events for people, on standard error: what changed and why. Requests are in the access log.

use std::fmt::Display;
use std::io::Write;
use std::time::SystemTime;

use super::timestamp::Timestamp;

/// Writes one line: time, area, what happened. A closed standard error is no reason to stop serving.
pub fn event(area: &str, what: impl Display) {
    let _ = writeln!(std::io::stderr(), "{} {area}: {what}", Timestamp(SystemTime::now()));
}
