//! The loop over a connection's requests, and what comes before each.

use std::rc::Rc;
use std::task::{Poll, ready};

use causeway_proxy_http1::{RequestError, RequestHead, parse_request};

use super::ServerConn;
use crate::http::exchange::Down;
use crate::listen::accept::{Opening, opening};
use crate::request::{self, Client};
use crate::telemetry::counters::ConnectionEnd;
use crate::timer::{Fired, Tag};
use crate::worker::Worker;

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

    fn begin(&mut self, head: &RequestHead) {
        self.version = head.version;
        self.head_request = head.method == causeway_proxy_http1::Method::Head;
        self.reusable = head.persistent;
        self.client_ends = !head.persistent;
        self.expects = head.expect_continue;
        self.responded = false;
        self.wire.start_reading(head.framing);
    }
}
