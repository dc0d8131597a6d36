//! What can go wrong with a request: whose fault it is, and whether trying again is safe.

pub use causeway_proxy_policy::limits::LimitKind;
pub use causeway_proxy_policy::overload::Why;

/// Whose fault an error is. It decides who is blamed in the log and which counters it may touch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The client's: nothing upstream is blamed.
    Client,
    /// The upstream's: it counts against the endpoint and the cluster.
    Upstream,
    /// Ours: a limit or a missing route. It never counts against an upstream.
    Proxy,
}

/// Every way in which a request ends without an upstream's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The client went away or broke its own message.
    ClientGone,
    /// The request's body breaks its framing.
    BadRequestBody,
    /// The request's body is above the limit.
    BodyTooLarge,
    /// The client sent nothing for too long in the middle of its body.
    ClientTimeout,
    /// CONNECT: this is a gateway to services, not a forward proxy.
    ConnectMethod,
    /// The connection's client certificate, or the lack of one, is not taken any more.
    NotAdmitted,
    /// The target cannot be said in the upstream's protocol.
    BadTarget,
    /// No route matches.
    NoRoute,
    /// A route's rule whose backends do not resolve (Gateway API: 500).
    NoBackend,
    /// A rate limit of the rule is used up.
    RateLimited,
    /// A fault on purpose: the request was answered with this status instead of being served.
    Injected(u16),
    /// No endpoint may be used.
    NoEndpoint,
    /// This worker has more to do than it can.
    Shed(Why),
    /// A limit of the cluster is reached.
    Overloaded(LimitKind),
    /// The upstream refused or the network could not reach it.
    ConnectFailed,
    /// No connection within the connect timeout.
    ConnectTimeout,
    /// The TLS handshake with the upstream failed.
    TlsFailed,
    /// The upstream closed or reset the connection before a whole response head.
    Reset,
    /// An HTTP/2 stream was refused before any processing (RFC 9113 section 8.7).
    RefusedStream,
    /// No response head within the per-try timeout.
    TryTimeout,
    /// The request's deadline passed.
    Deadline,
    /// The upstream broke HTTP.
    BadResponse(&'static str),
    /// The upstream's body ended early or broke its framing after the head was passed on.
    ResponseCut,
    /// The endpoint was taken out of service while the request waited for it.
    EndpointDown,
    /// An HTTP/2 client asked for a tunnel, and the upstream answered as if it had not.
    UpgradeFailed,
    /// An HTTP/2 client asked for a tunnel, and the upstream's HTTP/2 takes none (RFC 8441 section 3).
    NoTunnel,
}

impl ErrorKind {
    /// Whose fault it is.
    pub fn fault(self) -> Fault {
        use ErrorKind::*;
        match self {
            ConnectMethod | BadTarget | ClientGone | BadRequestBody | BodyTooLarge | ClientTimeout
            | NotAdmitted => Fault::Client,
            NoRoute | NoBackend | RateLimited | Injected(_) | NoEndpoint | NoTunnel | Shed(_)
            | Overloaded(_) => Fault::Proxy,
            ConnectFailed | ConnectTimeout | TlsFailed | Reset | RefusedStream | TryTimeout | Deadline
            | BadResponse(_) | ResponseCut | EndpointDown | UpgradeFailed => Fault::Upstream,
        }
    }
}

/// One try's failure.
#[derive(Clone, Copy, Debug)]
pub struct TryError {
    /// What happened.
    pub kind: ErrorKind,
    /// Nothing of the request can have been processed: safe to repeat whatever the method.
    pub untouched: bool,
}

impl TryError {
    /// A failure after the upstream may have seen the request.
    pub fn touched(kind: ErrorKind) -> TryError {
        TryError { kind, untouched: false }
    }

    /// A failure before the upstream can have acted on the request.
    pub fn untouched(kind: ErrorKind) -> TryError {
        TryError { kind, untouched: true }
    }
}
