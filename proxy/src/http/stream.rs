//! The bytes under a connection: cleartext or TLS, one type, so that nothing above asks which.
//!
//! An enum and not a boxed trait object: the cleartext case is the hot one and stays a direct call.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

use crate::http::socket::{self, Socket};

/// One connection's byte stream.
pub enum Stream {
    /// Cleartext TCP.
    Tcp(Socket),
    /// TLS over TCP, either side. Boxed: its state is 1 KiB that a cleartext connection need not carry.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// The descriptor of the socket below; `None` if it was lost.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Stream::Tcp(tcp) => tcp.descriptor(),
            Stream::Tls(tls) => Some(tls.get_ref().0.as_fd()),
        }
    }

    /// Whether the bytes are encrypted.
    pub fn is_tls(&self) -> bool {
        matches!(self, Stream::Tls(_))
    }

    /// The protocol that ALPN chose.
    pub fn alpn(&self) -> Option<&[u8]> {
        match self {
            Stream::Tcp(_) => None,
            Stream::Tls(tls) => tls.get_ref().1.alpn_protocol(),
        }
    }

    /// Ready when a read may make progress. No buffer is needed to wait, so an idle connection holds none.
    pub fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Stream::Tcp(tcp) => tcp.watched()?.poll_read_ready(cx),
            // Decrypted bytes that came with an earlier record, often the request with the end of the handshake:
            // the socket has nothing more to say about them.
            Stream::Tls(tls) if !tls.get_ref().1.wants_read() => Poll::Ready(Ok(())),
            Stream::Tls(tls) => tls.get_ref().0.poll_read_ready(cx),
        }
    }

    /// Waits for something to read, and says whether that is the end. Takes nothing and needs no buffer.
    pub async fn ended(&mut self) -> bool {
        match self {
            Stream::Tcp(tcp) => match tcp.watched() {
                Ok(tcp) => socket::ended(tcp).await,
                Err(_) => true,
            },
            Stream::Tls(tls) => socket::ended(tls.get_ref().0).await,
        }
    }

    /// Whether a read may make progress, as far as the runtime has heard: no system call, nobody is woken later.
    pub fn is_readable(&self) -> bool {
        match self {
            Stream::Tcp(tcp) => tcp.is_readable(),
            Stream::Tls(tls) => !tls.get_ref().1.wants_read() || socket::is_readable(tls.get_ref().0),
        }
    }

    /// Reads what is here already: see [`Socket::read_at_once`].
    pub fn read_at_once(&self, buf: &mut [u8]) -> Option<io::Result<usize>> {
        match self {
            Stream::Tcp(tcp) => tcp.read_at_once(buf),
            Stream::Tls(_) => None,
        }
    }

    /// Whether the runtime tells of what happens on the socket.
    pub fn is_watched(&self) -> bool {
        match self {
            Stream::Tcp(tcp) => tcp.is_watched(),
            Stream::Tls(_) => true,
        }
    }

    /// The last bytes of a connection: see [`Socket::poll_write_last`].
    pub fn poll_write_last(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Stream::Tcp(tcp) => tcp.poll_write_last(cx, bytes),
            Stream::Tls(tls) => Pin::new(tls.as_mut()).poll_write(cx, bytes),
        }
    }

    /// Reads once into `buf`; 0 = the other end closed.
    pub fn poll_read_into(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut read = ReadBuf::new(buf);
        ready!(Pin::new(self).poll_read(cx, &mut read))?;
        Poll::Ready(Ok(read.filled().len()))
    }

    /// Writes once, both slices where the socket can gather them.
    pub fn poll_write_two(&mut self, cx: &mut Context<'_>, a: &[u8], b: &[u8]) -> Poll<io::Result<usize>> {
        if b.is_empty() {
            return Pin::new(self).poll_write(cx, a);
        }
        if a.is_empty() {
            return Pin::new(self).poll_write(cx, b);
        }
        Pin::new(self).poll_write_vectored(cx, &[io::IoSlice::new(a), io::IoSlice::new(b)])
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Stream::Tls(tls) => Pin::new(tls.as_mut()).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Tcp(tcp) => Pin::new(tcp).poll_write(cx, buf),
            Stream::Tls(tls) => Pin::new(tls.as_mut()).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Tcp(tcp) => Pin::new(tcp).poll_write_vectored(cx, bufs),
            Stream::Tls(tls) => Pin::new(tls.as_mut()).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(tcp) => Pin::new(tcp).poll_flush(cx),
            Stream::Tls(tls) => Pin::new(tls.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Stream::Tls(tls) => Pin::new(tls.as_mut()).poll_shutdown(cx),
        }
    }
}
