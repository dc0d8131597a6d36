//! `docs/conformance.md`.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use crate::battery;
use crate::results::Results;
use crate::target::Target;

/// Where the page lies.
pub fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/conformance.md")
}

const HEAD: &str = "# Conformance

<!-- Made by `cargo run -p causeway-tests-conformance -- report` from tests/conformance/results.json; do not edit. -->

What this proxy promises of HTTP, as checks that look at it from outside: octets are sent, and what comes back and what
the origin got is looked at. Each check follows from a section of an RFC or stops a public attack, and where an RFC leaves a
choice any safe one passes. The same checks are run against other proxies, with the same listeners, routes, upstreams and
limits as far as they have them ([peers](../tests/conformance/peers)), and against our own proxy with faults put into it:
they are what the checks are checked by.

Hundreds of checks run at once. One that fails is run again among those that did, and fails if it fails twice. A panic of our
proxy fails the run, whatever its connections looked like.

";

const MUTANTS: &str = "\
## Mutants

Faults put into our proxy, one at a time, and how many checks notice, in one run. A fault survives where another rule stands
behind it, where an RFC and so the checks leave the choice, or where it is a count that only [tests/tests](../tests/tests) hold
to its number (frames).

";

/// The page.
pub fn page(results: &Results) -> String {
    let mut text = HEAD.to_owned();
    summary(results, &mut text);
    failures(results, &mut text);
    mutants(results, &mut text);
    never(results, &mut text);
    all(&mut text);
    text
}

fn summary(results: &Results, text: &mut String) {
    let checks = battery::all();
    let mut areas: Vec<&str> = checks.iter().map(|check| check.area()).collect();
    areas.dedup();
    let targets: Vec<_> = results.targets.iter().collect();
    let names: Vec<String> =
        targets.iter().map(|(target, run)| format!("{} {}", target.title(), run.version)).collect();
    let _ = writeln!(text, "## Checks that hold\n\n| area | checks | {} |", names.join(" | "));
    let _ = writeln!(text, "| --- | ---: |{}", " ---: |".repeat(targets.len()));
    let mut row = |name: &str, belongs: &dyn Fn(&str) -> bool| {
        let total = results.checks.iter().filter(|id| belongs(id)).count();
        let _ = write!(text, "| {name} | {total} |");
        for (_, run) in &targets {
            let failed = run.failures.keys().filter(|id| results.checks.contains(*id) && belongs(id)).count();
            let _ = write!(text, " {} |", total - failed);
        }
        text.push('\n');
    };
    for area in &areas {
        row(area, &|id| id.split('/').next() == Some(area));
    }
    row("**all**", &|_| true);
    let _ = write!(text, "| | |");
    for (_, run) in &targets {
        let failed = run.failures.keys().filter(|id| results.checks.contains(*id)).count();
        let share = 100.0 - 100.0 * failed as f64 / results.checks.len().max(1) as f64;
        let _ = write!(text, " {share:.1} % |");
    }
    text.push_str("\n\n");
}

fn failures(results: &Results, text: &mut String) {
    text.push_str("## Checks that do not\n\nWhat was seen, shortened. Not each is a fault: some fields and refusals are a matter of configuration\nthat a peer does not have.\n");
    for target in Target::ALL {
        let Some(run) = results.targets.get(&target) else { continue };
        let _ = writeln!(
            text,
            "\n**{}**: {}.",
            target.title(),
            if run.failures.is_empty() { "none".to_owned() } else { run.failures.len().to_string() }
        );
        if run.failures.is_empty() {
            continue;
        }
        text.push_str("\n| check | what was seen |\n| --- | --- |\n");
        for (id, what) in &run.failures {
            let _ = writeln!(text, "| {id} | {} |", short(what));
        }
    }
    text.push('\n');
}

/// A message that fits a table's cell.
fn short(what: &str) -> String {
    let line = what.lines().next().unwrap_or_default().escape_debug().to_string().replace("\\\"", "\"");
    let cut: String = line.chars().take(110).collect();
    let cut = if cut.len() < line.len() { format!("{cut}...") } else { cut };
    format!("`{}`", cut.replace('`', "'").replace('|', "\\|"))
}

fn mutants(results: &Results, text: &mut String) {
    text.push_str(MUTANTS);
    text.push_str("| fault | file | checks that fail |\n| --- | --- | --- |\n");
    for (name, mutant) in &results.mutants {
        let some: Vec<&str> = mutant.killed_by.iter().take(3).map(String::as_str).collect();
        let more = mutant.killed_by.len().saturating_sub(some.len());
        let killers = match (some.is_empty(), more) {
            (true, _) => "**none: it survives**".to_owned(),
            (_, 0) => some.join(", "),
            (_, more) => format!("{}, and {more} more", some.join(", ")),
        };
        let _ = writeln!(text, "| {name} | {} | {killers} |", mutant.file);
    }
    text.push('\n');
}

fn never(results: &Results, text: &mut String) {
    let never = results.never_failed();
    let _ = writeln!(
        text,
        "## Checks that were never seen failing\n\n{} of {}: on no target and on no mutant.\n",
        never.len(),
        results.checks.len()
    );
    for id in never {
        let _ = writeln!(text, "- {id}");
    }
    text.push('\n');
}

fn all(text: &mut String) {
    text.push_str("## All checks\n\n| check | source | promise |\n| --- | --- | --- |\n");
    for check in battery::all() {
        let _ = writeln!(text, "| {} | {} | {} |", check.id, check.source, check.title);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_page_says_what_was_seen() {
        let results = Results::read().expect("committed");
        let committed = std::fs::read_to_string(path()).expect("committed");
        assert!(page(&results) == committed, "run `cargo run -p causeway-tests-conformance -- report`");
        let now: BTreeSet<String> = battery::all().iter().map(|check| check.id.to_owned()).collect();
        assert!(now == results.checks, "run `cargo run -p causeway-tests-conformance -- compare`");
    }

    #[test]
    fn a_message_is_cut_to_a_cell() {
        assert_eq!(short("a|b\nc"), "`a\\|b`");
        assert_eq!(short(&"x".repeat(200)).len(), 115);
    }
}
