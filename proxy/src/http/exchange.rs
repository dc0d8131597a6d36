//! One exchange model for both protocols on both sides, so that policy, limits and metrics exist once.
//!
//! A body is read like a `BufRead` ([`Down::poll_fill`], `chunk`, `consume`) and written from a slice: no
//! reference-counted chunk is made where none is needed, and back-pressure is simply not reading. Enums instead
//! of trait objects or generics: two protocols, known for good, and the request path stays one monomorphic
//! function with readable errors.

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use causeway_proxy_http1::{Name, RequestHead, RequestKind, ResponseHead, Trailers, Value};
use causeway_proxy_policy::overload::Rest;

use super::{h1, h2};
use crate::timer::Timer;
use crate::worker::Worker;

/// What a body source has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    /// There is payload in `chunk`.
    Data,
    /// The body is complete; trailers, if any, are there.
    End,
}

/// How a body broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// The connection ended in the middle.
    Cut,
    /// The sender broke the framing.
    Framing(&'static str),
    /// The sender gave the stream up (HTTP/2 RST_STREAM).
    Reset,
}

/// What is said to the client along with a response head.
#[derive(Clone, Copy, Default)]
pub struct Response<'a> {
    /// Fields added behind the upstream's.
    pub extra: &'a [(Name, Value<'a>)],
    /// End the connection after this response.
    pub close: bool,
}

/// What is said to the upstream along with a request head.
#[derive(Clone, Copy, Default)]
pub struct Request<'a> {
    /// Path and query, where a filter changed them.
    pub path: Option<&'a [u8]>,
    /// Authority, where a filter changed it.
    pub host: Option<&'a [u8]>,
    /// Fields added behind the client's.
    pub extra: &'a [(Name, Value<'a>)],
}

/// The client's side of an exchange.
pub enum Down<'a> {
    /// HTTP/1.1 or 1.0.
    H1(&'a mut h1::ServerConn),
    /// One HTTP/2 stream.
    H2(&'a mut h2::ServerStream),
}

/// The upstream's side of an exchange.
pub enum Up {
    /// HTTP/1.1.
    H1(Box<h1::ClientConn>),
    /// One HTTP/2 stream.
    H2(Box<h2::ClientStream>),
}

macro_rules! each {
    ($self:expr, $side:ident => $call:expr) => {
        match $self {
            Self::H1($side) => $call,
            Self::H2($side) => $call,
        }
    };
}

impl Down<'_> {
    /// The exchange's one deadline: the connection's, or the stream's.
    pub fn timer(&self) -> Rc<Timer> {
        each!(self, side => side.timer.clone())
    }

    /// Makes request body available.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<Fill, BodyError>> {
        each!(self, side => side.poll_fill(cx))
    }

    /// The request body at hand.
    pub fn chunk(&self) -> &[u8] {
        each!(self, side => side.chunk())
    }

    /// Marks request body as used.
    pub fn consume(&mut self, n: usize) {
        each!(self, side => side.consume(n));
    }

    /// The request's trailers, once its body ended.
    pub fn trailers(&self) -> Option<&Trailers> {
        each!(self, side => side.trailers())
    }

    /// Whether the whole request has been read.
    pub fn request_ended(&self) -> bool {
        each!(self, side => side.request_ended())
    }

    /// Ready when the client has gone away.
    pub fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        each!(self, side => side.poll_gone(cx))
    }

    /// Queues a 1xx head.
    pub fn interim(&mut self, head: &ResponseHead) {
        each!(self, side => side.interim(head));
    }

    /// Queues a response head; the body follows by `poll_write`.
    pub fn respond(&mut self, head: &ResponseHead, options: Response<'_>) -> io::Result<()> {
        each!(self, side => side.respond(head, options))
    }

    /// Takes response body; says how much.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        each!(self, side => side.poll_write(cx, data))
    }

    /// Ends the response.
    pub fn finish(&mut self, trailers: Option<&Trailers>) -> io::Result<()> {
        each!(self, side => side.finish(trailers))
    }

    /// Sends what is queued.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, side => side.poll_flush(cx))
    }

    /// Whether something was taken that the client has not read yet, as far as we can see.
    pub fn has_output(&self) -> bool {
        each!(self, side => side.has_output())
    }

    /// Takes a response back of which no byte has left, so that another can be given instead; false: too late.
    pub fn take_back(&mut self) -> bool {
        each!(self, side => side.take_back())
    }

    /// Breaks the response off, so that the client cannot take it for complete.
    pub fn abort(&mut self) {
        each!(self, side => side.abort());
    }

    /// The client is given no time for a while where there is too little; says for how long. A pause of HTTP/2 holds up
    /// all that a connection has under way.
    pub fn rest(&mut self, worker: &Worker) -> Option<Duration> {
        let how = match self {
            Down::H1(_) => Rest::ONE,
            Down::H2(_) => Rest::MANY,
        };
        let rest = worker.load.rest(worker, how)?;
        Some(each!(self, side => side.rest(rest)))
    }

    /// Whether this request came while its connection was given no time, and so is old.
    pub fn waited(&self) -> bool {
        each!(self, side => side.waited())
    }

    /// Turns both directions into plain bytes, after the head of an upgrade was queued.
    pub fn start_tunnel(&mut self) {
        each!(self, side => side.start_tunnel());
    }

    /// Ends our direction of a tunnel.
    pub fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, side => side.poll_close(cx))
    }
}

impl Up {
    /// Queues the request head; the body follows by `poll_write`.
    pub fn request(&mut self, head: &RequestHead, options: Request<'_>) -> io::Result<()> {
        each!(self, side => side.request(head, options))
    }

    /// Takes request body; says how much.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        each!(self, side => side.poll_write(cx, data))
    }

    /// Ends the request.
    pub fn finish(&mut self, trailers: Option<&Trailers>) -> io::Result<()> {
        each!(self, side => side.finish(trailers))
    }

    /// Sends what is queued.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, side => side.poll_flush(cx))
    }

    /// Reads a response head, interim or final, into `head`.
    pub fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        kind: RequestKind,
        head: &mut ResponseHead,
    ) -> Poll<Result<(), HeadError>> {
        each!(self, side => side.poll_head(cx, kind, head))
    }

    /// Makes response body available.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<Fill, BodyError>> {
        each!(self, side => side.poll_fill(cx))
    }

    /// The response body at hand.
    pub fn chunk(&self) -> &[u8] {
        each!(self, side => side.chunk())
    }

    /// Marks response body as used.
    pub fn consume(&mut self, n: usize) {
        each!(self, side => side.consume(n));
    }

    /// The response's trailers, once its body ended.
    pub fn trailers(&self) -> Option<&Trailers> {
        each!(self, side => side.trailers())
    }

    /// Turns both directions into plain bytes, after the head of an upgrade was read.
    pub fn start_tunnel(&mut self) {
        each!(self, side => side.start_tunnel());
    }

    /// Ends our direction of a tunnel.
    pub fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, side => side.poll_close(cx))
    }
}

/// Why no response head came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadError {
    /// The connection ended or was reset first.
    Reset,
    /// The upstream says that it did not process the request (REFUSED_STREAM, GOAWAY below the stream).
    Refused,
    /// What came is not HTTP.
    Malformed(&'static str),
}
