//! The upstream's side: one request at a time on a connection that the pool lends.

use std::io;
use std::task::{Context, Poll, ready};

use causeway_proxy_http1::{
    Framing, Limits, RequestHead, RequestKind, RequestOut, ResponseHead, Trailers, parse_response,
    write_request,
};

use crate::http::exchange::{BodyError, Fill, HeadError, Request};
use crate::http::h1::Wire;
use crate::http::stream::Stream;
use crate::listen::proxy_protocol::Addresses;
use crate::upstream::permit::ConnectionPermit;

/// One connection to an upstream.
pub struct ClientConn {
    wire: Wire,
    /// Counts the connection as long as it lives.
    pub permit: ConnectionPermit,
    limits: Limits,
    resume: usize,
    /// The response that is being read lets the connection live on.
    persistent: bool,
    /// Something of the present response has arrived.
    answered: bool,
    /// Requests sent so far.
    served: u32,
    /// The client that it was announced for, to an upstream that is told of clients.
    announced: Option<Box<Addresses>>,
}

impl ClientConn {
    /// A connection that was just made.
    pub fn new(
        stream: Stream,
        buffers: &crate::http::buffer::BufferPool,
        permit: ConnectionPermit,
        announced: Option<Addresses>,
    ) -> ClientConn {
        ClientConn {
            wire: Wire::new(stream, buffers),
            permit,
            limits: Limits::default(),
            resume: 0,
            persistent: true,
            answered: false,
            served: 0,
            announced: announced.map(Box::new),
        }
    }

    /// The client that it was announced for: it must carry no other's requests.
    pub fn announced(&self) -> Option<&Addresses> {
        self.announced.as_deref()
    }

    /// Whether this connection carried a request before: a reset may then mean that the upstream closed an
    /// idle connection at the moment we used it.
    pub fn was_used_before(&self) -> bool {
        self.served > 1
    }

    /// Whether any byte of the present response has arrived.
    pub fn answered(&self) -> bool {
        self.answered
    }

    /// Whether an idle connection must not be used: it closed, or said something unasked.
    pub fn is_stale(&mut self) -> bool {
        self.wire.is_stirring()
    }

    /// Whether another request may follow: both bodies complete, nothing left over, nobody wants to close.
    pub fn is_reusable(&self) -> bool {
        self.persistent
            && self.wire.body_ended()
            && self.wire.body_written()
            && !self.wire.has_output()
            && self.wire.input.data().is_empty()
    }

    /// Gives buffers back while idle.
    pub fn park(&mut self) {
        self.wire.park();
    }

    /// Queues a request head.
    pub fn request(&mut self, head: &RequestHead, options: Request<'_>) -> io::Result<()> {
        self.served = self.served.saturating_add(1);
        (self.answered, self.persistent, self.resume) = (false, false, 0);
        let out = RequestOut {
            path: options.path,
            host: options.host,
            extra: options.extra,
            ..RequestOut::of(head)
        };
        write_request(head, self.wire.output(), &out);
        self.wire.start_reading(Framing::None);
        self.wire.start_writing(out.framing);
        Ok(())
    }

    /// Takes request body.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.wire.poll_write(cx, data)
    }

    /// Ends the request.
    pub fn finish(&mut self, trailers: Option<&Trailers>) -> io::Result<()> {
        self.wire.finish(trailers)
    }

    /// Sends what is queued.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.wire.poll_flush(cx)
    }

    /// Reads a response head.
    pub fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        kind: RequestKind,
        head: &mut ResponseHead,
    ) -> Poll<Result<(), HeadError>> {
        loop {
            if !self.wire.input.data().is_empty() {
                let parsed =
                    parse_response(self.wire.input.data(), &self.limits, kind, &mut self.resume, head)
                        .map_err(|e| HeadError::Malformed(e.reason()))?;
                if let Some(consumed) = parsed {
                    self.wire.input.consume(consumed);
                    self.resume = 0;
                    if !head.is_interim() {
                        self.persistent = head.persistent && !head.tunnel;
                        let framing = if head.tunnel { Framing::UntilClose } else { head.framing };
                        self.wire.start_reading(framing);
                    }
                    return Poll::Ready(Ok(()));
                }
            }
            if self.wire.input.is_full() {
                self.wire.input.grow();
            }
            match ready!(self.wire.poll_read(cx)) {
                Ok(n) if n > 0 => self.answered = true,
                _ => return Poll::Ready(Err(HeadError::Reset)),
            }
        }
    }

    /// Makes response body available.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<Fill, BodyError>> {
        self.wire.poll_fill(cx)
    }

    /// The response body at hand.
    pub fn chunk(&self) -> &[u8] {
        self.wire.chunk()
    }

    /// Marks response body as used.
    pub fn consume(&mut self, n: usize) {
        self.wire.consume(n);
    }

    /// The response's trailers.
    pub fn trailers(&self) -> Option<&Trailers> {
        self.wire.trailers()
    }

    /// Turns the sending direction into plain bytes, after a 101.
    pub fn start_tunnel(&mut self) {
        self.wire.start_writing(Framing::UntilClose);
    }

    /// Ends our direction of a tunnel.
    pub fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.wire.poll_close(cx)
    }
}
