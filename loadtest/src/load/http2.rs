//! HTTP/2 (RFC 9113), the client's side, as little of it as counts answers.
//!
//! By hand, because a whole implementation keeps queues, wakers and header maps for each stream, and would use more
//! of the shared CPU than the origin does. Left out, because this client has no use for it: request bodies and with
//! them flow control of our own, priorities, and HPACK beyond the status (RFC 7541): servers send 200, 204 and 206
//! from the static table, and what is not among these counts as an error, whatever it is.

use std::time::Instant;

use super::speaker::{Speaker, with_held};
use super::tally::{Broken, Status, Tally};

/// Bytes of a frame's head.
const HEAD: usize = 9;

/// SETTINGS_MAX_FRAME_SIZE as it is where we do not say otherwise (section 6.5.2).
const MAX_FRAME: usize = 16 * 1024;

/// The largest window there can be (section 6.9.1). No body comes near it, so a stream's needs no update.
const WINDOW: u32 = (1 << 31) - 1;

/// What a connection's window is at first (section 6.9.2).
const FIRST_WINDOW: u32 = 65_535;

/// The connection's window is refilled when this much is used: half of it, so no answer ever waits for an update.
const REFILL: u32 = 1 << 30;

/// Streams at most until the server has said how many: what it should allow at least (section 6.5.2).
const BEFORE_SETTINGS: usize = 100;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

/// Of SETTINGS and PING.
const ACK: u8 = 0x1;
/// Of DATA and HEADERS.
const END_STREAM: u8 = 0x1;
const PADDED: u8 = 0x8;
/// Of HEADERS.
const PRIORITY: u8 = 0x20;

/// One connection.
pub struct Http2 {
    /// Streams at most, as planned.
    streams: usize,
    held: Vec<u8>,
    state: State,
}

struct State {
    /// Streams at most, as planned and as the server allows.
    limit: usize,
    under_way: Vec<Stream>,
    /// The next request's stream.
    next: u32,
    /// No new streams: the connection is used up when those under way are answered.
    draining: bool,
    data: Option<Data>,
    /// Bytes of the connection's window used since it was last refilled.
    used: u32,
    /// The server has a smaller dynamic table than usual, and the next header block must say that we know.
    shrunk: bool,
}

struct Stream {
    id: u32,
    due: Instant,
    status: Option<Status>,
}

/// A DATA frame that is passing.
struct Data {
    stream: u32,
    left: usize,
    /// Without padding.
    body: usize,
    last: bool,
}

impl Http2 {
    /// This many streams at most.
    pub fn new(streams: usize) -> Http2 {
        let streams = streams.max(1);
        Http2 { streams, held: Vec::new(), state: State::new(streams, Vec::with_capacity(streams)) }
    }
}

impl Speaker for Http2 {
    fn opened(&mut self, out: &mut Vec<u8>) {
        self.held.clear();
        let mut streams = std::mem::take(&mut self.state.under_way);
        streams.clear();
        self.state = State::new(self.streams, streams);
        out.extend_from_slice(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        frame_head(out, 12, SETTINGS, 0);
        out.extend_from_slice(&[0, 2, 0, 0, 0, 0]); // ENABLE_PUSH
        out.extend_from_slice(&[0, 4]); // INITIAL_WINDOW_SIZE
        out.extend_from_slice(&WINDOW.to_be_bytes());
        window_update(out, WINDOW - FIRST_WINDOW);
    }

    fn start(&mut self, request: &[u8], due: Instant, out: &mut Vec<u8>) {
        let state = &mut self.state;
        let begin = out.len();
        out.extend_from_slice(request);
        if let Some(id) = out.get_mut(begin + 5..begin + HEAD) {
            id.copy_from_slice(&state.next.to_be_bytes());
        }
        if std::mem::take(&mut state.shrunk) {
            // RFC 7541, section 4.2: a block that begins with the new size, 0. Request blocks are below 16 KiB, so
            // their length is in the second and the third byte.
            out.insert(begin + HEAD, 0x20);
            let length = (request.len() - HEAD + 1) as u16;
            out[begin + 1..begin + 3].copy_from_slice(&length.to_be_bytes());
        }
        state.under_way.push(Stream { id: state.next, due, status: None });
        state.next += 2;
        state.draining |= state.next > WINDOW;
    }

    fn take(&mut self, bytes: &[u8], out: &mut Vec<u8>, tally: &mut Tally) -> Result<bool, Broken> {
        let planned = self.streams;
        with_held(&mut self.held, bytes, |bytes| self.state.take(bytes, planned, out, tally))?;
        Ok(!(self.state.draining && self.state.under_way.is_empty()))
    }

    fn under_way(&self) -> usize {
        self.state.under_way.len()
    }

    fn limit(&self) -> usize {
        if self.state.draining { 0 } else { self.state.limit }
    }
}

impl State {
    fn new(streams: usize, under_way: Vec<Stream>) -> State {
        let limit = streams.min(BEFORE_SETTINGS);
        State { limit, under_way, next: 1, draining: false, data: None, used: 0, shrunk: false }
    }

    /// Uses up whole frames, and of DATA frames all there is. Returns how much that was.
    fn take(
        &mut self,
        bytes: &[u8],
        planned: usize,
        out: &mut Vec<u8>,
        tally: &mut Tally,
    ) -> Result<usize, Broken> {
        let mut used = 0;
        loop {
            let rest = bytes.get(used..).unwrap_or_default();
            if let Some(mut data) = self.data.take() {
                let some = data.left.min(rest.len());
                data.left -= some;
                used += some;
                if data.left > 0 {
                    self.data = Some(data);
                    return Ok(used);
                }
                self.data_passed(&data, out, tally)?;
                continue;
            }
            let &[l2, l1, l0, kind, flags, i3, i2, i1, i0, ref rest @ ..] = rest else { return Ok(used) };
            let len = u32::from_be_bytes([0, l2, l1, l0]) as usize;
            let id = u32::from_be_bytes([i3 & 0x7f, i2, i1, i0]);
            if len > MAX_FRAME {
                return Err(Broken("a frame of more than 16 KiB, or not HTTP/2 at all"));
            }
            if kind == DATA {
                let padding = match (flags & PADDED, rest) {
                    (0, _) => 0,
                    (_, [padding, ..]) => 1 + usize::from(*padding),
                    // It cannot be told yet.
                    (_, []) if len > 0 => return Ok(used),
                    _ => 1,
                };
                let body =
                    len.checked_sub(padding).ok_or(Broken("a DATA frame with more padding than it has"))?;
                self.data = Some(Data { stream: id, left: len, body, last: flags & END_STREAM != 0 });
                self.used += len as u32;
                used += HEAD;
            } else {
                let Some(payload) = rest.get(..len) else { return Ok(used) };
                self.frame(kind, flags, id, payload, planned, out, tally)?;
                used += HEAD + len;
            }
        }
    }

    fn data_passed(&mut self, data: &Data, out: &mut Vec<u8>, tally: &mut Tally) -> Result<(), Broken> {
        tally.bytes += data.body as u64;
        if self.used >= REFILL {
            window_update(out, self.used);
            self.used = 0;
        }
        // It may be a stream that was reset meanwhile, which counted already.
        match self.find(data.stream) {
            Some(at) if self.under_way[at].status.is_none() => Err(Broken("DATA before HEADERS")),
            Some(at) if data.last => {
                self.answered(at, tally);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    // All of them are parts of one frame or of its surroundings; a struct for one call would only rename them.
    #[allow(clippy::too_many_arguments)]
    fn frame(
        &mut self,
        kind: u8,
        flags: u8,
        id: u32,
        payload: &[u8],
        planned: usize,
        out: &mut Vec<u8>,
        tally: &mut Tally,
    ) -> Result<(), Broken> {
        match (kind, payload) {
            (HEADERS, _) => {
                let at = self.find(id).ok_or(Broken("HEADERS for no request of ours"))?;
                // A second block is trailers.
                if self.under_way[at].status.is_none() {
                    self.under_way[at].status = Some(status(flags, payload));
                }
                if flags & END_STREAM != 0 {
                    self.answered(at, tally);
                }
            }
            (RST_STREAM, _) => {
                // After a whole answer it only says that the server wants no request body (section 8.1).
                if let Some(at) = self.find(id) {
                    self.under_way.swap_remove(at);
                    tally.failed(1, "RST_STREAM".to_owned());
                }
            }
            (SETTINGS, _) if flags & ACK == 0 => self.settings(payload, planned, out),
            (PING, &[_, _, _, _, _, _, _, _]) if flags & ACK == 0 => {
                frame_head(out, 8, PING, ACK);
                out.extend_from_slice(payload);
            }
            (GOAWAY, &[l3, l2, l1, l0, 0, 0, 0, 0, ..]) => {
                let last = u32::from_be_bytes([l3 & 0x7f, l2, l1, l0]);
                self.draining = true;
                let before = self.under_way.len();
                self.under_way.retain(|stream| stream.id <= last);
                if before > self.under_way.len() {
                    tally.failed((before - self.under_way.len()) as u64, "GOAWAY".to_owned());
                }
            }
            (GOAWAY, _) => return Err(Broken("GOAWAY with an error")),
            (PUSH_PROMISE, _) => return Err(Broken("PUSH_PROMISE, which we do not allow")),
            // CONTINUATION too: the status is the first field, so it was in the HEADERS frame.
            _ => {}
        }
        Ok(())
    }

    fn settings(&mut self, payload: &[u8], planned: usize, out: &mut Vec<u8>) {
        self.limit = planned;
        for setting in payload.chunks_exact(6) {
            let &[_, name, v3, v2, v1, v0] = setting else { continue };
            let value = u32::from_be_bytes([v3, v2, v1, v0]);
            match name {
                1 => self.shrunk |= value < 4096,              // HEADER_TABLE_SIZE
                3 => self.limit = planned.min(value as usize), // MAX_CONCURRENT_STREAMS
                _ => {}
            }
        }
        frame_head(out, 0, SETTINGS, ACK);
    }

    fn find(&self, id: u32) -> Option<usize> {
        self.under_way.iter().position(|stream| stream.id == id)
    }

    fn answered(&mut self, at: usize, tally: &mut Tally) {
        let stream = self.under_way.swap_remove(at);
        tally.answered(stream.due, stream.status.unwrap_or(Status::Bad));
    }
}

/// The status in a HEADERS frame's block.
fn status(flags: u8, payload: &[u8]) -> Status {
    let skip = usize::from(flags & PADDED != 0) + if flags & PRIORITY == 0 { 0 } else { 5 };
    let mut block = payload.get(skip..).unwrap_or_default();
    // New sizes of the dynamic table, which come first if at all (RFC 7541, section 4.2).
    while let [0x20..=0x3f, rest @ ..] = block {
        let more =
            if block[0] == 0x3f { rest.iter().take_while(|&&byte| byte >= 0x80).count() + 1 } else { 0 };
        block = rest.get(more..).unwrap_or_default();
    }
    // 200, 204 and 206 (RFC 7541, appendix A).
    if let [0x88..=0x8a, ..] = block { Status::Good } else { Status::Bad }
}

fn frame_head(out: &mut Vec<u8>, len: u8, kind: u8, flags: u8) {
    out.extend_from_slice(&[0, 0, len, kind, flags, 0, 0, 0, 0]);
}

fn window_update(out: &mut Vec<u8>, by: u32) {
    frame_head(out, 4, WINDOW_UPDATE, 0);
    out.extend_from_slice(&by.to_be_bytes());
}

#[cfg(test)]
#[path = "http2_tests.rs"]
mod tests;
