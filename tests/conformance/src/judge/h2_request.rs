//! An HTTP/2 field section from a client, and what must come of it.

use super::hygiene;
use super::request::refuses;
use super::seen::{self, Seen};
use crate::check::{Case, Check, Run, Verdict};
use crate::ensure;
use crate::wire::h2::{Answer, Frame, H2, flag, hpack, kind};

/// Names and values.
pub type Fields = &'static [(&'static str, &'static str)];

/// What a client sends.
#[derive(Clone, Copy, Debug)]
pub enum Send {
    /// These fields, pseudo-header fields included, and no body.
    Head(Fields),
    /// GET with these further fields.
    Get(Fields),
    /// POST with these further fields and a body.
    Post(Fields, &'static str),
    /// POST with a body and trailers.
    Trailers(Fields, &'static str, Fields),
}

/// What must come of it.
#[derive(Clone, Copy, Debug)]
enum Want {
    /// A stream error, a connection error, or a refusal; nothing reaches the origin.
    Malformed,
    /// It reaches the origin like this.
    Forwarded(&'static [Seen]),
    /// Either.
    Either(&'static [Seen]),
}

/// The check.
#[derive(Clone, Copy, Debug)]
pub struct H2Request {
    send: Send,
    want: Want,
}

const fn check(id: &'static str, source: &'static str, title: &'static str, send: Send, want: Want) -> Check {
    Check { id, source, title, run: Run::H2Request(H2Request { send, want }) }
}

/// A malformed request (RFC 9113 section 8.1.1).
pub const fn malformed(id: &'static str, source: &'static str, title: &'static str, send: Send) -> Check {
    check(id, source, title, send, Want::Malformed)
}

/// A request that is forwarded.
pub const fn forward(
    id: &'static str,
    source: &'static str,
    title: &'static str,
    send: Send,
    seen: &'static [Seen],
) -> Check {
    check(id, source, title, send, Want::Forwarded(seen))
}

/// A request that is refused, or forwarded without a second meaning.
pub const fn either(
    id: &'static str,
    source: &'static str,
    title: &'static str,
    send: Send,
    seen: &'static [Seen],
) -> Check {
    check(id, source, title, send, Want::Either(seen))
}

/// Runs one.
///
/// # Errors
/// What was wrong.
pub async fn judge(case: &Case, request: &H2Request) -> Verdict {
    let mut h2 = case.h2().await?;
    let stream = send(case, &mut h2, request.send).await?;
    let answer = h2.answer(stream).await;
    let refused =
        refuses(answer.status) || answer.reset.is_some() || h2.goaway.is_some() || h2.ended.is_some();
    match request.want {
        Want::Malformed => malformed_answer(case, &answer, refused),
        Want::Forwarded(conditions) => forwarded(case, &mut h2, &answer, conditions).await,
        Want::Either(_) if refused => malformed_answer(case, &answer, true),
        Want::Either(conditions) => forwarded(case, &mut h2, &answer, conditions).await,
    }
}

async fn send(case: &Case, h2: &mut H2, send: Send) -> Result<u32, String> {
    let further = |method: &str, more: Fields| {
        let mut fields = case.h2_fields(method, "/@T");
        fields.extend(more.iter().map(|(name, value)| (case.text(name), case.text(value))));
        fields
    };
    Ok(match send {
        Send::Head(fields) => {
            let fields: Vec<_> =
                fields.iter().map(|(name, value)| (case.text(name), case.text(value))).collect();
            h2.request(&fields, true).await?
        }
        Send::Get(more) => h2.request(&further("GET", more), true).await?,
        // In one write: of a head that comes first a proxy may rightly have made a request by then.
        Send::Post(more, body) => {
            let body = case.text(body);
            h2.request_with(&further("POST", more), |stream| vec![Frame::data(stream, true, body)]).await?
        }
        Send::Trailers(more, body, trailers) => {
            let body = case.text(body);
            let flags = flag::END_HEADERS | flag::END_STREAM;
            let rest = |stream| {
                let trailers = Frame::new(kind::HEADERS, flags, stream, hpack::block(trailers));
                vec![Frame::data(stream, false, body), trailers]
            };
            h2.request_with(&further("POST", more), rest).await?
        }
    })
}

fn malformed_answer(case: &Case, answer: &Answer, refused: bool) -> Verdict {
    ensure!(refused, "answered {}, not refused", answer.status);
    ensure!(case.whole().is_empty(), "refused, and yet the origin got it");
    ensure!(!case.is_smuggled(), "a part of the request became a request");
    Ok(())
}

async fn forwarded(case: &Case, h2: &mut H2, answer: &Answer, conditions: &[Seen]) -> Verdict {
    if let Some(code) = answer.reset {
        return Err(format!("reset with {code}"));
    }
    ensure!(
        answer.status == 200,
        "answered {}{}",
        answer.status,
        if h2.goaway.is_some() { ", GOAWAY" } else { "" }
    );
    let body = String::from_utf8_lossy(&answer.body).into_owned();
    ensure!(body == case.text("ok @T"), "the answer is {body:?}");
    let seen = case.only()?;
    hygiene::request(&seen.message)?;
    seen::all(case, &seen.message, conditions, "the origin")?;
    // What was left on the upstream's connection would answer the next request.
    let next = h2.request(&case.get("/@N"), true).await?;
    let next = h2.answer(next).await;
    let body = String::from_utf8_lossy(&next.body).into_owned();
    ensure!(body == case.text("ok @N"), "the next request is answered {} {body:?}", next.status);
    ensure!(!case.is_smuggled(), "a part of the request became a request");
    Ok(())
}
