//! Start-up, and what the first thread does from then on.
//!
//! Threads: the workers (one a core), the health thread, the access log's writer, and this one, which reads
//! config, answers the admin address and hears signals. Nothing a request needs waits for this thread.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Instant, SystemTime};

use causeway_config::Source;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::unbounded_channel;
use tokio::task::LocalSet;

use crate::admin;
use crate::health::{self, HealthHandle};
use crate::listen::bind::{Bound, bind_ports, hand_out};
use crate::listen::drain::shut_down;
use crate::settings::Settings;
use crate::shared::{ConfigStatus, Shared};
use crate::snapshot::cell::SnapshotCell;
use crate::snapshot::compile::compile;
use crate::snapshot::from_file::{self, Read, Watch};
use crate::snapshot::reload::{Asked, Reloader};
use crate::snapshot::{Snapshot, last_good};
use crate::telemetry::access_log::{AccessLog, Prepared};
use crate::telemetry::{log, metrics, panics};
use crate::upstream::cell::Limit;
use crate::upstream::registry::Registry;
use crate::worker::{Mailboxes, Worker};

/// Where the admin endpoint is when nobody says otherwise.
const DEFAULT_ADMIN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9901);

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
    let First { config: Ready { registry, snapshot, ports, log_target, sources, workers }, status } =
        first_config(&settings)?;
    let access_log = AccessLog::start();
    access_log.apply(log_target);
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
        && let Err(e) = last_good::save(&settings.state_dir, &sources)
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
    local(control(settings, shared, admin, prometheus, snapshot, sources))
}

/// A config that can be served: everything that could fail has been done.
struct Ready {
    registry: Arc<Registry>,
    snapshot: Arc<Snapshot>,
    ports: Bound,
    log_target: Prepared,
    sources: Vec<Source>,
    workers: usize,
}

struct First {
    config: Ready,
    status: ConfigStatus,
}

fn ready(read: Read) -> Result<Ready, String> {
    let workers = read.config.proxy.workers.unwrap_or_else(default_workers).max(1);
    let registry = Arc::new(Registry::new(workers));
    let snapshot = Arc::new(compile(read.config, &registry, None)?);
    let log_target = AccessLog::prepare(&snapshot.config.proxy.access_log)?;
    let ports = bind_ports(&snapshot, &[], workers)?;
    Ok(Ready { registry, snapshot, ports, log_target, sources: read.sources, workers })
}

/// The first config: the files', or the last good one where the files cannot be served, for whatever reason.
fn first_config(settings: &Settings) -> Result<First, String> {
    let served = |read: Read| {
        let warnings = read.warnings.clone();
        warnings.iter().for_each(|warning| log::event("config", warning));
        Ok::<_, String>((ready(read)?, warnings))
    };
    let applied_at = Some(SystemTime::now());
    let error = match from_file::read(&settings.config).and_then(served) {
        Ok((config, warnings)) => {
            metrics::config_applied();
            let status = ConfigStatus { applied: 1, warnings, applied_at, ..ConfigStatus::default() };
            return Ok(First { config, status });
        }
        Err(error) => error,
    };
    metrics::config_refused();
    let kept = last_good::load(&settings.state_dir).unwrap_or_else(|e| {
        log::event("config", format_args!("the last good config cannot be read: {e}"));
        None
    });
    let Some(sources) = kept else { return Err(format!("no usable config:\n{error}")) };
    let (config, warnings) = from_file::check(sources).and_then(served).map_err(|e| {
        format!("no usable config:\n{error}\nand the last good one cannot be served any more:\n{e}")
    })?;
    log::event("config", format_args!("{error}\nserving the last good config instead"));
    let status = ConfigStatus {
        refused: 1,
        error: Some(error),
        warnings,
        applied_at,
        from_last_good: true,
        ..ConfigStatus::default()
    };
    Ok(First { config, status })
}

/// The CPUs that this process may use.
fn default_workers() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
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

/// This thread's work once everything runs.
async fn control(
    settings: Settings,
    shared: Arc<Shared>,
    admin: TcpListener,
    prometheus: PrometheusHandle,
    snapshot: Arc<Snapshot>,
    sources: Vec<Source>,
) -> Result<(), String> {
    let (drain, mut drain_asked) = unbounded_channel();
    let admin = tokio::net::TcpListener::from_std(admin).map_err(|e| e.to_string())?;
    tokio::task::spawn_local(admin::serve(admin, shared.clone(), prometheus, drain));
    let mut watch = Watch::new(&settings.config);
    let mut term = signal(SignalKind::terminate()).map_err(|e| e.to_string())?;
    let mut int = signal(SignalKind::interrupt()).map_err(|e| e.to_string())?;
    let mut hup = signal(SignalKind::hangup()).map_err(|e| e.to_string())?;
    let mut reloader = Reloader::new(settings, shared.clone(), snapshot, &sources);
    loop {
        tokio::select! {
            () = watch.changed() => reloader.reload(Asked::ByChange).await,
            _ = hup.recv() => reloader.reload(Asked::ByOperator).await,
            _ = term.recv() => break,
            _ = int.recv() => break,
            _ = drain_asked.recv() => break,
        }
    }
    shut_down(&shared, reloader.current(), drain_asked, term, int).await;
    Ok(())
}

fn status_of(shared: &Shared) -> ConfigStatus {
    shared.config_status.lock().unwrap_or_else(PoisonError::into_inner).clone()
}
