//! `causeway-tests-conformance`: see the library.

use std::path::PathBuf;
use std::process::ExitCode;

use causeway_tests_conformance::results::{Results, Run};
use causeway_tests_conformance::target::Target;
use causeway_tests_conformance::{mutants, report, run};
use clap::{Parser, Subcommand};

/// A black-box battery for HTTP proxies.
#[derive(Parser, Debug)]
#[command(name = "causeway-tests-conformance", version)]
struct Flags {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Runs checks against one target and prints what fails
    Run {
        #[arg(long, default_value = "causeway")]
        target: Target,
        /// Only checks whose id fits; `*` stands for anything
        #[arg(long, value_name = "PATTERN")]
        only: Option<String>,
        /// Another program than the usual one
        #[arg(long, value_name = "FILE")]
        program: Option<PathBuf>,
    },
    /// Runs all checks against all targets, and writes results and page
    Compare {
        /// Only these
        #[arg(long, value_delimiter = ',', value_name = "NAME,...")]
        peers: Vec<Target>,
        /// Leave peers out rather than install them
        #[arg(long)]
        no_install: bool,
    },
    /// Puts faults into our proxy, one at a time, and writes which checks notice
    Mutants {
        /// Only those whose name holds this
        #[arg(long, value_name = "TEXT")]
        only: Option<String>,
    },
    /// Makes the page again from the results
    Report,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let done = match Flags::parse().command {
        Command::Run { target, only, program } => one(target, only.as_deref(), program).await,
        Command::Compare { peers, no_install } => compare(&peers, !no_install).await,
        Command::Mutants { only } => mutants::run(only.as_deref()).await.and_then(|()| tell()),
        Command::Report => tell(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("causeway-tests-conformance: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn one(target: Target, only: Option<&str>, program: Option<PathBuf>) -> Result<(), String> {
    let program = match program {
        Some(program) => program,
        None => target.find(true)?.0,
    };
    let checks = run::chosen(only);
    let failures = run::twice(target, &program, &checks).await?;
    for (id, what) in &failures {
        println!("{id}: {what}");
    }
    println!("{} of {} checks hold", checks.len().saturating_sub(failures.len()), checks.len());
    if failures.is_empty() { Ok(()) } else { Err(format!("{} fail", failures.len())) }
}

async fn compare(peers: &[Target], install: bool) -> Result<(), String> {
    let mut results = Results::read().unwrap_or_default();
    let checks = run::chosen(None);
    results.checks = checks.iter().map(|check| check.id.to_owned()).collect();
    for target in Target::ALL.into_iter().filter(|target| peers.is_empty() || peers.contains(target)) {
        let (program, version) = target.find(install)?;
        let failures = run::twice(target, &program, &checks).await?;
        println!("{target}: {} of {} checks hold", checks.len().saturating_sub(failures.len()), checks.len());
        results.targets.insert(target, Run { version, failures });
    }
    results.write()?;
    tell()
}

fn tell() -> Result<(), String> {
    let path = report::path();
    std::fs::write(&path, report::page(&Results::read()?)).map_err(|e| format!("{}: {e}", path.display()))?;
    println!("{}", path.display());
    Ok(())
}
