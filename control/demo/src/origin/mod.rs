//! An HTTP server that can be made to misbehave: the upstream of the demo and of every test.
//!
//! It runs inside a test ([`Origin::start`]) or as a process of its own (`causeway origin`), with the same
//! pages and the same switch, so that a test and a person at the demo see the same faults. It speaks
//! HTTP/1.1 and HTTP/2 with prior knowledge on one port. A mock of an upstream was rejected: what a proxy
//! gets wrong (framing, half-closed connections, resets) a mock does not do.
//!
//! | path | answer |
//! | --- | --- |
//! | any other | 200, a small JSON object: cluster, endpoint, version, user |
//! | `/healthz` | 200; some faults spare it, see [`Fault`] |
//! | `/echo` | the request as JSON: method, uri, version, headers, body, trailers |
//! | `/echo-body` | the request's body and trailers, streamed back |
//! | `/bytes?n=N[&chunked=1]` | N bytes |
//! | `/slow-body?ms=M[&chunks=C]` | the head at once, then C chunks, each after M milliseconds |
//! | `/status/NNN` | that status |
//! | `/trailers` | a body and the trailer `x-checked: yes` |
//! | `GET /__fault` | the present behaviour, as the query that would set it |
//! | `POST /__fault?kind=...` | sets the behaviour, see [`Behaviour::from_query`] |
//! | `GET /__seen` | counters as JSON, see [`Seen`] |
//!
//! Every answer carries `x-cluster`, `x-endpoint` and `x-version`.

mod answers;
mod fault;

use std::{
    io,
    net::SocketAddr,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use answers::{Identity, Page, answer, json_page, sign, text};
pub use fault::{Behaviour, Fault, Health};
pub(crate) use fault::{number, query_value};
use http::{Method, Request, StatusCode};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use serde::{Deserialize, Serialize};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
};

/// Who an origin says it is, and where it listens.
#[derive(Clone, Debug)]
pub struct OriginOptions {
    /// Port 0 takes a free one; [`Origin::addr`] tells which.
    pub listen: SocketAddr,
    /// Sent as `x-cluster`.
    pub cluster: String,
    /// Sent as `x-endpoint`.
    pub endpoint: String,
    /// Sent as `x-version`.
    pub version: String,
}

impl OriginOptions {
    /// A loopback origin on a free port, named `CLUSTER-0`, version `v1`.
    pub fn named(cluster: &str) -> Self {
        OriginOptions {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            cluster: cluster.to_owned(),
            endpoint: format!("{cluster}-0"),
            version: "v1".to_owned(),
        }
    }

    /// The same on this address.
    pub fn at(mut self, listen: SocketAddr) -> Self {
        self.listen = listen;
        self
    }

    /// The same under this endpoint name.
    pub fn endpoint(mut self, endpoint: &str) -> Self {
        self.endpoint = endpoint.to_owned();
        self
    }
}

/// What an origin has seen since it started. Its own `/__` paths are not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Requests whose head arrived, probes aside.
    pub requests: u64,
    /// Those of them with a method that RFC 9110, 9.2.2 does not call idempotent.
    pub not_idempotent: u64,
    /// Requests for `/healthz`.
    pub probes: u64,
    /// Requests, probes too, that have no answer yet.
    pub in_flight: u64,
    /// Connections accepted.
    pub connections: u64,
    /// Connections open now.
    pub open_connections: u64,
}

#[derive(Default)]
struct Counters {
    requests: AtomicU64,
    not_idempotent: AtomicU64,
    probes: AtomicU64,
    in_flight: AtomicU64,
    connections: AtomicU64,
    open_connections: AtomicU64,
    /// Draws for [`Fault::Err`].
    rolls: AtomicU64,
}

struct Shared {
    who: Identity,
    behaviour: watch::Sender<Behaviour>,
    counters: Counters,
}

/// A running origin. Dropping it stops it as a crash would.
pub struct Origin {
    addr: SocketAddr,
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    accepting: JoinHandle<()>,
}

impl Origin {
    /// Binds and serves on the present tokio runtime.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn start(options: OriginOptions) -> io::Result<Origin> {
        let listener = TcpListener::bind(options.listen).await?;
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared {
            who: Identity { cluster: options.cluster, endpoint: options.endpoint, version: options.version },
            behaviour: watch::Sender::new(Behaviour::default()),
            counters: Counters::default(),
        });
        let (stop, stopped) = watch::channel(false);
        let accepting = tokio::spawn(accept(listener, shared.clone(), stopped));
        Ok(Origin { addr, shared, stop, accepting })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Changes the behaviour for requests from now on; those that hang are answered if the new one lets them.
    pub fn set_fault(&self, behaviour: impl Into<Behaviour>) {
        self.shared.behaviour.send_replace(behaviour.into());
    }

    /// The counters.
    pub fn seen(&self) -> Seen {
        self.shared.seen()
    }

    /// Closes the listener and cuts every connection, as SIGKILL would. When it returns, the port is free.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        // The task ends by the signal just sent; a cancelled runtime is as good as an end.
        let _ = (&mut self.accepting).await;
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.accepting.abort();
        // HTTP/2 streams are tasks of their own: one that hangs would outlive its connection.
        self.shared.behaviour.send_replace(Fault::Close.into());
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, mut stopped: watch::Receiver<bool>) {
    // Owned here, so that the connections end with this task, however it ends.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve(stream, shared.clone()));
                }
                // Out of descriptors, most likely: wait for some to come back instead of spinning.
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            _ = stopped.changed() => break,
        }
    }
    drop(listener);
    connections.shutdown().await;
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let _open = Gauge::up(&shared.counters.open_connections);
    shared.counters.connections.fetch_add(1, Relaxed);
    // An answer is one small write; without this it may wait for the peer's delayed ACK.
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| respond(shared.clone(), request));
    // The peer's going away is the peer's business: the counters tell what a test needs.
    let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
}

/// Closes the connection without an answer: hyper does so for any error of a service.
#[derive(Debug)]
struct CloseConnection;

impl std::fmt::Display for CloseConnection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("closed on purpose")
    }
}

impl std::error::Error for CloseConnection {}

async fn respond(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Page, CloseConnection> {
    if let Some(own) = request.uri().path().strip_prefix("/__") {
        return Ok(control(&shared, own, &request));
    }
    let probe = request.uri().path() == "/healthz";
    let counters = &shared.counters;
    if probe {
        counters.probes.fetch_add(1, Relaxed);
    } else {
        counters.requests.fetch_add(1, Relaxed);
        if !request.method().is_idempotent() {
            counters.not_idempotent.fetch_add(1, Relaxed);
        }
    }
    let _in_flight = Gauge::up(&counters.in_flight);
    let head = request.method() == Method::HEAD;
    let mut page = match troubled(&shared, probe).await? {
        Some(page) => page,
        None => answer(&shared.who, request).await,
    };
    sign(&shared.who, &mut page);
    Ok(if head { answers::without_body(page) } else { page })
}

/// What the present behaviour does to one request: an answer of its own, a wait, or nothing.
async fn troubled(shared: &Shared, probe: bool) -> Result<Option<Page>, CloseConnection> {
    let mut behaviour = shared.behaviour.subscribe();
    loop {
        let Behaviour { fault, health } = *behaviour.borrow_and_update();
        if probe {
            match health {
                Health::Good => return Ok(None),
                Health::Bad => {
                    return Ok(Some(text(StatusCode::SERVICE_UNAVAILABLE, "told to be unhealthy\n")));
                }
                Health::Usual if fault.spares_health() => return Ok(None),
                Health::Usual => {}
            }
        }
        match fault {
            Fault::Ok => return Ok(None),
            Fault::Slow(wait) => {
                tokio::time::sleep(wait).await;
                return Ok(None);
            }
            Fault::Err { percent } => {
                let roll = crate::random::mix(shared.counters.rolls.fetch_add(1, Relaxed)) % 100;
                let erring = roll < u64::from(percent);
                return Ok(erring.then(|| text(StatusCode::SERVICE_UNAVAILABLE, "told to err\n")));
            }
            Fault::Status(code) => {
                let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                return Ok(Some(text(status, "told to answer this\n")));
            }
            Fault::Close => return Err(CloseConnection),
            Fault::Hang => {
                if behaviour.changed().await.is_err() {
                    return Err(CloseConnection);
                }
            }
        }
    }
}

fn control(shared: &Shared, path: &str, request: &Request<Incoming>) -> Page {
    match (request.method(), path) {
        (&Method::GET, "fault") => {
            text(StatusCode::OK, format!("{}\n", shared.behaviour.borrow().to_query()))
        }
        (&Method::POST, "fault") => match Behaviour::from_query(request.uri().query().unwrap_or("")) {
            Ok(behaviour) => {
                shared.behaviour.send_replace(behaviour);
                text(StatusCode::OK, format!("{}\n", behaviour.to_query()))
            }
            Err(problem) => text(StatusCode::BAD_REQUEST, format!("{problem}\n")),
        },
        (&Method::GET, "seen") => json_page(&serde_json::json!(shared.seen())),
        _ => text(StatusCode::NOT_FOUND, "GET or POST /__fault, GET /__seen\n"),
    }
}

impl Shared {
    fn seen(&self) -> Seen {
        let counters = &self.counters;
        Seen {
            requests: counters.requests.load(Relaxed),
            not_idempotent: counters.not_idempotent.load(Relaxed),
            probes: counters.probes.load(Relaxed),
            in_flight: counters.in_flight.load(Relaxed),
            connections: counters.connections.load(Relaxed),
            open_connections: counters.open_connections.load(Relaxed),
        }
    }
}

/// Counts up now and down when dropped, so that a cancelled request does not stay in flight for ever.
struct Gauge<'a>(&'a AtomicU64);

impl<'a> Gauge<'a> {
    fn up(count: &'a AtomicU64) -> Self {
        count.fetch_add(1, Relaxed);
        Gauge(count)
    }
}

impl Drop for Gauge<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// `causeway origin`: serves until it is killed or, when `tied`, until its standard input ends. Prints
/// `listening ADDRESS` once it does.
pub fn serve_process(options: OriginOptions, tied: bool) -> ExitCode {
    if tied {
        crate::lifeline::exit_when_stdin_ends();
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return complain(&options, &error),
    };
    runtime.block_on(async {
        match Origin::start(options.clone()).await {
            Ok(origin) => {
                // Whoever does not listen for this line does not need it.
                let _ = io::Write::write_all(
                    &mut io::stdout(),
                    format!("listening {}\n", origin.addr()).as_bytes(),
                );
                std::future::pending().await
            }
            Err(error) => complain(&options, &error),
        }
    })
}

fn complain(options: &OriginOptions, error: &io::Error) -> ExitCode {
    eprintln!("causeway origin {}: {}: {error}", options.endpoint, options.listen);
    ExitCode::FAILURE
}
