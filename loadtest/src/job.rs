//! What the peers are asked to do.

use serde::{Deserialize, Serialize};

use crate::load::Protocol;
use crate::peer::Peer;

/// Requests a second of the open-loop jobs: a quarter of what the slowest peer can do, so that latency is not the
/// length of a queue.
pub const PACE: f64 = 5_000.0;

/// Idle connections whose memory is measured.
pub const IDLE: usize = 5_000;

/// One row of the comparison.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Job {
    /// HTTP/1.1, 64 kept connections, 1 KiB.
    Http1,
    /// HTTP/1.1, 64 kept connections, 100 bytes.
    Http1Small,
    /// HTTP/1.1 in an open loop at [`PACE`].
    Http1Paced,
    /// TLS 1.3, HTTP/1.1, 64 kept connections.
    Tls,
    /// The same in an open loop at [`PACE`].
    TlsPaced,
    /// HTTP/2 over TLS, 8 connections of 32 streams.
    Http2,
    /// The same in an open loop at [`PACE`].
    Http2Paced,
    /// A new connection for each request.
    Close,
    /// 64 KiB bodies.
    Body64k,
    /// 10 MiB bodies.
    Body10m,
    /// 1,000 kept connections.
    Many,
    /// 9,000 kept connections.
    Most,
    /// [`IDLE`] idle connections.
    Idle,
    /// [`IDLE`] idle TLS connections.
    IdleTls,
    /// HTTP/1.1 at [`PACE`], our proxy with one worker and with two, both free to use two CPUs.
    Workers,
}

/// The shape of a job's load.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// What is spoken.
    pub protocol: Protocol,
    /// Over TLS.
    pub tls: bool,
    /// Connections.
    pub connections: usize,
    /// Streams a connection.
    pub streams: usize,
    /// Requests a second, where it is an open loop.
    pub rate: Option<f64>,
    /// What is asked for.
    pub path: &'static str,
    /// A connection for each request.
    pub fresh: bool,
}

impl Job {
    /// All, in the order of reports.
    pub const ALL: [Job; 15] = [
        Job::Http1,
        Job::Http1Small,
        Job::Http1Paced,
        Job::Tls,
        Job::TlsPaced,
        Job::Http2,
        Job::Http2Paced,
        Job::Close,
        Job::Body64k,
        Job::Body10m,
        Job::Many,
        Job::Most,
        Job::Idle,
        Job::IdleTls,
        Job::Workers,
    ];

    /// Its name for people.
    pub fn title(self) -> &'static str {
        match self {
            Job::Http1 => "HTTP/1.1, 1 KiB",
            Job::Http1Small => "HTTP/1.1, 100 B",
            Job::Http1Paced => "HTTP/1.1 at 5,000/s",
            Job::Tls => "TLS 1.3, 1 KiB",
            Job::TlsPaced => "TLS 1.3 at 5,000/s",
            Job::Http2 => "HTTP/2, 1 KiB",
            Job::Http2Paced => "HTTP/2 at 5,000/s",
            Job::Close => "new connection a request",
            Job::Body64k => "64 KiB bodies",
            Job::Body10m => "10 MiB bodies",
            Job::Many => "1,000 connections",
            Job::Most => "9,000 connections",
            Job::Idle => "5,000 idle",
            Job::IdleTls => "5,000 idle, TLS",
            Job::Workers => "two CPUs at 5,000/s",
        }
    }

    /// Its load.
    pub fn shape(self) -> Shape {
        let base = Shape {
            protocol: Protocol::Http1,
            tls: false,
            connections: 64,
            streams: 1,
            rate: None,
            path: "/",
            fresh: false,
        };
        let http2 = Shape { protocol: Protocol::Http2, tls: true, connections: 8, streams: 32, ..base };
        match self {
            Job::Http1 => base,
            Job::Http1Small => Shape { path: "/bytes/100", ..base },
            Job::Http1Paced | Job::Workers => Shape { rate: Some(PACE), ..base },
            Job::Tls => Shape { tls: true, ..base },
            Job::TlsPaced => Shape { tls: true, rate: Some(PACE), ..base },
            Job::Http2 => http2,
            Job::Http2Paced => Shape { rate: Some(PACE), ..http2 },
            Job::Close => Shape { fresh: true, ..base },
            Job::Body64k => Shape { path: "/bytes/65536", ..base },
            Job::Body10m => Shape { path: "/bytes/10485760", connections: 8, ..base },
            Job::Many => Shape { connections: 1_000, ..base },
            Job::Most => Shape { connections: 9_000, ..base },
            Job::Idle => Shape { connections: IDLE, ..base },
            Job::IdleTls => Shape { connections: IDLE, tls: true, ..base },
        }
    }

    /// Whether connections are only held.
    pub fn is_idle(self) -> bool {
        matches!(self, Job::Idle | Job::IdleTls)
    }

    /// Whether peers do it by turns, all started at once. Thousands of connections to each would need more descriptors
    /// than a process may have, and memory is not a matter of the moment.
    pub fn by_turns(self) -> bool {
        !self.is_idle() && !matches!(self, Job::Many | Job::Most)
    }

    /// Whether this peer is asked to do it.
    pub fn is_for(self, peer: Peer) -> bool {
        match peer {
            // What it relays is cleartext, and it opens an upstream connection for each.
            Peer::Relay => !self.shape().tls && !self.is_idle() && self != Job::Workers,
            Peer::CausewayTwo => self == Job::Workers,
            Peer::Causeway => true,
            _ => self != Job::Workers,
        }
    }

    /// Rounds in which a peer does it, of `rounds`. What no goal compares is there to be seen, and memory is the same
    /// each time: both need less.
    pub fn rounds(self, rounds: usize, peer: Peer) -> usize {
        let most = match (self.by_turns(), peer.is_contender()) {
            (true, true) => rounds,
            (true, false) => 3,
            (false, true) => 2,
            (false, false) => 1,
        };
        rounds.min(most)
    }
}
