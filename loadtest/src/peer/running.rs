//! A peer as a process: start on its CPU, CPU time and memory of all its processes, end.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::Peer;
use super::site::Site;
use crate::load::{self, Plan};

/// Nobody needs longer than this to start.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often a starting peer is asked whether it serves.
const ASK_EVERY: Duration = Duration::from_millis(50);

/// CPU time that was used, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CpuTime {
    /// All of it, exact: the scheduler's account.
    pub total: u64,
    /// The part spent in the program, by the kernel's samples.
    pub user: u64,
    /// The part spent in the kernel, by the kernel's samples.
    pub system: u64,
}

impl CpuTime {
    /// Adds what was used from `before` to `now`. A thread that ended meanwhile takes its account with it.
    pub fn add(&mut self, now: CpuTime, before: CpuTime) {
        self.total += now.total.saturating_sub(before.total);
        self.user += now.user.saturating_sub(before.user);
        self.system += now.system.saturating_sub(before.system);
    }
}

/// A process tree. Killed when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    /// Starts `program` for `peer` on the CPUs of the list `cpus` (as taskset takes it) and waits until it serves.
    ///
    /// # Errors
    /// It does not, with what it said.
    pub fn start(peer: Peer, program: &Path, site: &Site, cpus: &str) -> Result<Running, String> {
        let log = site.dir().join("log");
        let arguments = peer.arguments(site.dir(), &site.ports);
        let running = spawn(program, &arguments, peer.environment(), cpus, &log)?;
        let to = SocketAddr::from((Ipv4Addr::LOCALHOST, site.ports.http));
        running.wait_for(to).map_err(|e| format!("{peer} does not serve: {e}"))?;
        Ok(running)
    }

    /// Starts the endpoints, in a process of their own.
    ///
    /// # Errors
    /// They do not serve, with what was said.
    pub fn origins(ports: &[u16], cpus: &str, dir: &Path) -> Result<Running, String> {
        let own = std::env::current_exe().map_err(|e| format!("where am I? {e}"))?;
        let mut arguments = vec!["origin".to_owned()];
        arguments.extend(ports.iter().map(u16::to_string));
        let running = spawn(&own, &arguments, &[], cpus, &dir.join("origin.log"))?;
        for &port in ports {
            running.wait_for((Ipv4Addr::LOCALHOST, port).into())?;
        }
        Ok(running)
    }

    /// Starts one that computes all the time, and takes its share of these CPUs from whoever else is there.
    ///
    /// # Errors
    /// It does not start, with what was said.
    pub fn neighbour(cpus: &str, dir: &Path) -> Result<Running, String> {
        let own = std::env::current_exe().map_err(|e| format!("where am I? {e}"))?;
        spawn(&own, &["neighbour".to_owned()], &[], cpus, &dir.join("neighbour.log"))
    }

    fn wait_for(&self, to: SocketAddr) -> Result<(), String> {
        let began = Instant::now();
        loop {
            match load::hold(&Plan::new(to)) {
                Ok(_) => return Ok(()),
                Err(e) if began.elapsed() > PATIENCE || self.has_ended() => {
                    return Err(format!("{e}\n{}", self.said()));
                }
                Err(_) => std::thread::sleep(ASK_EVERY),
            }
        }
    }

    fn has_ended(&self) -> bool {
        // Gone, or a zombie that nobody has waited for yet.
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
        stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['Z', 'X']))
    }

    fn said(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }

    /// The CPU time of all its processes and threads so far.
    pub fn cpu(&self) -> CpuTime {
        let mut sum = CpuTime::default();
        for pid in self.processes() {
            for task in folder(&format!("/proc/{pid}/task")) {
                // The first field is the time on a CPU in nanoseconds (sched-stats.rst).
                let stat =
                    fs::read_to_string(format!("/proc/{pid}/task/{task}/schedstat")).unwrap_or_default();
                sum.total += stat.split(' ').next().and_then(|ns| ns.parse::<u64>().ok()).unwrap_or(0);
            }
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let ticks = ticks(&stat).unwrap_or_default();
            let tick = 1_000_000_000 / rustix::param::clock_ticks_per_second();
            sum.user += ticks.0 * tick;
            sum.system += ticks.1 * tick;
        }
        sum
    }

    /// Resident memory of all its processes in KiB. Pages that processes share are counted once a process, as `ps`
    /// does.
    pub fn resident_kib(&self) -> u64 {
        let resident = |pid| {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
            line.split_whitespace().next()?.parse::<u64>().ok()
        };
        self.processes().into_iter().filter_map(resident).sum()
    }

    /// It and all its descendants.
    fn processes(&self) -> Vec<u32> {
        let mut found = vec![self.child.id()];
        let mut next = 0;
        while let Some(&pid) = found.get(next) {
            next += 1;
            for task in folder(&format!("/proc/{pid}/task")) {
                let children =
                    fs::read_to_string(format!("/proc/{pid}/task/{task}/children")).unwrap_or_default();
                found.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
            }
        }
        found
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The descendants too: a killed nginx leaves its worker serving.
        let all = self.processes();
        for pid in &all {
            if let Some(pid) = i32::try_from(*pid).ok().and_then(Pid::from_raw) {
                // Errors say that it has ended by itself.
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        let _ = self.child.wait();
        // Whoever was adopted is gone once /proc says so; a measurement must not begin beside the last one's rest.
        let began = Instant::now();
        while all.iter().any(|pid| Path::new(&format!("/proc/{pid}/exe")).exists())
            && began.elapsed() < PATIENCE
        {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn spawn(
    program: &Path,
    arguments: &[String],
    environment: &[(&str, &str)],
    cpus: &str,
    log: &Path,
) -> Result<Running, String> {
    let file = File::create(log).map_err(|e| format!("{}: {e}", log.display()))?;
    let both = file.try_clone().map_err(|e| e.to_string())?;
    let mut command = Command::new("taskset");
    command.args(["-c", cpus]).arg(program).args(arguments).envs(environment.iter().copied());
    let child = command.stdin(Stdio::null()).stdout(both).stderr(file).spawn();
    let child = child.map_err(|e| format!("taskset (util-linux) for {}: {e}", program.display()))?;
    Ok(Running { child, log: log.to_owned() })
}

/// The names in a folder; none where it is gone.
fn folder(path: &str) -> Vec<String> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// User and system time in clock ticks (proc(5): the fields 14 and 15; the second may hold anything).
fn ticks(stat: &str) -> Option<(u64, u64)> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(11).map(|field| field.parse::<u64>().ok());
    Some((fields.next()??, fields.next()??))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_found_behind_any_name() {
        assert_eq!(ticks("7 (a ) b) S 1 7 7 0 -1 4194560 100 0 0 0 250 1750 9 8 20 0"), Some((250, 1750)));
        assert_eq!(ticks("7 (x) S 1"), None);
    }

    #[test]
    fn a_process_and_its_children_are_counted_and_ended() {
        let dir = tempfile::tempdir().expect("a folder");
        let script = "sh -c 'while :; do :; done' & wait".to_owned();
        let running = spawn(Path::new("sh"), &["-c".to_owned(), script], &[], "0", &dir.path().join("log"));
        let running = running.expect("a shell");
        let began = Instant::now();
        while running.cpu().total < 30_000_000 && began.elapsed() < PATIENCE {
            std::thread::sleep(ASK_EVERY);
        }
        assert!(running.processes().len() >= 2 && running.cpu().total >= 30_000_000, "{:?}", running.cpu());
        let all = running.processes();
        drop(running);
        assert!(all.iter().all(|pid| !Path::new(&format!("/proc/{pid}/exe")).exists()));
    }
}
