//! Endpoints from a file, read again whenever it changes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use causeway_config::{Source, load_endpoints, read_path};
use causeway_proxy_policy::discovery::Found;

use super::Look;
use crate::snapshot::watch::Watch;

/// Reads the file once.
pub async fn look(path: &Path) -> Look {
    read(path).await.map_or_else(Look::failed, |source| parse(&source))
}

/// Off the control thread: a file on a dead network mount must not stop signals and admin pages.
async fn read(path: &Path) -> Result<Source, String> {
    let owned = path.to_owned();
    let read = tokio::task::spawn_blocking(move || {
        if owned.is_dir() {
            return Err(format!("{}: is a folder: name the file in it", owned.display()));
        }
        let mut sources = read_path(&owned).map_err(|report| report.to_string())?;
        sources.pop().ok_or_else(|| format!("{}: cannot be read", owned.display()))
    });
    read.await.unwrap_or_else(|e| Err(format!("{}: {e}", path.display())))
}

fn parse(source: &Source) -> Look {
    match load_endpoints(source) {
        Ok(endpoints) => Look { found: Found::All(endpoints.into()), ttl: Duration::ZERO, error: None },
        Err(report) => Look::failed(report.to_string()),
    }
}

/// A file that is watched.
pub struct Followed {
    path: PathBuf,
    watch: Watch,
    /// What it last held, and what that means: it is compared every few seconds, and a long list costs.
    last: Option<(Source, Look)>,
}

impl Followed {
    /// Watches the file from now on; the first [`next`](Self::next) is what it holds now.
    pub fn new(path: &Path) -> Followed {
        Followed { path: path.to_owned(), watch: Watch::new(path), last: None }
    }

    /// Waits until it is time to look, and looks.
    pub async fn next(&mut self) -> Look {
        if self.last.is_some() {
            self.watch.changed().await;
        }
        let source = match read(&self.path).await {
            Ok(source) => source,
            Err(error) => {
                self.last = Some((Source::new("", ""), Look::failed(error.clone())));
                return Look::failed(error);
            }
        };
        match &self.last {
            Some((before, look)) if *before == source => look.clone(),
            _ => {
                let look = parse(&source);
                self.last = Some((source, look.clone()));
                look
            }
        }
    }
}
