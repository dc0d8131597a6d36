//! Frame headers as they pass under `h2`, and the count that is kept of them.
//!
//! `h2` bounds what a peer can make it remember and counts hardly any of the frames that only cost time. Here each
//! direction's bytes are stepped through by the lengths in the frame headers: nine bytes are looked at for each
//! frame, four more of an RST_STREAM, nothing is copied but a header that two reads share, and what a frame means
//! is decided by the policy ([`causeway_proxy_policy::flood`]). The header blocks that come are read for what `h2`
//! drops of them (`malformed`).

use std::rc::Rc;

use causeway_proxy_policy::flood::{Class, FrameBudget, Useful};
use h2::Reason;

use super::malformed::{Blocks, Malformed};
use crate::telemetry::metrics;
use crate::timer::Wheel;

/// RFC 9113 section 4.1.
const HEADER: usize = 9;
/// With the error code of an RST_STREAM (RFC 9113 section 6.4).
const RESET: usize = HEADER + 4;
/// What a client says before its first frame (RFC 9113 section 3.4).
const PREFACE: u32 = 24;

/// Types (RFC 9113 section 6, RFC 9218 section 7.1).
mod kind {
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const PRIORITY: u8 = 2;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PING: u8 = 6;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
    pub const PRIORITY_UPDATE: u8 = 16;
}

const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

/// What is seen of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Frame {
    length: u32,
    kind: u8,
    flags: u8,
    stream: u32,
    /// Of an RST_STREAM.
    error: Option<Reason>,
}

impl Frame {
    /// Reads the first [`HEADER`] bytes, and [`RESET`] where there are as many.
    fn parse(head: &[u8]) -> Option<Frame> {
        let [a, b, c, kind, flags, s, t, u, v, ref more @ ..] = *head else { return None };
        let error = <[u8; 4]>::try_from(more).ok().map(|code| u32::from_be_bytes(code).into());
        // A reserved bit, then the stream.
        let stream = u32::from_be_bytes([s & 0x7f, t, u, v]);
        Some(Frame { length: u32::from_be_bytes([0, a, b, c]), kind, flags, stream, error })
    }

    fn is(&self, kind: u8, flag: u8) -> bool {
        self.kind == kind && self.flags & flag != 0
    }

    /// Nothing in it, and it ends nothing.
    fn is_empty(&self) -> bool {
        self.length == 0
            && match self.kind {
                kind::DATA => self.flags & END_STREAM == 0,
                kind::HEADERS | kind::CONTINUATION => self.flags & END_HEADERS == 0,
                _ => false,
            }
    }
}

/// Where one direction of a connection is.
struct Stepper {
    /// Bytes of a payload still to come.
    skip: u32,
    /// The beginning of a header of which the rest is still to come.
    head: [u8; RESET],
    have: usize,
}

impl Stepper {
    fn after(preface: u32) -> Stepper {
        Stepper { skip: preface, head: [0; RESET], have: 0 }
    }

    /// How much of this frame's beginning is looked at, as far as is known.
    fn need(&self) -> usize {
        match self.head[..self.have] {
            [0, 0, 4, kind::RST_STREAM, _, _, _, _, _, ..] => RESET,
            _ => HEADER,
        }
    }

    /// What is there of a payload under way, and whether that is its end.
    fn payload<'a>(&mut self, bytes: &mut &'a [u8]) -> (&'a [u8], bool) {
        let (payload, rest) = bytes.split_at(bytes.len().min(self.skip as usize));
        *bytes = rest;
        self.skip -= payload.len() as u32;
        (payload, self.skip == 0)
    }

    /// The next frame that shows itself in `bytes`, which begin behind it then.
    fn next(&mut self, bytes: &mut &[u8]) -> Option<Frame> {
        self.payload(bytes);
        while !bytes.is_empty() {
            let n = bytes.len().min(self.need() - self.have);
            self.head[self.have..self.have + n].copy_from_slice(&bytes[..n]);
            *bytes = &bytes[n..];
            self.have += n;
            // Once the header is here, it may ask for more.
            if self.have == self.need()
                && let Some(frame) = Frame::parse(&self.head[..self.have])
            {
                self.skip = frame.length - (self.have - HEADER) as u32;
                self.have = 0;
                return Some(frame);
            }
        }
        None
    }
}

/// Watches one connection.
pub struct Guard {
    received: Stepper,
    sent: Stepper,
    blocks: Blocks,
    /// A frame of a received block of which payload is still to come.
    block: Option<Frame>,
    budget: FrameBudget,
    wheel: Rc<Wheel>,
    /// The other end is a client: it opens the streams.
    client: bool,
    flooded: bool,
    /// A frame has come.
    begun: bool,
    /// The first frame was not SETTINGS.
    strange: bool,
}

impl Guard {
    /// Of a connection with a client.
    pub fn of_client(wheel: Rc<Wheel>) -> Guard {
        Guard::new(wheel, true)
    }

    /// Of a connection with an upstream.
    pub fn of_upstream(wheel: Rc<Wheel>) -> Guard {
        Guard::new(wheel, false)
    }

    fn new(wheel: Rc<Wheel>, client: bool) -> Guard {
        let (theirs, ours) = if client { (PREFACE, 0) } else { (0, PREFACE) };
        Guard {
            received: Stepper::after(theirs),
            sent: Stepper::after(ours),
            blocks: Blocks::new(client),
            block: None,
            budget: FrameBudget::new(wheel.now()),
            wheel,
            client,
            flooded: false,
            begun: false,
            strange: false,
        }
    }

    /// Whether the other end has overdone it.
    pub fn is_flooded(&self) -> bool {
        self.flooded
    }

    /// Whether the other end began with another frame than SETTINGS (RFC 9113 section 3.4), which `h2` lets pass.
    pub fn is_strange(&self) -> bool {
        self.strange
    }

    /// Whether the other end is a client.
    pub fn is_of_client(&self) -> bool {
        self.client
    }

    /// The streams with header blocks that are malformed and that `h2` takes.
    pub fn malformed(&self) -> Malformed {
        self.blocks.malformed()
    }

    /// Looks at bytes from the other end.
    pub fn received(&mut self, mut bytes: &[u8]) {
        loop {
            if let Some(Frame { kind, flags, .. }) = self.block {
                let (payload, last) = self.received.payload(&mut bytes);
                self.blocks.payload(payload, kind == kind::HEADERS, flags, last);
                if last {
                    self.block = None;
                }
            }
            let Some(frame) = self.received.next(&mut bytes) else { return };
            if frame.kind == kind::HEADERS {
                self.blocks.headers(frame.stream, frame.flags);
            }
            self.block = matches!(frame.kind, kind::HEADERS | kind::CONTINUATION).then_some(frame);
            if !self.begun {
                self.begun = true;
                self.strange = frame.kind != kind::SETTINGS || frame.flags & ACK != 0;
            }
            match frame.kind {
                _ if frame.is_empty() => self.spend(Class::Empty),
                kind::DATA if frame.length > 0 => self.budget.useful(Useful::BodyReceived),
                kind::HEADERS if self.client => self.budget.useful(Useful::Opened),
                kind::DATA | kind::HEADERS | kind::CONTINUATION => {}
                kind::PRIORITY | kind::PRIORITY_UPDATE => self.spend(Class::Priority),
                kind::RST_STREAM => self.spend(Class::Reset),
                kind::SETTINGS => self.spend(Class::Settings),
                kind::PING => self.spend(Class::Ping),
                kind::WINDOW_UPDATE => self.spend(Class::Window),
                _ => self.spend(Class::Unknown),
            }
        }
    }

    /// Looks at bytes from us.
    pub fn sent(&mut self, mut bytes: &[u8]) {
        while let Some(frame) = self.sent.next(&mut bytes) {
            match frame.kind {
                kind::DATA if frame.length > 0 => self.budget.useful(Useful::BodySent),
                kind::HEADERS if !self.client => {
                    self.budget.useful(Useful::Opened);
                    // An upstream may refuse each.
                    self.budget.useful(Useful::Answered);
                }
                kind::RST_STREAM if frame.error.is_some_and(|error| self.was_provoked(error)) => {
                    self.spend(Class::Provoked);
                }
                _ => {}
            }
            if self.client && (frame.is(kind::DATA, END_STREAM) || frame.is(kind::HEADERS, END_STREAM)) {
                self.budget.useful(Useful::Answered);
            }
        }
    }

    /// Whether a stream was ended for what the other end did on it. Not so: an answer before the request's end
    /// (NO_ERROR), a failure of the other side (INTERNAL_ERROR), giving up (CANCEL). What an upstream sends on a stream
    /// that we gave up is our doing.
    fn was_provoked(&self, error: Reason) -> bool {
        match error {
            Reason::PROTOCOL_ERROR | Reason::FLOW_CONTROL_ERROR | Reason::FRAME_SIZE_ERROR => true,
            Reason::STREAM_CLOSED | Reason::REFUSED_STREAM => self.client,
            _ => false,
        }
    }

    fn spend(&mut self, class: Class) {
        if !self.budget.spend(class, self.wheel.now()) && !self.flooded {
            self.flooded = true;
            metrics::flooded(if self.client { "client" } else { "upstream" }, class.as_str());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = (payload.len() as u32).to_be_bytes();
        [&length[1..], &[kind, flags, 0, 0, 0, 1], payload].concat()
    }

    fn of_client() -> Guard {
        let mut guard = Guard::of_client(Wheel::new(Instant::now(), std::sync::Arc::default()));
        guard.received(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        guard
    }

    #[test]
    fn a_connection_begins_with_settings() {
        for (first, strange) in [
            (frame(kind::SETTINGS, 0, b""), false),
            (frame(kind::SETTINGS, ACK, b""), true),
            (frame(kind::PING, 0, b"12345678"), true),
        ] {
            let mut guard = of_client();
            guard.received(&first);
            guard.received(&frame(kind::PING, 0, b"12345678"));
            assert_eq!(guard.is_strange(), strange, "{first:?}");
        }
    }

    #[test]
    fn frames_are_found_however_reads_cut_them() {
        let reset = frame(kind::RST_STREAM, 0, &[0, 0, 0, 8]);
        let kinds = [kind::SETTINGS, kind::DATA, kind::RST_STREAM, kind::PING, kind::RST_STREAM];
        let payloads: [&[u8]; 5] = [b"", &[7; 300], &[0, 0, 0, 1], &[0; 8], b""];
        let sent = kinds.iter().zip(payloads).map(|(kind, payload)| frame(*kind, 0, payload));
        let sent = [sent.collect::<Vec<_>>().concat(), reset].concat();
        for step in 1..=sent.len() {
            let mut stepper = Stepper::after(0);
            let mut found = Vec::new();
            for mut bytes in sent.chunks(step) {
                while let Some(frame) = stepper.next(&mut bytes) {
                    found.push((frame.kind, frame.length, frame.error.map(u32::from)));
                }
            }
            let errors = [None, None, Some(1), None, None];
            let expected = kinds.into_iter().zip(payloads).zip(errors);
            let mut expected: Vec<_> = expected.map(|((k, p), e)| (k, p.len() as u32, e)).collect();
            expected.push((kind::RST_STREAM, 4, Some(8)));
            assert_eq!(found, expected, "in steps of {step}");
        }
    }

    #[test]
    fn what_is_inside_of_a_frame_is_not_taken_for_frames() {
        let mut guard = of_client();
        let pings = frame(kind::PING, 0, &[0; 8]).repeat(2_000);
        for part in pings.chunks(16_000) {
            guard.received(&frame(kind::DATA, 0, part));
        }
        assert!(!guard.is_flooded());
        guard.received(&pings);
        assert!(guard.is_flooded());
    }

    #[test]
    fn each_flood_is_noticed_and_as_many_with_streams_to_show_for_are_not() {
        for (kind, flags, payload, paid) in [
            (kind::RST_STREAM, 0, &[0, 0, 0, 8][..], true),
            (kind::SETTINGS, 0, b"", false),
            (kind::PING, 0, &[0; 8], true),
            (kind::PRIORITY, 0, &[0; 5], true),
            (kind::PRIORITY_UPDATE, 0, &[0; 5], true),
            (kind::WINDOW_UPDATE, 0, &[0, 0, 0, 1], true),
            (kind::DATA, 0, b"", false),
            (kind::CONTINUATION, 0, b"", false),
            (99, 0, b"?", true),
        ] {
            let one = frame(kind, flags, payload);
            let mut guard = of_client();
            guard.received(&one.repeat(1_001));
            assert!(guard.is_flooded(), "{kind}");
            let mut guard = of_client();
            for _ in 0..1_001 {
                guard.received(&frame(kind::HEADERS, END_HEADERS | END_STREAM, b"head"));
                guard.received(&one);
                guard.sent(&frame(kind::DATA, END_STREAM, b"answer"));
            }
            assert_eq!(guard.is_flooded(), !paid, "{kind}");
        }
    }

    #[test]
    fn only_resets_that_the_client_brought_about_are_held_against_it() {
        for (code, held) in [(0, false), (1, true), (2, false), (3, true), (5, true), (7, true), (8, false)] {
            let mut guard = of_client();
            guard.sent(&frame(kind::RST_STREAM, 0, &[0, 0, 0, code]).repeat(501));
            assert_eq!(guard.is_flooded(), held, "{code}");
        }
    }

    #[test]
    fn an_upstream_may_refuse_each_stream_and_no_more() {
        let mut guard = Guard::of_upstream(Wheel::new(Instant::now(), std::sync::Arc::default()));
        guard.sent(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        let refusal = frame(kind::RST_STREAM, 0, &[0, 0, 0, 7]);
        for _ in 0..2_000 {
            guard.sent(&frame(kind::HEADERS, END_HEADERS | END_STREAM, b"head"));
            guard.received(&refusal);
        }
        assert!(!guard.is_flooded());
        guard.received(&refusal.repeat(501));
        assert!(guard.is_flooded());
    }
}
