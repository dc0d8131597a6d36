//! Frames in general, and those that carry messages: DATA, HEADERS and CONTINUATION (RFC 9113 sections 4, 5, 6.1, 6.2 and
//! 6.10).

use crate::check::Check;
use crate::judge::frames::F::{Await, Bytes, Get, Head, Part, Post, Raw, Rest, Zeros};
use crate::judge::frames::{connection_error, fine};
use crate::wire::h2::code::{FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR, PROTOCOL_ERROR, STREAM_CLOSED};
use crate::wire::h2::flag::{END_HEADERS, END_STREAM, NONE, PADDED, PRIORITY as HAS_PRIORITY};
use crate::wire::h2::kind::{CONTINUATION, DATA, HEADERS, PING, SETTINGS};

const WHOLE: u8 = END_HEADERS | END_STREAM;
const PROTOCOL: &[u32] = &[PROTOCOL_ERROR];
const SIZE: &[u32] = &[FRAME_SIZE_ERROR, PROTOCOL_ERROR];

pub const CHECKS: &[Check] = &[
    // Frames in general.
    fine(
        "h2-frames/unknown-type",
        "RFC 9113 4.1",
        "a frame of an unknown type is ignored",
        &[Raw(0xbe, NONE, 0, b"what")],
    ),
    fine(
        "h2-frames/unknown-type-on-stream",
        "RFC 9113 5.5",
        "so is one on a stream",
        &[Get(1), Raw(0xbe, 0xff, 1, b"what"), Await(1)],
    ),
    fine(
        "h2-frames/unknown-flags",
        "RFC 9113 4.1",
        "flags without a meaning are ignored",
        &[Raw(PING, 0x16, 0, b"12345678")],
    ),
    fine(
        "h2-frames/reserved-bit",
        "RFC 9113 4.1",
        "the reserved bit of a stream's number is ignored",
        &[Bytes(b"\0\0\x08\x06\0\x80\0\0\x0012345678")],
    ),
    connection_error(
        "h2-frames/data-too-large",
        "RFC 9113 4.2",
        "a frame past the largest size is an error",
        &[Post(1), Zeros(DATA, END_STREAM, 1, 16_385)],
        &[FRAME_SIZE_ERROR, PROTOCOL_ERROR, FLOW_CONTROL_ERROR],
    ),
    connection_error(
        "h2-frames/headers-too-large",
        "RFC 9113 4.2",
        "so is one that changes what both ends know",
        &[Zeros(HEADERS, WHOLE, 1, 16_385)],
        &[FRAME_SIZE_ERROR, PROTOCOL_ERROR],
    ),
    connection_error(
        "h2-frames/settings-too-large",
        "RFC 9113 4.2",
        "and one of the connection",
        &[Zeros(SETTINGS, NONE, 0, 16_386)],
        &[FRAME_SIZE_ERROR, PROTOCOL_ERROR],
    ),
    // DATA.
    connection_error(
        "h2-frames/data-on-connection",
        "RFC 9113 6.1",
        "DATA on stream 0 is an error",
        &[Raw(DATA, NONE, 0, b"x")],
        PROTOCOL,
    ),
    connection_error(
        "h2-frames/data-on-idle",
        "RFC 9113 5.1",
        "DATA on an idle stream is an error",
        &[Raw(DATA, END_STREAM, 1, b"x")],
        &[PROTOCOL_ERROR, STREAM_CLOSED],
    ),
    connection_error(
        "h2-frames/data-padding-too-long",
        "RFC 9113 6.1",
        "padding as long as the payload is an error",
        &[Post(1), Raw(DATA, PADDED | END_STREAM, 1, b"\x05abcd")],
        PROTOCOL,
    ),
    connection_error(
        "h2-frames/data-padded-empty",
        "RFC 9113 6.1",
        "padding without its length is an error",
        &[Post(1), Raw(DATA, PADDED | END_STREAM, 1, b"")],
        SIZE,
    ),
    fine(
        "h2-frames/data-padded",
        "RFC 9113 6.1",
        "padding is no content",
        &[Post(1), Raw(DATA, PADDED | END_STREAM, 1, b"\x03ab\0\0\0"), Await(1)],
    ),
    fine(
        "h2-frames/data-empty",
        "RFC 9113 6.1",
        "an empty frame may end a stream",
        &[Post(1), Raw(DATA, NONE, 1, b"ab"), Raw(DATA, END_STREAM, 1, b""), Await(1)],
    ),
    // HEADERS.
    connection_error(
        "h2-frames/headers-on-connection",
        "RFC 9113 6.2",
        "HEADERS on stream 0 is an error",
        &[Head(WHOLE, 0, b"", b"")],
        PROTOCOL,
    ),
    connection_error(
        "h2-frames/headers-on-even-stream",
        "RFC 9113 5.1.1",
        "a client's stream is odd",
        &[Get(2)],
        PROTOCOL,
    ),
    connection_error(
        "h2-frames/headers-padding-too-long",
        "RFC 9113 6.2",
        "padding longer than the payload is an error",
        &[Head(WHOLE | PADDED, 1, b"\xff", b"")],
        PROTOCOL,
    ),
    fine(
        "h2-frames/headers-padded",
        "RFC 9113 6.2",
        "padding is no part of the fields",
        &[Head(WHOLE | PADDED, 1, b"\x04", b"\0\0\0\0"), Await(1)],
    ),
    fine(
        "h2-frames/headers-with-priority",
        "RFC 9113 6.2",
        "a priority is read over",
        &[Head(WHOLE | HAS_PRIORITY, 1, b"\0\0\0\0\x10", b""), Await(1)],
    ),
    connection_error(
        "h2-frames/headers-priority-cut",
        "RFC 9113 6.2",
        "a priority that is cut off is an error",
        &[Raw(HEADERS, WHOLE | HAS_PRIORITY, 1, b"\0\0\0")],
        SIZE,
    ),
    connection_error(
        "h2-frames/headers-then-data",
        "RFC 9113 6.2",
        "nothing but CONTINUATION follows an open field section",
        &[Part(1), Raw(DATA, END_STREAM, 1, b"x")],
        PROTOCOL,
    ),
    connection_error(
        "h2-frames/headers-then-headers",
        "RFC 9113 6.2",
        "also no other HEADERS",
        &[Part(1), Get(3)],
        PROTOCOL,
    ),
    connection_error(
        "h2-frames/headers-then-ping",
        "RFC 9113 6.10",
        "also no PING",
        &[Part(1), Raw(PING, NONE, 0, b"12345678")],
        PROTOCOL,
    ),
    connection_error(
        "h2-frames/headers-then-unknown",
        "RFC 9113 5.5",
        "also no frame of an unknown type",
        &[Part(1), Raw(0xbe, NONE, 0, b"")],
        PROTOCOL,
    ),
    connection_error(
        "h2-frames/headers-then-other-stream",
        "RFC 9113 6.10",
        "also no CONTINUATION of another stream",
        &[Part(1), Rest(3, END_HEADERS)],
        PROTOCOL,
    ),
    // CONTINUATION.
    fine(
        "h2-frames/continuation",
        "RFC 9113 6.10",
        "a field section may go on",
        &[Part(1), Rest(1, END_HEADERS), Await(1)],
    ),
    fine(
        "h2-frames/continuation-twice",
        "RFC 9113 6.10",
        "and go on once more",
        &[Part(1), Raw(CONTINUATION, NONE, 1, b""), Rest(1, END_HEADERS), Await(1)],
    ),
    connection_error(
        "h2-frames/continuation-alone",
        "RFC 9113 6.10",
        "CONTINUATION without a beginning is an error",
        &[Get(1), Raw(CONTINUATION, END_HEADERS, 1, b"")],
        PROTOCOL,
    ),
    connection_error(
        "h2-frames/continuation-on-connection",
        "RFC 9113 6.10",
        "CONTINUATION on stream 0 is an error",
        &[Part(1), Raw(CONTINUATION, END_HEADERS, 0, b"")],
        PROTOCOL,
    ),
    connection_error(
        "h2-frames/continuation-after-end",
        "RFC 9113 6.10",
        "nothing goes on behind END_HEADERS",
        &[Part(1), Rest(1, END_HEADERS), Raw(CONTINUATION, END_HEADERS, 1, b"")],
        PROTOCOL,
    ),
    connection_error(
        "h2-frames/continuation-after-data",
        "RFC 9113 6.10",
        "nor behind DATA",
        &[Post(1), Raw(DATA, NONE, 1, b"x"), Raw(CONTINUATION, END_HEADERS, 1, b"")],
        PROTOCOL,
    ),
];
