//! Our own answers: the one table from an error to a status and a reason, and how they are sent.

use std::rc::Rc;
use std::task::ready;
use std::time::{Duration, SystemTime};

use causeway_proxy_http1::{Framing, ResponseHead, Version};

use super::error::{ErrorKind, LimitKind};
use super::record::Story;
use crate::http::exchange::{Down, Response};
use crate::worker::Worker;

/// How long a client may take to read an answer of ours.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a client sees of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Error type of `Proxy-Status` (RFC 9209 section 2.3), or our own word where the registry has none.
    pub reason: &'static str,
    /// The access log's short flag, in the style that operators know from Envoy.
    pub flag: &'static str,
    /// One line of text for a person.
    pub text: &'static str,
}

/// The table.
pub fn answer(error: ErrorKind) -> Answer {
    use ErrorKind::*;
    let (status, reason, flag, text) = match error {
        ClientGone => (499, "http_request_error", "DC", "the client went away"),
        BadRequestBody => (400, "http_request_error", "BR", "the request body breaks its framing"),
        BodyTooLarge => (413, "http_request_error", "BL", "the request body is too large"),
        ClientTimeout => (408, "http_request_error", "CT", "the request body stopped arriving"),
        ConnectMethod => (405, "http_request_denied", "BR", "CONNECT is not served here"),
        BadTarget => (400, "http_request_error", "BR", "the target cannot be sent to this upstream"),
        NoRoute => (404, "http_request_denied", "NR", "no route matches"),
        NoBackend => (500, "destination_not_found", "NB", "the matching route has no valid backend"),
        NoEndpoint => (503, "destination_unavailable", "UH", "no healthy endpoint"),
        Overloaded(LimitKind::Requests) => {
            (503, "connection_limit_reached", "UO", "too many requests are under way to the cluster")
        }
        Overloaded(LimitKind::Pending) => {
            (503, "connection_limit_reached", "UO", "too many requests wait for a connection")
        }
        ConnectFailed => (503, "connection_refused", "UF", "the upstream refused the connection"),
        ConnectTimeout => (503, "connection_timeout", "UF", "the upstream did not accept in time"),
        TlsFailed => (503, "tls_protocol_error", "UF", "TLS with the upstream failed"),
        Reset => (503, "connection_terminated", "UC", "the upstream closed before answering"),
        RefusedStream => (503, "connection_terminated", "UR", "the upstream refused the stream"),
        TryTimeout => (504, "http_response_timeout", "UT", "the upstream did not answer in time"),
        Deadline => (504, "http_response_timeout", "DT", "the deadline passed"),
        BadResponse(_) => (502, "http_protocol_error", "UP", "the upstream's answer is not HTTP"),
        ResponseCut => (502, "http_response_incomplete", "UC", "the upstream's answer ended early"),
        EndpointDown => (503, "destination_unavailable", "UH", "the endpoint was taken out of service"),
    };
    Answer { status, reason, flag, text }
}

/// Answers with an error.
pub async fn own(worker: &Rc<Worker>, down: &mut Down<'_>, error: ErrorKind, story: &mut Story<'_>) {
    let answer = answer(error);
    story.status = answer.status;
    if error == ErrorKind::ClientGone {
        return down.abort();
    }
    worker.counters().answered(&answer);
    let text = format!("{}\n", answer.text);
    let status = format!("causeway; error={}; details=\"{}\"", answer.reason, details(error, &answer));
    let mut head = worker.take_response_head();
    let fields: [(&[u8], &[u8]); 2] =
        [(b"Content-Type", b"text/plain; charset=utf-8"), (b"Proxy-Status", status.as_bytes())];
    // A request whose body is not clear leaves the connection unclear.
    let close =
        matches!(error, ErrorKind::BadRequestBody | ErrorKind::BodyTooLarge | ErrorKind::ClientTimeout);
    let sent = send(down, &mut head, answer.status, &fields, text.as_bytes(), close, story).await;
    worker.give_response_head(head);
    if sent.is_err() {
        down.abort();
    }
}

/// Answers with a redirect.
pub async fn redirect(
    worker: &Rc<Worker>,
    down: &mut Down<'_>,
    status: u16,
    location: &[u8],
    story: &mut Story<'_>,
) -> Result<(), ErrorKind> {
    story.status = status;
    let mut head = worker.take_response_head();
    let sent = send(down, &mut head, status, &[(b"Location", location)], b"", false, story).await;
    worker.give_response_head(head);
    sent
}

/// What a person reads in `Proxy-Status`.
fn details(error: ErrorKind, answer: &Answer) -> &'static str {
    match error {
        ErrorKind::BadResponse(what) => what,
        _ => answer.text,
    }
}

async fn send(
    down: &mut Down<'_>,
    head: &mut ResponseHead,
    status: u16,
    fields: &[(&[u8], &[u8])],
    body: &[u8],
    close: bool,
    story: &mut Story<'_>,
) -> Result<(), ErrorKind> {
    let gone = |_| ErrorKind::ClientGone;
    // As from HTTP/2, which has no reason phrase: the codec then writes the usual one.
    head.begin(status, Version::Http2).map_err(|_| ErrorKind::ClientGone)?;
    for (name, value) in fields {
        head.push(name, value).map_err(|_| ErrorKind::ClientGone)?;
    }
    // RFC 9110 section 6.6.1: who has a clock dates its answers.
    let date = httpdate::fmt_http_date(SystemTime::now());
    head.push(b"Date", date.as_bytes()).map_err(|_| ErrorKind::ClientGone)?;
    head.framing = Framing::Length(body.len() as u64);
    down.respond(head, Response { extra: &[], close }).map_err(gone)?;
    let timer = down.timer();
    timer.set(Some(timer.now() + PATIENCE));
    let mut left = if story.head_request { &[][..] } else { body };
    let work = std::future::poll_fn(|cx| {
        while !left.is_empty() {
            let n = ready!(down.poll_write(cx, left)).map_err(gone)?;
            left = &left[n..];
            story.bytes_out += n as u64;
        }
        down.finish(None).map_err(gone)?;
        down.poll_flush(cx).map_err(gone)
    });
    timer.guard(work).await.unwrap_or(Err(ErrorKind::ClientGone))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_map_to_the_statuses_that_operators_expect() {
        for (error, status) in [
            (ErrorKind::NoRoute, 404),
            (ErrorKind::BodyTooLarge, 413),
            (ErrorKind::BadRequestBody, 400),
            (ErrorKind::NoBackend, 500),
            (ErrorKind::BadResponse(""), 502),
            (ErrorKind::ConnectFailed, 503),
            (ErrorKind::Reset, 503),
            (ErrorKind::Overloaded(LimitKind::Pending), 503),
            (ErrorKind::NoEndpoint, 503),
            (ErrorKind::TryTimeout, 504),
            (ErrorKind::Deadline, 504),
        ] {
            assert_eq!(answer(error).status, status, "{error:?}");
        }
    }
}
