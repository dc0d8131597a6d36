//! A body as a state machine over octets.
//!
//! It commits framing octet by octet, so it never asks for "the whole chunk line" and no split of the
//! input can change what it sees; payload it only points at, and it advances by what the caller has taken,
//! so back-pressure needs no copy. (Rejected: an iterator over chunks, which must hold the buffer.)

use std::ops::Range;

use crate::body::Trailers;
use crate::class;
use crate::error::BodyError;
use crate::head::Framing;
use crate::limits::Limits;

/// Chunk extensions a message may have beyond as many octets as its payload has had: 4 KiB. Nobody is
/// known to use them; without a bound they are free work for the sender (RFC 9112 section 7.1.1).
const EXTENSION_ALLOWANCE: u64 = 4096;

/// 16 hexadecimal digits hold every `u64`; more can only be leading zeros.
const MAX_SIZE_DIGITS: u8 = 16;

/// What [`BodyDecoder::decode`] found at the start of the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decoded {
    /// `input[range]` is payload, never empty; what stands before it was framing. Pass on as much as can
    /// be, say so by [`BodyDecoder::advance`], and remove `range.start` plus that many octets from the
    /// front of the buffer before the next call (`range.start` also when nothing was passed on).
    Payload(Range<usize>),
    /// `consumed` octets (all there were) were framing: remove them and read more.
    NeedMore { consumed: usize },
    /// The body has ended `consumed` octets into the input; what follows is the next message.
    /// With `trailers`, [`BodyDecoder::trailers`] has fields to send on.
    End { consumed: usize, trailers: bool },
}

/// Finds payload, trailers and end of one body.
#[derive(Debug, Clone, Default)]
pub struct BodyDecoder {
    state: State,
    payload: u64,
    extensions: u64,
    trailers: Trailers,
    limits: Limits,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    Done,
    /// So many octets are left.
    Length(u64),
    UntilClose,
    /// In a chunk size.
    Size {
        size: u64,
        digits: u8,
    },
    /// Behind the `;` of a chunk line.
    Extension {
        size: u64,
    },
    /// Behind the CR of a chunk line.
    SizeLf {
        size: u64,
    },
    /// So many octets of the chunk are left.
    Data(u64),
    DataCr,
    DataLf,
    Trailer,
}

const CHUNK_START: State = State::Size { size: 0, digits: 0 };

impl BodyDecoder {
    /// A decoder with [`Limits::default`] for trailers.
    pub fn new(framing: Framing) -> BodyDecoder {
        BodyDecoder::with_limits(framing, &Limits::default())
    }

    /// A decoder; `limits` bound the trailer section: `head_bytes`, `head_count`.
    pub fn with_limits(framing: Framing, limits: &Limits) -> BodyDecoder {
        let mut decoder = BodyDecoder { limits: limits.clone(), ..BodyDecoder::default() };
        decoder.begin(framing);
        decoder
    }

    /// Begins another body under the same limits.
    pub fn begin(&mut self, framing: Framing) {
        self.state = match framing {
            Framing::None | Framing::Length(0) => State::Done,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => CHUNK_START,
            Framing::UntilClose => State::UntilClose,
        };
        (self.payload, self.extensions) = (0, 0);
        self.trailers = Trailers::default();
    }

    /// Whether the body has ended. True from the start where there is none.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// How many octets are still to come, where that is known.
    pub fn remaining(&self) -> Option<u64> {
        match self.state {
            State::Done => Some(0),
            State::Length(left) => Some(left),
            _ => None,
        }
    }

    /// Payload octets taken so far.
    pub fn payload_bytes(&self) -> u64 {
        self.payload
    }

    /// The trailer fields, complete once [`Decoded::End`] has been returned.
    pub fn trailers(&self) -> &Trailers {
        &self.trailers
    }

    /// Takes the trailer fields out.
    pub fn take_trailers(&mut self) -> Trailers {
        std::mem::take(&mut self.trailers)
    }

    /// Says that `count` octets of the payload that [`Self::decode`] last pointed at were taken.
    pub fn advance(&mut self, count: usize) {
        let count = count as u64;
        self.payload = self.payload.saturating_add(count);
        self.state = match self.state {
            State::Length(left) if left > count => State::Length(left - count),
            State::Length(_) => State::Done,
            State::Data(left) if left > count => State::Data(left - count),
            State::Data(_) => State::DataCr,
            state => state,
        };
    }

    /// Reads framing from the start of `input`, up to the next payload or the end of the body.
    ///
    /// # Errors
    /// [`BodyError`]: the connection cannot be used again, and the message must not be ended regularly.
    pub fn decode(&mut self, input: &[u8]) -> Result<Decoded, BodyError> {
        let mut at = 0;
        loop {
            match self.state {
                State::Done => {
                    return Ok(Decoded::End { consumed: at, trailers: !self.trailers.is_empty() });
                }
                _ if at == input.len() => return Ok(Decoded::NeedMore { consumed: at }),
                State::Length(left) | State::Data(left) => {
                    let length = usize::try_from(left).unwrap_or(usize::MAX).min(input.len() - at);
                    return Ok(Decoded::Payload(at..at + length));
                }
                State::UntilClose => return Ok(Decoded::Payload(at..input.len())),
                State::Trailer => match self.trailers.feed(&input[at..], &self.limits)? {
                    Some(consumed) => {
                        at += consumed;
                        self.state = State::Done;
                    }
                    None => return Ok(Decoded::NeedMore { consumed: input.len() }),
                },
                _ => {
                    self.state = self.framing_octet(input[at])?;
                    at += 1;
                }
            }
        }
    }

    /// Says that the connection has ended.
    ///
    /// # Errors
    /// [`BodyError::Truncated`] unless the body was complete, or was to last until now.
    pub fn finish(&mut self) -> Result<(), BodyError> {
        match self.state {
            State::Done => Ok(()),
            State::UntilClose => {
                self.state = State::Done;
                Ok(())
            }
            _ => Err(BodyError::Truncated),
        }
    }

    /// `chunk-size [ chunk-ext ] CRLF` and the CRLF behind chunk data (RFC 9112 section 7.1). No white
    /// space is taken around the size: section 7.1.1 tells senders not to and some recipients stop there.
    fn framing_octet(&mut self, octet: u8) -> Result<State, BodyError> {
        match (self.state, octet) {
            (State::Size { size, digits }, _) if octet.is_ascii_hexdigit() => {
                if digits == MAX_SIZE_DIGITS {
                    return Err(BodyError::ChunkSizeOverflow);
                }
                let digit = (octet as char).to_digit(16).unwrap_or_default();
                Ok(State::Size { size: size << 4 | u64::from(digit), digits: digits + 1 })
            }
            (State::Size { size, digits: 1.. }, b'\r' | b';') => {
                if size > i64::MAX as u64 {
                    return Err(BodyError::ChunkSizeOverflow);
                }
                Ok(if octet == b'\r' { State::SizeLf { size } } else { State::Extension { size } })
            }
            (State::Size { digits: 1.., .. }, b'\n') => Err(BodyError::ChunkLineEnd),
            (State::Size { .. }, _) => Err(BodyError::ChunkSize),
            (State::Extension { size }, b'\r') => Ok(State::SizeLf { size }),
            (State::Extension { .. }, b'\n') => Err(BodyError::ChunkLineEnd),
            (State::Extension { size }, _) if class::is_value_octet(octet) => {
                self.extensions += 1;
                if self.extensions > EXTENSION_ALLOWANCE.saturating_add(self.payload) {
                    return Err(BodyError::ChunkExtensionTooLong);
                }
                Ok(State::Extension { size })
            }
            (State::Extension { .. }, _) => Err(BodyError::ChunkExtension),
            (State::SizeLf { size: 0 }, b'\n') => Ok(State::Trailer),
            (State::SizeLf { size }, b'\n') => Ok(State::Data(size)),
            (State::SizeLf { .. }, _) => Err(BodyError::ChunkLineEnd),
            (State::DataCr, b'\r') => Ok(State::DataLf),
            (State::DataLf, b'\n') => Ok(CHUNK_START),
            (State::DataCr | State::DataLf, _) => Err(BodyError::ChunkDataEnd),
            // `decode` calls this in the states above only.
            (state, _) => Ok(state),
        }
    }
}
