//! An open-loop load generator that knows its users: who was served where, and who saw an error.
//!
//! Open loop: requests are due at fixed times whatever became of those before, and latency counts from when
//! a request was *due*. A closed loop (a connection a user, the next request after the answer) stops asking
//! exactly while the target is slow and so hides what its users would have felt: coordinated omission (Gil
//! Tene, "How NOT to Measure Latency"; wrk2). Existing generators were rejected because none tells, user by
//! user, which cluster answered.
//!
//! Users come in rounds: each user sends one request a round, in an order shuffled anew for each round. So
//! after `users / rate` seconds everybody has been served, and nobody by chance has not.
//!
//! It runs on two threads of its own, so that neither a test's runtime nor a terminal being drawn shows up
//! as latency: one only keeps time (tokio's timers are rounded up to a millisecond, which would be most of
//! the latency on loopback), one does the requests.

mod client;
mod histogram;
mod ledger;
mod summary;

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use client::{Client, SharedClient};
pub use histogram::Histogram;
use http::{HeaderName, Method, Uri};
pub(crate) use ledger::millis;
pub use ledger::{ClusterIndex, Ledger, Outcome, Record, Second, Slice, UserStats};
pub use summary::Summary;
use tokio::sync::mpsc;

use crate::random::mix;

/// Tells, by a user's name, the cluster where that user belongs.
pub type HomeOf = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// What to send.
#[derive(Clone)]
pub struct UsersOptions {
    /// The proxy's address.
    pub target: SocketAddr,
    /// The Host header; default: the target.
    pub host: String,
    /// Path and query; default `/`.
    pub path: Uri,
    /// How many users; default 1,000.
    pub users: usize,
    /// Requests a second, all users together; default 600.
    pub rate: f64,
    /// When to stop; default never.
    pub duration: Option<Duration>,
    /// How long a user waits for a whole answer; default 20 s.
    pub timeout: Duration,
    /// Methods and how many parts of the requests each gets; default only GET. Those that are not safe
    /// carry a small body.
    pub methods: Vec<(Method, u32)>,
    /// The header that carries the user's name; default `x-user-id`.
    pub user_header: HeaderName,
    /// Same seed, same order of users and methods; default 1.
    pub seed: u64,
    /// Requests in flight beyond which new ones are not sent but counted as [`Ledger::shed`]; default 8,192.
    pub max_in_flight: usize,
    /// Keep a [`Record`] of each request (40 bytes) for the summary; default true.
    pub keep_records: bool,
    /// Where each user belongs; default: the cluster of the first good answer.
    pub home_of: Option<HomeOf>,
}

impl UsersOptions {
    /// The defaults.
    pub fn new(target: SocketAddr) -> Self {
        UsersOptions {
            target,
            host: target.to_string(),
            path: Uri::from_static("/"),
            users: 1_000,
            rate: 600.0,
            duration: None,
            timeout: Duration::from_secs(20),
            methods: vec![(Method::GET, 1)],
            user_header: HeaderName::from_static("x-user-id"),
            seed: 1,
            max_in_flight: 8_192,
            keep_records: true,
            home_of: None,
        }
    }
}

/// A name as it is sent in the user's header.
pub fn user_name(user: usize) -> String {
    format!("user-{user}")
}

/// A run that goes on. Dropping it ends the sending and leaves what is in flight to its fate.
pub struct Users {
    live: Arc<Live>,
    threads: Vec<JoinHandle<()>>,
}

/// What is known of a run while it goes on.
pub struct Live {
    began: Instant,
    ledger: Mutex<Ledger>,
    in_flight: AtomicUsize,
    stop: AtomicBool,
}

impl Live {
    /// Reads the books, closed up to the present second.
    pub fn read<T>(&self, read: impl FnOnce(&Ledger) -> T) -> T {
        let mut ledger = self.ledger();
        ledger.advance(self.began.elapsed().as_secs());
        read(&ledger)
    }

    /// Requests that were sent and have not ended.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Relaxed)
    }

    /// Since the run began.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        // A reader's panic leaves the books as they are.
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Users {
    /// Begins to send.
    ///
    /// # Errors
    /// When a thread or its runtime cannot be had, or when the options mean nothing (no users, no rate, no
    /// method).
    pub fn start(options: UsersOptions) -> io::Result<Users> {
        let meaningful = options.users > 0 && options.rate > 0.0 && options.rate.is_finite();
        if !meaningful || options.methods.iter().all(|(_, parts)| *parts == 0) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "no users, no rate or no method"));
        }
        let homes = options.home_of.clone();
        let home = |user| homes.as_ref().and_then(|home_of| home_of(&user_name(user)));
        let ledger = Ledger::new(options.users, home, options.keep_records);
        let live = Arc::new(Live {
            began: Instant::now(),
            ledger: Mutex::new(ledger),
            in_flight: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (due, arrivals) = mpsc::unbounded_channel();
        let (rate, duration) = (options.rate, options.duration);
        let thread = |name: &str| std::thread::Builder::new().name(name.to_owned());
        let clock = thread("users-clock").spawn({
            let live = live.clone();
            move || keep_time(&live, rate, duration, &due)
        })?;
        let sender = thread("users").spawn({
            let live = live.clone();
            move || runtime.block_on(send_all(live, options, arrivals))
        })?;
        Ok(Users { live, threads: vec![clock, sender] })
    }

    /// Sends until the duration is over and everything has ended.
    ///
    /// # Errors
    /// As [`Users::start`].
    pub async fn run(options: UsersOptions) -> io::Result<Summary> {
        Ok(Users::start(options)?.finish().await)
    }

    /// A handle to read from meanwhile. After [`Users::finish`] its books are empty.
    pub fn live(&self) -> Arc<Live> {
        self.live.clone()
    }

    /// Sends nothing more. What is in flight may end.
    pub fn stop(&self) {
        self.live.stop.store(true, Relaxed);
    }

    /// Waits until the run is over (for one without a duration: after [`Users::stop`]) and everything in
    /// flight has ended, then closes the books. May be awaited on any runtime.
    pub async fn finish(mut self) -> Summary {
        for thread in std::mem::take(&mut self.threads) {
            // The threads have no way to panic; if one did, its books are still the truth so far.
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
        let closed = Ledger::new(0, |_| None, false);
        std::mem::replace(&mut *self.live.ledger(), closed).summary()
    }
}

impl Drop for Users {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The longest that a stop goes unnoticed.
const LONGEST_SLEEP: Duration = Duration::from_millis(50);

/// Says when each request is due, until the time is up, the run is stopped or nobody listens.
fn keep_time(live: &Live, rate: f64, duration: Option<Duration>, due: &mpsc::UnboundedSender<Instant>) {
    for number in 0u64.. {
        let offset = Duration::from_secs_f64(number as f64 / rate);
        if duration.is_some_and(|duration| offset >= duration) {
            return;
        }
        let at = live.began + offset;
        loop {
            if live.stop.load(Relaxed) {
                return;
            }
            let wait = at.saturating_duration_since(Instant::now());
            if wait.is_zero() {
                break;
            }
            std::thread::sleep(wait.min(LONGEST_SLEEP));
        }
        if due.send(at).is_err() {
            return;
        }
    }
}

async fn send_all(live: Arc<Live>, options: UsersOptions, mut due: mpsc::UnboundedReceiver<Instant>) {
    let client = Arc::new(Client::new(options.target, options.host, options.user_header, options.timeout));
    let mut rounds = Rounds::new(options.users, &options.methods, options.seed);
    // Each task holds a sender: the channel ends when the last of them has.
    let (task, mut tasks_ended) = mpsc::channel::<()>(1);
    while let Some(at) = due.recv().await {
        let (user, method) = rounds.turn();
        if live.in_flight.load(Relaxed) >= options.max_in_flight {
            live.ledger().shed += 1;
            continue;
        }
        live.in_flight.fetch_add(1, Relaxed);
        let (live, client, task) = (live.clone(), client.clone(), task.clone());
        let (method, path) = (method.clone(), options.path.clone());
        tokio::spawn(async move {
            one(&live, &client, user, &method, &path, at).await;
            live.in_flight.fetch_sub(1, Relaxed);
            drop(task);
        });
    }
    drop(task);
    while tasks_ended.recv().await.is_some() {}
}

async fn one(live: &Live, client: &SharedClient, user: usize, method: &Method, path: &Uri, due: Instant) {
    let answer = client.send(method, path, &user_name(user), due.into()).await;
    let latency = due.elapsed();
    let mut ledger = live.ledger();
    ledger.stale_retries += u64::from(answer.retried);
    ledger.connections += answer.connections;
    let cluster = answer.cluster.map(|name| ledger.cluster(&name));
    let record = Record {
        user: user as u32,
        sent_at: due.duration_since(live.began),
        latency,
        outcome: answer.outcome,
        cluster,
        idempotent: method.is_idempotent(),
    };
    ledger.record(record, answer.reason.as_deref());
}

/// Whose turn it is, and with which method.
struct Rounds<'a> {
    order: Vec<usize>,
    at: usize,
    methods: &'a [(Method, u32)],
    parts: u64,
    rolls: u64,
}

impl<'a> Rounds<'a> {
    fn new(users: usize, methods: &'a [(Method, u32)], seed: u64) -> Self {
        let parts = methods.iter().map(|(_, parts)| u64::from(*parts)).sum();
        Rounds { order: (0..users).collect(), at: users, methods, parts, rolls: mix(seed) }
    }

    fn roll(&mut self, below: u64) -> u64 {
        self.rolls = self.rolls.wrapping_add(1);
        mix(self.rolls) % below
    }

    fn turn(&mut self) -> (usize, &'a Method) {
        if self.at == self.order.len() {
            self.at = 0;
            for last in (1..self.order.len()).rev() {
                let other = self.roll(last as u64 + 1) as usize;
                self.order.swap(last, other);
            }
        }
        let user = self.order[self.at];
        self.at += 1;
        let mut roll = self.roll(self.parts);
        for (method, parts) in self.methods {
            match roll.checked_sub(u64::from(*parts)) {
                Some(left) => roll = left,
                None => return (user, method),
            }
        }
        // Not reached: a roll is below the sum of the parts.
        (user, &Method::GET)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_user_has_one_turn_a_round_and_rounds_differ() {
        let methods = [(Method::GET, 1)];
        let mut rounds = Rounds::new(100, &methods, 7);
        let mut round = || (0..100).map(|_| rounds.turn().0).collect::<Vec<_>>();
        let (first, second) = (round(), round());
        assert_ne!(first, second);
        for mut order in [first, second] {
            order.sort_unstable();
            assert_eq!(order, (0..100).collect::<Vec<_>>());
        }
    }

    #[test]
    fn methods_come_in_their_parts_and_a_seed_repeats_them() {
        let methods = [(Method::GET, 3), (Method::DELETE, 0), (Method::POST, 1)];
        let draw = |seed| {
            let mut rounds = Rounds::new(10, &methods, seed);
            (0..4_000).map(|_| rounds.turn().1.clone()).collect::<Vec<_>>()
        };
        let drawn = draw(1);
        let posts = drawn.iter().filter(|method| **method == Method::POST).count();
        assert!((900..1_100).contains(&posts), "{posts}");
        assert!(!drawn.contains(&Method::DELETE));
        assert_eq!(drawn, draw(1));
        assert_ne!(drawn, draw(2));
    }

    #[test]
    fn options_that_mean_nothing_are_refused() {
        let sound = UsersOptions::new(([127, 0, 0, 1], 9).into());
        for broken in [
            UsersOptions { users: 0, ..sound.clone() },
            UsersOptions { rate: 0.0, ..sound.clone() },
            UsersOptions { rate: f64::NAN, ..sound.clone() },
            UsersOptions { methods: vec![(Method::GET, 0)], ..sound.clone() },
        ] {
            assert!(Users::start(broken).is_err());
        }
    }
}
