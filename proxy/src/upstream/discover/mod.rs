//! Discovery: endpoints that are looked up, in the DNS or in a file, for as long as a config names their source.
//!
//! It runs on the control thread; what it finds reaches requests as a new snapshot, on the same way as a reload.
//! The decisions (when to look again, which set to serve) are the policy's, [`causeway_proxy_policy::discovery`];
//! what is known of each source stands on the [`Board`], where the admin pages read it.

mod board;
mod dns;
mod file;
pub mod kept;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use causeway_config::{Config, Discovery as Spec};
use causeway_proxy_policy::discovery::Found;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep_until, timeout};

pub use board::{Board, Discovered, Endpoints, Source, Status};

use crate::snapshot::watch::Quiet;

/// Longest wait for the first answer of a source, at the start and in a reload. A name server that does not
/// answer within it is not answering, and a start that waits for it longer would be an outage of its own.
const FIRST_LOOK: Duration = Duration::from_secs(3);

/// Longest wait for any other. Nobody waits for it; the bound is for what hangs.
const LATER_LOOK: Duration = Duration::from_secs(15);

/// What one look at a source gave.
#[derive(Clone)]
struct Look {
    /// The endpoints.
    found: Found<Endpoints>,
    /// How long they may be used.
    ttl: Duration,
    /// Why not all of them were found.
    error: Option<String>,
}

impl Look {
    fn failed(error: impl Into<String>) -> Look {
        Look { found: Found::Nothing, ttl: Duration::ZERO, error: Some(error.into()) }
    }
}

/// Looks at all sources of `config` that were not looked at yet, all at once. Must run within a runtime.
pub async fn first_look(board: &Arc<Board>, config: &Config) {
    board.open(config);
    let mut looks = JoinSet::new();
    for source in board.not_looked_at(config) {
        let board = board.clone();
        looks.spawn(async move {
            let look = match &source.spec {
                Spec::Dns(dns) => timeout(FIRST_LOOK, dns::look(dns)).await,
                Spec::File { path } => timeout(FIRST_LOOK, file::look(path)).await,
            };
            board.note(&source, look.unwrap_or_else(|_| Look::failed("no answer within 3 s")), roll());
        });
    }
    while looks.join_next().await.is_some() {}
}

/// The sources that are followed.
pub struct Discovery {
    board: Arc<Board>,
    following: HashMap<Source, Following>,
    tell: UnboundedSender<()>,
    told: Quiet,
}

/// A task that ends with this.
struct Following(AbortHandle);

impl Drop for Following {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Discovery {
    /// Follows nothing yet.
    pub fn new(board: Arc<Board>) -> Discovery {
        let (tell, told) = unbounded_channel();
        Discovery { board, following: HashMap::new(), tell, told: Quiet::new(told) }
    }

    /// What is known.
    pub fn board(&self) -> &Arc<Board> {
        &self.board
    }

    /// Follows the sources of `config`, and no others: those that were followed already go on, others are
    /// forgotten. Each was looked at by [`first_look`].
    pub fn follow(&mut self, config: &Config) {
        self.board.keep_only(config);
        let mut old = std::mem::take(&mut self.following);
        for source in board::sources(config) {
            let following = old.remove(&source).unwrap_or_else(|| {
                let task = tokio::spawn(follow(self.board.clone(), source.clone(), self.tell.clone()));
                Following(task.abort_handle())
            });
            self.following.insert(source, following);
        }
    }

    /// Returns when other endpoints are to be served than before, and it has been quiet for a moment: many names
    /// with one TTL expire together, and shall make one snapshot.
    pub async fn changed(&mut self) {
        self.told.settled().await;
    }
}

async fn follow(board: Arc<Board>, source: Source, tell: UnboundedSender<()>) {
    let note = |look: Look| {
        if board.note(&source, look, roll()).changed {
            // It is heard as long as the process runs.
            let _ = tell.send(());
        }
    };
    match &source.spec {
        Spec::Dns(dns) => {
            while let Some(due) = board.due(&source) {
                sleep_until(due).await;
                let look = timeout(LATER_LOOK, dns::look(dns)).await;
                note(look.unwrap_or_else(|_| Look::failed("no answer within 15 s")));
            }
        }
        Spec::File { path } => {
            let mut file = file::Followed::new(path);
            loop {
                note(file.next().await);
            }
        }
    }
}

/// Chance for spreading lookups, not for secrets.
fn roll() -> u64 {
    std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0)
}
