//! Who the client is, and what it may say about itself.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use causeway_proxy_http1::{Known, RequestHead};
use smallvec::SmallVec;

use crate::snapshot::PortKey;

/// The connection that a request came by.
pub struct Client {
    /// The port it came to.
    pub key: PortKey,
    /// The other end.
    pub peer: SocketAddr,
    /// The other end's address as text, for X-Forwarded-For.
    pub peer_text: SmallVec<[u8; 40]>,
    /// Whether it came by TLS.
    pub tls: bool,
}

/// What a request says of itself, as far as it is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claims {
    /// The user's address.
    pub address: IpAddr,
    /// It is a retry of another proxy.
    pub is_retry: bool,
    /// The time that the caller still waits.
    pub time_left: Option<Duration>,
}

impl Client {
    /// The client at the other end of a connection.
    pub fn new(key: PortKey, peer: SocketAddr, tls: bool) -> Client {
        Client { key, peer, peer_text: text_of(peer.ip().to_canonical()), tls }
    }

    /// Reads what the request claims, and removes or rewrites the fields that carry claims, so that the upstream
    /// sees only what is true: with `trusted_hops` at 0 nothing is believed, and an X-Forwarded-For that a client
    /// made up is gone.
    pub fn settle(&self, head: &mut RequestHead, trusted_hops: u32) -> Claims {
        let mut claims = Claims { address: self.peer.ip(), is_retry: false, time_left: None };
        if trusted_hops > 0 {
            if let Some(address) = forwarded_for(head, trusted_hops) {
                claims.address = address;
            }
            claims.is_retry = number(head.get(Known::XCausewayAttempt)).is_some_and(|attempt| attempt > 1);
            claims.time_left = number(head.get(Known::XRequestTimeout)).map(Duration::from_millis);
            // One field, not two lines: some upstreams read only the first.
            let before: Vec<&[u8]> = head.get_all(Known::XForwardedFor).collect();
            if !before.is_empty() {
                let joined = [before.join(&b", "[..]), self.peer_text.to_vec()].join(&b", "[..]);
                // Parsed values joined by commas are a valid value.
                let _ = head.set(b"X-Forwarded-For", &joined);
            }
        } else {
            for claim in [
                Known::XForwardedFor,
                Known::XForwardedProto,
                Known::XForwardedHost,
                Known::XForwardedPort,
                Known::XRealIp,
                Known::Forwarded,
            ] {
                head.remove(claim);
            }
        }
        head.remove(Known::XCausewayAttempt);
        head.remove(Known::XRequestTimeout);
        claims
    }
}

/// An address as text. IPv4 by hand: `Display` costs 1,300 instructions, a third of accepting a connection.
fn text_of(address: IpAddr) -> SmallVec<[u8; 40]> {
    let mut text = SmallVec::new();
    match address {
        IpAddr::V4(v4) => {
            for (i, octet) in v4.octets().into_iter().enumerate() {
                if i > 0 {
                    text.push(b'.');
                }
                text.extend_from_slice(itoa::Buffer::new().format(octet).as_bytes());
            }
        }
        IpAddr::V6(v6) => text.extend_from_slice(v6.to_string().as_bytes()),
    }
    text
}

/// The address that the outermost trusted proxy saw: `hops` entries from the right, our peer being the first hop.
fn forwarded_for(head: &RequestHead, hops: u32) -> Option<IpAddr> {
    let lines: Vec<&[u8]> = head.get_all(Known::XForwardedFor).collect();
    let mut entries = lines.iter().rev().flat_map(|line| line.rsplit(|&b| b == b','));
    let entry = entries.nth(hops as usize - 1)?;
    parse_address(std::str::from_utf8(entry.trim_ascii()).ok()?)
}

/// An address, perhaps with a port or in brackets.
fn parse_address(text: &str) -> Option<IpAddr> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address);
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(address.ip());
    }
    text.strip_prefix('[')?.strip_suffix(']')?.parse().ok()
}

fn number(value: Option<&[u8]>) -> Option<u64> {
    std::str::from_utf8(value?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use causeway_proxy_http1::{Limits, parse_request};

    fn head(fields: &str) -> RequestHead {
        let mut head = RequestHead::default();
        let text = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        parse_request(text.as_bytes(), &Limits::default(), &mut 0, &mut head).unwrap().unwrap();
        head
    }

    fn client() -> Client {
        let local = SocketAddr::from(([127, 0, 0, 1], 80));
        Client::new(PortKey(local), SocketAddr::from(([192, 0, 2, 9], 4000)), false)
    }

    #[test]
    fn nothing_is_believed_of_an_untrusted_client() {
        let mut head = head("X-Forwarded-For: 1.2.3.4\r\nX-Causeway-Attempt: 3\r\nX-Request-Timeout: 1\r\n");
        let claims = client().settle(&mut head, 0);
        assert_eq!(claims, Claims { address: client().peer.ip(), is_retry: false, time_left: None });
        assert_eq!(head.get(Known::XForwardedFor), None);
        assert_eq!(head.get(Known::XCausewayAttempt), None);
    }

    #[test]
    fn trusted_hops_count_from_the_right_so_a_forged_prefix_is_never_reached() {
        let fields = "X-Forwarded-For: 6.6.6.6, 10.0.0.7\r\nX-Forwarded-For: 10.0.0.8\r\n";
        assert_eq!(client().settle(&mut head(fields), 1).address, IpAddr::from([10, 0, 0, 8]));
        assert_eq!(client().settle(&mut head(fields), 2).address, IpAddr::from([10, 0, 0, 7]));
        assert_eq!(client().settle(&mut head(fields), 9).address, client().peer.ip());
    }

    #[test]
    fn a_trusted_chain_is_passed_on_in_one_field() {
        let mut head = head("X-Forwarded-For: 10.0.0.7\r\nX-Forwarded-For: 10.0.0.8\r\n");
        client().settle(&mut head, 2);
        let all: Vec<&[u8]> = head.get_all(Known::XForwardedFor).collect();
        assert_eq!(all, [b"10.0.0.7, 10.0.0.8, 192.0.2.9"]);
    }

    #[test]
    fn a_trusted_retry_and_its_deadline_are_believed() {
        let claims = client().settle(&mut head("X-Causeway-Attempt: 2\r\nX-Request-Timeout: 1500\r\n"), 1);
        assert!(claims.is_retry);
        assert_eq!(claims.time_left, Some(Duration::from_millis(1500)));
    }
}
