//! Tunnels across protocols: an `Upgrade` of HTTP/1.1 and an extended CONNECT of HTTP/2 are one thing here, a request
//! with [`RequestHead::upgrade`] (RFC 8441 section 5).
//!
//! Of WebSocket (RFC 6455) only HTTP/1.1's handshake differs: a key, and an answer that proves that it was read.
//! Between two HTTP/1.1 ends both pass as they are. Where just one end speaks HTTP/1.1 there is nobody at the other
//! who could make or check them, so that is done here.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use causeway_proxy_http1::{RequestHead, ResponseHead, Version};

use super::error::ErrorKind;

const WEBSOCKET: &str = "websocket";
const KEY: &[u8] = b"Sec-WebSocket-Key";
const ACCEPT: &[u8] = b"Sec-WebSocket-Accept";

/// What is hashed behind the key (RFC 6455 section 1.3).
const SUFFIX: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Bytes of a key, and of its text.
const KEY_BYTES: usize = 16;
const KEY_TEXT: usize = 24;

/// The protocol for which an extended CONNECT can stand for this request: the only one that it names. A WebSocket
/// client of HTTP/1.1 must have sent a key that can be answered.
pub fn protocol(head: &RequestHead) -> Option<&str> {
    let protocol = std::str::from_utf8(head.upgrade()?).ok()?;
    if protocol.eq_ignore_ascii_case(WEBSOCKET) {
        return (head.version == Version::Http2 || key(head).is_some()).then_some(WEBSOCKET);
    }
    let token = |c: u8| c.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&c);
    (!protocol.is_empty() && protocol.bytes().all(token)).then_some(protocol)
}

/// Prepares an HTTP/2 client's request for an upstream of HTTP/1.1: gives it a key of our own making. What it says
/// there itself has no meaning (RFC 8441 section 5). `roll` need not be secret: a key only keeps caches from taking
/// an answer of before for one of now (RFC 6455 section 10.3).
pub fn begin(head: &mut RequestHead, roll: impl Fn() -> u64) {
    if head.version != Version::Http2 || !is_websocket(head) {
        return;
    }
    let mut bytes = [0; KEY_BYTES];
    let (front, back) = bytes.split_at_mut(KEY_BYTES / 2);
    front.copy_from_slice(&roll().to_le_bytes());
    back.copy_from_slice(&roll().to_le_bytes());
    // Base64 is a valid value.
    let _ = head.set(KEY, STANDARD.encode(bytes).as_bytes());
}

/// Makes of an upstream's answer to a request for a tunnel what the client's protocol knows.
///
/// # Errors
/// There is no tunnel, or the upstream did not read the key, and the client would believe otherwise.
pub fn finish(head: &RequestHead, response: &mut ResponseHead) -> Result<(), ErrorKind> {
    let (client, upstream) = (head.version, response.version);
    match response.tunnel {
        true if client == Version::Http2 && upstream != Version::Http2 && is_websocket(head) => {
            let expected = key(head).map(accept);
            let said = response.find(ACCEPT).next().map(<[u8]>::to_vec);
            if said.is_none() || said != expected.map(String::into_bytes) {
                return Err(ErrorKind::BadResponse("Sec-WebSocket-Accept does not answer the key"));
            }
            response.remove_name(ACCEPT);
        }
        true if client != Version::Http2 && upstream == Version::Http2 => {
            let wrong = |_| ErrorKind::UpgradeFailed;
            response.switch_protocols(head.upgrade().unwrap_or_default()).map_err(wrong)?;
            if let Some(key) = key(head).filter(|_| is_websocket(head)) {
                response.set(ACCEPT, accept(key).as_bytes()).map_err(wrong)?;
            }
        }
        // An HTTP/2 client takes every 2xx for a tunnel; in HTTP/1.1 it means that the upstream ignored the wish.
        false if client == Version::Http2 && (200..300).contains(&response.status) => {
            return Err(ErrorKind::UpgradeFailed);
        }
        _ => {}
    }
    Ok(())
}

fn is_websocket(head: &RequestHead) -> bool {
    head.upgrade().is_some_and(|protocol| protocol.eq_ignore_ascii_case(WEBSOCKET.as_bytes()))
}

/// The key of a handshake, if there is one that is (RFC 6455 section 4.1).
fn key(head: &RequestHead) -> Option<&[u8]> {
    let mut keys = head.find(KEY);
    let key = keys.next().filter(|key| key.len() == KEY_TEXT)?;
    // The engine wants room for what so much text could hold.
    let mut bytes = [0; KEY_BYTES + 2];
    let valid = STANDARD.decode_slice(key, &mut bytes) == Ok(KEY_BYTES);
    (valid && keys.next().is_none()).then_some(key)
}

/// What answers a key (RFC 6455 section 4.2.2).
fn accept(key: &[u8]) -> String {
    STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &[key, SUFFIX].concat()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use causeway_proxy_http1::{H2Request, Limits, RequestKind, parse_request, parse_response};

    const SAMPLE: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

    fn http1(upgrade: &str, fields: &str) -> RequestHead {
        let mut head = RequestHead::default();
        let text = format!(
            "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: {upgrade}\r\n{fields}\r\n"
        );
        parse_request(text.as_bytes(), &Limits::default(), &mut 0, &mut head).unwrap().unwrap();
        head
    }

    fn http2(protocol: &str) -> RequestHead {
        let mut head = RequestHead::default();
        head.begin_h2(&H2Request {
            method: b"CONNECT",
            scheme: Some(b"http"),
            authority: Some(b"a"),
            path: Some(b"/chat"),
            protocol: Some(protocol.as_bytes()),
        })
        .unwrap();
        head.push(KEY, b"from the client").unwrap();
        head.finish_h2(false).unwrap();
        let rolls = std::cell::Cell::new(7);
        begin(&mut head, || rolls.replace(rolls.get() + 1));
        head
    }

    fn answer1(text: &str) -> ResponseHead {
        let mut head = ResponseHead::default();
        parse_response(text.as_bytes(), &Limits::default(), RequestKind::UPGRADE, &mut 0, &mut head)
            .unwrap()
            .unwrap();
        head
    }

    fn answer2(status: u16) -> ResponseHead {
        let mut head = ResponseHead::default();
        head.begin(status, Version::Http2).unwrap();
        head.finish_h2(RequestKind::UPGRADE, false).unwrap();
        head
    }

    fn switched(accept: &str) -> ResponseHead {
        answer1(&format!(
            "HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
        ))
    }

    #[test]
    fn the_rfcs_own_key_has_the_rfcs_own_answer() {
        assert_eq!(accept(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn towards_http_1_a_key_is_made_and_its_answer_must_be_right() {
        let head = http2("websocket");
        let keys: Vec<&[u8]> = head.find(KEY).collect();
        assert_eq!(keys.len(), 1, "the client's own is gone");
        let right = accept(key(&head).expect("a valid key"));
        let mut answer = switched(&right);
        assert_eq!(finish(&head, &mut answer), Ok(()));
        assert_eq!(answer.find(ACCEPT).next(), None);
        for wrong in ["s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "", &right[..27], &right.to_lowercase()] {
            assert!(matches!(finish(&head, &mut switched(wrong)), Err(ErrorKind::BadResponse(_))), "{wrong}");
        }
    }

    #[test]
    fn an_answer_that_is_no_tunnel_never_looks_like_one_to_an_http_2_client() {
        let mut ignored = answer1("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(finish(&http2("websocket"), &mut ignored), Err(ErrorKind::UpgradeFailed));
        assert_eq!(finish(&http1("websocket", SAMPLE), &mut ignored), Ok(()), "HTTP/1.1 tells them apart");
        let mut refused = answer1("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(finish(&http2("websocket"), &mut refused), Ok(()));
        assert_eq!(refused.status, 403);
    }

    #[test]
    fn an_http_1_client_gets_its_101_from_an_http_2_upstream() {
        let mut answer = answer2(200);
        assert_eq!(finish(&http1("WebSocket", SAMPLE), &mut answer), Ok(()));
        assert_eq!((answer.status, answer.upgrade()), (101, Some(&b"WebSocket"[..])));
        assert_eq!(answer.find(ACCEPT).next(), Some(&b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="[..]));
        let mut answer = answer2(200);
        assert_eq!(finish(&http1("echo", ""), &mut answer), Ok(()));
        assert_eq!((answer.status, answer.find(ACCEPT).next()), (101, None));
    }

    #[test]
    fn an_extended_connect_stands_for_one_protocol_and_for_a_key_that_can_be_answered() {
        assert_eq!(protocol(&http1("WebSocket", SAMPLE)), Some("websocket"));
        assert_eq!(protocol(&http2("websocket")), Some("websocket"));
        assert_eq!(protocol(&http1("connect-udp", "")), Some("connect-udp"));
        for (upgrade, fields) in [
            ("websocket", ""),
            ("websocket", "Sec-WebSocket-Key: short\r\n"),
            ("websocket", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZSE=\r\n"),
            ("websocket", &[SAMPLE, SAMPLE].concat()),
            ("websocket, echo", SAMPLE),
            ("HTTP/3", ""),
        ] {
            assert_eq!(protocol(&http1(upgrade, fields)), None, "{upgrade} {fields}");
        }
    }
}
