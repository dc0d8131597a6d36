//! The demo's moving parts and what may be done to them, by key or by HTTP alike.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::{Method, StatusCode};

use crate::{
    events::{Events, Voice},
    fetch::fetch,
    origin::{Behaviour, Fault},
    processes::{Processes, Recipe},
    proxy_view::ProxyView,
    topology::{ClusterSpec, Topology},
};

/// Something to do to a cluster, or to one of its endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// SIGKILL.
    Kill,
    /// Start what does not run, and lift all faults.
    Restore,
    /// Set this behaviour on what runs.
    Behave(Behaviour),
}

/// Why an [`Action`] was not done.
#[derive(Debug)]
pub enum Refused {
    /// There is no such cluster or endpoint.
    Unknown(String),
    /// It was tried.
    Failed(String),
}

struct Endpoint {
    name: String,
    addr: SocketAddr,
    behaviour: Behaviour,
}

/// An endpoint, as the stage knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointState {
    /// Where it listens.
    pub addr: SocketAddr,
    /// Whether its process runs.
    pub alive: bool,
    /// What it was told to do.
    pub behaviour: Behaviour,
}

/// The name of the proxy among the processes.
const PROXY: &str = "proxy";

/// All of it.
pub struct Stage {
    /// Where everything listens.
    pub topology: Topology,
    /// The log.
    pub events: Events,
    program: PathBuf,
    folder: PathBuf,
    processes: Mutex<Processes>,
    clusters: Mutex<BTreeMap<String, Vec<Endpoint>>>,
    proxy: Mutex<ProxyView>,
}

impl Stage {
    /// Writes the configuration into `folder` and starts every process: `program` with the arguments
    /// `origin ...` and `proxy ...`.
    ///
    /// # Errors
    /// Those of the file system, and of a program that cannot be started.
    pub fn set(topology: Topology, program: PathBuf, folder: &Path) -> io::Result<Arc<Stage>> {
        let stage = Stage {
            topology,
            events: Events::new(),
            program,
            folder: folder.to_owned(),
            processes: Mutex::default(),
            clusters: Mutex::default(),
            proxy: Mutex::default(),
        };
        stage.topology.write(&stage.config(), &stage.access_log())?;
        for cluster in &stage.topology.clusters {
            let endpoints = stage.start_cluster(cluster)?;
            stage.clusters().insert(cluster.name.clone(), endpoints);
        }
        stage.start_proxy()?;
        Ok(Arc::new(stage))
    }

    /// The folder that the proxy watches.
    pub fn config(&self) -> PathBuf {
        self.folder.join("config")
    }

    /// Where the proxy logs failures.
    pub fn access_log(&self) -> PathBuf {
        self.folder.join("access.log")
    }

    /// What the proxy writes to its standard error.
    pub fn proxy_log(&self) -> PathBuf {
        self.folder.join("proxy.log")
    }

    fn start_cluster(&self, cluster: &ClusterSpec) -> io::Result<Vec<Endpoint>> {
        let mut endpoints = Vec::new();
        for (number, addr) in cluster.endpoints.iter().enumerate() {
            let name = format!("{}-{number}", cluster.name);
            let listen = addr.to_string();
            let args =
                ["origin", "--tied", "--listen", &listen, "--cluster", &cluster.name, "--endpoint", &name];
            let recipe = Recipe {
                program: self.program.clone(),
                args: args.map(OsString::from).into(),
                log: self.folder.join(format!("{name}.log")),
            };
            self.processes().start(&name, recipe)?;
            endpoints.push(Endpoint { name, addr: *addr, behaviour: Behaviour::default() });
        }
        Ok(endpoints)
    }

    fn start_proxy(&self) -> io::Result<()> {
        let args: [OsString; 8] = [
            "proxy".into(),
            "--tied".into(),
            "--config".into(),
            self.config().into(),
            "--admin".into(),
            self.topology.admin.to_string().into(),
            "--state-dir".into(),
            self.folder.join("state").into(),
        ];
        let recipe = Recipe { program: self.program.clone(), args: args.into(), log: self.proxy_log() };
        self.processes().start(PROXY, recipe)
    }

    /// Whether the proxy says that it serves.
    ///
    /// # Errors
    /// When it has ended, with the end of what it wrote.
    pub async fn proxy_ready(&self) -> Result<bool, String> {
        if let Some(status) = self.processes().ended(PROXY) {
            let log = std::fs::read_to_string(self.proxy_log()).unwrap_or_default();
            let tail: Vec<&str> = log.lines().rev().take(12).collect();
            let tail: Vec<&str> = tail.into_iter().rev().collect();
            return Err(format!("the proxy ended ({status})\n{}", tail.join("\n")));
        }
        let answer = fetch(Method::GET, self.topology.admin, "/readyz").await;
        Ok(answer.is_ok_and(|(status, _)| status == StatusCode::OK))
    }

    /// Asks the proxy how its clusters are, and logs what changed.
    pub async fn look_at_proxy(&self) {
        let Ok((StatusCode::OK, body)) = fetch(Method::GET, self.topology.admin, "/clusters").await else {
            *self.proxy_cell() = ProxyView::default();
            return;
        };
        let page = serde_json::from_slice(&body).unwrap_or_default();
        let now = ProxyView::parse(&page);
        let changes = self.proxy_cell().changes(&now);
        for (voice, text) in changes {
            self.events.say(voice, text);
        }
        *self.proxy_cell() = now;
    }

    /// What the proxy said when it was asked last.
    pub fn proxy(&self) -> ProxyView {
        self.proxy_cell().clone()
    }

    /// A cluster's endpoints; empty for one that there is not.
    pub fn endpoints(&self, cluster: &str) -> Vec<EndpointState> {
        let clusters = self.clusters();
        let Some(endpoints) = clusters.get(cluster) else { return Vec::new() };
        let mut processes = self.processes();
        let state = |endpoint: &Endpoint| EndpointState {
            addr: endpoint.addr,
            alive: processes.running(&endpoint.name),
            behaviour: endpoint.behaviour,
        };
        endpoints.iter().map(state).collect()
    }

    /// Does something to a cluster, or to one endpoint of it, and logs it. Returns what was done, in words.
    ///
    /// # Errors
    /// See [`Refused`]. With several endpoints the first failure ends it.
    pub async fn act(&self, cluster: &str, only: Option<usize>, action: Action) -> Result<String, Refused> {
        let targets: Vec<(usize, String, SocketAddr)> = {
            let clusters = self.clusters();
            let Some(endpoints) = clusters.get(cluster) else {
                let known: Vec<&str> = clusters.keys().map(String::as_str).collect();
                return Err(Refused::Unknown(format!("no cluster {cluster:?}: {}", known.join(", "))));
            };
            let all = endpoints.iter().enumerate();
            all.filter(|(number, _)| only.is_none_or(|only| only == *number))
                .map(|(number, endpoint)| (number, endpoint.name.clone(), endpoint.addr))
                .collect()
        };
        if targets.is_empty() {
            return Err(Refused::Unknown(format!("{cluster} has no endpoint {}", only.unwrap_or(0))));
        }
        for (number, name, addr) in targets {
            let behaviour = self
                .act_on(&name, addr, action)
                .await
                .map_err(|error| Refused::Failed(format!("{name}: {error}")))?;
            if let Some(endpoint) = self.clusters().get_mut(cluster).and_then(|all| all.get_mut(number)) {
                endpoint.behaviour = behaviour;
            }
        }
        let place = only.map_or_else(|| cluster.to_owned(), |number| format!("{cluster} endpoint {number}"));
        let done = format!("{place}: {}", in_words(action));
        self.events.say(Voice::You, done.clone());
        Ok(done)
    }

    async fn act_on(&self, name: &str, addr: SocketAddr, action: Action) -> io::Result<Behaviour> {
        match action {
            Action::Kill => self.processes().kill(name).map(|()| Behaviour::default()),
            Action::Restore => {
                if self.processes().restart(name)? {
                    return Ok(Behaviour::default());
                }
                set_behaviour(addr, Behaviour::default()).await
            }
            Action::Behave(behaviour) => set_behaviour(addr, behaviour).await,
        }
    }

    /// Ends every process; blocks for at most [`crate::processes::PATIENCE`].
    pub fn strike(&self) {
        self.processes().stop_all();
    }

    fn processes(&self) -> MutexGuard<'_, Processes> {
        self.processes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn clusters(&self) -> MutexGuard<'_, BTreeMap<String, Vec<Endpoint>>> {
        self.clusters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn proxy_cell(&self) -> MutexGuard<'_, ProxyView> {
        self.proxy.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn set_behaviour(addr: SocketAddr, behaviour: Behaviour) -> io::Result<Behaviour> {
    let path = format!("/__fault?{}", behaviour.to_query());
    match fetch(Method::POST, addr, &path).await {
        Ok((StatusCode::OK, _)) => Ok(behaviour),
        Ok((_, body)) => Err(io::Error::other(String::from_utf8_lossy(&body).trim().to_owned())),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            Err(io::Error::other("is not running; restore it first"))
        }
        Err(error) => Err(error),
    }
}

fn in_words(action: Action) -> String {
    match action {
        Action::Kill => "killed".to_owned(),
        Action::Restore => "restored".to_owned(),
        Action::Behave(behaviour) => fault_in_words(behaviour.fault),
    }
}

/// A fault, as short as a view wants it.
pub fn fault_in_words(fault: Fault) -> String {
    match fault {
        Fault::Ok => "ok".to_owned(),
        Fault::Slow(wait) => format!("slow by {} ms", Duration::as_millis(&wait)),
        Fault::Err { percent } => format!("errs on {percent} % of requests"),
        Fault::Status(code) => format!("answers {code} to all"),
        Fault::Hang => "hangs".to_owned(),
        Fault::Close => "closes connections".to_owned(),
    }
}
