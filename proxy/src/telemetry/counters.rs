//! What one worker counts that belongs to no service: connections, and requests that never reached one.

use std::sync::Arc;

use causeway_proxy_policy::overload::Why;

use crate::request::respond::Answer;
use crate::upstream::cell::{Count, InFlight};

/// One worker's counters; only that worker writes.
#[derive(Default)]
pub struct WorkerCounters {
    /// Tasks that live: connections, spare ones for HTTP/2 streams, the worker's own. Behind an `Arc`, since the
    /// worker's wheel counts them.
    pub tasks: Arc<InFlight>,
    /// Client connections that are open.
    pub connections: InFlight,
    /// Client connections that were taken in.
    pub connections_total: Count,
    /// Client connections closed at once because the limit was reached.
    pub connections_refused: Count,
    /// Client connections closed at once because their address has too many.
    pub crowded_out: Count,
    /// Failures of `accept`: the process ran out of descriptors or memory.
    pub accept_errors: Count,
    /// TLS handshakes with clients that succeeded.
    pub tls_handshakes: Count,
    /// Of these, those that resumed a session.
    pub tls_resumed: Count,
    /// What came was not a request.
    pub bad_requests: Count,
    /// Requests that no route matched.
    pub no_route: Count,
    /// Requests shed for the number in flight.
    pub shed_in_flight: Count,
    /// Requests shed for the length of the queue.
    pub shed_queue_time: Count,
    ends: [Count; ConnectionEnd::ALL.len()],
    own_answers: [Count; FLAGS.len()],
}

impl WorkerCounters {
    /// Counts a connection that ended for another reason than being done.
    pub fn ended(&self, why: ConnectionEnd) {
        self.ends[why as usize].add(1);
    }

    /// Counts an answer that is ours and not an upstream's, whatever service it was for.
    pub fn answered(&self, answer: &Answer) {
        let slot = FLAGS.iter().position(|flag| *flag == answer.flag).unwrap_or(FLAGS.len() - 1);
        self.own_answers[slot].add(1);
    }

    /// Counts a request that was shed.
    pub fn shed(&self, why: Why) {
        match why {
            Why::InFlight => self.shed_in_flight.add(1),
            Why::QueueTime => self.shed_queue_time.add(1),
        }
    }

    /// How many connections ended so.
    pub fn ends(&self, why: ConnectionEnd) -> u64 {
        self.ends[why as usize].get()
    }

    /// Our own answers by the access log's flag; the last entry holds what has no flag of its own.
    pub fn own_answers(&self) -> impl Iterator<Item = (&'static str, u64)> {
        FLAGS.into_iter().zip(self.own_answers.iter().map(Count::get))
    }
}

/// Why a client's connection ended, where it was not simply done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionEnd {
    /// The TLS handshake failed.
    TlsFailed,
    /// The TLS handshake took too long.
    TlsTimeout,
    /// The client showed no certificate where one is required.
    ClientCertMissing,
    /// The client's certificate is none that we trust: its authority, its time, its signature.
    ClientCertInvalid,
    /// The client's certificate carries none of the names that are let in.
    ClientCertName,
    /// The connection did not begin with a PROXY protocol header.
    ProxyHeader,
    /// The PROXY protocol header took too long.
    ProxyHeaderTimeout,
    /// A request head did not arrive in time.
    HeaderTimeout,
    /// The connection ended in the middle of a request head.
    HeadCut,
    /// It was idle, and its place was needed for a new one.
    Evicted,
    /// The client broke HTTP/2.
    Http2Failed,
    /// The client sent more of what costs us and not it than is allowed.
    Http2Flood,
}

impl ConnectionEnd {
    /// In the order of the counters.
    pub const ALL: [ConnectionEnd; 12] = [
        ConnectionEnd::TlsFailed,
        ConnectionEnd::TlsTimeout,
        ConnectionEnd::ClientCertMissing,
        ConnectionEnd::ClientCertInvalid,
        ConnectionEnd::ClientCertName,
        ConnectionEnd::ProxyHeader,
        ConnectionEnd::ProxyHeaderTimeout,
        ConnectionEnd::HeaderTimeout,
        ConnectionEnd::HeadCut,
        ConnectionEnd::Evicted,
        ConnectionEnd::Http2Failed,
        ConnectionEnd::Http2Flood,
    ];

    /// The label.
    pub fn as_str(self) -> &'static str {
        match self {
            ConnectionEnd::TlsFailed => "tls_failed",
            ConnectionEnd::TlsTimeout => "tls_timeout",
            ConnectionEnd::ClientCertMissing => "client_cert_missing",
            ConnectionEnd::ClientCertInvalid => "client_cert_invalid",
            ConnectionEnd::ClientCertName => "client_cert_name",
            ConnectionEnd::ProxyHeader => "proxy_header",
            ConnectionEnd::ProxyHeaderTimeout => "proxy_header_timeout",
            ConnectionEnd::HeaderTimeout => "header_timeout",
            ConnectionEnd::HeadCut => "head_cut",
            ConnectionEnd::Evicted => "evicted",
            ConnectionEnd::Http2Failed => "http2_failed",
            ConnectionEnd::Http2Flood => "http2_flood",
        }
    }
}

/// The flags of [`crate::request::respond::answer`], so that a graph and the log use one word for one thing.
const FLAGS: [&str; 19] = [
    "OM", "DC", "CA", "BR", "BL", "CT", "NR", "NB", "UH", "UO", "UF", "UC", "UR", "UT", "DT", "UP", "RL",
    "FI", "other",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::error::{ErrorKind, LimitKind};
    use crate::request::respond::answer;

    #[test]
    fn each_of_our_own_answers_has_a_counter_of_its_flag() {
        use ErrorKind::*;
        let all = [
            ClientGone,
            BadRequestBody,
            BodyTooLarge,
            ClientTimeout,
            NotAdmitted,
            NoRoute,
            NoBackend,
            RateLimited,
            Injected(503),
            NoEndpoint,
            Overloaded(LimitKind::Requests),
            Overloaded(LimitKind::Pending),
            Shed(Why::InFlight),
            Shed(Why::QueueTime),
            ConnectFailed,
            ConnectTimeout,
            TlsFailed,
            Reset,
            RefusedStream,
            TryTimeout,
            Deadline,
            BadResponse("x"),
            ResponseCut,
            EndpointDown,
        ];
        for error in all {
            let (counters, answer) = (WorkerCounters::default(), answer(error));
            counters.answered(&answer);
            let counted: Vec<_> = counters.own_answers().filter(|(_, n)| *n > 0).collect();
            assert_eq!(counted, [(answer.flag, 1)], "{error:?}");
        }
    }

    #[test]
    fn an_answer_with_an_unknown_flag_is_counted_all_the_same() {
        let counters = WorkerCounters::default();
        counters.answered(&Answer { status: 418, reason: "", flag: "TEA", text: "" });
        assert_eq!(counters.own_answers().last(), Some(("other", 1)));
    }

    #[test]
    fn each_end_of_a_connection_is_counted_apart() {
        let counters = WorkerCounters::default();
        for (n, end) in ConnectionEnd::ALL.into_iter().enumerate() {
            (0..=n).for_each(|_| counters.ended(end));
        }
        assert_eq!(ConnectionEnd::ALL.map(|end| counters.ends(end)), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    }
}
