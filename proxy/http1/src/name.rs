//! Names of fields that the program itself adds.

use crate::class;

/// A field name that was checked when the program was compiled, kept as it is written.
///
/// Adding six fields by names of unknown making cost a tenth of all instructions of a proxied request.
///
/// ```
/// use causeway_proxy_http1::Name;
/// const VIA: Name = Name::new("Via: ");
/// assert_eq!(VIA.as_bytes(), b"Via");
/// ```
///
/// ```compile_fail
/// use causeway_proxy_http1::Name;
/// const BAD: Name = Name::new("no name: ");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Name(&'static [u8]);

impl Name {
    /// The name as it stands in `start`, before `": "`.
    ///
    /// # Panics
    /// If `start` is not a token and `": "`. In a `const` that is an error of the compiler.
    pub const fn new(start: &'static str) -> Name {
        let [name @ .., b':', b' '] = start.as_bytes() else {
            panic!("a name is written with \": \" behind it")
        };
        assert!(!name.is_empty(), "a name is not empty");
        let mut i = 0;
        while i < name.len() {
            assert!(class::is_const(name[i], class::TOKEN), "a name is a token (RFC 9110 section 5.1)");
            i += 1;
        }
        Name(start.as_bytes())
    }

    /// The name alone.
    pub fn as_bytes(self) -> &'static [u8] {
        &self.0[..self.0.len() - 2]
    }

    /// With the `": "`.
    pub(crate) fn line_start(self) -> &'static [u8] {
        self.0
    }
}
