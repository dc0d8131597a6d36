//! The sources of looked-up endpoints, as parts of `/clusters` and `/config`.

use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::upstream::discover::Status;

/// One source. Times are in milliseconds from now.
#[derive(Serialize)]
pub(super) struct SourceEntry {
    /// The `Cluster`.
    pub cluster: String,
    /// Where its endpoints are looked up.
    pub source: String,
    /// How many are served.
    pub endpoints: usize,
    /// They were found by an earlier process and have not been confirmed since.
    pub from_last_good: bool,
    /// Failures since the last success; while there are any, what was found before is served.
    pub failures: u32,
    /// Why the last lookup failed, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Age of the last success of this process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_success_ms: Option<u64>,
    /// When it is looked up again; absent = when it changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_in_ms: Option<u64>,
}

impl SourceEntry {
    /// As it stands at `now`.
    pub fn new(status: &Status, now: SystemTime) -> SourceEntry {
        let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        SourceEntry {
            cluster: status.cluster.clone(),
            source: status.source.clone(),
            endpoints: status.endpoints,
            from_last_good: status.from_last_good,
            failures: status.failures,
            error: status.error.clone(),
            // A clock that was set back makes it new, not old.
            last_success_ms: status.succeeded_at.map(|at| millis(now.duration_since(at).unwrap_or_default())),
            next_in_ms: status.next_in.map(millis),
        }
    }

    /// What is wrong with it, for a line of text; `None` = nothing.
    pub fn trouble(&self) -> Option<String> {
        let error = self.error.as_deref()?;
        let age = match self.last_success_ms {
            Some(ms) => format!("last found {:.1}s ago", ms as f64 / 1000.0),
            None if self.from_last_good => "found by an earlier process".to_owned(),
            None => "never found".to_owned(),
        };
        let error = error.lines().next().unwrap_or_default();
        Some(format!("{} ({}): {error}; {} endpoints, {age}", self.cluster, self.source, self.endpoints))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_in_trouble_says_how_old_its_endpoints_are() {
        let now = SystemTime::now();
        let mut status = Status {
            cluster: "east".into(),
            source: "dns A a.b:80".into(),
            endpoints: 3,
            totals: (5, 2),
            failures: 2,
            error: Some("SERVFAIL".into()),
            from_last_good: false,
            succeeded_at: Some(now - Duration::from_secs(61)),
            next_in: Some(Duration::from_millis(1500)),
        };
        let entry = SourceEntry::new(&status, now);
        let expected = serde_json::json!({
            "cluster": "east", "source": "dns A a.b:80", "endpoints": 3, "from_last_good": false, "failures": 2,
            "error": "SERVFAIL", "last_success_ms": 61_000, "next_in_ms": 1500,
        });
        assert_eq!(serde_json::to_value(&entry).unwrap(), expected);
        let trouble = "east (dns A a.b:80): SERVFAIL; 3 endpoints, last found 61.0s ago";
        assert_eq!(entry.trouble().as_deref(), Some(trouble));
        (status.succeeded_at, status.from_last_good) = (None, true);
        assert!(SourceEntry::new(&status, now).trouble().unwrap().ends_with("found by an earlier process"));
        status.error = None;
        assert_eq!(SourceEntry::new(&status, now).trouble(), None);
    }
}
