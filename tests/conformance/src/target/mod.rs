//! The proxies that the battery is run against: their configuration, their process, and what surrounds them.
//!
//! Each gets the same listeners (HTTP, HTTPS, and both once more with tight limits), routes, upstreams and timeouts, as
//! far as it has them; the files lie in `peers/`.

mod running;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use causeway_loadtest::peer::{Peer, install};
use causeway_testkit::certs::Authority;
use causeway_testkit::ports::PortLease;
use rustls::ClientConfig;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

pub use self::running::{Running, wait_for_ends};
use crate::origin::{Door, Origin};

/// A proxy.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// Ours.
    Causeway,
    /// HAProxy as Debian ships it.
    Haproxy,
    /// The newest nginx that a registry has ready.
    Nginx,
    /// Envoy.
    Envoy,
    /// Traefik.
    Traefik,
}

impl Target {
    /// All, in the order of reports.
    pub const ALL: [Target; 5] =
        [Target::Causeway, Target::Haproxy, Target::Nginx, Target::Envoy, Target::Traefik];

    /// For people.
    pub fn title(self) -> &'static str {
        match self {
            Target::Causeway => "Causeway",
            Target::Haproxy => "HAProxy",
            Target::Nginx => "nginx",
            Target::Envoy => "Envoy",
            Target::Traefik => "Traefik",
        }
    }

    /// Its program and version, installed where `install` allows it and it is missing.
    ///
    /// # Errors
    /// It is not there and cannot be had; with what to do.
    pub fn find(self, install: bool) -> Result<(PathBuf, String), String> {
        let peer = match self {
            Target::Causeway => Peer::Causeway,
            Target::Haproxy => Peer::Haproxy,
            Target::Nginx => Peer::NginxCurrent,
            Target::Envoy => Peer::Envoy,
            Target::Traefik => Peer::Traefik,
        };
        install::find(peer, install).map(|found| (found.program, found.version))
    }

    /// The files of its configuration, with places for ports and paths.
    fn templates(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Target::Causeway => &[("config/edge.yaml", include_str!("../../peers/causeway/edge.yaml"))],
            Target::Haproxy => &[("haproxy.cfg", include_str!("../../peers/haproxy/haproxy.cfg"))],
            Target::Nginx => &[("nginx.conf", include_str!("../../peers/nginx/nginx.conf"))],
            Target::Envoy => &[
                ("envoy.yaml", include_str!("../../peers/envoy/envoy.yaml")),
                ("listeners.yaml", include_str!("../../peers/envoy/listeners.yaml")),
            ],
            Target::Traefik => &[
                ("traefik.yml", include_str!("../../peers/traefik/traefik.yml")),
                ("dynamic.yml", include_str!("../../peers/traefik/dynamic.yml")),
            ],
        }
    }

    fn arguments(self, dir: &Path) -> Vec<String> {
        let file = |name: &str| dir.join(name).display().to_string();
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        match self {
            Target::Causeway => words(&["--config", &file("config"), "--state-dir", &file("state")]),
            Target::Haproxy => words(&["-W", "-db", "-f", &file("haproxy.cfg")]),
            Target::Nginx => words(&["-p", &dir.display().to_string(), "-c", &file("nginx.conf")]),
            Target::Envoy => words(&[
                "-c",
                &file("envoy.yaml"),
                "--concurrency",
                "2",
                "-l",
                "error",
                "--disable-hot-restart",
            ]),
            Target::Traefik => words(&[&format!("--configFile={}", file("traefik.yml"))]),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.title())
    }
}

/// Where a target listens. The leases end with it.
#[derive(Debug)]
pub struct Ports {
    leases: [PortLease; 5],
    /// HTTP/1.1 without TLS.
    pub http: u16,
    /// TLS.
    pub https: u16,
    /// HTTP/1.1 with tight limits.
    pub tight: u16,
    /// TLS with tight limits.
    pub tight_tls: u16,
    /// Where the target is administered, if it is.
    pub admin: u16,
}

impl Ports {
    fn take() -> Ports {
        let leases: [PortLease; 5] = std::array::from_fn(|_| PortLease::take());
        let [http, https, tight, tight_tls, admin] = leases.each_ref().map(|lease| lease.addr().port());
        Ports { leases, http, https, tight, tight_tls, admin }
    }

    /// All of them.
    pub fn all(&self) -> [u16; 5] {
        self.leases.each_ref().map(|lease| lease.addr().port())
    }
}

/// Clients that trust the target's certificate, by what they offer in ALPN.
pub struct Clients {
    /// `h2`.
    pub h2: Arc<ClientConfig>,
    /// `http/1.1`.
    pub http1: Arc<ClientConfig>,
    /// No ALPN.
    pub plain: Arc<ClientConfig>,
    /// `h2` and `http/1.1`.
    pub both: Arc<ClientConfig>,
    /// What no server of HTTP speaks.
    pub strange: Arc<ClientConfig>,
}

impl Clients {
    fn of(authority: &Authority) -> Clients {
        Clients {
            h2: authority.client(&["h2"]),
            http1: authority.client(&["http/1.1"]),
            plain: authority.client(&[]),
            both: authority.client(&["h2", "http/1.1"]),
            strange: authority.client(&["acme-tls/1"]),
        }
    }
}

/// A running target, the origin behind it, and clients for it.
pub struct World {
    /// Which.
    pub target: Target,
    /// Its process. First, so that it ends before its folder and its ports.
    pub running: Running,
    /// The origin.
    pub origin: Arc<Origin>,
    /// Clients.
    pub tls: Clients,
    /// Where it listens.
    pub ports: Ports,
    authority: Authority,
    program: PathBuf,
    _dir: TempDir,
}

impl World {
    /// Starts `program` as this target, and the origin.
    ///
    /// # Errors
    /// It does not serve, with what it said.
    pub async fn start(target: Target, program: &Path) -> Result<Arc<World>, String> {
        let authority = Authority::new();
        let origin = Origin::start(&authority).await?;
        let (dir, ports) = lay_out(target, &authority, &origin)?;
        let running = Running::start(target, program, dir.path(), &ports).await?;
        let tls = Clients::of(&authority);
        let program = program.to_owned();
        Ok(Arc::new(World { target, running, origin, tls, ports, authority, program, _dir: dir }))
    }

    /// Another process of the same target, for a check that reloads or ends it. Its clients are the first one's.
    ///
    /// # Errors
    /// It does not serve.
    pub async fn another(&self) -> Result<Another, String> {
        let (dir, ports) = lay_out(self.target, &self.authority, &self.origin)?;
        let running = Running::start(self.target, &self.program, dir.path(), &ports).await?;
        Ok(Another { running, ports, dir })
    }

    /// Writes the configuration of another process anew, with this for `@VERSION@`, and makes it read it.
    ///
    /// # Errors
    /// The disk's.
    pub fn reload(&self, another: &Another, version: &str) -> Result<(), String> {
        let text = |text: &str| fill(text, another.dir.path(), &another.ports, &self.origin, version);
        for (name, template) in self.target.templates() {
            replace(&another.dir.path().join(name), &text(template))?;
        }
        another.running.reload(self.target);
        Ok(())
    }

    /// Breaks the configuration of another process and makes it read it.
    ///
    /// # Errors
    /// The disk's.
    pub fn break_configuration(&self, another: &Another) -> Result<(), String> {
        // The last file is the one that is read again.
        if let Some((name, _)) = self.target.templates().last() {
            replace(&another.dir.path().join(name), "} this is no configuration: [")?;
        }
        another.running.reload(self.target);
        Ok(())
    }
}

/// A second process of a target.
pub struct Another {
    /// It.
    pub running: Running,
    /// Where it listens.
    pub ports: Ports,
    dir: TempDir,
}

/// A folder with certificates and configuration.
fn lay_out(target: Target, authority: &Authority, origin: &Origin) -> Result<(TempDir, Ports), String> {
    let dir = TempDir::with_prefix("conformance-").map_err(|e| format!("a folder: {e}"))?;
    let ports = Ports::take();
    let issued = authority.issue(&["localhost", "a.test", "*.a.test"]);
    authority.write(&dir.path().join("ca.pem"));
    for (name, text) in [
        ("cert.pem", issued.cert.clone()),
        ("key.pem", issued.key.clone()),
        // HAProxy wants both in one file.
        ("bundle.pem", format!("{}{}", issued.cert, issued.key)),
    ] {
        replace(&dir.path().join(name), &text)?;
    }
    for (name, template) in target.templates() {
        replace(&dir.path().join(name), &fill(template, dir.path(), &ports, origin, "1"))?;
    }
    Ok((dir, ports))
}

/// Writes a file whole or not at all, as a careful editor does.
fn replace(path: &Path, text: &str) -> Result<(), String> {
    let folder = path.parent().unwrap_or(path);
    let part = folder.with_extension("part");
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(&part, text))
        .and_then(|()| fs::rename(&part, path))
        .map_err(|e| format!("{}: {e}", path.display()))
}

fn fill(template: &str, dir: &Path, ports: &Ports, origin: &Origin, version: &str) -> String {
    let mut text = template.replace("@DIR@", &dir.display().to_string()).replace("@VERSION@", version);
    for (place, port) in [
        ("@HTTP@", ports.http),
        ("@HTTPS@", ports.https),
        ("@TIGHT@", ports.tight),
        ("@TIGHT_TLS@", ports.tight_tls),
        ("@ADMIN@", ports.admin),
        ("@ONE@", origin.port(Door::One)),
        ("@TWO@", origin.port(Door::Two)),
        ("@SECRET@", origin.port(Door::Secret)),
        ("@H2@", origin.port(Door::H2)),
        ("@TLS@", origin.port(Door::Tls)),
        ("@STRANGER@", origin.port(Door::Stranger)),
        ("@MISNAMED@", origin.port(Door::Misnamed)),
        ("@DEAD@", origin.port(Door::Dead)),
    ] {
        text = text.replace(place, &port.to_string());
    }
    text
}
