//! "Did you mean": the known name nearest to the one written.

/// Names that are compared at most: a file with a hundred thousand names and as many slips must not take hours.
const COMPARED: usize = 256;
/// Names that are listed at most.
const LISTED: usize = 12;

/// What to do about an unknown name: the nearest known one, or `otherwise: a, b, c`.
pub(crate) fn remedy<'n>(written: &str, names: impl IntoIterator<Item = &'n str>, otherwise: &str) -> String {
    let names: Vec<&str> = names.into_iter().take(COMPARED).collect();
    if let Some(name) = closest(written, &names) {
        return format!("did you mean `{name}`?");
    }
    let listed = names[..names.len().min(LISTED)].join(", ");
    let more = if names.len() > LISTED { ", ..." } else { "" };
    format!("{otherwise}: {listed}{more}")
}

/// The name that differs by the fewest edits, if they are few enough for a slip: a third of its length.
/// Letter case, `-` and `_` do not count.
fn closest<'n>(written: &str, names: &[&'n str]) -> Option<&'n str> {
    // Longer texts are no slips, and the distance takes the product of the lengths.
    if written.len() > 64 {
        return None;
    }
    let near = |name: &&&str| name.len().abs_diff(written.len()) <= name.len().max(3) / 2 + 2;
    let fold = |text: &str| text.to_ascii_lowercase().replace(['-', '_'], "");
    let folded = fold(written);
    names
        .iter()
        .filter(near)
        .map(|name| (distance(&folded, &fold(name)), *name))
        .filter(|(edits, name)| edits * 3 <= name.len().max(3) && *edits < folded.len())
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, name)| name)
}

/// Optimal string alignment: insertions, deletions, substitutions, swaps of neighbours.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let substituted = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = substituted.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_name_and_a_stranger_does_not() {
        let names = ["endpoints", "protocol", "tls", "healthCheck", "maxConnections"];
        assert_eq!(closest("endpoint", &names), Some("endpoints"));
        assert_eq!(closest("protcool", &names), Some("protocol"));
        assert_eq!(closest("health_check", &names), Some("healthCheck"));
        assert_eq!(closest("MAXCONNECTIONS", &names), Some("maxConnections"));
        assert_eq!(closest("tsl", &names), Some("tls"));
        assert_eq!(closest("locality", &names), None);
        assert_eq!(closest("c", &["a", "b"]), None);
        assert_eq!(closest(&"endpoints".repeat(1000), &names), None);
    }

    #[test]
    fn a_stranger_is_shown_what_there_is() {
        assert_eq!(remedy("maglew", ["rendezvous", "maglev"], "write"), "did you mean `maglev`?");
        assert_eq!(remedy("ring", ["rendezvous", "maglev"], "write"), "write: rendezvous, maglev");
        let many: Vec<String> = (0..1000).map(|number| format!("name-{number}")).collect();
        assert!(remedy("x", many.iter().map(String::as_str), "write").ends_with("name-11, ..."));
    }

    #[test]
    fn edits_are_counted() {
        for (a, b, edits) in
            [("", "abc", 3), ("abc", "abc", 0), ("abc", "acb", 1), ("abc", "axc", 1), ("ab", "xaby", 2)]
        {
            assert_eq!(distance(a, b), edits, "{a} {b}");
        }
    }
}
