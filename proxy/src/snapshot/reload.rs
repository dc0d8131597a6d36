//! From changed files to a new snapshot in force: everything that can fail first, then what cannot.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::SystemTime;

use causeway_config::{Config, Source};

use super::cell::Retired;
use super::compile::compile;
use super::from_file;
use super::{PortKey, Snapshot, last_good};
use crate::health::HealthInput;
use crate::listen::bind::{bind_ports, hand_out};
use crate::settings::Settings;
use crate::shared::Shared;
use crate::telemetry::access_log::AccessLog;
use crate::telemetry::{log, metrics};
use crate::tls::pem::{self, Stamp};
use crate::worker::Mail;

/// Loads the files again when they changed.
pub struct Reloader {
    settings: Settings,
    shared: Arc<Shared>,
    current: Arc<Snapshot>,
    retired: Retired,
    /// What was last looked at, taken or refused for what it says.
    seen: Option<Seen>,
}

/// Who wants the files looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// The file system, or the clock.
    ByChange,
    /// Somebody who sent SIGHUP: also if nothing changed.
    ByOperator,
}

impl Reloader {
    /// Starts from the snapshot in force. `sources` is what it was compiled from: files that changed since are
    /// news. Where that is the last good copy, the files themselves have not been looked at with success, and to
    /// find in them what is in force already is news too: the error is over.
    pub fn new(
        settings: Settings,
        shared: Arc<Shared>,
        current: Arc<Snapshot>,
        sources: &[Source],
    ) -> Reloader {
        let from_files = !shared.config_status.lock().unwrap_or_else(PoisonError::into_inner).from_last_good;
        let seen = from_files.then(|| look(sources, &current));
        Reloader { settings, shared, current, retired: Retired::default(), seen }
    }

    /// The snapshot in force.
    pub fn current(&self) -> &Snapshot {
        &self.current
    }

    /// Looks at the files and, if they changed, puts them in force or says why not.
    pub async fn reload(&mut self, asked: Asked) {
        // Every few seconds, as the clock asks too.
        if self.retired.sweep() {
            self.shared.registry.sweep();
        }
        let path = self.settings.config.clone();
        // An unreadable folder is looked at each time: its error may change.
        if let Ok(sources) = causeway_config::read_path(&path) {
            let found = Some(look(&sources, &self.current));
            if found == self.seen && asked == Asked::ByChange {
                return;
            }
            self.seen = found;
        }
        let (registry, current) = (self.shared.registry.clone(), self.current.clone());
        // Off this thread: compiling thousands of endpoints must not keep the admin address waiting.
        let compiled = tokio::task::spawn_blocking(move || {
            let read = from_file::read(&path).map_err(Refusal::ByText)?;
            let snapshot = compile(read.config, &registry, Some(&current)).map_err(Refusal::ByWorld)?;
            Ok((snapshot, read.warnings, read.sources))
        });
        let lost = |e| Err(Refusal::ByText(format!("compiling the config failed: {e}")));
        let outcome = compiled.await.unwrap_or_else(lost);
        match outcome.and_then(|(snapshot, warnings, sources)| {
            self.put_in_force(snapshot, warnings).map_err(Refusal::ByWorld)?;
            Ok(sources)
        }) {
            Ok(sources) => {
                self.seen = Some(look(&sources, &self.current));
                if let Err(e) = last_good::save(&self.settings.state_dir, &sources) {
                    log::event("config", format_args!("cannot keep the last good config: {e}"));
                }
            }
            Err(Refusal::ByText(error)) => self.refuse(error),
            Err(Refusal::ByWorld(error)) => {
                // A busy port, a missing certificate: worth another look although no file of ours changes.
                self.seen = None;
                self.refuse(error);
            }
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
        self.retired.keep(std::mem::replace(&mut self.current, snapshot));
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
        let mut status = self.shared.config_status.lock().unwrap_or_else(PoisonError::into_inner);
        if status.error.as_ref() == Some(&error) {
            return;
        }
        log::event("config", format_args!("refused, the one before stays in force:\n{error}"));
        metrics::config_refused();
        status.refused += 1;
        status.error = Some(error);
    }
}

/// Why a config was not put in force.
enum Refusal {
    /// For what it says: the same text will be refused again.
    ByText(String),
    /// For something around it.
    ByWorld(String),
}

fn look(sources: &[Source], current: &Snapshot) -> Seen {
    Seen {
        texts: sources.iter().map(|source| (source.name.clone(), source.text.clone())).collect(),
        certificates: pem::stamps(certificate_files(&current.config)),
    }
}

/// What decides whether there is anything to do: the text, and the state of the certificate files it names.
#[derive(PartialEq)]
struct Seen {
    texts: Vec<(String, String)>,
    certificates: Vec<Stamp>,
}

/// The files with certificates and keys that a config names.
fn certificate_files(config: &Config) -> Vec<&Path> {
    let listeners = config.gateways.values().flat_map(|gateway| &gateway.listeners);
    let ours = listeners
        .filter_map(|listener| listener.tls.as_ref())
        .flat_map(|tls| [&tls.cert_file, &tls.key_file]);
    let clusters = config.clusters.values().filter_map(|cluster| cluster.tls.as_ref());
    let theirs = clusters.flat_map(|tls| [&tls.ca_file, &tls.cert_file, &tls.key_file]).flatten();
    ours.chain(theirs).map(PathBuf::as_path).collect()
}
