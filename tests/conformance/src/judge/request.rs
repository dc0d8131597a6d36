//! Octets from a client, and what must come of them.

use std::time::Duration;

use super::hygiene;
use super::seen::{self, Seen};
use crate::check::{Case, Check, Run, Verdict};
use crate::ensure;
use crate::wire::conn::PATIENCE;
use crate::wire::h1::{End, Message};
use crate::wire::{Conn, Read};

/// What a client sends.
#[derive(Clone, Copy, Debug)]
pub enum Send {
    /// These octets.
    Raw(&'static [u8]),
    /// `GET /@T HTTP/1.1` with this request line instead, and a Host.
    Line(&'static str),
    /// GET with these field lines; each ends in CRLF.
    Get(&'static str),
    /// POST with these field lines, and these octets behind the head.
    Post(&'static str, &'static str),
    /// POST with chunked coding, and these octets behind the head.
    Chunks(&'static str),
}

impl Send {
    /// The octets, tokens filled in.
    pub fn bytes(self, case: &Case) -> Vec<u8> {
        let text = match self {
            Send::Raw(bytes) => return case.fill(bytes),
            Send::Line(line) => format!("{line}\r\nHost: a.test\r\n\r\n"),
            Send::Get(fields) => format!("GET /@T HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n"),
            Send::Post(fields, body) => format!("POST /@T HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n{body}"),
            Send::Chunks(body) => {
                format!("POST /@T HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n{body}")
            }
        };
        case.fill(text.as_bytes())
    }
}

/// What must come of it.
#[derive(Clone, Copy, Debug)]
enum Want {
    /// 4xx, 501 or 505, then the connection ends; nothing reaches the origin, also not what follows on the connection.
    Refused,
    /// The same, and the connection may go on with the next request.
    Rejected,
    /// It reaches the origin, like this.
    Forwarded(&'static [Seen]),
    /// Refused, or forwarded like this.
    Either(&'static [Seen]),
}

/// The check.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    send: Send,
    want: Want,
}

const fn check(id: &'static str, source: &'static str, title: &'static str, send: Send, want: Want) -> Check {
    Check { id, source, title, run: Run::Request(Request { send, want }) }
}

/// Refused, and the connection ends: where the next request begins is not clear.
pub const fn refuse(id: &'static str, source: &'static str, title: &'static str, send: Send) -> Check {
    check(id, source, title, send, Want::Refused)
}

/// Refused.
pub const fn reject(id: &'static str, source: &'static str, title: &'static str, send: Send) -> Check {
    check(id, source, title, send, Want::Rejected)
}

/// Forwarded, and the next request on the connection too.
pub const fn forward(
    id: &'static str,
    source: &'static str,
    title: &'static str,
    send: Send,
    seen: &'static [Seen],
) -> Check {
    check(id, source, title, send, Want::Forwarded(seen))
}

/// Refused, or forwarded without a second meaning: where the RFC leaves it to the recipient.
pub const fn either(
    id: &'static str,
    source: &'static str,
    title: &'static str,
    send: Send,
    seen: &'static [Seen],
) -> Check {
    check(id, source, title, send, Want::Either(seen))
}

/// Whether a status refuses a request.
pub fn refuses(status: u16) -> bool {
    matches!(status, 400..=499 | 501 | 505)
}

/// Runs one.
///
/// # Errors
/// What was wrong.
pub async fn judge(case: &Case, request: &Request) -> Verdict {
    let mut bytes = request.send.bytes(case);
    let mut conn = case.http().await?;
    let to_head = bytes.starts_with(b"HEAD ");
    if matches!(request.want, Want::Refused) {
        // Behind it, what a smuggler would want to be taken for a request.
        bytes.extend(case.fill(b"GET /@S HTTP/1.1\r\nHost: a.test\r\n\r\n"));
    }
    conn.offer(&bytes).await;
    let answer = conn.response(to_head).await;
    match request.want {
        Want::Refused => refused(case, &mut conn, request, answer, true).await,
        Want::Rejected => refused(case, &mut conn, request, answer, false).await,
        Want::Forwarded(conditions) => forwarded(case, &mut conn, answer?, conditions).await,
        Want::Either(conditions) => match answer {
            Ok(answer) if !request.refuses(answer.status()) => {
                forwarded(case, &mut conn, answer, conditions).await
            }
            answer => refused(case, &mut conn, request, answer, false).await,
        },
    }
}

impl Request {
    /// A broken body may be found when its request has gone up already, and then looks like the upstream's fault.
    fn refuses(&self, status: u16) -> bool {
        refuses(status) || (matches!(self.send, Send::Chunks(_)) && matches!(status, 500 | 502))
    }
}

async fn refused(
    case: &Case,
    conn: &mut Conn,
    request: &Request,
    answer: Result<Message, String>,
    close: bool,
) -> Verdict {
    let answer = answer?;
    ensure!(request.refuses(answer.status()), "answered {}, not refused", answer.start);
    hygiene::response(&answer)?;
    if close {
        let (rest, how) = conn.read_to_end(Duration::from_secs(3)).await;
        ensure!(rest.is_empty(), "after the refusal came {:?}", rest.escape_ascii().to_string());
        ensure!(how != Read::Nothing, "the connection stays open after the refusal");
    }
    ensure!(case.whole().is_empty(), "refused, and yet the origin got it");
    ensure!(!case.is_smuggled(), "what follows the refused request reached the origin");
    Ok(())
}

async fn forwarded(case: &Case, conn: &mut Conn, answer: Message, conditions: &[Seen]) -> Verdict {
    ensure!(answer.status() == 200, "answered {}", answer.start);
    hygiene::response(&answer)?;
    let seen = case.only()?;
    hygiene::request(&seen.message)?;
    seen::all(case, &seen.message, conditions, "the origin")?;
    follow(case, conn, &answer).await?;
    ensure!(!case.is_smuggled(), "a part of the request became a request");
    Ok(())
}

/// Sends the next request on the connection, unless the answer ends it, and expects its own answer to it.
///
/// # Errors
/// It is given another's.
pub async fn follow(case: &Case, conn: &mut Conn, answer: &Message) -> Verdict {
    let closes =
        answer.joined("connection").is_some_and(|options| options.to_ascii_lowercase().contains("close"));
    if closes || answer.end == End::AtClose || answer.start.starts_with("HTTP/1.0") {
        return Ok(());
    }
    conn.offer(case.fill(b"GET /@N HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")).await;
    match conn.head(PATIENCE).await {
        Ok(mut next) => {
            conn.response_body(&mut next, false, PATIENCE).await;
            let wanted = case.text("ok @N");
            let text = next.text();
            ensure!(text == wanted, "the next request is answered {} {text:?}, not {wanted:?}", next.start);
        }
        // A server may close at any time, and does not say why.
        Err(Read::End | Read::Reset) => {}
        Err(_) => return Err("the next request on the connection is not answered".to_owned()),
    }
    Ok(())
}
