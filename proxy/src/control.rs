//! What the first thread does once everything runs: files, signals, the admin address, the handover to a successor.

use std::future::pending;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use causeway_config::Source;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::unbounded_channel;
use tokio::sync::{oneshot, watch};

use crate::admin;
use crate::listen::drain::{Ending, shut_down};
use crate::listen::handover::{Door, Lot, Predecessor, Respawn, hand_over};
use crate::run::thread;
use crate::settings::Settings;
use crate::shared::Shared;
use crate::snapshot::Snapshot;
use crate::snapshot::reload::{Asked, Reloader};
use crate::snapshot::watch::Watch;
use crate::telemetry::{log, service_manager};

/// What it works with.
pub struct Control {
    /// Of this process.
    pub settings: Settings,
    /// What all threads share.
    pub shared: Arc<Shared>,
    /// Where the admin pages are.
    pub admin: AdminSocket,
    /// What they render.
    pub prometheus: PrometheusHandle,
    /// The first snapshot.
    pub snapshot: Arc<Snapshot>,
    /// What it was compiled from.
    pub sources: Vec<Source>,
    /// Who serves until it hears that this process does.
    pub predecessor: Option<Predecessor>,
}

/// The admin address's socket.
pub struct AdminSocket {
    /// What the command line or the config asks for; `None` = the default, or a free port.
    pub configured: Option<SocketAddr>,
    /// It.
    pub listener: TcpListener,
}

impl AdminSocket {
    fn lend(&self) -> io::Result<(Option<SocketAddr>, OwnedFd)> {
        Ok((self.configured, self.listener.as_fd().try_clone_to_owned()?))
    }
}

/// Runs until the process is to end. The error says that a predecessor serves on instead.
pub async fn control(with: Control) -> Result<(), String> {
    let Control { settings, shared, admin, prometheus, snapshot, sources, predecessor } = with;
    // Before anybody is told that this process serves: a signal that nobody hears would end it.
    let listen = |kind: SignalKind| signal(kind).map_err(|e| e.to_string());
    let (mut term, mut int) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    let (mut hup, mut usr2) = (listen(SignalKind::hangup())?, listen(SignalKind::user_defined2())?);
    let (drain, mut drain_asked) = unbounded_channel();
    let (admin_stop, stopped) = watch::channel(());
    let pages = admin.listener.try_clone().and_then(tokio::net::TcpListener::from_std);
    let pages = pages.map_err(|e| e.to_string())?;
    tokio::task::spawn_local(admin::serve(pages, shared.clone(), prometheus, drain, stopped));
    let mut watch = Watch::new(&settings.config);

    if let Some(predecessor) = predecessor
        && let Err(why) = aside("take-over", move || predecessor.relieve()).await
    {
        drop((admin_stop, admin));
        shut_down(&shared, &snapshot, Ending::HandedOver, drain_asked, term, int).await;
        return Err(why);
    }
    let door = open_door(&settings);
    service_manager::ready();

    let mut reloader = Reloader::new(settings, shared.clone(), snapshot, &sources);
    let mut respawn = Respawn::default();
    let mut handover: Option<oneshot::Receiver<Result<u32, String>>> = None;
    let ending = loop {
        // The config stays as it is while a successor looks at it: the ports it is given are those of this one.
        let calm = handover.is_none();
        tokio::select! {
            () = watch.changed(), if calm => reloader.reload(Asked::ByChange).await,
            () = reloader.endpoints_changed(), if calm => reloader.rediscover().await,
            _ = hup.recv(), if calm => reloader.reload(Asked::ByOperator).await,
            _ = usr2.recv() => respawn.start(door.is_some()),
            () = respawn.ended() => {}
            successor = knock(&door), if calm => {
                let lot = match admin.lend() {
                    Ok(admin) => Lot::of(&shared, admin).await,
                    Err(e) => Err(e.to_string()),
                };
                handover = Some(spawn("hand-over", move || hand_over(successor, lot)));
            }
            outcome = done(&mut handover), if !calm => {
                handover = None;
                match outcome {
                    Ok(pid) => {
                        log::event("handover", format_args!("process {pid} serves"));
                        service_manager::main_process(pid);
                        break Ending::HandedOver;
                    }
                    Err(why) => log::event("handover", format_args!("{why}; serving on")),
                }
            }
            _ = term.recv() => break Ending::Asked,
            _ = int.recv() => break Ending::Asked,
            _ = drain_asked.recv() => break Ending::Asked,
        }
    };
    drop(door);
    match ending {
        // Its pages are the successor's from now on.
        Ending::HandedOver => drop((admin_stop, admin)),
        // They say that this process drains.
        Ending::Asked => service_manager::stopping(),
    }
    shut_down(&shared, reloader.current(), ending, drain_asked, term, int).await;
    Ok(())
}

/// Not worth failing for: without it the process serves as well, and cannot be replaced in place.
fn open_door(settings: &Settings) -> Option<Door> {
    let opened = Door::open(&settings.state_dir);
    let warn = |e: &io::Error| {
        let folder = settings.state_dir.display();
        log::event("handover", format_args!("no upgrade in place will be possible: {folder}: {e}"));
    };
    opened.inspect_err(warn).ok()
}

async fn knock(door: &Option<Door>) -> UnixStream {
    match door {
        Some(door) => door.knock().await,
        None => pending().await,
    }
}

async fn done(handover: &mut Option<oneshot::Receiver<Result<u32, String>>>) -> Result<u32, String> {
    match handover {
        Some(outcome) => outcome.await.unwrap_or_else(|_| Err("its thread ended".to_owned())),
        None => pending().await,
    }
}

/// Blocking work on a thread of its own. Not the runtime's, which would wait for it when the process is to end.
fn spawn<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> oneshot::Receiver<Result<T, String>> {
    let (reply, outcome) = oneshot::channel();
    // Where no thread is to be had, the sender is dropped, and that is the answer.
    if let Err(e) = thread(name, move || drop(reply.send(work()))) {
        log::event("handover", e);
    }
    outcome
}

async fn aside<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    spawn(name, work).await.unwrap_or_else(|_| Err("its thread ended".to_owned()))
}
