//! The project's README: the table that an engineer who compares looks for, between two marks.

use std::fmt::Write;

use super::goal::RIVALS;
use super::{goal, median, table};
use crate::job::Job;
use crate::peer::Peer;
use crate::results::Results;

/// Where the table begins.
pub const BEGIN: &str = "<!-- made by `causeway-loadtest report`; begin -->\n";

/// Where it ends.
pub const END: &str = "<!-- end -->\n";

const ROWS: [Job; 8] = [
    Job::Http1,
    Job::Http1Small,
    Job::Http1Paced,
    Job::Tls,
    Job::Http2,
    Job::Close,
    Job::Body64k,
    Job::Body10m,
];

/// The README with the table of these results in place of the one that it has.
///
/// # Errors
/// It has no place for one.
pub fn with_table(readme: &str, results: &Results) -> Result<String, String> {
    let place = readme.split_once(BEGIN).and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let (before, after) = place.ok_or_else(|| format!("the README has no lines {BEGIN}and {END}"))?;
    Ok(format!("{before}{BEGIN}{}{END}{after}", table(results)))
}

fn table(results: &Results) -> String {
    let cost = table::jobs(results, &ROWS, |results, peer, job| {
        let cpu = median(results, peer, job, |sample| sample.cpu_us)?;
        let text = if cpu >= 1_000.0 { table::thousands(cpu) } else { format!("{cpu:.1}") };
        Some(if peer == Peer::Causeway { format!("**{text}**{}", ratio(results, job)) } else { text })
    });
    let latency = table::jobs(results, &[Job::Http1Paced], table::latencies);
    let mut text = String::from(
        "CPU microseconds a request; in parentheses, ours to the best of HAProxy and nginx:\n\n",
    );
    text.push_str(&cost);
    text.push_str("\np50 / p99 / p99.9 in microseconds at 5,000 requests a second, open loop:\n\n");
    text.push_str(&latency);
    text.push_str("\nMemory:\n\n");
    text.push_str(&table::memory(results));
    let _ = write!(text, "\n{}\n", table::facts(results));
    text
}

/// The median of paired ratios to the best rival.
fn ratio(results: &Results, job: Job) -> String {
    let cpu: super::Figure = |sample| sample.cpu_us;
    let Some(rival) = goal::best(results, RIVALS, job, cpu) else { return String::new() };
    let goal = goal::Goal {
        title: "",
        job,
        peer: Peer::Causeway,
        figure: cpu,
        against: goal::Against::Best(RIVALS),
        at_most: 1.0,
    };
    match causeway_benches::ratio::median(&goal::ratios(results, goal, rival)) {
        Some(ratio) => format!(" ({ratio:.2})"),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_readme_says_what_was_measured() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let results = Results::read(&here.join("results/results.json")).expect("committed");
        let readme = std::fs::read_to_string(here.join("../README.md")).expect("the front door");
        let made = with_table(&readme, &results).expect("a place for the table");
        assert!(made == readme, "run `cargo run --release -p causeway-loadtest -- report`");
        let page = std::fs::read_to_string(here.join("results/README.md")).expect("committed");
        assert!(page == table::page(&results), "run `cargo run --release -p causeway-loadtest -- report`");
    }

    #[test]
    fn all_but_the_table_stays() {
        let readme = format!("# A\n\n{BEGIN}old\n{END}\nthe rest\n");
        let made = with_table(&readme, &Results::default()).expect("a place");
        assert!(made.starts_with("# A\n\n") && made.ends_with("\nthe rest\n") && !made.contains("old"));
        assert!(with_table("# A\n", &Results::default()).is_err());
    }
}
