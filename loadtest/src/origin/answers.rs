//! Answers, and writing them.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Write};

/// Of an answer to a path that asks for no other size: what the project's other comparisons use.
const USUAL: u64 = 1024;

/// The largest body.
const MOST: u64 = 64 << 20;

/// Bodies are slices of one block of this size: as much as a socket takes at once, and little enough to stay in the
/// second-level cache.
const BLOCK: usize = 256 * 1024;

/// Heads, and the beginnings of bodies, are gathered up to this size into one write. What a body has beyond it is
/// written from the block, for to copy it twice would be a fifth of its cost.
const GATHERED: usize = 16 * 1024;

/// An answer that is owed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    length: u64,
    /// How much of the body was gathered already, and `None` before the head was.
    at: Option<u64>,
}

impl Answer {
    /// The answer to a request line.
    ///
    /// # Errors
    /// It is no request line of HTTP/1.1, or asks for more than 64 MiB.
    pub fn to(line: &[u8]) -> Result<Answer, &'static str> {
        let mut words = line.split(|&byte| byte == b' ');
        let (Some(_), Some(path), Some(b"HTTP/1.1" | b"HTTP/1.0")) =
            (words.next(), words.next(), words.next())
        else {
            return Err("no request line");
        };
        let length = match path.strip_prefix(b"/bytes/") {
            None => USUAL,
            Some(digits) => {
                let number = std::str::from_utf8(digits).ok().and_then(|text| text.parse().ok());
                number.filter(|&length| length <= MOST).ok_or("a size that is no number up to 64 MiB")?
            }
        };
        Ok(Answer { length, at: None })
    }
}

/// What a connection is owed, in order.
#[derive(Default)]
pub struct Owed {
    answers: VecDeque<Answer>,
    /// Gathered, but not yet written.
    rest: Vec<u8>,
}

impl Owed {
    /// Nothing.
    pub fn is_empty(&self) -> bool {
        self.answers.is_empty() && self.rest.is_empty()
    }

    /// One more.
    pub fn push(&mut self, answer: Answer) {
        self.answers.push_back(answer);
    }
}

/// What all answers have in common.
pub struct Answers {
    /// For each port, a head up to the length.
    heads: Vec<Vec<u8>>,
    block: Box<[u8]>,
    /// Where answers are gathered.
    gathered: Vec<u8>,
}

impl Answers {
    /// Those from these ports.
    pub fn new(ports: &[u16]) -> Answers {
        let head = |port: &u16| {
            format!(
                "HTTP/1.1 200 OK\r\nServer: bench\r\nDate: Mon, 23 Nov 2026 16:00:00 GMT\r\n\
                 Content-Type: text/plain\r\nX-Backend: {port}\r\nContent-Length: "
            )
            .into_bytes()
        };
        let block = (b'a'..=b'z').cycle().take(BLOCK).collect();
        Answers { heads: ports.iter().map(head).collect(), block, gathered: Vec::with_capacity(2 * GATHERED) }
    }

    /// Writes what is owed by this port. `false`: not all of it could be written now.
    ///
    /// # Errors
    /// The connection is broken.
    pub fn pay(&mut self, owed: &mut Owed, port: usize, to: &mut impl Write) -> io::Result<bool> {
        while !owed.is_empty() {
            if !owed.rest.is_empty() {
                let written = write_all(to, &owed.rest)?;
                owed.rest.drain(..written);
            } else if owed.answers.front().is_some_and(|answer| answer.at.is_none()) {
                // In a buffer that all connections share, for most never need one of their own.
                let mut gathered = std::mem::take(&mut self.gathered);
                gathered.clear();
                self.gather(&mut gathered, &mut owed.answers, port);
                let written = write_all(to, &gathered);
                let rest = written.as_ref().map_or(0, |written| *written);
                owed.rest.extend_from_slice(&gathered[rest..]);
                self.gathered = gathered;
                written?;
            }
            if !owed.rest.is_empty() || !self.pay_body(&mut owed.answers, to)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Gathers heads and bodies, until a body is left that is better written from the block.
    fn gather(&self, into: &mut Vec<u8>, answers: &mut VecDeque<Answer>, port: usize) {
        while let Some(answer) = answers.front_mut()
            && into.len() < GATHERED
        {
            into.extend_from_slice(self.heads.get(port).map(Vec::as_slice).unwrap_or_default());
            // Into a vector, which cannot fail.
            let _ = write!(into, "{}\r\n\r\n", answer.length);
            let some = answer.length.min(GATHERED.saturating_sub(into.len()) as u64);
            into.extend_from_slice(&self.block[..some as usize]);
            if some < answer.length {
                answer.at = Some(some);
                return;
            }
            answers.pop_front();
        }
    }

    /// Writes the rest of a body from the block, if that is what comes next. `false`: not all of it.
    fn pay_body(&self, answers: &mut VecDeque<Answer>, to: &mut impl Write) -> io::Result<bool> {
        while let Some(Answer { length, at: Some(at) }) = answers.front_mut() {
            let some = (*length - *at).min(BLOCK as u64) as usize;
            let written = write_all(to, &self.block[..some])?;
            *at += written as u64;
            if written < some {
                return Ok(false);
            }
            if at == length {
                answers.pop_front();
            }
        }
        Ok(true)
    }
}

/// Writes as much as can be written now. A write that was cut short has filled the socket, and the next edge tells of
/// room, so it is not tried again.
pub(crate) fn write_all(to: &mut impl Write, bytes: &[u8]) -> io::Result<usize> {
    loop {
        match to.write(bytes) {
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(0),
            written => return written,
        }
    }
}
