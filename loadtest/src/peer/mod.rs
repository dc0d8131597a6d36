//! The proxies that are compared: what each is, where it comes from, and how it runs one worker with the same job.
//!
//! | module | what |
//! | --- | --- |
//! | [`install`] | finds or installs their programs |
//! | [`site`] | a folder for one run: ports, certificate, the configuration with both filled in |
//! | [`running`] | the process: start, CPU time, memory, end |
//!
//! Each forwards to the same three endpoints and chooses by a consistent hash of `x-user-id` (Traefik has none on a
//! header and takes turns; the relay is no HTTP proxy and has one upstream). Their configurations lie in `peers/`.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

pub mod install;
pub mod running;
pub mod site;

use self::site::Ports;

/// One of the compared programs.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Peer {
    /// Ours, with all that `peers/causeway/edge.yaml` switches on, one worker.
    Causeway,
    /// Ours with two workers, for the price of a second one.
    CausewayTwo,
    /// A TCP relay of our own: what a proxy in user space costs at least.
    Relay,
    /// HAProxy as Debian ships it.
    Haproxy,
    /// nginx as Debian ships it.
    Nginx,
    /// The newest nginx that a registry has ready.
    NginxCurrent,
    /// Envoy.
    Envoy,
    /// Traefik.
    Traefik,
    /// A proxy made of Pingora.
    Pingora,
}

impl Peer {
    /// All of them, in the order of reports.
    pub const ALL: [Peer; 9] = [
        Peer::Causeway,
        Peer::CausewayTwo,
        Peer::Relay,
        Peer::Haproxy,
        Peer::Nginx,
        Peer::NginxCurrent,
        Peer::Envoy,
        Peer::Traefik,
        Peer::Pingora,
    ];

    /// Those that come near: measured in every round, where the others are measured in some.
    pub fn is_contender(self) -> bool {
        !matches!(self, Peer::Envoy | Peer::Traefik | Peer::Pingora)
    }

    /// Its name in files and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Peer::Causeway => "causeway",
            Peer::CausewayTwo => "causeway-two",
            Peer::Relay => "relay",
            Peer::Haproxy => "haproxy",
            Peer::Nginx => "nginx",
            Peer::NginxCurrent => "nginx-current",
            Peer::Envoy => "envoy",
            Peer::Traefik => "traefik",
            Peer::Pingora => "pingora",
        }
    }

    /// Its name for people.
    pub fn title(self) -> &'static str {
        match self {
            Peer::Causeway => "Causeway",
            Peer::CausewayTwo => "Causeway, 2 workers",
            Peer::Relay => "bare TCP relay",
            Peer::Haproxy => "HAProxy",
            Peer::Nginx => "nginx (Debian)",
            Peer::NginxCurrent => "nginx (current)",
            Peer::Envoy => "Envoy",
            Peer::Traefik => "Traefik",
            Peer::Pingora => "Pingora",
        }
    }

    /// The files of its configuration, with places for ports and paths.
    fn templates(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Peer::Causeway | Peer::CausewayTwo => {
                &[("config/edge.yaml", include_str!("../../peers/causeway/edge.yaml"))]
            }
            Peer::Haproxy => &[("haproxy.cfg", include_str!("../../peers/haproxy/haproxy.cfg"))],
            Peer::Nginx | Peer::NginxCurrent => {
                &[("nginx.conf", include_str!("../../peers/nginx/nginx.conf"))]
            }
            Peer::Envoy => &[("envoy.yaml", include_str!("../../peers/envoy/envoy.yaml"))],
            Peer::Traefik => &[
                ("traefik.yml", include_str!("../../peers/traefik/traefik.yml")),
                ("dynamic.yml", include_str!("../../peers/traefik/dynamic.yml")),
            ],
            Peer::Relay | Peer::Pingora => &[],
        }
    }

    /// Its command line, in the folder `dir`.
    fn arguments(self, dir: &Path, ports: &Ports) -> Vec<String> {
        let file = |name: &str| dir.join(name).display().to_string();
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        match self {
            Peer::Causeway | Peer::CausewayTwo => {
                words(&["--config", &file("config"), "--state-dir", &file("state")])
            }
            Peer::Relay => words(&["relay", &ports.http.to_string(), &ports.origins[0].to_string()]),
            Peer::Haproxy => words(&["-db", "-f", &file("haproxy.cfg")]),
            Peer::Nginx | Peer::NginxCurrent => words(&["-c", &file("nginx.conf")]),
            Peer::Envoy => {
                let alone = ["--concurrency", "1", "-l", "error", "--disable-hot-restart"];
                words(&[&["-c", file("envoy.yaml").as_str()], &alone[..]].concat())
            }
            Peer::Traefik => words(&[&format!("--configFile={}", file("traefik.yml"))]),
            Peer::Pingora => {
                let [http, https] = [ports.http, ports.https].map(|port| port.to_string());
                let mut all = words(&[&http, &https, &file("cert.pem"), &file("key.pem")]);
                all.extend(ports.origins.map(|port| port.to_string()));
                all
            }
        }
    }

    /// What it needs in its environment.
    fn environment(self) -> &'static [(&'static str, &'static str)] {
        match self {
            // One thread for Go code, as the others have one worker.
            Peer::Traefik => &[("GOMAXPROCS", "1")],
            _ => &[],
        }
    }

    /// Ours: as many workers.
    fn workers(self) -> usize {
        if self == Peer::CausewayTwo { 2 } else { 1 }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
