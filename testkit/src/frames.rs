//! HTTP/2 frame by frame: what no proper implementation sends.

use std::io;
use std::net::SocketAddr;

use crate::raw::Raw;

/// Types of frames (RFC 9113 section 6).
pub mod kind {
    #![allow(missing_docs, reason = "their names are those of the RFC")]
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const PRIORITY: u8 = 2;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
}

/// Of DATA and HEADERS.
pub const END_STREAM: u8 = 1;
/// Of HEADERS and CONTINUATION.
pub const END_HEADERS: u8 = 4;
/// Of SETTINGS and PING.
pub const ACK: u8 = 1;

/// The error code that says "too much" (RFC 9113 section 7).
pub const ENHANCE_YOUR_CALM: u32 = 11;

/// GET of `/` on host `a` in HPACK, without the dynamic table.
pub const GET: &[u8] = &[0x82, 0x86, 0x84, 0x01, 1, b'a'];
/// The same for POST.
pub const POST: &[u8] = &[0x83, 0x86, 0x84, 0x01, 1, b'a'];

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// See [`kind`].
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// Its stream.
    pub stream: u32,
    /// What it carries.
    pub payload: Vec<u8>,
}

/// The bytes of a frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a frame is small").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// One connection, either end.
#[derive(Debug)]
pub struct Frames {
    raw: Raw,
}

impl Frames {
    /// Connects as a client does: preface and SETTINGS.
    pub async fn connect(addr: SocketAddr) -> Frames {
        let mut raw = Raw::connect(addr).await;
        let begin = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &frame(kind::SETTINGS, 0, 0, b"")[..]].concat();
        raw.send(begin).await.expect("a new connection takes bytes");
        Frames { raw }
    }

    /// Answers as a server does: takes the preface, sends SETTINGS. None when the client leaves first.
    pub async fn accept(mut raw: Raw) -> Option<Frames> {
        raw.try_read_exactly(24).await?;
        raw.send(frame(kind::SETTINGS, 0, 0, b"")).await.ok()?;
        Some(Frames { raw })
    }

    /// Sends bytes.
    ///
    /// # Errors
    /// The other end is gone.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.raw.send(bytes).await
    }

    /// The next frame; None at the end of the connection. Nothing is lost when this is given up half way.
    pub async fn next(&mut self) -> Option<Frame> {
        let head = self.raw.peek(9).await?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let whole = self.raw.try_read_exactly(9 + length).await?;
        let stream = u32::from_be_bytes([whole[5], whole[6], whole[7], whole[8]]);
        Some(Frame { kind: whole[3], flags: whole[4], stream, payload: whole[9..].to_vec() })
    }

    /// Reads until a frame of this kind; None when the connection ends before.
    pub async fn next_of(&mut self, kind: u8) -> Option<Frame> {
        loop {
            let frame = self.next().await?;
            if frame.kind == kind {
                return Some(frame);
            }
        }
    }

    /// Reads to the end of the connection: the error code of the last GOAWAY, if there was one.
    pub async fn goaway(&mut self) -> Option<u32> {
        let mut code = None;
        while let Some(frame) = self.next_of(kind::GOAWAY).await {
            let bytes = frame.payload.get(4..8).and_then(|bytes| <[u8; 4]>::try_from(bytes).ok());
            code = bytes.map(u32::from_be_bytes);
        }
        code
    }
}
