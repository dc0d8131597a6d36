//! Values of fields that the program itself adds.

use crate::class;

/// A field value that was checked, or cannot be wrong, so that writing it is a plain copy.
///
/// ```
/// use causeway_proxy_http1::Value;
/// const VIA: Value<'static> = Value::new("1.1 edge");
/// assert_eq!(Value::clean(&mut b"a\r\nb".to_vec()).as_bytes(), b"a  b");
/// ```
///
/// ```compile_fail
/// use causeway_proxy_http1::Value;
/// const BAD: Value<'static> = Value::new("a\r\nb");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Value<'a>(&'a [u8]);

impl<'a> Value<'a> {
    /// A value from code.
    ///
    /// # Panics
    /// If it holds a control. In a `const` that is an error of the compiler.
    pub const fn new(text: &'static str) -> Value<'static> {
        let bytes = text.as_bytes();
        let mut i = 0;
        while i < bytes.len() {
            assert!(
                class::is_value_octet(bytes[i]),
                "no control may stand in a value (RFC 9110 section 5.5)"
            );
            i += 1;
        }
        Value(bytes)
    }

    /// A value from elsewhere. `None`: it is none.
    pub fn of(bytes: &'a [u8]) -> Option<Value<'a>> {
        class::is_value(bytes).then_some(Value(bytes))
    }

    /// As [`Self::of`], with each octet that may not be there made a SP (RFC 9110 section 5.5).
    pub fn clean(bytes: &'a mut [u8]) -> Value<'a> {
        for octet in bytes.iter_mut().filter(|octet| !class::is_value_octet(**octet)) {
            *octet = b' ';
        }
        Value(bytes)
    }

    /// What was checked under another name.
    pub(crate) fn checked(bytes: &'a [u8]) -> Value<'a> {
        debug_assert!(class::is_value(bytes));
        Value(bytes)
    }

    /// Its octets.
    pub fn as_bytes(self) -> &'a [u8] {
        self.0
    }
}

/// A number as text.
#[derive(Debug, Clone, Copy)]
pub struct Decimal {
    digits: [u8; 20],
    at: usize,
}

impl Decimal {
    /// The decimal digits of `number`: at most 20.
    #[inline]
    pub fn of(mut number: u64) -> Decimal {
        const PAIRS: [[u8; 2]; 100] = {
            let mut pairs = [[b'0'; 2]; 100];
            let mut i = 0;
            while i < 100 {
                pairs[i] = [b'0' + (i / 10) as u8, b'0' + (i % 10) as u8];
                i += 1;
            }
            pairs
        };
        let mut digits = [b'0'; 20];
        let mut at = digits.len();
        while number >= 10 {
            at -= 2;
            [digits[at], digits[at + 1]] = PAIRS[(number % 100) as usize];
            number /= 100;
        }
        if number > 0 || at == digits.len() {
            at -= 1;
            digits[at] = b'0' + number as u8;
        }
        Decimal { digits, at }
    }

    /// The digits.
    pub fn as_value(&self) -> Value<'_> {
        Value(&self.digits[self.at..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_the_standard_library_does() {
        let powers = (0..20).map(|power| 10u64.pow(power)).flat_map(|n| [n - 1, n, n + 1, n / 3]);
        for n in (0..1_000).chain(powers).chain([u64::MAX]) {
            assert_eq!(Decimal::of(n).as_value().as_bytes(), n.to_string().as_bytes());
        }
    }

    #[test]
    fn no_control_gets_into_a_value() {
        for octet in 0..=255u8 {
            let fine = octet == b'\t' || !octet.is_ascii_control();
            assert_eq!(Value::of(&[b'a', octet]).is_some(), fine);
            let cleaned = if fine { octet } else { b' ' };
            assert_eq!(Value::clean(&mut [b'a', octet]).as_bytes(), [b'a', cleaned]);
        }
    }
}
