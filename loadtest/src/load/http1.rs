//! HTTP/1.1, the client's side: answers are counted as they pass, never stored.

use std::time::Instant;

use super::head::{self, Head, line};
use super::speaker::{Speaker, with_held};
use super::tally::{Broken, Status, Tally};

/// What comes next of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Head,
    /// This many bytes of a body with `Content-Length`.
    Length(u64),
    /// A body that ends with the connection.
    ToEnd,
    /// The line with a chunk's size.
    Size,
    /// The rest of a chunk.
    Chunk(u64),
    /// The line's end after a chunk.
    ChunkEnd,
    /// A trailer field, or the empty line at the end.
    Trailer,
}

/// One connection.
pub struct Http1 {
    /// The connection is for one request only.
    fresh: bool,
    held: Vec<u8>,
    answer: Answer,
}

struct Answer {
    /// When the request under way was due.
    due: Option<Instant>,
    next: Next,
    status: Status,
    /// No request may follow on this connection.
    last: bool,
}

const NONE: Answer = Answer { due: None, next: Next::Head, status: Status::Bad, last: false };

impl Http1 {
    /// `fresh`: each connection is for one request.
    pub fn new(fresh: bool) -> Http1 {
        Http1 { fresh, held: Vec::new(), answer: NONE }
    }
}

impl Speaker for Http1 {
    fn opened(&mut self, _: &mut Vec<u8>) {
        self.held.clear();
        self.answer = NONE;
    }

    fn start(&mut self, request: &[u8], due: Instant, out: &mut Vec<u8>) {
        self.answer = Answer { due: Some(due), last: self.fresh, ..NONE };
        out.extend_from_slice(request);
    }

    fn take(&mut self, bytes: &[u8], _: &mut Vec<u8>, tally: &mut Tally) -> Result<bool, Broken> {
        with_held(&mut self.held, bytes, |bytes| self.answer.take(bytes, tally))?;
        Ok(self.answer.due.is_some() || !self.answer.last)
    }

    fn ended(&mut self, tally: &mut Tally) {
        if self.answer.next == Next::ToEnd {
            self.answer.done(tally);
        }
    }

    fn under_way(&self) -> usize {
        usize::from(self.answer.due.is_some())
    }

    fn limit(&self) -> usize {
        1
    }
}

impl Answer {
    /// Uses up whole lines, whole heads and all there is of bodies. Returns how much that was.
    fn take(&mut self, bytes: &[u8], tally: &mut Tally) -> Result<usize, Broken> {
        let mut used = 0;
        while let Some(rest @ [_, ..]) = bytes.get(used..) {
            if self.due.is_none() {
                return Err(Broken("bytes after an answer's end"));
            }
            let some = match self.next {
                Next::Head => match head::read(rest).map_err(Broken)? {
                    Some(head) => {
                        let len = head.len;
                        self.head(&head, tally)?;
                        len
                    }
                    None => 0,
                },
                Next::Length(left) | Next::Chunk(left) => self.body(left, rest, tally),
                Next::ToEnd => {
                    tally.bytes += rest.len() as u64;
                    rest.len()
                }
                Next::Size | Next::ChunkEnd | Next::Trailer => match line(rest) {
                    Some(line) => {
                        self.line(line.trim_ascii(), tally)?;
                        line.len()
                    }
                    None if rest.len() > head::MAX => return Err(Broken("a line of more than 32 KiB")),
                    None => 0,
                },
            };
            if some == 0 {
                break;
            }
            used += some;
        }
        Ok(used)
    }

    fn head(&mut self, head: &Head<'_>, tally: &mut Tally) -> Result<(), Broken> {
        // `HTTP/1.1 200 OK`
        let [b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor @ (b'0' | b'1'), b' ', code @ ..] = head.first
        else {
            return Err(Broken("no HTTP/1.1 answer"));
        };
        let code = code.get(..3).unwrap_or_default();
        match code {
            b"101" => return Err(Broken("101, which was not asked for")),
            // An interim answer: the real one follows.
            [b'1', _, _] => return Ok(()),
            [b'2', _, _] => self.status = Status::Good,
            [b'3'..=b'9', _, _] => {
                self.status = Status::Bad;
                tally.retry_after = head.retry_after;
            }
            _ => return Err(Broken("an answer without a status")),
        }
        self.last |= head.close || *minor == b'0';
        self.next = match head.length {
            _ if code == b"204" || code == b"304" => Next::Length(0),
            _ if head.chunked => Next::Size,
            Some(length) => Next::Length(length),
            None => {
                self.last = true;
                Next::ToEnd
            }
        };
        if self.next == Next::Length(0) {
            self.done(tally);
        }
        Ok(())
    }

    fn body(&mut self, left: u64, rest: &[u8], tally: &mut Tally) -> usize {
        let some = left.min(rest.len() as u64);
        tally.bytes += some;
        let left = left - some;
        match self.next {
            Next::Chunk(_) if left == 0 => self.next = Next::ChunkEnd,
            Next::Chunk(_) => self.next = Next::Chunk(left),
            _ if left == 0 => self.done(tally),
            _ => self.next = Next::Length(left),
        }
        some as usize
    }

    fn line(&mut self, line: &[u8], tally: &mut Tally) -> Result<(), Broken> {
        match self.next {
            Next::Size => {
                let digits = line.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
                let size =
                    std::str::from_utf8(digits).ok().and_then(|text| u64::from_str_radix(text, 16).ok());
                self.next = match size.ok_or(Broken("a chunk's size that is no number"))? {
                    0 => Next::Trailer,
                    size => Next::Chunk(size),
                };
            }
            Next::ChunkEnd if line.is_empty() => self.next = Next::Size,
            Next::ChunkEnd => return Err(Broken("a chunk that is longer than its size")),
            _ if line.is_empty() => self.done(tally),
            _ => {}
        }
        Ok(())
    }

    fn done(&mut self, tally: &mut Tally) {
        self.next = Next::Head;
        if let Some(due) = self.due.take() {
            tally.answered(due, self.status);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads an answer in two parts, cut at each of its bytes, and one byte at a time; it must be over with its last
    /// byte and not before.
    fn cut_everywhere(answer: &[u8]) -> (u64, u64, u64, bool) {
        let read = |parts: &[&[u8]]| {
            let (mut tally, mut out) = (Tally::new().unwrap(), Vec::new());
            let mut speaker = Http1::new(false);
            speaker.start(b"", Instant::now(), &mut out);
            let mut open = true;
            for part in parts {
                assert_eq!(speaker.under_way(), 1, "over before its end");
                open = speaker.take(part, &mut out, &mut tally).unwrap();
            }
            assert_eq!(speaker.under_way(), 0, "not over at its end: {parts:?}");
            assert!(speaker.held.is_empty());
            (tally.good, tally.errors, tally.bytes, open)
        };
        let whole = read(&[answer]);
        for at in 1..answer.len() {
            assert_eq!(read(&[&answer[..at], &answer[at..]]), whole, "cut at {at}");
        }
        assert_eq!(read(&answer.chunks(1).collect::<Vec<_>>()), whole);
        whole
    }

    #[test]
    fn an_answer_is_the_same_wherever_it_is_cut() {
        let length = b"HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 5\r\n\r\nhello";
        assert_eq!(cut_everywhere(length), (1, 0, 5, true));
        let empty = b"HTTP/1.1 204 No Content\r\n\r\n";
        assert_eq!(cut_everywhere(empty), (1, 0, 0, true));
        let chunks = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\nA\r\n0123456789\r\n0\r\nT: u\r\n\r\n";
        assert_eq!(cut_everywhere(chunks), (1, 0, 15, true));
        let interim =
            b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx";
        assert_eq!(cut_everywhere(interim), (1, 0, 1, true));
    }

    #[test]
    fn an_answer_without_success_is_an_error_and_keeps_the_connection() {
        let answer = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\nno";
        assert_eq!(cut_everywhere(answer), (0, 1, 2, true));
    }

    #[test]
    fn an_answer_with_close_uses_the_connection_up() {
        let close = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx";
        assert_eq!(cut_everywhere(close), (1, 0, 1, false));
        assert_eq!(cut_everywhere(b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx"), (1, 0, 1, false));
    }

    #[test]
    fn an_answer_without_a_length_ends_with_the_connection() {
        let (mut tally, mut out) = (Tally::new().unwrap(), Vec::new());
        let mut speaker = Http1::new(false);
        speaker.start(b"", Instant::now(), &mut out);
        assert_eq!(speaker.take(b"HTTP/1.1 200 OK\r\n\r\nhello", &mut out, &mut tally), Ok(true));
        assert_eq!((speaker.under_way(), tally.bytes), (1, 5));
        speaker.ended(&mut tally);
        assert_eq!((speaker.under_way(), tally.good), (0, 1));
    }

    #[test]
    fn what_is_no_answer_breaks_the_connection() {
        for bytes in [
            &b"HTTP/2.0 200 OK\r\n\r\n"[..],
            b"HTTP/1.1 abc\r\n\r\n",
            b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxy",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxy\r\n",
        ] {
            let (mut tally, mut out) = (Tally::new().unwrap(), Vec::new());
            let mut speaker = Http1::new(false);
            speaker.start(b"", Instant::now(), &mut out);
            assert!(speaker.take(bytes, &mut out, &mut tally).is_err(), "{}", bytes.escape_ascii());
        }
    }
}
