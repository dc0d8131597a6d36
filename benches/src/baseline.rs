//! The committed counts that a change may not exceed: reading, writing, comparing.
//!
//! A count of instructions is the same on a busy machine and on a quiet one, so it can be held to a few percent where
//! time cannot be. It is not the same under another compiler, nor where the C library takes another `memcpy`: a file
//! that was written under other [`Conditions`] is shown, and judges nothing.

use std::collections::BTreeMap;
use std::fmt;

/// How much more than its baseline a workload may cost. Three runs of one program differ by less than a tenth of this
/// (README.md has the figures); below it a change costs less than what one more header field does.
pub const TOLERANCE: f64 = 0.03;

/// What a count depends on beside the source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// As `rustc -V` says it.
    pub rustc: String,
    /// See [`seen_by_valgrind`](crate::machine::seen_by_valgrind).
    pub cpu: String,
}

/// The file's content.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Baseline {
    /// What it was written under.
    pub conditions: Conditions,
    /// Instructions a request, by workload.
    pub counts: BTreeMap<String, f64>,
}

impl Baseline {
    /// Reads the text of a file.
    ///
    /// # Errors
    /// A line that is neither a comment nor a workload with its count.
    pub fn parse(text: &str) -> Result<Baseline, String> {
        let mut baseline = Baseline::default();
        for (number, line) in (1..).zip(text.lines()) {
            if let Some(comment) = line.strip_prefix('#') {
                match comment.trim().split_once(": ") {
                    Some(("rustc", value)) => value.trim().clone_into(&mut baseline.conditions.rustc),
                    Some(("cpu", value)) => value.trim().clone_into(&mut baseline.conditions.cpu),
                    _ => {}
                }
                continue;
            }
            let words: Vec<&str> = line.split_whitespace().collect();
            match words[..] {
                [] => {}
                [name, count] => {
                    let count: Option<f64> = count.parse().ok().filter(|n: &f64| n.is_finite() && *n > 0.0);
                    let count =
                        count.ok_or_else(|| format!("line {number}: {line:?} has no count above 0"))?;
                    if baseline.counts.insert(name.to_owned(), count).is_some() {
                        return Err(format!("line {number}: {name} is there twice"));
                    }
                }
                _ => return Err(format!("line {number}: {line:?} is not a workload and its count")),
            }
        }
        Ok(baseline)
    }

    /// The text of a file, written on this day.
    pub fn render(&self, day: &str) -> String {
        let Conditions { rustc, cpu } = &self.conditions;
        let mut text = format!(
            "# Instructions in user space that a request costs the worker's thread, counted by callgrind. More than\n\
             # {:.0} % above these fails `.ci/instructions`. Written by `instructions --write`; README.md says how to read it.\n\
             # rustc: {rustc}\n# cpu: {cpu}\n# date: {day}\n",
            TOLERANCE * 100.0
        );
        for (name, count) in &self.counts {
            text += &format!("{name:<10} {count:>7.0}\n");
        }
        text
    }

    /// Holds what was `found` under `now` against this.
    pub fn compare(&self, found: &Baseline) -> Comparison {
        if self.conditions != found.conditions {
            let (was, is) = (self.conditions.clone(), found.conditions.clone());
            return Comparison::Incomparable { was, is };
        }
        let verdict = |(name, count): (&String, &f64)| {
            let verdict = self.counts.get(name).map_or(Verdict::Missing, |&base| judge(base, *count));
            (name.clone(), verdict)
        };
        let unmeasured = self.counts.keys().filter(|name| !found.counts.contains_key(*name));
        let unmeasured = unmeasured.map(|name| (name.clone(), Verdict::Unmeasured));
        Comparison::Judged(found.counts.iter().map(verdict).chain(unmeasured).collect())
    }
}

fn judge(base: f64, found: f64) -> Verdict {
    let change = found / base - 1.0;
    match () {
        () if change > TOLERANCE => Verdict::Worse(change),
        () if change < -TOLERANCE => Verdict::Better(change),
        () => Verdict::Same(change),
    }
}

/// What a comparison says.
#[derive(Clone, Debug, PartialEq)]
pub enum Comparison {
    /// Other conditions: no count says anything about another.
    Incomparable {
        /// The file's.
        was: Conditions,
        /// The present ones.
        is: Conditions,
    },
    /// Each workload.
    Judged(Vec<(String, Verdict)>),
}

impl Comparison {
    /// Whether a change may go in.
    pub fn passes(&self) -> bool {
        match self {
            Comparison::Incomparable { .. } => true,
            Comparison::Judged(all) => {
                all.iter().all(|(_, verdict)| matches!(verdict, Verdict::Same(_) | Verdict::Better(_)))
            }
        }
    }
}

/// What became of one workload; changes as shares of the baseline.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// Within the tolerance.
    Same(f64),
    /// Above it: this fails.
    Worse(f64),
    /// Below it: the baseline should follow, or the gain can be lost again unnoticed.
    Better(f64),
    /// Not in the file: this fails.
    Missing,
    /// In the file and not measured: this fails, or a workload could be dropped unnoticed.
    Unmeasured,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let write = "`instructions --write`";
        match self {
            Verdict::Same(change) => write!(f, "{:+.1} %: fine", change * 100.0),
            Verdict::Worse(change) => write!(
                f,
                "{:+.1} %: FAILS, at most {:+.0} % is allowed. Find what it buys; if that is worth it, run {write}",
                change * 100.0,
                TOLERANCE * 100.0
            ),
            Verdict::Better(change) => {
                write!(f, "{:+.1} %: better. Lower the baseline: run with --write", change * 100.0)
            }
            Verdict::Missing => write!(f, "FAILS, it has no baseline: run {write}"),
            Verdict::Unmeasured => write!(f, "FAILS, it has a baseline and was not measured: run {write}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(counts: &[(&str, f64)]) -> Baseline {
        let conditions =
            Conditions { rustc: "rustc 1.95.0 (a 2026-04-14)".into(), cpu: "x86_64-avx2".into() };
        let counts = counts.iter().map(|&(name, count)| (name.to_owned(), count)).collect();
        Baseline { conditions, counts }
    }

    fn verdicts(base: &Baseline, found: &Baseline) -> Vec<(String, Verdict)> {
        match base.compare(found) {
            Comparison::Judged(verdicts) => verdicts,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let written = of(&[("get", 17_025.0), ("no-route", 6_000.0)]);
        assert_eq!(Baseline::parse(&written.render("2026-11-25")), Ok(written));
    }

    #[test]
    fn a_broken_line_is_told_by_its_number() {
        for (text, number) in [("# x\nget\n", 2), ("get many\n", 1), ("get -3\n", 1), ("get 3\n\nget 4\n", 3)]
        {
            let error = Baseline::parse(text).unwrap_err();
            assert!(error.starts_with(&format!("line {number}: ")), "{text:?}: {error}");
        }
    }

    #[test]
    fn four_percent_more_fails_and_two_do_not() {
        let base = of(&[("get", 10_000.0), ("post", 10_000.0)]);
        let found = of(&[("get", 10_200.0), ("post", 10_400.0)]);
        let all = verdicts(&base, &found);
        assert!(matches!(all[0].1, Verdict::Same(_)) && matches!(all[1].1, Verdict::Worse(_)), "{all:?}");
        assert!(!base.compare(&found).passes());
        assert!(base.compare(&of(&[("get", 10_299.0), ("post", 9_701.0)])).passes());
    }

    #[test]
    fn four_percent_less_passes_and_asks_for_a_lower_baseline() {
        let (base, found) = (of(&[("get", 10_000.0)]), of(&[("get", 9_600.0)]));
        assert!(base.compare(&found).passes());
        let said = verdicts(&base, &found)[0].1.to_string();
        assert!(said.contains("Lower the baseline: run with --write"), "{said}");
    }

    #[test]
    fn under_another_compiler_or_cpu_nothing_is_judged() {
        let base = of(&[("get", 10_000.0)]);
        let mut found = of(&[("get", 20_000.0)]);
        found.conditions.rustc = "rustc 1.96.0 (b 2026-05-28)".into();
        assert!(matches!(base.compare(&found), Comparison::Incomparable { .. }));
        assert!(base.compare(&found).passes());
        found = of(&[("get", 20_000.0)]);
        found.conditions.cpu = "aarch64-baseline".into();
        assert!(base.compare(&found).passes());
    }

    #[test]
    fn a_workload_that_is_on_one_side_only_fails() {
        let (both, one) = (of(&[("get", 1.0), ("post", 1.0)]), of(&[("get", 1.0)]));
        assert_eq!(verdicts(&one, &both)[1], ("post".to_owned(), Verdict::Missing));
        assert_eq!(verdicts(&both, &one)[1], ("post".to_owned(), Verdict::Unmeasured));
        assert!(!one.compare(&both).passes() && !both.compare(&one).passes());
    }
}
