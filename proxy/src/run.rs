//! Start-up, reload, shutdown: the life of the process.
//!
//! Threads: the workers (one a core), the health thread, the access log's writer, and this one, which reads
//! config, answers the admin address and hears signals. Nothing a request needs waits for this thread.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use causeway_config::{Config, Source};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::LocalSet;

use crate::admin;
use crate::health::{self, HealthHandle, HealthInput};
use crate::listen::bind::bind_shared;
use crate::settings::Settings;
use crate::shared::{ConfigStatus, Shared};
use crate::snapshot::cell::SnapshotCell;
use crate::snapshot::compile::compile;
use crate::snapshot::from_file::{self, Read, Watch};
use crate::snapshot::{PortKey, Snapshot, last_good};
use crate::telemetry::access_log::AccessLog;
use crate::telemetry::{log, metrics, panics};
use crate::upstream::cell::Limit;
use crate::upstream::registry::Registry;
use crate::worker::{Mail, Mailboxes, Worker};

/// Where the admin endpoint is when nobody says otherwise.
const DEFAULT_ADMIN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9901);

/// While draining: how long idle connections stay open, so that a request that is on its way still gets its answer.
const IDLE_GRACE: Duration = Duration::from_secs(1);

/// Runs a proxy until it is told to stop.
pub fn run(settings: Settings) -> ExitCode {
    panics::install_hook();
    match start(settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::event("fatal", error);
            ExitCode::FAILURE
        }
    }
}

fn start(settings: Settings) -> Result<(), String> {
    let prometheus = metrics::install()?;
    let (read, status) = first_config(&settings)?;
    let workers = read.config.proxy.workers.unwrap_or_else(default_workers).max(1);
    let registry = Arc::new(Registry::new(workers));
    let snapshot = Arc::new(compile(read.config, &registry, None)?);
    let access_log = AccessLog::start();
    access_log.configure(&snapshot.config.proxy.access_log)?;
    let ports = bind_ports(&snapshot, &[], workers)?;
    let admin = bind_admin(settings.admin.or(snapshot.config.proxy.admin))?;

    let (health, health_inputs) = HealthHandle::new();
    let shared = Arc::new(Shared {
        started: Instant::now(),
        workers,
        registry,
        snapshots: SnapshotCell::new(snapshot.clone()),
        downstream: Limit::default(),
        counters: Shared::counters(workers),
        mail: OnceLock::new(),
        health,
        access_log,
        draining: AtomicBool::new(false),
        config_status: Mutex::new(status),
    });
    start_workers(&shared, &snapshot, workers)?;
    let at_start = (shared.clone(), snapshot.clone());
    thread("health", move || local(health::run(at_start.0, at_start.1, health_inputs)))?;
    hand_out(&shared, ports);
    if !status_of(&shared).from_last_good
        && let Err(e) = last_good::save(&settings.state_dir, &read.sources)
    {
        log::event("config", format_args!("cannot keep the last good config: {e}"));
    }
    for port in &snapshot.ports {
        log::event(
            "listen",
            format_args!("{} ({})", port.key, if port.tls.is_some() { "HTTPS" } else { "HTTP" }),
        );
    }
    let admin_addr = admin.local_addr().map_err(|e| e.to_string())?;
    log::event("admin", format_args!("http://{admin_addr}"));
    local(control(settings, shared, admin, prometheus, snapshot))
}

/// The first config: the files', or the last good one where the files are bad.
fn first_config(settings: &Settings) -> Result<(Read, ConfigStatus), String> {
    let error = match from_file::read(&settings.config) {
        Ok(read) => {
            let warnings = read.warnings.clone();
            warnings.iter().for_each(|warning| log::event("config", warning));
            let status = ConfigStatus {
                applied: 1,
                warnings,
                applied_at: Some(SystemTime::now()),
                ..ConfigStatus::default()
            };
            metrics::config_applied();
            return Ok((read, status));
        }
        Err(error) => error,
    };
    metrics::config_refused();
    let kept = last_good::load(&settings.state_dir).unwrap_or_else(|e| {
        log::event("config", format_args!("the last good config cannot be read: {e}"));
        None
    });
    let Some(sources) = kept else { return Err(format!("no usable config:\n{error}")) };
    let read = from_file::check(sources).map_err(|e| {
        format!("no usable config:\n{error}\nand the last good one is not valid any more:\n{e}")
    })?;
    log::event("config", format_args!("{error}\nserving the last good config instead"));
    let status = ConfigStatus {
        refused: 1,
        error: Some(error),
        warnings: read.warnings.clone(),
        applied_at: Some(SystemTime::now()),
        from_last_good: true,
        ..ConfigStatus::default()
    };
    Ok((read, status))
}

/// The CPUs that this process may use.
fn default_workers() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

type Bound = Vec<(PortKey, Vec<TcpListener>)>;

/// Sockets for the ports of `snapshot` that are not in `held`: all of them, or none.
fn bind_ports(snapshot: &Snapshot, held: &[PortKey], workers: usize) -> Result<Bound, String> {
    let mut bound = Vec::new();
    for port in snapshot.ports.iter().filter(|port| !held.contains(&port.key)) {
        let sockets = bind_shared(port.key.0, workers).map_err(|e| {
            format!(
                "cannot listen on {}: {e}\n  choose another port in the Gateway, or end what uses it",
                port.key
            )
        })?;
        bound.push((port.key, sockets));
    }
    Ok(bound)
}

/// A busy default port is not worth failing for; a configured one is.
fn bind_admin(configured: Option<SocketAddr>) -> Result<TcpListener, String> {
    let listener = match configured {
        Some(addr) => {
            TcpListener::bind(addr).map_err(|e| format!("cannot listen on the admin address {addr}: {e}"))?
        }
        None => TcpListener::bind(DEFAULT_ADMIN).or_else(|e| {
            log::event("admin", format_args!("{DEFAULT_ADMIN}: {e}; taking a free port"));
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
                .map_err(|e| format!("no port for the admin address: {e}"))
        })?,
    };
    listener.set_nonblocking(true).map_err(|e| e.to_string())?;
    Ok(listener)
}

fn start_workers(shared: &Arc<Shared>, snapshot: &Arc<Snapshot>, workers: usize) -> Result<(), String> {
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..workers).map(|_| unbounded_channel()).unzip();
    let _ = shared.mail.set(Mailboxes(senders.into()));
    for (index, mail) in receivers.into_iter().enumerate() {
        let (shared, snapshot) = (shared.clone(), snapshot.clone());
        thread(&format!("worker-{index}"), move || {
            local(async move { Worker::new(index, shared, snapshot).run(mail).await });
        })?;
    }
    Ok(())
}

fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), String> {
    let spawned = std::thread::Builder::new().name(name.to_owned()).spawn(work);
    spawned.map(drop).map_err(|e| format!("cannot start the thread {name}: {e}"))
}

/// Runs a future, and what it spawns, on this thread.
fn local<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime {
        Ok(runtime) => LocalSet::new().block_on(&runtime, future),
        // Only at the very start, without descriptors or memory: there is nothing to fall back to.
        Err(e) => {
            log::event("fatal", format_args!("no runtime: {e}"));
            std::process::exit(1)
        }
    }
}

/// Gives each worker its sockets.
fn hand_out(shared: &Shared, bound: Bound) {
    let Some(boxes) = shared.mail.get() else { return };
    for (key, sockets) in bound {
        for (worker, socket) in boxes.0.iter().zip(sockets) {
            let _ = worker.send(Mail::Listen(key, socket));
        }
    }
}

/// This thread's work once everything runs.
async fn control(
    settings: Settings,
    shared: Arc<Shared>,
    admin: TcpListener,
    prometheus: PrometheusHandle,
    snapshot: Arc<Snapshot>,
) -> Result<(), String> {
    let (drain, mut drain_asked) = unbounded_channel();
    let admin = tokio::net::TcpListener::from_std(admin).map_err(|e| e.to_string())?;
    tokio::task::spawn_local(admin::serve(admin, shared.clone(), prometheus, drain));
    let mut watch = Watch::new(&settings.config);
    let mut term = signal(SignalKind::terminate()).map_err(|e| e.to_string())?;
    let mut int = signal(SignalKind::interrupt()).map_err(|e| e.to_string())?;
    let mut hup = signal(SignalKind::hangup()).map_err(|e| e.to_string())?;
    let mut reloader = Reloader { settings, shared: shared.clone(), current: snapshot, seen: None };
    reloader.remember();
    loop {
        tokio::select! {
            () = watch.changed() => reloader.reload().await,
            _ = hup.recv() => reloader.reload().await,
            _ = term.recv() => break,
            _ = int.recv() => break,
            _ = drain_asked.recv() => break,
        }
    }
    shut_down(&shared, &reloader.current, drain_asked, term, int).await;
    Ok(())
}

/// Loads the files again when they changed.
struct Reloader {
    settings: Settings,
    shared: Arc<Shared>,
    current: Arc<Snapshot>,
    /// What was last looked at, taken or refused.
    seen: Option<Seen>,
}

impl Reloader {
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

    async fn reload(&mut self) {
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

fn status_of(shared: &Shared) -> ConfigStatus {
    shared.config_status.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Not ready at once; then no new connections; then no idle ones; then waits for what is under way. A second
/// signal ends it at once.
async fn shut_down(
    shared: &Arc<Shared>,
    snapshot: &Snapshot,
    mut drain_asked: UnboundedReceiver<()>,
    mut term: tokio::signal::unix::Signal,
    mut int: tokio::signal::unix::Signal,
) {
    let proxy = &snapshot.config.proxy;
    shared.draining.store(true, Relaxed);
    log::event(
        "drain",
        format_args!("draining, at most {:?} after {:?}", proxy.drain_timeout, proxy.drain_delay),
    );
    let drained = async {
        tokio::time::sleep(proxy.drain_delay).await;
        shared.mail(|| Mail::Drain);
        let ends = Instant::now() + proxy.drain_timeout;
        let closes_idle = Instant::now() + IDLE_GRACE.min(proxy.drain_timeout / 2);
        let mut idle_closed = false;
        while Instant::now() < ends && (shared.downstream.taken() > 0 || !idle_closed) {
            tokio::time::sleep(Duration::from_millis(20)).await;
            if !idle_closed && (Instant::now() >= closes_idle || shared.downstream.taken() == 0) {
                idle_closed = true;
                shared.mail(|| Mail::CloseIdle);
            } else if idle_closed {
                // A connection that became idle since.
                shared.mail(|| Mail::CloseIdle);
            }
        }
    };
    tokio::select! {
        () = drained => {}
        _ = term.recv() => {}
        _ = int.recv() => {}
        _ = async { while drain_asked.recv().await.is_some() {} std::future::pending::<()>().await } => {}
    }
    let left = shared.downstream.taken();
    shared.access_log.flush(Duration::from_secs(1));
    log::event("drain", format_args!("done, {left} connections cut off"));
}
