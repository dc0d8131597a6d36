//! Notices an upstream that is gone without having said so: its machine lost power, a firewall forgot the connection.
//! TCP would take a quarter of an hour, during which every request on the connection runs into its timeout.
//!
//! A PING (RFC 9113 section 6.7) asks, in two cases:
//!
//! * streams are open, and for [`SILENCE`] nothing came: a stream that may rightly be silent for hours, of gRPC or a
//!   WebSocket, must not wait for one that is dead;
//! * a stream was given up after [`SLOW`], and since it began nothing had come on the whole connection. Until the
//!   answer no new stream goes there (Go's HTTP/2 client does the same since 1.23, golang.org/issue/59690).
//!
//! An idle connection is not asked: what is lost there is found by the first request, which is the second case. No
//! answer within [`ANSWER`] ends the connection and every stream on it.
//!
//! gRPC's servers count PINGs that they find needless, and close the connection at the third within five minutes
//! without data of their own in between (gRFC A8). So after [`FREE`] such PINGs only one in [`AGAIN`] is sent.

use std::cell::Cell;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use causeway_proxy_policy::Tick;
use h2::{Ping, PingPong};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::timer::Timer;

/// How long open streams may be silent, all together, before their upstream is asked. Below the minute or more after
/// which NATs and load balancers begin to forget connections.
const SILENCE: Duration = Duration::from_secs(30);
/// How long an answer may take: gRPC's `keepalive_timeout`.
const ANSWER: Duration = Duration::from_secs(20);
/// Between PINGs that no data separates: what gRPC's servers allow (gRFC A8).
const AGAIN: Duration = Duration::from_secs(300);
/// PINGs without data in between that every gRPC server bears (gRFC A8: two too many, then GOAWAY).
const FREE: u32 = 2;
/// A stream given up sooner says nothing: the client may just have gone. Below the default `perTryTimeout` of 2 s.
const SLOW: Duration = Duration::from_secs(1);

/// What a connection's streams, its pool and its keep-alive share.
pub struct Life {
    closed: Cell<bool>,
    streams: Cell<usize>,
    /// When the number of streams last went to or from 0.
    turned: Cell<Tick>,
    /// When anything of an answer last came; `Tick(0)` = never.
    heard: Cell<Tick>,
    /// A stream was given up in silence, and the upstream has not answered since.
    doubtful: Cell<bool>,
    /// Somebody waits for the upstream's first word.
    awaited: Cell<bool>,
    /// The upstream's first frames have been read.
    settled: Cell<bool>,
    watcher: Cell<Option<Waker>>,
    told: Notify,
}

impl Life {
    /// A connection that was just made.
    pub fn begin(now: Tick) -> Life {
        Life {
            closed: Cell::new(false),
            streams: Cell::new(0),
            turned: Cell::new(now),
            heard: Cell::default(),
            doubtful: Cell::new(false),
            awaited: Cell::new(false),
            settled: Cell::new(false),
            watcher: Cell::new(None),
            told: Notify::new(),
        }
    }

    /// Whether no further stream can be had.
    pub fn is_closed(&self) -> bool {
        self.closed.get()
    }

    /// No further stream can be had.
    pub fn close(&self) {
        self.closed.set(true);
        self.told.notify_waiters();
    }

    /// Streams under way.
    pub fn streams(&self) -> usize {
        self.streams.get()
    }

    /// When the last stream ended, or the first one began.
    pub fn turned(&self) -> Tick {
        self.turned.get()
    }

    /// Whether it may be that nobody is there.
    pub fn is_doubtful(&self) -> bool {
        self.doubtful.get()
    }

    /// A stream begins.
    pub fn stream_begins(&self, now: Tick) {
        if self.streams.replace(self.streams.get() + 1) == 0 {
            self.turned.set(now);
        }
    }

    /// A stream ends. `unanswered`: when it was sent, if nothing of an answer came.
    pub fn stream_ends(&self, now: Tick, unanswered: Option<Tick>) {
        self.streams.set(self.streams.get() - 1);
        self.turned.set(now);
        if let Some(sent) = unanswered
            && now.since(sent.max(self.heard.get())) >= SLOW
        {
            self.doubtful.set(true);
            self.call();
        }
    }

    /// Something of an answer came.
    pub fn heard(&self, now: Tick) {
        self.heard.set(now);
        self.doubtful.set(false);
    }

    /// Waits until the upstream's first frames have been read, or the connection is over.
    pub async fn hears(&self) {
        if self.settled.get() || self.closed.get() || self.heard.get() > Tick(0) {
            return;
        }
        let told = self.told.notified();
        self.awaited.set(true);
        self.call();
        told.await;
    }

    fn call(&self) {
        if let Some(watcher) = self.watcher.take() {
            watcher.wake();
        }
    }

    fn answered(&self) {
        self.doubtful.set(false);
        self.awaited.set(false);
        self.settled.set(true);
        self.told.notify_waiters();
    }
}

/// When to ask.
#[derive(Default)]
struct Pace {
    last: Tick,
    /// PINGs since anything of an answer came.
    asked: u32,
}

#[derive(Debug, PartialEq, Eq)]
enum Next {
    Ask,
    LookAt(Tick),
}

impl Pace {
    fn next(&mut self, now: Tick, life: &Life) -> Next {
        if life.heard.get() > self.last {
            self.asked = 0;
        }
        let allowed = if self.asked < FREE { Tick(0) } else { self.last + AGAIN };
        // It answered a little while ago, and asking again so soon would cost the connection.
        let doubtful = life.doubtful.get() && allowed <= now;
        life.doubtful.set(doubtful);
        if doubtful || life.awaited.get() {
            return self.ask(now);
        }
        if life.streams.get() == 0 {
            return Next::LookAt(now + SILENCE);
        }
        let quiet_since = life.heard.get().max(life.turned.get()).max(self.last);
        let due = (quiet_since + SILENCE).max(allowed);
        if due <= now { self.ask(now) } else { Next::LookAt(due) }
    }

    fn ask(&mut self, now: Tick) -> Next {
        self.asked += 1;
        self.last = now;
        Next::Ask
    }
}

/// Watches over one connection until it is over, and ends it when its upstream is gone.
pub async fn watch(life: Rc<Life>, mut ping: PingPong, timer: Timer, connection: AbortHandle) {
    let mut pace = Pace::default();
    loop {
        match pace.next(timer.now(), &life) {
            Next::LookAt(at) => {
                timer.set(Some(at));
                let over = std::future::poll_fn(|cx| {
                    if life.doubtful.get() || life.awaited.get() {
                        return Poll::Ready(false);
                    }
                    life.watcher.set(Some(cx.waker().clone()));
                    // No PING is out: what is ready here is the connection's end.
                    if ping.poll_pong(cx).is_ready() {
                        return Poll::Ready(true);
                    }
                    timer.poll_fired(cx).map(|_| false)
                });
                if over.await {
                    return;
                }
            }
            Next::Ask => {
                if ping.send_ping(Ping::opaque()).is_err() {
                    return life.close();
                }
                timer.set(Some(timer.now() + ANSWER));
                let pong = timer.guard(std::future::poll_fn(|cx| ping.poll_pong(cx))).await;
                match pong {
                    Ok(Ok(_)) => life.answered(),
                    Ok(Err(_)) => return life.close(),
                    Err(_) => {
                        life.close();
                        return connection.abort();
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Tick {
        Tick::from_secs(1_000 + seconds)
    }

    /// The seconds, up to `until`, at which a watcher asks.
    fn asks(life: &Life, pace: &mut Pace, until: u64) -> Vec<u64> {
        let mut asked = Vec::new();
        let mut now = 0;
        while now <= until {
            match pace.next(at(now), life) {
                Next::Ask => asked.push(now),
                Next::LookAt(then) => {
                    assert!(then > at(now), "it would look without end");
                    now = then.0.div_ceil(1_000_000_000) - 1_000;
                }
            }
        }
        asked
    }

    #[test]
    fn an_idle_connection_is_left_alone() {
        assert_eq!(asks(&Life::begin(at(0)), &mut Pace::default(), 3_000), [0u64; 0]);
    }

    #[test]
    fn silent_streams_are_asked_for_as_often_as_a_grpc_server_bears() {
        let life = Life::begin(at(0));
        life.stream_begins(at(0));
        let asked = asks(&life, &mut Pace::default(), 1_500);
        assert_eq!(asked, [30, 60, 360, 660, 960, 1_260]);
        // What a server holds against us: PINGs less than five minutes after the one before.
        let strikes = asked.windows(2).filter(|pair| pair[1] - pair[0] < 300).count();
        assert!(strikes <= 2, "gRFC A8: the third one ends the connection");
    }

    #[test]
    fn a_stream_that_says_something_in_time_is_never_asked_for() {
        let (life, mut pace) = (Life::begin(at(0)), Pace::default());
        life.stream_begins(at(0));
        for second in (0..600).step_by(29) {
            life.heard(at(second));
            assert!(matches!(pace.next(at(second), &life), Next::LookAt(_)));
        }
        assert_eq!(pace.next(at(609 + 30), &life), Next::Ask);
    }

    #[test]
    fn data_in_between_makes_pings_free_again() {
        let (life, mut pace) = (Life::begin(at(0)), Pace::default());
        life.stream_begins(at(0));
        assert_eq!(asks(&life, &mut pace, 100), [30, 60]);
        life.heard(at(101));
        assert_eq!(pace.next(at(131), &life), Next::Ask);
    }

    #[test]
    fn a_stream_given_up_in_silence_asks_at_once_and_keeps_others_away() {
        let (life, mut pace) = (Life::begin(at(0)), Pace::default());
        life.stream_begins(at(100));
        life.stream_ends(at(102), Some(at(100)));
        assert!(life.is_doubtful());
        assert_eq!(pace.next(at(102), &life), Next::Ask);
        life.answered();
        assert!(!life.is_doubtful());
    }

    #[test]
    fn a_quick_leave_or_an_answer_to_another_stream_raises_no_doubt() {
        let life = Life::begin(at(0));
        life.stream_begins(at(10));
        life.stream_ends(at(10) + Duration::from_millis(900), Some(at(10)));
        assert!(!life.is_doubtful(), "the client was in a hurry");
        life.stream_begins(at(20));
        life.heard(at(22));
        life.stream_ends(at(22), Some(at(20)));
        assert!(!life.is_doubtful(), "the upstream was heard while the stream waited");
        life.stream_begins(at(30));
        life.stream_ends(at(40), None);
        assert!(!life.is_doubtful(), "it had its answer");
    }

    #[test]
    fn slow_requests_do_not_make_a_grpc_server_close_the_connection() {
        let (life, mut pace) = (Life::begin(at(0)), Pace::default());
        let mut asked = Vec::new();
        for second in (0..900).step_by(3) {
            life.stream_begins(at(second));
            life.stream_ends(at(second + 2), Some(at(second)));
            if pace.next(at(second + 2), &life) == Next::Ask {
                asked.push(second + 2);
                life.answered();
            }
            assert!(!life.is_doubtful(), "not for longer than the question takes");
        }
        assert_eq!(asked, [2, 5, 305, 605]);
    }
}
