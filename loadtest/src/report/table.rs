//! The tables of `results/README.md`, in Markdown.

use std::fmt::Write;

use super::goal::{self, Against, Judged};
use super::{Figure, median};
use crate::job::Job;
use crate::peer::Peer;
use crate::results::Results;

/// Who stands in the columns, if they took part.
const COLUMNS: [Peer; 8] = [
    Peer::Causeway,
    Peer::Haproxy,
    Peer::Nginx,
    Peer::NginxCurrent,
    Peer::Pingora,
    Peer::Envoy,
    Peer::Traefik,
    Peer::Relay,
];

/// Jobs that load the peers, and so have a CPU time a request.
fn loaded() -> Vec<Job> {
    Job::ALL.into_iter().filter(|&job| !job.is_idle() && job != Job::Workers).collect()
}

/// Jobs of these in a closed loop, and in an open one.
pub fn by_loop() -> (Vec<Job>, Vec<Job>) {
    loaded().into_iter().partition(|job| job.shape().rate.is_none())
}

/// The whole page.
pub fn page(results: &Results) -> String {
    let mut page = String::from("# Side by side\n\n");
    page.push_str("Made by `make bench-peers` (`causeway-loadtest compare`) from [results.json](results.json); not to be edited. ");
    page.push_str("How to read it: [../README.md](../README.md).\n\n");
    let _ = writeln!(page, "{}\n", facts(results));
    for missing in &results.missing {
        let _ = writeln!(page, "- left out: {missing}");
    }
    let _ = writeln!(page, "\n## Goals\n\n{}", goals(results));
    page.push_str("\n![CPU a request](cpu.svg)\n");
    let _ = writeln!(page, "\n## CPU microseconds a request\n\nMedians; user part in parentheses.\n");
    page.push_str(&jobs(results, &loaded(), |results, peer, job| {
        let total = median(results, peer, job, |sample| sample.cpu_us)?;
        let user = median(results, peer, job, |sample| sample.user_us)?;
        Some(if total >= 1_000.0 {
            format!("{total:.0} ({user:.0})")
        } else {
            format!("{total:.1} ({user:.1})")
        })
    }));
    let _ = writeln!(page, "\n## Requests a second on one core\n\nClosed loops; medians.\n");
    let (closed, paced) = by_loop();
    page.push_str(&jobs(results, &closed, |results, peer, job| {
        Some(thousands(median(results, peer, job, |sample| sample.rate)?))
    }));
    page.push_str("\n![Latency at a fixed rate](latency.svg)\n");
    let _ = writeln!(page, "\n## Latency at 5,000 requests a second\n");
    page.push_str(
        "p50 / p99 / p99.9 in microseconds, counted from when a request was due; medians of the rounds.\n\n",
    );
    page.push_str(&jobs(results, &paced, latencies));
    page.push_str("\n![Memory](memory.svg)\n");
    let _ = writeln!(page, "\n## Memory\n\nResident, of all processes.\n");
    page.push_str(&memory(results));
    let _ = writeln!(page, "\n## Errors\n\n{}", errors(results));
    page
}

/// On what, when and how.
pub fn facts(results: &Results) -> String {
    format!(
        "{}, commit {}; {}. {} rounds of {} s a measurement, by turns in slices of 200 ms.",
        results.date, results.commit, results.machine, results.rounds, results.seconds
    )
}

/// The goals and verdicts.
pub fn goals(results: &Results) -> String {
    let mut text =
        String::from("| | at most | found (95 % interval) | against | |\n| --- | --- | --- | --- | --- |\n");
    for judged in goal::judge(results) {
        let Judged { goal, rival, found, count, verdict } = judged;
        let (unit, against) = match (goal.against, rival) {
            (Against::Bound(unit), _) => (format!(" {unit}"), format!("{count} runs")),
            (_, Some(rival)) => (" x".to_owned(), format!("{}, {count} pairs", column(results, rival))),
            _ => (" x".to_owned(), String::new()),
        };
        let _ = writeln!(
            text,
            "| {} | {:.2}{unit} | {:.2}{unit} ({:.2} to {:.2}) | {against} | {verdict} |",
            goal.title, goal.at_most, found.median, found.low, found.high
        );
    }
    text
}

/// A table with a row for each job.
pub fn jobs(results: &Results, jobs: &[Job], cell: impl Fn(&Results, Peer, Job) -> Option<String>) -> String {
    let columns: Vec<Peer> = COLUMNS.into_iter().filter(|&peer| results.version(peer).is_some()).collect();
    let mut text = heading("", columns.iter().map(|&peer| column(results, peer)));
    for &job in jobs.iter().filter(|&&job| results.of(Peer::Causeway, job).next().is_some()) {
        let _ = write!(text, "| {} |", job.title());
        for &peer in &columns {
            let _ = write!(text, " {} |", cell(results, peer, job).unwrap_or_else(|| "–".to_owned()));
        }
        text.push('\n');
    }
    text
}

/// Three percentiles.
pub fn latencies(results: &Results, peer: Peer, job: Job) -> Option<String> {
    let of = |figure: Figure| median(results, peer, job, figure);
    let (p50, p99, p999) = (of(|s| s.p50_us)?, of(|s| s.p99_us)?, of(|s| s.p999_us)?);
    Some(format!("{p50:.0} / {} / {}", thousands(p99), thousands(p999)))
}

/// A table of memory, a row for each peer.
pub fn memory(results: &Results) -> String {
    let mut text = heading(
        "",
        ["MiB at start", "KiB an idle connection", "KiB an idle TLS connection"]
            .map(str::to_owned)
            .into_iter(),
    );
    for peer in COLUMNS {
        let Some(start) = median(results, peer, Job::Idle, |sample| sample.start_kib as f64 / 1024.0) else {
            continue;
        };
        let each = |job| median(results, peer, job, |sample| sample.connection_kib());
        let (plain, tls) = (each(Job::Idle), each(Job::IdleTls));
        let kib = |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.1}"));
        let _ = writeln!(text, "| {} | {start:.0} | {} | {} |", column(results, peer), kib(plain), kib(tls));
    }
    text
}

fn errors(results: &Results) -> String {
    let mut text = String::new();
    for peer in Peer::ALL {
        for job in Job::ALL {
            let (errors, late) =
                results.of(peer, job).fold((0, 0), |(e, l), sample| (e + sample.errors, l + sample.late));
            if errors + late > 0 {
                let _ = writeln!(
                    text,
                    "- {}, {}: {errors} failed, {late} due and not sent",
                    peer.title(),
                    job.title()
                );
            }
        }
    }
    if text.is_empty() {
        "None: every request of every measurement was answered with 200.\n".to_owned()
    } else {
        text
    }
}

/// A peer's column: its name and short version.
pub fn column(results: &Results, peer: Peer) -> String {
    let short = |version: &str| {
        let numbers: Vec<&str> = version.split(['.', '-', '+']).take(2).collect();
        numbers.join(".")
    };
    let name = match peer {
        Peer::Nginx | Peer::NginxCurrent => "nginx",
        Peer::Relay | Peer::Causeway | Peer::CausewayTwo => return peer.title().to_owned(),
        other => other.title(),
    };
    results.version(peer).map_or(name.to_owned(), |version| {
        format!("{name} {}", short(version.trim_start_matches("pingora ")))
    })
}

fn heading(first: &str, columns: impl Iterator<Item = String>) -> String {
    let columns: Vec<String> = columns.collect();
    format!("| {first} | {} |\n| --- |{}\n", columns.join(" | "), " --- |".repeat(columns.len()))
}

/// 12345.6 as 12,346.
pub fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(["7", "999", "1,000", "1,234,568"], [7.0, 999.4, 999.6, 1_234_567.8].map(thousands));
    }
}
