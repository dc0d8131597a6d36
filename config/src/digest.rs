//! One name for a whole config: the SHA-256 of its canonical encoding.

use sha2::{Digest, Sha256};

use crate::config::Config;

impl Config {
    /// The model as JSON, the same bytes for the same model: maps are sorted by name, fields stand in the order
    /// of the types, numbers are in their shortest form.
    pub fn canonical_json(&self) -> Vec<u8> {
        // Encoding fails for maps whose keys are no text and for custom errors only; the model has neither
        // (a path that is not UTF-8 is written lossily). `tests/it/files.rs` holds it for every sample.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// SHA-256 of [`canonical_json`](Self::canonical_json), in lower-case hex.
    pub fn digest(&self) -> String {
        Sha256::digest(self.canonical_json()).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
