//! The page that Prometheus scrapes, as numbers.

use std::collections::BTreeMap;

/// One scrape.
#[derive(Clone, Debug)]
pub struct Metrics {
    samples: Vec<Sample>,
}

#[derive(Clone, Debug)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

impl Metrics {
    /// Reads the text format, version 0.0.4.
    ///
    /// # Panics
    /// At what is not in that format, and at a sample without `# TYPE` before it: scrapers are as strict.
    pub fn parse(page: &str) -> Metrics {
        let mut samples = Vec::new();
        let mut types: Vec<&str> = Vec::new();
        for line in page.lines().filter(|line| !line.is_empty()) {
            if let Some(comment) = line.strip_prefix("# ") {
                if let Some(kind) = comment.strip_prefix("TYPE ") {
                    types.push(kind.split(' ').next().unwrap_or_default());
                }
                continue;
            }
            let sample = Sample::parse(line).unwrap_or_else(|| panic!("not a sample: {line}"));
            let plain = |suffix| sample.name.strip_suffix(suffix).unwrap_or(&sample.name);
            let typed = ["", "_bucket", "_sum", "_count"].iter().any(|suffix| types.contains(&plain(suffix)));
            assert!(typed, "no TYPE for {line}");
            samples.push(sample);
        }
        Metrics { samples }
    }

    /// The sum of all series of this name that have these labels among theirs.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.of(name, labels).map(|sample| sample.value).sum()
    }

    /// Whether there is such a series.
    pub fn has(&self, name: &str, labels: &[(&str, &str)]) -> bool {
        self.of(name, labels).next().is_some()
    }

    /// How many series there are.
    pub fn series(&self) -> usize {
        self.samples.len()
    }

    fn of(&self, name: &str, labels: &[(&str, &str)]) -> impl Iterator<Item = &Sample> {
        let has = |sample: &Sample| {
            labels.iter().all(|(label, value)| sample.labels.get(*label).is_some_and(|have| have == value))
        };
        self.samples.iter().filter(move |sample| sample.name == name && has(sample))
    }
}

impl Sample {
    fn parse(line: &str) -> Option<Sample> {
        let (series, value) = line.rsplit_once(' ')?;
        let value = value.parse().ok()?;
        let Some((name, rest)) = series.split_once('{') else {
            return Some(Sample { name: series.to_owned(), labels: BTreeMap::new(), value });
        };
        let mut labels = BTreeMap::new();
        let mut rest = rest.strip_suffix('}')?;
        while !rest.is_empty() {
            let (label, after) = rest.split_once("=\"")?;
            // Nothing in our configs needs an escape in a label.
            let (text, after) = after.split_once('"')?;
            labels.insert(label.to_owned(), text.to_owned());
            rest = after.strip_prefix(',').unwrap_or(after);
        }
        Some(Sample { name: name.to_owned(), labels, value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_summed_over_the_labels_not_named() {
        let page = "# TYPE a counter\na{x=\"1\",y=\"1\"} 2\na{x=\"1\",y=\"2\"} 3\na{x=\"2\",y=\"1\"} 4\n\
                    # TYPE h histogram\nh_bucket{le=\"+Inf\"} 5\nh_count 5\n";
        let metrics = Metrics::parse(page);
        assert_eq!(metrics.sum("a", &[("x", "1")]), 5.0);
        assert_eq!(metrics.sum("a", &[]), 9.0);
        assert_eq!(metrics.sum("h_count", &[]), 5.0);
        assert!(!metrics.has("a", &[("x", "3")]));
        assert_eq!(metrics.series(), 5);
    }

    #[test]
    #[should_panic(expected = "no TYPE")]
    fn a_sample_without_a_type_is_no_page() {
        Metrics::parse("a 1\n");
    }
}
