use super::*;

fn frame(kind: u8, flags: u8, id: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    out.extend([kind, flags]);
    out.extend(id.to_be_bytes());
    out.extend(payload);
    out
}

/// A connection with this many requests under way.
struct Peer {
    speaker: Http2,
    out: Vec<u8>,
    tally: Tally,
}

impl Peer {
    fn new(requests: usize) -> Peer {
        let mut peer = Peer { speaker: Http2::new(10), out: Vec::new(), tally: Tally::new().unwrap() };
        peer.speaker.opened(&mut peer.out);
        peer.out.clear();
        (0..requests).for_each(|_| peer.start());
        peer.out.clear();
        peer
    }

    fn start(&mut self) {
        self.speaker.start(&frame(HEADERS, 0x5, 0, b"\x82\x86"), Instant::now(), &mut self.out);
    }

    fn hear(&mut self, bytes: &[u8]) -> Result<bool, Broken> {
        self.speaker.take(bytes, &mut self.out, &mut self.tally)
    }

    fn counts(&self) -> (usize, u64, u64, u64) {
        (self.speaker.under_way(), self.tally.good, self.tally.errors, self.tally.bytes)
    }
}

#[test]
fn a_connection_begins_with_preface_settings_and_a_large_window() {
    let (mut speaker, mut out) = (Http2::new(1), Vec::new());
    speaker.opened(&mut out);
    let mut expected = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    expected.extend(frame(SETTINGS, 0, 0, &[0, 2, 0, 0, 0, 0, 0, 4, 0x7f, 0xff, 0xff, 0xff]));
    expected.extend(frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0, 0]));
    assert_eq!(out, expected);
}

#[test]
fn streams_are_numbered_oddly_from_one() {
    let mut peer = Peer::new(0);
    peer.start();
    peer.start();
    let expected = [frame(HEADERS, 0x5, 1, b"\x82\x86"), frame(HEADERS, 0x5, 3, b"\x82\x86")].concat();
    assert_eq!(peer.out, expected);
}

#[test]
fn answers_are_the_same_wherever_they_are_cut() {
    let bytes = [
        frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 7]),
        frame(HEADERS, 0x4, 1, b"\x88"),
        frame(HEADERS, 0x4 | PADDED | PRIORITY, 3, b"\x02\0\0\0\0\0\x3f\xe1\x1f\x20\x89\0\0"),
        frame(DATA, 0, 1, b"hello"),
        frame(DATA, PADDED | END_STREAM, 3, b"\x03abc\0\0\0"),
        frame(PING, 0, 0, b"12345678"),
        frame(SETTINGS, ACK, 0, b""),
        frame(DATA, PADDED, 1, b"\0"),
        frame(DATA, END_STREAM, 1, b""),
        frame(HEADERS, 0x4, 5, b"\x8a"),
        frame(HEADERS, 0x5, 5, b"\x40\x01t\x01u"),
        frame(HEADERS, 0x5, 7, b"\x48\x03503"),
    ]
    .concat();
    let read = |parts: &[&[u8]]| {
        let mut peer = Peer::new(4);
        for part in parts {
            assert!(peer.speaker.under_way() > 0, "over before its end");
            assert_eq!(peer.hear(part), Ok(true));
        }
        assert_eq!(peer.counts(), (0, 3, 1, 8));
        assert_eq!(peer.speaker.limit(), 7);
        let acks = [frame(SETTINGS, ACK, 0, b""), frame(PING, ACK, 0, b"12345678")].concat();
        assert_eq!(peer.out, acks);
    };
    read(&[&bytes]);
    for at in 1..bytes.len() {
        read(&[&bytes[..at], &bytes[at..]]);
    }
    read(&bytes.chunks(1).collect::<Vec<_>>());
}

#[test]
fn a_reset_stream_is_an_error_and_the_others_go_on() {
    let mut peer = Peer::new(2);
    assert_eq!(peer.hear(&frame(RST_STREAM, 0, 1, &[0, 0, 0, 7])), Ok(true));
    assert_eq!(peer.counts(), (1, 0, 1, 0));
    assert_eq!(peer.hear(&frame(HEADERS, 0x5, 3, b"\x88")), Ok(true));
    assert_eq!(peer.counts(), (0, 1, 1, 0));
}

#[test]
fn after_a_friendly_goaway_what_was_accepted_is_still_answered() {
    let mut peer = Peer::new(3);
    assert_eq!(peer.hear(&frame(GOAWAY, 0, 0, &[0, 0, 0, 3, 0, 0, 0, 0])), Ok(true));
    assert_eq!((peer.counts(), peer.speaker.limit()), ((2, 0, 1, 0), 0));
    assert_eq!(peer.hear(&frame(HEADERS, 0x5, 1, b"\x88")), Ok(true));
    assert_eq!(peer.hear(&frame(HEADERS, 0x5, 3, b"\x88")), Ok(false));
    assert!(Peer::new(1).hear(&frame(GOAWAY, 0, 0, &[0, 0, 0, 3, 0, 0, 0, 11])).is_err());
}

#[test]
fn the_connections_window_is_refilled_in_large_steps() {
    let mut peer = Peer::new(1);
    peer.hear(&frame(HEADERS, 0x4, 1, b"\x88")).unwrap();
    let data = frame(DATA, 0, 1, &[0; MAX_FRAME]);
    let frames = REFILL as usize / MAX_FRAME;
    for _ in 1..frames {
        peer.hear(&data).unwrap();
    }
    assert!(peer.out.is_empty());
    peer.hear(&data).unwrap();
    assert_eq!(peer.out, frame(WINDOW_UPDATE, 0, 0, &REFILL.to_be_bytes()));
}

#[test]
fn a_server_with_a_small_dynamic_table_is_told_that_we_know() {
    let mut peer = Peer::new(0);
    peer.hear(&frame(SETTINGS, 0, 0, &[0, 1, 0, 0, 0, 0])).unwrap();
    peer.out.clear();
    peer.start();
    peer.start();
    let expected = [frame(HEADERS, 0x5, 1, b"\x20\x82\x86"), frame(HEADERS, 0x5, 3, b"\x82\x86")].concat();
    assert_eq!(peer.out, expected);
}

#[test]
fn used_up_stream_numbers_end_the_connection_in_good_order() {
    let mut peer = Peer::new(0);
    peer.speaker.state.next = WINDOW;
    peer.start();
    assert_eq!(peer.speaker.limit(), 0);
    assert_eq!(peer.hear(&frame(HEADERS, 0x5, WINDOW, b"\x88")), Ok(false));
    peer.speaker.opened(&mut peer.out);
    assert_eq!((peer.speaker.limit(), peer.speaker.state.next), (10, 1));
}

#[test]
fn what_makes_no_sense_breaks_the_connection() {
    for bytes in [
        frame(DATA, 0, 1, b"before HEADERS"),
        frame(DATA, PADDED, 1, b"\x05abc"),
        frame(HEADERS, 0x5, 9, b"\x88"),
        frame(PUSH_PROMISE, 0, 1, b""),
        b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
    ] {
        assert!(Peer::new(1).hear(&bytes).is_err(), "{}", bytes.escape_ascii());
    }
}
