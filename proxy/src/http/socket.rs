//! A TCP socket that the runtime watches only once somebody has to wait for it.
//!
//! A client that sends its request with the connection, is answered and let go, never makes us wait: the two
//! `epoll_ctl` that every socket of the runtime costs are saved, 4 % of such a connection. HAProxy does the same.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::net::SendFlags;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

/// One connection's socket.
pub struct Socket(State);

enum State {
    /// Just accepted. Empty only where [`Socket::watched`] failed.
    Fresh(Option<std::net::TcpStream>),
    Watched(TcpStream),
}

impl From<TcpStream> for Socket {
    fn from(tcp: TcpStream) -> Socket {
        Socket(State::Watched(tcp))
    }
}

impl Socket {
    /// A socket that was just accepted; it must not block.
    pub fn fresh(tcp: std::net::TcpStream) -> Socket {
        Socket(State::Fresh(Some(tcp)))
    }

    /// The descriptor; `None` if it was lost (see [`Socket::watched`]).
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match &self.0 {
            State::Fresh(tcp) => tcp.as_ref().map(AsFd::as_fd),
            State::Watched(tcp) => Some(tcp.as_fd()),
        }
    }

    /// Whether the runtime tells of what happens here.
    pub fn is_watched(&self) -> bool {
        matches!(self.0, State::Watched(_))
    }

    /// Whether a read may make progress, as far as the runtime has heard.
    pub fn is_readable(&self) -> bool {
        matches!(&self.0, State::Watched(tcp) if is_readable(tcp))
    }

    /// The socket as the runtime knows it, which it does from now on.
    ///
    /// # Errors
    /// The system's, when it has no room to watch one more. The socket is lost then.
    pub fn watched(&mut self) -> io::Result<&mut TcpStream> {
        if let State::Fresh(tcp) = &mut self.0 {
            let tcp = tcp.take().ok_or(io::ErrorKind::NotConnected)?;
            self.0 = State::Watched(TcpStream::from_std(tcp)?);
        }
        match &mut self.0 {
            State::Watched(tcp) => Ok(tcp),
            State::Fresh(_) => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Does what needs no waiting; `None` = ask the runtime.
    fn at_once<T>(&self, act: impl FnOnce(&std::net::TcpStream) -> io::Result<T>) -> Option<io::Result<T>> {
        let State::Fresh(Some(tcp)) = &self.0 else { return None };
        match act(tcp) {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => None,
            done => Some(done),
        }
    }

    /// Reads what is here already, if anything is: only on a socket that is not watched.
    pub fn read_at_once(&self, buf: &mut [u8]) -> Option<io::Result<usize>> {
        self.at_once(|mut tcp| tcp.read(buf))
    }

    /// As a write, but the kernel may hold a last part back until the connection ends, which then leaves with it
    /// in one packet (`MSG_MORE`). Only for what is followed by the end: anything else could wait for 200 ms.
    pub fn poll_write_last(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let flags = SendFlags::MORE | SendFlags::NOSIGNAL;
        let send = |socket: BorrowedFd<'_>| Ok(rustix::net::send(socket, bytes, flags)?);
        if let Some(sent) = self.at_once(|tcp| send(tcp.as_fd())) {
            return Poll::Ready(sent);
        }
        let tcp = self.watched()?;
        loop {
            ready!(tcp.poll_write_ready(cx))?;
            match tcp.try_io(Interest::WRITABLE, || send(tcp.as_fd())) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                sent => return Poll::Ready(sent),
            }
        }
    }
}

/// Whether the runtime has heard of something to read.
pub fn is_readable(tcp: &TcpStream) -> bool {
    tcp.try_io(Interest::READABLE, || Ok(())).is_ok()
}

/// Waits for something to read, and says whether that is the end, as far as the runtime can tell without reading.
pub async fn ended(tcp: &TcpStream) -> bool {
    tcp.ready(Interest::READABLE).await.map_or(true, |ready| ready.is_read_closed())
}

/// Writes at once where the runtime takes the socket for writable, as it is nearly always: asking whether it is
/// and waiting if not, in one, costs twice the instructions of the write.
fn poll_write(tcp: &mut TcpStream, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
    match tcp.try_write(buf) {
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => Pin::new(tcp).poll_write(cx, buf),
        Ok(n) if n < buf.len() => {
            // No more goes in: the next write must wait, and not try in vain first. The runtime believes this.
            let full = || io::Result::<()>::Err(io::ErrorKind::WouldBlock.into());
            let _ = tcp.try_io(Interest::WRITABLE, full);
            Poll::Ready(Ok(n))
        }
        done => Poll::Ready(done),
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(read) = self.at_once(|mut tcp| tcp.read(buf.initialize_unfilled())) {
            return Poll::Ready(read.map(|n| buf.advance(n)));
        }
        Pin::new(self.watched()?).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.at_once(|mut tcp| tcp.write(buf)) {
            Some(written) => Poll::Ready(written),
            None => poll_write(self.watched()?, cx, buf),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.at_once(|mut tcp| tcp.write_vectored(bufs)) {
            Some(written) => Poll::Ready(written),
            None => Pin::new(self.watched()?).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Nothing is held here.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.at_once(|tcp| tcp.shutdown(Shutdown::Write)) {
            Some(ended) => Poll::Ready(ended),
            None => Pin::new(self.watched()?).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn pair() -> (Socket, std::net::TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let there = std::net::TcpStream::connect(listener.local_addr().expect("bound")).expect("listening");
        let (here, _) = listener.accept().expect("connected");
        here.set_nonblocking(true).expect("a socket");
        (Socket::fresh(here), there)
    }

    #[tokio::test]
    async fn what_needs_no_waiting_does_not_trouble_the_runtime() {
        let (mut here, mut there) = pair();
        there.write_all(b"ask").expect("connected");
        while here.read_at_once(&mut [0; 0]).is_none() {}
        let mut buf = [0; 8];
        assert_eq!(here.read(&mut buf).await.expect("it is there"), 3);
        here.write_all(b"answer").await.expect("there is room");
        assert!(!here.is_watched());
        assert_eq!(there.read(&mut buf).expect("written"), 6);
    }

    #[tokio::test]
    async fn whoever_waits_is_woken() {
        let (mut here, mut there) = pair();
        let read = tokio::spawn(async move {
            let mut buf = [0; 8];
            let n = here.read(&mut buf).await.expect("connected");
            (n, here.is_watched())
        });
        tokio::task::yield_now().await;
        there.write_all(b"late").expect("connected");
        assert_eq!(read.await.expect("no panic"), (4, true));
    }

    #[tokio::test]
    async fn whoever_leaves_is_told_from_whoever_says_something() {
        let (mut here, mut there) = pair();
        there.write_all(b"late").expect("connected");
        assert!(!ended(here.watched().expect("room to watch")).await);
        let (mut here, there) = pair();
        drop(there);
        assert!(ended(here.watched().expect("room to watch")).await);
    }

    #[tokio::test]
    async fn a_last_write_leaves_with_the_end() {
        for watched in [false, true] {
            let (mut here, mut there) = pair();
            if watched {
                here.watched().expect("room to watch");
            }
            let sent = std::future::poll_fn(|cx| here.poll_write_last(cx, b"bye")).await;
            assert_eq!(sent.expect("connected"), 3);
            drop(here);
            let mut all = Vec::new();
            there.read_to_end(&mut all).expect("a regular end");
            assert_eq!(all, b"bye");
        }
    }

    #[tokio::test]
    async fn a_write_that_took_a_part_is_followed_by_a_wait_until_there_is_room() {
        let (mut here, mut there) = pair();
        here.watched().expect("room to watch");
        let long = vec![b'x'; 16 << 20];
        let taken = here.write(&long).await.expect("connected");
        assert!(taken < long.len(), "more than any socket buffer holds");
        let State::Watched(tcp) = &here.0 else { panic!("it is watched") };
        let attempted = std::cell::Cell::new(false);
        let again = tcp.try_io(Interest::WRITABLE, || {
            attempted.set(true);
            Ok(())
        });
        assert!(again.is_err() && !attempted.get(), "no system call in vain");
        let reader = std::thread::spawn(move || {
            let mut all = Vec::new();
            there.read_to_end(&mut all).map(|_| all.len())
        });
        here.write_all(&long[taken..]).await.expect("woken when there is room");
        drop(here);
        assert_eq!(reader.join().expect("no panic").expect("a regular end"), long.len());
    }

    #[tokio::test]
    async fn a_slow_reader_gets_all_of_a_long_last_write() {
        let (mut here, mut there) = pair();
        let long = vec![b'x'; 8 << 20];
        let expected = long.len();
        let reader = std::thread::spawn(move || {
            std::thread::sleep(std::time::Duration::from_millis(20));
            let mut all = Vec::new();
            there.read_to_end(&mut all).map(|_| all.len())
        });
        let mut sent = 0;
        while sent < long.len() {
            sent +=
                std::future::poll_fn(|cx| here.poll_write_last(cx, &long[sent..])).await.expect("connected");
        }
        drop(here);
        assert_eq!(reader.join().expect("no panic").expect("a regular end"), expected);
    }
}
