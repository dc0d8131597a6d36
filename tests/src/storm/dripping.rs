//! A body that comes in pieces, with a pause before each.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use causeway_testkit::client::{Body, Error};
use http_body_util::BodyExt;
use hyper::body::Frame;
use tokio::time::Sleep;

struct Dripping {
    left: VecDeque<Bytes>,
    every: Duration,
    sleeping: Option<Pin<Box<Sleep>>>,
}

/// These bytes in about so many pieces.
pub fn dripping(bytes: &[u8], pieces: usize, every: Duration) -> Body {
    let size = bytes.len().div_ceil(pieces).max(1);
    let left = bytes.chunks(size).map(Bytes::copy_from_slice).collect();
    Dripping { left, every, sleeping: None }.boxed_unsync()
}

impl hyper::body::Body for Dripping {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let every = self.every;
        let sleeping = self.sleeping.get_or_insert_with(|| Box::pin(tokio::time::sleep(every)));
        if sleeping.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.sleeping = None;
        Poll::Ready(self.left.pop_front().map(|piece| Ok(Frame::data(piece))))
    }
}
