//! `make soak`: mixed load and faults for as long as one likes; exit 1 if anything leaks, hangs, panics or is wrong.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use causeway_tests::soak::{Plan, run};
use clap::Parser;

/// Mixed load and faults, and a judge of what grows.
#[derive(Parser)]
struct Args {
    /// How long. Below about 3 the judge has too few samples to say much.
    #[arg(long, default_value_t = 30.0)]
    minutes: f64,
    /// Same seed, same clients, faults and changes of the config.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Clients.
    #[arg(long, default_value_t = 32)]
    users: u64,
    /// Seconds that a cluster misbehaves in one way.
    #[arg(long, default_value_t = 10.0)]
    scene: f64,
    /// Seconds between two samples.
    #[arg(long, default_value_t = 10.0)]
    every: f64,
    /// Where soak.json and soak.svg go.
    #[arg(long, default_value = "target/soak")]
    out: PathBuf,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let (lasts, scene, every) = (args.minutes * 60.0, args.scene, args.every);
    if [lasts, scene, every].iter().any(|seconds| !(0.001..1e7).contains(seconds)) || args.users == 0 {
        eprintln!("soak: minutes, scene, every and users must be above 0");
        return ExitCode::from(2);
    }
    let plan = Plan {
        lasts: Duration::from_secs_f64(lasts),
        seed: args.seed,
        users: args.users,
        scene: Duration::from_secs_f64(scene),
        every: Duration::from_secs_f64(every),
        reload: Duration::from_secs(5),
        out: args.out,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let report = runtime.block_on(run(&plan));
    print!("{}", report.text());
    if let Err(error) = report.write() {
        eprintln!("soak: {}: {error}", plan.out.display());
        return ExitCode::FAILURE;
    }
    println!("{}: soak.json, soak.svg", plan.out.display());
    if report.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
