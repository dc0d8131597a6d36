//! A client's byte stream: its first bytes have been read already, to tell the protocol, and it can be left unread.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::pause::Pause;
use crate::http::stream::Stream;

/// Yields `first`, then what the stream has.
pub struct Prefixed {
    first: Vec<u8>,
    used: usize,
    stream: Stream,
    pause: Rc<Pause>,
}

impl Prefixed {
    /// `first` was read from `stream`.
    pub fn new(first: &[u8], stream: Stream, pause: Rc<Pause>) -> Prefixed {
        Prefixed { first: first.to_vec(), used: 0, stream, pause }
    }
}

impl AsyncRead for Prefixed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.used < this.first.len() {
            let n = buf.remaining().min(this.first.len() - this.used);
            buf.put_slice(&this.first[this.used..this.used + n]);
            this.used += n;
            if this.used == this.first.len() {
                (this.first, this.used) = (Vec::new(), 0);
            }
            return Poll::Ready(Ok(()));
        }
        ready!(this.pause.poll(cx));
        Pin::new(&mut this.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Prefixed {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
