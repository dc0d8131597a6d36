//! The end of the process, without anybody noticing.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedReceiver;

use crate::shared::Shared;
use crate::snapshot::Snapshot;
use crate::telemetry::log;
use crate::worker::Mail;

/// How long idle connections stay open, so that a request that is on its way still gets its answer.
const IDLE_GRACE: Duration = Duration::from_secs(1);

/// Why the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// By a signal, or by hand.
    Asked,
    /// A successor accepts from the same sockets.
    HandedOver,
}

/// Not ready at once; then no new connections; then no idle ones; then waits for what is under way. A second
/// signal ends it at once. After a handover nobody has to notice first, so there is no delay.
pub async fn shut_down(
    shared: &Arc<Shared>,
    snapshot: &Snapshot,
    ending: Ending,
    mut drain_asked: UnboundedReceiver<()>,
    mut term: tokio::signal::unix::Signal,
    mut int: tokio::signal::unix::Signal,
) {
    let proxy = &snapshot.config.proxy;
    shared.draining.store(true, Relaxed);
    let handed_over = ending == Ending::HandedOver;
    let delay = if handed_over { Duration::ZERO } else { proxy.drain_delay };
    log::event("drain", format_args!("draining, at most {:?} after {delay:?}", proxy.drain_timeout));
    let drained = async {
        tokio::time::sleep(delay).await;
        shared.mail(|| Mail::Drain { handed_over });
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
