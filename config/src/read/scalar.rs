//! Single values: texts, numbers, choices, and the units of `units`.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::{At, units};
use crate::source::Value;

impl<'a> At<'a> {
    /// The text of a single value, quoted or not, and whether it was plain.
    fn scalar(self) -> Option<(&'a str, bool)> {
        match &self.node.value {
            Value::Scalar { .. } if self.node.is_null() => self.refuse("a value is missing", "write one"),
            Value::Scalar { text, plain } => Some((text, *plain)),
            Value::List(_) => self.refuse("a single value is needed, this is a list", "write one value"),
            Value::Map(_) => self.refuse("a single value is needed, this is a map", "write one value"),
        }
    }

    /// A single value that may be empty.
    pub(crate) fn any_text(self) -> Option<&'a str> {
        self.scalar().map(|(text, _)| text)
    }

    /// A text that is not empty.
    pub(crate) fn text(self) -> Option<String> {
        match self.any_text()? {
            "" => self.refuse("the text is empty", "write one, or leave the field out"),
            text => Some(text.to_owned()),
        }
    }

    fn parsed<T>(self, what: &str, parse: impl FnOnce(&str) -> Result<T, &'static str>) -> Option<T> {
        let text = self.any_text()?;
        parse(text).map_err(|remedy| self.error(format!("`{text}` is not {what}"), remedy)).ok()
    }

    /// A number without quotes; a quoted one is refused as in Kubernetes, where it would be too.
    fn number<T>(self, what: &str, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let (text, plain) = self.scalar()?;
        match parse(text) {
            Some(number) if plain => Some(number),
            Some(_) => self.refuse(format!("\"{text}\" is a text, {what} is needed"), "take the quotes off"),
            None => self.refuse(format!("`{text}` is not {what}"), format!("write {what}")),
        }
    }

    fn within<T: PartialOrd + Display>(
        self,
        number: T,
        range: &RangeInclusive<T>,
        open_end: bool,
    ) -> Option<T> {
        if range.contains(&number) {
            return Some(number);
        }
        let remedy = match open_end {
            true => format!("write {} or more", range.start()),
            false => format!("write a number from {} to {}", range.start(), range.end()),
        };
        self.refuse(format!("{number} is out of range"), remedy)
    }

    /// A whole number.
    pub(crate) fn u32(self, range: RangeInclusive<u32>) -> Option<u32> {
        let number = self.number("a whole number", units::digits)?;
        let number = self.within(
            number,
            &(u64::from(*range.start())..=u64::from(*range.end())),
            *range.end() == u32::MAX,
        );
        number.and_then(|number| u32::try_from(number).ok())
    }

    /// A port, 1 to 65535.
    pub(crate) fn port(self) -> Option<u16> {
        self.u32(1..=65_535).and_then(|port| u16::try_from(port).ok())
    }

    /// A number; `f64::MAX` as the end stands for none.
    pub(crate) fn f64(self, range: RangeInclusive<f64>) -> Option<f64> {
        let number = self.number("a number", units::decimal)?;
        self.within(number, &range, *range.end() == f64::MAX)
    }

    /// A number above 0.
    pub(crate) fn positive(self) -> Option<f64> {
        match self.f64(0.0..=f64::MAX)? {
            0.0 => self.refuse("0 is out of range", "write a number above 0"),
            number => Some(number),
        }
    }

    /// `true` or `false` (YAML 1.2; `yes` and `on` are texts there).
    pub(crate) fn boolean(self) -> Option<bool> {
        match self.scalar()? {
            ("true" | "True" | "TRUE", true) => Some(true),
            ("false" | "False" | "FALSE", true) => Some(false),
            (text, _) => self
                .refuse(format!("`{text}` is neither true nor false"), "write true or false, without quotes"),
        }
    }

    /// A duration, 0 included.
    pub(crate) fn duration(self) -> Option<Duration> {
        self.parsed("a duration", units::duration)
    }

    /// A duration above 0.
    pub(crate) fn period(self) -> Option<Duration> {
        match self.duration()? {
            Duration::ZERO => self.refuse(
                "the duration must be above 0s",
                "for no limit in practice write a long time, such as 24h",
            ),
            period => Some(period),
        }
    }

    /// A duration of which 0 means none.
    pub(crate) fn limit(self) -> Option<Option<Duration>> {
        self.duration().map(|limit| (!limit.is_zero()).then_some(limit))
    }

    /// A number of bytes, such as `64Ki`.
    pub(crate) fn bytes(self) -> Option<u64> {
        self.parsed("a number of bytes", units::bytes)
    }

    /// A number of CPUs in thousandths, such as `500m`.
    pub(crate) fn cpu_millis(self) -> Option<u64> {
        self.parsed("a number of CPUs", units::cpu_millis)
    }

    /// A share, `5%` or `0.05`.
    pub(crate) fn share(self) -> Option<f64> {
        self.parsed("a share", units::share)
    }

    /// The name of a resource or a section.
    pub(crate) fn name(self) -> Option<String> {
        self.parsed("a name", |text| match units::is_object_name(text) {
            true => Ok(text.to_owned()),
            false => Err("write lower-case letters, digits, `-` and `.`, such as us-east-1"),
        })
    }

    /// A DNS name in lower case.
    pub(crate) fn dns_name(self) -> Option<String> {
        self.parsed("a host name", |text| {
            units::dns_name(text).ok_or("write a DNS name, such as api.example.com")
        })
    }

    /// The name of a header, in lower case.
    pub(crate) fn header_name(self) -> Option<String> {
        self.token("a header name").map(|name| name.to_ascii_lowercase())
    }

    /// A token of HTTP.
    pub(crate) fn token(self, what: &str) -> Option<String> {
        self.parsed(what, |text| match units::is_token(text) {
            true => Ok(text.to_owned()),
            false => Err("write letters, digits and `-` (RFC 9110 section 5.6.2), at most 256"),
        })
    }

    /// One of several words.
    pub(crate) fn choice<T: Copy>(self, choices: &[(&str, T)]) -> Option<T> {
        let text = self.any_text()?;
        if let Some((_, choice)) = choices.iter().find(|(word, _)| *word == text) {
            return Some(*choice);
        }
        let words = choices.iter().map(|(word, _)| *word);
        let remedy = self.file.notes.remedy(text, words, "write one of");
        self.refuse(format!("`{text}` is not known here"), remedy)
    }
}
