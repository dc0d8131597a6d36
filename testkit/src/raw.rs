//! HTTP/1.1 byte by byte: what a strict proxy must refuse cannot be sent by a proper client, and what it must not
//! invent cannot be seen through one.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::wait::within;

/// For one answer, unless somebody says otherwise: far more than any takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// One connection, either end.
#[derive(Debug)]
pub struct Raw {
    stream: TcpStream,
    unread: Vec<u8>,
    patience: Duration,
}

/// A start line and its fields, as sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The first line, without its end.
    pub start: String,
    /// Names as they were written.
    pub fields: Vec<(String, String)>,
}

impl Head {
    /// All values of a field.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let fields = self.fields.iter().filter(|(field, _)| field.eq_ignore_ascii_case(name));
        fields.map(|(_, value)| value.as_str()).collect()
    }

    /// The only value of a field.
    ///
    /// # Panics
    /// When it is there twice.
    pub fn get(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() < 2, "{name} stands {} times in {self:?}", all.len());
        all.first().copied()
    }

    /// A response's status.
    pub fn status(&self) -> u16 {
        let status = self.start.split(' ').nth(1).and_then(|code| code.parse().ok());
        status.unwrap_or_else(|| panic!("not a status line: {}", self.start))
    }

    fn is_chunked(&self) -> bool {
        self.get("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"))
    }

    fn length(&self) -> Option<usize> {
        self.get("content-length").map(|length| length.parse().expect("a length"))
    }
}

/// How a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By its own framing.
    Whole,
    /// By the connection's end, without a framing that says more.
    AtClose,
    /// By the connection's end, before its framing said so.
    Cut,
}

/// A message.
#[derive(Clone, Debug)]
pub struct Message {
    /// Its head.
    pub head: Head,
    /// Its body, unchunked.
    pub body: Vec<u8>,
    /// Its trailers.
    pub trailers: Vec<(String, String)>,
    /// Whether it is complete.
    pub end: End,
}

impl Message {
    /// A response's status.
    pub fn status(&self) -> u16 {
        self.head.status()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Raw {
    /// Connects.
    ///
    /// # Panics
    /// When nobody listens.
    pub async fn connect(addr: SocketAddr) -> Raw {
        let stream = within("a connection", PATIENCE, TcpStream::connect(addr)).await;
        Raw::over(stream.unwrap_or_else(|error| panic!("{addr}: {error}")))
    }

    /// An accepted connection.
    pub fn over(stream: TcpStream) -> Raw {
        // A small write must not wait for the acknowledgement of the one before.
        let _ = stream.set_nodelay(true);
        Raw { stream, unread: Vec::new(), patience: PATIENCE }
    }

    /// The same with another limit on each wait; [`Duration::MAX`] is none.
    pub fn with_patience(self, patience: Duration) -> Raw {
        Raw { patience, ..self }
    }

    /// The port of our end.
    ///
    /// # Panics
    /// When the connection is no more.
    pub fn local_port(&self) -> u16 {
        self.stream.local_addr().expect("a connection").port()
    }

    /// Sends bytes.
    ///
    /// # Errors
    /// The other end is gone. Often that is what a test wants to see on its reading side instead.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        within("room to send", self.patience, self.stream.write_all(bytes.as_ref())).await
    }

    /// Ends our direction.
    pub async fn finish(&mut self) {
        // The other end may be gone already.
        let _ = self.stream.shutdown().await;
    }

    /// Makes the close that follows a reset: what the other end sends or has sent is refused.
    pub fn reset(self) {
        let _ = self.stream.set_zero_linger();
    }

    /// Reads some bytes; none at the end. A reset is an end too.
    pub async fn read_some(&mut self) -> Vec<u8> {
        if !self.unread.is_empty() {
            return std::mem::take(&mut self.unread);
        }
        let mut bytes = vec![0; 64 * 1024];
        let n = within("bytes", self.patience, self.stream.read(&mut bytes)).await.unwrap_or(0);
        bytes.truncate(n);
        bytes
    }

    /// Reads exactly so many bytes.
    ///
    /// # Panics
    /// When the connection ends before.
    pub async fn read_exactly(&mut self, n: usize) -> Vec<u8> {
        let read = self.try_read_exactly(n).await;
        read.unwrap_or_else(|| panic!("the connection ended after {} of {n} bytes", self.unread.len()))
    }

    /// The same; None when the connection ends before.
    pub async fn try_read_exactly(&mut self, n: usize) -> Option<Vec<u8>> {
        self.peek(n).await?;
        Some(self.unread.drain(..n).collect())
    }

    /// Looks at the next so many bytes, which stay unread; None when the connection ends before. Nothing is lost when
    /// this is given up half way.
    pub async fn peek(&mut self, n: usize) -> Option<&[u8]> {
        while self.unread.len() < n {
            if !self.more().await {
                return None;
            }
        }
        Some(&self.unread[..n])
    }

    /// Everything up to the end of the connection.
    pub async fn read_to_end(&mut self) -> Vec<u8> {
        while self.more().await {}
        std::mem::take(&mut self.unread)
    }

    /// Whether the other end closes without another byte.
    pub async fn is_closed(&mut self) -> bool {
        self.unread.is_empty() && self.read_some().await.is_empty()
    }

    /// Reads on into what is unread; false at the end.
    async fn more(&mut self) -> bool {
        let mut bytes = vec![0; 64 * 1024];
        let n = within("bytes", PATIENCE, self.stream.read(&mut bytes)).await.unwrap_or(0);
        self.unread.extend_from_slice(&bytes[..n]);
        n > 0
    }

    /// Reads a head; None when the connection ends instead.
    pub async fn head(&mut self) -> Option<Head> {
        let end = loop {
            if let Some(at) = self.unread.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            if !self.more().await {
                return None;
            }
        };
        let bytes: Vec<u8> = self.unread.drain(..end).collect();
        let text = String::from_utf8_lossy(&bytes);
        let mut lines = text.trim_end_matches("\r\n").split("\r\n");
        let start = lines.next().unwrap_or_default().to_owned();
        Some(Head { start, fields: lines.map(field).collect() })
    }

    /// Reads the body that a head announces.
    pub async fn body(&mut self, head: Head, request: bool) -> Message {
        let mut message = Message { head, body: Vec::new(), trailers: Vec::new(), end: End::Whole };
        if message.head.is_chunked() {
            message.end = self.chunks(&mut message.body, &mut message.trailers).await;
        } else if let Some(length) = message.head.length() {
            while self.unread.len() < length && self.more().await {}
            let have = length.min(self.unread.len());
            message.body = self.unread.drain(..have).collect();
            if have < length {
                message.end = End::Cut;
            }
        } else if !request {
            message.body = self.read_to_end().await;
            message.end = End::AtClose;
        }
        message
    }

    async fn chunks(&mut self, body: &mut Vec<u8>, trailers: &mut Vec<(String, String)>) -> End {
        loop {
            let Some(size) = self.line().await else { return End::Cut };
            let digits = size.split(';').next().unwrap_or_default();
            let size =
                usize::from_str_radix(digits, 16).unwrap_or_else(|_| panic!("not a chunk size: {size:?}"));
            if size == 0 {
                break;
            }
            while self.unread.len() < size + 2 {
                if !self.more().await {
                    let have = size.min(self.unread.len());
                    body.extend(self.unread.drain(..have));
                    return End::Cut;
                }
            }
            body.extend(self.unread.drain(..size));
            assert_eq!(self.unread.drain(..2).collect::<Vec<_>>(), b"\r\n", "a chunk's end");
        }
        loop {
            match self.line().await {
                None => return End::Cut,
                Some(line) if line.is_empty() => return End::Whole,
                Some(line) => trailers.push(field(&line)),
            }
        }
    }

    async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(at) = self.unread.windows(2).position(|two| two == b"\r\n") {
                let line: Vec<u8> = self.unread.drain(..at + 2).collect();
                return Some(String::from_utf8_lossy(&line[..at]).into_owned());
            }
            if !self.more().await {
                return None;
            }
        }
    }

    /// Reads a response that has a body if its head says so.
    ///
    /// # Panics
    /// When the connection ends before its head.
    pub async fn response(&mut self) -> Message {
        let head = self.head().await.expect("a response");
        let bodiless = matches!(head.status(), 100..=199 | 204 | 304);
        if bodiless {
            return Message { head, body: Vec::new(), trailers: Vec::new(), end: End::Whole };
        }
        self.body(head, false).await
    }

    /// Reads a response to HEAD.
    ///
    /// # Panics
    /// When the connection ends before.
    pub async fn response_to_head(&mut self) -> Head {
        self.head().await.expect("a response")
    }

    /// Reads a request; None when the connection ends instead.
    pub async fn request(&mut self) -> Option<Message> {
        let head = self.head().await?;
        Some(self.body(head, true).await)
    }
}

fn field(line: &str) -> (String, String) {
    let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("not a field: {line:?}"));
    (name.to_owned(), value.trim().to_owned())
}
