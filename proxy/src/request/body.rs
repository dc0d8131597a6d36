//! The request's body on its way up, and as much of it as a retry would need.

use std::task::{Context, Poll, ready};

use causeway_proxy_http1::Framing;

use super::error::ErrorKind;
use crate::http::exchange::{BodyError, Down, Fill, Up};

/// Body bytes kept for a retry; a longer body commits the request to the try that it went to.
pub const REPLAY_BYTES: usize = 64 * 1024;

/// A request body.
pub struct RequestBody {
    replay: Vec<u8>,
    /// How much of `replay` the present try was given.
    given: usize,
    /// `replay` still holds everything that was sent.
    replayable: bool,
    limit: u64,
    /// Bytes taken from the client.
    pub taken: u64,
    finished: bool,
    /// Finished, and out of our hands.
    sent: bool,
    progressed: bool,
    waits: bool,
}

/// Why sending stopped.
pub enum SendError {
    /// The client's fault.
    Client(ErrorKind),
    /// The upstream does not take it; it may have answered early.
    Upstream,
}

impl RequestBody {
    /// A body that has not been touched. `keep` = a retry may need it.
    pub fn new(framing: Framing, keep: bool, limit: u64) -> RequestBody {
        RequestBody {
            replay: Vec::new(),
            given: 0,
            replayable: keep || framing.is_empty(),
            limit,
            taken: 0,
            finished: false,
            sent: false,
            progressed: false,
            waits: false,
        }
    }

    /// Prepares for another try.
    pub fn rewind(&mut self) {
        (self.given, self.finished, self.sent) = (0, false, false);
    }

    /// Whether another try could be given the whole body.
    pub fn can_replay(&self) -> bool {
        self.replayable || self.taken == 0
    }

    /// All of the body, once it was read to its end, if it is still here. No try can be given it again.
    pub fn take_whole(&mut self) -> Option<Vec<u8>> {
        let whole = self.finished && self.replayable;
        whole.then(|| {
            self.replayable = false;
            std::mem::take(&mut self.replay)
        })
    }

    /// Whether it is the client that the body waits for, and not an upstream that does not read.
    pub fn waits_for_client(&self) -> bool {
        self.waits
    }

    /// Whether the present try was sent all of it.
    pub fn was_sent(&self) -> bool {
        self.sent
    }

    /// Whether bytes moved since the last call.
    pub fn take_progress(&mut self) -> bool {
        std::mem::take(&mut self.progressed)
    }

    /// Moves the body from the client to the upstream; ready once all of it was sent.
    pub fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        down: &mut Down<'_>,
        up: &mut Up,
    ) -> Poll<Result<(), SendError>> {
        let refused = |_| SendError::Upstream;
        self.waits = false;
        while !self.finished {
            if self.given < self.replay.len() {
                self.given += ready!(up.poll_write(cx, &self.replay[self.given..])).map_err(refused)?;
                self.progressed = true;
                continue;
            }
            match down.poll_fill(cx) {
                Poll::Ready(Ok(Fill::Data)) => {
                    let n = match up.poll_write(cx, down.chunk()) {
                        Poll::Ready(written) => written.map_err(refused)?,
                        Poll::Pending => return Poll::Pending,
                    };
                    self.keep(&down.chunk()[..n]);
                    down.consume(n);
                    self.progressed = true;
                    self.taken += n as u64;
                    if self.taken > self.limit {
                        return Poll::Ready(Err(SendError::Client(ErrorKind::BodyTooLarge)));
                    }
                }
                Poll::Ready(Ok(Fill::End)) => {
                    up.finish(down.trailers()).map_err(refused)?;
                    self.finished = true;
                }
                Poll::Ready(Err(BodyError::Framing(_))) => {
                    return Poll::Ready(Err(SendError::Client(ErrorKind::BadRequestBody)));
                }
                Poll::Ready(Err(_)) => return Poll::Ready(Err(SendError::Client(ErrorKind::ClientGone))),
                Poll::Pending => {
                    ready!(up.poll_flush(cx)).map_err(refused)?;
                    self.waits = true;
                    return Poll::Pending;
                }
            }
        }
        ready!(up.poll_flush(cx)).map_err(refused)?;
        self.sent = true;
        Poll::Ready(Ok(()))
    }

    fn keep(&mut self, sent: &[u8]) {
        if !self.replayable {
            return;
        }
        if self.replay.len() + sent.len() > REPLAY_BYTES {
            self.replayable = false;
            (self.replay, self.given) = (Vec::new(), 0);
            return;
        }
        self.replay.extend_from_slice(sent);
        self.given = self.replay.len();
    }
}
