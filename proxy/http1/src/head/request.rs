//! The head of a request.

use crate::error::{Fault, RequestError};
use crate::fields::{Field, Span, append, impl_fields};
use crate::head::{Framing, RequestKind, Version};
use crate::parse::authority;
use crate::value::Value;

/// A request method. Case counts (RFC 9110 section 9.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Method {
    #[default]
    Get,
    Head,
    Post,
    Put,
    Delete,
    Connect,
    Options,
    Trace,
    Patch,
    /// Any other token: see [`RequestHead::method_name`].
    Other,
}

impl Method {
    #[inline]
    pub fn of(token: &[u8]) -> Method {
        match token {
            b"GET" => Method::Get,
            b"HEAD" => Method::Head,
            b"POST" => Method::Post,
            b"PUT" => Method::Put,
            b"DELETE" => Method::Delete,
            b"CONNECT" => Method::Connect,
            b"OPTIONS" => Method::Options,
            b"TRACE" => Method::Trace,
            b"PATCH" => Method::Patch,
            _ => Method::Other,
        }
    }

    /// The method asks only to read (RFC 9110 section 9.2.1).
    pub fn is_safe(self) -> bool {
        matches!(self, Method::Get | Method::Head | Method::Options | Method::Trace)
    }

    /// The method may be repeated (RFC 9110 section 9.2.2). An unknown one is not.
    pub fn is_idempotent(self) -> bool {
        self.is_safe() || matches!(self, Method::Put | Method::Delete)
    }
}

/// The four forms of a request target (RFC 9112 section 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Form {
    /// `/path?query`
    #[default]
    Origin,
    /// `http://host/path?query`
    Absolute,
    /// `host:port`, with CONNECT only.
    Authority,
    /// `*`, with OPTIONS only.
    Asterisk,
}

/// The scheme that an absolute target or an HTTP/2 request names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    Http,
    Https,
}

/// A request target in its parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Target {
    pub form: Form,
    /// The whole target as received; for HTTP/2, `:path`.
    pub raw: Span,
    /// The path alone: begins with `/` in the origin and absolute forms (an empty one has become `/`, or
    /// `*` for OPTIONS: RFC 9112 section 3.2.4), is `*` in the asterisk form, empty in the authority form.
    pub path: Span,
    /// What follows the `?`. It stands right behind the path: `path.end + 1 == query.start`.
    pub query: Option<Span>,
    /// The authority, where the target names one.
    pub authority: Option<Span>,
    /// The scheme, where the target names one.
    pub scheme: Option<Scheme>,
}

/// A request head. Its buffers are reused: `clear()` keeps their capacity, parsing clears first.
///
/// `fields` may be read freely; change them by [`push`](Self::push), [`set`](Self::set),
/// [`remove`](Self::remove) or by `drop`, since lookups keep an index of what is present.
#[derive(Debug, Clone, Default)]
pub struct RequestHead {
    /// The head as received, then whatever was pushed. All spans lie in it.
    pub bytes: Vec<u8>,
    pub fields: Vec<Field>,
    pub method: Method,
    /// The method's token.
    pub method_span: Span,
    pub target: Target,
    /// The authority that routing goes by and that is sent on: the target's where it names one
    /// (RFC 9112 section 3.2.2), else `Host`; empty in HTTP/1.0 without either.
    pub host: Span,
    pub version: Version,
    pub framing: Framing,
    /// The connection may carry another request after this one (RFC 9112 section 9.3).
    pub persistent: bool,
    /// The client waits for a `100 Continue` before it sends the body (RFC 9110 section 10.1.1).
    pub expect_continue: bool,
    /// The protocols of `Upgrade`, where `Connection` names it too, the version is HTTP/1.1 and `h2c` is
    /// not among them (RFC 9110 section 7.8; `h2c` went with RFC 9113 section 3.1, and a proxy that passes
    /// it on tunnels past its own rules); or `:protocol` (RFC 8441).
    pub upgrade: Option<Span>,
    /// The client takes trailers: `TE: trailers` (RFC 9110 section 10.1.4).
    pub te_trailers: bool,
    pub(crate) present: u64,
}

impl_fields!(RequestHead);

impl RequestHead {
    /// Empties the head and keeps its buffers.
    pub fn clear(&mut self) {
        let (mut bytes, mut fields) = (std::mem::take(&mut self.bytes), std::mem::take(&mut self.fields));
        bytes.clear();
        fields.clear();
        *self = RequestHead { bytes, fields, ..RequestHead::default() };
    }

    /// The method as spelled.
    pub fn method_name(&self) -> &[u8] {
        self.slice(self.method_span)
    }

    /// See [`RequestHead::host`].
    pub fn host(&self) -> &[u8] {
        self.slice(self.host)
    }

    /// [`Self::host`] as a value of a field: an authority holds less than that may.
    pub fn host_value(&self) -> Value<'_> {
        Value::checked(self.host())
    }

    /// The path without the query: see [`Target::path`].
    pub fn path(&self) -> &[u8] {
        self.slice(self.target.path)
    }

    /// The query without the `?`.
    pub fn query(&self) -> Option<&[u8]> {
        self.target.query.map(|span| self.slice(span))
    }

    /// What an origin server is asked for: path and query in one piece.
    pub fn path_and_query(&self) -> &[u8] {
        let end = self.target.query.unwrap_or(self.target.path).end;
        self.slice(Span { start: self.target.path.start, end })
    }

    /// Whether the client has announced a body that is not empty.
    pub fn has_body(&self) -> bool {
        !self.framing.is_empty()
    }

    /// What the parser of the response must know. `upgrade`: the request is sent on with its `Upgrade`.
    pub fn kind(&self, upgrade: bool) -> RequestKind {
        let (head, connect) = (self.method == Method::Head, self.method == Method::Connect);
        RequestKind { head, connect, upgrade: upgrade && self.upgrade.is_some() }
    }

    /// See [`RequestHead::upgrade`].
    pub fn upgrade(&self) -> Option<&[u8]> {
        self.upgrade.map(|span| self.slice(span))
    }

    /// Replaces the authority that routing and the upstream see.
    ///
    /// # Errors
    /// [`RequestError::Host`] if it is not `uri-host [":" port]`.
    pub fn set_host(&mut self, authority: &[u8]) -> Result<(), RequestError> {
        authority::check(authority)?;
        self.host = append(&mut self.bytes, authority)?;
        Ok(())
    }

    /// Drops what concerns this connection only (RFC 9110 section 7.6.1). Parsing and
    /// [`finish_h2`](Self::finish_h2) do it; so it is needed only after pushing what may be hop-by-hop.
    ///
    /// Always: `Connection`, `Keep-Alive`, `Proxy-Connection`, `TE`, `Transfer-Encoding`, `Upgrade`,
    /// `HTTP2-Settings`, `Proxy-Authorization`, `Proxy-Authenticate`. Where `Connection` nominates it: a
    /// field whose name the proxy does not know; the other [`Known`](crate::Known) ones cannot be
    /// nominated away, since an upstream would then decide without `X-Forwarded-For` or `Authorization`.
    ///
    /// # Errors
    /// [`Fault::ConnectionOptions`] if `Connection` names more options than a head may.
    pub fn mark_hop_by_hop(&mut self) -> Result<(), Fault> {
        super::hop::mark(&self.bytes, &mut self.fields, self.present).map(|_| ())
    }
}
