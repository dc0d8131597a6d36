//! Requests, rendered before the run: one for each user, in turn.

use super::{Plan, Protocol};

const HOST: &str = "app.example.com";
const AGENT: &str = "bench/1.0";
const ENCODING: &str = "gzip";

/// A request for each user, one after the other in one block.
pub struct Requests {
    bytes: Vec<u8>,
    /// Where each ends.
    ends: Vec<usize>,
    next: usize,
}

impl Requests {
    /// Those of a plan.
    ///
    /// # Errors
    /// A path that cannot be written into a request.
    pub fn new(plan: &Plan) -> Result<Requests, String> {
        let visible = |byte: u8| byte.is_ascii_graphic();
        if !plan.path.starts_with('/') || plan.path.len() > 1024 || !plan.path.bytes().all(visible) {
            return Err(format!(
                "the path {:?}: it must begin with / and have visible ASCII only",
                plan.path
            ));
        }
        let (mut bytes, mut ends) = (Vec::new(), Vec::new());
        for user in 0..plan.users.max(1) {
            match plan.protocol {
                Protocol::Http1 => http1(&mut bytes, plan, user),
                Protocol::Http2 => http2(&mut bytes, plan, user),
            }
            ends.push(bytes.len());
        }
        Ok(Requests { bytes, ends, next: 0 })
    }

    /// The next user's.
    pub fn next(&mut self) -> &[u8] {
        let begin = self.next.checked_sub(1).map_or(0, |before| self.ends[before]);
        let end = self.ends[self.next];
        self.next = if self.next + 1 == self.ends.len() { 0 } else { self.next + 1 };
        &self.bytes[begin..end]
    }
}

fn http1(to: &mut Vec<u8>, plan: &Plan, user: usize) {
    let close = if plan.fresh { "Connection: close\r\n" } else { "" };
    let text = format!(
        "GET {} HTTP/1.1\r\nHost: {HOST}\r\nUser-Agent: {AGENT}\r\nAccept: */*\r\nAccept-Encoding: {ENCODING}\r\n\
         x-user-id: user-{user}\r\n{close}\r\n",
        plan.path
    );
    to.extend_from_slice(text.as_bytes());
}

/// A HEADERS frame with END_STREAM and END_HEADERS; the stream's number is written into it when it is sent. Its
/// fields never enter the peer's dynamic table (RFC 7541, section 6.2.2), so that a block is the same whichever
/// connection it leaves on.
fn http2(to: &mut Vec<u8>, plan: &Plan, user: usize) {
    let mut block = Vec::with_capacity(128);
    // `:method GET`, and `:scheme` https or http: wholly in the static table (RFC 7541, appendix A).
    block.extend([0x82, if plan.tls.is_some() { 0x87 } else { 0x86 }]);
    match plan.path.as_str() {
        "/" => block.push(0x84),
        path => field(&mut block, 4, path),
    }
    field(&mut block, 1, HOST);
    field(&mut block, 58, AGENT);
    field(&mut block, 19, "*/*");
    field(&mut block, 16, ENCODING);
    block.push(0);
    string(&mut block, "x-user-id");
    string(&mut block, &format!("user-{user}"));
    // A path is at most 1 KiB, so the block is far below the least SETTINGS_MAX_FRAME_SIZE.
    let [_, length @ ..] = (block.len() as u32).to_be_bytes();
    to.extend(length);
    to.extend([0x1, 0x1 | 0x4, 0, 0, 0, 0]);
    to.append(&mut block);
}

/// A literal without indexing whose name is in the static table.
fn field(to: &mut Vec<u8>, name: u8, value: &str) {
    integer(to, 0x0f, name.into());
    string(to, value);
}

/// A string without Huffman's code.
fn string(to: &mut Vec<u8>, text: &str) {
    integer(to, 0x7f, text.len());
    to.extend_from_slice(text.as_bytes());
}

/// RFC 7541, section 5.1, with a prefix of this mask and zeros before it.
fn integer(to: &mut Vec<u8>, mask: u8, value: usize) {
    if value < mask.into() {
        to.push(value as u8);
        return;
    }
    to.push(mask);
    let mut rest = value - usize::from(mask);
    while rest >= 128 {
        to.push(rest as u8 & 0x7f | 0x80);
        rest >>= 7;
    }
    to.push(rest as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(protocol: Protocol, path: &str) -> Plan {
        Plan { protocol, path: path.to_owned(), users: 2, ..Plan::new(([127, 0, 0, 1], 1).into()) }
    }

    #[test]
    fn users_take_turns() {
        let mut requests = Requests::new(&plan(Protocol::Http1, "/a?b=c")).unwrap();
        let mut next = || String::from_utf8(requests.next().to_owned()).unwrap();
        let (first, second, third) = (next(), next(), next());
        assert_eq!(
            first,
            "GET /a?b=c HTTP/1.1\r\nHost: app.example.com\r\nUser-Agent: bench/1.0\r\nAccept: */*\r\n\
             Accept-Encoding: gzip\r\nx-user-id: user-0\r\n\r\n"
        );
        assert!(second.contains("user-1\r\n"));
        assert_eq!(first, third);
    }

    #[test]
    fn a_header_block_is_what_the_rfc_says() {
        let mut requests = Requests::new(&plan(Protocol::Http2, "/s")).unwrap();
        let block =
            b"\x82\x86\x04\x02/s\x01\x0fapp.example.com\x0f\x2b\x09bench/1.0\x0f\x04\x03*/*\x0f\x01\x04gzip\
                      \x00\x09x-user-id\x06user-0";
        let frame = requests.next();
        assert_eq!(frame[..9], [0, 0, block.len() as u8, 1, 5, 0, 0, 0, 0]);
        assert_eq!(frame[9..], block[..]);
    }

    #[test]
    fn a_long_string_has_its_length_in_several_bytes() {
        let mut to = Vec::new();
        integer(&mut to, 0x1f, 1337); // RFC 7541, appendix C.1.2
        assert_eq!(to, [31, 154, 10]);
    }

    #[test]
    fn a_path_that_would_break_the_request_is_refused() {
        for path in ["", "a", "/a b", "/a\r\nx: y"] {
            assert!(Requests::new(&plan(Protocol::Http1, path)).is_err(), "{path:?}");
        }
    }
}
