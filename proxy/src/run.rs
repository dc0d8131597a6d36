//! Start-up: everything that can fail, then the threads.
//!
//! Threads: the workers (one a core), the health thread, the access log's writer, and this one, which goes on with
//! [`control`](mod@crate::control). Nothing a request needs waits for this thread.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Instant, SystemTime};

use causeway_config::Source;
use tokio::sync::mpsc::unbounded_channel;
use tokio::task::LocalSet;

use crate::control::{AdminSocket, Control, control};
use crate::health::{self, HealthHandle};
use crate::listen::bind::{Bound, hand_out, inherit, listen};
use crate::listen::crowd::Crowd;
use crate::listen::handover::{Inheritance, Predecessor};
use crate::settings::Settings;
use crate::shared::{ConfigStatus, Shared};
use crate::snapshot::cell::SnapshotCell;
use crate::snapshot::compile::compile;
use crate::snapshot::from_file::{self, Read};
use crate::snapshot::{Snapshot, last_good};
use crate::telemetry::access_log::{AccessLog, Prepared};
use crate::telemetry::panics::Vital;
use crate::telemetry::{log, metrics, panics};
use crate::upstream::cell::Limit;
use crate::upstream::discover::{Board, first_look, kept};
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
    let (predecessor, inheritance) = predecessor(&settings)?;
    let Inheritance { generation, clock, health: carried, sockets } = inheritance;
    let discovery = Arc::new(Board::new(kept::load(&settings.state_dir).unwrap_or_else(|e| {
        log::event("discovery", format_args!("the endpoints last served cannot be read: {e}"));
        Vec::new()
    })));
    let First { config: Ready { registry, snapshot, ports, log_target, sources, workers }, status } =
        first_config(&settings, &discovery, sockets.ports, predecessor.is_some())?;
    let access_log = AccessLog::start();
    access_log.apply(log_target);
    let admin = admin_socket(settings.admin.or(snapshot.config.proxy.admin), sockets.admin)?;

    let (health, health_inputs) = HealthHandle::new();
    let shared = Arc::new(Shared {
        started: Instant::now().checked_sub(clock).unwrap_or_else(Instant::now),
        born: SystemTime::now(),
        generation,
        workers,
        registry,
        snapshots: SnapshotCell::new(snapshot.clone()),
        downstream: Limit::default(),
        crowd: Crowd::default(),
        counters: Shared::counters(workers),
        mail: OnceLock::new(),
        health,
        access_log,
        draining: AtomicBool::new(false),
        config_status: Mutex::new(status),
        discovery,
    });
    listen(&ports)?;
    start_workers(&shared, &snapshot, workers)?;
    let at_start = (shared.clone(), snapshot.clone());
    thread("health", move || {
        local(Vital("health").watch(health::run(at_start.0, at_start.1, carried, health_inputs)));
    })?;
    // Its answer says that what it was left with is published: no request may go where a predecessor sent none.
    local(shared.health.report());
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
    let admin_addr = admin.listener.local_addr().map_err(|e| e.to_string())?;
    log::event("admin", format_args!("http://{admin_addr}"));
    local(control(Control { settings, shared, admin, prometheus, snapshot, sources, predecessor }))
}

/// Who serves at present, where this process is to take over, and what it leaves.
fn predecessor(settings: &Settings) -> Result<(Option<Predecessor>, Inheritance), String> {
    if !settings.takeover {
        return Ok((None, Inheritance::default()));
    }
    let Some((predecessor, inheritance)) = Predecessor::ask(&settings.state_dir)? else {
        log::event("handover", "nobody to take over from: starting afresh");
        return Ok((None, Inheritance::default()));
    };
    log::event("handover", format_args!("taking over from process {}", predecessor.pid()));
    Ok((Some(predecessor), inheritance))
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

/// Endpoints that are looked up are waited for, but not for long: a cluster of which nothing is known yet begins
/// without any, as a start that hangs on one name would be an outage of all others.
fn ready(read: Read, discovery: &Arc<Board>, inherited: Bound) -> Result<Ready, String> {
    if read.config.clusters.values().any(|cluster| cluster.discovery.is_some()) {
        local(first_look(discovery, &read.config));
        if let Some(missing) = discovery.missing(&read.config) {
            log::event("discovery", format_args!("{missing}\nserving without"));
        }
    }
    let discovered = discovery.discovered(&read.config);
    let workers = read.config.proxy.workers.unwrap_or_else(default_workers).max(1);
    let registry = Arc::new(Registry::new(workers));
    let snapshot = Arc::new(compile(read.config, &discovered, &registry, None)?);
    let log_target = AccessLog::prepare(&snapshot.config.proxy.access_log)?;
    let ports = inherit(&snapshot, inherited, workers)?;
    Ok(Ready { registry, snapshot, ports, log_target, sources: read.sources, workers })
}

/// The first config: the files', or the last good one where the files cannot be served, for whatever reason. But a
/// process that is to take over ends in that case: another one serves the last good one already.
fn first_config(
    settings: &Settings,
    discovery: &Arc<Board>,
    mut inherited: Bound,
    takes_over: bool,
) -> Result<First, String> {
    let mut served = |read: Read| {
        let warnings = read.warnings.clone();
        warnings.iter().for_each(|warning| log::event("config", warning));
        Ok::<_, String>((ready(read, discovery, std::mem::take(&mut inherited))?, warnings))
    };
    let applied_at = Some(SystemTime::now());
    let error = match from_file::read(&settings.config).and_then(&mut served) {
        Ok((config, warnings)) => {
            metrics::config_applied();
            let status = ConfigStatus { applied: 1, warnings, applied_at, ..ConfigStatus::default() };
            return Ok(First { config, status });
        }
        Err(error) if takes_over => {
            return Err(format!("not taking over, the config is not usable:\n{error}"));
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

/// The predecessor's, if it is the address that is wanted. A busy default port is not worth failing for; a
/// configured one is.
fn admin_socket(
    configured: Option<SocketAddr>,
    inherited: Option<(Option<SocketAddr>, TcpListener)>,
) -> Result<AdminSocket, String> {
    let wanted = |theirs: &Option<SocketAddr>, listener: &TcpListener| {
        *theirs == configured
            || configured.is_some_and(|addr| listener.local_addr().is_ok_and(|at| at == addr))
    };
    if let Some((_, listener)) = inherited.filter(|(theirs, listener)| wanted(theirs, listener)) {
        return Ok(AdminSocket { configured, listener });
    }
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
    Ok(AdminSocket { configured, listener })
}

fn start_workers(shared: &Arc<Shared>, snapshot: &Arc<Snapshot>, workers: usize) -> Result<(), String> {
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..workers).map(|_| unbounded_channel()).unzip();
    let _ = shared.mail.set(Mailboxes(senders.into()));
    for (index, mail) in receivers.into_iter().enumerate() {
        let (shared, snapshot) = (shared.clone(), snapshot.clone());
        thread(&format!("worker-{index}"), move || {
            local(
                Vital("a worker").watch(async move { Worker::new(index, shared, snapshot).run(mail).await }),
            );
        })?;
    }
    Ok(())
}

pub(crate) fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), String> {
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

fn status_of(shared: &Shared) -> ConfigStatus {
    shared.config_status.lock().unwrap_or_else(PoisonError::into_inner).clone()
}
