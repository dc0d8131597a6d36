//! What can be wrong with one answer.

/// What an origin does to one request.
///
/// *Resets* end the TCP connection with RST in HTTP/1.1 and the stream with RST_STREAM in HTTP/2; a *close* is a FIN,
/// and in HTTP/2 the end of the connection under all of its streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fault {
    /// None: the right answer.
    Right,
    /// A 503 of the origin's own, whole and well formed.
    Status,
    /// A reset instead of an answer.
    Reset,
    /// A close instead of an answer.
    Close,
    /// Half of a head, then a reset.
    HeadReset,
    /// A whole head, then a reset.
    BodilessReset,
    /// Half of the body, then a reset.
    BodyReset,
    /// Half of the body, then a close; in HTTP/2 behind a GOAWAY that blames an internal error.
    BodyClose,
    /// Reads the request and says nothing for as long as the other side waits.
    Hang,
    /// The head byte by byte, and all of it.
    SlowHead,
    /// The body in drops, and all of it.
    SlowBody,
    /// Half of the body, then silence.
    BodyStall,
    /// Announces more than it sends, then closes.
    LongLength,
    /// Announces less than it sends.
    ShortLength,
    /// Two Content-Lengths that differ.
    TwoLengths,
    /// Content-Length and Transfer-Encoding, which is how responses are smuggled.
    LengthAndChunked,
    /// A chunk whose size is no number.
    BadChunkSize,
    /// A chunk with more data than its size.
    LongChunk,
    /// Lines that end in LF alone.
    BareLf,
    /// A NUL in a field's value.
    Nul,
    /// A head of 1 MiB (HTTP/2: 256 KiB).
    LargeHead,
    /// The right answer before the request's body was read; reads on.
    EarlyAnswer,
    /// The same, and closes without reading.
    EarlyClose,
    /// Three times 103, then the right answer.
    Interims,
    /// 103 without end.
    InterimFlood,
    /// Random bytes.
    Garbage,
    /// The right answer, and another one that nobody asked for behind it.
    SecondAnswer,
    /// The right answer, and a moment later a 408 that nobody asked for.
    Unasked,
    /// The right answer, and a reset when the connection is used again: the race that every pool has.
    ResetOnReuse,
    /// RST_STREAM with REFUSED_STREAM: not processed.
    Refused,
    /// A GOAWAY that says of this stream that it was not processed, then a close.
    GoAwayBelow,
    /// A GOAWAY in the middle of the body, which is sent to its end all the same.
    GoAway,
    /// Opens no window for the request's body.
    UploadStall,
}

use Fault::*;

/// Each with its name in [`super::FAULT`], and whether it exists over HTTP/1.1 and over HTTP/2.
const TABLE: &[(Fault, &str, bool, bool)] = &[
    (Right, "right", true, true),
    (Status, "status", true, true),
    (Reset, "reset", true, true),
    (Close, "close", true, true),
    (HeadReset, "head-reset", true, false),
    (BodilessReset, "bodiless-reset", true, true),
    (BodyReset, "body-reset", true, true),
    (BodyClose, "body-close", true, true),
    (Hang, "hang", true, true),
    (SlowHead, "slow-head", true, false),
    (SlowBody, "slow-body", true, true),
    (BodyStall, "body-stall", true, true),
    (LongLength, "long-length", true, true),
    (ShortLength, "short-length", true, true),
    (TwoLengths, "two-lengths", true, false),
    (LengthAndChunked, "length-and-chunked", true, false),
    (BadChunkSize, "bad-chunk-size", true, false),
    (LongChunk, "long-chunk", true, false),
    (BareLf, "bare-lf", true, false),
    (Nul, "nul", true, false),
    (LargeHead, "large-head", true, true),
    (EarlyAnswer, "early-answer", true, true),
    (EarlyClose, "early-close", true, false),
    (Interims, "interims", true, true),
    (InterimFlood, "interim-flood", true, true),
    (Garbage, "garbage", true, true),
    (SecondAnswer, "second-answer", true, false),
    (Unasked, "unasked", true, false),
    (ResetOnReuse, "reset-on-reuse", true, false),
    (Refused, "refused", false, true),
    (GoAwayBelow, "goaway-below", false, true),
    (GoAway, "goaway", false, true),
    (UploadStall, "upload-stall", false, true),
];

impl Fault {
    /// All that exist over HTTP/1.1, the right answer among them.
    pub fn http1() -> impl Iterator<Item = Fault> {
        TABLE.iter().filter(|(.., http1, _)| *http1).map(|(fault, ..)| *fault)
    }

    /// All that exist over HTTP/2.
    pub fn http2() -> impl Iterator<Item = Fault> {
        TABLE.iter().filter(|(.., http2)| *http2).map(|(fault, ..)| *fault)
    }

    /// Its name, as a request asks for it.
    pub fn name(self) -> &'static str {
        TABLE[self.index()].1
    }

    /// The fault of a name.
    pub fn by_name(name: &str) -> Option<Fault> {
        TABLE.iter().find(|(_, have, ..)| *have == name).map(|(fault, ..)| *fault)
    }

    /// How many there are.
    pub(super) const COUNT: usize = TABLE.len();

    pub(super) fn index(self) -> usize {
        self as usize
    }
}

/// What an origin does to requests that ask for no fault by name.
#[derive(Clone, Debug, Default)]
pub struct Mix {
    percent: u64,
    faults: Vec<Fault>,
}

impl Mix {
    /// No faults.
    pub fn calm() -> Mix {
        Mix::default()
    }

    /// This share of the requests (0 to 100) gets one of these faults, each as often as the others.
    pub fn of(percent: u64, faults: impl IntoIterator<Item = Fault>) -> Mix {
        Mix { percent, faults: faults.into_iter().collect() }
    }

    pub(super) fn draw(&self, roll: u64) -> Fault {
        let strikes = !self.faults.is_empty() && roll % 100 < self.percent;
        if strikes { self.faults[(roll / 100) as usize % self.faults.len()] } else { Right }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_each_fault_at_its_place_and_under_a_name_of_its_own() {
        for (at, (fault, name, http1, http2)) in TABLE.iter().enumerate() {
            assert_eq!(fault.index(), at, "{name}");
            assert_eq!(Fault::by_name(name), Some(*fault));
            assert!(http1 | http2, "{name}");
        }
        assert_eq!(UploadStall.index() + 1, Fault::COUNT);
    }

    #[test]
    fn a_mix_strikes_as_often_as_it_says() {
        let mix = Mix::of(20, [Reset, Hang]);
        let drawn: Vec<_> = (0..10_000).map(|n| mix.draw(causeway_control_demo::random::mix(n))).collect();
        let count = |fault| drawn.iter().filter(|drawn| **drawn == fault).count();
        assert!((900..1_100).contains(&count(Reset)), "{}", count(Reset));
        assert!((900..1_100).contains(&count(Hang)), "{}", count(Hang));
        assert_eq!(count(Reset) + count(Hang) + count(Right), 10_000);
        assert_eq!(Mix::calm().draw(0), Right);
    }
}
