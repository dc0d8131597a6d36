//! Writes the Prometheus text format, version 0.0.4.
//!
//! A page is a list of families, each with HELP and TYPE before its samples and all samples together, as the
//! format demands. So a caller walks its objects once a family, not its families once an object; that is a loop
//! over a few thousand entries on a scrape, and nothing can be out of order.

use std::fmt::{Display, Write};

use super::histogram::{BOUNDS, Totals};

/// The `Content-Type` of a page.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A page under construction.
#[derive(Default)]
pub struct Page(String);

/// One label: name, value.
pub type Label<'a> = (&'a str, &'a str);

impl Page {
    /// Begins with a page that is complete in itself, such as another exporter's.
    pub fn with(start: String) -> Page {
        let mut page = Page(start);
        if !page.0.is_empty() && !page.0.ends_with('\n') {
            page.0.push('\n');
        }
        page
    }

    /// A family of counters; by convention its name ends in `_total`.
    pub fn counter(&mut self, name: &str, help: &str, samples: impl FnOnce(&mut Family<'_>)) {
        self.family(name, "counter", help, samples);
    }

    /// A family of values that may fall.
    pub fn gauge(&mut self, name: &str, help: &str, samples: impl FnOnce(&mut Family<'_>)) {
        self.family(name, "gauge", help, samples);
    }

    /// A family of histograms; by convention its name ends in the unit.
    pub fn histogram(&mut self, name: &str, help: &str, samples: impl FnOnce(&mut Family<'_>)) {
        self.family(name, "histogram", help, samples);
    }

    fn family(&mut self, name: &str, kind: &str, help: &str, samples: impl FnOnce(&mut Family<'_>)) {
        let before = self.0.len();
        let help = help.replace('\\', r"\\").replace('\n', r"\n");
        write(&mut self.0, format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
        let head = self.0.len();
        samples(&mut Family { out: &mut self.0, name });
        if self.0.len() == head {
            self.0.truncate(before);
        }
    }

    /// The text.
    pub fn finish(self) -> String {
        self.0
    }
}

/// The samples of one family.
pub struct Family<'a> {
    out: &'a mut String,
    name: &'a str,
}

impl Family<'_> {
    /// One sample. Names of labels must be the format's own (`[a-zA-Z_][a-zA-Z0-9_]*`); values may be anything.
    pub fn sample(&mut self, labels: &[Label<'_>], value: impl Display) {
        self.line("", labels, None, value);
    }

    /// The buckets, sum and count of one histogram.
    pub fn totals(&mut self, labels: &[Label<'_>], totals: &Totals) {
        let mut count = 0;
        for (&bound, n) in BOUNDS.iter().zip(&totals.buckets) {
            count += n;
            self.line("_bucket", labels, Some(Some(bound)), count);
        }
        self.line("_bucket", labels, Some(None), totals.count());
        self.line("_sum", labels, None, totals.seconds);
        self.line("_count", labels, None, totals.count());
    }

    /// `le`: `None` = no such label, `Some(None)` = `+Inf`.
    fn line(&mut self, suffix: &str, labels: &[Label<'_>], le: Option<Option<f64>>, value: impl Display) {
        write(self.out, format_args!("{}{suffix}", self.name));
        let mut next = '{';
        for (name, text) in labels {
            write(self.out, format_args!("{next}{name}=\""));
            escape(self.out, text);
            self.out.push('"');
            next = ',';
        }
        match le {
            None => {}
            Some(Some(bound)) => write(self.out, format_args!("{next}le=\"{bound}\"")),
            Some(None) => write(self.out, format_args!("{next}le=\"+Inf\"")),
        }
        if next == ',' || le.is_some() {
            self.out.push('}');
        }
        write(self.out, format_args!(" {value}\n"));
    }
}

/// A share that was computed as `f32` as it was meant: 0.7, not 0.699999988079071.
pub fn share(value: f32) -> f64 {
    (f64::from(value) * 1e6).round() / 1e6
}

/// Label values: backslash, quote and line feed are escaped.
fn escape(out: &mut String, text: &str) {
    for letter in text.chars() {
        match letter {
            '\\' => out.push_str(r"\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str(r"\n"),
            other => out.push(other),
        }
    }
}

fn write(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = out.write_fmt(text);
}

/// A checker of pages, for tests.
#[cfg(test)]
pub(crate) mod check {
    use std::collections::BTreeMap;

    /// Reads a page strictly and gives its samples by name and labels, as written. Panics on what breaks the
    /// format or the field's conventions.
    pub(crate) fn check(page: &str) -> BTreeMap<String, f64> {
        let mut samples = BTreeMap::new();
        let mut families: BTreeMap<String, String> = BTreeMap::new();
        let mut current = String::new();
        assert!(page.is_empty() || page.ends_with('\n'), "the last line must end");
        for line in page.lines().filter(|line| !line.is_empty()) {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                assert!(families.insert(name.into(), kind.into()).is_none(), "{name} twice");
                assert!(matches!(kind, "counter" | "gauge" | "histogram"), "{line}");
                assert_eq!(kind == "counter", name.ends_with("_total"), "{name} is a {kind}");
                current = name.into();
            } else if !line.starts_with("# HELP ") {
                let (series, value) = split(line);
                let name = series.split('{').next().unwrap();
                let family = match families.get(&current).map(String::as_str) {
                    Some("histogram") => name
                        .strip_suffix("_bucket")
                        .or_else(|| name.strip_suffix("_sum"))
                        .or_else(|| name.strip_suffix("_count")),
                    _ => Some(name),
                };
                assert_eq!(family, Some(current.as_str()), "{line} is not of the family above it");
                assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'), "{line}");
                let value: f64 = value.parse().unwrap_or_else(|_| panic!("{line}"));
                assert!(samples.insert(series.to_owned(), value).is_none(), "{series} twice");
            }
        }
        samples
    }

    /// At the space behind the labels, which is not the first one: label values may hold spaces and braces.
    fn split(line: &str) -> (&str, &str) {
        let (mut quoted, mut escaped) = (false, false);
        for (at, letter) in line.char_indices() {
            match letter {
                _ if escaped => escaped = false,
                '\\' if quoted => escaped = true,
                '"' => quoted = !quoted,
                ' ' if !quoted => return (&line[..at], &line[at + 1..]),
                _ => {}
            }
        }
        panic!("no value: {line}");
    }
}

#[cfg(test)]
mod tests {
    use super::check::check;
    use super::*;
    use crate::telemetry::histogram::Histogram;

    #[test]
    fn a_family_has_its_help_and_type_before_its_samples() {
        let mut page = Page::default();
        page.counter("a_total", "All of a.", |family| {
            family.sample(&[], 3);
            family.sample(&[("x", "1"), ("y", "2")], 4);
        });
        let text =
            "# HELP a_total All of a.\n# TYPE a_total counter\na_total 3\na_total{x=\"1\",y=\"2\"} 4\n";
        assert_eq!(page.finish(), text);
    }

    #[test]
    fn a_label_value_cannot_break_out_of_its_quotes() {
        let mut page = Page::default();
        page.gauge("up", "Up.", |family| {
            family.sample(&[("name", "a\"} 1\nforged{x=\"\\")], 1);
        });
        let text = page.finish();
        assert_eq!(check(&text).into_keys().collect::<Vec<_>>(), [r#"up{name="a\"} 1\nforged{x=\"\\"}"#]);
    }

    #[test]
    fn a_family_without_samples_leaves_no_trace() {
        let mut page = Page::with("other 1".to_owned());
        page.gauge("up", "Up.", |_| {});
        assert_eq!(page.finish(), "other 1\n");
    }

    #[test]
    fn buckets_are_cumulative_and_end_in_infinity() {
        let histogram = Histogram::default();
        [100_000, 600_000, 60_000_000_000].iter().for_each(|&nanos| histogram.record(nanos));
        let mut totals = Totals::default();
        histogram.add_to(&mut totals);
        let mut page = Page::default();
        page.histogram("d_seconds", "Durations.", |family| family.totals(&[("s", "api")], &totals));
        let samples = check(&page.finish());
        let at = |le: &str| samples[&format!("d_seconds_bucket{{s=\"api\",le=\"{le}\"}}")];
        assert_eq!(
            (at("0.00025"), at("0.0005"), at("0.001"), at("30"), at("+Inf")),
            (1.0, 1.0, 2.0, 2.0, 3.0)
        );
        assert_eq!(samples["d_seconds_count{s=\"api\"}"], 3.0);
        assert!((samples["d_seconds_sum{s=\"api\"}"] - 60.0007).abs() < 1e-9);
    }
}
