//! The last config that took effect, on disk: a restart with a bad file in place serves it.
//!
//! The text is kept, not the model: it is validated and compiled anew, by the present version's rules, and a
//! person can read it. Written to a temporary file, synced, then renamed: whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use causeway_config::Source;
use serde::{Deserialize, Serialize};

const FILE: &str = "last-good.json";

#[derive(Serialize, Deserialize)]
struct Kept {
    sources: Vec<KeptSource>,
}

#[derive(Serialize, Deserialize)]
struct KeptSource {
    name: String,
    base: PathBuf,
    text: String,
}

/// Keeps `sources` in `state_dir`.
pub fn save(state_dir: &Path, sources: &[Source]) -> io::Result<()> {
    let sources = sources.iter().map(|source| KeptSource {
        name: source.name.clone(),
        base: source.base.clone(),
        text: source.text.clone(),
    });
    let kept = serde_json::to_vec(&Kept { sources: sources.collect() }).map_err(io::Error::other)?;
    write_whole(state_dir, FILE, &kept)
}

/// Writes a file of `state_dir`, whole or not at all, whatever happens meanwhile.
pub(crate) fn write_whole(state_dir: &Path, name: &str, content: &[u8]) -> io::Result<()> {
    fs::create_dir_all(state_dir)?;
    let temporary = state_dir.join(format!("{name}.{}.tmp", std::process::id()));
    // Header edits may hold credentials.
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&temporary, state_dir.join(name))?;
    File::open(state_dir)?.sync_all()
}

/// What was kept in `state_dir`; `None` if nothing was.
pub fn load(state_dir: &Path) -> Result<Option<Vec<Source>>, String> {
    let path = state_dir.join(FILE);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(format!("{}: {e}", path.display())),
    };
    let kept: Kept = serde_json::from_slice(&text).map_err(|e| format!("{}: {e}", path.display()))?;
    let sources =
        kept.sources.into_iter().map(|kept| Source { name: kept.name, base: kept.base, text: kept.text });
    Ok(Some(sources.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_saved_is_loaded_again() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        assert!(load(&state).unwrap().is_none());
        let source = Source { name: "a.yaml".into(), base: "/etc/x".into(), text: "kind: X\n".into() };
        save(&state, std::slice::from_ref(&source)).unwrap();
        let loaded = load(&state).unwrap().unwrap();
        assert_eq!(
            (&loaded[0].name, &loaded[0].base, &loaded[0].text),
            (&source.name, &source.base, &source.text)
        );
    }

    #[test]
    fn a_torn_file_is_an_error_with_its_path_and_no_panic() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILE), b"{\"sources\": [").unwrap();
        assert!(load(dir.path()).unwrap_err().contains(FILE));
    }
}
