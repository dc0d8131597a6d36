//! Upstreams: the demo's origin, in this process or as one that can be killed.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};

use causeway_control_demo::origin as demo;
pub use causeway_control_demo::origin::{Behaviour, Fault, Health, OriginOptions, Seen};
use http::Method;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::background;
use crate::binaries::binaries;
use crate::client::fetch;
use crate::ports::PortLease;
use crate::process::Child;
use crate::wait::{WATCHDOG, until};

/// An origin in this process, on the background thread. It signs as `CLUSTER` and `CLUSTER-NUMBER`.
pub struct Origin {
    lease: PortLease,
    options: OriginOptions,
    running: Option<demo::Origin>,
}

impl Origin {
    /// Starts one.
    pub async fn start(cluster: &str, number: usize) -> Origin {
        let lease = PortLease::take();
        let options = OriginOptions::named(cluster).at(lease.addr()).endpoint(&format!("{cluster}-{number}"));
        let mut origin = Origin { lease, options, running: None };
        origin.restart().await;
        origin
    }

    /// Starts several, numbered from 0.
    pub async fn cluster(cluster: &str, count: usize) -> Vec<Origin> {
        let mut all = Vec::with_capacity(count);
        for number in 0..count {
            all.push(Origin::start(cluster, number).await);
        }
        all
    }

    /// Where it listens, or listened.
    pub fn addr(&self) -> SocketAddr {
        self.lease.addr()
    }

    /// What it signs answers with, as `x-endpoint`.
    pub fn name(&self) -> &str {
        &self.options.endpoint
    }

    /// What it signs answers with, as `x-cluster`.
    pub fn cluster_name(&self) -> &str {
        &self.options.cluster
    }

    /// Makes it misbehave from now on.
    ///
    /// # Panics
    /// When it is stopped.
    pub fn fault(&self, behaviour: impl Into<Behaviour>) {
        self.running().set_fault(behaviour);
    }

    /// What it has seen since it was last started.
    ///
    /// # Panics
    /// When it is stopped.
    pub fn seen(&self) -> Seen {
        self.running().seen()
    }

    fn running(&self) -> &demo::Origin {
        self.running.as_ref().expect("this origin runs")
    }

    /// Ends it as a crash would: connections are cut, then the port refuses.
    pub async fn stop(&mut self) {
        if let Some(origin) = self.running.take() {
            background::run(origin.stop()).await;
        }
    }

    /// Starts it again on the same address, without faults.
    pub async fn restart(&mut self) {
        self.stop().await;
        let started = background::run(demo::Origin::start(self.options.clone())).await;
        self.running = Some(started.expect("a leased port can be bound"));
    }
}

/// The addresses of several.
pub fn addrs(origins: &[Origin]) -> Vec<SocketAddr> {
    origins.iter().map(Origin::addr).collect()
}

/// An origin as a process of its own: what SIGKILL does to sockets, only SIGKILL does.
pub struct OriginProcess {
    lease: PortLease,
    cluster: String,
    endpoint: String,
    process: Child,
}

impl OriginProcess {
    /// Starts one and waits until it answers.
    pub async fn start(cluster: &str, number: usize) -> OriginProcess {
        let (lease, endpoint) = (PortLease::take(), format!("{cluster}-{number}"));
        let process = spawn(lease.addr(), cluster, &endpoint);
        let origin = OriginProcess { lease, cluster: cluster.to_owned(), endpoint, process };
        until("an origin process", WATCHDOG, async || origin.answers().await).await;
        origin
    }

    /// Where it listens, or listened.
    pub fn addr(&self) -> SocketAddr {
        self.lease.addr()
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again on the same address. Does not wait until it listens: neither does a machine's return.
    pub fn restart(&mut self) {
        self.process = spawn(self.lease.addr(), &self.cluster, &self.endpoint);
    }

    async fn answers(&self) -> bool {
        fetch(self.addr(), Method::GET, "/healthz", &[]).await.is_ok_and(|answer| answer.status == 200)
    }
}

fn spawn(listen: SocketAddr, cluster: &str, endpoint: &str) -> Child {
    let mut command = Command::new(&binaries().causeway);
    let listen = listen.to_string();
    command.args(["origin", "--tied", "--listen", &listen, "--cluster", cluster, "--endpoint", endpoint]);
    Child::start(&mut command)
}

/// TLS in front of an origin: what it decrypts goes there, byte for byte. The origin tells HTTP/1.1 from HTTP/2
/// by itself, so ALPN is up to `config` alone.
pub struct TlsFront {
    lease: PortLease,
    clients: Arc<Mutex<Vec<Option<Vec<u8>>>>>,
    accepting: tokio::task::JoinHandle<()>,
}

impl TlsFront {
    /// Starts one.
    pub async fn start(config: Arc<ServerConfig>, origin: SocketAddr) -> TlsFront {
        let lease = PortLease::take();
        let addr = lease.addr();
        let listener = background::run(TcpListener::bind(addr)).await.expect("a leased port can be bound");
        let acceptor = TlsAcceptor::from(config);
        let clients = Arc::<Mutex<Vec<_>>>::default();
        let seen = clients.clone();
        let accepting = background::handle().spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let (acceptor, seen) = (acceptor.clone(), seen.clone());
                tokio::spawn(async move {
                    // A refused handshake, or an end of either side, is what tests look at from outside.
                    let Ok(mut inner) = acceptor.accept(tcp).await else { return };
                    let leaf = inner.get_ref().1.peer_certificates().and_then(<[_]>::first);
                    let leaf = leaf.map(|leaf| leaf.to_vec());
                    seen.lock().unwrap_or_else(PoisonError::into_inner).push(leaf);
                    let Ok(mut outer) = TcpStream::connect(origin).await else { return };
                    let _ = tokio::io::copy_bidirectional(&mut inner, &mut outer).await;
                });
            }
        });
        TlsFront { lease, clients, accepting }
    }

    /// The certificate that each connection so far came with, by which it was made.
    pub fn clients(&self) -> Vec<Option<Vec<u8>>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.lease.addr()
    }
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}
