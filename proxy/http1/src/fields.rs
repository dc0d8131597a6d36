//! Fields as offsets into one buffer, and what every holder of fields can do with them.
//!
//! Heads and trailers share these methods by a macro, not by a trait (callers would have to import it)
//! and not by `Deref` to a common part (`head.bytes` and `head.fields` must be borrowed apart).

use crate::class;
use crate::error::Fault;
use crate::known::Known;

/// A range of octets in the `bytes` of the head or trailers that it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Span {
    pub start: u32,
    pub end: u32,
}

impl Span {
    /// Callers keep offsets below `Limits::head_cap` or check them, so the casts lose nothing.
    #[inline]
    pub(crate) fn new(start: usize, end: usize) -> Span {
        Span { start: start as u32, end: end as u32 }
    }

    /// The octets; empty if the span does not lie in `bytes`.
    #[inline]
    pub fn of(self, bytes: &[u8]) -> &[u8] {
        bytes.get(self.start as usize..self.end as usize).unwrap_or_default()
    }

    #[inline]
    pub fn len(self) -> usize {
        self.end.saturating_sub(self.start) as usize
    }

    #[inline]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }
}

/// One field line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// As it was spelled.
    pub name: Span,
    /// Without white space at its ends.
    pub value: Span,
    /// Which name it is.
    pub known: Known,
    /// Not to be sent on: hop-by-hop, or removed by a filter. Lookups do not see it either.
    pub drop: bool,
}

/// Appends `name: value CRLF` and its [`Field`]; the layout is that of a parsed line, which lets the
/// serializer copy pushed and parsed lines alike in runs.
pub(crate) fn push(bytes: &mut Vec<u8>, name: &[u8], value: &[u8]) -> Result<Field, Fault> {
    let value = class::trim(value);
    if !class::is_token(name) {
        return Err(Fault::FieldName);
    }
    if !class::is_value(value) {
        return Err(Fault::FieldValue);
    }
    let name = append(bytes, name)?;
    bytes.extend_from_slice(b": ");
    let value = append(bytes, value)?;
    bytes.extend_from_slice(b"\r\n");
    Ok(Field { name, value, known: Known::of(name.of(bytes)), drop: false })
}

/// Appends raw octets and says where they lie.
pub(crate) fn append(bytes: &mut Vec<u8>, raw: &[u8]) -> Result<Span, Fault> {
    let (start, end) = (bytes.len(), bytes.len() + raw.len());
    if end > (u32::MAX - 4) as usize {
        return Err(Fault::TooLarge);
    }
    bytes.extend_from_slice(raw);
    Ok(Span::new(start, end))
}

macro_rules! impl_fields {
    ($holder:ty) => {
        impl $holder {
            /// The value of the first field of that name that is not dropped;
            /// none for [`Known::Other`](crate::Known::Other).
            #[inline]
            pub fn get(&self, known: $crate::Known) -> Option<&[u8]> {
                self.value_of(known).map(|value| value.of(&self.bytes))
            }

            /// As [`Self::get`], but where the value stands.
            #[inline]
            pub fn value_of(&self, known: $crate::Known) -> Option<$crate::Span> {
                if known == $crate::Known::Other || self.present & known.bit() == 0 {
                    return None;
                }
                let field = self.fields.iter().find(|field| field.known == known && !field.drop)?;
                Some(field.value)
            }

            /// The values of all fields of that name that are not dropped, in order; of all unknown ones for
            /// [`Known::Other`](crate::Known::Other).
            pub fn get_all(&self, known: $crate::Known) -> impl Iterator<Item = &[u8]> {
                let present = self.present & known.bit() != 0;
                let fields = if present { &self.fields[..] } else { &[] };
                fields
                    .iter()
                    .filter(move |field| field.known == known && !field.drop)
                    .map(|field| field.value.of(&self.bytes))
            }

            /// The values of all fields of that name, whatever its case, in order. Those the proxy knows
            /// are found faster by [`Self::get_all`].
            pub fn find<'a>(&'a self, name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
                self.fields
                    .iter()
                    .filter(move |field| {
                        !field.drop && $crate::scan::same_but_case(field.name.of(&self.bytes), name)
                    })
                    .map(|field| field.value.of(&self.bytes))
            }

            /// Every field that is not dropped: name as spelled, value, and which name it is.
            pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8], $crate::Known)> {
                self.fields
                    .iter()
                    .filter(|field| !field.drop)
                    .map(|field| (field.name.of(&self.bytes), field.value.of(&self.bytes), field.known))
            }

            /// Adds a field at the end. White space at the ends of `value` is left out.
            ///
            /// # Errors
            /// [`Fault::FieldName`](crate::Fault::FieldName) and
            /// [`Fault::FieldValue`](crate::Fault::FieldValue), so that nothing a filter makes of user
            /// input can end the line.
            pub fn push(&mut self, name: &[u8], value: &[u8]) -> Result<(), $crate::Fault> {
                let field = $crate::fields::push(&mut self.bytes, name, value)?;
                self.present |= field.known.bit();
                self.fields.push(field);
                Ok(())
            }

            /// Drops every field of that name. [`Known::Other`](crate::Known::Other) drops none.
            pub fn remove(&mut self, known: $crate::Known) {
                if known == $crate::Known::Other || self.present & known.bit() == 0 {
                    return;
                }
                self.fields
                    .iter_mut()
                    .filter(|field| field.known == known)
                    .for_each(|field| field.drop = true);
                self.present &= !known.bit();
            }

            /// Drops every field of that name, whatever its case.
            pub fn remove_name(&mut self, name: &[u8]) {
                for field in &mut self.fields {
                    if $crate::scan::same_but_case(field.name.of(&self.bytes), name) {
                        field.drop = true;
                    }
                }
            }

            /// Replaces all fields of that name by one.
            ///
            /// # Errors
            /// As [`Self::push`]; nothing is removed then.
            pub fn set(&mut self, name: &[u8], value: &[u8]) -> Result<(), $crate::Fault> {
                let before = self.fields.len();
                self.push(name, value)?;
                for field in &mut self.fields[..before] {
                    if $crate::scan::same_but_case(field.name.of(&self.bytes), name) {
                        field.drop = true;
                    }
                }
                Ok(())
            }

            /// The octets of a span of this head.
            #[inline]
            pub fn slice(&self, span: $crate::Span) -> &[u8] {
                span.of(&self.bytes)
            }
        }
    };
}
pub(crate) use impl_fields;
