//! Children that do not outlive their test.
//!
//! A child is killed when its [`Child`] is dropped. Where the test process itself is killed nothing is dropped,
//! so one small shell per test process, the *undertaker*, is told of every child on its standard input: when
//! that ends, it kills those that are left. A death signal by `prctl` was rejected: it needs `unsafe`, and
//! follows the thread that started the child, not the process.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process};

use crate::wait::eventually;

/// Keeps a list of numbers, one `+ PID` or `- PID` a line, and kills those on it at the end of its input.
const UNDERTAKER: &str = r#"
trap '' INT TERM HUP
pids=" "
while read -r sign pid; do
  case $sign in
    +) pids="$pids$pid " ;;
    -) before="${pids%% $pid *}"; after="${pids#* $pid }"; pids="$before $after" ;;
  esac
done
for pid in $pids; do kill -9 "$pid" 2>/dev/null; done
"#;

fn tell_undertaker(sign: char, pid: u32) {
    static UNDERTAKER_INPUT: OnceLock<Mutex<ChildStdin>> = OnceLock::new();
    let input = UNDERTAKER_INPUT.get_or_init(|| {
        // It is not waited for: it ends after us.
        #[expect(clippy::zombie_processes)]
        let mut shell = Command::new("sh")
            .args(["-c", UNDERTAKER])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell");
        Mutex::new(shell.stdin.take().expect("a pipe"))
    });
    let line = format!("{sign} {pid}\n");
    lock(input).write_all(line.as_bytes()).expect("the undertaker lives as long as we do");
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A test's panic while it holds a lock leaves nothing half done here.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lines kept of a child's standard error: far more than a test looks back.
const LINES_KEPT: usize = 20_000;

/// What a child said on its standard error.
#[derive(Clone, Default, Debug)]
pub struct Lines(Arc<Mutex<VecDeque<String>>>);

impl Lines {
    fn follow(&self, pipe: impl Read + Send + 'static) {
        let lines = self.clone();
        let read = move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                let mut kept = lock(&lines.0);
                if kept.len() == LINES_KEPT {
                    kept.pop_front();
                }
                kept.push_back(line);
            }
        };
        std::thread::Builder::new().name("stderr".to_owned()).spawn(read).expect("a thread");
    }

    /// All of them, one text.
    pub fn text(&self) -> String {
        let lines = lock(&self.0);
        lines.iter().map(|line| format!("{line}\n")).collect()
    }

    /// The first line with this in it.
    pub fn find(&self, word: &str) -> Option<String> {
        lock(&self.0).iter().find(|line| line.contains(word)).cloned()
    }
}

/// A running child, or what is left of it.
#[derive(Debug)]
pub struct Child {
    child: std::process::Child,
    /// Its standard error.
    pub lines: Lines,
}

impl Child {
    /// Starts a program. Its standard input stays open, and empty, until the end of this process.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(command: &mut Command) -> Child {
        let spawned = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        let mut child = spawned.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        tell_undertaker('+', child.id());
        let lines = Lines::default();
        lines.follow(child.stderr.take().expect("a pipe"));
        Child { child, lines }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("our own child can be waited for")
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When `limit` is over first.
    pub async fn end(&mut self, limit: Duration) -> ExitStatus {
        eventually("the end of a process", limit, async || self.ended()).await
    }

    /// Sends a signal. To what has ended, it is none.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a process id");
        // An ended child that was not waited for keeps its number, so this cannot hit a stranger.
        let _ = kill_process(pid, signal);
    }

    /// SIGKILL; when this returns the kernel has taken the process away and its ports are free.
    pub fn kill(&mut self) {
        // An error says that it had ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Resident memory in KiB.
    ///
    /// # Panics
    /// When it does not run.
    pub fn resident_kib(&self) -> u64 {
        let pid = self.child.id().to_string();
        let ps = Command::new("ps").args(["-o", "rss=", "-p", &pid]).output();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let listed = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next());
        let text = match (listed, ps) {
            (Some(kib), _) => kib.to_owned(),
            (None, Ok(ps)) => String::from_utf8_lossy(&ps.stdout).trim().to_owned(),
            (None, Err(error)) => panic!("neither /proc nor ps: {error}"),
        };
        text.parse().unwrap_or_else(|_| panic!("process {pid} does not run"))
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
        tell_undertaker('-', self.child.id());
    }
}

/// A process that a child of ours started, and that outlives it.
#[derive(Debug)]
pub struct Grandchild(Pid);

impl Grandchild {
    /// Takes it in by its process id: it ends with this value, or with the test.
    ///
    /// # Panics
    /// When that is no process id.
    pub fn adopt(pid: u32) -> Grandchild {
        tell_undertaker('+', pid);
        Grandchild(i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process id"))
    }

    /// Sends a signal. To what has ended, it is none.
    pub fn signal(&self, signal: Signal) {
        let _ = kill_process(self.0, signal);
    }

    /// Whether it runs still.
    pub fn runs(&self) -> bool {
        // What ended and waits for its parent to notice is a zombie, and runs no more.
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0)).unwrap_or_default();
        stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.trim_start().starts_with('Z'))
    }
}

impl Drop for Grandchild {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        tell_undertaker('-', self.0.as_raw_nonzero().get().unsigned_abs());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_a_child_says_is_kept_and_its_end_is_seen() {
        let mut child = Child::start(Command::new("sh").args(["-c", "echo well >&2; exit 3"]));
        assert_eq!(child.end(crate::wait::WATCHDOG).await.code(), Some(3));
        let said = eventually("a line", crate::wait::WATCHDOG, async || child.lines.find("well")).await;
        assert_eq!(said, "well");
        assert_eq!(child.lines.text(), "well\n");
    }

    #[test]
    fn a_dropped_child_is_gone() {
        let child = Child::start(Command::new("sleep").arg("600"));
        assert!(child.resident_kib() > 0);
        let pid = child.pid();
        drop(child);
        assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
    }

    #[test]
    fn the_undertaker_kills_those_on_its_list_and_no_others() {
        let sleep = || Command::new("sleep").arg("600").spawn().expect("sleep runs");
        let (mut listed, mut struck_off) = (sleep(), sleep());
        let mut shell =
            Command::new("sh").args(["-c", UNDERTAKER]).stdin(Stdio::piped()).spawn().expect("a shell");
        let (one, other) = (listed.id(), struck_off.id());
        let list = format!("+ {other}\n+ {one}\n- {other}\n");
        shell.stdin.take().expect("a pipe").write_all(list.as_bytes()).expect("told");
        assert!(shell.wait().expect("an end").success());
        assert!(!listed.wait().expect("an end").success());
        assert!(struck_off.try_wait().expect("our child").is_none());
        struck_off.kill().expect("killed");
        struck_off.wait().expect("an end");
    }
}
