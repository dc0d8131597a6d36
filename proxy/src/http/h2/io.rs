//! The byte stream under `h2`, which gathers what one wake-up produces and sends it at once.
//!
//! `h2` writes and flushes by the frame: each response to a client would be a TLS record and a system call of its
//! own. So its writes are copied into a buffer here, its flush does nothing, and the connection's task, which is
//! polled through [`Driver`], flushes when `h2` has nothing more to do. Nothing waits past the wake-up that
//! produced it, and no timer is involved. With 8 connections of 32 streams each this took the writes to clients
//! from 1.0 a request to the tenth of that.
//!
//! The buffer is as large as a TLS record, it is the back-pressure that `h2` sees, and it is lent by the worker:
//! an idle connection holds none. Rejected: gathering ciphertext instead (`rustls` can, but every frame would
//! still pay for a record), and gathering slices without a copy (the same, and encryption copies anyhow).
//!
//! Every byte of a connection passes here in both directions, so this is where its [`Guard`] looks at the frames.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frames::Guard;
use crate::http::buffer::{BUFFER_BYTES, BufferPool, ReadBuffer};

/// What is handed over at once in this size goes to the stream as it is: two such fill a TLS record anyhow, and large
/// bodies would pay a sixth more for the copy.
const THROUGH: usize = BUFFER_BYTES / 2;

/// What is read of a connection that is over.
const LINGER: usize = 1 << 20;

/// `h2`'s end of a connection's byte stream.
pub struct Io<S>(Rc<RefCell<Gathering<S>>>);

/// The connection's task's end: see [`Driver::poll`].
pub struct Driver<S>(Rc<RefCell<Gathering<S>>>);

/// Both ends of `stream`.
pub fn gather<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    buffers: &BufferPool,
    guard: Guard,
) -> (Io<S>, Driver<S>) {
    let gathering = Gathering { stream, waiting: ReadBuffer::new(buffers), failed: None, guard };
    let gathering = Rc::new(RefCell::new(gathering));
    (Io(gathering.clone()), Driver(gathering))
}

struct Gathering<S> {
    stream: S,
    /// Written by `h2`, not yet by us.
    waiting: ReadBuffer,
    /// A flush failed when `h2` was not there to hear it: told at its next call.
    failed: Option<io::ErrorKind>,
    guard: Guard,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Driver<S> {
    /// Whether the other end floods us. `h2` is given nothing more to read then.
    pub fn is_flooded(&self) -> bool {
        self.0.borrow().guard.is_flooded()
    }

    /// Reads and drops what still comes, within reason: closing with unread input would reset the connection, and
    /// could take the GOAWAY with it.
    pub async fn linger(&self) {
        let mut left = LINGER;
        std::future::poll_fn(|cx| {
            let mut bytes = [0; 4096];
            loop {
                let mut buf = ReadBuf::new(&mut bytes);
                let read = ready!(Pin::new(&mut self.0.borrow_mut().stream).poll_read(cx, &mut buf));
                left = left.saturating_sub(buf.filled().len());
                if read.is_err() || buf.filled().is_empty() || left == 0 {
                    return Poll::Ready(());
                }
            }
        })
        .await;
    }

    /// Polls `h2`, then sends what that produced. Whoever gets `Ready` polls again, or is done with the connection.
    pub fn poll<T>(&self, cx: &mut Context<'_>, mut h2: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
        loop {
            if let Poll::Ready(out) = h2(cx) {
                return Poll::Ready(out);
            }
            let gathering = &mut *self.0.borrow_mut();
            let Poll::Ready(Err(error)) = gathering.poll_flush(cx) else { return Poll::Pending };
            // Once: from now on there is nothing to flush.
            gathering.fail(error);
        }
    }

    /// Runs a future of `h2` that uses the connection.
    pub async fn run<F: Future>(&self, h2: F) -> F::Output {
        let mut h2 = std::pin::pin!(h2);
        std::future::poll_fn(|cx| self.poll(cx, |cx| h2.as_mut().poll(cx))).await
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Gathering<S> {
    fn check(&self) -> io::Result<()> {
        self.failed.map_or(Ok(()), |kind| Err(kind.into()))
    }

    fn fail(&mut self, error: io::Error) {
        self.failed = Some(error.kind());
        self.waiting.consume(self.waiting.data().len());
        self.waiting.park();
    }

    /// Hands what waits to the stream.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.waiting.data().is_empty() {
            let n = ready!(Pin::new(&mut self.stream).poll_write(cx, self.waiting.data()))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.waiting.consume(n);
        }
        self.waiting.park();
        Poll::Ready(Ok(()))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.failed.is_some() {
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// Ready when there is room for at least a byte.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        if self.waiting.is_full() {
            let drained = self.poll_drain(cx)?;
            if self.waiting.is_full() {
                return drained.map(Ok);
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Takes as much of `bytes` as there is room for.
    fn take(&mut self, bytes: &[u8]) -> usize {
        if bytes.is_empty() || self.waiting.is_full() {
            return 0;
        }
        let room = self.waiting.room();
        let n = bytes.len().min(room.len());
        room[..n].copy_from_slice(&bytes[..n]);
        self.waiting.filled(n);
        self.guard.sent(&bytes[..n]);
        n
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Io<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let gathering = &mut *self.0.borrow_mut();
        gathering.check()?;
        if gathering.guard.is_flooded() {
            // A client is told why by whoever drives the connection; an upstream is only left.
            return match gathering.guard.is_of_client() {
                true => Poll::Pending,
                false => Poll::Ready(Err(io::Error::other("flooded"))),
            };
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut gathering.stream).poll_read(cx, buf))?;
        gathering.guard.received(&buf.filled()[before..]);
        if gathering.guard.is_strange() {
            // A GOAWAY may be left out where the other end does not speak HTTP/2 (RFC 9113 section 3.4).
            return Poll::Ready(Err(io::Error::other("the first frame is not SETTINGS")));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Io<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let gathering = &mut *self.0.borrow_mut();
        ready!(gathering.poll_room(cx))?;
        Poll::Ready(Ok(gathering.take(buf)))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let gathering = &mut *self.0.borrow_mut();
        if bufs.iter().map(|buf| buf.len()).sum::<usize>() >= THROUGH {
            gathering.check()?;
            ready!(gathering.poll_drain(cx))?;
            let written = ready!(Pin::new(&mut gathering.stream).poll_write_vectored(cx, bufs))?;
            let mut left = written;
            for buf in bufs {
                let n = left.min(buf.len());
                gathering.guard.sent(&buf[..n]);
                left -= n;
            }
            return Poll::Ready(Ok(written));
        }
        ready!(gathering.poll_room(cx))?;
        let mut taken = 0;
        for buf in bufs {
            let n = gathering.take(buf);
            taken += n;
            if n < buf.len() {
                break;
            }
        }
        Poll::Ready(Ok(taken))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Left to the [`Driver`].
    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.0.borrow().check())
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let gathering = &mut *self.0.borrow_mut();
        gathering.check()?;
        ready!(gathering.poll_drain(cx))?;
        Pin::new(&mut gathering.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timer::Wheel;
    use std::task::Waker;

    /// A stream that takes `room` bytes more, and counts how it is used.
    #[derive(Default)]
    struct Script {
        room: usize,
        fails: bool,
        taken: Vec<u8>,
        writes: usize,
        flushes: usize,
        shut: bool,
    }

    impl AsyncRead for Script {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    impl AsyncWrite for Script {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
            if self.fails {
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
            let n = buf.len().min(self.room);
            if n == 0 {
                return Poll::Pending;
            }
            self.room -= n;
            self.writes += 1;
            self.taken.extend_from_slice(&buf[..n]);
            Poll::Ready(Ok(n))
        }

        fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.flushes += 1;
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.shut = true;
            Poll::Ready(Ok(()))
        }
    }

    fn with_room(room: usize) -> (Io<Script>, Driver<Script>) {
        let guard = Guard::of_client(Wheel::new(std::time::Instant::now(), std::sync::Arc::default()));
        gather(Script { room, ..Script::default() }, &BufferPool::default(), guard)
    }

    fn cx() -> Context<'static> {
        Context::from_waker(Waker::noop())
    }

    fn write(io: &mut Io<Script>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(io).poll_write(&mut cx(), bytes)
    }

    /// A wake-up in which `h2` has nothing to do.
    fn wake_up(driver: &Driver<Script>) {
        assert!(driver.poll(&mut cx(), |_| Poll::<()>::Pending).is_pending());
    }

    #[test]
    fn what_one_wake_up_wrote_and_flushed_leaves_in_one_write_at_its_end() {
        let (mut io, driver) = with_room(usize::MAX);
        let woken = driver.poll(&mut cx(), |cx| {
            for part in [&b"one"[..], b"two"] {
                assert!(write(&mut io, part).is_ready());
                assert!(Pin::new(&mut io).poll_flush(cx).is_ready());
            }
            let slices = [io::IoSlice::new(b"3"), io::IoSlice::new(b""), io::IoSlice::new(b"4")];
            assert!(matches!(Pin::new(&mut io).poll_write_vectored(cx, &slices), Poll::Ready(Ok(2))));
            assert_eq!(io.0.borrow().stream.writes, 0);
            Poll::<()>::Pending
        });
        assert!(woken.is_pending());
        let gathering = io.0.borrow();
        assert_eq!(gathering.stream.taken, b"onetwo34");
        assert_eq!((gathering.stream.writes, gathering.stream.flushes), (1, 1));
    }

    #[test]
    fn a_large_frame_is_not_copied_and_not_sent_before_what_waits() {
        let (mut io, _driver) = with_room(1 + THROUGH);
        assert!(write(&mut io, b"a").is_ready());
        let large = [io::IoSlice::new(&[b'b'; THROUGH])];
        assert!(matches!(Pin::new(&mut io).poll_write_vectored(&mut cx(), &large), Poll::Ready(Ok(THROUGH))));
        let gathering = io.0.borrow();
        assert!(gathering.stream.taken.starts_with(b"ab") && gathering.stream.taken.ends_with(b"b"));
        assert_eq!((gathering.stream.taken.len(), gathering.stream.writes), (1 + THROUGH, 2));
        assert!(!gathering.waiting.holds_memory());
    }

    #[test]
    fn a_connection_with_nothing_to_say_holds_no_buffer() {
        let (mut io, driver) = with_room(4);
        assert!(write(&mut io, b"abcdef").is_ready());
        wake_up(&driver);
        assert!(io.0.borrow().waiting.holds_memory());
        io.0.borrow_mut().stream.room = 2;
        wake_up(&driver);
        assert!(!io.0.borrow().waiting.holds_memory());
        assert_eq!(io.0.borrow().stream.taken, b"abcdef");
    }

    #[test]
    fn no_byte_is_lost_or_overtaken_whatever_the_socket_takes() {
        let sent: Vec<u8> = (0..200_000u32).map(|i| (i % 251) as u8).collect();
        for (step, room) in [(1, 3), (700, 1), (9_000, 5_000), (40_000, 17_001), (16_393, 16_384)] {
            let (mut io, driver) = with_room(0);
            let mut left = &sent[..];
            let mut stalls = 0;
            while !left.is_empty() {
                let (a, b) = left[..step.min(left.len())].split_at(step.min(left.len()) / 3);
                let slices = [io::IoSlice::new(a), io::IoSlice::new(b)];
                match Pin::new(&mut io).poll_write_vectored(&mut cx(), &slices) {
                    Poll::Ready(n) => left = &left[n.unwrap()..],
                    Poll::Pending => {
                        stalls += 1;
                        io.0.borrow_mut().stream.room += room;
                        wake_up(&driver);
                    }
                }
                assert!(io.0.borrow().waiting.data().len() <= BUFFER_BYTES);
            }
            assert!(stalls > 0, "a socket that takes nothing holds h2 up");
            io.0.borrow_mut().stream.room = usize::MAX;
            wake_up(&driver);
            assert!(io.0.borrow().stream.taken == sent, "{step} {room}");
        }
    }

    #[test]
    fn a_failed_flush_reaches_h2_in_the_same_wake_up_and_every_call_after() {
        let (mut io, driver) = with_room(usize::MAX);
        assert!(write(&mut io, b"lost").is_ready());
        io.0.borrow_mut().stream.fails = true;
        let mut calls = 0;
        let heard = driver.poll(&mut cx(), |cx| {
            calls += 1;
            let mut bytes = [0; 8];
            Pin::new(&mut io).poll_read(cx, &mut ReadBuf::new(&mut bytes))
        });
        let Poll::Ready(Err(error)) = heard else { panic!("{heard:?}") };
        assert_eq!((error.kind(), calls), (io::ErrorKind::ConnectionReset, 2));
        assert!(matches!(write(&mut io, b"more"), Poll::Ready(Err(_))));
        assert!(matches!(Pin::new(&mut io).poll_flush(&mut cx()), Poll::Ready(Err(_))));
        assert!(matches!(Pin::new(&mut io).poll_shutdown(&mut cx()), Poll::Ready(Err(_))));
        assert!(!io.0.borrow().waiting.holds_memory());
    }

    #[test]
    fn shutting_down_sends_what_waits_first() {
        let (mut io, _driver) = with_room(2);
        assert!(write(&mut io, b"bye").is_ready());
        assert!(Pin::new(&mut io).poll_shutdown(&mut cx()).is_pending());
        assert!(!io.0.borrow().stream.shut);
        io.0.borrow_mut().stream.room = 1;
        assert!(Pin::new(&mut io).poll_shutdown(&mut cx()).is_ready());
        let gathering = io.0.borrow();
        assert_eq!((gathering.stream.taken.as_slice(), gathering.stream.shut), (&b"bye"[..], true));
    }
}
