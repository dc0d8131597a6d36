//! Lines and numbers.

use crate::class;
use crate::fields::Field;
use crate::known::Known;
use crate::name::Name;
use crate::value::{Decimal, Value};

/// The decimal digits of a number.
pub(super) fn decimal(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(Decimal::of(number).as_value().as_bytes());
}

/// `name: value CRLF`. A control octet in the value becomes SP (RFC 9110 section 5.5); a field whose name
/// is no token is left out. Neither happens with names from code and values from a checked configuration.
pub(super) fn field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    if !class::is_token(name) {
        return;
    }
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    self::value(out, value);
    out.extend_from_slice(b"\r\n");
}

fn value(out: &mut Vec<u8>, value: &[u8]) {
    if class::is_value(value) {
        out.extend_from_slice(value);
    } else {
        out.extend(value.iter().map(|&c| if class::is_value_octet(c) { c } else { b' ' }));
    }
}

/// Fields of which neither name nor value needs a look.
pub(super) fn extra(out: &mut Vec<u8>, extra: &[(Name, Value<'_>)]) {
    for (name, value) in extra {
        out.extend_from_slice(name.line_start());
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

pub(super) fn fields(out: &mut Vec<u8>, fields: &[(&[u8], &[u8])]) {
    for (name, value) in fields {
        field(out, name, value);
    }
}

/// Copies the fields that pass: those neither dropped nor in the set `skip`. `run` is where a run of
/// octets to copy has begun already, and where it ends so far.
///
/// Fields that stand behind one another as `name: value CRLF` are copied in one piece; the octets between
/// name and value and behind the value are compared, not assumed, because heads are open to filters.
#[inline]
pub(super) fn copy(out: &mut Vec<u8>, bytes: &[u8], fields: &[Field], skip: u64, run: (usize, usize)) {
    let (mut from, mut to) = run;
    for field in fields {
        if field.drop || skip & field.known.bit() != 0 {
            continue;
        }
        let (start, end) = (field.name.start as usize, field.value.end as usize);
        let name_end = field.name.end as usize;
        let plain = field.value.start as usize == name_end + 2
            && bytes.get(name_end..name_end + 2) == Some(b": ")
            && bytes.get(end..end + 2) == Some(b"\r\n");
        if plain && start == to {
            to = end + 2;
            continue;
        }
        out.extend_from_slice(&bytes[from..to]);
        if plain && start <= end {
            (from, to) = (start, end + 2);
        } else {
            self::field(out, field.name.of(bytes), field.value.of(bytes));
            (from, to) = (0, 0);
        }
    }
    out.extend_from_slice(&bytes[from..to]);
}

/// `Connection` with the given options, if there is any.
pub(super) fn connection(out: &mut Vec<u8>, options: &[Option<&str>]) {
    let mut separator: &[u8] = b"Connection: ";
    for option in options.iter().flatten() {
        out.extend_from_slice(separator);
        out.extend_from_slice(option.as_bytes());
        separator = b", ";
    }
    if separator == b", " {
        out.extend_from_slice(b"\r\n");
    }
}

/// What the serializer writes itself and therefore never copies.
pub(super) const REWRITTEN: u64 =
    crate::head::HOP_BY_HOP | 1 << Known::ContentLength as u64 | 1 << Known::Host as u64;
