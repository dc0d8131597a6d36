//! A name server: dnsmasq, a real one, with the records that a test gives it.
//!
//! `.ci/setup --test` installs it where it may; without it a test has to be skipped, and says so.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::ports::PortLease;
use crate::process::Child;
use crate::skip::skipped;
use crate::wait::{WATCHDOG, eventually};

/// A name server for the domain `test`, on loopback, UDP and TCP. What it is not told about does not exist.
pub struct Dns {
    program: PathBuf,
    lease: PortLease,
    dir: TempDir,
    process: Option<Child>,
}

impl Dns {
    /// Starts one with these records, each a line of dnsmasq's configuration: [`address`], [`service`].
    /// `None`, after a word about it, where there is no dnsmasq.
    pub async fn start(records: &[String]) -> Option<Dns> {
        let Some(program) = program() else {
            skipped("there is no dnsmasq: apt-get install dnsmasq-base");
            return None;
        };
        let dir = tempfile::tempdir().expect("a folder");
        let mut dns = Dns { program, lease: PortLease::take(), dir, process: None };
        dns.serve(records).await;
        Some(dns)
    }

    /// Where it listens, or listened.
    pub fn addr(&self) -> SocketAddr {
        self.lease.addr()
    }

    /// Knows these records from now on, and no others. Starts it again if it was stopped.
    pub async fn serve(&mut self, records: &[String]) {
        self.stop();
        let config = self.dir.path().join("dnsmasq.conf");
        let mut lines: Vec<String> = [
            "keep-in-foreground",
            "bind-interfaces",
            "listen-address=127.0.0.1",
            "no-resolv",
            "no-hosts",
            "local=/test/",
            "log-facility=-",
            "pid-file=",
            // Started by root it would else become another user, who may not read the test's folder.
            "user=root",
        ]
        .map(str::to_owned)
        .into();
        lines.push(format!("port={}", self.addr().port()));
        lines.extend_from_slice(records);
        fs::write(&config, lines.join("\n") + "\n").expect("written");
        let mut process = Child::start(Command::new(&self.program).arg(conf_file(&config)));
        eventually("a name server", WATCHDOG, async || {
            if let Some(status) = process.ended() {
                panic!("dnsmasq ended with {status}:\n{}", process.lines.text());
            }
            process.lines.find("started, version")
        })
        .await;
        self.process = Some(process);
    }

    /// Ends it: nobody answers any more.
    pub fn stop(&mut self) {
        self.process = None;
    }
}

fn conf_file(path: &Path) -> String {
    format!("--conf-file={}", path.display())
}

fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // It lies where only root looks by default.
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    folders.map(|folder| folder.join("dnsmasq")).find(|program| program.is_file())
}

/// An A or AAAA record; several of one name are several addresses.
pub fn address(name: &str, ip: &str, ttl: u32) -> String {
    format!("host-record={name},{ip},{ttl}")
}

/// An SRV record. Its TTL is that of [`ttl`].
pub fn service(name: &str, target: &str, port: u16, priority: u16, weight: u16) -> String {
    format!("srv-host={name},{target},{port},{priority},{weight}")
}

/// The TTL of all records that have none of their own; 0 if this is not given.
pub fn ttl(seconds: u32) -> String {
    format!("local-ttl={seconds}")
}
