//! `causeway-proxy` as a process: start, CPU time, memory, end.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::fixture::Shape;
use crate::machine::Cpus;
use crate::traffic;

/// How often a starting proxy is asked whether it serves: what a start-up time may be wrong by.
const ASK_EVERY: Duration = Duration::from_millis(1);

/// Nobody waits longer than this for a proxy to start or to end, not even under an instrument.
const PATIENCE: Duration = Duration::from_secs(180);

/// The program to be measured.
#[derive(Clone, Debug)]
pub struct Program {
    /// Where it lies.
    pub path: PathBuf,
}

impl Program {
    /// The one that lies beside this program, built with cargo if there is none. What lies there may be older than
    /// the sources: `make bench` builds it first, and the report says its age.
    ///
    /// # Errors
    /// It does not build.
    pub fn find() -> Result<Program, String> {
        let own = std::env::current_exe().map_err(|e| format!("where am I? {e}"))?;
        let folder = own.parent().ok_or("this program lies nowhere")?;
        let path = folder.join(format!("causeway-proxy{}", std::env::consts::EXE_SUFFIX));
        if path.is_file() {
            return Ok(Program { path });
        }
        let release = folder.file_name().is_some_and(|name| name == "release");
        let target = folder.parent().filter(|_| release).ok_or_else(|| {
            format!("{} is not there\n  run with --release, or name a proxy with --proxy", path.display())
        })?;
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let built = Command::new(cargo)
            .args(["build", "--release", "--locked", "-p", "causeway-proxy", "--target-dir"])
            .arg(target)
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
            .status()
            .map_err(|e| format!("cargo: {e}"))?;
        if built.success() { Ok(Program { path }) } else { Err("causeway-proxy does not build".to_owned()) }
    }

    /// Its path, and how old it is.
    pub fn describe(&self) -> String {
        let modified = fs::metadata(&self.path).and_then(|found| found.modified()).ok();
        let age = modified.and_then(|at| at.elapsed().ok()).map_or(0, |age| age.as_secs() / 60);
        format!("{}, built {age} min ago", self.path.display())
    }
}

/// The files of one proxy, and the address that it listens on.
#[derive(Debug)]
pub struct Site {
    dir: TempDir,
    /// Where it serves.
    pub listen: SocketAddr,
}

impl Site {
    /// A folder with this configuration.
    ///
    /// # Errors
    /// The disk, or no free port.
    pub fn new(shape: Shape, origin: u16) -> Result<Site, String> {
        let dir = tempfile::tempdir().map_err(|e| format!("a temporary folder: {e}"))?;
        let listen = free_port()?;
        let site = Site { dir, listen };
        fs::create_dir(site.config()).map_err(|e| e.to_string())?;
        fs::write(site.config().join("scale.yaml"), shape.text(listen, origin)).map_err(|e| e.to_string())?;
        Ok(site)
    }

    /// The folder that the proxy reads.
    pub fn config(&self) -> PathBuf {
        self.dir.path().join("config")
    }

    /// Another file beside it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

/// A port that was free a moment ago: nothing else on loopback asks for ports while this runs but by the kernel's
/// choice, and that does not repeat itself soon.
fn free_port() -> Result<SocketAddr, String> {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    taken.map_err(|e| format!("a free port: {e}"))
}

/// A running proxy. Killed when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    log: PathBuf,
    /// From the start of the process to its first answer.
    pub started_in: Duration,
}

impl Running {
    /// Starts the program on its CPU and waits for its first answer from an endpoint. `instrument` is what runs it,
    /// with arguments; empty: itself.
    ///
    /// # Errors
    /// It does not start, with all that it said.
    pub async fn start(
        program: &Program,
        site: &Site,
        cpus: Option<Cpus>,
        instrument: &[String],
    ) -> Result<Running, String> {
        let pin = cpus.map(|cpus| ["taskset".to_owned(), "-c".to_owned(), cpus.proxy.to_string()]);
        let mut words = pin.into_iter().flatten().chain(instrument.iter().cloned());
        let mut command = match words.next() {
            Some(first) => Command::new(first),
            None => Command::new(&program.path),
        };
        command.args(words);
        if cpus.is_some() || !instrument.is_empty() {
            command.arg(&program.path);
        }
        let log = site.path("log");
        let file = File::create(&log).map_err(|e| e.to_string())?;
        command.arg("--config").arg(site.config()).arg("--state-dir").arg(site.path("state"));
        command.args(["--admin", "127.0.0.1:0"]);
        let began = Instant::now();
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .map_err(|e| format!("{command:?}: {e}"))?;
        let mut running = Running { child, log, started_in: Duration::ZERO };
        while traffic::probe(site.listen).await.is_err() {
            if !matches!(running.child.try_wait(), Ok(None)) || began.elapsed() > PATIENCE {
                return Err(format!("the proxy does not serve:\n{}", running.said()));
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
        running.started_in = began.elapsed();
        Ok(running)
    }

    /// All that it said on its standard error.
    pub fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The CPU time of all its threads so far.
    ///
    /// # Errors
    /// It does not run any more.
    pub fn cpu(&self) -> Result<CpuTime, String> {
        let stat =
            fs::read_to_string(format!("/proc/{}/stat", self.child.id())).map_err(|e| e.to_string())?;
        CpuTime::parse(&stat, rustix::param::clock_ticks_per_second())
            .ok_or_else(|| format!("/proc/PID/stat is not as proc(5) says: {stat}"))
    }

    /// Resident memory in KiB.
    ///
    /// # Errors
    /// It does not run any more.
    pub fn resident_kib(&self) -> Result<u64, String> {
        let status =
            fs::read_to_string(format!("/proc/{}/status", self.child.id())).map_err(|e| e.to_string())?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok())
            .ok_or_else(|| "there is no VmRSS in /proc/PID/status".to_owned())
    }

    /// Open descriptors: connections of clients and to endpoints, and a dozen others.
    ///
    /// # Errors
    /// It does not run any more.
    pub fn descriptors(&self) -> Result<usize, String> {
        let open = fs::read_dir(format!("/proc/{}/fd", self.child.id())).map_err(|e| e.to_string())?;
        Ok(open.count())
    }

    /// SIGTERM, and its end.
    ///
    /// # Errors
    /// It ends badly or not at all.
    pub async fn terminate(mut self) -> Result<(), String> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).ok_or("no process id")?;
        kill_process(pid, Signal::TERM).map_err(|e| e.to_string())?;
        let began = Instant::now();
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(None) if began.elapsed() < PATIENCE => tokio::time::sleep(ASK_EVERY).await,
                other => return Err(format!("the proxy ends with {other:?}:\n{}", self.said())),
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Errors say that it has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// CPU time in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CpuTime {
    /// In the program.
    pub user: f64,
    /// In the kernel on its behalf.
    pub system: f64,
}

impl CpuTime {
    /// From the text of `/proc/PID/stat` (proc(5): utime and stime are the fields 14 and 15, in clock ticks; the
    /// second field is the program's name in parentheses and may hold anything).
    fn parse(stat: &str, ticks_per_second: u64) -> Option<CpuTime> {
        let (_, after_name) = stat.rsplit_once(')')?;
        let mut fields = after_name.split_whitespace().skip(11).map(|field| field.parse::<f64>().ok());
        let ticks = ticks_per_second as f64;
        Some(CpuTime { user: fields.next()?? / ticks, system: fields.next()?? / ticks })
    }

    /// Both.
    pub fn total(self) -> f64 {
        self.user + self.system
    }

    /// What was used since `earlier`, in microseconds a request.
    pub fn each_since(self, earlier: CpuTime, requests: u64) -> CpuTime {
        let each = |now: f64, then: f64| (now - then) * 1e6 / requests.max(1) as f64;
        CpuTime { user: each(self.user, earlier.user), system: each(self.system, earlier.system) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_found_behind_any_name() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 100 0 0 0 250 1750 9 8 20 0 4 0 55 1 2";
        assert_eq!(CpuTime::parse(stat, 100), Some(CpuTime { user: 2.5, system: 17.5 }));
        assert_eq!(CpuTime::parse("7 (x) S 1", 100), None);
    }

    #[test]
    fn cpu_time_is_told_in_microseconds_a_request() {
        let (then, now) = (CpuTime { user: 1.0, system: 2.0 }, CpuTime { user: 1.5, system: 4.0 });
        let each = now.each_since(then, 50_000);
        assert!((each.user - 10.0).abs() < 1e-9 && (each.system - 40.0).abs() < 1e-9, "{each:?}");
        assert!((each.total() - 50.0).abs() < 1e-9);
    }
}
