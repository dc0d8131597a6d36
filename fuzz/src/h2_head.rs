//! Heads that come by HTTP/2: whatever they hold, what goes out as HTTP/1.1 is one request that was meant.

use causeway_proxy_http1::{H2Request, RequestHead};

use crate::bytes::Bytes;
use crate::request::is_sent_on_as_one;

pub fn run(input: &[u8]) {
    let mut bytes = Bytes::new(input);
    let given = bytes.byte();
    let end_of_stream = given & 16 != 0;
    let mut part = |bit: u8| (given & bit != 0).then(|| bytes.piece(24));
    let (authority, protocol, path) = (part(1), part(2), part(4));
    let scheme = (given & 8 == 0).then_some(&b"https"[..]);
    let method = if given & 32 != 0 { bytes.piece(8) } else { b"GET" };
    let mut head = RequestHead::default();
    let pseudo = H2Request { method, scheme, authority, path, protocol };
    if head.begin_h2(&pseudo).is_err() {
        return;
    }
    while !bytes.is_empty() {
        let (name, value) = (bytes.piece(20), bytes.piece(24));
        if head.push(name, value).is_err() {
            return;
        }
    }
    if head.finish_h2(end_of_stream).is_ok() {
        assert_eq!(head.path_and_query(), path.unwrap_or_default());
        is_sent_on_as_one(&head);
    }
}
