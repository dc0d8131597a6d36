//! Heads that came by HTTP/2, held to the same rules as parsed ones (RFC 9113 section 8).
//!
//! The `h2` crate has checked the framing layer; what is checked again here is what would change its
//! meaning when written as HTTP/1.1: the classes of octets in the pseudo-header fields, agreement of
//! `:authority` and `Host`, connection-specific fields, and the body's length.

use crate::class;
use crate::error::{Fault, RequestError, ResponseError};
use crate::fields::append;
use crate::head::{Framing, Method, RequestHead, RequestKind, ResponseHead, Scheme, Version};
use crate::known::Known;
use crate::parse::{authority, framing, target};

/// The pseudo-header fields of an HTTP/2 request (RFC 9113 section 8.3.1).
#[derive(Debug, Clone, Copy, Default)]
pub struct H2Request<'a> {
    /// `:method`
    pub method: &'a [u8],
    /// `:scheme`; `http` and `https` are taken, any other is refused.
    pub scheme: Option<&'a [u8]>,
    /// `:authority`
    pub authority: Option<&'a [u8]>,
    /// `:path`, with the query.
    pub path: Option<&'a [u8]>,
    /// `:protocol` of an extended CONNECT (RFC 8441 section 4).
    pub protocol: Option<&'a [u8]>,
}

/// Connection-specific fields, which make an HTTP/2 message malformed (RFC 9113 section 8.2.2).
const CONNECTION_SPECIFIC: u64 = 1 << Known::Connection as u64
    | 1 << Known::KeepAlive as u64
    | 1 << Known::ProxyConnection as u64
    | 1 << Known::TransferEncoding as u64
    | 1 << Known::Upgrade as u64;

impl RequestHead {
    /// Begins a head that came by HTTP/2. Push its fields next, then call [`Self::finish_h2`].
    ///
    /// An extended CONNECT is turned into what it is in HTTP/1.1 (RFC 8441 section 5): a GET with
    /// [`upgrade`](Self::upgrade) set, so that routes see a WebSocket as one thing.
    ///
    /// # Errors
    /// [`RequestError::H2Pseudo`] for missing, superfluous or unknown parts, else as for HTTP/1.1.
    pub fn begin_h2(&mut self, request: &H2Request<'_>) -> Result<(), RequestError> {
        self.clear();
        self.version = Version::Http2;
        self.persistent = true;
        if !class::is_token(request.method) {
            return Err(RequestError::Method);
        }
        self.method = Method::of(request.method);
        let mut name = request.method;
        if request.protocol.is_some() {
            if self.method != Method::Connect {
                return Err(RequestError::H2Pseudo);
            }
            (self.method, name) = (Method::Get, b"GET");
        }
        // `METHOD SP target`, as in a request line: the serializer then copies both in one piece.
        self.method_span = append(&mut self.bytes, name)?;
        self.bytes.push(b' ');
        let raw = match (self.method, request.path, request.authority) {
            (Method::Connect, None, Some(authority)) if request.scheme.is_none() => authority,
            (Method::Connect, ..) | (_, None, _) => return Err(RequestError::H2Pseudo),
            (_, Some(path), _) if path.starts_with(b"/") || path == b"*" => path,
            _ => return Err(RequestError::Target),
        };
        let raw = append(&mut self.bytes, raw)?;
        self.target = target::parse(&self.bytes, raw, self.method)?;
        self.target.scheme = match request.scheme {
            None if self.method == Method::Connect => None,
            Some(scheme) if scheme.eq_ignore_ascii_case(b"http") => Some(Scheme::Http),
            Some(scheme) if scheme.eq_ignore_ascii_case(b"https") => Some(Scheme::Https),
            _ => return Err(RequestError::H2Pseudo),
        };
        if let Some(authority) = request.authority {
            authority::check(authority)?;
            self.host = append(&mut self.bytes, authority)?;
            self.target.authority = Some(self.host);
        }
        if let Some(protocol) = request.protocol {
            // `h2c` would be a tunnel past the proxy's own rules: see `RequestHead::upgrade`.
            if !class::is_token(protocol) || protocol.eq_ignore_ascii_case(b"h2c") {
                return Err(RequestError::H2Pseudo);
            }
            self.upgrade = Some(append(&mut self.bytes, protocol)?);
        }
        Ok(())
    }

    /// Ends a head begun with [`Self::begin_h2`]: settles host, framing, `Expect` and `TE`, and joins
    /// `Cookie` fields to one (RFC 9113 section 8.2.3). `end_of_stream`: no body follows.
    ///
    /// # Errors
    /// [`RequestError::H2ConnectionField`], [`RequestError::HostMismatch`], and as for HTTP/1.1.
    pub fn finish_h2(&mut self, end_of_stream: bool) -> Result<(), RequestError> {
        if self.present & CONNECTION_SPECIFIC != 0 {
            return Err(RequestError::H2ConnectionField);
        }
        if self.get_all(Known::Te).any(|te| !te.eq_ignore_ascii_case(b"trailers")) {
            return Err(RequestError::H2ConnectionField);
        }
        self.te_trailers = self.get(Known::Te).is_some();
        self.settle_h2_host()?;
        let length = framing::content_length(&self.bytes, &self.fields, self.present)?;
        self.framing = h2_framing(length, end_of_stream)?;
        if self.upgrade.is_some() {
            // What follows is the tunnel's, and a length of it would mean nothing behind it.
            self.framing = Framing::None;
            self.remove(Known::ContentLength);
        }
        self.expect_continue = !self.framing.is_empty()
            && self.get(Known::Expect).is_some_and(|expect| expect.eq_ignore_ascii_case(b"100-continue"));
        self.join_cookies()?;
        self.mark_hop_by_hop()?;
        Ok(())
    }

    fn settle_h2_host(&mut self) -> Result<(), RequestError> {
        let mut lines = self.fields.iter().filter(|field| field.known == Known::Host);
        let (line, second) = (lines.next().map(|field| field.value), lines.next());
        if second.is_some() {
            return Err(RequestError::DuplicateHost);
        }
        match (self.target.authority, line) {
            (Some(_), None) => Ok(()),
            (Some(authority), Some(line)) => {
                let same = self.slice(authority).eq_ignore_ascii_case(self.slice(line));
                if same { Ok(()) } else { Err(RequestError::HostMismatch) }
            }
            (None, Some(line)) => {
                authority::check(self.slice(line))?;
                self.host = line;
                Ok(())
            }
            (None, None) => Err(RequestError::MissingHost),
        }
    }

    fn join_cookies(&mut self) -> Result<(), Fault> {
        if self.get_all(Known::Cookie).nth(1).is_none() {
            return Ok(());
        }
        let mut joined = Vec::new();
        for cookie in self.get_all(Known::Cookie) {
            if !joined.is_empty() {
                joined.extend_from_slice(b"; ");
            }
            joined.extend_from_slice(cookie);
        }
        self.set(b"cookie", &joined)
    }
}

impl ResponseHead {
    /// Ends a head that was begun with [`Self::begin`] and filled from an HTTP/2 response.
    /// `end_of_stream`: no body follows.
    ///
    /// # Errors
    /// [`ResponseError::H2ConnectionField`], and as for HTTP/1.1; 101 does not exist in HTTP/2
    /// (RFC 9113 section 8.6).
    pub fn finish_h2(&mut self, to: RequestKind, end_of_stream: bool) -> Result<(), ResponseError> {
        if self.present & CONNECTION_SPECIFIC != 0 {
            return Err(ResponseError::H2ConnectionField);
        }
        if self.status == 101 {
            return Err(ResponseError::UnexpectedUpgrade);
        }
        self.content_length = framing::content_length(&self.bytes, &self.fields, self.present)?;
        let success = (200..300).contains(&self.status);
        if success && (to.connect || to.upgrade) {
            self.tunnel = true;
            self.remove(Known::ContentLength);
        } else if self.status < 200 || self.status == 204 {
            self.remove(Known::ContentLength);
        } else if !to.head && self.status != 304 {
            self.framing = match h2_framing(self.content_length, end_of_stream)? {
                Framing::None => Framing::Length(0),
                framing => framing,
            };
        }
        self.mark_hop_by_hop()?;
        Ok(())
    }
}

/// RFC 9113 section 8.1.1: a length that the data does not add up to is malformed. While data flows the
/// `h2` crate counts; here the case without any is decided.
fn h2_framing(length: Option<u64>, end_of_stream: bool) -> Result<Framing, Fault> {
    match (length, end_of_stream) {
        (Some(0), _) => Ok(Framing::Length(0)),
        (Some(_), true) => Err(Fault::BadContentLength),
        (Some(length), false) => Ok(Framing::Length(length)),
        (None, true) => Ok(Framing::None),
        (None, false) => Ok(Framing::Chunked),
    }
}
