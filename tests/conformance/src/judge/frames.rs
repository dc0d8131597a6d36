//! HTTP/2 frames from a client, and how the server takes them.

use std::time::Duration;

use crate::check::{Case, Check, Run, Verdict};
use crate::ensure;
use crate::wire::h2::{Frame, H2, flag, hpack, kind};

/// For an error to show. A server may first send what it had under way.
const PATIENCE: Duration = Duration::from_secs(4);

/// What is sent behind preface and SETTINGS.
#[derive(Clone, Copy, Debug)]
pub enum F {
    /// A frame: type, flags, stream, payload.
    Raw(u8, u8, u32, &'static [u8]),
    /// Octets.
    Bytes(&'static [u8]),
    /// HEADERS of a whole GET on this stream.
    Get(u32),
    /// HEADERS of a POST on this stream whose body follows.
    Post(u32),
    /// HEADERS with these flags: a GET's fields behind this prefix (padding, priority) and before this suffix.
    Head(u8, u32, &'static [u8], &'static [u8]),
    /// HEADERS without END_HEADERS, a GET's first fields.
    Part(u32),
    /// CONTINUATION with the rest of them, and these flags.
    Rest(u32, u8),
    /// A frame with so many zeros: type, flags, stream, octets.
    Zeros(u8, u8, u32, usize),
    /// Waits until the stream is answered.
    Await(u32),
    /// Waits until the server has said its settings and seen ours.
    Settled,
}

/// How the server must take it.
#[derive(Clone, Copy, Debug)]
enum Want {
    /// It ends the connection; where it says why, by one of these codes (none: by any).
    Connection(&'static [u32]),
    /// It resets the stream, by one of these codes, or ends the connection.
    Stream(u32, &'static [u32]),
    /// The next request on the connection is answered.
    Fine,
}

/// The check.
#[derive(Clone, Copy, Debug)]
pub struct Frames {
    send: &'static [F],
    want: Want,
}

const fn check(id: &'static str, source: &'static str, title: &'static str, frames: Frames) -> Check {
    Check { id, source, title, run: Run::Frames(frames) }
}

/// A connection error (RFC 9113 section 5.4.1).
pub const fn connection_error(
    id: &'static str,
    source: &'static str,
    title: &'static str,
    send: &'static [F],
    codes: &'static [u32],
) -> Check {
    check(id, source, title, Frames { send, want: Want::Connection(codes) })
}

/// A stream error (RFC 9113 section 5.4.2), which a server may take for a connection error.
pub const fn stream_error(
    id: &'static str,
    source: &'static str,
    title: &'static str,
    send: &'static [F],
    stream: u32,
    codes: &'static [u32],
) -> Check {
    check(id, source, title, Frames { send, want: Want::Stream(stream, codes) })
}

/// Nothing wrong with it.
pub const fn fine(id: &'static str, source: &'static str, title: &'static str, send: &'static [F]) -> Check {
    check(id, source, title, Frames { send, want: Want::Fine })
}

/// Runs one.
///
/// # Errors
/// What was wrong.
pub async fn judge(case: &Case, frames: &Frames) -> Verdict {
    let mut h2 = case.h2().await?;
    for part in frames.send {
        send(case, &mut h2, *part).await;
    }
    match frames.want {
        Want::Connection(codes) => {
            h2.until(PATIENCE, |h2| h2.goaway.is_some_and(|code| code != 0) || h2.ended.is_some()).await;
            connection_ended(&h2, codes)
        }
        Want::Stream(stream, codes) => {
            let over = |h2: &H2| h2.answers.get(&stream).is_some_and(|answer| answer.is_over());
            h2.until(PATIENCE, |h2| {
                over(h2) || h2.goaway.is_some_and(|code| code != 0) || h2.ended.is_some()
            })
            .await;
            let answer = h2.answers.get(&stream).cloned().unwrap_or_default();
            match answer.reset {
                Some(code) => {
                    ensure!(codes.is_empty() || codes.contains(&code), "reset by code {code}, not {codes:?}");
                    Ok(())
                }
                None if (400..500).contains(&answer.status) => Ok(()),
                None if answer.status != 0 => Err(format!("answered {}", answer.status)),
                None => connection_ended(&h2, &[]),
            }
        }
        Want::Fine => {
            let used = frames.send.iter().map(F::stream).max().unwrap_or(0);
            let stream = used + 2 - (used + 1) % 2;
            let flags = flag::END_HEADERS | flag::END_STREAM;
            let block = hpack::block(&case.get("/@N"));
            h2.send(&Frame::new(kind::HEADERS, flags, stream, block)).await?;
            let answer = h2.answer(stream).await;
            let (reset, goaway) = (answer.reset, h2.goaway);
            ensure!(answer.status == 200, "the next request: {} {reset:?}, GOAWAY {goaway:?}", answer.status);
            Ok(())
        }
    }
}

fn connection_ended(h2: &H2, codes: &[u32]) -> Verdict {
    match h2.goaway {
        // Servers may say GOAWAY 0 first, and then the reason.
        Some(code) if code != 0 => {
            ensure!(codes.is_empty() || codes.contains(&code), "GOAWAY by code {code}, not {codes:?}");
            Ok(())
        }
        _ => {
            ensure!(h2.ended.is_some(), "the connection goes on");
            Ok(())
        }
    }
}

impl F {
    fn stream(&self) -> u32 {
        match *self {
            F::Raw(_, _, stream, _) | F::Zeros(_, _, stream, _) if stream < 1_000 => stream,
            F::Get(stream) | F::Post(stream) | F::Head(_, stream, ..) | F::Part(stream) => stream,
            _ => 0,
        }
    }
}

async fn send(case: &Case, h2: &mut H2, part: F) {
    let whole = flag::END_HEADERS | flag::END_STREAM;
    let fields = case.get("/@T");
    let frame = match part {
        F::Raw(kind, flags, stream, payload) => Frame::new(kind, flags, stream, payload),
        F::Bytes(bytes) => return h2.conn.offer(bytes).await,
        F::Get(stream) => Frame::new(kind::HEADERS, whole, stream, hpack::block(&fields)),
        F::Post(stream) => {
            let block = hpack::block(&case.h2_fields("POST", "/@T"));
            Frame::new(kind::HEADERS, flag::END_HEADERS, stream, block)
        }
        F::Head(flags, stream, prefix, suffix) => {
            let payload = [prefix, &hpack::block(&fields), suffix].concat();
            Frame::new(kind::HEADERS, flags, stream, payload)
        }
        F::Part(stream) => Frame::new(kind::HEADERS, flag::END_STREAM, stream, hpack::block(&fields[..2])),
        F::Rest(stream, flags) => Frame::new(kind::CONTINUATION, flags, stream, hpack::block(&fields[2..])),
        F::Zeros(kind, flags, stream, octets) => Frame::new(kind, flags, stream, vec![0; octets]),
        F::Await(stream) => {
            h2.answer(stream).await;
            return;
        }
        F::Settled => {
            let acks = usize::from(kind::SETTINGS);
            h2.until(PATIENCE, |h2| h2.count[acks] >= 2).await;
            return;
        }
    };
    // The server may be gone already; that is seen when reading.
    let _ = h2.send(&frame).await;
}
