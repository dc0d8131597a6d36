//! HPACK (RFC 7541): encoding by literals alone, so that a block holds exactly what a check says; decoding whole.

use super::huffman;

/// A field.
pub type Field = (Vec<u8>, Vec<u8>);

/// Appends a field as a literal that is not indexed, without Huffman (section 6.2.2).
pub fn literal(block: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    block.push(0);
    string(block, name);
    string(block, value);
}

/// A literal that goes into the dynamic table (section 6.2.1).
pub fn indexed_literal(block: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    block.push(0x40);
    string(block, name);
    string(block, value);
}

fn string(block: &mut Vec<u8>, text: &[u8]) {
    integer(block, 0, 7, text.len());
    block.extend_from_slice(text);
}

/// An integer behind `first`'s other bits (section 5.1).
pub fn integer(block: &mut Vec<u8>, first: u8, prefix: u32, value: usize) {
    let max = (1usize << prefix) - 1;
    if value < max {
        return block.push(first | value as u8);
    }
    block.push(first | max as u8);
    let mut rest = value - max;
    while rest >= 128 {
        block.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    block.push(rest as u8);
}

/// A block of literals.
pub fn block<N: AsRef<[u8]>, V: AsRef<[u8]>>(fields: &[(N, V)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        literal(&mut block, name.as_ref(), value.as_ref());
    }
    block
}

/// The receiving side of one direction of a connection.
#[derive(Debug)]
pub struct Decoder {
    dynamic: Vec<Field>,
    size: usize,
    max: usize,
}

impl Default for Decoder {
    fn default() -> Self {
        Decoder { dynamic: Vec::new(), size: 0, max: 4096 }
    }
}

impl Decoder {
    /// The fields of a block; None where it is none.
    pub fn decode(&mut self, mut block: &[u8]) -> Option<Vec<Field>> {
        let mut fields = Vec::new();
        while let Some(&first) = block.first() {
            if first & 0x80 != 0 {
                fields.push(self.entry(take_integer(&mut block, 7)?)?);
            } else if first & 0xe0 == 0x20 {
                self.max = take_integer(&mut block, 5)?;
                self.shrink();
            } else {
                let indexed = first & 0x40 != 0;
                let index = take_integer(&mut block, if indexed { 6 } else { 4 })?;
                let name = if index == 0 { take_string(&mut block)? } else { self.entry(index)?.0 };
                let field = (name, take_string(&mut block)?);
                if indexed {
                    self.size += field.0.len() + field.1.len() + 32;
                    self.dynamic.insert(0, field.clone());
                    self.shrink();
                }
                fields.push(field);
            }
        }
        Some(fields)
    }

    fn entry(&self, index: usize) -> Option<Field> {
        if let Some((name, value)) = STATIC.get(index.checked_sub(1)?) {
            return Some((name.as_bytes().to_vec(), value.as_bytes().to_vec()));
        }
        self.dynamic.get(index - 1 - STATIC.len()).cloned()
    }

    fn shrink(&mut self) {
        while self.size > self.max {
            let Some((name, value)) = self.dynamic.pop() else { return };
            self.size -= name.len() + value.len() + 32;
        }
    }
}

fn take_integer(block: &mut &[u8], prefix: u32) -> Option<usize> {
    let (&first, rest) = block.split_first()?;
    *block = rest;
    let max = (1usize << prefix) - 1;
    let mut value = usize::from(first) & max;
    if value < max {
        return Some(value);
    }
    for shift in (0..28).step_by(7) {
        let (&next, rest) = block.split_first()?;
        *block = rest;
        value += usize::from(next & 0x7f) << shift;
        if next & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn take_string(block: &mut &[u8]) -> Option<Vec<u8>> {
    let coded = block.first()? & 0x80 != 0;
    let length = take_integer(block, 7)?;
    let (text, rest) = block.split_at_checked(length)?;
    *block = rest;
    if coded { huffman::decode(text) } else { Some(text.to_vec()) }
}

/// Appendix A.
#[rustfmt::skip]
const STATIC: [(&str, &str); 61] = [
    (":authority", ""), (":method", "GET"), (":method", "POST"), (":path", "/"), (":path", "/index.html"),
    (":scheme", "http"), (":scheme", "https"), (":status", "200"), (":status", "204"), (":status", "206"),
    (":status", "304"), (":status", "400"), (":status", "404"), (":status", "500"), ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"), ("accept-language", ""), ("accept-ranges", ""), ("accept", ""),
    ("access-control-allow-origin", ""), ("age", ""), ("allow", ""), ("authorization", ""), ("cache-control", ""),
    ("content-disposition", ""), ("content-encoding", ""), ("content-language", ""), ("content-length", ""),
    ("content-location", ""), ("content-range", ""), ("content-type", ""), ("cookie", ""), ("date", ""), ("etag", ""),
    ("expect", ""), ("expires", ""), ("from", ""), ("host", ""), ("if-match", ""), ("if-modified-since", ""),
    ("if-none-match", ""), ("if-range", ""), ("if-unmodified-since", ""), ("last-modified", ""), ("link", ""),
    ("location", ""), ("max-forwards", ""), ("proxy-authenticate", ""), ("proxy-authorization", ""), ("range", ""),
    ("referer", ""), ("refresh", ""), ("retry-after", ""), ("server", ""), ("set-cookie", ""),
    ("strict-transport-security", ""), ("transfer-encoding", ""), ("user-agent", ""), ("vary", ""), ("via", ""),
    ("www-authenticate", ""),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(fields: &[(&str, &str)]) -> Vec<Field> {
        fields.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect()
    }

    #[test]
    fn the_examples_of_the_specification_are_read() {
        // RFC 7541 appendix C.4.1 and C.4.2, the second with an entry of the dynamic table.
        let mut decoder = Decoder::default();
        let first = [
            0x82, 0x86, 0x84, 0x41, 0x8c, 0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4,
            0xff,
        ];
        let same =
            [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "www.example.com")];
        assert_eq!(decoder.decode(&first), Some(fields(&same)));
        let second = [0x82, 0x86, 0x84, 0xbe, 0x58, 0x86, 0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf];
        let mut more = same.to_vec();
        more.push(("cache-control", "no-cache"));
        assert_eq!(decoder.decode(&second), Some(fields(&more)));
    }

    #[test]
    fn literals_are_read_as_they_were_written_however_long() {
        let long = "x".repeat(5_000);
        let block = block(&[("a", long.as_str()), ("b", "")]);
        assert_eq!(Decoder::default().decode(&block), Some(fields(&[("a", &long), ("b", "")])));
    }
}
