//! HTTP/1.1 as a lenient recipient reads it: lines may end in a bare LF. The proxy under test must not let anything
//! through that such a recipient takes for something else than a strict one does.

use std::time::Duration;

use super::{Conn, Read};

/// How a body ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum End {
    /// It has not.
    #[default]
    Open,
    /// By its own framing.
    Whole,
    /// By the connection's end, without a framing that says more.
    AtClose,
    /// By the connection's end, a reset, or broken chunks, before its framing said so.
    Cut,
}

/// A message, as far as it came.
#[derive(Clone, Debug, Default)]
pub struct Message {
    /// The head, byte by byte.
    pub raw: Vec<u8>,
    /// Its first line, without its end.
    pub start: String,
    /// Its fields; names as they were written.
    pub fields: Vec<(String, String)>,
    /// Its body, unchunked.
    pub body: Vec<u8>,
    /// Its trailers.
    pub trailers: Vec<(String, String)>,
    /// How it ended.
    pub end: End,
}

impl Message {
    /// The head's octets taken apart. What is no field is left out; the raw octets keep it.
    pub fn of(raw: Vec<u8>) -> Message {
        let text = String::from_utf8_lossy(&raw).into_owned();
        let mut lines = text.split('\n').map(|line| line.trim_end_matches('\r'));
        let start = lines.next().unwrap_or_default().to_owned();
        Message { start, fields: lines.filter_map(field).collect(), raw, ..Message::default() }
    }

    /// All values of a field.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let fields = self.fields.iter().filter(|(field, _)| field.eq_ignore_ascii_case(name));
        fields.map(|(_, value)| value.as_str()).collect()
    }

    /// The values of a field, as one list.
    pub fn joined(&self, name: &str) -> Option<String> {
        let all = self.all(name);
        (!all.is_empty()).then(|| all.join(", "))
    }

    /// A response's status; 0 where there is none.
    pub fn status(&self) -> u16 {
        self.start.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0)
    }

    /// Whether the last coding is chunked.
    pub fn is_chunked(&self) -> bool {
        self.joined("transfer-encoding")
            .is_some_and(|coding| coding.to_ascii_lowercase().ends_with("chunked"))
    }

    fn length(&self) -> Option<usize> {
        self.all("content-length").first().and_then(|length| length.trim().parse().ok())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Conn {
    /// Reads a head; None when the connection ends, or nothing comes, instead.
    pub async fn head(&mut self, limit: Duration) -> Result<Message, Read> {
        loop {
            if let Some(end) = end_of_head(&self.unread) {
                return Ok(Message::of(self.unread.drain(..end).collect()));
            }
            match self.more(limit).await {
                Read::Some => {}
                how => return Err(how),
            }
        }
    }

    /// Reads the body that a request's head announces.
    pub async fn request_body(&mut self, message: &mut Message, limit: Duration) {
        if message.is_chunked() {
            self.chunks(message, limit).await;
        } else {
            self.sized(message, message.length().unwrap_or(0), limit).await;
        }
    }

    /// Reads the body that a response's head announces.
    pub async fn response_body(&mut self, message: &mut Message, to_head: bool, limit: Duration) {
        if to_head || matches!(message.status(), 100..=199 | 204 | 304) {
            message.end = End::Whole;
        } else if message.is_chunked() {
            self.chunks(message, limit).await;
        } else if let Some(length) = message.length() {
            self.sized(message, length, limit).await;
        } else {
            let (body, how) = self.read_to_end(limit).await;
            message.body = body;
            message.end = if how == Read::End { End::AtClose } else { End::Cut };
        }
    }

    async fn sized(&mut self, message: &mut Message, length: usize, limit: Duration) {
        while self.unread.len() < length && self.more(limit).await == Read::Some {}
        let have = length.min(self.unread.len());
        message.body = self.unread.drain(..have).collect();
        message.end = if have == length { End::Whole } else { End::Cut };
    }

    async fn chunks(&mut self, message: &mut Message, limit: Duration) {
        message.end = if self.try_chunks(message, limit).await.is_some() { End::Whole } else { End::Cut };
    }

    async fn try_chunks(&mut self, message: &mut Message, limit: Duration) -> Option<()> {
        loop {
            let line = self.line(limit).await?;
            let digits = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(digits, 16).ok()?;
            if size == 0 {
                break;
            }
            while self.unread.len() < size {
                let Read::Some = self.more(limit).await else {
                    message.body.append(&mut self.unread);
                    return None;
                };
            }
            message.body.extend(self.unread.drain(..size));
            self.line(limit).await.filter(String::is_empty)?;
        }
        loop {
            match self.line(limit).await? {
                line if line.is_empty() => return Some(()),
                line => message.trailers.extend(field(&line)),
            }
        }
    }

    async fn line(&mut self, limit: Duration) -> Option<String> {
        loop {
            if let Some(at) = self.unread.iter().position(|&c| c == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=at).collect();
                let line = String::from_utf8_lossy(&line).into_owned();
                return Some(line.trim_end_matches(['\r', '\n']).to_owned());
            }
            if self.more(limit).await != Read::Some {
                return None;
            }
        }
    }

    /// Reads a final response with its body, and drops interim ones before it.
    ///
    /// # Errors
    /// There is none, and how that showed.
    pub async fn response(&mut self, to_head: bool) -> Result<Message, String> {
        let (_, response) = self.responses(to_head, super::conn::PATIENCE).await;
        response
    }

    /// The same with the interim responses before it.
    pub async fn responses(
        &mut self,
        to_head: bool,
        limit: Duration,
    ) -> (Vec<Message>, Result<Message, String>) {
        let mut interims = Vec::new();
        loop {
            match self.head(limit).await {
                Ok(head) if matches!(head.status(), 100 | 102..=199) => interims.push(head),
                Ok(mut head) => {
                    self.response_body(&mut head, to_head, limit).await;
                    return (interims, Ok(head));
                }
                Err(how) => return (interims, Err(format!("no response: {how:?}"))),
            }
        }
    }
}

/// Where the head ends: behind the first empty line, however its lines end.
fn end_of_head(bytes: &[u8]) -> Option<usize> {
    let mut line = 0;
    let mut first = true;
    for (at, _) in bytes.iter().enumerate().filter(|(_, c)| **c == b'\n') {
        let text = &bytes[line..at];
        if (text.is_empty() || text == b"\r") && !first {
            return Some(at + 1);
        }
        first = false;
        line = at + 1;
    }
    None
}

fn field(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once(':')?;
    Some((name.to_owned(), value.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_end_at_the_first_empty_line_of_any_kind() {
        assert_eq!(end_of_head(b"a\r\nb: c\r\n\r\nrest"), Some(11));
        assert_eq!(end_of_head(b"a\nb: c\n\nrest"), Some(8));
        assert_eq!(end_of_head(b"a\r\nb: c\r\n"), None);
    }

    #[test]
    fn a_head_is_taken_apart_as_it_stands() {
        let head = Message::of(b"HTTP/1.1 204 No Content\r\nA: 1\r\na:2\r\n\r\n".to_vec());
        assert_eq!((head.status(), head.all("A")), (204, vec!["1", "2"]));
        assert_eq!(head.joined("b"), None);
    }
}
