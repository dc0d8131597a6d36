//! Streams whose header blocks carry pseudo-header fields that have no place there: see [`super::hpack`].
//!
//! The watch under `h2` names a stream before `h2` has seen the block; whoever takes the block out of `h2` asks.

use std::cell::RefCell;
use std::rc::Rc;

use super::hpack::{Pseudo, Table};

/// A block that is larger ends the watch: `h2` refuses what is far smaller, and ends the connection.
const BLOCK_BYTES: usize = 1 << 20;
/// What is kept for the next block.
const KEPT_BYTES: usize = 4096;
/// Streams that are remembered until somebody asks. Those that nobody asks for any more are forgotten.
const STREAMS: usize = 256;

const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;

/// What is wrong with a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// A pseudo-header field of requests where there must be none.
    Misplaced,
    /// A `:status` in what ends the stream: wrong unless that is the head.
    Last,
}

/// The faults of one connection's streams.
#[derive(Clone, Default)]
pub struct Malformed(Rc<RefCell<Vec<(u32, Fault)>>>);

impl Malformed {
    fn add(&self, stream: u32, fault: Fault) {
        let mut streams = self.0.borrow_mut();
        if streams.len() == STREAMS {
            streams.remove(0);
        }
        streams.push((stream, fault));
    }

    fn take(&self, stream: u32, wanted: impl Fn(Fault) -> bool) -> bool {
        let mut streams = self.0.borrow_mut();
        let found = streams.iter().position(|(of, fault)| *of == stream && wanted(*fault));
        found.map(|at| streams.remove(at)).is_some()
    }

    /// Whether a response's head is malformed. `ended`: it is all there is of the stream.
    pub fn is_head(&self, stream: u32, ended: bool) -> bool {
        if ended {
            self.take(stream, |fault| fault == Fault::Last);
        }
        self.take(stream, |fault| fault == Fault::Misplaced)
    }

    /// Whether trailers are.
    pub fn is_end(&self, stream: u32) -> bool {
        self.take(stream, |_| true)
    }
}

/// Reads one direction's header blocks.
pub struct Blocks {
    /// None once a block could not be read.
    table: Option<Table>,
    /// What came of a block so far: the fragments of earlier frames, and this frame's payload.
    block: Vec<u8>,
    /// Where this frame's payload begins.
    begin: usize,
    stream: u32,
    ends_stream: bool,
    /// The stream opened last, where the other end opens them.
    opened: Option<u32>,
    malformed: Malformed,
}

impl Blocks {
    /// `client`: of a client's requests, else of an upstream's responses.
    pub fn new(client: bool) -> Blocks {
        Blocks {
            table: Some(Table::new()),
            block: Vec::new(),
            begin: 0,
            stream: 0,
            ends_stream: false,
            opened: client.then_some(0),
            malformed: Malformed::default(),
        }
    }

    /// The streams that are found malformed.
    pub fn malformed(&self) -> Malformed {
        self.malformed.clone()
    }

    /// A HEADERS frame begins.
    pub fn headers(&mut self, stream: u32, flags: u8) {
        self.block.clear();
        self.begin = 0;
        self.stream = stream;
        self.ends_stream = flags & END_STREAM != 0;
    }

    /// Payload of a HEADERS or CONTINUATION frame with these flags; `last`: the frame ends with it.
    pub fn payload(&mut self, bytes: &[u8], headers: bool, flags: u8, last: bool) {
        let Some(table) = &mut self.table else { return };
        // The usual case: one frame, in one read.
        if self.block.is_empty() && headers && last && flags & END_HEADERS != 0 {
            let pseudo = fragment(bytes, flags).and_then(|block| table.read(block));
            return self.judge(pseudo);
        }
        if self.block.len() + bytes.len() > BLOCK_BYTES {
            return self.judge(None);
        }
        self.block.extend_from_slice(bytes);
        if !last {
            return;
        }
        if headers {
            let Some(range) = fragment(&self.block[self.begin..], flags).map(|kept| {
                let from = kept.as_ptr().addr() - self.block.as_ptr().addr();
                from..from + kept.len()
            }) else {
                return self.judge(None);
            };
            self.block.truncate(range.end);
            self.block.drain(..range.start);
        }
        self.begin = self.block.len();
        if flags & END_HEADERS != 0 {
            let pseudo = table.read(&self.block);
            self.judge(pseudo);
            self.block.clear();
            self.block.shrink_to(KEPT_BYTES);
        }
    }

    fn judge(&mut self, pseudo: Option<Pseudo>) {
        let Some(pseudo) = pseudo else {
            self.table = None;
            self.block = Vec::new();
            return;
        };
        match &mut self.opened {
            // A request's head: `h2` looks at that.
            Some(opened) if self.stream > *opened => *opened = self.stream,
            Some(_) if pseudo.request || pseudo.status => self.malformed.add(self.stream, Fault::Misplaced),
            None if pseudo.request => self.malformed.add(self.stream, Fault::Misplaced),
            None if pseudo.status && self.ends_stream => self.malformed.add(self.stream, Fault::Last),
            _ => {}
        }
    }
}

/// The fragment in a HEADERS frame's payload (RFC 9113 section 6.2).
fn fragment(mut payload: &[u8], flags: u8) -> Option<&[u8]> {
    if flags & PADDED != 0 {
        let (&padding, rest) = payload.split_first()?;
        payload = rest.get(..rest.len().checked_sub(padding.into())?)?;
    }
    if flags & PRIORITY != 0 {
        payload = payload.get(5..)?;
    }
    Some(payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &[u8] = b"\x84";
    const STATUS: &[u8] = b"\x88";
    const PLAIN: &[u8] = b"\x00\x01a\x01b";

    fn send(blocks: &mut Blocks, stream: u32, flags: u8, payload: &[u8]) {
        blocks.headers(stream, flags);
        blocks.payload(payload, true, flags, true);
    }

    fn faults(blocks: &Blocks) -> Vec<(u32, Fault)> {
        blocks.malformed.0.borrow().clone()
    }

    #[test]
    fn a_client_s_head_may_carry_them_and_its_trailers_none() {
        for (trailers, fault) in
            [(PATH, Some(Fault::Misplaced)), (STATUS, Some(Fault::Misplaced)), (PLAIN, None)]
        {
            let mut blocks = Blocks::new(true);
            send(&mut blocks, 1, END_HEADERS, PATH);
            send(&mut blocks, 3, END_HEADERS | END_STREAM, PATH);
            assert_eq!(faults(&blocks), []);
            send(&mut blocks, 1, END_HEADERS | END_STREAM, trailers);
            assert_eq!(faults(&blocks), fault.map(|fault| (1, fault)).into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn an_upstream_s_head_carries_a_status_and_nothing_else_and_its_trailers_nothing() {
        let mut blocks = Blocks::new(false);
        let malformed = blocks.malformed();
        send(&mut blocks, 1, END_HEADERS, STATUS);
        send(&mut blocks, 1, END_HEADERS | END_STREAM, PLAIN);
        assert!(!malformed.is_head(1, false) && !malformed.is_end(1));
        send(&mut blocks, 3, END_HEADERS, &[STATUS, PATH].concat());
        assert!(malformed.is_head(3, false));
        send(&mut blocks, 5, END_HEADERS, STATUS);
        send(&mut blocks, 5, END_HEADERS | END_STREAM, STATUS);
        assert!(!malformed.is_head(5, false) && malformed.is_end(5));
        // A head that is all there is.
        send(&mut blocks, 7, END_HEADERS | END_STREAM, STATUS);
        assert!(!malformed.is_head(7, true));
        assert_eq!(faults(&blocks), []);
    }

    #[test]
    fn a_block_is_found_in_whatever_frames_and_reads_it_comes() {
        // The second field is in the table and named from there.
        let block = b"\x40\x05:path\x01/\x40\x01a\x01b\xbf";
        for (flags, front, back) in [
            (0, &b""[..], &b""[..]),
            (PADDED, b"\x03", b"\0\0\0"),
            (PRIORITY, b"\0\0\0\0\x10", b""),
            (PADDED | PRIORITY, b"\x01\0\0\0\0\x10", b"\0"),
        ] {
            for cut in 0..=block.len() {
                let (first, second) = block.split_at(cut);
                for step in 1..=block.len() {
                    let mut blocks = Blocks::new(false);
                    let mut feed = |payload: &[u8], headers, flags| {
                        let chunks: Vec<_> = payload.chunks(step).collect();
                        for (i, chunk) in chunks.iter().enumerate() {
                            blocks.payload(chunk, headers, flags, i + 1 == chunks.len());
                        }
                        if chunks.is_empty() {
                            blocks.payload(b"", headers, flags, true);
                        }
                    };
                    feed(&[front, first, back].concat(), true, flags);
                    feed(second, false, END_HEADERS);
                    assert!(blocks.table.is_some(), "{flags} {cut} {step}");
                    assert_eq!(faults(&blocks), [(0, Fault::Misplaced)], "{flags} {cut} {step}");
                }
            }
        }
    }

    #[test]
    fn what_cannot_be_read_ends_the_watch_and_holds_no_memory() {
        for (payload, flags) in [(&b"\xff"[..], END_HEADERS), (b"\x09x", END_HEADERS | PADDED)] {
            let mut blocks = Blocks::new(true);
            send(&mut blocks, 1, flags, payload);
            assert!(blocks.table.is_none());
        }
        let mut blocks = Blocks::new(true);
        blocks.headers(1, 0);
        for _ in 0..=BLOCK_BYTES / 16_384 {
            blocks.payload(&[0; 16_384], false, 0, true);
        }
        assert!(blocks.table.is_none());
        assert_eq!(blocks.block.capacity(), 0);
        let malformed = Malformed::default();
        (0..1_000).for_each(|stream| malformed.add(stream, Fault::Last));
        assert_eq!(malformed.0.borrow().len(), STREAMS);
    }
}
