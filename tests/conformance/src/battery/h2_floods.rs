//! Floods by HTTP/2. Against each: the connection ends, or the work and the memory that it costs stay bounded, and in
//! any case other clients are served.

use std::time::{Duration, Instant};

use crate::check::{Case, Check, Verdict};
use crate::code;
use crate::ensure;
use crate::origin::script::{answer, silence};
use crate::target::Another;
use crate::wire::Conn;
use crate::wire::h2::{Frame, H2, code as error, flag, hpack, kind, setting};

/// More than any flood here may make a proxy hold. What one connection may honestly make it hold, a hundred streams'
/// windows, is a tenth of this.
const MEMORY_KIB: u64 = 96 * 1024;

/// Requests that one connection may have under way upstream: twice the streams that targets allow, for those that are
/// just being let go.
const UNDER_WAY: usize = 250;

/// For another client's answer during a flood.
const OTHERS_WAIT: Duration = Duration::from_secs(4);

struct Flood<'a> {
    case: &'a Case,
    target: Another,
    before: u64,
    h2: H2,
}

impl<'a> Flood<'a> {
    /// A process of its own, since its memory is looked at.
    async fn start(case: &'a Case, settings: &[(u16, u32)]) -> Result<Flood<'a>, String> {
        let target = case.world.another().await?;
        let h2 = H2::open(target.ports.https, &case.world.tls.h2, settings).await?;
        let before = target.running.resident_kib();
        Ok(Flood { case, target, before, h2 })
    }

    /// Sends, in pieces; reads meanwhile where `reads`. False: the server has ended the connection, or says that it
    /// will, or takes no more.
    async fn send(&mut self, bytes: &[u8], reads: bool) -> bool {
        for piece in bytes.chunks(8 * 1024) {
            if self.h2.conn.send_within(piece, Duration::from_secs(2)).await.is_err() {
                return false;
            }
            if reads {
                while self.h2.step(Duration::from_millis(0)).await.is_some() {}
                if self.h2.ended.is_some() || self.h2.goaway.is_some_and(|code| code != 0) {
                    return false;
                }
            }
        }
        true
    }

    /// Whether it ends the connection by itself now.
    async fn ends(&mut self) -> bool {
        let over = |h2: &H2| h2.ended.is_some() || h2.goaway.is_some_and(|code| code != 0);
        self.h2.until(Duration::from_secs(3), over).await;
        over(&self.h2)
    }

    /// Others are served, and memory is bounded.
    async fn bounded(&self) -> Verdict {
        let began = Instant::now();
        let mut conn = Conn::tcp(self.target.ports.http).await?;
        conn.send(self.case.fill(b"GET /@N HTTP/1.1\r\nHost: a.test\r\n\r\n")).await?;
        ensure!(conn.response(false).await?.status() == 200, "another client is not served");
        ensure!(began.elapsed() < OTHERS_WAIT, "another client waited {:?}", began.elapsed());
        let grown = self.target.running.resident_kib().saturating_sub(self.before);
        ensure!(grown < MEMORY_KIB, "it holds {} MiB for one client", grown / 1024);
        ensure!(!self.target.running.has_ended(), "it has ended");
        Ok(())
    }
}

/// Many frames as octets.
fn many(times: usize, frame: &Frame) -> Vec<u8> {
    frame.bytes().repeat(times)
}

pub const CHECKS: &[Check] = &[
    code!(
        "h2-floods/rapid-reset",
        "CVE-2023-44487",
        "streams that are reset at once do not pile up upstream",
        |case| {
            case.script(vec![silence()]);
            let mut flood = Flood::start(&case, &[]).await?;
            let block = hpack::block(&case.get("/@T"));
            let mut bytes = Vec::new();
            for n in 0..5_000 {
                let stream = 2 * n + 1;
                bytes.extend(
                    Frame::new(kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, stream, block.clone())
                        .bytes(),
                );
                bytes.extend(Frame::reset(stream, error::CANCEL).bytes());
            }
            flood.send(&bytes, true).await;
            tokio::time::sleep(Duration::from_millis(300)).await;
            let peak = case.world.origin.peak(&case.token);
            ensure!(peak <= UNDER_WAY, "{peak} requests at once upstream");
            flood.bounded().await
        }
    ),
    code!(
        "h2-floods/rapid-reset-ends",
        "CVE-2023-44487",
        "a client that resets all of 20,000 streams is cut off",
        |case| {
            case.script(vec![silence()]);
            let mut flood = Flood::start(&case, &[]).await?;
            let block = hpack::block(&case.get("/@T"));
            for part in 0..20 {
                let mut bytes = Vec::new();
                for n in 0..1_000 {
                    let stream = 2 * (part * 1_000 + n) + 1;
                    bytes.extend(
                        Frame::new(
                            kind::HEADERS,
                            flag::END_HEADERS | flag::END_STREAM,
                            stream,
                            block.clone(),
                        )
                        .bytes(),
                    );
                    bytes.extend(Frame::reset(stream, error::CANCEL).bytes());
                }
                if !flood.send(&bytes, true).await {
                    return flood.bounded().await;
                }
            }
            ensure!(flood.ends().await, "it is not");
            flood.bounded().await
        }
    ),
    code!(
        "h2-floods/made-you-reset",
        "CVE-2025-8671",
        "streams that the server is made to reset do not pile up upstream",
        |case| {
            case.script(vec![silence()]);
            let mut flood = Flood::start(&case, &[]).await?;
            let block = hpack::block(&case.get("/@T"));
            let mut bytes = Vec::new();
            for n in 0..3_000 {
                let stream = 2 * n + 1;
                bytes.extend(
                    Frame::new(kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, stream, block.clone())
                        .bytes(),
                );
                bytes.extend(Frame::window(stream, 0).bytes());
            }
            flood.send(&bytes, true).await;
            tokio::time::sleep(Duration::from_millis(300)).await;
            let peak = case.world.origin.peak(&case.token);
            ensure!(peak <= UNDER_WAY, "{peak} requests at once upstream");
            flood.bounded().await
        }
    ),
    code!("h2-floods/continuation", "CVE-2024-27316", "a field section that never ends is cut off", |case| {
        let mut flood = Flood::start(&case, &[]).await?;
        let first = Frame::new(kind::HEADERS, flag::END_STREAM, 1, hpack::block(&case.get("/@T")));
        let more = Frame::new(kind::CONTINUATION, flag::NONE, 1, hpack::block(&[("x", "y".repeat(1_000))]));
        let taken = flood.send(&[first.bytes(), many(20_000, &more)].concat(), true).await;
        ensure!(!taken || flood.ends().await, "20 MB of it are taken");
        flood.bounded().await
    }),
    code!(
        "h2-floods/empty-continuation",
        "CVE-2024-27316",
        "so is one that goes on without octets",
        |case| {
            let mut flood = Flood::start(&case, &[]).await?;
            let first = Frame::new(kind::HEADERS, flag::END_STREAM, 1, hpack::block(&case.get("/@T")));
            let more = Frame::new(kind::CONTINUATION, flag::NONE, 1, []);
            let taken = flood.send(&[first.bytes(), many(300_000, &more)].concat(), true).await;
            ensure!(!taken || flood.ends().await, "300,000 frames of it are taken");
            flood.bounded().await
        }
    ),
    code!(
        "h2-floods/settings",
        "CVE-2019-9515",
        "SETTINGS whose acknowledgements nobody reads do not pile up",
        |case| {
            let mut flood = Flood::start(&case, &[]).await?;
            flood.send(&many(500_000, &Frame::settings(&[])), false).await;
            flood.bounded().await
        }
    ),
    code!("h2-floods/ping", "CVE-2019-9512", "PINGs whose answers nobody reads do not pile up", |case| {
        let mut flood = Flood::start(&case, &[]).await?;
        flood.send(&many(500_000, &Frame::ping(*b"12345678")), false).await;
        flood.bounded().await
    }),
    code!("h2-floods/resets-unread", "CVE-2019-9514", "resets that nobody reads do not pile up", |case| {
        let mut flood = Flood::start(&case, &[]).await?;
        let mut bad = case.get("/@T");
        bad.push(("connection".to_owned(), "close".to_owned()));
        let block = hpack::block(&bad);
        let mut bytes = Vec::new();
        for n in 0..50_000 {
            let flags = flag::END_HEADERS | flag::END_STREAM;
            bytes.extend(Frame::new(kind::HEADERS, flags, 2 * n + 1, block.clone()).bytes());
        }
        flood.send(&bytes, false).await;
        flood.bounded().await
    }),
    code!(
        "h2-floods/empty-data",
        "CVE-2019-9518",
        "empty DATA without end costs nothing, or the connection",
        |case| {
            let mut flood = Flood::start(&case, &[]).await?;
            let post =
                Frame::new(kind::HEADERS, flag::END_HEADERS, 1, hpack::block(&case.h2_fields("POST", "/@T")));
            flood.send(&[post.bytes(), many(300_000, &Frame::data(1, false, []))].concat(), true).await;
            flood.bounded().await
        }
    ),
    code!(
        "h2-floods/empty-names",
        "CVE-2019-9516",
        "fields without names are malformed, and not kept",
        |case| {
            let mut flood = Flood::start(&case, &[]).await?;
            let mut block = hpack::block(&case.get("/@T"));
            for _ in 0..4_000 {
                hpack::literal(&mut block, b"", b"");
            }
            flood
                .send(
                    &Frame::new(kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, 1, block).bytes(),
                    true,
                )
                .await;
            flood.h2.answer(1).await;
            ensure!(case.whole().is_empty(), "the origin got it");
            flood.bounded().await
        }
    ),
    code!(
        "h2-floods/priority",
        "CVE-2019-9513",
        "PRIORITY frames for streams that are not there are not kept",
        |case| {
            let mut flood = Flood::start(&case, &[]).await?;
            let mut bytes = Vec::new();
            for n in 0..300_000u32 {
                bytes.extend(Frame::new(kind::PRIORITY, flag::NONE, 2 * n + 1, *b"\0\0\0\0\x10").bytes());
            }
            flood.send(&bytes, true).await;
            flood.bounded().await
        }
    ),
    code!(
        "h2-floods/window-updates",
        "attack: WINDOW_UPDATE flood",
        "updates by one octet are taken in passing",
        |case| {
            let mut flood = Flood::start(&case, &[]).await?;
            flood.send(&many(500_000, &Frame::window(0, 1)), true).await;
            flood.bounded().await
        }
    ),
    code!(
        "h2-floods/unknown-frames",
        "attack: frame flood",
        "frames of unknown types are taken in passing",
        |case| {
            let mut flood = Flood::start(&case, &[]).await?;
            flood.send(&many(300_000, &Frame::new(0xbe, flag::NONE, 0, [])), true).await;
            flood.bounded().await
        }
    ),
    code!(
        "h2-floods/hpack-bomb",
        "attack: HPACK bomb",
        "a field that is named thousands of times is refused, not unpacked",
        |case| {
            let mut flood = Flood::start(&case, &[]).await?;
            let flags = flag::END_HEADERS | flag::END_STREAM;
            let mut first = hpack::block(&case.get("/@N"));
            hpack::indexed_literal(&mut first, b"x", &[b'y'; 4_000]);
            let mut bomb = hpack::block(&case.get("/@T"));
            bomb.extend([0xbe; 16_000]);
            flood.send(&Frame::new(kind::HEADERS, flags, 1, first).bytes(), true).await;
            for n in 0..50 {
                flood.send(&Frame::new(kind::HEADERS, flags, 2 * n + 3, bomb.clone()).bytes(), true).await;
            }
            flood.h2.answer(3).await;
            ensure!(case.whole().is_empty(), "64 MB of fields reached the origin");
            flood.bounded().await
        }
    ),
    code!(
        "h2-floods/window-stall",
        "CVE-2019-9511",
        "answers that are taken octet by octet are not kept whole",
        |case| {
            case.script(vec![answer(long_answer())]);
            let mut flood = Flood::start(&case, &[(setting::INITIAL_WINDOW_SIZE, 1)]).await?;
            flood.h2.refill = false;
            for _ in 0..50 {
                flood.h2.request(&case.get("/@T"), true).await?;
            }
            for _ in 0..50 {
                for n in 0..50 {
                    let _ = flood.h2.send(&Frame::window(2 * n + 1, 1)).await;
                }
                while flood.h2.step(Duration::from_millis(0)).await.is_some() {}
            }
            flood.bounded().await
        }
    ),
    code!(
        "h2-floods/unread-answers",
        "CVE-2019-9517",
        "answers that nobody reads are not kept, however wide the window",
        |case| {
            case.script(vec![answer(long_answer())]);
            let window = i32::MAX as u32;
            let mut flood = Flood::start(&case, &[(setting::INITIAL_WINDOW_SIZE, window)]).await?;
            let _ = flood.h2.send(&Frame::window(0, window - 65_535)).await;
            for _ in 0..100 {
                flood.h2.request(&case.get("/@T"), true).await?;
            }
            tokio::time::sleep(Duration::from_millis(1_500)).await;
            flood.bounded().await
        }
    ),
];

/// 5 MB: a hundred of them are far past the bound.
fn long_answer() -> Vec<u8> {
    let octets = 5_000_000;
    [format!("HTTP/1.1 200 OK\r\nContent-Length: {octets}\r\n\r\n").into_bytes(), vec![b'x'; octets]].concat()
}
