//! One snapshot: all that a request needs to know, compiled once, swapped as a whole.
//!
//! document -> validated model, with endpoints as discovery finds them -> [`compile`] -> one [`cell::SnapshotCell`]. Nothing is half-applied, and a
//! request that began under one snapshot ends under it.

pub mod cell;
pub mod compile;
pub mod from_file;
pub mod last_good;
pub mod reload;
pub mod watch;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use causeway_config::{Config, ForwardingHeader, HashOn, HostPattern};
use causeway_proxy_policy::backoff::Backoff;
use causeway_proxy_policy::health::EngineParams;
use causeway_proxy_policy::limits::Limits;
use causeway_proxy_policy::overload;
use causeway_proxy_policy::pace::Floor;
use causeway_proxy_policy::retry::RetryPolicy;
use causeway_proxy_policy::retry_budget::RetryBudget;
use causeway_proxy_policy::route_table::RouteTable;
use causeway_proxy_policy::slow_start::SlowStart;
use causeway_proxy_policy::{EndpointSet, ServicePlan};
use rustls_pki_types::ServerName;

use crate::listen::proxy_protocol;
use crate::request::filters::Filters;
use crate::request::gate::{Extras, Injection};
use crate::request::rate_limit::RateLimit;
use crate::tls::client::Offer;
use crate::tls::client_auth::ClientAuth;
use crate::tls::pem::{Digest, Stamp};
use crate::tls::server::PortTls;
use crate::upstream::endpoint::EndpointState;
use crate::upstream::extras::MirrorState;
use crate::upstream::lane::LaneState;
use crate::upstream::registry::PoolId;
use crate::upstream::service::{BudgetState, ServiceState};

/// One consistent version of everything.
pub struct Snapshot {
    /// Counts up with every change that took effect.
    pub version: u64,
    /// SHA-256 of the model's canonical encoding.
    pub digest: String,
    /// The model it was compiled from.
    pub config: Config,
    /// What is listened on.
    pub ports: Vec<Port>,
    /// All services, by name.
    pub services: Vec<Arc<Service>>,
    /// All clusters, by name.
    pub clusters: Vec<Arc<Dial>>,
    /// All local rate limits, by name.
    pub limits: Vec<Arc<RateLimit>>,
    /// All fault injections, by name.
    pub faults: Vec<Arc<Injection>>,
    /// All services that get copies, by name.
    pub mirrors: Vec<Arc<MirrorState>>,
    /// Some cluster is told whom each connection is for.
    pub announces_clients: bool,
    /// What the health engine is configured with; services and clusters in the same order.
    pub health: EngineParams,
    /// When a worker sheds load.
    pub overload: overload::Params,
}

impl Snapshot {
    /// The port with this key. Linear: a proxy has a handful.
    pub fn port(&self, key: PortKey) -> Option<&Port> {
        self.ports.iter().find(|port| port.key == key)
    }

    /// The service of that name.
    pub fn service(&self, name: &str) -> Option<&Arc<Service>> {
        self.services.iter().find(|service| *service.state.name == *name)
    }
}

/// An address that is listened on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PortKey(pub SocketAddr);

impl fmt::Display for PortKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One listening address and what it serves.
pub struct Port {
    /// The address as configured; with port 0 the kernel picks.
    pub key: PortKey,
    /// Certificates and what is asked of clients, if it speaks TLS.
    pub tls: Option<Arc<PortTls>>,
    /// Limits and timeouts towards clients.
    pub client: Arc<ClientLimits>,
    /// The Gateway listeners on this address, the most specific hostname first.
    pub listeners: Vec<Arc<Listener>>,
}

impl Port {
    /// What is asked of clients' certificates.
    pub fn client_auth(&self) -> Option<&Arc<ClientAuth>> {
        self.tls.as_ref()?.client_auth.as_ref()
    }

    /// The listener that a request for `host` belongs to (Gateway API: the most specific hostname wins).
    pub fn listener(&self, host: &[u8]) -> Option<&Listener> {
        match self.listeners.as_slice() {
            [only] if only.hostname.is_none() => Some(&**only),
            all => {
                let host = std::str::from_utf8(host).ok()?;
                let host = host.rsplit_once(':').map_or(host, |(name, port)| {
                    if port.bytes().all(|b| b.is_ascii_digit()) { name } else { host }
                });
                let host = host.to_ascii_lowercase();
                let fits = |listener: &&Arc<Listener>| {
                    listener.hostname.as_ref().is_none_or(|name| name.matches(&host))
                };
                all.iter().find(fits).map(|listener| &**listener)
            }
        }
    }
}

/// Limits and timeouts towards clients. Those of a policy are compiled; the default is all zeros.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClientLimits {
    /// Bounds of a request head.
    pub head: causeway_proxy_http1::Limits,
    /// Bound of a request body; `None` = none.
    pub body_bytes: Option<u64>,
    /// Connections of the whole process.
    pub connections: u32,
    /// Connections of one address; `u32::MAX` = no limit.
    pub connections_per_address: u32,
    /// Concurrent streams of one HTTP/2 connection.
    pub http2_streams: u32,
    /// Slowest client of a body.
    pub floor: Option<Floor>,
    /// From a head's first byte to its last.
    pub request_header: Duration,
    /// Longest pause within a body.
    pub body_idle: Duration,
    /// Longest pause of an upgraded connection.
    pub upgrade_idle: Duration,
    /// Longest life of a stream; `None` = none.
    pub stream_max: Option<Duration>,
    /// Longest pause between requests.
    pub keep_alive_idle: Duration,
    /// Longest TLS handshake.
    pub tls_handshake: Duration,
    /// How many proxies in front of us are trusted to have written `forwarding`.
    pub trusted_hops: u32,
    /// Where proxies say whom a request is from.
    pub forwarding: ForwardingHeader,
    /// Every connection begins with a PROXY protocol header.
    pub proxy_protocol: bool,
}

/// One Gateway listener.
pub struct Listener {
    /// `gateway/listener`, a bounded label.
    pub name: Arc<str>,
    /// The hostname it is for.
    pub hostname: Option<HostPattern>,
    /// Which rule a request matches: an index into `rules`.
    pub table: RouteTable,
    /// All rules of all routes attached.
    pub rules: Vec<Rule>,
}

/// One rule of one route.
pub struct Rule {
    /// `route/rule`, for the access log.
    pub name: Arc<str>,
    /// What is changed on the way.
    pub filters: Filters,
    /// Steps that few rules have.
    pub extras: Option<Box<Extras>>,
    /// Longest time from the request's last byte to the response's end; `None` = the service's alone.
    pub request_timeout: Option<Duration>,
    /// Longest single try; `None` = the service's alone.
    pub try_timeout: Option<Duration>,
    /// Limits and timeouts of its own, in what concerns bodies and streams; `None` = the port's.
    pub client: Option<Arc<ClientLimits>>,
    /// Where it goes, with weights. Empty or of total 0: 500 (Gateway API).
    pub backends: Vec<Backend>,
}

/// One backend of a rule.
pub struct Backend {
    /// `None` = the reference does not resolve: 500 for its share.
    pub service: Option<Arc<Service>>,
    /// Share among the rule's backends.
    pub weight: u32,
    /// Node of the weighted split, so that a key stays on one side.
    pub node: u64,
}

/// One service.
pub struct Service {
    /// Live counters.
    pub state: Arc<ServiceState>,
    /// Where keys go.
    pub plan: ServicePlan,
    /// What makes the key.
    pub hash_on: Vec<HashOn>,
    /// Its clusters, as the plan numbers them.
    pub lanes: Vec<Lane>,
    /// What is retried.
    pub retry: RetryPolicy,
    /// Share of retries.
    pub budget: RetryBudget,
    /// What the budget has counted.
    pub budget_state: Arc<BudgetState>,
    /// Pauses between tries.
    pub backoff: Backoff,
    /// Longest single try.
    pub try_timeout: Duration,
    /// Longest request, retries included.
    pub overall_timeout: Duration,
    /// How a returning endpoint gets its share back.
    pub slow_start: SlowStart,
    /// Latency thresholds in nanoseconds that its triggers judge by, ascending; at most
    /// [`crate::upstream::lane::SLOW_THRESHOLDS`].
    pub slow_thresholds: Vec<u64>,
}

impl Service {
    /// Whether any of its clusters may speak HTTP/2: what takes it, such as gRPC, cannot be had of others.
    pub fn speaks_http2(&self) -> bool {
        self.lanes.iter().any(|lane| lane.dial.offer != Offer::Http1)
    }
}

/// One service's use of one cluster.
pub struct Lane {
    /// Live limits, admission, counters.
    pub state: Arc<LaneState>,
    /// How to reach the cluster.
    pub dial: Arc<Dial>,
    /// The cluster's endpoints, as the plan numbers them.
    pub endpoints: Vec<Endpoint>,
    /// Exact limits.
    pub limits: Limits,
}

/// One endpoint as one lane uses it.
pub struct Endpoint {
    /// Live standing and counters, shared by all lanes.
    pub state: Arc<EndpointState>,
    /// Where to connect.
    pub socket: SocketAddr,
    /// This lane's idle connections to it.
    pub pool: Arc<PoolId>,
    /// SNI and the name to verify, where TLS is spoken.
    pub name: ServerName<'static>,
}

/// One endpoint of a cluster.
pub struct Target {
    /// Live standing and counters.
    pub state: Arc<EndpointState>,
    /// Where to connect.
    pub socket: SocketAddr,
    /// SNI and the name to verify, where TLS is spoken.
    pub name: ServerName<'static>,
}

/// How to reach a cluster.
pub struct Dial {
    /// Name of the `Cluster`.
    pub name: Arc<str>,
    /// Which protocol to speak.
    pub offer: Offer,
    /// TLS, if it is spoken.
    pub tls: Option<UpstreamTls>,
    /// What announces the client on each connection, which then is that client's alone.
    pub proxy_protocol: Option<proxy_protocol::Version>,
    /// Longest connect, TLS included.
    pub connect_timeout: Duration,
    /// Idle connections are closed after this.
    pub idle_timeout: Duration,
    /// What is hashed, shared by all services of the cluster.
    pub endpoints: Arc<EndpointSet>,
    /// Its endpoints, in the same order.
    pub targets: Vec<Target>,
    /// The active check.
    pub check: Option<causeway_config::HealthCheck>,
}

impl Dial {
    /// Whether `other` is spoken to in the same way, so that connections to it need not begin anew: the same
    /// protocol, and TLS that trusts the same. A certificate of our own that was renewed is no reason to end what
    /// was opened with the one before: where it lives an hour, as in SPIFFE, that would be every connection each
    /// half an hour.
    pub fn same_way(&self, other: &Dial) -> bool {
        let tls = match (&self.tls, &other.tls) {
            (None, None) => true,
            (Some(a), Some(b)) => a.made_from.0 == b.made_from.0 && a.roots == b.roots,
            _ => false,
        };
        tls && self.offer == other.offer && self.proxy_protocol == other.proxy_protocol
    }

    /// Whether `other` would open the same connections, down to our own certificate. TLS settings are compared by
    /// identity: they are built from files that may have changed.
    pub fn same_opening(&self, other: &Dial) -> bool {
        let config = |dial: &Dial| dial.tls.as_ref().map(|tls| Arc::as_ptr(&tls.config));
        self.same_way(other) && config(self) == config(other)
    }
}

/// TLS towards a cluster.
#[derive(Clone)]
pub struct UpstreamTls {
    /// rustls's settings.
    pub config: Arc<rustls::ClientConfig>,
    /// What they were made from: while that stands, they are used again, and with them sessions.
    pub made_from: (causeway_config::UpstreamTls, Vec<Stamp>),
    /// The roots that are trusted.
    pub roots: Digest,
    /// SNI and the name to verify; `None` = the endpoint's host.
    pub server_name: Option<ServerName<'static>>,
}
