//! An origin that breaks HTTP in every way it can be broken, request by request.
//!
//! The demo's origin ([`crate::origin`]) is sick as servers are: it hangs, errs, is slow or dead, and is a proper HTTP
//! server meanwhile. This one is for what no HTTP library will send. It speaks HTTP/1.1 byte by byte and HTTP/2 by `h2`
//! with a second handle on the socket, on one port, told apart by the preface.
//!
//! A request says by headers what it wants; the answer's body is made from the request's number ([`pattern`]), so a
//! client knows each byte that it may get, also of an answer that breaks off:
//!
//! | request header | |
//! | --- | --- |
//! | [`ID`] | the request's number, hexadecimal; comes back in the answer |
//! | [`BYTES`] | length of the answer's body; 0 if absent |
//! | [`FAULT`] | a [`Fault`] by its name; absent: drawn from the origin's [`Mix`] |
//! | [`LAST`] | end the HTTP/1.1 connection after a right answer |
//! | `Upgrade` | 101, then every byte comes back |
//!
//! `/stream` sends the request's body back while it comes, with [`ID`] as a trailer. Bodies of requests are held
//! against the number as well: a proxy that mixes up two uploads is found here ([`Counts::corrupt`]).

mod fault;
mod http1;
mod http2;
pub mod pattern;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use causeway_control_demo::random::mix;
pub use fault::{Fault, Mix};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::background;
use crate::ports::PortLease;

/// Header with the request's number.
pub const ID: &str = "x-chaos-id";
/// Request header with the wanted length.
pub const BYTES: &str = "x-chaos-bytes";
/// Header with the fault: in a request the wanted one, in an answer the one that befell it.
pub const FAULT: &str = "x-chaos-fault";
/// Request header: this is the connection's last request.
pub const LAST: &str = "x-chaos-last";
/// Answer header with the origin's name.
pub const ORIGIN: &str = "x-chaos-origin";

/// What an origin has seen since it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Requests whose head arrived.
    pub requests: u64,
    /// Connections accepted.
    pub connections: u64,
    /// Whole uploads that were not what their number says.
    pub corrupt: u64,
    /// Tasks that panicked: what arrived was not HTTP.
    pub panicked: u64,
    /// Requests that each fault befell, by [`Fault::name`]; those with none are left out.
    pub faults: Vec<(&'static str, u64)>,
}

struct Shared {
    name: String,
    deaf: bool,
    mix: Mutex<Mix>,
    seed: u64,
    rolls: AtomicU64,
    requests: AtomicU64,
    connections: AtomicU64,
    corrupt: AtomicU64,
    panicked: AtomicU64,
    faults: [AtomicU64; Fault::COUNT],
}

/// A running origin, on the background thread.
pub struct FaultyOrigin {
    lease: PortLease,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

impl FaultyOrigin {
    /// Starts one without faults. Equal seeds draw equal faults for the same requests in the same order.
    pub async fn start(name: &str, seed: u64) -> FaultyOrigin {
        FaultyOrigin::launch(name, seed, false).await
    }

    /// One that is deaf to [`FAULT`]: it answers what another was asked to spoil.
    pub async fn start_deaf(name: &str) -> FaultyOrigin {
        FaultyOrigin::launch(name, 0, true).await
    }

    async fn launch(name: &str, seed: u64, deaf: bool) -> FaultyOrigin {
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            deaf,
            mix: Mutex::default(),
            seed,
            rolls: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            corrupt: AtomicU64::new(0),
            panicked: AtomicU64::new(0),
            faults: [const { AtomicU64::new(0) }; Fault::COUNT],
        });
        let mut origin = FaultyOrigin { lease: PortLease::take(), shared, accepting: None };
        origin.restart().await;
        origin
    }

    /// Where it listens, or listened.
    pub fn addr(&self) -> SocketAddr {
        self.lease.addr()
    }

    /// What it signs answers with.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// What it does from now on to requests that ask for nothing.
    pub fn mix(&self, mix: Mix) {
        *self.shared.mix.lock().unwrap_or_else(PoisonError::into_inner) = mix;
    }

    /// The counters.
    pub fn counts(&self) -> Counts {
        let shared = &*self.shared;
        let befell = |fault: Fault| (fault.name(), shared.faults[fault.index()].load(Relaxed));
        let all =
            Fault::http1().chain(Fault::http2().filter(|fault| !Fault::http1().any(|one| one == *fault)));
        Counts {
            requests: shared.requests.load(Relaxed),
            connections: shared.connections.load(Relaxed),
            corrupt: shared.corrupt.load(Relaxed),
            panicked: shared.panicked.load(Relaxed),
            faults: all.map(befell).filter(|(_, n)| *n > 0).collect(),
        }
    }

    /// Cuts all connections and closes the port, as a crash does.
    pub async fn stop(&mut self) {
        if let Some(accepting) = self.accepting.take() {
            accepting.abort();
            // Its end is what is waited for, however it came.
            let _ = accepting.await;
        }
    }

    /// Listens again, on the same address.
    pub async fn restart(&mut self) {
        self.stop().await;
        let addr = self.addr();
        let listener = background::run(TcpListener::bind(addr)).await.expect("a leased port can be bound");
        self.accepting = Some(background::handle().spawn(accept(listener, self.shared.clone())));
    }
}

impl Drop for FaultyOrigin {
    fn drop(&mut self) {
        if let Some(accepting) = &self.accepting {
            accepting.abort();
        }
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                shared.connections.fetch_add(1, Relaxed);
                connections.spawn(serve(stream, shared.clone()));
            },
            Some(ended) = connections.join_next() => shared.note(&ended),
        }
    }
}

/// HTTP/2 with prior knowledge begins with `PRI`, which is no method (RFC 9113, 3.4).
async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let mut first = [0; 3];
    loop {
        match stream.peek(&mut first).await {
            Ok(0) | Err(_) => return,
            Ok(n) if n < 3 && b"PRI".starts_with(&first[..n]) => tokio::time::sleep(DROP_EVERY).await,
            Ok(_) => break,
        }
    }
    if &first == b"PRI" { http2::serve(stream, shared).await } else { http1::serve(stream, &shared).await }
}

/// What a request asks for.
#[derive(Clone, Debug, Default)]
struct Asked {
    id: u64,
    bytes: usize,
    fault: Option<Fault>,
    last: bool,
    stream: bool,
}

impl Asked {
    fn by<'a>(path: &str, field: impl Fn(&str) -> Option<&'a str>) -> Asked {
        Asked {
            id: field(ID).and_then(|id| u64::from_str_radix(id, 16).ok()).unwrap_or_default(),
            bytes: field(BYTES).and_then(|bytes| bytes.parse().ok()).unwrap_or_default(),
            fault: field(FAULT).and_then(Fault::by_name),
            last: field(LAST).is_some(),
            stream: path.starts_with("/stream"),
        }
    }

    fn body(&self) -> Vec<u8> {
        pattern::body(self.id, self.bytes)
    }
}

impl Shared {
    /// What befalls this request. A fault of the other protocol befalls nobody.
    fn fault(&self, asked: &Asked, mut exist: impl Iterator<Item = Fault>) -> Fault {
        self.requests.fetch_add(1, Relaxed);
        let by_mix = || {
            let roll = mix(self.seed ^ mix(self.rolls.fetch_add(1, Relaxed)));
            self.mix.lock().unwrap_or_else(PoisonError::into_inner).draw(roll)
        };
        let wanted = asked.fault.filter(|_| !self.deaf).unwrap_or_else(by_mix);
        let fault = exist.find(|fault| *fault == wanted).unwrap_or(Fault::Right);
        if fault != Fault::Right {
            self.faults[fault.index()].fetch_add(1, Relaxed);
        }
        fault
    }

    /// Holds a whole upload against its number.
    fn check(&self, asked: &Asked, uploaded: &[u8]) {
        if uploaded != pattern::upload(asked.id, uploaded.len()) {
            self.corrupt.fetch_add(1, Relaxed);
        }
    }

    fn note(&self, ended: &Result<(), tokio::task::JoinError>) {
        if ended.as_ref().is_err_and(tokio::task::JoinError::is_panic) {
            self.panicked.fetch_add(1, Relaxed);
        }
    }

    /// The fields of every answer.
    fn fields(&self, asked: &Asked, fault: Fault) -> [(&'static str, String); 3] {
        [(ID, format!("{:x}", asked.id)), (ORIGIN, self.name.clone()), (FAULT, fault.name().to_owned())]
    }
}

/// Between two drops of a slow answer.
const DROP_EVERY: std::time::Duration = std::time::Duration::from_millis(5);

/// Bytes that are neither protocol's.
fn garbage(id: u64) -> Vec<u8> {
    pattern::body(id ^ 0x6761_7262_6167_6521, 512)
}
