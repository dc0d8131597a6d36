//! Which fields end at this hop (RFC 9110 section 7.6.1), one rule for HTTP/1.1 and HTTP/2.
//!
//! Dropped always: `Connection`, `Keep-Alive`, `Proxy-Connection`, `TE`, `Transfer-Encoding`, `Upgrade`
//! (section 7.6.1), `HTTP2-Settings` (RFC 9113 section 3.1), and `Proxy-Authorization` and
//! `Proxy-Authenticate`, which are meant for the next proxy alone (RFC 9110 sections 11.7.1, 11.7.2) and
//! that is us. `TE: trailers`, framing and upgrades are written anew by the serializer.
//!
//! Dropped where `Connection` nominates it: a field whose name the proxy does **not** know. Every other
//! [`Known`] field is meant for all recipients, and section 7.6.1 forbids nominating those; a client that
//! sends `Connection: X-Forwarded-For` or `Connection: Authorization` wants the upstream to decide without
//! what it is owed ("hop-by-hop header abuse"). Such a nomination is ignored, not refused: old clients
//! send `Connection: close, TE, Cookie2` and the like in good faith. A field that a filter pushes after
//! the head was read cannot be nominated away either, for nominations are applied once, when it is read.

use crate::class;
use crate::error::Fault;
use crate::fields::Field;
use crate::known::Known;

/// The [`Known`] bits of the fields that never pass.
pub(crate) const HOP_BY_HOP: u64 = 1 << Known::Connection as u64
    | 1 << Known::KeepAlive as u64
    | 1 << Known::ProxyConnection as u64
    | 1 << Known::Te as u64
    | 1 << Known::TransferEncoding as u64
    | 1 << Known::Upgrade as u64
    | 1 << Known::Http2Settings as u64
    | 1 << Known::ProxyAuthorization as u64
    | 1 << Known::ProxyAuthenticate as u64;

/// What `Connection` says beside nominations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct ConnectionOptions {
    pub close: bool,
    pub keep_alive: bool,
    pub upgrade: bool,
}

/// Drops what may not pass and reports the connection options.
pub(crate) fn mark(bytes: &[u8], fields: &mut [Field], present: u64) -> Result<ConnectionOptions, Fault> {
    let mut options = ConnectionOptions::default();
    if present & HOP_BY_HOP == 0 {
        return Ok(options);
    }
    let mut count = 0;
    for i in 0..fields.len() {
        if HOP_BY_HOP & fields[i].known.bit() == 0 {
            continue;
        }
        fields[i].drop = true;
        if fields[i].known != Known::Connection {
            continue;
        }
        let value = fields[i].value.of(bytes);
        if Known::of(value) == Known::KeepAlive {
            options.keep_alive = true;
            continue;
        }
        for option in class::list(value) {
            count += 1;
            if count > Known::MAX_CONNECTION_OPTIONS {
                return Err(Fault::ConnectionOptions);
            }
            match Known::of(option) {
                Known::KeepAlive => options.keep_alive = true,
                Known::Upgrade => options.upgrade = true,
                Known::Other if option.eq_ignore_ascii_case(b"close") => options.close = true,
                Known::Other => drop_nominated(bytes, fields, option),
                _ => {}
            }
        }
    }
    Ok(options)
}

/// `option` is no known name, so no known field has it.
fn drop_nominated(bytes: &[u8], fields: &mut [Field], option: &[u8]) {
    for field in fields {
        if field.name.of(bytes).eq_ignore_ascii_case(option) {
            field.drop = true;
        }
    }
}
