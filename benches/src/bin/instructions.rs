//! A guard against slow creep that noise cannot fool: instructions a request, held against a committed baseline.
//!
//! One client, and a pause before each request and each answer, not the throng of `scale`. Without pauses a byte is
//! there when the worker first looks for it or it is not, as the machine's mood will have it, and a request that waits
//! once more costs some hundred instructions more: runs differed by 3 %. With them every request finds the worker
//! asleep, walks the same way, and waits at the same two places.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use causeway_benches::baseline::{Baseline, Comparison, Conditions};
use causeway_benches::fixture::{SMALL, Workload};
use causeway_benches::instructions::{self, CALM};
use causeway_benches::machine;
use causeway_benches::subject::{Program, Site};
use causeway_benches::traffic::{self, Plan};
use causeway_proxy::telemetry::timestamp::Timestamp;
use clap::Parser;

/// Longer than the worker works on one stage of a request under valgrind, also where it shares its CPU.
const PAUSE: Duration = Duration::from_millis(2);

/// Counts the instructions of a request under valgrind.
#[derive(Parser, Debug)]
struct Flags {
    /// Compare to the baseline, and fail where a workload costs more than 3 % above it.
    #[arg(long, conflicts_with = "write")]
    check: bool,

    /// Make what is found the baseline.
    #[arg(long)]
    write: bool,

    /// The file with the baseline [default: instructions.txt of the crate]
    #[arg(long, value_name = "PATH")]
    baseline: Option<PathBuf>,

    /// The proxy to measure [default: the one beside this program, built if missing]
    #[arg(long, value_name = "PATH")]
    proxy: Option<PathBuf>,
}

fn main() -> ExitCode {
    let flags = Flags::parse();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => {
            eprintln!("instructions: no runtime: {e}");
            return ExitCode::FAILURE;
        }
    };
    match tokio::task::LocalSet::new().block_on(&runtime, run(&flags)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("instructions: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether a change may go in.
async fn run(flags: &Flags) -> Result<bool, String> {
    if !machine::has("valgrind") {
        return Err("needs valgrind, which is not there. Install it, on Debian or Ubuntu with:\n  \
                    sudo apt-get update && sudo apt-get install -y --no-install-recommends valgrind"
            .to_owned());
    }
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("instructions.txt");
    let file = flags.baseline.as_ref().unwrap_or(&own);
    // Read first: a broken file should not be found after a minute's work.
    let baseline = if flags.check { Some(read(file)?) } else { None };
    let program = match &flags.proxy {
        Some(path) => Program { path: path.clone() },
        None => Program::find()?,
    };
    println!("machine      {}", machine::facts());
    println!("proxy        {}", program.describe());
    let found = measure(&program).await?;
    if flags.write {
        let now = Timestamp(SystemTime::now()).to_string();
        let text = found.render(now.split('T').next().unwrap_or_default());
        std::fs::write(file, text).map_err(|e| format!("{}: {e}", file.display()))?;
        println!("written      {}", file.display());
    }
    Ok(baseline.is_none_or(|baseline| verdict(&baseline, &found)))
}

fn read(file: &Path) -> Result<Baseline, String> {
    let text = std::fs::read_to_string(file)
        .map_err(|e| format!("{}: {e}\n  make a baseline with --write", file.display()))?;
    Baseline::parse(&text).map_err(|e| format!("{}: {e}", file.display()))
}

async fn measure(program: &Program) -> Result<Baseline, String> {
    let conditions = Conditions { rustc: machine::rustc(), cpu: machine::seen_by_valgrind() };
    let mut found = Baseline { conditions, ..Baseline::default() };
    let origin = traffic::origin_after(PAUSE).await?;
    for workload in Workload::ALL {
        let site = Site::new(SMALL, origin)?;
        let plan = Plan { to: site.listen, connections: 1, users: 1, workload, pause: PAUSE };
        let each = instructions::per_request(program, &site, plan, CALM).await?;
        println!("{:<12} {:>6.0} instructions a request on the worker", workload.name(), each.worker);
        found.counts.insert(workload.name().to_owned(), each.worker);
    }
    Ok(found)
}

fn verdict(baseline: &Baseline, found: &Baseline) -> bool {
    let comparison = baseline.compare(found);
    println!();
    match &comparison {
        Comparison::Incomparable { was, is } => {
            println!("not judged   the baseline is of {}, {}", was.rustc, was.cpu);
            println!("             this is           {}, {}", is.rustc, is.cpu);
            println!("             counts of different compilers or memcpys say nothing about each other");
        }
        Comparison::Judged(all) => {
            for (name, verdict) in all {
                let base = baseline.counts.get(name).map_or("none".to_owned(), |n| format!("{n:.0}"));
                println!("{name:<12} baseline {base}, {verdict}");
            }
        }
    }
    comparison.passes()
}
