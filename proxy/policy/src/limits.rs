//! Limits on a cluster: connections, pending requests, requests. Exact, per process and per (service, cluster).
//!
//! The decisions are pure; the shell owns one atomic a limit and runs `fetch_update` with these functions, so
//! two workers at the edge cannot both get the last place. (Envoy's limits are per worker thread added up, and
//! overshoot by one a thread.)

/// `resilience.circuitBreaker` and `trafficPolicy.connectionPool`, the smaller of each.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Connections to the cluster, connecting ones included. Default 1000.
    pub max_connections: u32,
    /// Requests that wait for a connection because `max_connections` is reached. Default 100.
    pub max_pending: u32,
    /// Requests in flight. Default 1000.
    pub max_requests: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { max_connections: 1000, max_pending: 100, max_requests: 1000 }
    }
}

/// Which limit refused.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Hash)]
pub enum LimitKind {
    /// `max_pending`: and the connection limit is reached too.
    Pending,
    /// `max_requests`.
    Requests,
}

impl LimitKind {
    /// A short name for the reason header, metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            LimitKind::Pending => "pending",
            LimitKind::Requests => "requests",
        }
    }
}

/// What a request without an idle connection may do.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Connect {
    /// Open its own. Such a request is not pending, however long its connection takes.
    Open,
    /// Wait in the queue.
    Queue,
    /// Neither: refused. Uses up no attempt, and never counts against the upstream.
    Refuse,
}

impl Limits {
    /// The number of requests after taking one more, or `None` at the limit: for `fetch_update`.
    pub const fn take_request(&self, in_flight: u32) -> Option<u32> {
        take(in_flight, self.max_requests)
    }

    /// The number of connections after opening one more, or `None` at the limit.
    pub const fn take_connection(&self, open: u32) -> Option<u32> {
        take(open, self.max_connections)
    }

    /// The number of pending requests after queueing one more, or `None` at the limit.
    pub const fn take_pending(&self, pending: u32) -> Option<u32> {
        take(pending, self.max_pending)
    }

    /// What a request without an idle connection may do, given the counts.
    pub const fn connect(&self, open: u32, pending: u32) -> Connect {
        if open < self.max_connections {
            Connect::Open
        } else if pending < self.max_pending {
            Connect::Queue
        } else {
            Connect::Refuse
        }
    }
}

const fn take(count: u32, max: u32) -> Option<u32> {
    if count < max { Some(count + 1) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    const LIMITS: Limits = Limits { max_connections: 2, max_pending: 1, max_requests: 3 };

    #[test]
    fn a_request_queues_only_when_no_connection_may_be_opened() {
        assert_eq!(LIMITS.connect(1, 1), Connect::Open);
        assert_eq!(LIMITS.connect(2, 0), Connect::Queue);
        assert_eq!(LIMITS.connect(2, 1), Connect::Refuse);
    }

    #[test]
    fn two_threads_never_share_the_last_place() {
        let count = AtomicU32::new(0);
        let taken: u32 = std::thread::scope(|scope| {
            let worker = || {
                (0..1_000)
                    .filter(|_| count.fetch_update(Relaxed, Relaxed, |n| LIMITS.take_request(n)).is_ok())
                    .count() as u32
            };
            let threads = [scope.spawn(worker), scope.spawn(worker)];
            threads.into_iter().map(|t| t.join().unwrap()).sum()
        });
        assert_eq!((taken, count.into_inner()), (3, 3));
    }

    #[test]
    fn a_limit_of_zero_lets_nothing_through() {
        let none = Limits { max_connections: 0, max_pending: 0, max_requests: 0 };
        assert_eq!(none.take_request(0), None);
        assert_eq!(none.connect(0, 0), Connect::Refuse);
    }
}
