//! `causeway validate`: every mistake at once, and what the configuration does with its users.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use causeway_config::{Config, MultiClusterService, Selection, Strictness, load, read_path};
use clap::Args;

use super::{NO, explain::part};
use crate::plan::{Split, compile};

#[derive(Debug, Args)]
pub(super) struct ValidateArgs {
    /// Files, or folders of *.yaml and *.yml; all are read together, as one configuration
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
}

pub(super) fn validate(args: &ValidateArgs, out: &mut impl Write) -> ExitCode {
    super::written(check(args, out))
}

fn check(args: &ValidateArgs, out: &mut impl Write) -> io::Result<ExitCode> {
    let mut sources = Vec::new();
    let (mut errors, mut warnings) = (0, 0);
    for path in &args.paths {
        match read_path(path) {
            Ok(read) => sources.extend(read),
            Err(report) => {
                writeln!(out, "{report}")?;
                errors += report.errors();
                warnings += report.warnings();
            }
        }
    }
    let config = match load(&sources, Strictness::Validate) {
        Ok(loaded) => {
            if !loaded.warnings.is_empty() {
                writeln!(out, "{}", loaded.warnings)?;
                warnings += loaded.warnings.warnings();
            }
            Some(loaded.config)
        }
        Err(report) => {
            writeln!(out, "{report}")?;
            errors += report.errors();
            warnings += report.warnings();
            None
        }
    };
    // With a file unread, what is left is not what will be run: its split would mislead.
    if let Some(config) = config.filter(|_| errors == 0) {
        for service in config.services.values() {
            write_split(out, service, &config)?;
        }
        writeln!(out, "{}", inventory(&config))?;
        writeln!(out, "valid, {}", counted(warnings, "warning"))?;
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(out, "not valid: {}, {}", counted(errors, "error"), counted(warnings, "warning"))?;
    Ok(ExitCode::from(NO))
}

/// The table: a row a cluster; columns for all well and for each cluster lost.
fn write_split(out: &mut impl Write, service: &MultiClusterService, config: &Config) -> io::Result<()> {
    let split = Split::of(&compile(service, &config.clusters));
    let parts: Vec<String> = service.load_balancer.hash_on.iter().map(part).collect();
    let sticky = match parts.as_slice() {
        [] => "nobody sticks".to_owned(),
        parts => format!("sticky by {}", parts.join(" and ")),
    };
    let selection = match service.selection {
        Selection::WeightedHome => "",
        Selection::PriorityTiers => ", by tiers of priority",
    };
    writeln!(out, "MultiClusterService {}: {sticky}{selection}", service.name)?;
    let longest = split.clusters.iter().map(String::len).max().unwrap_or(0).max("cluster".len());
    write!(out, "  {:<longest$}  {:>7}  {:>8}  {:>7}", "cluster", "weight", "priority", "share")?;
    for lost in &split.clusters {
        write!(out, "  {:>1$}", format!("without {lost}"), heading(lost))?;
    }
    writeln!(out)?;
    for (row, entry) in service.clusters.iter().enumerate() {
        let well = 100.0 * split.well[row];
        write!(out, "  {:<longest$}  {:>7}  {:>8}  {well:>5.1} %", entry.name, entry.weight, entry.priority)?;
        for (lost, shares) in split.without.iter().enumerate() {
            let share = 100.0 * shares[row];
            let text = match (lost == row, share > 0.0) {
                (true, false) => "lost".to_owned(),
                // Nobody may take them: they are sent there anyway, or refused.
                (true, true) if service.fail_closed => format!("{share:.1} % refused"),
                (true, true) => format!("{share:.1} % stay"),
                (false, _) if shares[row] > split.well[row] => {
                    format!("{share:.1} % (+{:.1})", share - well)
                }
                (false, _) => format!("{share:.1} %"),
            };
            write!(out, "  {text:>0$}", heading(&split.clusters[lost]))?;
        }
        writeln!(out)?;
    }
    Ok(())
}

/// The width of a column, wide enough for its heading and for `100.0 % (+100.0)`.
fn heading(lost: &str) -> usize {
    ("without ".len() + lost.len()).max(16)
}

fn inventory(config: &Config) -> String {
    [
        (config.gateways.len(), "gateway"),
        (config.http_routes.len(), "HTTP route"),
        (config.grpc_routes.len(), "gRPC route"),
        (config.services.len(), "service"),
        (config.clusters.len(), "cluster"),
        (config.client_policies.len(), "client policy"),
        (config.rate_limits.len(), "rate limit"),
        (config.fault_injections.len(), "fault injection"),
        (config.application_sets.len(), "application set"),
        (config.cost_policies.len(), "cost policy"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, noun)| counted(count, noun))
    .collect::<Vec<_>>()
    .join(", ")
}

fn counted(count: usize, noun: &str) -> String {
    match (count, noun.strip_suffix('y')) {
        (1, _) => format!("1 {noun}"),
        (_, Some(stem)) => format!("{count} {stem}ies"),
        (_, None) => format!("{count} {noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nouns_agree_with_their_numbers() {
        assert_eq!(counted(1, "client policy"), "1 client policy");
        assert_eq!(counted(2, "client policy"), "2 client policies");
        assert_eq!(counted(0, "warning"), "0 warnings");
    }
}
