//! The client's side: reads requests off a connection, one after the other, and answers in order. Here is what an
//! exchange needs of it; [`serve`](mod@serve) has what comes before one, and [`ending`] what comes after.

mod ending;
mod serve;

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use causeway_proxy_http1::{Framing, ResponseHead, ResponseOut, Trailers, Version, write_response};
use causeway_proxy_policy::Tick;

use crate::http::exchange::{BodyError, Fill, Response};
use crate::http::h1::Wire;
use crate::http::stream::Stream;
use crate::snapshot::PortKey;
use crate::timer::{Timer, WAKE_SOON};
use crate::worker::Worker;
pub use serve::serve;

/// One client's connection.
pub struct ServerConn {
    wire: Wire,
    worker: Rc<Worker>,
    key: PortKey,
    /// The connection's one deadline.
    pub timer: Rc<Timer>,
    version: Version,
    head_request: bool,
    /// The connection may carry another request.
    reusable: bool,
    /// The client said that this request is its last.
    client_ends: bool,
    /// A response head was queued.
    responded: bool,
    /// A response was broken off: nothing may follow that could pass for its end.
    aborted: bool,
    /// A 100-continue is owed and nothing was sent yet.
    expects: bool,
    /// The next request is not read for so long.
    rest: Option<Duration>,
    /// The request came before the rest was over.
    waited: bool,
    /// When a client that waits for its first answer begins to be watched for leaving.
    watch_from: Option<Tick>,
}

impl ServerConn {
    /// A connection that was just accepted on `key`.
    pub fn new(worker: &Rc<Worker>, key: PortKey, stream: Stream) -> ServerConn {
        ServerConn {
            wire: Wire::new(stream, &worker.buffers),
            timer: Rc::new(worker.wheel.timer()),
            worker: worker.clone(),
            key,
            version: Version::Http11,
            head_request: false,
            reusable: true,
            client_ends: false,
            responded: false,
            aborted: false,
            expects: false,
            rest: None,
            waited: false,
            watch_from: None,
        }
    }

    /// Takes the connection apart for another protocol.
    pub fn into_parts(self) -> (Wire, Rc<Timer>) {
        (self.wire, self.timer)
    }

    /// Makes request body available.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<Fill, BodyError>> {
        self.wire.poll_fill(cx)
    }

    /// The request body at hand.
    pub fn chunk(&self) -> &[u8] {
        self.wire.chunk()
    }

    /// Marks request body as used.
    pub fn consume(&mut self, n: usize) {
        self.expects = false;
        self.wire.consume(n);
    }

    /// The request's trailers.
    pub fn trailers(&self) -> Option<&Trailers> {
        self.wire.trailers()
    }

    /// Whether the whole request has been read.
    pub fn request_ended(&self) -> bool {
        self.wire.body_ended()
    }

    /// Ready when the client closed. Bytes of a next request are left alone.
    pub fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            // With input at hand, or no room, we could not tell an end from more input without taking it.
            if self.wire.input.is_full() || !self.wire.input.data().is_empty() {
                return Poll::Pending;
            }
            if !self.wire.stream.is_watched() {
                // Most requests of a fresh connection are answered before it would pay to watch it.
                match self.watch_from {
                    None => {
                        self.watch_from = Some(self.worker.now() + WAKE_SOON);
                        self.worker.wheel.wake_soon(cx.waker());
                        return Poll::Pending;
                    }
                    Some(at) if self.worker.now() < at => return Poll::Pending,
                    Some(_) => {}
                }
            }
            if ready!(self.wire.stream.poll_readable(cx)).is_err() {
                return Poll::Ready(());
            }
            match ready!(self.wire.poll_read(cx)) {
                Ok(n) if n > 0 => {}
                _ => return Poll::Ready(()),
            }
        }
    }

    /// Queues a 1xx.
    pub fn interim(&mut self, head: &ResponseHead) {
        // HTTP/1.0 knows none (RFC 9110 section 15.2).
        if self.version == Version::Http10 {
            return;
        }
        if head.status == 100 {
            self.expects = false;
        }
        write_response(head, self.wire.output(), &ResponseOut::of(head, self.version, false));
    }

    /// Queues a response head.
    pub fn respond(&mut self, head: &ResponseHead, options: Response<'_>) -> io::Result<()> {
        let framing = head.framing.for_version(self.version);
        let tunnel = head.tunnel;
        let close =
            options.close || !self.reusable || framing == Framing::UntilClose || self.worker.is_draining();
        self.reusable = !close && !tunnel;
        self.responded = true;
        self.wire.begin_message();
        let out = ResponseOut { framing, close, version: self.version, extra: options.extra };
        write_response(head, self.wire.output(), &out);
        self.wire.start_writing(match framing {
            _ if tunnel => Framing::UntilClose,
            _ if self.head_request => Framing::None,
            framing => framing,
        });
        Ok(())
    }

    /// Takes response body.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.wire.poll_write(cx, data)
    }

    /// Ends the response.
    pub fn finish(&mut self, trailers: Option<&Trailers>) -> io::Result<()> {
        self.wire.finish(trailers)?;
        if !self.reusable {
            self.wire.end_follows();
        }
        Ok(())
    }

    /// Sends what is queued.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.wire.poll_flush(cx)
    }

    /// Whether collected output waits for the client to read.
    pub fn has_output(&self) -> bool {
        self.wire.has_output()
    }

    /// Takes a response back of which no byte has left; hints that wait with it are lost, and may be.
    pub fn take_back(&mut self) -> bool {
        let waits = !self.wire.has_begun();
        if waits {
            self.wire.discard_output();
            self.responded = false;
        }
        waits
    }

    /// Ends the connection without ending the response. By a reset: where only the close delimits a response, a
    /// regular close would pass for its end.
    pub fn abort(&mut self) {
        self.aborted = true;
        self.wire.discard_output();
        self.reusable = false;
        // Fails only on a socket that is gone.
        if let Some(socket) = self.wire.stream.descriptor() {
            let _ = socket2::SockRef::from(&socket).set_linger(Some(Duration::ZERO));
        }
    }

    /// Turns both directions into plain bytes, after the head of an upgrade was queued.
    pub fn start_tunnel(&mut self) {
        self.wire.start_reading(Framing::UntilClose);
    }

    /// Ends our direction of a tunnel.
    pub fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.wire.poll_close(cx)
    }

    /// Leaves the next request unread for so long at most; says it again.
    pub fn rest(&mut self, length: Duration) -> Duration {
        *self.rest.insert(length)
    }

    /// Whether the request was there before its connection was read again.
    pub fn waited(&self) -> bool {
        self.waited
    }

    /// Whether a response head was queued.
    pub fn responded(&self) -> bool {
        self.responded
    }
}
