//! How durations and paths are written in the canonical encoding: as a person would write them in the file.
//!
//! serde's own forms are `{"secs":1,"nanos":0}`, which nobody reads, and an error for a path that is not UTF-8.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serializer;

pub(crate) fn duration<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&Text(*value))
}

pub(crate) fn optional_duration<S: Serializer>(
    value: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => duration(value, serializer),
        None => serializer.serialize_none(),
    }
}

pub(crate) fn path<S: Serializer>(value: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&value.to_string_lossy())
}

pub(crate) fn optional_path<S: Serializer>(
    value: &Option<PathBuf>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => path(value, serializer),
        None => serializer.serialize_none(),
    }
}

/// A duration as the files write it: `1m30s`, `500ms`, `0s`. What a file can hold comes back unchanged.
pub(crate) struct Text(pub(crate) Duration);

impl std::fmt::Display for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let whole = self.0.as_secs();
        let nanos = self.0.subsec_nanos();
        if self.0.is_zero() {
            return f.write_str("0s");
        }
        for (amount, unit) in [(whole / 3600, "h"), (whole / 60 % 60, "m"), (whole % 60, "s")] {
            if amount > 0 {
                write!(f, "{amount}{unit}")?;
            }
        }
        if nanos > 0 && nanos.is_multiple_of(1_000_000) {
            write!(f, "{}ms", nanos / 1_000_000)?;
        } else if nanos > 0 {
            write!(f, "{nanos}ns")?;
        }
        Ok(())
    }
}
