//! `causeway-proxy` as a process, seen as its operators see it: files, signals, admin pages, events.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use http::Method;
use serde_json::Value;
use tempfile::TempDir;

use crate::binaries::binaries;
use crate::client::{Answer, fetch};
use crate::config::{Config, GATEWAY, SERVICE};
use crate::metrics::Metrics;
use crate::ports::PortLease;
use crate::process::{Child, Signal};
use crate::wait::{WATCHDOG, eventually, until};

/// The files of one proxy: its config, its state, its access log.
#[derive(Debug)]
pub struct Folder {
    dir: TempDir,
    environment: Vec<(String, String)>,
}

impl Default for Folder {
    fn default() -> Self {
        Folder::new()
    }
}

impl Folder {
    /// An empty one.
    pub fn new() -> Folder {
        let dir = tempfile::tempdir().expect("a folder");
        fs::create_dir(dir.path().join("config")).expect("a folder");
        Folder { dir, environment: Vec::new() }
    }

    /// Sets an environment variable for the process.
    pub fn with_env(mut self, name: &str, value: &str) -> Folder {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// What the proxy watches.
    pub fn config(&self) -> PathBuf {
        self.dir.path().join("config")
    }

    /// Where the proxy keeps its last good config.
    pub fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// Another file of the test's own, such as a certificate.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes the usual file of the watched folder, whole or not at all, as a careful editor does.
    pub fn write(&self, text: &str) {
        let part = self.dir.path().join("causeway.yaml.part");
        fs::write(&part, text).expect("written");
        fs::rename(part, self.config().join("causeway.yaml")).expect("renamed");
    }

    /// The access log, a value a line.
    pub fn access_log(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.path("access.log")).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }
}

/// A running proxy.
#[derive(Debug)]
pub struct Proxy {
    /// The process.
    pub process: Child,
    /// Its files.
    pub folder: Arc<Folder>,
    /// Its admin pages.
    pub admin: SocketAddr,
}

impl Proxy {
    /// Starts one with this config and waits until it serves.
    ///
    /// # Panics
    /// When it does not, with all that it said.
    pub async fn start(config: &Config) -> Proxy {
        let folder = Folder::new();
        folder.write(&config.text());
        Proxy::start_in(Arc::new(folder)).await
    }

    /// The same in a folder that has its files already.
    pub async fn start_in(folder: Arc<Folder>) -> Proxy {
        let mut process = Proxy::launch(&folder);
        let listening = eventually("a proxy's admin address", WATCHDOG, async || {
            if let Some(status) = process.ended() {
                panic!("the proxy ended with {status}:\n{}", process.lines.text());
            }
            process.lines.find(" admin: http://")
        });
        let line = listening.await;
        let admin = line.rsplit("http://").next().and_then(|addr| addr.trim().parse().ok());
        let proxy = Proxy { process, folder, admin: admin.expect("an address") };
        until("a ready proxy", WATCHDOG, async || proxy.readiness().await == Some(200)).await;
        proxy
    }

    /// Starts a second one in the same folder, which takes over, and waits until it serves. This one then drains.
    ///
    /// # Panics
    /// When the second one ends instead, with all that it said.
    pub async fn succeed(&self) -> Proxy {
        let before = self.generation().await.expect("the metrics");
        let mut process = Proxy::launch_with(&self.folder, &["--takeover"]);
        until("a successor", WATCHDOG, async || {
            if let Some(status) = process.ended() {
                panic!("the successor ended with {status}:\n{}", process.lines.text());
            }
            self.generation().await == Some(before + 1)
        })
        .await;
        Proxy { process, folder: self.folder.clone(), admin: self.admin }
    }

    /// How many processes have served on these sockets, this one included; None while nobody answers.
    pub async fn generation(&self) -> Option<u64> {
        let answer = fetch(self.admin, Method::GET, "/metrics", &[]).await.ok()?;
        Some(Metrics::parse(&answer.text()).sum("causeway_process_generation", &[]) as u64)
    }

    /// Starts the process and waits for nothing: for one that is meant to fail.
    pub fn launch(folder: &Folder) -> Child {
        Proxy::launch_with(folder, &[])
    }

    /// The same with more arguments.
    pub fn launch_with(folder: &Folder, more: &[&str]) -> Child {
        let mut command = Command::new(&binaries().proxy);
        command.envs(folder.environment.iter().map(|(name, value)| (name, value)));
        command.arg("--config").arg(folder.config()).arg("--state-dir").arg(folder.state());
        Child::start(command.args(["--admin", "127.0.0.1:0"]).args(more))
    }

    /// A request to the admin address.
    pub async fn admin(&self, method: Method, path: &str) -> Answer {
        fetch(self.admin, method, path, &[]).await.expect("the admin address answers")
    }

    /// A JSON page of the admin address.
    pub async fn page(&self, path: &str) -> Value {
        let answer = self.admin(Method::GET, path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        serde_json::from_slice(&answer.body)
            .unwrap_or_else(|error| panic!("{path}: {error}: {}", answer.text()))
    }

    /// The status of `/readyz`; None when nobody answers there any more.
    pub async fn readiness(&self) -> Option<u16> {
        fetch(self.admin, Method::GET, "/readyz", &[]).await.ok().map(|answer| answer.status)
    }

    /// What Prometheus would scrape.
    pub async fn metrics(&self) -> Metrics {
        let answer = self.admin(Method::GET, "/metrics").await;
        assert_eq!(answer.status, 200);
        Metrics::parse(&answer.text())
    }

    /// One cluster of the usual service on the page `/clusters`.
    pub async fn cluster(&self, name: &str) -> Value {
        let page = self.page("/clusters").await;
        let service = page["services"].as_array().and_then(|all| all.iter().find(|s| s["name"] == SERVICE));
        let service = service.unwrap_or_else(|| panic!("no service {SERVICE}: {page:#}"));
        let cluster = service["clusters"].as_array().and_then(|all| all.iter().find(|c| c["name"] == name));
        cluster.unwrap_or_else(|| panic!("no cluster {name}: {page:#}")).clone()
    }

    /// The share (0 to 1) of its users that a cluster of the usual service keeps.
    pub async fn admission(&self, cluster: &str) -> f64 {
        self.cluster(cluster).await["admission"].as_f64().expect("a number")
    }

    /// One endpoint of a cluster of the usual service.
    pub async fn endpoint(&self, cluster: &str, addr: SocketAddr) -> Value {
        let page = self.cluster(cluster).await;
        let endpoint = page["endpoints"]
            .as_array()
            .and_then(|all| all.iter().find(|endpoint| endpoint["address"] == addr.to_string()));
        endpoint.unwrap_or_else(|| panic!("no endpoint {addr}: {page:#}")).clone()
    }

    /// Changes the config and waits until the change is in force.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn reload(&self, config: &Config) {
        let before = self.page("/config").await;
        self.folder.write(&config.text());
        until("a config to come into force", WATCHDOG, async || {
            let now = self.page("/config").await;
            assert!(now["refused"] == before["refused"], "{}", now["error"]);
            now["applied"].as_u64() > before["applied"].as_u64()
        })
        .await;
    }

    /// SIGTERM.
    pub fn terminate(&self) {
        self.process.signal(Signal::TERM);
    }
}

/// What the proxy's log says where a task has panicked.
pub const PANIC: &str = " panic: thread ";

/// A panic of the proxy's is a bug, whatever else a test looks at: it is contained and counted there, and fails the test
/// here.
impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(line) = self.process.lines.find(PANIC)
            && !std::thread::panicking()
        {
            panic!("the proxy panicked: {line}");
        }
    }
}

/// A leased address for a Gateway, and the usual config for it.
pub fn gateway() -> (PortLease, Config) {
    let lease = PortLease::take();
    let config = Config::new(lease.addr());
    (lease, config)
}

/// Adds an HTTPS listener to the usual Gateway.
pub fn add_https(config: &mut Config, listen: SocketAddr, cert: &Path, key: &Path) {
    config.set(
        "Gateway",
        GATEWAY,
        "listeners.1",
        serde_json::json!({
            "name": "https",
            "port": listen.port(),
            "protocol": "HTTPS",
            "tls": {"options": {"mesh.macleodlabs.io/cert-file": cert, "mesh.macleodlabs.io/key-file": key}},
        }),
    );
}
