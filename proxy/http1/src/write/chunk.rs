//! Chunked framing (RFC 9112 section 7.1).

use crate::body::Trailers;
use crate::write::line;

/// What follows the data of each chunk.
pub const CHUNK_END: &[u8] = b"\r\n";

/// `chunk-size CRLF`, for a vectored write: header, payload, [`CHUNK_END`].
#[derive(Debug, Clone, Copy)]
pub struct ChunkHeader {
    octets: [u8; 18],
    start: u8,
}

impl ChunkHeader {
    /// The header of a chunk of `size` octets, not 0: that would be the last chunk.
    pub fn new(size: usize) -> ChunkHeader {
        let mut octets = *b"0000000000000000\r\n";
        let mut at = 16;
        let mut rest = size as u64;
        loop {
            at -= 1;
            octets[at] = b"0123456789abcdef"[(rest & 15) as usize];
            rest >>= 4;
            if rest == 0 {
                return ChunkHeader { octets, start: at as u8 };
            }
        }
    }
}

impl AsRef<[u8]> for ChunkHeader {
    fn as_ref(&self) -> &[u8] {
        &self.octets[self.start as usize..]
    }
}

/// Appends `payload` as one chunk; nothing if it is empty.
pub fn write_chunk(out: &mut Vec<u8>, payload: &[u8]) {
    if payload.is_empty() {
        return;
    }
    out.extend_from_slice(ChunkHeader::new(payload.len()).as_ref());
    out.extend_from_slice(payload);
    out.extend_from_slice(CHUNK_END);
}

/// Appends the last chunk and the trailer section that ends the body. Dropped fields and those that
/// frame or belong to a connection are left out.
pub fn write_last_chunk(out: &mut Vec<u8>, trailers: Option<&Trailers>) {
    out.extend_from_slice(b"0\r\n");
    if let Some(trailers) = trailers {
        line::copy(out, &trailers.bytes, &trailers.fields, line::REWRITTEN, (0, 0));
    }
    out.extend_from_slice(b"\r\n");
}
