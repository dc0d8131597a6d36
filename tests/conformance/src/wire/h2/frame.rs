//! Frames (RFC 9113 section 4.1).

/// Frame types (section 6).
pub mod kind {
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const PRIORITY: u8 = 2;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PUSH_PROMISE: u8 = 5;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
}

/// Flags.
pub mod flag {
    pub const NONE: u8 = 0;
    /// Of SETTINGS and PING.
    pub const ACK: u8 = 0x1;
    /// Of DATA and HEADERS.
    pub const END_STREAM: u8 = 0x1;
    /// Of HEADERS and CONTINUATION.
    pub const END_HEADERS: u8 = 0x4;
    pub const PADDED: u8 = 0x8;
    pub const PRIORITY: u8 = 0x20;
}

/// Error codes (section 7).
pub mod code {
    pub const NO_ERROR: u32 = 0;
    pub const PROTOCOL_ERROR: u32 = 1;
    pub const INTERNAL_ERROR: u32 = 2;
    pub const FLOW_CONTROL_ERROR: u32 = 3;
    pub const STREAM_CLOSED: u32 = 5;
    pub const FRAME_SIZE_ERROR: u32 = 6;
    pub const REFUSED_STREAM: u32 = 7;
    pub const CANCEL: u32 = 8;
    pub const COMPRESSION_ERROR: u32 = 9;
    pub const ENHANCE_YOUR_CALM: u32 = 11;
}

/// Settings (section 6.5.2, RFC 8441 section 3).
pub mod setting {
    pub const HEADER_TABLE_SIZE: u16 = 1;
    pub const ENABLE_PUSH: u16 = 2;
    pub const MAX_CONCURRENT_STREAMS: u16 = 3;
    pub const INITIAL_WINDOW_SIZE: u16 = 4;
    pub const MAX_FRAME_SIZE: u16 = 5;
    pub const ENABLE_CONNECT_PROTOCOL: u16 = 8;
}

/// The client's first octets (section 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    /// Any frame.
    pub fn new(kind: u8, flags: u8, stream: u32, payload: impl Into<Vec<u8>>) -> Frame {
        Frame { kind, flags, stream, payload: payload.into() }
    }

    /// SETTINGS with these values.
    pub fn settings(values: &[(u16, u32)]) -> Frame {
        let mut payload = Vec::new();
        for (name, value) in values {
            payload.extend(name.to_be_bytes());
            payload.extend(value.to_be_bytes());
        }
        Frame::new(kind::SETTINGS, flag::NONE, 0, payload)
    }

    /// RST_STREAM.
    pub fn reset(stream: u32, code: u32) -> Frame {
        Frame::new(kind::RST_STREAM, flag::NONE, stream, code.to_be_bytes())
    }

    /// WINDOW_UPDATE.
    pub fn window(stream: u32, more: u32) -> Frame {
        Frame::new(kind::WINDOW_UPDATE, flag::NONE, stream, more.to_be_bytes())
    }

    /// PING.
    pub fn ping(what: [u8; 8]) -> Frame {
        Frame::new(kind::PING, flag::NONE, 0, what)
    }

    /// GOAWAY.
    pub fn goaway(last: u32, code: u32) -> Frame {
        Frame::new(kind::GOAWAY, flag::NONE, 0, [last.to_be_bytes(), code.to_be_bytes()].concat())
    }

    /// DATA.
    pub fn data(stream: u32, end: bool, payload: impl Into<Vec<u8>>) -> Frame {
        Frame::new(kind::DATA, u8::from(end), stream, payload)
    }

    /// Its octets.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = (self.payload.len() as u32).to_be_bytes()[1..].to_vec();
        bytes.extend([self.kind, self.flags]);
        bytes.extend(self.stream.to_be_bytes());
        bytes.extend(&self.payload);
        bytes
    }

    /// The frame at the start of `bytes`, taken out of them.
    pub fn take(bytes: &mut Vec<u8>) -> Option<Frame> {
        let head: [u8; 9] = bytes.first_chunk().copied()?;
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        if bytes.len() < 9 + length {
            return None;
        }
        let stream = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
        let payload = bytes[9..9 + length].to_vec();
        bytes.drain(..9 + length);
        Some(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    /// The number at the start of its payload: a window, an error code.
    pub fn number(&self) -> u32 {
        self.payload.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes))
    }

    /// GOAWAY's error code.
    pub fn goaway_code(&self) -> u32 {
        self.payload.get(4..8).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_be_bytes)
    }

    /// The payload without padding and priority; None where they do not fit.
    pub fn content(&self) -> Option<&[u8]> {
        let mut content = &self.payload[..];
        if self.flags & flag::PADDED != 0 && matches!(self.kind, kind::DATA | kind::HEADERS) {
            let (pad, rest) = content.split_first()?;
            content = rest.get(..rest.len().checked_sub(usize::from(*pad))?)?;
        }
        if self.flags & flag::PRIORITY != 0 && self.kind == kind::HEADERS {
            content = content.get(5..)?;
        }
        Some(content)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_read_as_they_were_written() {
        let frame = Frame::new(kind::HEADERS, flag::END_HEADERS | flag::PADDED, 3, *b"\x02abc\0\0");
        let mut bytes = frame.bytes();
        bytes.push(7);
        assert_eq!(Frame::take(&mut bytes), Some(frame.clone()));
        assert_eq!((bytes, frame.content()), (vec![7], Some(&b"abc"[..])));
        assert_eq!(Frame::goaway(1, 11).goaway_code(), 11);
    }
}
