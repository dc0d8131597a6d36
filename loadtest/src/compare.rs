//! The comparison: every peer at every job, in rounds, so that a machine that changes its mind does so for all.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use causeway_benches::machine::{self, Cpus};

use crate::job::Job;
use crate::measure::{Bench, cannot};
use crate::peer::Peer;
use crate::peer::install::{self, Installed};
use crate::peer::site::Identity;
use crate::results::{Results, Sample};

/// Descriptors that a run of 9,000 connections takes in one process, and some.
const DESCRIPTORS: u64 = 19_000;

/// What is to be compared.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Who.
    pub peers: Vec<Peer>,
    /// At what.
    pub jobs: Vec<Job>,
    /// How often.
    pub rounds: usize,
    /// For how long each.
    pub length: Duration,
    /// Whether missing programs may be installed.
    pub install: bool,
}

/// Runs it, and calls `keep` with what there is after each round: a run that is broken off has not been for nothing.
///
/// # Errors
/// Our own proxy or the machine is not fit for it. Peers that cannot be had are left out, and said.
pub fn compare(
    wanted: &Wanted,
    keep: &mut dyn FnMut(&Results) -> Result<(), String>,
) -> Result<Results, String> {
    let cpus = Cpus::pick().ok_or("this needs two CPUs, and taskset (util-linux)")?;
    let mut results = Results {
        date: said("date", &["-u", "+%F"]),
        machine: machine::facts(),
        commit: commit(),
        seconds: wanted.length.as_secs_f64(),
        ..Results::default()
    };
    let peers = installed(wanted, &mut results)?;
    let jobs = jobs(wanted, &mut results)?;
    // After the installations, which may use both CPUs.
    cpus.pin_traffic()?;
    let bench = Bench {
        proxy_cpu: cpus.proxy,
        traffic_cpu: cpus.traffic,
        identity: Identity::new()?,
        length: wanted.length,
    };
    let scratch = scratch()?;
    let began = Instant::now();
    for round in 0..wanted.rounds {
        for &job in &jobs {
            let mut some: Vec<&Installed> = peers.iter().collect();
            some.retain(|installed| takes_part(installed.peer, job, round, wanted.rounds));
            for group in some.chunks(if job.by_turns() { some.len().max(1) } else { 1 }) {
                let dir = scratch.join(format!("{round}-{job:?}-{}", group[0].peer));
                for (peer, measured) in bench.measure(group, job, round, &dir)? {
                    match measured {
                        Ok(sample) => {
                            println!("{}", line(&sample, began));
                            results.samples.push(sample);
                        }
                        Err(e) if peer == Peer::Causeway => return Err(format!("{}: {e}", job.title())),
                        Err(e) => miss(&mut results, format!("{peer} at {}: {e}", job.title())),
                    }
                }
                // Kept where our own failed: the logs are in it.
                let _ = std::fs::remove_dir_all(&dir);
            }
        }
        results.rounds = round + 1;
        results.round_figures();
        keep(&results)?;
    }
    let _ = std::fs::remove_dir_all(&scratch);
    Ok(results)
}

fn takes_part(peer: Peer, job: Job, round: usize, rounds: usize) -> bool {
    job.is_for(peer) && cannot(peer, job).is_none() && round < job.rounds(rounds, peer)
}

fn installed(wanted: &Wanted, results: &mut Results) -> Result<Vec<Installed>, String> {
    let mut peers = Vec::new();
    for &peer in &wanted.peers {
        match install::find(peer, wanted.install) {
            Ok(installed) => {
                println!("{:<14} {:<20} {}", peer.name(), installed.version, installed.program.display());
                results.peers.push((peer, installed.version.clone()));
                peers.push(installed);
            }
            Err(e) if matches!(peer, Peer::Causeway | Peer::CausewayTwo) => return Err(e),
            Err(e) => miss(results, format!("{peer}: {e}")),
        }
    }
    Ok(peers)
}

/// Allows this process, and those it starts, as many files as it may have. Says how many; `None` = no limit.
pub(crate) fn raise_descriptors() -> Result<Option<u64>, String> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })
        .map_err(|e| format!("the limit of descriptors: {e}"))?;
    Ok(limit.maximum)
}

/// The jobs that this machine has descriptors for.
fn jobs(wanted: &Wanted, results: &mut Results) -> Result<Vec<Job>, String> {
    let maximum = raise_descriptors()?;
    let mut jobs = wanted.jobs.clone();
    if maximum.is_some_and(|most| most < DESCRIPTORS) && jobs.contains(&Job::Most) {
        jobs.retain(|&job| job != Job::Most);
        miss(results, format!("{}: a process may open fewer than {DESCRIPTORS} files", Job::Most.title()));
    }
    Ok(jobs)
}

fn miss(results: &mut Results, what: String) {
    eprintln!("left out: {what}");
    let first = what.lines().next().unwrap_or_default().to_owned();
    if !results.missing.contains(&first) {
        results.missing.push(first);
    }
}

fn line(sample: &Sample, began: Instant) -> String {
    let figures = if sample.job.is_idle() {
        format!(
            "{:5.1} MiB at start, {:5.2} KiB a connection",
            sample.start_kib as f64 / 1024.0,
            sample.connection_kib()
        )
    } else {
        format!(
            "{:8.2} us ({:.2} user)  {:>6.0}/s  p50 {:.0} p99 {:.0} p99.9 {:.0} us",
            sample.cpu_us, sample.user_us, sample.rate, sample.p50_us, sample.p99_us, sample.p999_us
        )
    };
    let wrong = match (sample.errors, sample.late) {
        (0, 0) => String::new(),
        (errors, late) => format!("  {errors} errors, {late} late"),
    };
    let minutes = began.elapsed().as_secs() / 60;
    format!(
        "{minutes:>3} min  round {}  {:<24} {:<14} {figures}{wrong}",
        sample.round + 1,
        sample.job.title(),
        sample.peer.name()
    )
}

/// A folder for the runs. Under the temporary folder, not the repository: what is watched for changes must not see it.
pub(crate) fn scratch() -> Result<PathBuf, String> {
    let path = std::env::temp_dir().join(format!("causeway-loadtest-{}", std::process::id()));
    std::fs::create_dir_all(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    // nginx drops its rights and still wants to write here.
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&path, open).map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(path)
}

fn commit() -> String {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).display().to_string();
    let hash = said("git", &["-C", &here, "rev-parse", "--short", "HEAD"]);
    let changed = !said("git", &["-C", &here, "status", "--porcelain", "-uno", "--", "../proxy"]).is_empty();
    if changed { format!("{hash} and changes that are not committed") } else { hash }
}

fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map(|out| String::from_utf8_lossy(&out.stdout).trim().to_owned()).unwrap_or_default()
}
