//! The endpoints last served, on disk, beside the last good config: a restart while the DNS is down serves them.
//!
//! Kept in the form of a file of endpoints, so that it is validated by the present version's rules and a person can
//! read it.

use std::fs;
use std::io;
use std::path::Path;

use causeway_config::{Config, Source, load_endpoints};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::board::{Discovered, Endpoints, sources};
use crate::snapshot::last_good::write_whole;

const FILE: &str = "last-good-endpoints.json";

/// What was served from one source.
pub struct Kept {
    /// Name of the `Cluster`.
    pub cluster: String,
    /// Its source, as [`causeway_config::Discovery`] is shown.
    pub source: String,
    /// What it gave.
    pub endpoints: Endpoints,
}

#[derive(Serialize, Deserialize)]
struct File {
    clusters: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    cluster: String,
    source: String,
    endpoints: Value,
}

/// Keeps what is served.
pub fn save(state_dir: &Path, config: &Config, discovered: &Discovered) -> io::Result<()> {
    let entry = |source: super::Source| {
        let endpoints = serde_json::to_value(&**discovered.get(&source.cluster)?);
        Some(endpoints.map(|endpoints| Entry {
            source: source.spec.to_string(),
            cluster: source.cluster,
            endpoints,
        }))
    };
    let clusters: Vec<Entry> = sources(config).filter_map(entry).collect::<Result<_, _>>()?;
    write_whole(state_dir, FILE, &serde_json::to_vec(&File { clusters })?)
}

/// What was kept in `state_dir`, nothing if nothing was.
///
/// # Errors
/// What cannot be read, which is a pity and no reason not to start.
pub fn load(state_dir: &Path) -> Result<Vec<Kept>, String> {
    let path = state_dir.join(FILE);
    let fail = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(fail(&e)),
    };
    let file: File = serde_json::from_slice(&text).map_err(|e| fail(&e))?;
    let kept = |entry: Entry| {
        let source = Source::new(path.display().to_string(), entry.endpoints.to_string());
        let endpoints = load_endpoints(&source).map_err(|report| report.to_string())?;
        Ok(Kept { cluster: entry.cluster, source: entry.source, endpoints: endpoints.into() })
    };
    file.clusters.into_iter().map(kept).collect()
}

#[cfg(test)]
mod tests {
    use causeway_config::Strictness;

    use super::*;

    #[test]
    fn what_is_saved_is_loaded_again_and_a_torn_file_is_an_error_with_its_path() {
        let dir = tempfile::tempdir().unwrap();
        assert!(load(dir.path()).unwrap().is_empty());
        let text = "{apiVersion: mesh.macleodlabs.io/v1, kind: Cluster, metadata: {name: a}, spec: {discovery: {dns: {name: a.b, port: 80}}}}";
        let config =
            causeway_config::load(&[Source::new("a.yaml", text)], Strictness::Validate).unwrap().config;
        let list = "[{address: \"10.0.0.1:80\", weight: 3, version: v2}, {address: \"[::1]:80\"}]";
        let endpoints: Endpoints = load_endpoints(&Source::new("e.yaml", list)).unwrap().into();
        let others: Discovered = [("a", endpoints.clone()), ("gone", endpoints.clone())]
            .map(|(name, endpoints)| (name.to_owned(), endpoints))
            .into();
        save(dir.path(), &config, &others).unwrap();
        let kept = load(dir.path()).unwrap();
        assert_eq!(kept.len(), 1);
        assert_eq!((kept[0].cluster.as_str(), kept[0].source.as_str()), ("a", "dns A a.b:80"));
        assert_eq!(kept[0].endpoints, endpoints);

        fs::write(dir.path().join(FILE), b"{\"clusters\": [").unwrap();
        assert!(load(dir.path()).is_err_and(|error| error.contains(FILE)));
    }
}
