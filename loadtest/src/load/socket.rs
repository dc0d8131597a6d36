//! A connection to the server, with TLS or without.

use std::io::{self, BufRead, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use rustls::{ClientConfig, ClientConnection};
use rustls_pki_types::ServerName;

use super::tally::Broken;

/// Read at once. Answers of 1 KiB come whole, large ones in few reads, and it stays in the second-level cache.
pub const SCRATCH: usize = 64 * 1024;

/// What became of a connection when it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// There may be more later.
    Open,
    /// Whoever takes the bytes wants no more of them.
    Enough,
    /// The peer has closed.
    Ended,
}

/// A connection.
pub struct Socket {
    stream: TcpStream,
    tls: Option<Box<ClientConnection>>,
    /// Bytes at the beginning of the last `out` that have been sent.
    sent: usize,
}

impl Socket {
    /// Begins to connect. What is sent meanwhile waits for the connection, and for TLS.
    ///
    /// # Errors
    /// The server refuses at once, or there is no descriptor or no port left.
    pub fn open(
        to: SocketAddr,
        tls: Option<&Arc<ClientConfig>>,
        registry: &Registry,
        token: Token,
    ) -> Result<Socket, String> {
        let name = ServerName::try_from("localhost").map_err(|e| e.to_string())?;
        let tls = tls.map(|config| ClientConnection::new(config.clone(), name)).transpose();
        let mut tls = tls.map_err(|e| format!("TLS: {e}"))?.map(Box::new);
        // Requests that wait for the handshake must not be cut short; they are few.
        tls.iter_mut().for_each(|tls| tls.set_buffer_limit(None));
        let connect = || {
            let mut stream = TcpStream::connect(to)?;
            stream.set_nodelay(true)?;
            registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
            Ok(stream)
        };
        let stream = connect().map_err(|e: io::Error| format!("connect to {to}: {e}"))?;
        Ok(Socket { stream, tls, sent: 0 })
    }

    /// Whether the server has refused meanwhile. On one machine that is known as soon as the connection was tried.
    ///
    /// # Errors
    /// It has.
    pub fn check(&self) -> Result<(), String> {
        self.stream
            .take_error()
            .and_then(|error| error.map_or(Ok(()), Err))
            .map_err(|e| format!("connect: {e}"))
    }

    /// Sends what there is, as far as it can be sent now, and takes it out of `out`.
    ///
    /// # Errors
    /// The connection is broken.
    pub fn flush(&mut self, out: &mut Vec<u8>) -> Result<(), String> {
        let sent = match &mut self.tls {
            None => plain(&mut self.stream, out, &mut self.sent),
            Some(tls) => sealed(&mut self.stream, out, tls),
        };
        match sent {
            Err(e) if e.kind() != ErrorKind::WouldBlock => Err(format!("send: {e}")),
            _ => Ok(()),
        }
    }

    /// Reads what has come and hands it on. `take` says whether it wants more. A read that leaves room in `scratch`
    /// has emptied the socket, and the next edge tells of more, unless this edge also told of the end (`ended`).
    ///
    /// # Errors
    /// The connection is broken, or `take` says so.
    pub fn receive(
        &mut self,
        scratch: &mut [u8],
        ended: bool,
        take: &mut dyn FnMut(&[u8]) -> Result<bool, Broken>,
    ) -> Result<Received, String> {
        loop {
            let read = match self.stream.read(scratch) {
                Ok(0) => return Ok(Received::Ended),
                Ok(read) => read,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(Received::Open),
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) => return Err(format!("receive: {e}")),
            };
            let received = match &mut self.tls {
                None if take(&scratch[..read]).map_err(|Broken(reason)| reason)? => Received::Open,
                None => Received::Enough,
                Some(tls) => open(tls, &scratch[..read], take)?,
            };
            if received != Received::Open || (read < scratch.len() && !ended) {
                return Ok(received);
            }
        }
    }

    /// Closes as a well-behaved client does: TLS says so first.
    pub fn close(mut self) {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
            // Whether it still arrives is the peer's loss.
            let _ = tls.write_tls(&mut self.stream);
        }
    }
}

fn plain(stream: &mut TcpStream, out: &mut Vec<u8>, sent: &mut usize) -> io::Result<()> {
    while *sent < out.len() {
        match stream.write(&out[*sent..]) {
            Ok(written) => *sent += written,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    out.clear();
    *sent = 0;
    Ok(())
}

fn sealed(stream: &mut TcpStream, out: &mut Vec<u8>, tls: &mut ClientConnection) -> io::Result<()> {
    if !out.is_empty() {
        tls.writer().write_all(out)?;
        out.clear();
    }
    while tls.wants_write() {
        match tls.write_tls(stream) {
            Err(e) if e.kind() != ErrorKind::Interrupted => return Err(e),
            _ => {}
        }
    }
    Ok(())
}

/// Opens the records in `rest`. They come from our own buffer rather than from the socket, because rustls would read
/// 4 KiB at a time, which for large bodies is four system calls a record.
fn open(
    tls: &mut ClientConnection,
    mut rest: &[u8],
    take: &mut dyn FnMut(&[u8]) -> Result<bool, Broken>,
) -> Result<Received, String> {
    while !rest.is_empty() {
        tls.read_tls(&mut rest).map_err(|e| format!("TLS: {e}"))?;
        tls.process_new_packets().map_err(|e| format!("TLS: {e}"))?;
        loop {
            let mut reader = tls.reader();
            let len = match reader.fill_buf() {
                Ok([]) => return Ok(Received::Ended),
                Ok(bytes) if !take(bytes).map_err(|Broken(reason)| reason)? => return Ok(Received::Enough),
                Ok(bytes) => bytes.len(),
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) => return Err(format!("TLS: {e}")),
            };
            reader.consume(len);
        }
    }
    Ok(Received::Open)
}
