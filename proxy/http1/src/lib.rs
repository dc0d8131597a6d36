//! A strict, sans-IO HTTP/1.1 codec, and the message-head model that HTTP/2 is converted to as well.
//!
//! # Why it is ours
//!
//! * **Speed.** In front of a kernel that costs about 19 us a request, user time is all that a design
//!   can win. hyper's public HTTP/1 interface costs about 26,000 instructions a request and no switch of
//!   it moves that by more than 7 %; this codec takes about 4,900 to parse and write the heads of a
//!   request and its response. What is saved is the header map: a head here is one `Vec<u8>` and one
//!   `Vec<Field>` of offsets, both reused, so what is parsed and sent on allocates nothing, and its fields
//!   are copied in runs.
//! * **Safety.** A proxy is attacked where two parsers of the same bytes disagree (request smuggling,
//!   response splitting, host confusion). The lenient readings that RFC 9112 permits (bare LF as a line
//!   end, obs-fold joined, `Content-Length: 5, 5` merged, a `Transfer-Encoding` that overrides a length)
//!   are each such a disagreement, so each is refused here, with the section that allows the refusal at
//!   the error: see [`RequestError`], [`ResponseError`], [`Fault`], [`BodyError`].
//! * **Ability.** hyper's server cannot send `103 Early Hints`; here an interim response is a response.
//!
//! Rejected: `httparse` underneath (it takes bare LF as a line end, it allows obs-fold and spaces before
//! the colon by switches, and what remains to be checked needs a second pass over the same bytes); a
//! `HeaderMap` (an allocation and a hash for each field, and the order and spelling of names are lost).
//!
//! # How it is used
//!
//! Pure: no IO, no clock, no thread. The caller owns the buffers.
//!
//! 1. [`parse_request`] / [`parse_response`] on what has been read, again when more has come.
//! 2. A [`BodyDecoder`] over the same buffer, told the head's [`Framing`]; payload is never copied.
//! 3. [`write_request`] / [`write_response`] into an output buffer, then payload, framed where it must
//!    be by [`write_chunk`] and [`write_last_chunk`].
//!
//! HTTP/2 heads are built with [`RequestHead::begin_h2`], [`RequestHead::push`] and
//! [`RequestHead::finish_h2`], and their likes on [`ResponseHead`], under the same rules, so that routing
//! and filters see one model.
//!
//! ```
//! use causeway_proxy_http1::*;
//!
//! let (limits, mut resume, mut head) = (Limits::default(), 0, RequestHead::default());
//! let input = b"GET /a?b HTTP/1.1\r\nHost: example.com\r\nConnection: x-hop\r\nX-Hop: 1\r\n\r\n";
//! let consumed = parse_request(input, &limits, &mut resume, &mut head).unwrap();
//! assert_eq!(consumed, Some(input.len()));
//! assert_eq!((head.path(), head.host()), (&b"/a"[..], &b"example.com"[..]));
//!
//! let mut out = Vec::new();
//! write_request(&head, &mut out, &RequestOut::of(&head));
//! assert_eq!(out, b"GET /a?b HTTP/1.1\r\nHost: example.com\r\n\r\n");
//! ```

#![forbid(unsafe_code)]

mod body;
mod class;
mod error;
mod fields;
mod head;
mod known;
mod limits;
mod name;
mod parse;
mod scan;
mod value;
mod write;

pub use body::{BodyDecoder, Decoded, Trailers};
pub use error::{BodyError, Fault, RequestError, ResponseError};
pub use fields::{Field, Span};
pub use head::{
    Form, Framing, H2Request, Method, RequestHead, RequestKind, ResponseHead, Scheme, Target, Version,
};
pub use known::Known;
pub use limits::Limits;
pub use name::Name;
pub use parse::{parse_request, parse_response};
pub use value::{Decimal, Value};
pub use write::{
    CHUNK_END, CONTINUE, ChunkHeader, RequestOut, ResponseOut, reason_phrase, write_chunk, write_last_chunk,
    write_own_head, write_own_response, write_request, write_response,
};
