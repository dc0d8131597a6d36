//! What came of the battery, as it is committed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::run::Failures;
use crate::target::Target;

/// Everything that `docs/conformance.md` is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Results {
    /// The checks that were run.
    pub checks: BTreeSet<String>,
    /// Of each target.
    pub targets: BTreeMap<Target, Run>,
    /// Of each mutant, by name.
    pub mutants: BTreeMap<String, Mutant>,
}

/// One target's run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// What its program says of its version.
    pub version: String,
    /// What was wrong, by check.
    pub failures: Failures,
}

/// One mutant's run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mutant {
    /// Where the fault was put.
    pub file: String,
    /// The checks that fail on it and not on our proxy as it is.
    pub killed_by: BTreeSet<String>,
}

impl Results {
    /// Where they lie.
    pub fn path() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("results.json")
    }

    /// Reads them.
    ///
    /// # Errors
    /// They are not there, or none.
    pub fn read() -> Result<Results, String> {
        let path = Results::path();
        let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        serde_json::from_str(&text).map_err(|e| format!("{}: {e}", path.display()))
    }

    /// Writes them.
    ///
    /// # Errors
    /// The disk's.
    pub fn write(&self) -> Result<(), String> {
        let path = Results::path();
        let text = serde_json::to_string_pretty(self).map_err(|e| e.to_string())?;
        std::fs::write(&path, text + "\n").map_err(|e| format!("{}: {e}", path.display()))
    }

    /// The checks that nothing has failed, of the peers and the mutants.
    pub fn never_failed(&self) -> Vec<&str> {
        let on_targets = self.targets.values().flat_map(|run| run.failures.keys());
        let on_mutants = self.mutants.values().flat_map(|mutant| &mutant.killed_by);
        let failed: BTreeSet<&String> = on_targets.chain(on_mutants).collect();
        self.checks.iter().filter(|id| !failed.contains(id)).map(String::as_str).collect()
    }
}
