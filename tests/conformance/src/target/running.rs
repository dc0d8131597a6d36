//! A target's process.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use causeway_testkit::process::{Child, Signal};
use causeway_testkit::proxy::PANIC;

use super::{Ports, Target};
use crate::wire::Conn;

/// Nobody needs longer than this to start.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often a starting target is asked whether it serves.
const ASK_EVERY: Duration = Duration::from_millis(30);

/// For an end in order; a master that is killed would leave its workers behind.
const FAREWELL: Duration = Duration::from_secs(3);

/// A process, ended when dropped.
pub struct Running {
    child: Arc<Mutex<Child>>,
    admin: u16,
}

impl Running {
    /// Starts it and waits until it serves on all of its ports.
    ///
    /// # Errors
    /// It does not, with what it said.
    pub async fn start(target: Target, program: &Path, dir: &Path, ports: &Ports) -> Result<Running, String> {
        let mut command = Command::new(program);
        let child = Child::start(command.args(target.arguments(dir)).current_dir(dir));
        let running = Running { child: Arc::new(Mutex::new(child)), admin: ports.admin };
        for port in [ports.http, ports.tight, ports.https, ports.tight_tls] {
            let began = Instant::now();
            while let Err(e) = serves(port, port == ports.http || port == ports.tight).await {
                if began.elapsed() > PATIENCE || running.has_ended() {
                    return Err(format!("{target} does not serve: {e}\n{}", running.said()));
                }
                tokio::time::sleep(ASK_EVERY).await;
            }
        }
        Ok(running)
    }

    fn with<T>(&self, act: impl FnOnce(&mut Child) -> T) -> T {
        act(&mut lock(&self.child))
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        self.with(|child| child.ended().is_some())
    }

    /// What our proxy said of a panic, if there was one.
    pub fn panicked(&self) -> Option<String> {
        self.with(|child| child.lines.find(PANIC))
    }

    /// What it said on its standard error.
    pub fn said(&self) -> String {
        self.with(|child| child.lines.text())
    }

    /// Makes it read its configuration, where it does not watch it.
    pub fn reload(&self, target: Target) {
        match target {
            Target::Causeway | Target::Envoy | Target::Traefik => {}
            Target::Haproxy => self.with(|child| child.signal(Signal::USR2)),
            Target::Nginx => self.with(|child| child.signal(Signal::HUP)),
        }
    }

    /// Asks it to end once what is under way has ended.
    pub async fn drain(&self, target: Target) {
        match target {
            Target::Causeway | Target::Traefik => self.with(|child| child.signal(Signal::TERM)),
            Target::Haproxy => self.with(|child| child.signal(Signal::USR1)),
            Target::Nginx => self.with(|child| child.signal(Signal::QUIT)),
            Target::Envoy => {
                // It has no signal for that; its operators use this, and a signal later.
                if let Ok(mut conn) = Conn::tcp(self.admin).await {
                    conn.offer(
                        "POST /drain_listeners?graceful HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
                    )
                    .await;
                    let _ = conn.response(false).await;
                }
            }
        }
    }

    /// Resident memory of it and its workers in KiB.
    pub fn resident_kib(&self) -> u64 {
        let first = self.with(|child| child.pid());
        let mut found = vec![first];
        let mut next = 0;
        while let Some(&pid) = found.get(next) {
            next += 1;
            let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
            for task in tasks {
                let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
                found.extend(children.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
            }
        }
        found.into_iter().filter_map(resident).sum()
    }
}

/// Ends that are waited for, on threads of their own: a check that drops its process must not hold up the others.
static FAREWELLS: Mutex<Vec<JoinHandle<()>>> = Mutex::new(Vec::new());

/// Waits until all processes that were dropped have ended.
pub fn wait_for_ends() {
    let all = std::mem::take(&mut *lock(&FAREWELLS));
    for thread in all {
        // Its panic would be ours in a drop.
        let _ = thread.join();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Running {
    fn drop(&mut self) {
        let child = self.child.clone();
        lock(&child).signal(Signal::TERM);
        let end = move || {
            let began = Instant::now();
            while lock(&child).ended().is_none() && began.elapsed() < FAREWELL {
                std::thread::sleep(Duration::from_millis(10));
            }
        };
        lock(&FAREWELLS).push(std::thread::spawn(end));
    }
}

fn resident(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.split_whitespace().next()?.parse().ok()
}

async fn serves(port: u16, cleartext: bool) -> Result<(), String> {
    let mut conn = Conn::tcp(port).await?;
    if cleartext {
        conn.send("GET /k0000 HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n").await?;
        let status = conn.response(false).await?.status();
        if status != 200 {
            return Err(format!("port {port} answers {status}"));
        }
    }
    Ok(())
}
