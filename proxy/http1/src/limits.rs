//! How much a head may take.

/// The bounds of one head (or trailer section). Offsets are `u32`, so no bound is taken above 1 GiB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the whole head, from the first byte of its start line to the empty line that ends it.
    /// Past it a request is answered 431 (RFC 6585 section 5). Default 64 KiB.
    pub head_bytes: usize,
    /// Field lines in the head. Past it 431 as well. Default 100.
    pub head_count: usize,
    /// Bytes of a request line or status line with its CRLF. Past it a request is answered 414
    /// (RFC 9110 section 15.5.15). Default 16 KiB; RFC 9112 section 3 wants at least 8,000.
    pub line_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { head_bytes: 64 * 1024, head_count: 100, line_bytes: 16 * 1024 }
    }
}

impl Limits {
    pub(crate) fn head_cap(&self) -> usize {
        self.head_bytes.min(1 << 30)
    }

    pub(crate) fn line_cap(&self) -> usize {
        self.line_bytes.min(self.head_cap())
    }
}
