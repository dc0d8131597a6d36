//! What may be asked of a message that was received.

use crate::check::{Case, Verdict};
use crate::ensure;
use crate::wire::h1::Message;

/// A condition. `@T` in its texts is the check's token.
#[derive(Clone, Copy, Debug)]
pub enum Seen {
    /// The first line.
    Line(&'static str),
    /// The field, once or as several lines joined by commas, has this value.
    Has(&'static str, &'static str),
    /// One of the field's values holds this.
    Holds(&'static str, &'static str),
    /// None of the field's values holds this.
    Lacks(&'static str, &'static str),
    /// The field stands so often.
    Times(&'static str, usize),
    /// There is no such field.
    No(&'static str),
    /// There is such a field.
    Some(&'static str),
    /// The body.
    Body(&'static str),
    /// The trailer has this value.
    Trailer(&'static str, &'static str),
    /// There is no such trailer, nor a field of that name.
    NoTrailer(&'static str),
}

/// Holds all conditions against a message.
///
/// # Errors
/// The first that does not hold.
pub fn all(case: &Case, message: &Message, conditions: &[Seen], who: &str) -> Verdict {
    for condition in conditions {
        one(case, message, *condition).map_err(|what| format!("{who} got {what}"))?;
    }
    Ok(())
}

fn one(case: &Case, message: &Message, condition: Seen) -> Verdict {
    match condition {
        Seen::Line(line) => {
            let line = case.text(line);
            ensure!(message.start == line, "{:?} instead of {line:?}", message.start);
        }
        Seen::Has(name, value) => {
            let (found, value) = (message.joined(name), case.text(value));
            ensure!(found.as_deref() == Some(&value), "{name}: {found:?} instead of {value:?}");
        }
        Seen::Holds(name, part) => {
            let (found, part) = (message.joined(name).unwrap_or_default(), case.text(part));
            ensure!(found.contains(&part), "{name}: {found:?} without {part:?}");
        }
        Seen::Lacks(name, part) => {
            let found = message.joined(name).unwrap_or_default();
            ensure!(!found.to_ascii_lowercase().contains(part), "{name}: {found:?}");
        }
        Seen::Times(name, times) => {
            let found = message.all(name).len();
            ensure!(found == times, "{name} {found} times instead of {times}");
        }
        Seen::No(name) => {
            let found = message.joined(name);
            ensure!(found.is_none(), "{name}: {found:?}, which should be gone");
        }
        Seen::Some(name) => ensure!(!message.all(name).is_empty(), "no {name}"),
        Seen::Body(body) => {
            let body = case.text(body);
            ensure!(message.text() == body, "the body {:?} instead of {body:?}", message.text());
        }
        Seen::Trailer(name, value) => {
            let found = message.trailers.iter().find(|(own, _)| own.eq_ignore_ascii_case(name));
            let found = found.map(|(_, value)| value.as_str());
            ensure!(found == Some(value), "the trailer {name}: {found:?} instead of {value:?}");
        }
        Seen::NoTrailer(name) => {
            let found = message.trailers.iter().chain(&message.fields);
            let found = found.filter(|(own, _)| own.eq_ignore_ascii_case(name)).count();
            ensure!(found == 0, "a trailer {name}, which should be gone");
        }
    }
    Ok(())
}
