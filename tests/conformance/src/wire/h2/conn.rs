//! A client's connection.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;

use super::frame::{Frame, PREFACE, flag, kind, setting};
use super::hpack::{self, Decoder};
use crate::wire::conn::PATIENCE;
use crate::wire::{Conn, Read};

/// What came of a stream.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// `:status`; 0 where no head came.
    pub status: u16,
    /// Interim statuses before it.
    pub interims: Vec<u16>,
    /// Its fields.
    pub fields: Vec<(String, String)>,
    /// Its body.
    pub body: Vec<u8>,
    /// Its trailers.
    pub trailers: Option<Vec<(String, String)>>,
    /// It ended as it should.
    pub ended: bool,
    /// RST_STREAM's code.
    pub reset: Option<u32>,
}

impl Answer {
    /// All values of a field.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.fields.iter().filter(|(field, _)| field == name).map(|(_, value)| value.as_str()).collect()
    }

    /// A value among the trailers.
    pub fn trailer(&self, name: &str) -> Option<&str> {
        let trailers = self.trailers.as_ref()?;
        trailers.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// Nothing more will come.
    pub fn is_over(&self) -> bool {
        self.ended || self.reset.is_some()
    }
}

/// A connection.
pub struct H2 {
    /// The bytes below.
    pub conn: Conn,
    decoder: Decoder,
    /// What came, by stream.
    pub answers: HashMap<u32, Answer>,
    /// The server's settings, the last of each.
    pub settings: HashMap<u16, u32>,
    /// GOAWAY's code.
    pub goaway: Option<u32>,
    /// How the connection ended.
    pub ended: Option<Read>,
    /// Frames of each type received.
    pub count: [u64; 16],
    /// What a DATA frame of the server's is answered with: as much window again, or nothing.
    pub refill: bool,
    block: Vec<u8>,
    next: u32,
}

impl H2 {
    /// Connects by TLS, and says the preface with these settings.
    ///
    /// # Errors
    /// There is no connection, or no HTTP/2 over it.
    pub async fn open(port: u16, config: &Arc<ClientConfig>, settings: &[(u16, u32)]) -> Result<H2, String> {
        let mut h2 = H2::silent(port, config).await?;
        let hello = [PREFACE.to_vec(), Frame::settings(settings).bytes()].concat();
        h2.conn.send(hello).await?;
        // The server's own settings: what it allows is known from here on.
        while h2.count[usize::from(kind::SETTINGS)] == 0 {
            if h2.step(PATIENCE).await.is_none() {
                return Err("no SETTINGS from the server".to_owned());
            }
        }
        Ok(h2)
    }

    /// Connects and says nothing.
    ///
    /// # Errors
    /// As [`H2::open`].
    pub async fn silent(port: u16, config: &Arc<ClientConfig>) -> Result<H2, String> {
        let conn = Conn::tls(port, config).await?;
        match conn.alpn().as_deref() {
            Some(b"h2") => Ok(H2::over(conn)),
            other => Err(format!("ALPN chose {:?}", other.map(String::from_utf8_lossy))),
        }
    }

    /// An open connection.
    pub fn over(conn: Conn) -> H2 {
        H2 {
            conn,
            decoder: Decoder::default(),
            answers: HashMap::new(),
            settings: HashMap::new(),
            goaway: None,
            ended: None,
            count: [0; 16],
            refill: true,
            block: Vec::new(),
            next: 1,
        }
    }

    /// A stream that was not used.
    pub fn stream(&mut self) -> u32 {
        self.next += 2;
        self.next - 2
    }

    /// Sends a frame.
    ///
    /// # Errors
    /// The other end does not take it.
    pub async fn send(&mut self, frame: &Frame) -> Result<(), String> {
        self.conn.send(frame.bytes()).await
    }

    /// Sends a request's head on a new stream.
    ///
    /// # Errors
    /// As [`H2::send`].
    pub async fn request<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        &mut self,
        fields: &[(N, V)],
        end: bool,
    ) -> Result<u32, String> {
        let stream = self.stream();
        let flags = flag::END_HEADERS | if end { flag::END_STREAM } else { 0 };
        self.send(&Frame::new(kind::HEADERS, flags, stream, hpack::block(fields))).await?;
        Ok(stream)
    }

    /// Sends a request's head on a new stream, and what follows it, in one write.
    ///
    /// # Errors
    /// As [`H2::send`].
    pub async fn request_with<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        &mut self,
        fields: &[(N, V)],
        rest: impl FnOnce(u32) -> Vec<Frame>,
    ) -> Result<u32, String> {
        let stream = self.stream();
        let head = Frame::new(kind::HEADERS, flag::END_HEADERS, stream, hpack::block(fields));
        let frames = [vec![head], rest(stream)].concat();
        self.conn.send(frames.iter().flat_map(Frame::bytes).collect::<Vec<u8>>()).await?;
        Ok(stream)
    }

    /// Receives one frame and does what a proper client does about it. None: nothing came in time, or the
    /// connection has ended, which is in [`H2::ended`] then.
    pub async fn step(&mut self, limit: Duration) -> Option<Frame> {
        let frame = loop {
            if let Some(frame) = Frame::take(&mut self.conn.unread) {
                break frame;
            }
            match self.conn.more(limit).await {
                Read::Some => {}
                Read::Nothing => return None,
                how => {
                    self.ended = Some(how);
                    return None;
                }
            }
        };
        if let Some(count) = self.count.get_mut(usize::from(frame.kind)) {
            *count += 1;
        }
        self.take(&frame).await;
        Some(frame)
    }

    async fn take(&mut self, frame: &Frame) {
        let ack = frame.flags & flag::ACK != 0;
        match frame.kind {
            kind::SETTINGS if !ack => {
                for value in frame.payload.chunks_exact(6) {
                    let name = u16::from_be_bytes([value[0], value[1]]);
                    let number = u32::from_be_bytes([value[2], value[3], value[4], value[5]]);
                    self.settings.insert(name, number);
                }
                self.offer(&Frame::new(kind::SETTINGS, flag::ACK, 0, [])).await;
            }
            kind::PING if !ack => {
                self.offer(&Frame::new(kind::PING, flag::ACK, 0, frame.payload.clone())).await;
            }
            kind::GOAWAY => self.goaway = Some(frame.goaway_code()),
            kind::RST_STREAM => self.answers.entry(frame.stream).or_default().reset = Some(frame.number()),
            kind::HEADERS | kind::CONTINUATION => self.head(frame),
            kind::DATA => {
                let answer = self.answers.entry(frame.stream).or_default();
                answer.body.extend_from_slice(frame.content().unwrap_or_default());
                answer.ended |= frame.flags & flag::END_STREAM != 0;
                if self.refill && !frame.payload.is_empty() {
                    let more = frame.payload.len() as u32;
                    self.offer(&Frame::window(0, more)).await;
                    self.offer(&Frame::window(frame.stream, more)).await;
                }
            }
            _ => {}
        }
    }

    fn head(&mut self, frame: &Frame) {
        self.block.extend_from_slice(frame.content().unwrap_or_default());
        let answer = self.answers.entry(frame.stream).or_default();
        if frame.kind == kind::HEADERS {
            answer.ended |= frame.flags & flag::END_STREAM != 0;
        }
        if frame.flags & flag::END_HEADERS == 0 {
            return;
        }
        let fields = self.decoder.decode(&std::mem::take(&mut self.block)).unwrap_or_default();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let fields: Vec<(String, String)> = fields.into_iter().map(|(n, v)| (text(n), text(v))).collect();
        let status = fields.iter().find(|(name, _)| name == ":status").and_then(|(_, v)| v.parse().ok());
        match status {
            Some(status @ 100..=199) => answer.interims.push(status),
            Some(status) => (answer.status, answer.fields) = (status, fields),
            None => answer.trailers = Some(fields),
        }
    }

    async fn offer(&mut self, frame: &Frame) {
        // What comes of it shows on the reading side.
        let _ = self.conn.send_within(frame.bytes(), Duration::from_secs(1)).await;
    }

    /// Waits for the end of a stream, or of the connection.
    pub async fn answer(&mut self, stream: u32) -> Answer {
        self.until(PATIENCE, |h2| h2.answers.get(&stream).is_some_and(Answer::is_over)).await;
        self.answers.get(&stream).cloned().unwrap_or_default()
    }

    /// Steps until something holds; false when the time or the connection ends first.
    pub async fn until(&mut self, limit: Duration, holds: impl Fn(&H2) -> bool) -> bool {
        let ends = Instant::now() + limit;
        loop {
            if holds(self) {
                return true;
            }
            let left = ends.saturating_duration_since(Instant::now());
            if left.is_zero() || (self.step(left).await.is_none() && self.ended.is_some()) {
                return holds(self);
            }
        }
    }

    /// Whether the server ends the connection within `limit`.
    pub async fn ends_within(&mut self, limit: Duration) -> bool {
        self.until(limit, |h2| h2.ended.is_some()).await;
        self.ended.is_some()
    }

    /// What the server allows by a setting.
    pub fn allowed(&self, name: u16) -> u32 {
        let usual = match name {
            setting::INITIAL_WINDOW_SIZE => 65_535,
            setting::MAX_FRAME_SIZE => 16_384,
            setting::HEADER_TABLE_SIZE => 4_096,
            setting::MAX_CONCURRENT_STREAMS => u32::MAX,
            _ => 0,
        };
        self.settings.get(&name).copied().unwrap_or(usual)
    }
}
