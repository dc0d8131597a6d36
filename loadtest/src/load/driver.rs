//! The loop: send what is due, wait, read answers.
//!
//! A connection has a *place* for each request that it may have under way. Places are free, under way, parked (the
//! server allows fewer) or at rest (the connection broke at once, and to try again at once would keep the CPU from
//! whoever is to accept it). Free ones are taken in turn, so that at a low rate all connections are used alike.

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::{Events, Poll, Token};
use rustls::ClientConfig;

use super::http1::Http1;
use super::http2::Http2;
use super::pace::{Alarm, Pace};
use super::request::Requests;
use super::socket::{Received, SCRATCH, Socket};
use super::speaker::Speaker;
use super::tally::{Broken, Tally};
use super::{Plan, Protocol};

/// Handled between two looks at what is due.
const EVENTS: usize = 256;

/// How long a place rests after a connection that broke before it was of any use.
const REST: Duration = Duration::from_millis(10);

const ALARM: Token = Token(usize::MAX);

/// A generator at work.
pub struct Driver {
    to: SocketAddr,
    tls: Option<Arc<ClientConfig>>,
    /// A connection may have more than one request under way.
    many: bool,
    poll: Poll,
    events: Events,
    alarm: Alarm,
    requests: Requests,
    rate: Option<f64>,
    pace: Pace,
    /// See [`Plan::impatient`].
    pub impatient: bool,
    polite: bool,
    /// Requests that were due and given up.
    given_up: u64,
    fresh: bool,
    connections: Vec<Connection>,
    free: VecDeque<usize>,
    resting: VecDeque<(Instant, usize)>,
    /// Places of polite clients that were refused.
    away: BTreeSet<(Instant, usize)>,
    /// With requests that are not yet written.
    unsent: Vec<usize>,
    scratch: Box<[u8]>,
    /// What came of it so far.
    pub tally: Tally,
}

struct Connection {
    socket: Option<Socket>,
    out: Vec<u8>,
    speaker: Box<dyn Speaker>,
    parked: usize,
    /// It is in `unsent`.
    unsent: bool,
    /// There was an answer on this socket.
    useful: bool,
}

impl Driver {
    /// One that is ready to begin.
    ///
    /// # Errors
    /// A plan that cannot be carried out, or no descriptors.
    pub fn new(plan: &Plan) -> Result<Driver, String> {
        if plan.rate.is_some_and(|rate| !(rate > 0.0 && rate.is_finite())) {
            return Err(format!("a rate of {:?} requests a second", plan.rate));
        }
        let http2 = plan.protocol == Protocol::Http2;
        let fresh = plan.fresh && !http2;
        let speaker = || -> Box<dyn Speaker> {
            if http2 { Box::new(Http2::new(plan.streams)) } else { Box::new(Http1::new(fresh)) }
        };
        let connection = |_| Connection {
            socket: None,
            out: Vec::new(),
            speaker: speaker(),
            parked: 0,
            unsent: false,
            useful: false,
        };
        let places = if http2 { plan.streams.max(1) } else { 1 };
        let poll = Poll::new().map_err(|e| format!("epoll: {e}"))?;
        Ok(Driver {
            to: plan.to,
            tls: plan.tls.clone(),
            many: http2,
            alarm: Alarm::new(poll.registry(), ALARM).map_err(|e| format!("a timer: {e}"))?,
            poll,
            events: Events::with_capacity(EVENTS),
            requests: Requests::new(plan)?,
            rate: plan.rate,
            pace: Pace::new(plan.rate, Instant::now()),
            impatient: plan.impatient,
            polite: plan.polite,
            given_up: 0,
            fresh,
            connections: (0..plan.connections).map(connection).collect(),
            free: (0..places).flat_map(|_| 0..plan.connections).collect(),
            resting: VecDeque::new(),
            away: BTreeSet::new(),
            unsent: Vec::new(),
            scratch: vec![0; SCRATCH].into(),
            tally: Tally::new()?,
        })
    }

    /// Opens all connections, unless each request opens its own.
    ///
    /// # Errors
    /// One that is refused at once.
    pub fn open_all(&mut self) -> Result<(), String> {
        for at in 0..if self.fresh { 0 } else { self.connections.len() } {
            self.open(at)?;
            if let Some(socket) = &self.connections[at].socket {
                socket.check()?;
            }
            self.flush(at);
        }
        self.pace = Pace::new(self.rate, Instant::now());
        Ok(())
    }

    /// Works until this time.
    ///
    /// # Errors
    /// The system refuses to wait.
    pub fn go_on_until(&mut self, end: Instant) -> Result<(), String> {
        loop {
            let now = Instant::now();
            if now >= end {
                return Ok(());
            }
            let next = self.send_due(now);
            self.flush_unsent();
            self.wait(next.map_or(end, |next| next.min(end)))?;
        }
    }

    /// Starts the rate anew. What was due before and not sent never will be.
    pub fn pace_from(&mut self, begin: Instant) {
        self.pace = Pace::new(self.rate, begin);
        self.given_up = 0;
    }

    /// Requests that were due before this time and were not sent.
    pub fn late(&self, end: Instant) -> u64 {
        self.given_up + self.pace.late(end)
    }

    /// Waits for the answers to what is under way, and begins nothing.
    ///
    /// # Errors
    /// The system refuses to wait.
    pub fn drain(&mut self, patience: Duration) -> Result<(), String> {
        let until = Instant::now() + patience;
        while self.connections.iter().any(|one| one.speaker.under_way() > 0) && Instant::now() < until {
            self.flush_unsent();
            self.wait(until)?;
        }
        Ok(())
    }

    /// Starts what is due, as far as there are places. Returns when there will be more to start.
    fn send_due(&mut self, now: Instant) -> Option<Instant> {
        while let Some((_, at)) = self.resting.pop_front_if(|(until, _)| *until <= now) {
            self.free.push_back(at);
        }
        while self.away.first().is_some_and(|(until, _)| *until <= now) {
            self.free.extend(self.away.pop_first().map(|(_, at)| at));
        }
        let mut next = None;
        while let Some(&at) = self.free.front() {
            let due = self.pace.due();
            if due > now && !self.pace.is_closed() {
                next = Some(due);
                break;
            }
            self.free.pop_front();
            let connection = &mut self.connections[at];
            if connection.socket.is_some() && connection.speaker.under_way() >= connection.speaker.limit() {
                connection.parked += 1;
                continue;
            }
            self.pace.take();
            self.start(at, due);
        }
        if self.impatient && next.is_none() {
            self.given_up += self.pace.skip(now);
        }
        // Not before: what was started may have broken at once.
        let rested = [self.resting.front(), self.away.first()].map(|rest| rest.map(|&(until, _)| until));
        next.into_iter().chain(rested.into_iter().flatten()).min()
    }

    /// Starts a request on this connection.
    pub fn start(&mut self, at: usize, due: Instant) {
        if self.connections[at].socket.is_none()
            && let Err(reason) = self.open(at)
        {
            self.tally.failed(1, reason);
            self.resting.push_back((Instant::now() + REST, at));
            return;
        }
        let connection = &mut self.connections[at];
        connection.speaker.start(self.requests.next(), due, &mut connection.out);
        if !self.many {
            self.flush(at);
        } else if !connection.unsent {
            connection.unsent = true;
            self.unsent.push(at);
        }
    }

    /// Writes the requests of this turn, those of one connection together.
    pub fn flush_unsent(&mut self) {
        while let Some(at) = self.unsent.pop() {
            self.connections[at].unsent = false;
            self.flush(at);
        }
    }

    /// Sleeps until something happens or until this time, and handles what happened.
    ///
    /// # Errors
    /// The system refuses.
    pub fn wait(&mut self, until: Instant) -> Result<(), String> {
        self.alarm.set(until).map_err(|e| format!("a timer: {e}"))?;
        self.poll(None).map(|_| ())
    }

    /// Connections that are open, after a look at each of which there is news.
    ///
    /// # Errors
    /// The system refuses.
    pub fn open_now(&mut self) -> Result<usize, String> {
        while self.poll(Some(Duration::ZERO))? > 0 {}
        Ok(self.connections.iter().filter(|connection| connection.socket.is_some()).count())
    }

    fn poll(&mut self, timeout: Option<Duration>) -> Result<usize, String> {
        match self.poll.poll(&mut self.events, timeout) {
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => return Ok(0),
            polled => polled.map_err(|e| format!("epoll: {e}"))?,
        }
        // Taken out for as long as they are handled; an empty one costs nothing.
        let events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        let mut handled = 0;
        for event in &events {
            self.handle(event);
            handled += 1;
        }
        self.events = events;
        Ok(handled)
    }

    fn handle(&mut self, event: &Event) {
        let at = event.token().0;
        // The alarm has no connection.
        let Some(connection) = self.connections.get_mut(at) else { return };
        let Connection { socket: Some(socket), out, speaker, useful, .. } = connection else { return };
        let (under_way, limit, errors) = (speaker.under_way(), speaker.limit(), self.tally.errors);
        let ended = event.is_read_closed() || event.is_error();
        let mut received = Ok(Received::Open);
        if event.is_readable() || ended {
            let tally = &mut self.tally;
            let take: &mut dyn FnMut(&[u8]) -> Result<bool, Broken> =
                &mut |bytes| speaker.take(bytes, out, tally);
            received = socket.receive(&mut self.scratch, ended, take);
        }
        if received == Ok(Received::Ended) {
            // It is an error, even right after an answer, unless it is how the answer ends.
            let before = speaker.under_way();
            speaker.ended(&mut self.tally);
            if speaker.under_way() < before {
                received = Ok(Received::Enough);
            }
        }
        let answered = under_way.saturating_sub(speaker.under_way());
        *useful |= answered > 0;
        if speaker.limit() > limit {
            self.free.extend(std::iter::repeat_n(at, std::mem::take(&mut connection.parked)));
        }
        let refused =
            if self.polite { (self.tally.errors - errors).min(answered as u64) as usize } else { 0 };
        if refused > 0 {
            let until = Instant::now() + Duration::from_secs(self.tally.retry_after.max(1));
            // One for each of its places: the time tells them apart.
            self.away.extend((0..refused as u64).map(|i| (until + Duration::from_nanos(i), at)));
        }
        self.free.extend(std::iter::repeat_n(at, answered - refused));
        match received {
            Ok(Received::Open) => self.flush(at),
            Ok(Received::Enough) => self.close(at),
            Ok(Received::Ended) => self.broken(at, "the server closed the connection".to_owned()),
            Err(reason) => self.broken(at, reason),
        }
    }

    fn flush(&mut self, at: usize) {
        let Connection { socket: Some(socket), out, .. } = &mut self.connections[at] else { return };
        if let Err(reason) = socket.flush(out) {
            self.broken(at, reason);
        }
    }

    fn open(&mut self, at: usize) -> Result<(), String> {
        let connection = &mut self.connections[at];
        let socket = Socket::open(self.to, self.tls.as_ref(), self.poll.registry(), Token(at))?;
        connection.socket = Some(socket);
        connection.useful = false;
        connection.out.clear();
        connection.speaker.opened(&mut connection.out);
        Ok(())
    }

    /// In good order, with nothing under way.
    fn close(&mut self, at: usize) {
        let connection = &mut self.connections[at];
        if let Some(socket) = connection.socket.take() {
            socket.close();
        }
        self.free.extend(std::iter::repeat_n(at, std::mem::take(&mut connection.parked)));
    }

    fn broken(&mut self, at: usize, reason: String) {
        let connection = &mut self.connections[at];
        connection.socket = None;
        let lost = connection.speaker.under_way();
        self.tally.failed(lost.max(1) as u64, reason);
        let places = lost + std::mem::take(&mut connection.parked);
        if connection.useful {
            self.free.extend(std::iter::repeat_n(at, places));
        } else {
            let until = Instant::now() + REST;
            self.resting.extend(std::iter::repeat_n((until, at), places));
        }
    }
}
