//! What a gRPC call has that other requests have not: a deadline for all of it, a status behind its body, and errors
//! that its caller understands. Only over HTTP/2, which is what gRPC is defined for.

use std::task::{Context, Poll, Waker};
use std::time::Duration;

use causeway_proxy_http1::{Known, RequestHead, ResponseHead, Trailers, Version};
use causeway_proxy_policy::{Tick, grpc};
use smallvec::SmallVec;

use super::attempt::Attempts;
use super::error::ErrorKind;
use super::respond;
use crate::http::exchange::{Down, Fill, Up};

/// A request that is a gRPC call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// When its caller gives up, by `grpc-timeout`: streams end then, too.
    pub ends: Option<Tick>,
}

impl Call {
    /// Looks whether a request is one. A `grpc-timeout` that can be read is taken out: each try says what is left.
    pub fn of(head: &mut RequestHead, now: Tick) -> Option<Call> {
        if head.version != Version::Http2 || !grpc::is_media_type(head.get(Known::ContentType)?) {
            return None;
        }
        let ends = head.get(Known::GrpcTimeout).and_then(grpc::timeout).map(|timeout| now + timeout);
        if ends.is_some() {
            head.remove(Known::GrpcTimeout);
        }
        Some(Call { ends })
    }
}

/// What a try was answered with.
#[derive(Clone, Copy)]
pub struct Answered {
    /// HTTP's status.
    pub status: u16,
    /// The code of gRPC, where the answer begins with it.
    pub grpc: Option<u8>,
}

impl Answered {
    /// The status that says that the upstream failed, if it did. `waited`: for the first byte, since the request's
    /// last one.
    pub fn failure(self, attempts: &Attempts<'_, '_>, waited: Duration) -> Option<u16> {
        let by_code = self.grpc.and_then(|code| grpc::failure(code, attempts.waited_long(waited)));
        by_code.or((self.status >= 500).then_some(self.status))
    }
}

/// The code that an answer begins with: in its head (Trailers-Only), or in trailers that came along with the head.
/// Nothing is waited for: of a stream, the head alone may be all there is for hours.
pub fn first_code(up: &mut Up, response: &ResponseHead) -> Option<u8> {
    if let Some(text) = response.get(Known::GrpcStatus) {
        return Some(grpc::status(text));
    }
    match up.poll_fill(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(Fill::End)) => trailing_code(up),
        _ => None,
    }
}

/// The code in the trailers of an answer that has ended.
pub fn trailing_code(up: &Up) -> Option<u8> {
    up.trailers()?.get(Known::GrpcStatus).map(grpc::status)
}

/// `grpc-timeout` for a try.
pub fn timeout_text(left: Duration) -> SmallVec<[u8; 16]> {
    let (number, unit) = grpc::timeout_parts(left);
    let mut text = SmallVec::from_slice(itoa::Buffer::new().format(number).as_bytes());
    text.push(unit);
    text
}

/// Ends an answer that has begun with what went wrong; a reset would say less. False if that cannot be said any
/// more.
pub fn end_with(down: &mut Down<'_>, error: ErrorKind) -> bool {
    let answer = respond::answer(error);
    let mut trailers = Trailers::default();
    let code = itoa::Buffer::new().format(grpc::of_http(answer.status)).to_owned();
    let told = trailers
        .push(b"grpc-status", code.as_bytes())
        .and_then(|()| trailers.push(b"grpc-message", answer.text.as_bytes()));
    told.is_ok() && down.finish(Some(&trailers)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use causeway_proxy_http1::{H2Request, Limits, parse_request};

    fn head(fields: &[(&str, &str)]) -> RequestHead {
        let mut head = RequestHead::default();
        let (method, path) = (&b"POST"[..], Some(&b"/s/m"[..]));
        let authority = Some(&b"a"[..]);
        head.begin_h2(&H2Request { method, scheme: Some(b"http"), authority, path, protocol: None }).unwrap();
        for (name, value) in fields {
            head.push(name.as_bytes(), value.as_bytes()).unwrap();
        }
        head.finish_h2(false).unwrap();
        head
    }

    #[test]
    fn a_deadline_is_taken_over_and_what_is_none_passes() {
        let grpc = ("content-type", "application/grpc");
        let mut with = head(&[grpc, ("grpc-timeout", "2S")]);
        let now = Tick::from_secs(5);
        assert_eq!(Call::of(&mut with, now), Some(Call { ends: Some(Tick::from_secs(7)) }));
        assert_eq!(with.get(Known::GrpcTimeout), None);
        let mut wrong = head(&[grpc, ("grpc-timeout", "soon")]);
        assert_eq!(Call::of(&mut wrong, now), Some(Call { ends: None }));
        assert_eq!(wrong.get(Known::GrpcTimeout), Some(&b"soon"[..]));
        assert_eq!(Call::of(&mut head(&[("content-type", "text/plain")]), now), None);
        assert_eq!(Call::of(&mut head(&[]), now), None);
    }

    #[test]
    fn http_1_has_no_grpc() {
        let mut head = RequestHead::default();
        let text =
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc\r\nContent-Length: 0\r\n\r\n";
        parse_request(text, &Limits::default(), &mut 0, &mut head).unwrap().unwrap();
        assert_eq!(Call::of(&mut head, Tick(1)), None);
    }

    #[test]
    fn what_is_left_is_said_in_grpcs_grammar() {
        assert_eq!(timeout_text(Duration::from_millis(1500)).as_slice(), b"1500000u");
        assert_eq!(timeout_text(Duration::ZERO).as_slice(), b"1n");
    }
}
