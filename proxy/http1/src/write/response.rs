//! Response heads for the client, those of upstreams and our own.

use crate::head::{Framing, ResponseHead, Version};
use crate::known::Known;
use crate::name::Name;
use crate::value::Value;
use crate::write::line;

/// The interim response that asks for the body (RFC 9110 section 15.2.1).
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// How a response head is sent on.
#[derive(Debug, Clone, Copy)]
pub struct ResponseOut<'a> {
    /// How the body will be framed. `None` writes no framing field but keeps a `Content-Length`, which is
    /// what HEAD and 304 need. `Chunked` to an HTTP/1.0 client is taken as `UntilClose`: convert it by
    /// [`Framing::for_version`] so that the body is written to match.
    pub framing: Framing,
    /// The connection closes after this response. Implied by `UntilClose`.
    pub close: bool,
    /// The client's version.
    pub version: Version,
    /// Fields to add at the end: `Via`, `Date`, a cookie.
    pub extra: &'a [(Name, Value<'a>)],
}

impl<'a> ResponseOut<'a> {
    /// The response as it came, framed for a client of that version; `close` as said.
    pub fn of(head: &ResponseHead, version: Version, close: bool) -> ResponseOut<'a> {
        ResponseOut { framing: head.framing.for_version(version), close, version, extra: &[] }
    }
}

/// Appends a response head to `out`, as HTTP/1.1 whatever the client's version is (RFC 9110 section 6.2).
///
/// Interim responses get no `Connection`; they must not be sent to an HTTP/1.0 client at all (RFC 9110
/// section 15.2). `Upgrade` is written to a 101 and a 426.
pub fn write_response(head: &ResponseHead, out: &mut Vec<u8>, opts: &ResponseOut<'_>) {
    out.reserve(head.bytes.len() + 128);
    let framing = match (opts.framing, opts.version) {
        // RFC 9112 section 6.1, RFC 9110 section 8.6: neither field may be here.
        _ if head.status < 200 || head.status == 204 => Framing::None,
        (Framing::Chunked, Version::Http10) => Framing::UntilClose,
        (framing, _) => framing,
    };
    let mut skip = line::REWRITTEN;
    if framing == Framing::None {
        skip &= !Known::ContentLength.bit();
    }
    if framing != Framing::Chunked {
        skip |= Known::Trailer.bit();
    }
    let run = status_line(head, out);
    line::copy(out, &head.bytes, &head.fields, skip, run);
    match framing {
        Framing::None | Framing::UntilClose => {}
        Framing::Length(length) => {
            out.extend_from_slice(b"Content-Length: ");
            line::decimal(out, length);
            out.extend_from_slice(b"\r\n");
        }
        Framing::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
    }
    if !head.is_interim() {
        let upgrade = head.upgrade();
        let close = (opts.close || framing == Framing::UntilClose) && head.status != 101;
        let keep = !close && opts.version == Version::Http10;
        if upgrade.is_some() || close || keep {
            let persistence = if close { Some("close") } else { keep.then_some("keep-alive") };
            line::connection(out, &[upgrade.map(|_| "upgrade"), persistence]);
            if let Some(upgrade) = upgrade {
                line::field(out, b"Upgrade", upgrade);
            }
        }
    }
    line::extra(out, opts.extra);
    out.extend_from_slice(b"\r\n");
}

/// Writes the status line, or says where in the head's octets it stands as it is to be written.
fn status_line(head: &ResponseHead, out: &mut Vec<u8>) -> (usize, usize) {
    let end = head.reason.end as usize;
    let as_received = head.version == Version::Http11
        && head.reason.start == 13
        && head.bytes.starts_with(b"HTTP/1.1 ")
        && head.bytes.get(end..end + 2) == Some(b"\r\n")
        && parsed_status(&head.bytes) == Some(head.status);
    if as_received {
        return (0, end + 2);
    }
    let phrase = if head.version == Version::Http2 { reason_phrase(head.status) } else { head.reason() };
    own_status_line(out, head.status, phrase);
    (0, 0)
}

/// A filter may have changed `status`; then the line is written anew.
fn parsed_status(bytes: &[u8]) -> Option<u16> {
    let digits = bytes.get(9..12)?;
    Some(digits.iter().fold(0, |status, digit| status * 10 + u16::from(digit.wrapping_sub(b'0'))))
}

fn own_status_line(out: &mut Vec<u8>, status: u16, phrase: &[u8]) {
    out.extend_from_slice(b"HTTP/1.1 ");
    line::decimal(out, u64::from(status.clamp(100, 599)));
    out.push(b' ');
    out.extend_from_slice(phrase);
    out.extend_from_slice(b"\r\n");
}

/// Appends a whole response of our own: status line, `fields`, `Content-Length`, `body`.
///
/// To close the connection, give the field `Connection: close`.
pub fn write_own_response(out: &mut Vec<u8>, status: u16, fields: &[(&[u8], &[u8])], body: &[u8]) {
    write_own_head(out, status, fields, Some(body.len() as u64));
    out.extend_from_slice(body);
}

/// Appends the head of a response of our own; for HEAD, `length` is that of the body left out. 1xx and
/// 204 get no length (RFC 9110 section 8.6).
pub fn write_own_head(out: &mut Vec<u8>, status: u16, fields: &[(&[u8], &[u8])], length: Option<u64>) {
    own_status_line(out, status, reason_phrase(status));
    line::fields(out, fields);
    if let Some(length) = length.filter(|_| status >= 200 && status != 204) {
        out.extend_from_slice(b"Content-Length: ");
        line::decimal(out, length);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

/// The usual reason phrase of a status (the IANA registry of RFC 9110 section 16.2.1); empty where none
/// is registered.
pub fn reason_phrase(status: u16) -> &'static [u8] {
    match status {
        100 => b"Continue",
        101 => b"Switching Protocols",
        102 => b"Processing",
        103 => b"Early Hints",
        200 => b"OK",
        201 => b"Created",
        202 => b"Accepted",
        203 => b"Non-Authoritative Information",
        204 => b"No Content",
        205 => b"Reset Content",
        206 => b"Partial Content",
        207 => b"Multi-Status",
        208 => b"Already Reported",
        226 => b"IM Used",
        300 => b"Multiple Choices",
        301 => b"Moved Permanently",
        302 => b"Found",
        303 => b"See Other",
        304 => b"Not Modified",
        305 => b"Use Proxy",
        307 => b"Temporary Redirect",
        308 => b"Permanent Redirect",
        400 => b"Bad Request",
        401 => b"Unauthorized",
        402 => b"Payment Required",
        403 => b"Forbidden",
        404 => b"Not Found",
        405 => b"Method Not Allowed",
        406 => b"Not Acceptable",
        407 => b"Proxy Authentication Required",
        408 => b"Request Timeout",
        409 => b"Conflict",
        410 => b"Gone",
        411 => b"Length Required",
        412 => b"Precondition Failed",
        413 => b"Content Too Large",
        414 => b"URI Too Long",
        415 => b"Unsupported Media Type",
        416 => b"Range Not Satisfiable",
        417 => b"Expectation Failed",
        421 => b"Misdirected Request",
        422 => b"Unprocessable Content",
        423 => b"Locked",
        424 => b"Failed Dependency",
        425 => b"Too Early",
        426 => b"Upgrade Required",
        428 => b"Precondition Required",
        429 => b"Too Many Requests",
        431 => b"Request Header Fields Too Large",
        451 => b"Unavailable For Legal Reasons",
        500 => b"Internal Server Error",
        501 => b"Not Implemented",
        502 => b"Bad Gateway",
        503 => b"Service Unavailable",
        504 => b"Gateway Timeout",
        505 => b"HTTP Version Not Supported",
        506 => b"Variant Also Negotiates",
        507 => b"Insufficient Storage",
        508 => b"Loop Detected",
        511 => b"Network Authentication Required",
        _ => b"",
    }
}
