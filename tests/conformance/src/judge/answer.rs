//! Octets from an upstream, and what a client must see of them.

use super::hygiene;
use super::request::{Send, follow};
use super::seen::{self, Seen};
use crate::check::{Case, Check, Run, Verdict};
use crate::ensure;
use crate::origin::script;
use crate::wire::h1::{End, Message};

/// What a client must see.
#[derive(Clone, Copy, Debug)]
enum Want {
    /// 500, 502, 503 or 504 in place of the answer.
    Bad,
    /// The same, or the answer's beginning and then a visible break.
    Broken,
    /// The answer, like this.
    Passed(u16, &'static [Seen]),
    /// The answer like this, or an error in its place, or a visible break.
    Either(u16, &'static [Seen]),
}

/// The check.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    ask: Send,
    reply: &'static [u8],
    closes: bool,
    want: Want,
}

const fn check(id: &'static str, source: &'static str, title: &'static str, answer: Answer) -> Check {
    Check { id, source, title, run: Run::Answer(answer) }
}

const ASK: Send = Send::Get("");

/// An answer that must not reach the client; the upstream keeps its connection open.
pub const fn bad(id: &'static str, source: &'static str, title: &'static str, reply: &'static [u8]) -> Check {
    check(id, source, title, Answer { ask: ASK, reply, closes: false, want: Want::Bad })
}

/// An answer that must not reach the client; the upstream closes after it.
pub const fn bad_close(
    id: &'static str,
    source: &'static str,
    title: &'static str,
    reply: &'static [u8],
) -> Check {
    check(id, source, title, Answer { ask: ASK, reply, closes: true, want: Want::Bad })
}

/// An answer that breaks off, which the client must be able to tell.
pub const fn broken(
    id: &'static str,
    source: &'static str,
    title: &'static str,
    reply: &'static [u8],
) -> Check {
    check(id, source, title, Answer { ask: ASK, reply, closes: true, want: Want::Broken })
}

/// An answer that passes.
pub const fn pass(
    id: &'static str,
    source: &'static str,
    title: &'static str,
    reply: &'static [u8],
    status: u16,
    seen: &'static [Seen],
) -> Check {
    check(id, source, title, Answer { ask: ASK, reply, closes: false, want: Want::Passed(status, seen) })
}

/// The same; the upstream closes after it.
pub const fn pass_close(
    id: &'static str,
    source: &'static str,
    title: &'static str,
    reply: &'static [u8],
    status: u16,
    seen: &'static [Seen],
) -> Check {
    check(id, source, title, Answer { ask: ASK, reply, closes: true, want: Want::Passed(status, seen) })
}

/// An answer that passes, to another request than a plain GET.
pub const fn pass_to(
    id: &'static str,
    source: &'static str,
    title: &'static str,
    ask: Send,
    reply: &'static [u8],
    status: u16,
    seen: &'static [Seen],
) -> Check {
    check(id, source, title, Answer { ask, reply, closes: false, want: Want::Passed(status, seen) })
}

/// An answer that may pass like this, or be replaced by an error.
pub const fn maybe(
    id: &'static str,
    source: &'static str,
    title: &'static str,
    reply: &'static [u8],
    status: u16,
    seen: &'static [Seen],
) -> Check {
    check(id, source, title, Answer { ask: ASK, reply, closes: true, want: Want::Either(status, seen) })
}

/// Whether a status is that of a gateway whose upstream failed.
pub fn is_bad(status: u16) -> bool {
    matches!(status, 500 | 502..=504)
}

/// Runs one.
///
/// # Errors
/// What was wrong.
pub async fn judge(case: &Case, answer: &Answer) -> Verdict {
    let reply = case.fill(answer.reply);
    case.script(vec![if answer.closes { script::last_answer(reply) } else { script::answer(reply) }]);
    let mut conn = case.http().await?;
    let ask = answer.ask.bytes(case);
    conn.send(&ask).await?;
    let got = conn.response(ask.starts_with(b"HEAD ")).await;
    match answer.want {
        Want::Bad => error(&got?)?,
        Want::Broken => match got {
            Ok(got) if is_bad(got.status()) => {}
            Ok(got) => {
                ensure!(got.end == End::Cut, "the client took {} {:?} for whole", got.start, got.text())
            }
            // Nothing that could be taken for an answer.
            Err(_) => return Ok(()),
        },
        Want::Passed(status, conditions) => {
            let got = got?;
            passed(case, &got, status, conditions)?;
            return follow(case, &mut conn, &got).await;
        }
        Want::Either(status, conditions) => match got {
            Ok(got) if is_bad(got.status()) || got.end == End::Cut => {}
            Ok(got) => passed(case, &got, status, conditions)?,
            Err(_) => return Ok(()),
        },
    }
    // The upstream's connection must not be used again: the rest of a bad answer would be the next one's.
    let mut next = case.http().await?;
    next.send(case.fill(b"GET /@N HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")).await?;
    let next = next.response(false).await?;
    ensure!(
        next.text() == case.text("ok @N"),
        "the next request is answered {} {:?}",
        next.start,
        next.text()
    );
    Ok(())
}

fn error(got: &Message) -> Verdict {
    ensure!(is_bad(got.status()), "the client got {}", got.start);
    hygiene::response(got)
}

fn passed(case: &Case, got: &Message, status: u16, conditions: &[Seen]) -> Verdict {
    ensure!(got.status() == status, "the client got {} instead of {status}", got.start);
    ensure!(got.end != End::Cut, "the client got a part: {:?}", got.text());
    hygiene::response(got)?;
    seen::all(case, got, conditions, "the client")
}
