//! Message heads, whichever protocol they came by.

mod h2;
mod hop;
mod request;
mod response;

pub use h2::H2Request;
pub(crate) use hop::{HOP_BY_HOP, mark};
pub use request::{Form, Method, RequestHead, Scheme, Target};
pub use response::{RequestKind, ResponseHead};

/// The protocol version of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
pub enum Version {
    Http10,
    #[default]
    Http11,
    Http2,
}

/// How the end of a body is known (RFC 9112 section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Framing {
    /// There is no body.
    #[default]
    None,
    /// So many octets follow. `Length(0)` is told apart from `None`, because `Content-Length: 0` is to be
    /// sent on (RFC 9110 section 8.6).
    Length(u64),
    /// Chunks follow (RFC 9112 section 7.1); for a head from HTTP/2, a body of unknown length.
    Chunked,
    /// The body lasts until the connection ends. Responses only.
    UntilClose,
}

impl Framing {
    /// How the same body is framed towards a client of that version: HTTP/1.0 knows no chunks
    /// (RFC 9112 section 6.1), so there the end of the connection ends the body.
    pub fn for_version(self, version: Version) -> Framing {
        match (self, version) {
            (Framing::Chunked, Version::Http10) => Framing::UntilClose,
            (Framing::UntilClose, Version::Http11) => Framing::Chunked,
            (framing, _) => framing,
        }
    }

    /// Whether no octet of a body follows.
    pub fn is_empty(self) -> bool {
        matches!(self, Framing::None | Framing::Length(0))
    }
}
