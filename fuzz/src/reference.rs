//! A second reading of HTTP/1.1, written from RFC 9112 and as plainly as possible: whole messages only, lines first,
//! then what is in them. It shares no code and no table with the codec.
//!
//! It knows framing, host and fields, which is what two hops must not disagree about; of a target it looks at the
//! octets alone.

/// How the body is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// By nothing: there is none.
    None,
    /// By `Content-Length`.
    Length(u64),
    /// By chunks.
    Chunked,
}

/// A head as read here.
#[derive(Debug)]
pub struct Head<'a> {
    /// Octets of it.
    pub length: usize,
    /// The three parts of the start line.
    pub start: [&'a [u8]; 3],
    /// Names and values.
    pub fields: Vec<(&'a [u8], &'a [u8])>,
}

impl<'a> Head<'a> {
    /// The values of all fields of this name.
    pub fn all(&self, name: &str) -> Vec<&'a [u8]> {
        let of_name = |(n, _): &&(&[u8], &[u8])| n.eq_ignore_ascii_case(name.as_bytes());
        self.fields.iter().filter(of_name).map(|(_, value)| *value).collect()
    }

    /// How the request's body is delimited; `None` = it is not to be told for certain.
    pub fn body(&self) -> Option<Body> {
        let (codings, lengths) = (self.all("transfer-encoding"), self.all("content-length"));
        match (codings.as_slice(), lengths.as_slice()) {
            ([], []) => Some(Body::None),
            ([], [length]) => decimal(length).map(Body::Length),
            ([coding], []) if self.start[2] == b"HTTP/1.1" && coding.eq_ignore_ascii_case(b"chunked") => {
                Some(Body::Chunked)
            }
            _ => None,
        }
    }
}

fn decimal(text: &[u8]) -> Option<u64> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let number: i64 = std::str::from_utf8(text).ok().filter(|_| digits)?.parse().ok()?;
    u64::try_from(number).ok()
}

/// The request head at the start of `input`; `None` = incomplete, or refused.
pub fn request(input: &[u8]) -> Option<Head<'_>> {
    // RFC 9112 section 2.2: one empty line before it.
    let skipped = if input.starts_with(b"\r\n") { 2 } else { 0 };
    let mut head = head(&input[skipped..])?;
    head.length += skipped;
    let [method, target, version] = head.start;
    let good = !method.is_empty()
        && method.iter().all(|c| is_token(*c))
        && !target.is_empty()
        && target.iter().all(|c| c.is_ascii_graphic() && *c != b'#')
        && (version == b"HTTP/1.1" || version == b"HTTP/1.0");
    let hosts = head.all("host").len();
    let hosts_good = if version == b"HTTP/1.1" { hosts == 1 } else { hosts <= 1 };
    (good && hosts_good).then_some(head)
}

/// A head with any start line of three parts.
fn head(input: &[u8]) -> Option<Head<'_>> {
    let end = input.windows(4).position(|w| w == b"\r\n\r\n")?;
    let mut lines = input[..end].split(|c| *c == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    // Each LF must have had its CR, and no CR may stand elsewhere.
    let text = &input[..end];
    let lf = text.iter().filter(|c| **c == b'\n').count();
    let (cr, crlf) =
        (text.iter().filter(|c| **c == b'\r').count(), text.windows(2).filter(|w| w == b"\r\n").count());
    if lf != crlf || cr != crlf {
        return None;
    }
    let parts: Vec<&[u8]> = lines.next()?.split(|c| *c == b' ').collect();
    let start = parts.try_into().ok()?;
    let fields = lines.map(field).collect::<Option<Vec<_>>>()?;
    Some(Head { length: end + 4, start, fields })
}

fn field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = line.iter().position(|c| *c == b':')?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    let good_value = value.iter().all(|c| *c == b'\t' || (*c >= 0x20 && *c != 0x7f));
    let good = !name.is_empty() && name.iter().all(|c| is_token(*c)) && good_value;
    good.then(|| (name, trim(value)))
}

fn trim(mut value: &[u8]) -> &[u8] {
    while let Some((b' ' | b'\t', rest)) = value.split_first() {
        value = rest;
    }
    while let Some((b' ' | b'\t', rest)) = value.split_last() {
        value = rest;
    }
    value
}

fn is_token(octet: u8) -> bool {
    matches!(octet, b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z') || b"!#$%&'*+-.^_`|~".contains(&octet)
}

/// A chunked body read whole: payload and octets used. `None` = incomplete, or refused. Extensions and trailers are
/// only delimited.
pub fn chunked(input: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (mut payload, mut at) = (Vec::new(), 0);
    loop {
        let line = line(&input[at..])?;
        at += line.len() + 2;
        let mut parts = line.splitn(2, |c| *c == b';');
        let (size, extension) = (parts.next()?, parts.next().unwrap_or_default());
        let good = extension.iter().all(|c| *c == b'\t' || (*c >= 0x20 && *c != 0x7f));
        if size.is_empty() || size.len() > 16 || !size.iter().all(u8::is_ascii_hexdigit) || !good {
            return None;
        }
        let size = u64::from_str_radix(std::str::from_utf8(size).ok()?, 16).ok()?;
        if size == 0 {
            break;
        }
        let size = usize::try_from(size).ok()?;
        let data = input.get(at..at.checked_add(size)?)?;
        payload.extend_from_slice(data);
        at += size;
        at += input[at..].starts_with(b"\r\n").then_some(2)?;
    }
    loop {
        let line = self::line(&input[at..])?;
        at += line.len() + 2;
        if line.is_empty() {
            return Some((payload, at));
        }
        field(line)?;
    }
}

/// Up to the first CRLF; `None` = there is none, or a CR or LF before it that stands alone.
fn line(input: &[u8]) -> Option<&[u8]> {
    let end = input.windows(2).position(|w| w == b"\r\n")?;
    (!input[..end].iter().any(|c| matches!(c, b'\r' | b'\n'))).then_some(&input[..end])
}
