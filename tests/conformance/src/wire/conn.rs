//! One connection, either end, with or without TLS.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::{TlsConnector, TlsStream};

/// For one step of a check, such as an answer. Longer than any timeout of the targets that a check waits for, which
/// is 1 s, on a machine that is busy with the rest of the battery.
pub const PATIENCE: Duration = Duration::from_secs(8);

/// What a read gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// There is more in the buffer.
    Some,
    /// The other end has ended its direction.
    End,
    /// The connection was reset, or its TLS broken.
    Reset,
    /// Nothing came in time.
    Nothing,
}

enum Stream {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// A connection and what was read from it and not used yet.
pub struct Conn {
    stream: Stream,
    /// Bytes that have come and were not taken.
    pub unread: Vec<u8>,
}

impl Conn {
    /// Connects to a port of this machine.
    ///
    /// # Errors
    /// Nobody accepts.
    pub async fn tcp(port: u16) -> Result<Conn, String> {
        Ok(Conn::over(connect(port).await?))
    }

    /// Connects by TLS as a client of `localhost`.
    ///
    /// # Errors
    /// Nobody accepts, or the handshake fails.
    pub async fn tls(port: u16, config: &Arc<ClientConfig>) -> Result<Conn, String> {
        Conn::tls_to(port, config, "localhost").await
    }

    /// Connects by TLS as a client of `name`.
    ///
    /// # Errors
    /// As [`Conn::tls`].
    pub async fn tls_to(port: u16, config: &Arc<ClientConfig>, name: &str) -> Result<Conn, String> {
        let tcp = connect(port).await?;
        let name = ServerName::try_from(name.to_owned()).map_err(|e| e.to_string())?;
        let made = timeout(PATIENCE, TlsConnector::from(config.clone()).connect(name, tcp)).await;
        let stream = made.map_err(|_| "no TLS handshake in time")?.map_err(|e| format!("TLS: {e}"))?;
        Ok(Conn { stream: Stream::Tls(Box::new(stream.into())), unread: Vec::new() })
    }

    /// An open connection.
    pub fn over(stream: TcpStream) -> Conn {
        // A small write must not wait for the acknowledgement of the one before.
        let _ = stream.set_nodelay(true);
        Conn { stream: Stream::Tcp(stream), unread: Vec::new() }
    }

    /// An open TLS connection.
    pub fn over_tls(stream: TlsStream<TcpStream>) -> Conn {
        Conn { stream: Stream::Tls(Box::new(stream)), unread: Vec::new() }
    }

    /// The protocol that ALPN chose.
    pub fn alpn(&self) -> Option<Vec<u8>> {
        match &self.stream {
            Stream::Tcp(_) => None,
            Stream::Tls(tls) => tls.get_ref().1.alpn_protocol().map(<[u8]>::to_vec),
        }
    }

    /// The version of TLS.
    pub fn tls_version(&self) -> Option<rustls::ProtocolVersion> {
        match &self.stream {
            Stream::Tcp(_) => None,
            Stream::Tls(tls) => tls.get_ref().1.protocol_version(),
        }
    }

    fn socket(&self) -> &TcpStream {
        match &self.stream {
            Stream::Tcp(tcp) => tcp,
            Stream::Tls(tls) => tls.get_ref().0,
        }
    }

    /// Sends all of it.
    ///
    /// # Errors
    /// The other end does not take it, or is gone: often what a check wants to see on its reading side instead.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> Result<(), String> {
        self.send_within(bytes, PATIENCE).await
    }

    /// The same with a time of the caller's.
    ///
    /// # Errors
    /// As [`Conn::send`].
    pub async fn send_within(&mut self, bytes: impl AsRef<[u8]>, limit: Duration) -> Result<(), String> {
        let bytes = bytes.as_ref();
        let write = async {
            match &mut self.stream {
                Stream::Tcp(tcp) => tcp.write_all(bytes).await,
                Stream::Tls(tls) => {
                    tls.write_all(bytes).await?;
                    tls.flush().await
                }
            }
        };
        match timeout(limit, write).await {
            Ok(done) => done.map_err(|e| format!("sending: {e}")),
            Err(_) => Err("no room to send in time".to_owned()),
        }
    }

    /// Sends, and leaves it to the reading side to see what came of it.
    pub async fn offer(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.send(bytes).await;
    }

    /// Ends our direction.
    pub async fn finish(&mut self) {
        // The other end may be gone already.
        let _ = match &mut self.stream {
            Stream::Tcp(tcp) => tcp.shutdown().await,
            Stream::Tls(tls) => tls.shutdown().await,
        };
    }

    /// Makes the close that follows a reset.
    pub fn reset_at_end(&mut self) {
        let _ = self.socket().set_zero_linger();
    }

    /// Reads on into [`Conn::unread`].
    pub async fn more(&mut self, limit: Duration) -> Read {
        let mut bytes = [0; 16 * 1024];
        let read = async {
            match &mut self.stream {
                Stream::Tcp(tcp) => tcp.read(&mut bytes).await,
                Stream::Tls(tls) => tls.read(&mut bytes).await,
            }
        };
        match timeout(limit, read).await {
            Err(_) => Read::Nothing,
            Ok(Ok(0)) => Read::End,
            Ok(Ok(n)) => {
                self.unread.extend_from_slice(&bytes[..n]);
                Read::Some
            }
            // A TLS end without its farewell is told apart from an end.
            Ok(Err(_)) => Read::Reset,
        }
    }

    /// Takes what is there and what still comes until the connection ends, or until `limit`.
    pub async fn read_to_end(&mut self, limit: Duration) -> (Vec<u8>, Read) {
        let ends = Instant::now() + limit;
        let how = loop {
            match self.more(ends.saturating_duration_since(Instant::now())).await {
                Read::Some => {}
                how => break how,
            }
        };
        (std::mem::take(&mut self.unread), how)
    }

    /// Whether the other end closes, or resets, within `limit`, whatever it says before.
    pub async fn ends_within(&mut self, limit: Duration) -> bool {
        self.read_to_end(limit).await.1 != Read::Nothing
    }
}

async fn connect(port: u16) -> Result<TcpStream, String> {
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let made = timeout(PATIENCE, TcpStream::connect(to)).await;
    let stream = made.map_err(|_| "nobody accepts in time")?.map_err(|e| format!("connecting: {e}"))?;
    let _ = stream.set_nodelay(true);
    Ok(stream)
}
