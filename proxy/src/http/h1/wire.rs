//! What both ends of an HTTP/1.1 connection have in common: buffered input, buffered output, the framing of one
//! body in each direction.
//!
//! Output is collected and leaves in one write with the first body bytes, so a small exchange costs one `read`
//! and one `write` a hop. A large body is not copied: it goes from the peer's read buffer to the socket, gathered
//! with what was collected.

use std::io;
use std::task::{Context, Poll, ready};

use causeway_proxy_http1::{BodyDecoder, Decoded, Framing, Trailers, write_chunk, write_last_chunk};
use tokio::io::AsyncWrite;

use crate::http::buffer::{BUFFER_BYTES, BufferPool, ReadBuffer};
use crate::http::exchange::{BodyError, Fill};
use crate::http::stream::Stream;

/// Body bytes up to this are copied behind the head; above it gathering two slices is cheaper than the copy.
const COPY_BELOW: usize = 4 * 1024;

/// Collected output above this is flushed before more is taken: the bound on memory and on how far a slow reader
/// may fall behind.
const OUTPUT_HIGH: usize = 32 * 1024;

/// How the body being written is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoder {
    /// No body, or it is complete.
    Done,
    /// So many bytes are still owed.
    Length(u64),
    Chunked,
    /// The end of the connection ends it.
    UntilClose,
}

/// One HTTP/1.1 connection, either end.
pub struct Wire {
    pub stream: Stream,
    pub input: ReadBuffer,
    buffers: BufferPool,
    /// Collected output; `written` of it has left.
    output: Vec<u8>,
    written: usize,
    /// A byte of the present message has left, or part of what is before it.
    begun: bool,
    decoder: BodyDecoder,
    /// Payload at the front of `input`.
    payload: usize,
    ended: bool,
    /// The body being read is long, by its length or because a read filled a whole buffer. Also said of the last
    /// one while a head is read: the next is likely as long, and then comes with its head in one read.
    long: bool,
    encoder: Encoder,
    /// The connection ends with what is being written.
    last: bool,
}

impl Wire {
    /// A fresh connection.
    pub fn new(stream: Stream, buffers: &BufferPool) -> Wire {
        Wire {
            stream,
            input: ReadBuffer::new(buffers),
            buffers: buffers.clone(),
            output: Vec::new(),
            written: 0,
            begun: false,
            decoder: BodyDecoder::new(Framing::None),
            payload: 0,
            ended: true,
            long: false,
            encoder: Encoder::Done,
            last: false,
        }
    }

    /// Reads once, in large steps where bodies are long; 0 = the other end closed. The input must not be full.
    pub fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.long {
            self.input.widen();
        }
        let room = self.input.room();
        let enough = room.len().min(BUFFER_BYTES);
        match self.stream.poll_read_into(cx, room) {
            Poll::Ready(Ok(n)) => {
                self.input.filled(n);
                if self.decoder.remaining().is_none() {
                    self.long = n >= enough;
                }
                Poll::Ready(Ok(n))
            }
            blocked_or_failed => {
                self.input.narrow();
                blocked_or_failed
            }
        }
    }

    /// Reads what a connection brought along, if it did.
    pub fn read_at_once(&mut self) -> Option<io::Result<usize>> {
        let read = self.stream.read_at_once(self.input.room())?;
        Some(read.inspect(|&n| self.input.filled(n)))
    }

    /// Waits for bytes without holding a buffer.
    pub fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.input.data().is_empty() {
            return Poll::Ready(Ok(()));
        }
        self.park();
        self.stream.poll_readable(cx)
    }

    /// Gives buffers back that hold nothing.
    pub fn park(&mut self) {
        self.input.park();
        if self.output.capacity() > 0 && self.output.is_empty() {
            self.buffers.give_output(std::mem::take(&mut self.output));
        }
    }

    /// Whether an idle connection has something to say: the end, or bytes that nobody asked for. Costs no
    /// system call: the runtime has heard of it or not.
    pub fn is_stirring(&mut self) -> bool {
        !self.input.data().is_empty() || self.stream.is_readable()
    }

    /// Begins to read a body.
    pub fn start_reading(&mut self, framing: Framing) {
        self.decoder.begin(framing);
        self.payload = 0;
        if let Framing::Length(length) = framing {
            self.long = length > BUFFER_BYTES as u64;
        }
        self.ended = self.decoder.is_done();
    }

    /// Whether the body being read is complete.
    pub fn body_ended(&self) -> bool {
        self.ended
    }

    /// Makes payload available, or says that the body ended.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<Fill, BodyError>> {
        loop {
            if self.payload > 0 {
                return Poll::Ready(Ok(Fill::Data));
            }
            if self.ended {
                return Poll::Ready(Ok(Fill::End));
            }
            match self.decoder.decode(self.input.data()).map_err(|e| BodyError::Framing(e.reason()))? {
                Decoded::Payload(range) => {
                    self.input.consume(range.start);
                    self.payload = range.len();
                }
                Decoded::End { consumed, .. } => {
                    self.input.consume(consumed);
                    self.ended = true;
                }
                Decoded::NeedMore { consumed } => {
                    self.input.consume(consumed);
                    match ready!(self.poll_read(cx)) {
                        Ok(n) if n > 0 => {}
                        // A reset must not pass for the end of a body that only the close delimits.
                        Ok(_) if self.decoder.finish().is_ok() => self.ended = true,
                        _ => return Poll::Ready(Err(BodyError::Cut)),
                    }
                }
            }
        }
    }

    /// The payload at hand, after [`Fill::Data`].
    pub fn chunk(&self) -> &[u8] {
        &self.input.data()[..self.payload]
    }

    /// Marks payload as used.
    pub fn consume(&mut self, n: usize) {
        self.input.consume(n);
        self.payload -= n;
        self.decoder.advance(n);
    }

    /// Trailers of a body that ended.
    pub fn trailers(&self) -> Option<&Trailers> {
        Some(self.decoder.trailers()).filter(|trailers| !trailers.is_empty())
    }

    /// Where a head is written to; nothing leaves before the next flush.
    pub fn output(&mut self) -> &mut Vec<u8> {
        if self.output.capacity() == 0 {
            self.output = self.buffers.take_output();
        }
        &mut self.output
    }

    /// Says that the next bytes collected are a new message.
    pub fn begin_message(&mut self) {
        self.begun = self.written > 0;
    }

    /// Whether it is too late to discard the message.
    pub fn has_begun(&self) -> bool {
        self.begun
    }

    /// Begins to write a body.
    pub fn start_writing(&mut self, framing: Framing) {
        self.encoder = match framing {
            Framing::None | Framing::Length(0) => Encoder::Done,
            Framing::Length(n) => Encoder::Length(n),
            Framing::Chunked => Encoder::Chunked,
            Framing::UntilClose => Encoder::UntilClose,
        };
    }

    /// Whether the body being written is complete.
    pub fn body_written(&self) -> bool {
        self.encoder == Encoder::Done
    }

    /// Takes body bytes; says how many. Never more than the framing announced.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let pending = self.output.len() - self.written;
        match self.encoder {
            Encoder::Done => Poll::Ready(Err(io::Error::other("more body than was announced"))),
            Encoder::Chunked => {
                if pending >= OUTPUT_HIGH {
                    ready!(self.poll_flush(cx))?;
                }
                let out = self.output();
                write_chunk(out, data);
                Poll::Ready(Ok(data.len()))
            }
            Encoder::Length(owed) if (data.len() as u64) > owed => {
                Poll::Ready(Err(io::Error::other("more body than was announced")))
            }
            Encoder::Length(_) | Encoder::UntilClose if data.len() < COPY_BELOW => {
                if pending >= OUTPUT_HIGH {
                    ready!(self.poll_flush(cx))?;
                }
                self.output().extend_from_slice(data);
                self.owe_less(data.len());
                Poll::Ready(Ok(data.len()))
            }
            Encoder::Length(_) | Encoder::UntilClose => loop {
                let head = self.output.get(self.written..).unwrap_or_default();
                let n = ready!(self.stream.poll_write_two(cx, head, data))?;
                if n == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.begun = true;
                let of_head = n.min(head.len());
                self.written += of_head;
                if n > of_head {
                    self.reset_output();
                    self.owe_less(n - of_head);
                    return Poll::Ready(Ok(n - of_head));
                }
            },
        }
    }

    fn owe_less(&mut self, n: usize) {
        if let Encoder::Length(owed) = self.encoder {
            let left = owed - n as u64;
            self.encoder = if left == 0 { Encoder::Done } else { Encoder::Length(left) };
        }
    }

    /// Ends the body being written. Fails where fewer bytes came than were announced.
    pub fn finish(&mut self, trailers: Option<&Trailers>) -> io::Result<()> {
        match self.encoder {
            Encoder::Done | Encoder::UntilClose => {}
            Encoder::Chunked => {
                let out = self.output();
                write_last_chunk(out, trailers);
            }
            Encoder::Length(_) => return Err(io::Error::other("less body than was announced")),
        }
        self.encoder = Encoder::Done;
        Ok(())
    }

    /// Sends what was collected.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.output.len() {
            let rest = &self.output[self.written..];
            let n = ready!(match self.last {
                true => self.stream.poll_write_last(cx, rest),
                false => self.stream.poll_write_two(cx, rest, &[]),
            })?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += n;
            self.begun = true;
        }
        self.reset_output();
        if self.stream.is_tls() {
            return std::pin::Pin::new(&mut self.stream).poll_flush(cx);
        }
        Poll::Ready(Ok(()))
    }

    /// Says that the end of the connection follows at once upon what was collected.
    pub fn end_follows(&mut self) {
        self.last = true;
    }

    /// Sends what was collected and ends our direction.
    pub fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_flush(cx))?;
        self.encoder = Encoder::Done;
        std::pin::Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    /// Takes the byte stream out, for another protocol.
    pub fn into_stream(self) -> Stream {
        self.stream
    }

    /// Whether collected output waits to be sent.
    pub fn has_output(&self) -> bool {
        self.written < self.output.len()
    }

    /// Forgets output that must not be sent after all.
    pub fn discard_output(&mut self) {
        self.reset_output();
    }

    fn reset_output(&mut self) {
        self.output.clear();
        self.written = 0;
    }
}
