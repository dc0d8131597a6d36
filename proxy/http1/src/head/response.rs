//! The head of a response.

use crate::error::{Fault, ResponseError};
use crate::fields::{Field, Span, append, impl_fields};
use crate::head::{Framing, Version};

/// What must be known of the request to read its response (RFC 9112 section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct RequestKind {
    /// It was a HEAD: no body comes, whatever the fields say.
    pub head: bool,
    /// It was a CONNECT: a 2xx makes the connection a tunnel.
    pub connect: bool,
    /// It offered an upgrade: 101 is a valid answer.
    pub upgrade: bool,
}

impl RequestKind {
    /// A request that has none of these traits.
    pub const PLAIN: RequestKind = RequestKind { head: false, connect: false, upgrade: false };
    /// A HEAD request.
    pub const HEAD: RequestKind = RequestKind { head: true, connect: false, upgrade: false };
    /// A CONNECT request.
    pub const CONNECT: RequestKind = RequestKind { head: false, connect: true, upgrade: false };
    /// A request that was sent with `Upgrade`.
    pub const UPGRADE: RequestKind = RequestKind { head: false, connect: false, upgrade: true };
}

/// A response head. Its buffers are reused: `clear()` keeps their capacity, parsing clears first.
///
/// `fields` may be read freely; change them by [`push`](Self::push), [`set`](Self::set),
/// [`remove`](Self::remove) or by `drop`, since lookups keep an index of what is present.
#[derive(Debug, Clone, Default)]
pub struct ResponseHead {
    /// The head as received, then whatever was pushed. All spans lie in it.
    pub bytes: Vec<u8>,
    pub fields: Vec<Field>,
    /// 100 to 599.
    pub status: u16,
    /// The reason phrase, often empty. It has no meaning (RFC 9112 section 4).
    pub reason: Span,
    pub version: Version,
    pub framing: Framing,
    /// The connection may carry another response after this one (RFC 9112 section 9.3). False also where
    /// octets may follow that nobody announced: a 204 with `Content-Length: 5`.
    pub persistent: bool,
    /// `Content-Length` as received. For HEAD and 304 it tells the length that a GET would have had,
    /// while `framing` is `None`.
    pub content_length: Option<u64>,
    /// The protocols of `Upgrade` in a 101 (what was switched to) or a 426 (what is asked for).
    pub upgrade: Option<Span>,
    /// What follows is no longer HTTP: a 101, or a 2xx to a CONNECT.
    pub tunnel: bool,
    pub(crate) present: u64,
}

impl_fields!(ResponseHead);

impl ResponseHead {
    /// Empties the head and keeps its buffers.
    pub fn clear(&mut self) {
        let (mut bytes, mut fields) = (std::mem::take(&mut self.bytes), std::mem::take(&mut self.fields));
        bytes.clear();
        fields.clear();
        *self = ResponseHead { bytes, fields, ..ResponseHead::default() };
    }

    /// Begins a head that is not parsed: one of our own, or one that came by HTTP/2. Fields follow by
    /// [`push`](Self::push).
    ///
    /// # Errors
    /// [`ResponseError::Status`] outside 100 to 599.
    pub fn begin(&mut self, status: u16, version: Version) -> Result<(), ResponseError> {
        if !(100..600).contains(&status) {
            return Err(ResponseError::Status);
        }
        self.clear();
        self.status = status;
        self.version = version;
        self.persistent = true;
        Ok(())
    }

    /// 1xx but 101: another head of the same response follows (RFC 9110 section 15.2).
    pub fn is_interim(&self) -> bool {
        self.status < 200 && self.status != 101
    }

    /// The reason phrase as received.
    pub fn reason(&self) -> &[u8] {
        self.slice(self.reason)
    }

    /// See [`ResponseHead::upgrade`].
    pub fn upgrade(&self) -> Option<&[u8]> {
        self.upgrade.map(|span| self.slice(span))
    }

    /// Makes of an answer that accepts an extended CONNECT what says the same in HTTP/1.1 (RFC 8441 section 5): a 101
    /// to `protocol`.
    ///
    /// # Errors
    /// [`Fault::TooLarge`]
    pub fn switch_protocols(&mut self, protocol: &[u8]) -> Result<(), Fault> {
        self.upgrade = Some(append(&mut self.bytes, protocol)?);
        (self.status, self.tunnel) = (101, true);
        Ok(())
    }

    /// Drops what concerns this connection only: see [`crate::RequestHead::mark_hop_by_hop`].
    ///
    /// # Errors
    /// [`Fault::ConnectionOptions`] if `Connection` names more options than a head may.
    pub fn mark_hop_by_hop(&mut self) -> Result<(), Fault> {
        super::hop::mark(&self.bytes, &mut self.fields, self.present).map(|_| ())
    }
}
