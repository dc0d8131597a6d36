//! Watching files, and waiting until a burst of events is over.
//!
//! Both can be given up and taken up again at any time: whoever waits in a `select!` loses no event to another
//! branch.

use std::path::Path;
use std::time::Duration;

use notify::{RecursiveMode, Watcher};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::{Instant, sleep_until, timeout_at};

/// After the first event: how long it must be still. Editors and `git checkout` write several files, and an
/// editor's "save" is a rename or two.
const SETTLE: Duration = Duration::from_millis(100);

/// At most this long after the first event it is time even if it is not still.
const LATEST: Duration = Duration::from_millis(500);

/// Where events are not to be had (network file systems, watch limits), and as a net below them: the files are
/// compared this often.
const POLL: Duration = Duration::from_secs(5);

/// Tells when files may have changed.
pub struct Watch {
    events: Quiet,
    poll_at: Instant,
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
        Watch { events: Quiet::new(events), poll_at: Instant::now() + POLL, _watcher: watcher }
    }

    /// Returns when it is time to look at the files.
    pub async fn changed(&mut self) {
        tokio::select! {
            () = self.events.settled() => {}
            () = sleep_until(self.poll_at) => {}
        }
        self.poll_at = Instant::now() + POLL;
    }
}

/// Events, of which a burst counts as one.
pub struct Quiet {
    events: UnboundedReceiver<()>,
    burst: Option<Burst>,
}

/// A burst that has begun.
struct Burst {
    still_at: Instant,
    latest_at: Instant,
}

impl Quiet {
    /// Hears of these events.
    pub fn new(events: UnboundedReceiver<()>) -> Quiet {
        Quiet { events, burst: None }
    }

    /// Returns when something has happened and it has been still since, or 500 ms after the first event. Never, if
    /// nobody can send any more.
    pub async fn settled(&mut self) {
        loop {
            let Some(burst) = &mut self.burst else {
                match self.events.recv().await {
                    Some(()) => {
                        let now = Instant::now();
                        self.burst = Some(Burst { still_at: now + SETTLE, latest_at: now + LATEST });
                    }
                    None => std::future::pending().await,
                }
                continue;
            };
            let until = burst.still_at.min(burst.latest_at);
            let more = match Instant::now() < until {
                true => timeout_at(until, self.events.recv()).await.ok().flatten(),
                false => None,
            };
            match more {
                Some(()) => burst.still_at = Instant::now() + SETTLE,
                None => {
                    self.burst = None;
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_burst_is_one_event_and_survives_being_waited_for_in_turns() {
        let (sender, events) = unbounded_channel();
        let mut quiet = Quiet::new(events);
        for _ in 0..10 {
            sender.send(()).unwrap();
        }
        // Given up at once, with the events taken out of the channel or not.
        let given_up = timeout_at(Instant::now(), quiet.settled()).await;
        assert!(given_up.is_err(), "not still yet");
        tokio::time::timeout(Duration::from_secs(30), quiet.settled()).await.expect("the burst is not lost");
        drop(sender);
        let given_up = timeout_at(Instant::now() + SETTLE, quiet.settled()).await;
        assert!(given_up.is_err(), "ten events were one, and nobody sends any more");
    }
}
