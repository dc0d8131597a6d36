//! The client's side: reads requests off a connection, one after the other, and answers in order.

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use causeway_proxy_http1::{
    Framing, RequestError, RequestHead, ResponseHead, ResponseOut, Trailers, Version, parse_request,
    write_own_response, write_response,
};
use causeway_proxy_policy::Tick;

use crate::http::exchange::{BodyError, Down, Fill, Response};
use crate::http::h1::Wire;
use crate::http::stream::Stream;
use crate::listen::accept::{Opening, opening};
use crate::overload::Resting;
use crate::request::{self, Client};
use crate::snapshot::PortKey;
use crate::telemetry::counters::ConnectionEnd;
use crate::timer::{Fired, Tag, Timer, WAKE_SOON};
use crate::worker::Worker;

/// Unread request body up to this is read and dropped, so that the connection can be used again after an early
/// answer; more is not worth it.
const DRAIN_BODY: usize = 64 * 1024;

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

    /// Whether the connection speaks HTTP/2: by ALPN, or by its first bytes. `None` if it ended before that
    /// was clear.
    pub async fn is_http2(&mut self) -> Option<bool> {
        match self.wire.stream.alpn() {
            Some(b"h2") => return Some(true),
            Some(_) => return Some(false),
            None => {}
        }
        let within = self.worker.snapshot().port(self.key)?.client.request_header;
        self.timer.set(Some(self.worker.now() + within));
        // Silent so far: a drain need not wait for it.
        self.timer.tag(Tag::Idle);
        loop {
            match opening(self.wire.input.data()) {
                Opening::Http2 => return Some(true),
                Opening::Http1 => return Some(false),
                Opening::Unclear => {}
            }
            let read = std::future::poll_fn(|cx| {
                if let Some(read) = self.wire.read_at_once() {
                    return Poll::Ready(read);
                }
                ready!(self.wire.poll_idle(cx))?;
                self.wire.poll_read(cx)
            });
            match self.timer.guard(read).await {
                Ok(Ok(n)) if n > 0 => self.timer.tag(Tag::None),
                Ok(_) | Err(Fired::Drain) => return None,
                Err(Fired::Evicted) => {
                    self.worker.counters().ended(ConnectionEnd::Evicted);
                    return None;
                }
                Err(_) => {
                    self.worker.counters().ended(ConnectionEnd::HeaderTimeout);
                    return None;
                }
            }
        }
    }

    /// Takes the connection apart for another protocol.
    pub fn into_parts(self) -> (Wire, Rc<Timer>) {
        (self.wire, self.timer)
    }

    /// Waits for the next request, holding no memory for it. False: none will come, nothing is owed.
    async fn awaits_request(&mut self) -> bool {
        if !self.wire.input.data().is_empty() {
            return true;
        }
        let Some(idle) = self.worker.snapshot().port(self.key).map(|port| port.client.keep_alive_idle) else {
            return false;
        };
        self.timer.set(Some(self.worker.now() + idle));
        self.timer.tag(Tag::Idle);
        let woke = self.timer.guard(std::future::poll_fn(|cx| self.wire.poll_idle(cx))).await;
        self.timer.tag(Tag::None);
        if matches!(woke, Err(Fired::Evicted)) {
            self.worker.counters().ended(ConnectionEnd::Evicted);
        }
        // Idle for long enough, or the process drains: a close between requests is nobody's error.
        matches!(woke, Ok(Ok(())))
    }

    /// Reads the next head. `Ok(false)`: the connection is over, nothing is owed.
    async fn read_head(&mut self, head: &mut RequestHead) -> Result<bool, RequestError> {
        let snapshot = self.worker.snapshot();
        let Some(port) = snapshot.port(self.key) else { return Ok(false) };
        let limits = &port.client.head;
        let mut resume = 0;
        // The whole head must come within this, however slowly it drips (slowloris).
        let mut armed = false;
        let mut slow = false;
        loop {
            if !self.wire.input.data().is_empty()
                && let Some(consumed) = parse_request(self.wire.input.data(), limits, &mut resume, head)?
            {
                self.wire.input.consume(consumed);
                if slow {
                    self.timer.tag(Tag::None);
                }
                return Ok(true);
            }
            if self.wire.input.is_full() {
                self.wire.input.grow();
            }
            if !slow && (armed || !self.wire.input.data().is_empty()) {
                slow = true;
                self.timer.tag(Tag::Head);
            }
            let read = std::future::poll_fn(|cx| self.wire.poll_read(cx));
            let read = if armed {
                self.timer.guard(read).await
            } else {
                // Bytes are there already in all but the first round: no deadline is armed for those.
                self.timer.set(Some(self.worker.now() + port.client.request_header));
                armed = true;
                self.timer.guard(read).await
            };
            match read {
                Ok(Ok(0)) => {
                    if !self.wire.input.data().is_empty() {
                        self.worker.counters().ended(ConnectionEnd::HeadCut);
                    }
                    return Ok(false);
                }
                Ok(Ok(_)) => {}
                Ok(Err(_)) => return Ok(false),
                Err(Fired::Drain) if self.wire.input.data().is_empty() => return Ok(false),
                Err(Fired::Evicted) => {
                    self.worker.counters().ended(ConnectionEnd::Evicted);
                    return Ok(false);
                }
                Err(_) => {
                    self.worker.counters().ended(ConnectionEnd::HeaderTimeout);
                    Box::pin(self.refuse(408, "the request head did not arrive in time")).await;
                    return Ok(false);
                }
            }
        }
    }

    /// Answers something that is not a request, and closes.
    async fn refuse(&mut self, status: u16, reason: &str) {
        self.wire.discard_output();
        let body = format!("{reason}\n");
        let fields: [(&[u8], &[u8]); 2] =
            [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")];
        write_own_response(self.wire.output(), status, &fields, body.as_bytes());
        self.reusable = false;
        self.close_after_flush().await;
    }

    /// Sends what is queued, then ends our side and lets the client read it: closing with unread input would
    /// reset the connection and could take the answer with it (RFC 9112 section 9.6).
    async fn close_after_flush(&mut self) {
        let linger = Duration::from_secs(1);
        self.timer.set(Some(self.worker.now() + linger));
        let worker = self.worker.clone();
        let wire = &mut self.wire;
        let work = async {
            std::future::poll_fn(|cx| wire.poll_flush(cx)).await?;
            std::future::poll_fn(|cx| {
                tokio::io::AsyncWrite::poll_shutdown(std::pin::Pin::new(&mut wire.stream), cx)
            })
            .await?;
            let mut left = 16 * DRAIN_BODY;
            loop {
                let held = wire.input.data().len();
                wire.input.consume(held);
                let n = std::future::poll_fn(|cx| wire.poll_read(cx)).await?;
                left = left.saturating_sub(n);
                if n == 0 || left == 0 || worker.is_draining() {
                    return io::Result::Ok(());
                }
            }
        };
        // Whatever comes of it, the connection ends now.
        let _ = self.timer.guard(work).await;
    }

    /// Ends our side, and with it the TLS session.
    async fn farewell(&mut self) {
        self.timer.set(Some(self.worker.now() + Duration::from_secs(1)));
        let ended = self.timer.guard(std::future::poll_fn(|cx| self.wire.poll_close(cx))).await;
        // Whatever comes of it, the connection ends now.
        drop(ended);
    }

    /// Reads what is left of a request body that nobody wanted, within reason.
    async fn drain_body(&mut self) -> bool {
        self.timer.set(Some(self.worker.now() + Duration::from_secs(1)));
        let wire = &mut self.wire;
        let drained = async {
            let mut left = DRAIN_BODY;
            loop {
                match std::future::poll_fn(|cx| wire.poll_fill(cx)).await {
                    Ok(Fill::End) => return true,
                    Ok(Fill::Data) => {
                        let n = wire.chunk().len();
                        wire.consume(n);
                        match left.checked_sub(n) {
                            Some(rest) => left = rest,
                            None => return false,
                        }
                    }
                    Err(_) => return false,
                }
            }
        };
        self.timer.guard(drained).await.unwrap_or(false)
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

    /// Leaves the next request unread for so long.
    pub fn rest(&mut self, length: Duration) {
        self.rest = Some(length);
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

/// Serves a connection until it ends.
pub async fn serve(worker: &Rc<Worker>, client: &Client, conn: &mut ServerConn) {
    while conn.awaits_request().await {
        let mut head = worker.take_request_head();
        match conn.read_head(&mut head).await {
            Ok(true) => {}
            Ok(false) => return worker.give_request_head(head),
            Err(error) => {
                worker.counters().bad_requests.add(1);
                if error == RequestError::Protocol && !conn.responded {
                    // Whoever opens a connection in another protocol, or with a broken preface of HTTP/2 (RFC 9113
                    // section 3.4), would take an answer in HTTP/1.1 for something else.
                    return worker.give_request_head(head);
                }
                Box::pin(conn.refuse(error.status(), error.reason())).await;
                return worker.give_request_head(head);
            }
        }
        conn.begin(&head);
        // Boxed: an idle connection must not carry the room that a request needs.
        Box::pin(request::handle(worker, client, Down::H1(conn), &mut head)).await;
        worker.give_request_head(head);
        if !conn.end().await {
            return;
        }
        conn.waited = false;
        if let Some(rest) = conn.rest.take()
            && !Box::pin(conn.pause(rest)).await
        {
            return;
        }
    }
}

impl ServerConn {
    /// Leaves a client alone that was refused a request for want of time, for as long as it was told to stay away. To
    /// refuse it again costs nearly half of serving it: without this, refusing would take all the time that it should
    /// save. False: the connection is to end.
    async fn pause(&mut self, rest: Duration) -> bool {
        let _resting = Resting::begin(&self.worker, 1);
        // It waits, and asks for nothing: its place is there for others.
        self.timer.tag(Tag::Idle);
        self.timer.set(Some(self.worker.now() + rest));
        match self.timer.fired().await {
            Fired::Deadline => {}
            Fired::Evicted => {
                self.worker.counters().ended(ConnectionEnd::Evicted);
                return false;
            }
            _ => return false,
        }
        self.timer.tag(Tag::None);
        self.waited = self.wire.is_stirring();
        true
    }

    fn begin(&mut self, head: &RequestHead) {
        self.version = head.version;
        self.head_request = head.method == causeway_proxy_http1::Method::Head;
        self.reusable = head.persistent;
        self.client_ends = !head.persistent;
        self.expects = head.expect_continue;
        self.responded = false;
        self.wire.start_reading(head.framing);
    }

    /// After an exchange: whether another may follow.
    async fn end(&mut self) -> bool {
        // A client that was not told to go on may or may not send its body: only a new connection is clear.
        let unsure = self.expects && !self.wire.body_ended();
        if self.aborted || !self.responded || !self.wire.body_written() {
            return false;
        }
        if self.client_ends && self.wire.body_ended() && self.wire.input.data().is_empty() {
            // It promised to send nothing more (RFC 9112 section 9.6) and has not: nothing can be unread, and a
            // plain close is as good as the three more system calls of the other. TLS wants its farewell.
            if self.wire.stream.is_tls() {
                Box::pin(self.farewell()).await;
            }
            return false;
        }
        if !self.reusable || unsure || (!self.wire.body_ended() && !self.drain_body().await) {
            Box::pin(self.close_after_flush()).await;
            return false;
        }
        true
    }
}
