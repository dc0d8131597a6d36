//! Many clients of every kind, polite and not, who know each byte that they may get.
//!
//! Unlike [`causeway_control_demo::users`], which asks where users go and how long they wait, this asks whether what they
//! get is theirs: every answer is made from its request's number, so one byte of another's is seen. Each client is a task
//! with chance of its own from the run's seed: it draws what to do, does it, books what became of it, and pauses.

mod books;
mod cast;
mod chance;
mod clients;
mod dripping;
mod fate;
mod rude;
mod stage;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

pub use books::{Books, Tally};
pub use cast::{Cast, SCENES, Scene};
pub use chance::Chance;
pub use fate::{Fate, Got, Wanted, judge};
use rustls::ClientConfig;
pub use stage::{Stage, State, change};
use tokio::sync::watch;
use tokio::task::JoinSet;

use clients::User;

/// Nothing that a client does takes longer: the proxy's own deadlines in [`Stage`] add up to less than half of it.
const LONGEST: Duration = Duration::from_secs(30);

/// Requests on one connection that a client keeps.
const MOST_KEPT: u64 = 8;

/// Where the clients go.
#[derive(Clone)]
pub struct Target {
    /// The listener in cleartext.
    pub http: SocketAddr,
    /// The one with TLS.
    pub https: SocketAddr,
    /// How to speak HTTP/1.1 with it.
    pub tls1: Arc<ClientConfig>,
    /// How to speak HTTP/2 with it.
    pub tls2: Arc<ClientConfig>,
    /// The name in its certificate.
    pub name: &'static str,
}

/// How many clients, and how they are.
#[derive(Clone)]
pub struct Crowd {
    /// Same seed, same clients: what each does, not when.
    pub seed: u64,
    /// Clients.
    pub users: u64,
    /// The longest pause between two things that a client does; half of it on average.
    pub pause: Duration,
    /// Length of a big body, either way.
    pub big: usize,
}

/// What a client may do, and how often out of their sum.
const ACTS: &[(&str, u64)] = &[
    ("keep-alive", 20),
    ("new", 10),
    ("http2", 20),
    ("upload", 10),
    ("big", 4),
    ("stream", 8),
    ("tunnel", 8),
    ("leave", 8),
    ("leave-http2", 8),
    ("slow-reader", 4),
    ("slow-sender", 4),
    ("nonsense", 6),
];

/// A run that goes on.
pub struct Storm {
    books: Arc<Books>,
    stop: watch::Sender<bool>,
    users: JoinSet<()>,
}

impl Storm {
    /// Begins.
    pub fn start(target: &Target, crowd: &Crowd) -> Storm {
        let (stop, stopped) = watch::channel(false);
        let books = Arc::new(Books::default());
        let mut users = JoinSet::new();
        for number in 0..crowd.users {
            let user = User::new(number, target.clone(), crowd.clone(), books.clone());
            users.spawn(live(user, crowd.pause, stopped.clone()));
        }
        Storm { books, stop, users }
    }

    /// The counts so far.
    pub fn so_far(&self) -> Tally {
        self.books.so_far()
    }

    /// Lets every client end what it does, then closes the books.
    pub async fn stop(mut self) -> Tally {
        self.stop.send_replace(true);
        while let Some(ended) = self.users.join_next().await {
            if let Err(panic) = ended {
                // What is not even framed: the byte-level client says so by a panic.
                self.books.note("client", &Fate::Wrong(panic.to_string()), 0);
            }
        }
        self.books.so_far()
    }
}

/// Everything that clients do, for a check that a run has done all of it.
pub fn acts() -> impl Iterator<Item = &'static str> {
    ACTS.iter().map(|(name, _)| *name)
}

async fn live(mut user: User, pause: Duration, stopped: watch::Receiver<bool>) {
    while !*stopped.borrow() {
        let act = draw(&mut user.chance);
        // Several requests one after the other may take as many times as long: those are watched one by one.
        let longest = if act == "keep-alive" { LONGEST * MOST_KEPT as u32 } else { LONGEST };
        if tokio::time::timeout(longest, user.act(act)).await.is_err() {
            user.books.hung(act);
        }
        let wait = user.chance.below(pause.as_micros() as u64);
        tokio::time::sleep(Duration::from_micros(wait)).await;
    }
}

fn draw(chance: &mut Chance) -> &'static str {
    let mut roll = chance.below(ACTS.iter().map(|(_, parts)| parts).sum());
    for (act, parts) in ACTS {
        match roll.checked_sub(*parts) {
            Some(left) => roll = left,
            None => return act,
        }
    }
    unreachable!("a roll is below the sum of the parts")
}
