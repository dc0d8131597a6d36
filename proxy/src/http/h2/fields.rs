//! Fields between our heads and `http::HeaderMap`.

use causeway_proxy_http1::{Known, Trailers};
use http::{HeaderMap, HeaderName, HeaderValue};

/// Adds one field. What HTTP/2 cannot carry is left out: our codec has refused it before, so only a field that
/// we made ourselves could be such a one.
pub fn append(map: &mut HeaderMap, name: &[u8], value: &[u8]) {
    if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
        map.append(name, value);
    }
}

/// All fields of a head that may travel over HTTP/2; `Host` travels as `:authority` (RFC 9113 section 8.3.1).
pub fn to_map<'a>(fields: impl Iterator<Item = (&'a [u8], &'a [u8], Known)>) -> HeaderMap {
    let mut map = HeaderMap::with_capacity(16);
    for (name, value, known) in fields {
        if known != Known::Host {
            append(&mut map, name, value);
        }
    }
    map
}

/// Trailers as a map.
pub fn trailers_to_map(trailers: &Trailers) -> HeaderMap {
    to_map(trailers.iter())
}

/// A map as trailers, without those that may not be any. `None` = they break HTTP.
pub fn trailers_from_map(map: &HeaderMap) -> Option<Trailers> {
    let mut trailers = Trailers::default();
    for (name, value) in map {
        trailers.push(name.as_str().as_bytes(), value.as_bytes()).ok()?;
    }
    trailers.mark_forbidden().ok()?;
    Some(trailers)
}
