//! Request heads for the next hop.

use crate::class::{self, QUERY};
use crate::head::{Form, Framing, Method, RequestHead};
use crate::known::Known;
use crate::name::Name;
use crate::value::Value;
use crate::write::line;

/// How a request head is sent on.
#[derive(Debug, Clone, Copy)]
pub struct RequestOut<'a> {
    /// Path and query in place of the request's own. An octet that no target may have is sent
    /// percent-encoded.
    pub path: Option<&'a [u8]>,
    /// `Host` in place of the request's own authority.
    pub host: Option<&'a [u8]>,
    /// How the body will be framed. `UntilClose`, which no request can have, is taken as `Chunked`.
    pub framing: Framing,
    /// Ask for the upgrade that the request asks for ([`RequestHead::upgrade`]).
    pub upgrade: bool,
    /// Tell the upstream that no other request will follow.
    pub close: bool,
    /// Fields to add at the end: `Via`, `X-Forwarded-For`, trace context.
    pub extra: &'a [(Name, Value<'a>)],
}

impl<'a> RequestOut<'a> {
    /// As it came: own target and host, framing by the head, upgrade if asked for, nothing added.
    ///
    /// There is no `Default`: a body sent behind a head that announces none is a smuggled request.
    pub fn of(head: &RequestHead) -> RequestOut<'a> {
        let (framing, upgrade) = (head.framing, head.upgrade.is_some());
        RequestOut { path: None, host: None, framing, upgrade, close: false, extra: &[] }
    }
}

/// Appends the head of an HTTP/1.1 request to `out`.
///
/// The target is sent in origin form whatever its form was, except for CONNECT and `*`: the upstream is
/// an origin server (RFC 9112 section 3.2.1). `Host` comes first (RFC 9110 section 7.2) and is empty where
/// the request named none.
pub fn write_request(head: &RequestHead, out: &mut Vec<u8>, opts: &RequestOut<'_>) {
    out.reserve(head.bytes.len() + 128);
    request_line(head, out, opts);
    out.extend_from_slice(b" HTTP/1.1\r\nHost: ");
    out.extend_from_slice(opts.host.unwrap_or(head.host()));
    out.extend_from_slice(b"\r\n");

    let chunked = matches!(opts.framing, Framing::Chunked | Framing::UntilClose);
    // Without chunks no trailer will come.
    let skip = line::REWRITTEN | if chunked { 0 } else { 1 << Known::Trailer as u64 };
    line::copy(out, &head.bytes, &head.fields, skip, (0, 0));

    match opts.framing {
        Framing::None => {}
        Framing::Length(length) => {
            out.extend_from_slice(b"Content-Length: ");
            line::decimal(out, length);
            out.extend_from_slice(b"\r\n");
        }
        Framing::Chunked | Framing::UntilClose => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
    }
    let upgrade = if opts.upgrade { head.upgrade() } else { None };
    if upgrade.is_some() || head.te_trailers || opts.close {
        // RFC 9110 sections 7.8 and 10.1.4: Upgrade and TE must be nominated.
        let te = head.te_trailers.then_some("te");
        line::connection(out, &[upgrade.map(|_| "upgrade"), te, opts.close.then_some("close")]);
        if head.te_trailers {
            out.extend_from_slice(b"TE: trailers\r\n");
        }
        if let Some(upgrade) = upgrade {
            line::field(out, b"Upgrade", upgrade);
        }
    }
    line::extra(out, opts.extra);
    out.extend_from_slice(b"\r\n");
}

/// `method SP request-target`.
fn request_line(head: &RequestHead, out: &mut Vec<u8>, opts: &RequestOut<'_>) {
    let (method, target) = (head.method_span, head.target.raw);
    let adjacent = target.start == method.end + 1 && head.bytes.get(method.end as usize) == Some(&b' ');
    if opts.path.is_none() && head.target.form == Form::Origin && adjacent {
        out.extend_from_slice(head.bytes.get(method.start as usize..target.end as usize).unwrap_or_default());
        return;
    }
    out.extend_from_slice(head.method_name());
    out.push(b' ');
    match opts.path {
        _ if head.method == Method::Connect => out.extend_from_slice(head.slice(target)),
        Some(path) => encoded(out, path),
        None => out.extend_from_slice(head.path_and_query()),
    }
}

fn encoded(out: &mut Vec<u8>, path: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    if path.is_empty() {
        out.push(b'/');
    }
    for &c in path {
        if class::is(c, QUERY) {
            out.push(c);
        } else {
            out.extend_from_slice(&[b'%', HEX[(c >> 4) as usize], HEX[(c & 15) as usize]]);
        }
    }
}
