//! Frames that carry no message: PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY and WINDOW_UPDATE (RFC 9113
//! sections 6.3 to 6.9).

use crate::check::Check;
use crate::judge::frames::F::{Get, Post, Raw, Settled};
use crate::judge::frames::{connection_error, fine, stream_error};
use crate::wire::h2::code::{FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR, PROTOCOL_ERROR};
use crate::wire::h2::flag::{ACK, END_HEADERS, NONE};
use crate::wire::h2::kind::{GOAWAY, PING, PRIORITY, PUSH_PROMISE, RST_STREAM, SETTINGS, WINDOW_UPDATE};

const PROTOCOL: &[u32] = &[PROTOCOL_ERROR];
const SIZE: &[u32] = &[FRAME_SIZE_ERROR, PROTOCOL_ERROR];
const FLOW: &[u32] = &[FLOW_CONTROL_ERROR, PROTOCOL_ERROR];

pub const CHECKS: &[Check] = &[
    // PRIORITY.
    fine(
        "h2-frames/priority-on-idle",
        "RFC 9113 6.3",
        "PRIORITY may come on an idle stream",
        &[Raw(PRIORITY, NONE, 7, b"\0\0\0\0\x10")],
    ),
    connection_error(
        "h2-frames/priority-on-connection",
        "RFC 9113 6.3",
        "PRIORITY on stream 0 is an error",
        &[Raw(PRIORITY, NONE, 0, b"\0\0\0\x01\x10")],
        PROTOCOL,
    ),
    stream_error(
        "h2-frames/priority-too-short",
        "RFC 9113 6.3",
        "a PRIORITY of four octets is an error",
        &[Post(1), Raw(PRIORITY, NONE, 1, b"\0\0\0\0")],
        1,
        SIZE,
    ),
    // RST_STREAM.
    connection_error(
        "h2-frames/reset-on-connection",
        "RFC 9113 6.4",
        "RST_STREAM on stream 0 is an error",
        &[Raw(RST_STREAM, NONE, 0, b"\0\0\0\x08")],
        PROTOCOL,
    ),
    connection_error(
        "h2-frames/reset-on-idle",
        "RFC 9113 6.4",
        "RST_STREAM on an idle stream is an error",
        &[Raw(RST_STREAM, NONE, 1, b"\0\0\0\x08")],
        PROTOCOL,
    ),
    connection_error(
        "h2-frames/reset-too-short",
        "RFC 9113 6.4",
        "a RST_STREAM of three octets is an error",
        &[Get(1), Raw(RST_STREAM, NONE, 1, b"\0\0\x08")],
        SIZE,
    ),
    fine(
        "h2-frames/reset-ends",
        "RFC 9113 6.4",
        "a stream that is reset is over, and the connection goes on",
        &[Post(1), Raw(RST_STREAM, NONE, 1, b"\0\0\0\x08")],
    ),
    // SETTINGS.
    fine(
        "h2-frames/settings-empty",
        "RFC 9113 6.5",
        "SETTINGS may be empty, and come again",
        &[Raw(SETTINGS, NONE, 0, b""), Settled],
    ),
    fine(
        "h2-frames/settings-unknown",
        "RFC 9113 6.5.2",
        "a setting that is not known is ignored",
        &[Raw(SETTINGS, NONE, 0, b"\0\xff\0\0\0\x01")],
    ),
    connection_error(
        "h2-frames/settings-on-stream",
        "RFC 9113 6.5",
        "SETTINGS on a stream is an error",
        &[Raw(SETTINGS, NONE, 1, b"")],
        PROTOCOL,
    ),
    connection_error(
        "h2-frames/settings-odd-size",
        "RFC 9113 6.5",
        "SETTINGS of five octets is an error",
        &[Raw(SETTINGS, NONE, 0, b"\0\x03\0\0\0")],
        SIZE,
    ),
    connection_error(
        "h2-frames/settings-ack-with-payload",
        "RFC 9113 6.5",
        "an acknowledgement with a payload is an error",
        &[Raw(SETTINGS, ACK, 0, b"\0\x03\0\0\0\x64")],
        SIZE,
    ),
    connection_error(
        "h2-frames/settings-push-two",
        "RFC 9113 6.5.2",
        "ENABLE_PUSH is 0 or 1",
        &[Raw(SETTINGS, NONE, 0, b"\0\x02\0\0\0\x02")],
        PROTOCOL,
    ),
    connection_error(
        "h2-frames/settings-window-too-large",
        "RFC 9113 6.5.2",
        "INITIAL_WINDOW_SIZE has 31 bits",
        &[Raw(SETTINGS, NONE, 0, b"\0\x04\x80\0\0\0")],
        FLOW,
    ),
    connection_error(
        "h2-frames/settings-frame-too-small",
        "RFC 9113 6.5.2",
        "MAX_FRAME_SIZE is at least 16,384",
        &[Raw(SETTINGS, NONE, 0, b"\0\x05\0\0\x3f\xff")],
        PROTOCOL,
    ),
    connection_error(
        "h2-frames/settings-frame-too-large",
        "RFC 9113 6.5.2",
        "and at most 16,777,215",
        &[Raw(SETTINGS, NONE, 0, b"\0\x05\x01\0\0\0")],
        PROTOCOL,
    ),
    connection_error(
        "h2-frames/settings-window-overflow",
        "RFC 9113 6.9.2",
        "a change that overflows a stream's window is an error",
        &[
            Post(1),
            Raw(WINDOW_UPDATE, NONE, 1, b"\x7f\xff\0\0"),
            Raw(SETTINGS, NONE, 0, b"\0\x04\x7f\xff\xff\xff"),
        ],
        FLOW,
    ),
    // PUSH_PROMISE.
    connection_error(
        "h2-frames/push-promise",
        "RFC 9113 8.4",
        "a client promises nothing",
        &[Get(1), Raw(PUSH_PROMISE, END_HEADERS, 1, b"\0\0\0\x02\x82\x87\x84")],
        PROTOCOL,
    ),
    // PING.
    connection_error(
        "h2-frames/ping-on-stream",
        "RFC 9113 6.7",
        "PING on a stream is an error",
        &[Raw(PING, NONE, 1, b"12345678")],
        PROTOCOL,
    ),
    connection_error(
        "h2-frames/ping-size",
        "RFC 9113 6.7",
        "a PING of six octets is an error",
        &[Raw(PING, NONE, 0, b"123456")],
        SIZE,
    ),
    fine(
        "h2-frames/ping-ack-unasked",
        "RFC 9113 6.7",
        "an acknowledgement that nobody waits for is ignored",
        &[Raw(PING, ACK, 0, b"12345678")],
    ),
    // GOAWAY.
    connection_error(
        "h2-frames/goaway-on-stream",
        "RFC 9113 6.8",
        "GOAWAY on a stream is an error",
        &[Raw(GOAWAY, NONE, 1, b"\0\0\0\0\0\0\0\0")],
        PROTOCOL,
    ),
    // WINDOW_UPDATE.
    connection_error(
        "h2-frames/window-zero",
        "RFC 9113 6.9",
        "an update by 0 of the connection is an error",
        &[Raw(WINDOW_UPDATE, NONE, 0, b"\0\0\0\0")],
        PROTOCOL,
    ),
    stream_error(
        "h2-frames/window-zero-stream",
        "RFC 9113 6.9",
        "an update by 0 of a stream is an error",
        &[Post(1), Raw(WINDOW_UPDATE, NONE, 1, b"\0\0\0\0")],
        1,
        PROTOCOL,
    ),
    connection_error(
        "h2-frames/window-size",
        "RFC 9113 6.9",
        "an update of three octets is an error",
        &[Raw(WINDOW_UPDATE, NONE, 0, b"\0\0\x01")],
        SIZE,
    ),
    connection_error(
        "h2-frames/window-on-idle",
        "RFC 9113 5.1",
        "an update of an idle stream is an error",
        &[Raw(WINDOW_UPDATE, NONE, 1, b"\0\0\0\x01")],
        PROTOCOL,
    ),
    connection_error(
        "h2-frames/window-overflow",
        "RFC 9113 6.9.1",
        "a window past 31 bits is an error",
        &[Raw(WINDOW_UPDATE, NONE, 0, b"\x7f\xff\xff\xff"), Raw(WINDOW_UPDATE, NONE, 0, b"\x7f\xff\xff\xff")],
        FLOW,
    ),
    stream_error(
        "h2-frames/window-overflow-stream",
        "RFC 9113 6.9.1",
        "so is one of a stream",
        &[
            Post(1),
            Raw(WINDOW_UPDATE, NONE, 1, b"\x7f\xff\xff\xff"),
            Raw(WINDOW_UPDATE, NONE, 1, b"\x7f\xff\xff\xff"),
        ],
        1,
        FLOW,
    ),
];
