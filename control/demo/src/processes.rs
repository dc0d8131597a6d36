//! Child processes by name: started, killed, started again, and all gone at the end.
//!
//! Each child's standard input is a pipe that nobody writes to; its end tells the child that the demo is
//! over, also when the demo was killed (see `lifeline`). Each is a process group of its own, so that Ctrl-C
//! at the terminal reaches the demo alone, which then ends its children in order.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::File,
    io,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

/// How one child is started.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Where its standard error goes, appended to.
    pub log: PathBuf,
}

struct Slot {
    recipe: Recipe,
    child: Option<Child>,
}

/// The children. Dropping it kills those that are left.
#[derive(Default)]
pub struct Processes {
    slots: BTreeMap<String, Slot>,
}

/// How long [`Processes::stop_all`] waits for children to end by themselves before it kills them.
pub const PATIENCE: Duration = Duration::from_secs(2);

impl Processes {
    /// Starts a child under a name.
    ///
    /// # Errors
    /// When the program cannot be started or the log not be written, or when a child of that name runs.
    pub fn start(&mut self, name: &str, recipe: Recipe) -> io::Result<()> {
        if self.running(name) {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("{name} is running")));
        }
        let child = spawn(&recipe)?;
        self.slots.insert(name.to_owned(), Slot { recipe, child: Some(child) });
        Ok(())
    }

    /// SIGKILL, and waits until the kernel has taken the process away: its ports are then free. Killing
    /// what does not run is no error.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn kill(&mut self, name: &str) -> io::Result<()> {
        let Some(mut child) = self.slots.get_mut(name).and_then(|slot| slot.child.take()) else {
            return Ok(());
        };
        end(&mut child)
    }

    /// Starts a child that has ended again, as it was started before. A running one is left alone, which is
    /// told by `false`.
    ///
    /// # Errors
    /// As [`Processes::start`]; a name never started is not found.
    pub fn restart(&mut self, name: &str) -> io::Result<bool> {
        if self.running(name) {
            return Ok(false);
        }
        let slot = self.slots.get_mut(name).ok_or(io::ErrorKind::NotFound)?;
        slot.child = Some(spawn(&slot.recipe)?);
        Ok(true)
    }

    /// Whether the child runs.
    pub fn running(&mut self, name: &str) -> bool {
        self.pid(name).is_some() && self.ended(name).is_none()
    }

    /// How a child ended that was not killed from here; None while it runs.
    pub fn ended(&mut self, name: &str) -> Option<ExitStatus> {
        self.slots.get_mut(name)?.child.as_mut()?.try_wait().ok()?
    }

    /// The child's process id, unless it was killed from here.
    pub fn pid(&self, name: &str) -> Option<u32> {
        self.slots.get(name)?.child.as_ref().map(Child::id)
    }

    /// Ends all: asks by closing their standard inputs, kills after [`PATIENCE`], and returns when none is
    /// left.
    pub fn stop_all(&mut self) {
        let mut children: Vec<Child> = self.slots.values_mut().filter_map(|slot| slot.child.take()).collect();
        for child in &mut children {
            drop(child.stdin.take());
        }
        let deadline = Instant::now() + PATIENCE;
        while !children.is_empty() && Instant::now() < deadline {
            children.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
            std::thread::sleep(Duration::from_millis(5));
        }
        for mut child in children {
            // Already gone is what was wanted.
            let _ = end(&mut child);
        }
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        for slot in self.slots.values_mut() {
            if let Some(child) = &mut slot.child {
                let _ = end(child);
            }
        }
    }
}

fn spawn(recipe: &Recipe) -> io::Result<Child> {
    let log = File::options().create(true).append(true).open(&recipe.log)?;
    Command::new(&recipe.program)
        .args(&recipe.args)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(log)
        .process_group(0)
        .spawn()
}

fn end(child: &mut Child) -> io::Result<()> {
    child.kill()?;
    child.wait().map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe(log: &tempfile::TempDir, program: &str, args: &[&str]) -> Recipe {
        Recipe {
            program: program.into(),
            args: args.iter().map(OsString::from).collect(),
            log: log.path().join("log"),
        }
    }

    /// A process is gone once it can neither run nor be waited for.
    fn gone(pid: u32) -> bool {
        !std::path::Path::new("/proc").join(pid.to_string()).exists()
    }

    #[test]
    fn a_killed_child_is_gone_when_kill_returns_and_can_be_started_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut processes = Processes::default();
        processes.start("cat", recipe(&folder, "cat", &[])).expect("cat runs");
        let first = processes.pid("cat").expect("a pid");
        assert!(processes.running("cat") && !gone(first));
        assert!(!processes.restart("cat").expect("a known name"), "a running child is left alone");
        processes.kill("cat").expect("killed");
        assert!(gone(first) && !processes.running("cat"));
        processes.kill("cat").expect("killing the dead is no error");
        assert!(processes.restart("cat").expect("a known name"));
        assert_ne!(processes.pid("cat"), Some(first));
    }

    #[test]
    fn none_is_left_after_stop_all_not_even_one_that_does_not_listen() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut processes = Processes::default();
        processes.start("polite", recipe(&folder, "cat", &[])).expect("cat runs");
        processes.start("stubborn", recipe(&folder, "sleep", &["600"])).expect("sleep runs");
        let pids: Vec<u32> = ["polite", "stubborn"].iter().filter_map(|name| processes.pid(name)).collect();
        assert_eq!(pids.len(), 2);
        processes.stop_all();
        assert!(pids.iter().all(|pid| gone(*pid)));
    }

    #[test]
    fn dropping_leaves_none_either() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut processes = Processes::default();
        processes.start("sleep", recipe(&folder, "sleep", &["600"])).expect("sleep runs");
        let pid = processes.pid("sleep").expect("a pid");
        drop(processes);
        assert!(gone(pid));
    }

    #[test]
    fn a_child_that_ends_by_itself_is_seen_to_have_ended() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut processes = Processes::default();
        processes.start("false", recipe(&folder, "false", &[])).expect("false runs");
        let status = loop {
            if let Some(status) = processes.ended("false") {
                break status;
            }
            std::thread::yield_now();
        };
        assert!(!status.success() && !processes.running("false"));
        assert!(processes.start("none", recipe(&folder, "/nowhere/at/all", &[])).is_err());
        assert!(processes.restart("never started").is_err());
    }
}
