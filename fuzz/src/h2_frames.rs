//! The watch under `h2`: what it finds does not depend on how the bytes arrive, whoever sends them.

use std::sync::Arc;
use std::time::Instant;

use causeway_proxy::http::h2::frames::Guard;
use causeway_proxy::timer::Wheel;

use crate::bytes::Bytes;

/// What a client says before its first frame (RFC 9113 section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Streams that are asked about.
const STREAMS: u32 = 16;

pub fn run(input: &[u8]) {
    let mut bytes = Bytes::new(input);
    let (client, step, reset) = (bytes.flag(), 1 + bytes.below(40), bytes.flag());
    let rest = bytes.rest();
    let wheel = Wheel::new(Instant::now(), Arc::default());
    let watch = |step: usize| {
        let mut guard =
            if client { Guard::of_client(wheel.clone()) } else { Guard::of_upstream(wheel.clone()) };
        if client {
            guard.received(PREFACE);
        }
        for piece in rest.chunks(step) {
            guard.received(piece);
        }
        // The same bytes as ours: a stranger's word does not come this way, and it must be read as safely.
        if !client {
            guard.sent(PREFACE);
        }
        for piece in rest.chunks(step) {
            guard.sent(piece);
        }
        let malformed = guard.malformed();
        let found: Vec<[bool; 3]> = (0..STREAMS)
            .map(|stream| {
                [malformed.is_head(stream, reset), malformed.is_end(stream), malformed.is_end(stream)]
            })
            .collect();
        (guard.is_flooded(), guard.is_strange(), found)
    };
    assert_eq!(watch(usize::MAX), watch(step), "in pieces of {step}");
}
