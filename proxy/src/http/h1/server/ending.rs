//! What comes after an exchange: another one, a rest, or the end.

use std::io;
use std::time::Duration;

use causeway_proxy_http1::write_own_response;

use super::ServerConn;
use crate::http::exchange::Fill;
use crate::overload::Resting;
use crate::request::rate_limit::seconds;
use crate::telemetry::counters::ConnectionEnd;
use crate::timer::{Fired, Tag};

/// Unread request body up to this is read and dropped, so that the connection can be used again after an early
/// answer; more is not worth it.
const DRAIN_BODY: usize = 64 * 1024;

/// How long until a connection that rests looks whether there is time again, on average. Thousands may rest.
const LOOK: Duration = Duration::from_secs(1);

impl ServerConn {
    /// After an exchange: whether another may follow.
    pub(super) async fn end(&mut self) -> bool {
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

    /// Answers something that is not a request, and closes.
    pub(super) async fn refuse(&mut self, status: u16, reason: &str) {
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
    pub(super) async fn close_after_flush(&mut self) {
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
    pub(super) async fn farewell(&mut self) {
        self.timer.set(Some(self.worker.now() + Duration::from_secs(1)));
        let ended = self.timer.guard(std::future::poll_fn(|cx| self.wire.poll_close(cx))).await;
        // Whatever comes of it, the connection ends now.
        drop(ended);
    }

    /// Reads what is left of a request body that nobody wanted, within reason.
    pub(super) async fn drain_body(&mut self) -> bool {
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

    /// Leaves a client alone that was refused a request for want of time, until there is time again, and for no longer
    /// than it was told to stay away. To refuse it again costs nearly half of serving it: without this, refusing would
    /// take all the time that it should save. False: the connection is to end.
    pub(super) async fn pause(&mut self, rest: Duration) -> bool {
        let resting = Resting::begin(&self.worker, 1, rest, LOOK);
        self.wire.park();
        // The rest may end later than it was meant to, and who comes after what `Retry-After` said has heeded it.
        let told = self.worker.now() + Duration::from_secs(seconds(rest));
        // It waits, and asks for nothing: its place is there for others.
        self.timer.tag(Tag::Resting);
        match self.rested(&resting).await {
            // Whoever has left is found out by the next read.
            None | Some(Fired::Deadline) => {}
            // Its next request is here: that is answered first, and the connection closed with it.
            Some(Fired::Drain) if self.wire.is_stirring() => {}
            Some(Fired::Evicted) => {
                self.worker.counters().ended(ConnectionEnd::Evicted);
                return false;
            }
            Some(_) => return false,
        }
        self.timer.tag(Tag::None);
        self.waited = self.wire.is_stirring() && self.worker.now() < told;
        true
    }

    /// Waits until a rest is over. Says what ended it; `None`: the client has left.
    async fn rested(&mut self, resting: &Resting) -> Option<Fired> {
        let stream = &mut self.wire.stream;
        let mut left = std::pin::pin!(async {
            if !stream.ended().await {
                std::future::pending::<()>().await;
            }
        });
        loop {
            self.timer.set(Some(resting.next_look()));
            let fired = self.timer.guard(left.as_mut()).await.err();
            if fired != Some(Fired::Deadline) || resting.is_over() {
                return fired;
            }
        }
    }
}
