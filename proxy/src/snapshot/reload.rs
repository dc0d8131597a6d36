//! From changed files, or endpoints found elsewhere, to a new snapshot in force: everything that can fail first,
//! then what cannot.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::SystemTime;

use causeway_config::{Config, Source};

use super::cell::Retired;
use super::compile::{self, compile, compile_endpoints};
use super::from_file;
use super::{Dial, PortKey, Snapshot, last_good};
use crate::health::HealthInput;
use crate::listen::bind::{bind_ports, hand_out};
use crate::settings::Settings;
use crate::shared::Shared;
use crate::telemetry::access_log::AccessLog;
use crate::telemetry::{log, metrics};
use crate::tls::pem::{self, Stamp};
use crate::upstream::discover::{Discovered, Discovery, first_look, kept};
use crate::worker::Mail;

/// Loads the files again when they changed.
pub struct Reloader {
    settings: Settings,
    shared: Arc<Shared>,
    current: Arc<Snapshot>,
    retired: Retired,
    discovery: Discovery,
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
        let mut discovery = Discovery::new(shared.discovery.clone());
        discovery.follow(&current.config);
        let reloader = Reloader { settings, shared, current, retired: Retired::default(), discovery, seen };
        reloader.keep_endpoints(&reloader.discovery.board().discovered(&reloader.current.config));
        reloader
    }

    /// The snapshot in force.
    pub fn current(&self) -> &Snapshot {
        &self.current
    }

    /// Returns when other endpoints are to be served than before: then call [`rediscover`](Self::rediscover).
    pub async fn endpoints_changed(&mut self) {
        self.discovery.changed().await;
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
        match self.take_up(path).await {
            Ok(sources) => {
                self.seen = Some(look(&sources, &self.current));
                if let Err(e) = last_good::save(&self.settings.state_dir, &sources) {
                    log::event("config", format_args!("cannot keep the last good config: {e}"));
                }
                self.discovery.follow(&self.current.config);
                self.keep_endpoints(&self.discovery.board().discovered(&self.current.config));
            }
            Err(refusal) => {
                let error = match refusal {
                    Refusal::ByText(error) => error,
                    Refusal::ByWorld(error) => {
                        // A busy port, a missing certificate, a name server that is away: worth another look
                        // although no file of ours changes.
                        self.seen = None;
                        error
                    }
                };
                self.refuse(error);
                self.discovery.follow(&self.current.config);
            }
        }
        self.shared.registry.sweep();
    }

    /// Reads, compiles and puts in force.
    async fn take_up(&mut self, path: PathBuf) -> Result<Vec<Source>, Refusal> {
        let lost = |e| Refusal::ByText(format!("compiling the config failed: {e}"));
        // Off this thread: compiling thousands of endpoints must not keep the admin address waiting.
        let read = tokio::task::spawn_blocking(move || from_file::read(&path)).await.map_err(lost)?;
        let read = read.map_err(Refusal::ByText)?;
        let board = self.discovery.board();
        first_look(board, &read.config).await;
        if let Some(missing) = board.missing(&read.config) {
            return Err(Refusal::ByWorld(missing));
        }
        let discovered = board.discovered(&read.config);
        let (registry, current) = (self.shared.registry.clone(), self.current.clone());
        let compiled =
            tokio::task::spawn_blocking(move || compile(read.config, &discovered, &registry, Some(&current)));
        let snapshot = compiled.await.map_err(lost)?.map_err(Refusal::ByWorld)?;
        self.put_in_force(snapshot, read.warnings).map_err(Refusal::ByWorld)?;
        Ok(read.sources)
    }

    /// Puts the endpoints in force that discovery has found since.
    pub async fn rediscover(&mut self) {
        let discovered = self.discovery.board().discovered(&self.current.config);
        let (registry, current) = (self.shared.registry.clone(), self.current.clone());
        let compiled = tokio::task::spawn_blocking(move || {
            let snapshot = compile_endpoints(&current, &discovered, &registry);
            (snapshot, discovered)
        });
        let (snapshot, discovered) = match compiled.await {
            Ok((Ok(snapshot), discovered)) => (snapshot, discovered),
            Ok((Err(error), _)) => return log::event("discovery", error),
            Err(error) => return log::event("discovery", format_args!("compiling failed: {error}")),
        };
        let changes: Vec<String> = changes(&self.current, &snapshot).collect();
        if !changes.is_empty() {
            // A reload may have taken the same endpoints up already.
            self.swap(Arc::new(snapshot));
            for change in changes {
                log::event("discovery", change);
            }
            self.keep_endpoints(&discovered);
        }
        self.shared.registry.sweep();
    }

    fn keep_endpoints(&self, discovered: &Discovered) {
        let config = &self.current.config;
        if config.clusters.values().any(|cluster| cluster.discovery.is_some())
            && let Err(e) = kept::save(&self.settings.state_dir, config, discovered)
        {
            log::event("discovery", format_args!("cannot keep the endpoints: {e}"));
        }
    }

    /// Everything that can fail comes first; what follows cannot.
    fn put_in_force(&mut self, snapshot: Snapshot, warnings: Vec<String>) -> Result<(), String> {
        let held: Vec<PortKey> = self.current.ports.iter().map(|port| port.key).collect();
        let bound = bind_ports(&snapshot, &held, self.shared.workers)?;
        let log_target = AccessLog::prepare(&snapshot.config.proxy.access_log)?;

        let snapshot = Arc::new(snapshot);
        self.shared.access_log.apply(log_target);
        self.swap(snapshot.clone());
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
        metrics::config_applied();
        let mut status = self.shared.config_status.lock().unwrap_or_else(PoisonError::into_inner);
        status.applied += 1;
        status.error = None;
        status.warnings = warnings;
        status.applied_at = Some(SystemTime::now());
        status.from_last_good = false;
        Ok(())
    }

    /// Serves by another snapshot from now on. It cannot fail.
    fn swap(&mut self, snapshot: Arc<Snapshot>) {
        self.shared.snapshots.store(snapshot.clone());
        self.shared.health.send(HealthInput::Reconfigure(snapshot.clone()));
        self.shared.mail(|| Mail::Snapshot(snapshot.clone()));
        self.retired.keep(std::mem::replace(&mut self.current, snapshot));
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

/// What the endpoints of each cluster became, for people.
fn changes<'a>(before: &'a Snapshot, after: &'a Snapshot) -> impl Iterator<Item = String> + 'a {
    // The same config, and so the same clusters.
    let other = before.clusters.iter().zip(&after.clusters).filter(|(old, new)| !Arc::ptr_eq(old, new));
    other.map(|(old, new)| {
        let addresses = |dial: &Dial| -> HashSet<Arc<str>> {
            dial.targets.iter().map(|target| target.state.address.clone()).collect()
        };
        let (was, is) = (addresses(old), addresses(new));
        let (came, left) = (is.difference(&was).count(), was.difference(&is).count());
        format!("{}: {} endpoints, {came} new, {left} gone; version {}", new.name, is.len(), after.version)
    })
}

fn look(sources: &[Source], current: &Snapshot) -> Seen {
    let part = |source: &&Source| from_file::is_configuration(&current.config, source);
    Seen {
        texts: sources.iter().filter(part).map(|s| (s.name.clone(), s.text.clone())).collect(),
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
    let ours = listeners.filter_map(|listener| listener.tls.as_ref()).flat_map(compile::listener_files);
    let clusters = config.clusters.values().filter_map(|cluster| cluster.tls.as_ref());
    let theirs = clusters.flat_map(|tls| [&tls.ca_file, &tls.cert_file, &tls.key_file]).flatten();
    ours.chain(theirs.map(PathBuf::as_path)).collect()
}
