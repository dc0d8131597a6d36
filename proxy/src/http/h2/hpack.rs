//! Header blocks read as far as the names of their fields: which kinds of pseudo-header fields a block carries.
//!
//! `h2` decodes them as well, and drops those that have no place in a block without a word (in trailers, and a
//! request's in a response), where RFC 9113 sections 8.1 and 8.3 call the message malformed. Under it, all that is
//! needed is kept: of each entry of the dynamic table the lengths and the kind of its name. Values are stepped over;
//! of a Huffman-coded one that enters the table the length is counted, for which the code itself need not be known: it
//! is canonical, so how many codes there are of each length will do.

use std::collections::VecDeque;

/// What we announce, by saying nothing (RFC 9113 section 6.5.2).
const TABLE_BYTES: u32 = 4096;
/// What an entry counts beside its name and value (RFC 7541 section 4.1).
const ENTRY_BYTES: u32 = 32;

/// Lengths of the static table's names (RFC 7541 appendix A).
const STATIC: [u8; 61] = [
    10, 7, 7, 5, 5, 7, 7, 7, 7, 7, 7, 7, 7, 7, 14, 15, 15, 13, 6, 27, 3, 5, 13, 13, 19, 16, 16, 14, 16, 13,
    12, 6, 4, 4, 6, 7, 4, 4, 8, 17, 13, 8, 19, 13, 4, 8, 12, 18, 19, 5, 7, 7, 11, 6, 10, 25, 17, 10, 4, 3,
    16,
];
/// The last of `:authority`, `:method`, `:path` and `:scheme`, and the last of `:status`.
const STATIC_REQUEST: usize = 7;
const STATIC_STATUS: usize = 14;

/// Codes of each length from [`SHORTEST`] bits (RFC 7541 appendix B), without the end's, which no string may hold.
const CODES: [u32; 26] =
    [10, 26, 32, 6, 0, 5, 3, 2, 6, 2, 3, 0, 0, 0, 3, 8, 13, 26, 29, 12, 4, 15, 19, 29, 0, 3];
const SHORTEST: u32 = 5;

const STATUS: &[u8] = b":status";
const STATUS_HUFFMAN: &[u8] = &[0xb8, 0x84, 0x8d, 0x36, 0xa3];
/// The code of a colon, in the first seven bits.
const COLON_HUFFMAN: u8 = 0b101_1100;

/// Kinds of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    Field,
    Status,
    /// Any other that begins with a colon.
    Request,
}

/// The pseudo-header fields of a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pseudo {
    /// `:status`.
    pub status: bool,
    /// Those of requests.
    pub request: bool,
}

#[derive(Clone, Copy)]
struct Entry {
    kind: Name,
    name: u32,
    value: u32,
}

impl Entry {
    fn bytes(self) -> u32 {
        self.name.saturating_add(self.value).saturating_add(ENTRY_BYTES)
    }
}

/// The dynamic table of one direction of a connection.
pub struct Table {
    /// The newest first.
    entries: VecDeque<Entry>,
    bytes: u32,
    most: u32,
}

impl Table {
    /// That of a new connection.
    pub fn new() -> Table {
        Table { entries: VecDeque::new(), bytes: 0, most: TABLE_BYTES }
    }

    /// Reads a whole header block. Nothing if it cannot be read, after which no other can.
    pub fn read(&mut self, block: &[u8]) -> Option<Pseudo> {
        let mut pseudo = Pseudo::default();
        let mut rest = block;
        while let Some(&first) = rest.first() {
            // RFC 7541 section 6.
            let kind = match first {
                0x80.. => {
                    let index = integer(&mut rest, 7)?;
                    self.name(index)?.0
                }
                0x40.. => {
                    let (kind, name) = self.literal_name(&mut rest, 6)?;
                    let value = string(&mut rest)?;
                    self.insert(Entry { kind, name, value: length(value)? });
                    kind
                }
                0x20.. => {
                    let most = integer(&mut rest, 5)?;
                    self.resize(most)?;
                    continue;
                }
                _ => {
                    let (kind, _) = self.literal_name(&mut rest, 4)?;
                    string(&mut rest)?;
                    kind
                }
            };
            pseudo.status |= kind == Name::Status;
            pseudo.request |= kind == Name::Request;
        }
        Some(pseudo)
    }

    /// The kind and the length of an indexed name.
    fn name(&self, index: u32) -> Option<(Name, u32)> {
        let index = (index as usize).checked_sub(1)?;
        let Some(&length) = STATIC.get(index) else {
            return self.entries.get(index - STATIC.len()).map(|entry| (entry.kind, entry.name));
        };
        let kind = match index {
            ..STATIC_REQUEST => Name::Request,
            STATIC_REQUEST..STATIC_STATUS => Name::Status,
            _ => Name::Field,
        };
        Some((kind, length.into()))
    }

    fn literal_name(&self, rest: &mut &[u8], prefix: u32) -> Option<(Name, u32)> {
        match integer(rest, prefix)? {
            0 => {
                let name = string(rest)?;
                Some((name.kind(), length(name)?))
            }
            index => self.name(index),
        }
    }

    /// RFC 7541 section 4.4.
    fn insert(&mut self, entry: Entry) {
        let bytes = entry.bytes();
        self.evict(bytes);
        if bytes <= self.most {
            self.entries.push_front(entry);
            self.bytes += bytes;
        }
    }

    /// RFC 7541 section 4.3.
    fn resize(&mut self, most: u32) -> Option<()> {
        self.most = (most <= TABLE_BYTES).then_some(most)?;
        self.evict(0);
        Some(())
    }

    /// Makes room for as much.
    fn evict(&mut self, bytes: u32) {
        while self.bytes.saturating_add(bytes) > self.most
            && let Some(entry) = self.entries.pop_back()
        {
            self.bytes -= entry.bytes();
        }
    }
}

/// RFC 7541 section 5.1. What needs more than 28 bits behind its prefix, nobody sends.
fn integer(rest: &mut &[u8], prefix: u32) -> Option<u32> {
    let (&first, mut more) = rest.split_first()?;
    let most = (1 << prefix) - 1;
    let mut value = u32::from(first) & most;
    if value == most {
        let mut shift = 0;
        loop {
            let (&next, behind) = more.split_first()?;
            more = behind;
            value = value.checked_add(u32::from(next & 0x7f) << shift)?;
            shift += 7;
            if next & 0x80 == 0 {
                break;
            }
            if shift > 21 {
                return None;
            }
        }
    }
    *rest = more;
    Some(value)
}

/// A string as it came.
#[derive(Clone, Copy)]
struct Coded<'a> {
    bytes: &'a [u8],
    huffman: bool,
}

impl Coded<'_> {
    fn kind(self) -> Name {
        let Some(&first) = self.bytes.first() else { return Name::Field };
        let (colon, status) = match self.huffman {
            true => (first >> 1 == COLON_HUFFMAN, STATUS_HUFFMAN),
            false => (first == b':', STATUS),
        };
        match self.bytes {
            _ if !colon => Name::Field,
            name if name == status => Name::Status,
            _ => Name::Request,
        }
    }
}

/// RFC 7541 section 5.2.
fn string<'a>(rest: &mut &'a [u8]) -> Option<Coded<'a>> {
    let huffman = rest.first()? & 0x80 != 0;
    let length = integer(rest, 7)? as usize;
    let (bytes, behind) = rest.split_at_checked(length)?;
    *rest = behind;
    Some(Coded { bytes, huffman })
}

/// How many octets a string is, decoded.
fn length(string: Coded<'_>) -> Option<u32> {
    if !string.huffman {
        return u32::try_from(string.bytes.len()).ok();
    }
    let (mut octets, mut bits, mut have) = (0u32, 0u64, 0u32);
    let mut bytes = string.bytes.iter();
    loop {
        while have < 32
            && let Some(&byte) = bytes.next()
        {
            bits = bits << 8 | u64::from(byte);
            have += 8;
        }
        match code(bits, have) {
            Some(long) => have -= long,
            // Padding is less than an octet (RFC 7541 section 5.2); more of it, or the end's code, is an error.
            None => return (have < 8).then_some(octets),
        }
        octets += 1;
    }
}

/// How long the code is that the last `have` of `bits` begin with, if all of it is there.
fn code(bits: u64, have: u32) -> Option<u32> {
    // Canonical: those of a length follow each other, from twice the number behind the last one that is shorter.
    let mut first = 0;
    for (long, codes) in (SHORTEST..=have).zip(CODES) {
        let shown = (bits >> (have - long)) as u32 & ((1 << long) - 1);
        if shown < first + codes {
            return Some(long);
        }
        first = (first + codes) << 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        digits.chunks(2).map(byte).collect()
    }

    const REQUEST: Pseudo = Pseudo { status: false, request: true };
    const RESPONSE: Pseudo = Pseudo { status: true, request: false };

    #[test]
    fn the_table_is_as_large_as_in_the_examples_of_rfc_7541() {
        // Appendices C.4 and C.6: with Huffman coding, requests and, in a table of 256 octets, responses.
        let requests = [
            ("8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff", 57),
            ("8286 84be 5886 a8eb 1064 9cbf", 110),
            ("8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf", 164),
        ];
        let responses = [
            (
                "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e
                 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
                222,
            ),
            ("4883 640e ffc1 c0bf", 222),
            (
                "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7
                 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed
                 4ee5 b106 3d50 07",
                215,
            ),
        ];
        for (blocks, most, expected) in [(requests, 4096, REQUEST), (responses, 256, RESPONSE)] {
            let mut table = Table::new();
            table.resize(most).unwrap();
            for (block, size) in blocks {
                assert_eq!(table.read(&bytes(block)), Some(expected), "{block}");
                assert_eq!(table.bytes, size, "{block}");
            }
        }
    }

    #[test]
    fn a_pseudo_header_field_is_seen_however_it_is_coded() {
        for (block, expected) in [
            (&b"\x84"[..], REQUEST),
            (b"\x88", RESPONSE),
            (b"\x04\x01/", REQUEST),
            (b"\x08\x03200", RESPONSE),
            (b"\x00\x05:path\x01/", REQUEST),
            (b"\x10\x07:status\x03200", RESPONSE),
            (b"\x00\x09:protocol\x01x", REQUEST),
            (b"\x00\x85\xb8\x84\x8d\x36\xa3\x03200", RESPONSE),
            // `:path`, Huffman-coded.
            (b"\x00\x84\xb9\x58\xd3\x3f\x01/", REQUEST),
            // Into the table, under a name of its own, and out of it again.
            (b"\x40\x05:path\x01/\xbe", REQUEST),
            (b"\x90\x40\x01a\x01b\xbe", Pseudo::default()),
            (b"\x00\x01a\x05:path", Pseudo::default()),
            (b"", Pseudo::default()),
        ] {
            assert_eq!(Table::new().read(block), Some(expected), "{block:x?}");
        }
    }

    #[test]
    fn a_name_that_left_the_table_is_not_confused_with_another() {
        let mut table = Table::new();
        // A path, then a field that is as large as the table: the path is gone.
        assert_eq!(table.read(b"\x40\x05:path\x01/"), Some(REQUEST));
        let value = [b'v'; 4096 - 32 - 1];
        let large = [&b"\x40\x01a\x7f\xe0\x1e"[..], &value].concat();
        assert_eq!(table.read(&large), Some(Pseudo::default()));
        assert_eq!((table.entries.len(), table.bytes), (1, 4096));
        assert_eq!(table.read(b"\xbe"), Some(Pseudo::default()));
        assert_eq!(table.read(b"\xbf"), None);
    }

    #[test]
    fn what_cannot_be_read_is_told_and_nothing_panics() {
        for block in [
            &b"\x80"[..],
            b"\xbe",
            b"\xff\xff\xff\xff\xff\xff\x01",
            b"\x40",
            b"\x40\x01a",
            b"\x40\x01a\x7f\xff",
            b"\x00\x05:pa",
            // A table larger than was announced.
            b"\x3f\xe2\x1f",
            // The end's code, and more than an octet of padding.
            b"\x40\x01a\x84\xff\xff\xff\xff",
            b"\x40\x01a\x82\xff\xff",
        ] {
            assert_eq!(Table::new().read(block), None, "{block:x?}");
        }
        let mut random = 1u32;
        for _ in 0..100_000 {
            let mut block = [0; 24];
            for byte in &mut block {
                random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                *byte = (random >> 24) as u8;
            }
            let mut table = Table::new();
            let _ = table.read(&block);
            assert!(table.bytes <= TABLE_BYTES);
        }
    }
}
