//! Our own answers: the one table from an error to a status and a reason, and how they are sent.

use std::rc::Rc;
use std::task::ready;
use std::time::{Duration, SystemTime};

use causeway_proxy_http1::{Framing, RequestHead, Version};
use causeway_proxy_policy::grpc;
use smallvec::SmallVec;

use super::error::{ErrorKind, LimitKind, Why};
use super::rate_limit::seconds;
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
        // RFC 9110 section 15.5.20: the client may come back by another connection.
        NotAdmitted => (421, "http_request_denied", "CA", "the client certificate is not taken any more"),
        BadTarget => (400, "http_request_error", "BR", "the target cannot be sent to this upstream"),
        NoRoute => (404, "http_request_denied", "NR", "no route matches"),
        NoBackend => (500, "destination_not_found", "NB", "the matching route has no valid backend"),
        RateLimited => (429, "http_request_denied", "RL", "too many requests"),
        Injected(status) => (status, "proxy_internal_response", "FI", "a fault was injected on purpose"),
        NoEndpoint => (503, "destination_unavailable", "UH", "no healthy endpoint"),
        Shed(Why::InFlight) => {
            (503, "proxy_internal_response", "OM", "the proxy has too many requests under way")
        }
        Shed(Why::QueueTime) => (503, "proxy_internal_response", "OM", "the proxy is overloaded"),
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
        UpgradeFailed => (502, "http_upgrade_failed", "UP", "the upstream did not switch protocols"),
        NoTunnel => (501, "http_upgrade_failed", "NT", "the upstream's HTTP/2 takes no extended CONNECT"),
    };
    Answer { status, reason, flag, text }
}

/// Answers with an error.
pub async fn own(
    worker: &Rc<Worker>,
    down: &mut Down<'_>,
    request: &RequestHead,
    error: ErrorKind,
    story: &mut Story<'_>,
) {
    if error == ErrorKind::ClientGone {
        story.status = answer(error).status;
        story.grpc = story.grpc.map(|_| grpc::of_http(story.status));
        return down.abort();
    }
    if refusal(worker, down, request, error, &[], story).await.is_err() {
        down.abort();
    }
}

/// Sends the answer to an error, with these further fields.
pub async fn refusal(
    worker: &Rc<Worker>,
    down: &mut Down<'_>,
    request: &RequestHead,
    error: ErrorKind,
    more: &[(&[u8], &[u8])],
    story: &mut Story<'_>,
) -> Result<(), ErrorKind> {
    let answer = answer(error);
    worker.counters().answered(&answer);
    if story.grpc.is_some() {
        let code = grpc::of_http(answer.status);
        return Box::pin(self::grpc(worker, down, request, (code, error), more, story)).await;
    }
    let shed = matches!(error, ErrorKind::Shed(_));
    // There is no time for a second frame that says what `Proxy-Status` does.
    let text = if shed { String::new() } else { format!("{}\n", answer.text) };
    let status = proxy_status(error, &answer);
    let retry_after = match error {
        ErrorKind::Shed(Why::QueueTime) => down.rest(worker).map_or(1, |rest| seconds(rest).max(1)),
        _ => 1,
    };
    let mut number = itoa::Buffer::new();
    let mut fields: SmallVec<[(&[u8], &[u8]); 5]> = SmallVec::new();
    if !shed {
        fields.push((b"Content-Type", b"text/plain; charset=utf-8"));
    }
    fields.push((b"Proxy-Status", status.as_bytes()));
    fields.extend_from_slice(more);
    if shed {
        fields.push((b"Retry-After", number.format(retry_after).as_bytes()));
    }
    // A request whose body is not clear leaves the connection unclear; a client that is not taken must begin anew.
    let close = matches!(
        error,
        ErrorKind::BadRequestBody
            | ErrorKind::BodyTooLarge
            | ErrorKind::ClientTimeout
            | ErrorKind::NotAdmitted
    );
    let reply = Reply { status: answer.status, fields: &fields, body: text.as_bytes(), close };
    send(worker, down, request, reply, story).await
}

/// Answers a gRPC call with an error: HTTP 200 and a head that is all there is ("Trailers-Only" of gRPC over HTTP/2),
/// since of other statuses a caller sees hardly more than that they are none.
pub async fn grpc(
    worker: &Rc<Worker>,
    down: &mut Down<'_>,
    request: &RequestHead,
    (code, error): (u8, ErrorKind),
    more: &[(&[u8], &[u8])],
    story: &mut Story<'_>,
) -> Result<(), ErrorKind> {
    let answer = answer(error);
    story.grpc = Some(code);
    let (code, proxy_status) = (code.to_string(), proxy_status(error, &answer));
    let mut fields: SmallVec<[(&[u8], &[u8]); 8]> = SmallVec::new();
    fields.push((b"Content-Type", b"application/grpc"));
    fields.push((b"grpc-status", code.as_bytes()));
    fields.push((b"grpc-message", answer.text.as_bytes()));
    fields.push((b"Proxy-Status", proxy_status.as_bytes()));
    fields.extend_from_slice(more);
    send(worker, down, request, Reply { status: 200, fields: &fields, ..Reply::default() }, story).await
}

/// Answers with a redirect.
pub async fn redirect(
    worker: &Rc<Worker>,
    down: &mut Down<'_>,
    request: &RequestHead,
    (status, location): (u16, &[u8]),
    story: &mut Story<'_>,
) -> Result<(), ErrorKind> {
    let reply = Reply { status, fields: &[(b"Location", location)], ..Reply::default() };
    send(worker, down, request, reply, story).await
}

/// RFC 9209.
fn proxy_status(error: ErrorKind, answer: &Answer) -> String {
    format!("causeway; error={}; details=\"{}\"", answer.reason, details(error, answer))
}

/// What a person reads in `Proxy-Status`.
fn details(error: ErrorKind, answer: &Answer) -> &'static str {
    match error {
        ErrorKind::BadResponse(what) => what,
        _ => answer.text,
    }
}

/// An answer of our own.
#[derive(Clone, Copy, Default)]
pub struct Reply<'a> {
    pub status: u16,
    pub fields: &'a [(&'a [u8], &'a [u8])],
    pub body: &'a [u8],
    /// The connection ends with it.
    pub close: bool,
}

/// Sends an answer of our own to `request`.
pub async fn send(
    worker: &Rc<Worker>,
    down: &mut Down<'_>,
    request: &RequestHead,
    reply: Reply<'_>,
    story: &mut Story<'_>,
) -> Result<(), ErrorKind> {
    let gone = |_| ErrorKind::ClientGone;
    story.status = reply.status;
    respond(worker, down, request, &reply, story)?;
    let timer = down.timer();
    timer.set(Some(timer.now() + PATIENCE));
    let mut left = if story.head_request { &[][..] } else { reply.body };
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

/// Queues the head. It fails where the client has left, or (never so far) the head is none.
fn respond(
    worker: &Rc<Worker>,
    down: &mut Down<'_>,
    request: &RequestHead,
    reply: &Reply<'_>,
    story: &Story<'_>,
) -> Result<(), ErrorKind> {
    let bad = |_| ErrorKind::ClientGone;
    let mut head = worker.take_response_head();
    // As from HTTP/2, which has no reason phrase: the codec then writes the usual one.
    head.begin(reply.status, Version::Http2).map_err(|_| ErrorKind::ClientGone)?;
    for (name, value) in reply.fields {
        head.push(name, value).map_err(bad)?;
    }
    // RFC 9110 section 6.6.1: who has a clock dates its answers.
    let date = httpdate::fmt_http_date(SystemTime::now());
    head.push(b"Date", date.as_bytes()).map_err(bad)?;
    if let Some(cors) = story.rule.and_then(|rule| rule.extras.as_ref()?.cors.as_ref()) {
        cors.mark(request, &mut head);
    }
    head.framing = match story.grpc {
        // The head ends the stream.
        Some(_) if reply.body.is_empty() => Framing::None,
        _ => Framing::Length(reply.body.len() as u64),
    };
    let sent = down.respond(&head, Response { extra: &[], close: reply.close });
    worker.give_response_head(head);
    sent.map_err(|_| ErrorKind::ClientGone)
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
            (ErrorKind::RateLimited, 429),
            (ErrorKind::Injected(418), 418),
            (ErrorKind::BadResponse(""), 502),
            (ErrorKind::ConnectFailed, 503),
            (ErrorKind::Reset, 503),
            (ErrorKind::Overloaded(LimitKind::Pending), 503),
            (ErrorKind::NoEndpoint, 503),
            (ErrorKind::Shed(Why::QueueTime), 503),
            (ErrorKind::TryTimeout, 504),
            (ErrorKind::Deadline, 504),
            (ErrorKind::UpgradeFailed, 502),
            (ErrorKind::NoTunnel, 501),
        ] {
            assert_eq!(answer(error).status, status, "{error:?}");
        }
    }

    #[test]
    fn grpc_callers_are_told_the_code_that_their_libraries_would_choose() {
        for (error, code) in [
            (ErrorKind::NoRoute, grpc::UNIMPLEMENTED),
            (ErrorKind::BodyTooLarge, grpc::RESOURCE_EXHAUSTED),
            (ErrorKind::ConnectFailed, grpc::UNAVAILABLE),
            (ErrorKind::BadResponse(""), grpc::UNAVAILABLE),
            (ErrorKind::NoEndpoint, grpc::UNAVAILABLE),
            (ErrorKind::TryTimeout, grpc::DEADLINE_EXCEEDED),
            (ErrorKind::Deadline, grpc::DEADLINE_EXCEEDED),
            (ErrorKind::ClientGone, grpc::CANCELLED),
        ] {
            let answer = answer(error);
            assert_eq!(grpc::of_http(answer.status), code, "{error:?}");
            let plain = |c: u8| (b' '..=b'~').contains(&c) && c != b'%';
            assert!(answer.text.bytes().all(plain), "{error:?}: grpc-message is percent-encoded");
        }
    }
}
