//! From files to a snapshot: read, validate, compile, put in force; and again whenever they change.

use std::path::Path;
use std::time::Duration;

use causeway_config::{Config, Source, Strictness};
use notify::{RecursiveMode, Watcher};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// A validated config and the text it came from.
pub struct Read {
    /// The model.
    pub config: Config,
    /// What validation warned of, a text each.
    pub warnings: Vec<String>,
    /// The files, for the last good copy.
    pub sources: Vec<Source>,
}

/// Reads and validates a folder or a file. The error is the whole report.
pub fn read(path: &Path) -> Result<Read, String> {
    let sources = causeway_config::read_path(path).map_err(|report| report.to_string())?;
    check(sources)
}

/// Validates sources.
pub fn check(sources: Vec<Source>) -> Result<Read, String> {
    let loaded = causeway_config::load(&sources, Strictness::Proxy).map_err(|report| report.to_string())?;
    if loaded.config.gateways.is_empty() {
        return Err("there is no Gateway, so nothing to listen on: add one".to_owned());
    }
    let warnings = loaded.warnings.problems().map(ToString::to_string).collect();
    Ok(Read { config: loaded.config, warnings, sources })
}

/// After the first event: how long the files must be still. Editors and `git checkout` write several files, and
/// an editor's "save" is a rename or two.
const SETTLE: Duration = Duration::from_millis(100);

/// At most this long after the first event the files are read even if they are not still.
const LATEST: Duration = Duration::from_millis(500);

/// Where events are not to be had (network file systems, watch limits), and as a net below them: the files are
/// compared this often.
const POLL: Duration = Duration::from_secs(5);

/// Tells when the files may have changed.
pub struct Watch {
    events: UnboundedReceiver<()>,
    // Watching ends when it is dropped.
    _watcher: Option<notify::RecommendedWatcher>,
}

impl Watch {
    /// Watches a folder or a file. Without events from the system it falls back to looking every 5 s.
    pub fn new(path: &Path) -> Watch {
        let (sender, events) = unbounded_channel();
        let handler = move |event: notify::Result<notify::Event>| {
            if event.is_ok_and(|event| !event.kind.is_access()) {
                let _ = sender.send(());
            }
        };
        // A file is watched through its folder: a rename over it would end a watch on the file itself.
        let folder = if path.is_dir() { path } else { path.parent().unwrap_or(path) };
        let watcher = notify::recommended_watcher(handler)
            .and_then(|mut watcher| watcher.watch(folder, RecursiveMode::NonRecursive).map(|()| watcher));
        let watcher = watcher
            .inspect_err(|e| {
                crate::telemetry::log::event(
                    "config",
                    format_args!("cannot watch {}: {e}", folder.display()),
                );
            })
            .ok();
        Watch { events, _watcher: watcher }
    }

    /// Returns when it is time to look at the files.
    pub async fn changed(&mut self) {
        if tokio::time::timeout(POLL, self.events.recv()).await.is_err() {
            return;
        }
        let latest = tokio::time::Instant::now() + LATEST;
        loop {
            let still = tokio::time::timeout(SETTLE, self.events.recv());
            match tokio::time::timeout_at(latest, still).await {
                Ok(Ok(Some(()))) => {}
                _ => return,
            }
        }
    }
}
