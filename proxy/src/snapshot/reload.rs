//! From changed files to a new snapshot in force: everything that can fail first, then what cannot.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::SystemTime;

use causeway_config::{Config, Source};

use super::compile::compile;
use super::from_file;
use super::{PortKey, Snapshot, last_good};
use crate::health::HealthInput;
use crate::listen::bind::{bind_ports, hand_out};
use crate::settings::Settings;
use crate::shared::Shared;
use crate::telemetry::access_log::AccessLog;
use crate::telemetry::{log, metrics};
use crate::worker::Mail;

/// Loads the files again when they changed.
pub struct Reloader {
    settings: Settings,
    shared: Arc<Shared>,
    current: Arc<Snapshot>,
    /// What was last looked at, taken or refused.
    seen: Option<Seen>,
}

impl Reloader {
    /// Starts from the snapshot in force.
    pub fn new(settings: Settings, shared: Arc<Shared>, current: Arc<Snapshot>) -> Reloader {
        let mut reloader = Reloader { settings, shared, current, seen: None };
        reloader.remember();
        reloader
    }

    /// The snapshot in force.
    pub fn current(&self) -> &Snapshot {
        &self.current
    }

    /// Notes the present text as seen.
    fn remember(&mut self) {
        self.seen = causeway_config::read_path(&self.settings.config).ok().map(|sources| self.look(&sources));
    }

    fn look(&self, sources: &[Source]) -> Seen {
        let stamp = |path: PathBuf| {
            let found = std::fs::metadata(&path).ok();
            let stamp = found.and_then(|found| Some((found.modified().ok()?, found.len())));
            (path, stamp)
        };
        Seen {
            texts: sources.iter().map(|source| (source.name.clone(), source.text.clone())).collect(),
            certificates: certificate_files(&self.current.config).into_iter().map(stamp).collect(),
        }
    }

    /// Looks at the files and, if they changed, puts them in force or says why not.
    pub async fn reload(&mut self) {
        let path = self.settings.config.clone();
        // An unreadable folder is looked at each time: its error may change.
        if let Ok(sources) = causeway_config::read_path(&path) {
            let found = Some(self.look(&sources));
            if found == self.seen {
                return;
            }
            self.seen = found;
        }
        let (registry, current) = (self.shared.registry.clone(), self.current.clone());
        // Off this thread: compiling thousands of endpoints must not keep the admin address waiting.
        let compiled = tokio::task::spawn_blocking(move || {
            let read = from_file::read(&path)?;
            let snapshot = compile(read.config, &registry, Some(&current))?;
            Ok((snapshot, read.warnings, read.sources))
        });
        let outcome = compiled.await.unwrap_or_else(|e| Err(format!("compiling the config failed: {e}")));
        match outcome.and_then(|(snapshot, warnings, sources)| {
            self.put_in_force(snapshot, warnings)?;
            Ok(sources)
        }) {
            Ok(sources) => {
                if let Err(e) = last_good::save(&self.settings.state_dir, &sources) {
                    log::event("config", format_args!("cannot keep the last good config: {e}"));
                }
            }
            Err(error) => self.refuse(error),
        }
        self.shared.registry.sweep();
    }

    /// Everything that can fail comes first; what follows cannot.
    fn put_in_force(&mut self, snapshot: Snapshot, warnings: Vec<String>) -> Result<(), String> {
        let held: Vec<PortKey> = self.current.ports.iter().map(|port| port.key).collect();
        let bound = bind_ports(&snapshot, &held, self.shared.workers)?;
        let log_target = AccessLog::prepare(&snapshot.config.proxy.access_log)?;

        let snapshot = Arc::new(snapshot);
        self.shared.access_log.apply(log_target);
        self.shared.snapshots.store(snapshot.clone());
        self.shared.health.send(HealthInput::Reconfigure(snapshot.clone()));
        self.shared.mail(|| Mail::Snapshot(snapshot.clone()));
        hand_out(&self.shared, bound);
        for key in held.into_iter().filter(|key| snapshot.port(*key).is_none()) {
            self.shared.mail(|| Mail::Unlisten(key));
        }
        for warning in &warnings {
            log::event("config", warning);
        }
        log::event(
            "config",
            format_args!("version {} ({}) is in force", snapshot.version, &snapshot.digest[..12]),
        );
        self.current = snapshot;
        metrics::config_applied();
        let mut status = self.shared.config_status.lock().unwrap_or_else(PoisonError::into_inner);
        status.applied += 1;
        status.error = None;
        status.warnings = warnings;
        status.applied_at = Some(SystemTime::now());
        status.from_last_good = false;
        Ok(())
    }

    fn refuse(&self, error: String) {
        log::event("config", format_args!("refused, the one before stays in force:\n{error}"));
        metrics::config_refused();
        let mut status = self.shared.config_status.lock().unwrap_or_else(PoisonError::into_inner);
        status.refused += 1;
        status.error = Some(error);
    }
}

/// What decides whether there is anything to do: the text, and the state of the certificate files it names.
#[derive(PartialEq)]
struct Seen {
    texts: Vec<(String, String)>,
    certificates: Vec<(PathBuf, Option<(SystemTime, u64)>)>,
}

/// The files with certificates and keys that a config names.
fn certificate_files(config: &Config) -> Vec<PathBuf> {
    let listeners = config.gateways.values().flat_map(|gateway| &gateway.listeners);
    let ours = listeners
        .filter_map(|listener| listener.tls.as_ref())
        .flat_map(|tls| [&tls.cert_file, &tls.key_file]);
    let clusters = config.clusters.values().filter_map(|cluster| cluster.tls.as_ref());
    let theirs = clusters.flat_map(|tls| [&tls.ca_file, &tls.cert_file, &tls.key_file]).flatten();
    ours.chain(theirs).cloned().collect()
}
