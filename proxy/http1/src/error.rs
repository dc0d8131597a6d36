//! Every way in which a message is refused, with the section that says it may or must be.
//!
//! A refusal in a request is the client's fault: answer [`RequestError::status`] and close, since the
//! place where the next message begins is no longer known. A refusal in a response is the upstream's: it
//! becomes our 502, and that upstream connection is not used again.

use std::fmt;

/// What is refused alike in requests, responses and trailer sections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// A line that ends in LF without CR. RFC 9112 section 2.2 allows it to be taken as a line end; two
    /// recipients that differ in it can be made to see different messages, so it is refused.
    BareLf,
    /// A CR that no LF follows (RFC 9112 section 2.2: invalid).
    BareCr,
    /// A field line continued on the next line (RFC 9112 section 5.2), or white space between the start
    /// line and the first field (section 2.2).
    ObsFold,
    /// Empty field name, or an octet in it that is no `tchar` (RFC 9110 sections 5.1, 5.6.2).
    FieldName,
    /// White space between field name and colon (RFC 9112 section 5.1: a server must refuse it).
    SpaceBeforeColon,
    /// A control octet in a field value: NUL, DEL or another but HTAB (RFC 9110 section 5.5).
    FieldValue,
    /// The head is longer than the limit (RFC 6585 section 5).
    TooLarge,
    /// More field lines than the limit (RFC 6585 section 5).
    TooMany,
    /// `Content-Length` that is not `1*DIGIT` up to 2^63 - 1: a sign, a list, empty, too large
    /// (RFC 9110 section 8.6, RFC 9112 section 6.3).
    BadContentLength,
    /// More than one `Content-Length` line, even if they agree (RFC 9110 section 8.6 permits refusal).
    DuplicateContentLength,
    /// Both `Transfer-Encoding` and `Content-Length` (RFC 9112 section 6.3: "ought to be handled as an error").
    LengthAndCoding,
    /// `Transfer-Encoding` in which `chunked` is not the last coding, or stands twice, or which is not a
    /// list of codings (RFC 9112 sections 6.1, 6.3, 7.1: a server must answer 400).
    BadTransferEncoding,
    /// More than one `Transfer-Encoding` line: implementations differ in which of them counts.
    DuplicateTransferEncoding,
    /// A well-formed `Transfer-Encoding` with a coding besides `chunked` (RFC 9112 section 6.1: 501).
    UnknownCoding,
    /// `Transfer-Encoding` in an HTTP/1.0 message (RFC 9112 section 6.1: faulty framing).
    CodingInHttp10,
    /// More than [`Known::MAX_CONNECTION_OPTIONS`](crate::Known::MAX_CONNECTION_OPTIONS) connection
    /// options: each is compared with each field, and that product is bounded here.
    ConnectionOptions,
}

impl Fault {
    /// What to tell people, without a full stop.
    pub fn reason(self) -> &'static str {
        match self {
            Fault::BareLf => "line ends in LF without CR",
            Fault::BareCr => "CR without LF",
            Fault::ObsFold => "folded field line",
            Fault::FieldName => "invalid field name",
            Fault::SpaceBeforeColon => "white space before colon",
            Fault::FieldValue => "control octet in field value",
            Fault::TooLarge => "head too large",
            Fault::TooMany => "too many fields",
            Fault::BadContentLength => "invalid Content-Length",
            Fault::DuplicateContentLength => "more than one Content-Length",
            Fault::LengthAndCoding => "both Content-Length and Transfer-Encoding",
            Fault::BadTransferEncoding => "invalid Transfer-Encoding",
            Fault::DuplicateTransferEncoding => "more than one Transfer-Encoding",
            Fault::UnknownCoding => "unsupported transfer coding",
            Fault::CodingInHttp10 => "Transfer-Encoding in HTTP/1.0",
            Fault::ConnectionOptions => "too many connection options",
        }
    }
}

/// Why a request head was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RequestError {
    /// A fault in fields or framing.
    Head(Fault),
    /// The method is empty or no token (RFC 9110 section 9.1, RFC 9112 section 3.1).
    Method,
    /// Not `method SP request-target SP HTTP-version CRLF` (RFC 9112 section 3).
    RequestLine,
    /// A line of three words of which the last is not `HTTP/...`: another protocol, or a broken preface of HTTP/2
    /// (RFC 9113 section 3.4). As the first thing on a connection it is best not answered at all.
    Protocol,
    /// The request line is longer than the limit (RFC 9112 section 3, RFC 9110 section 15.5.15).
    LineTooLong,
    /// A version other than HTTP/1.0 and HTTP/1.1 (RFC 9110 section 15.6.6).
    Version,
    /// The request target holds an octet that no URI holds (space, control, non-ASCII), a fragment, or a
    /// backslash in its path; or it has none of the four forms (RFC 9112 section 3.2, RFC 3986 section 3).
    Target,
    /// `*` with a method other than OPTIONS (RFC 9112 section 3.2.4).
    AsteriskForm,
    /// CONNECT without, or another method with, the authority form; or CONNECT without a valid port
    /// (RFC 9112 section 3.2.3, RFC 9110 section 9.3.6).
    AuthorityForm,
    /// No `Host` in an HTTP/1.1 request (RFC 9112 section 3.2).
    MissingHost,
    /// More than one `Host` line (RFC 9112 section 3.2).
    DuplicateHost,
    /// `Host`, `:authority` or the target's authority is empty or not `uri-host [":" port]`: user
    /// information, spaces, a port above 65535 (RFC 9110 sections 4.2.1, 4.2.4, 7.2).
    Host,
    /// `Host` and `:authority` of an HTTP/2 request differ (RFC 9113 section 8.3.1).
    HostMismatch,
    /// A connection-specific field in an HTTP/2 request (RFC 9113 section 8.2.2).
    H2ConnectionField,
    /// Missing or contradictory pseudo-header fields (RFC 9113 section 8.3.1, RFC 8441 section 4).
    H2Pseudo,
}

impl RequestError {
    /// The status to answer with, before the connection is closed.
    pub fn status(self) -> u16 {
        match self {
            RequestError::LineTooLong => 414,
            RequestError::Version => 505,
            RequestError::Head(Fault::TooLarge | Fault::TooMany) => 431,
            RequestError::Head(Fault::UnknownCoding) => 501,
            _ => 400,
        }
    }

    /// What to tell people, without a full stop.
    pub fn reason(self) -> &'static str {
        match self {
            RequestError::Head(fault) => fault.reason(),
            RequestError::Method => "invalid method",
            RequestError::RequestLine => "malformed request line",
            RequestError::Protocol => "not HTTP",
            RequestError::LineTooLong => "request line too long",
            RequestError::Version => "unsupported HTTP version",
            RequestError::Target => "invalid request target",
            RequestError::AsteriskForm => "asterisk target without OPTIONS",
            RequestError::AuthorityForm => "authority target and CONNECT must go together",
            RequestError::MissingHost => "missing Host",
            RequestError::DuplicateHost => "more than one Host",
            RequestError::Host => "invalid Host",
            RequestError::HostMismatch => "Host and :authority differ",
            RequestError::H2ConnectionField => "connection-specific field in HTTP/2",
            RequestError::H2Pseudo => "invalid pseudo-header fields",
        }
    }
}

/// Why a response head was refused. What the client gets is a 502.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ResponseError {
    /// A fault in fields or framing.
    Head(Fault),
    /// Not `HTTP-version SP 3DIGIT [SP reason] CRLF` (RFC 9112 section 4).
    StatusLine,
    /// A version other than HTTP/1.0 and HTTP/1.1 (RFC 9112 section 2.3).
    Version,
    /// A status outside 100 to 599 (RFC 9110 section 15: invalid, to be handled as a 5xx).
    Status,
    /// 101 to a request that offered no upgrade, or without `Upgrade`, or in HTTP/1.0 (RFC 9110
    /// sections 7.8, 15.2.2).
    UnexpectedUpgrade,
    /// A connection-specific field in an HTTP/2 response (RFC 9113 section 8.2.2).
    H2ConnectionField,
}

impl ResponseError {
    /// What to tell people, without a full stop.
    pub fn reason(self) -> &'static str {
        match self {
            ResponseError::Head(fault) => fault.reason(),
            ResponseError::StatusLine => "malformed status line",
            ResponseError::Version => "unsupported HTTP version",
            ResponseError::Status => "invalid status code",
            ResponseError::UnexpectedUpgrade => "unexpected 101",
            ResponseError::H2ConnectionField => "connection-specific field in HTTP/2",
        }
    }
}

/// Why a body was refused. Part of it may have been passed on: the message must be cut off, never ended
/// as if it were whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BodyError {
    /// The chunk size is not `1*HEXDIG` followed by CR or `;`: a sign, `0x`, a space, nothing, or another
    /// octet (RFC 9112 section 7.1).
    ChunkSize,
    /// The chunk size has more than 16 digits or is above 2^63 - 1 (RFC 9112 section 7.1: recipients must
    /// anticipate large numbers).
    ChunkSizeOverflow,
    /// A chunk line that ends in LF without CR, or a CR that no LF follows (RFC 9112 sections 2.2, 7.1).
    ChunkLineEnd,
    /// A control octet in a chunk extension (RFC 9112 section 7.1.1).
    ChunkExtension,
    /// More octets of chunk extensions than allowed (RFC 9112 section 7.1.1: to be limited).
    ChunkExtensionTooLong,
    /// Chunk data that is not followed by CRLF (RFC 9112 section 7.1).
    ChunkDataEnd,
    /// A malformed or too large trailer section (RFC 9112 section 7.1.2).
    Trailer(Fault),
    /// A trailer field that frames or routes: `Content-Length`, `Transfer-Encoding`, `Host` (RFC 9110
    /// section 6.5.1).
    ForbiddenTrailer,
    /// The connection ended before the body did (RFC 9112 section 8).
    Truncated,
}

impl BodyError {
    /// The status to answer with if it is the request's body and nothing has been answered yet.
    pub fn status(self) -> u16 {
        match self {
            BodyError::Trailer(Fault::TooLarge | Fault::TooMany) => 431,
            _ => 400,
        }
    }

    /// What to tell people, without a full stop.
    pub fn reason(self) -> &'static str {
        match self {
            BodyError::ChunkSize => "invalid chunk size",
            BodyError::ChunkSizeOverflow => "chunk size too large",
            BodyError::ChunkLineEnd => "chunk line does not end in CRLF",
            BodyError::ChunkExtension => "control octet in chunk extension",
            BodyError::ChunkExtensionTooLong => "chunk extensions too long",
            BodyError::ChunkDataEnd => "chunk data not followed by CRLF",
            BodyError::Trailer(fault) => fault.reason(),
            BodyError::ForbiddenTrailer => "forbidden trailer field",
            BodyError::Truncated => "body ends early",
        }
    }
}

impl From<Fault> for RequestError {
    fn from(fault: Fault) -> Self {
        RequestError::Head(fault)
    }
}

impl From<Fault> for ResponseError {
    fn from(fault: Fault) -> Self {
        ResponseError::Head(fault)
    }
}

macro_rules! display_as_reason {
    ($($error:ty),*) => {$(
        impl fmt::Display for $error {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.reason())
            }
        }

        impl std::error::Error for $error {}
    )*};
}
display_as_reason!(Fault, RequestError, ResponseError, BodyError);
