//! Body halves of an HTTP/2 stream.

use std::io;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use causeway_proxy_http1::Trailers;
use h2::{RecvStream, SendStream};

use super::fields;
use super::malformed::Malformed;
use crate::http::exchange::{BodyError, Fill};

/// Bytes handed to `h2` at once: one default DATA frame.
const STEP: usize = 16 * 1024;

/// The receiving half.
pub struct Receiving {
    stream: Option<(RecvStream, Malformed)>,
    chunk: Bytes,
    ended: bool,
    trailers: Option<Trailers>,
}

impl Receiving {
    /// No body.
    pub fn none() -> Receiving {
        Receiving { stream: None, chunk: Bytes::new(), ended: true, trailers: None }
    }

    /// The body of `stream`.
    pub fn new(stream: RecvStream, malformed: Malformed) -> Receiving {
        let ended = stream.is_end_stream();
        Receiving { ended, stream: Some((stream, malformed)), chunk: Bytes::new(), trailers: None }
    }

    /// Makes payload available.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<Fill, BodyError>> {
        loop {
            if !self.chunk.is_empty() {
                return Poll::Ready(Ok(Fill::Data));
            }
            let Some((stream, malformed)) = self.stream.as_mut().filter(|_| !self.ended) else {
                return Poll::Ready(Ok(Fill::End));
            };
            match ready!(stream.poll_data(cx)) {
                Some(Ok(chunk)) => self.chunk = chunk,
                Some(Err(e)) => return Poll::Ready(Err(broken(&e))),
                None => match ready!(stream.poll_trailers(cx)) {
                    Ok(trailers) => {
                        if trailers.is_some() && malformed.is_end(stream.stream_id().as_u32()) {
                            return Poll::Ready(Err(BodyError::Framing("a pseudo-header field in trailers")));
                        }
                        self.ended = true;
                        if let Some(map) = trailers {
                            let trailers = fields::trailers_from_map(&map);
                            self.trailers = Some(trailers.ok_or(BodyError::Framing("invalid trailers"))?);
                        }
                    }
                    Err(e) => return Poll::Ready(Err(broken(&e))),
                },
            }
        }
    }

    /// The payload at hand.
    pub fn chunk(&self) -> &[u8] {
        &self.chunk
    }

    /// Marks payload as used, which opens the sender's window again: back-pressure end to end.
    pub fn consume(&mut self, n: usize) {
        self.chunk.advance(n);
        if let Some((stream, _)) = &mut self.stream {
            // Fails only on a stream that is over anyway.
            let _ = stream.flow_control().release_capacity(n);
        }
    }

    /// Trailers of a body that ended.
    pub fn trailers(&self) -> Option<&Trailers> {
        self.trailers.as_ref().filter(|trailers| !trailers.is_empty())
    }

    /// Whether the body is complete and used up.
    pub fn ended(&self) -> bool {
        self.ended && self.chunk.is_empty()
    }
}

fn broken(error: &h2::Error) -> BodyError {
    if error.is_reset() { BodyError::Reset } else { BodyError::Cut }
}

/// How far an extended CONNECT (RFC 8441) has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tunnel {
    /// An ordinary exchange.
    No,
    /// Asked for. The stream stays open both ways, and what comes on it must wait for the answer.
    Asked,
    /// Data frames are the tunnel's bytes.
    Open,
}

/// The sending half.
pub struct Sending {
    stream: Option<SendStream<Bytes>>,
    /// Bytes still owed of an announced length.
    owed: Option<u64>,
    /// The last of them, held until it is known whether it carries END_STREAM or trailers follow.
    last: Bytes,
    ended: bool,
}

impl Sending {
    /// Nothing is to be sent.
    pub fn none() -> Sending {
        Sending { stream: None, owed: None, last: Bytes::new(), ended: true }
    }

    /// A body of `length` bytes, if that is known. `ended`: the head carried END_STREAM.
    pub fn new(stream: SendStream<Bytes>, length: Option<u64>, ended: bool) -> Sending {
        Sending { stream: Some(stream), owed: length, last: Bytes::new(), ended }
    }

    /// Takes body bytes; says how many.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let Some(stream) = self.stream.as_mut().filter(|_| !self.ended) else {
            return Poll::Ready(Err(io::Error::other("more body than was announced")));
        };
        if self.owed.is_some_and(|owed| data.len() as u64 > owed) {
            return Poll::Ready(Err(io::Error::other("more body than was announced")));
        }
        let want = data.len().min(STEP);
        stream.reserve_capacity(want);
        let room = loop {
            match stream.capacity() {
                0 => match ready!(stream.poll_capacity(cx)) {
                    Some(Ok(0)) => {}
                    Some(Ok(n)) => break n,
                    Some(Err(e)) => return Poll::Ready(Err(io::Error::other(e))),
                    None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
                },
                n => break n,
            }
        };
        let n = room.min(want);
        self.owed = self.owed.map(|owed| owed - n as u64);
        let piece = Bytes::copy_from_slice(&data[..n]);
        if self.owed == Some(0) {
            self.last = piece;
        } else {
            stream.send_data(piece, false).map_err(io::Error::other)?;
        }
        Poll::Ready(Ok(n))
    }

    /// Sends what is held: whoever has more to say is not there yet.
    pub fn flush(&mut self) -> io::Result<()> {
        match &mut self.stream {
            Some(stream) if !self.last.is_empty() => {
                stream.send_data(std::mem::take(&mut self.last), false).map_err(io::Error::other)
            }
            _ => Ok(()),
        }
    }

    /// Ends the body.
    pub fn finish(&mut self, trailers: Option<&Trailers>) -> io::Result<()> {
        let Some(stream) = self.stream.as_mut().filter(|_| !self.ended) else { return Ok(()) };
        if self.owed.is_some_and(|owed| owed > 0) {
            return Err(io::Error::other("less body than was announced"));
        }
        self.ended = true;
        let last = std::mem::take(&mut self.last);
        match trailers {
            None => stream.send_data(last, true),
            Some(trailers) => {
                if !last.is_empty() {
                    stream.send_data(last, false).map_err(io::Error::other)?;
                }
                stream.send_trailers(fields::trailers_to_map(trailers))
            }
        }
        .map_err(io::Error::other)
    }

    /// Whether the body is complete.
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// Breaks off.
    pub fn reset(&mut self, reason: h2::Reason) {
        if let Some(stream) = &mut self.stream {
            stream.send_reset(reason);
        }
    }

    /// Ready when the other side gave the stream up.
    pub fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.stream {
            Some(stream) => stream.poll_reset(cx).map(|_| ()),
            None => Poll::Pending,
        }
    }
}
