//! The load generator.
//!
//! One thread, edge-triggered epoll by mio, nothing allocated for a request: generator and origin share a CPU, and
//! what they use of it is missing where the proxy under test is fast. wrk2, h2load and fortio were considered; no
//! single one of them has both protocols, the open loop, users in turn and marks for the measured time, and two of
//! them side by side do not count alike.
//!
//! **Open loop.** Requests are due at a fixed rate, whatever the proxy does, and their latency counts from when they
//! were due. A proxy that stalls is charged for every request which it kept from being sent ("coordinated omission",
//! G. Tene, "How NOT to Measure Latency", 2013).

mod driver;
pub(crate) mod head;
mod hold;
mod http1;
mod http2;
mod pace;
mod request;
mod socket;
mod speaker;
mod tally;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use driver::Driver;
pub use hold::{Held, hold};

/// What is spoken on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Protocol {
    /// HTTP/1.1, one request at a time on a connection.
    Http1,
    /// HTTP/2, with prior knowledge where there is no TLS.
    Http2,
}

/// What is sent, where and for how long.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The server.
    pub to: SocketAddr,
    /// What is spoken to it.
    pub protocol: Protocol,
    /// TLS to the server name `localhost`, where there is a configuration. Its ALPN is the caller's affair.
    pub tls: Option<Arc<rustls::ClientConfig>>,
    /// Connections.
    pub connections: usize,
    /// HTTP/2: requests under way at most on each connection. HTTP/1.1 takes it as 1.
    pub streams: usize,
    /// Requests a second over all connections (open loop). `None`: the next one as soon as there is an answer.
    pub rate: Option<f64>,
    /// Open loop: a request that is due and finds no connection free is given up, as by a client that has had enough.
    /// Otherwise it waits for one, and its latency counts from when it was due. Nor is waited for what is under way at
    /// the end.
    pub impatient: bool,
    /// A connection whose request was not answered with 2xx is left alone for as long as `Retry-After` asks for, and
    /// for a second at least; over HTTP/2, whose fields are not read, the place of a stream for a second.
    pub polite: bool,
    /// The request's path.
    pub path: String,
    /// HTTP/1.1: a new connection for each request, with `Connection: close`.
    pub fresh: bool,
    /// `x-user-id` is `user-0`, `user-1` and so on up to this many, in turn.
    pub users: usize,
    /// Sent, but not counted.
    pub warm_up: Duration,
    /// The measured time.
    pub length: Duration,
}

impl Plan {
    /// HTTP/1.1 without TLS: `GET /` for 10,000 users on one connection in a closed loop, for 5 s after 1 s.
    pub fn new(to: SocketAddr) -> Plan {
        Plan {
            to,
            protocol: Protocol::Http1,
            tls: None,
            connections: 1,
            streams: 1,
            rate: None,
            impatient: false,
            polite: false,
            path: "/".to_owned(),
            fresh: false,
            users: 10_000,
            warm_up: Duration::from_secs(1),
            length: Duration::from_secs(5),
        }
    }
}

/// Where a run has got to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The warm-up is over: what is answered from here on counts.
    Begin,
    /// The measured time is over, and what was begun in it is answered.
    End,
}

/// What came of a run, in the measured time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Requests with a whole answer and a status of 2xx. The latencies are theirs.
    pub requests: u64,
    /// How long the measured time was, exactly.
    pub seconds: f64,
    /// Connections refused or broken, requests lost with them, and answers with another status.
    pub errors: u64,
    /// Open loop: requests due but not sent by the end, because no connection was free.
    pub late: u64,
    /// Bytes of the answers' bodies.
    pub bytes: u64,
    /// Half of the latencies are at most this, in microseconds.
    pub p50_us: f64,
    /// 90 % are.
    pub p90_us: f64,
    /// 99 % are.
    pub p99_us: f64,
    /// 99.9 % are.
    pub p999_us: f64,
    /// All are.
    pub max_us: f64,
}

/// Carries out a plan in one go. `at` is called when the measured time begins and when it is over, and may stop the
/// run.
///
/// # Errors
/// Nobody listens, there are no descriptors, or what `at` returned. Errors later on are counted.
pub fn run(plan: &Plan, at: &mut dyn FnMut(Moment) -> Result<(), String>) -> Result<Outcome, String> {
    let mut session = Session::open(plan)?;
    session.slice(plan.length, at)?;
    Ok(session.outcome())
}

/// Thousands of connections take longer than the planned warm-up to open, on both sides of a proxy; that is not what
/// is measured. Slower than this is measured with the rest.
const LONGEST_WARM_UP: Duration = Duration::from_secs(20);

/// How long answers are waited for at the end of a slice.
const LONGEST_DRAIN: Duration = Duration::from_secs(5);

/// A load that can be paused, so that several servers are measured by turns: on a machine whose speed changes from
/// second to second, only what is measured within the same second compares.
pub struct Session {
    driver: Driver,
    late: u64,
    measured: Duration,
}

impl Session {
    /// Opens the connections, warms up, and pauses.
    ///
    /// # Errors
    /// Nobody listens, or there are no descriptors.
    pub fn open(plan: &Plan) -> Result<Session, String> {
        let mut driver = Driver::new(plan)?;
        driver.open_all()?;
        let began = Instant::now();
        driver.go_on_until(began + plan.warm_up)?;
        let wanted = plan.connections as u64;
        while driver.tally.good < wanted && !plan.warm_up.is_zero() && began.elapsed() < LONGEST_WARM_UP {
            driver.go_on_until(Instant::now() + plan.warm_up)?;
        }
        if !plan.impatient {
            driver.drain(LONGEST_DRAIN)?;
        }
        driver.tally.clear();
        Ok(Session { driver, late: 0, measured: Duration::ZERO })
    }

    /// Works for this long, and then until all that was begun is answered: so the server's costs in between are those
    /// of the requests that count, no more and no fewer.
    ///
    /// # Errors
    /// What `at` returned, or the system refuses to wait.
    pub fn slice(
        &mut self,
        length: Duration,
        at: &mut dyn FnMut(Moment) -> Result<(), String>,
    ) -> Result<(), String> {
        at(Moment::Begin)?;
        let begin = Instant::now();
        self.driver.pace_from(begin);
        self.driver.go_on_until(begin + length)?;
        self.late += self.driver.late(begin + length);
        // The impatient do not wait for the rest.
        if !self.driver.impatient {
            self.driver.drain(LONGEST_DRAIN)?;
        }
        self.measured += begin.elapsed();
        at(Moment::End)
    }

    /// What came of all slices.
    pub fn outcome(&self) -> Outcome {
        let tally = &self.driver.tally;
        Outcome {
            requests: tally.good,
            seconds: self.measured.as_secs_f64(),
            errors: tally.errors,
            late: self.late,
            bytes: tally.bytes,
            p50_us: tally.quantile(0.5),
            p90_us: tally.quantile(0.9),
            p99_us: tally.quantile(0.99),
            p999_us: tally.quantile(0.999),
            max_us: tally.quantile(1.0),
        }
    }
}
