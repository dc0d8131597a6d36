//! The key that makes a user sticky: header, cookie, source address, query parameter, or several of them.

use std::net::IpAddr;

use causeway_config::HashOn;
use causeway_proxy_http1::{Known, RequestHead};
use causeway_proxy_policy::{KeyHash, hash};
use smallvec::SmallVec;

/// What a request's key is.
#[derive(Debug, Default)]
pub struct Key {
    /// The hash; `None` = the request has no key and is balanced by weight.
    pub hash: Option<KeyHash>,
    /// A cookie to set, because the client had none.
    pub set_cookie: Option<Vec<u8>>,
}

/// Finds the key. All the parts are hashed; a request that lacks all of them has none. `roll` makes the value of
/// a new cookie.
pub fn of(hash_on: &[HashOn], head: &RequestHead, client: IpAddr, roll: u64) -> Key {
    let mut key = Key::default();
    // The common case, without a list of parts.
    if let [HashOn::Header(name)] = hash_on {
        key.hash = head.find(name.as_bytes()).next().map(|value| KeyHash::of(&[value]));
        return key;
    }
    if hash_on.is_empty() {
        return key;
    }
    let address = hash::address_part(client);
    let fresh = format!("{roll:016x}");
    let mut parts: SmallVec<[&[u8]; 4]> = SmallVec::new();
    let mut found = false;
    for part in hash_on {
        let value = match part {
            HashOn::Header(name) => head.find(name.as_bytes()).next(),
            HashOn::SourceIp => Some(&address[..]),
            HashOn::QueryParameter(name) => {
                query_parameter(head.query().unwrap_or_default(), name.as_bytes())
            }
            HashOn::Cookie { name, path, ttl } => match cookie(head, name.as_bytes()) {
                Some(value) => Some(value),
                None => {
                    let mut line = format!("{name}={fresh}; Path={path}; HttpOnly; SameSite=Lax");
                    if let Some(ttl) = ttl {
                        line += &format!("; Max-Age={}", ttl.as_secs());
                    }
                    key.set_cookie = Some(line.into_bytes());
                    Some(fresh.as_bytes())
                }
            },
        };
        found |= value.is_some();
        // A part that is absent still has its place, so that (a, -) and (-, a) differ.
        parts.push(value.unwrap_or_default());
    }
    key.hash = found.then(|| KeyHash::of(&parts));
    key
}

/// The first value of a cookie (RFC 6265 section 5.4).
fn cookie<'a>(head: &'a RequestHead, name: &[u8]) -> Option<&'a [u8]> {
    head.get_all(Known::Cookie).flat_map(|line| line.split(|&b| b == b';')).find_map(|pair| {
        let pair = pair.trim_ascii_start();
        let value = pair.strip_prefix(name)?.strip_prefix(b"=")?.trim_ascii_end();
        (!value.is_empty()).then_some(value)
    })
}

/// The first value of a query parameter, undecoded.
fn query_parameter<'a>(query: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    query.split(|&b| b == b'&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix(b"="))
}

#[cfg(test)]
mod tests {
    use super::*;
    use causeway_proxy_http1::{Limits, parse_request};

    fn head(target: &str, fields: &str) -> RequestHead {
        let mut head = RequestHead::default();
        let text = format!("GET {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        parse_request(text.as_bytes(), &Limits::default(), &mut 0, &mut head).unwrap().unwrap();
        head
    }

    fn key(hash_on: &[HashOn], target: &str, fields: &str) -> Key {
        of(hash_on, &head(target, fields), IpAddr::from([10, 0, 0, 1]), 7)
    }

    fn cookie_on(name: &str) -> HashOn {
        HashOn::Cookie { name: name.into(), path: "/".into(), ttl: None }
    }

    #[test]
    fn a_header_is_found_whatever_its_case() {
        let on = [HashOn::Header("x-user-id".into())];
        let expected = Some(KeyHash::of(&[b"alice"]));
        assert_eq!(key(&on, "/", "X-User-ID: alice\r\n").hash, expected);
        assert_eq!(key(&on, "/", "").hash, None);
    }

    #[test]
    fn an_absent_cookie_is_set_and_its_value_is_the_key_of_the_next_request() {
        let on = [cookie_on("cw")];
        let first = key(&on, "/", "Cookie: xcw=1; other=2\r\n");
        let line = String::from_utf8(first.set_cookie.unwrap()).unwrap();
        let pair = line.split(';').next().unwrap();
        let second = key(&on, "/", &format!("Cookie: a=b; {pair}\r\n"));
        assert_eq!(second.hash, first.hash);
        assert!(second.set_cookie.is_none());
    }

    #[test]
    fn a_query_parameter_is_found_by_its_whole_name() {
        let on = [HashOn::QueryParameter("id".into())];
        assert_eq!(key(&on, "/?xid=1&id=2&id=3", "").hash, Some(KeyHash::of(&[b"2"])));
        assert_eq!(key(&on, "/?idx=1", "").hash, None);
    }

    #[test]
    fn several_parts_are_told_apart_by_their_place() {
        let on = [HashOn::Header("a".into()), HashOn::Header("b".into())];
        let one = key(&on, "/", "a: v\r\n").hash;
        let other = key(&on, "/", "b: v\r\n").hash;
        assert!(one.is_some() && other.is_some() && one != other);
        assert_eq!(key(&on, "/", "").hash, None);
    }

    #[test]
    fn a_mapped_source_address_is_the_same_user() {
        let on = [HashOn::SourceIp];
        let v4 = of(&on, &head("/", ""), "10.0.0.1".parse().unwrap(), 0).hash;
        let mapped = of(&on, &head("/", ""), "::ffff:10.0.0.1".parse().unwrap(), 0).hash;
        assert_eq!(v4, mapped);
    }
}
