//! What is counted, told to the health thread and logged of a request. Every counter is this worker's own; only a
//! failure, and the first success after one, leave the thread.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime};

use causeway_proxy_http1::{Known, RequestHead, Version};
use causeway_proxy_policy::health::{ATTEMPTS, Attempt, EndpointId, Failure};
use causeway_proxy_policy::{FailureKind, Target, Tick, Why, grpc};

use super::attempt::Attempts;
use super::client::Client;
use super::error::ErrorKind;
use super::grpc::Answered;
use super::respond;
use crate::health::HealthInput;
use crate::snapshot::{Endpoint, Lane, Rule, Service};
use crate::telemetry::access_log::{DELAYED, FAILED_OVER, Flags, Names, PANIC, RETRIED, Record};
use crate::telemetry::trace;
use crate::upstream::lane::AttemptFailure;
use crate::upstream::view::{is_failing, observe_latency};
use crate::worker::Worker;

/// What a request went through, for the log and the metrics.
pub struct Story<'s> {
    pub started: Tick,
    pub status: u16,
    pub error: Option<ErrorKind>,
    pub head_request: bool,
    /// It had to wait for a fault on purpose.
    pub delayed: bool,
    pub rule: Option<&'s Rule>,
    pub service: Option<&'s Service>,
    pub home: Option<u16>,
    /// The last try: where, and why there.
    pub last: Option<(Target, &'s Lane, &'s Endpoint)>,
    pub attempts: u32,
    /// Time to first byte of the last try, in nanoseconds.
    pub first_byte: Option<u64>,
    pub bytes_in: u64,
    pub bytes_out: u64,
    /// The user's address, where trusted hops say it.
    pub client: Option<IpAddr>,
    /// Of a gRPC call: its code.
    pub grpc: Option<u8>,
}

impl<'s> Story<'s> {
    /// A request begins.
    pub fn begin(started: Tick, head_request: bool) -> Story<'s> {
        Story {
            started,
            status: 0,
            error: None,
            head_request,
            delayed: false,
            rule: None,
            service: None,
            home: None,
            last: None,
            attempts: 0,
            first_byte: None,
            bytes_in: 0,
            bytes_out: 0,
            client: None,
            grpc: None,
        }
    }

    /// It is for `service`; counted as under way until the guard is dropped.
    pub fn enter(&mut self, worker: &Rc<Worker>, service: &'s Service) -> OpenRequest<'s> {
        self.service = Some(service);
        let cells = service.state.cells(worker.index);
        cells.requests.add(1);
        cells.in_flight.enter();
        OpenRequest { service, worker: worker.index }
    }

    /// Another try begins.
    pub fn tries(&mut self, at: Target, home: usize, lane: &'s Lane, endpoint: &'s Endpoint, tries: u32) {
        self.last = Some((at, lane, endpoint));
        self.home = u16::try_from(home).ok();
        self.attempts = tries;
    }
}

/// A request under way.
pub struct OpenRequest<'s> {
    service: &'s Service,
    worker: usize,
}

impl Drop for OpenRequest<'_> {
    fn drop(&mut self) {
        self.service.state.cells(self.worker).in_flight.leave();
    }
}

/// Counts a request at its home, for the load of clusters and the retry budget.
pub fn home(worker: &Rc<Worker>, service: &Service, home: usize, now: Tick) {
    if let Some(lane) = service.lanes.get(home) {
        lane.state.cells(worker.index).home_requests.add(1);
        service.budget_state.request(worker.index, home, service.budget.slice(now));
    }
}

/// Counts the start of a try.
pub fn started(attempts: &Attempts<'_, '_>, lane: &Lane, own: bool, retry: bool) {
    let cells = lane.state.cells(attempts.worker.index);
    if own {
        cells.own.add(1)
    } else {
        cells.spilled.add(1)
    }
    if retry {
        cells.retries.add(1);
    }
}

/// Asks the budget for one more retry and, if it allows it, counts it.
pub fn may_retry(attempts: &Attempts<'_, '_>, home: usize, cluster: usize, now: Tick) -> bool {
    let (service, worker) = (attempts.service, attempts.worker.index);
    let slice = service.budget.slice(now);
    let cells = service.state.cells(worker);
    if !service.budget_state.allows(&service.budget, home, cluster, slice) {
        cells.retries_refused.add(1);
        return false;
    }
    service.budget_state.retry(worker, home, cluster, slice);
    cells.retries.add(1);
    true
}

/// Counts a try that ended with a response head; gives the time to its first byte in nanoseconds.
pub fn answered(
    attempts: &Attempts<'_, '_>,
    lane: &Lane,
    endpoint: &Endpoint,
    answer: Answered,
    sent_at: Tick,
    request_ended: Tick,
) -> u64 {
    let worker = attempts.worker.index;
    let now = attempts.worker.now();
    // From the request's last byte: neither the connect nor a slow client's upload is the cluster's latency.
    let first_byte = now.0.saturating_sub(request_ended.0.max(sent_at.0));
    let failure = answer.failure(attempts, Duration::from_nanos(first_byte));
    let cells = lane.state.cells(worker);
    cells.attempts.add(1);
    cells.statuses[usize::from((answer.status / 100).clamp(1, 5)) - 1].add(1);
    cells.latency.record(first_byte);
    for (slow, threshold) in cells.slow.iter().zip(&attempts.service.slow_thresholds) {
        if first_byte > *threshold {
            slow.add(1);
        }
    }
    remember(lane, endpoint, worker, now, sent_at, failure.is_some());
    let at = endpoint.state.cells(worker);
    at.total.add(1);
    if let Some(status) = failure {
        cells.errors.add(1);
        let failure = Failure { kind: FailureKind::Status(status), sent_at, at: now };
        tell_failure(attempts, lane, endpoint, failure);
        return first_byte;
    }
    at.success.add(1);
    observe_latency(&endpoint.state, worker, first_byte, now);
    let run_ends = is_failing(&endpoint.state) && endpoint.state.failing.swap(false, Relaxed);
    if run_ends || lane.state.admission.get() == 0.0 {
        let (lane, endpoint) = (lane.state.id, endpoint.state.id);
        attempts.worker.shared.health.send(HealthInput::Success { lane, endpoint, sent_at, ended_at: now });
    }
    first_byte
}

/// Counts a try that ended without a response head.
pub fn failed(
    attempts: &Attempts<'_, '_>,
    lane: &Lane,
    endpoint: &Endpoint,
    error: ErrorKind,
    sent_at: Tick,
) {
    let Some(label) = label(error) else { return };
    let worker = attempts.worker.index;
    let cells = lane.state.cells(worker);
    cells.failures[label as usize].add(1);
    let now = attempts.worker.now();
    let Some(kind) = failure_kind(error, attempts, now.since(sent_at)) else { return };
    cells.attempts.add(1);
    cells.errors.add(1);
    // No first byte at all is slower than any threshold.
    cells.slow.iter().zip(&attempts.service.slow_thresholds).for_each(|(slow, _)| slow.add(1));
    remember(lane, endpoint, worker, now, sent_at, true);
    endpoint.state.cells(worker).total.add(1);
    if kind.is_timeout() {
        endpoint.state.timed_out(now);
    }
    tell_failure(attempts, lane, endpoint, Failure { kind, sent_at, at: now });
}

/// Counts an answer that broke off after its head was passed on. Its head has been counted as an attempt.
pub fn cut(attempts: &Attempts<'_, '_>, lane: &Lane, endpoint: &Endpoint, sent_at: Tick) {
    let now = attempts.worker.now();
    lane.state.cells(attempts.worker.index).failures[AttemptFailure::Cut as usize].add(1);
    tell_failure(attempts, lane, endpoint, Failure { kind: FailureKind::Reset, sent_at, at: now });
}

/// Tells of a gRPC code that came behind a body. Its head has been counted as an attempt that went well, as has that
/// of an answer that is [`cut`].
pub fn failed_late(attempts: &Attempts<'_, '_>, lane: &Lane, endpoint: &Endpoint, code: u8, sent_at: Tick) {
    let now = attempts.worker.now();
    if let Some(status) = grpc::failure(code, false) {
        tell_failure(
            attempts,
            lane,
            endpoint,
            Failure { kind: FailureKind::Status(status), sent_at, at: now },
        );
    }
}

fn tell_failure(attempts: &Attempts<'_, '_>, lane: &Lane, endpoint: &Endpoint, failure: Failure) {
    // Looked at first: a store would take the line from all who read `standing`, at each failure of a run.
    if !is_failing(&endpoint.state) {
        endpoint.state.failing.store(true, Relaxed);
    }
    let (lane, endpoint) = (lane.state.id, endpoint.state.id);
    attempts.worker.shared.health.send(HealthInput::Failure { lane, endpoint, failure });
}

fn remember(lane: &Lane, endpoint: &Endpoint, worker: usize, ended: Tick, sent: Tick, failed: bool) {
    let cells = lane.state.cells(worker);
    let attempt = Attempt { ended, sent, endpoint: EndpointId(endpoint.state.id), failed };
    let at = cells.ring_at.get() as usize;
    cells.ring[at].set(attempt.pack());
    cells.ring_at.set(((at + 1) % ATTEMPTS) as u64);
}

/// How a failure is told to the engine; `None` = it says nothing new about the endpoint.
fn failure_kind(error: ErrorKind, attempts: &Attempts<'_, '_>, waited: Duration) -> Option<FailureKind> {
    use ErrorKind::*;
    match error {
        ConnectFailed | TlsFailed => Some(FailureKind::Connect),
        ConnectTimeout => Some(FailureKind::ConnectTimeout),
        Reset | BadResponse(_) => Some(FailureKind::Reset),
        TryTimeout => Some(FailureKind::Timeout),
        // A deadline that ended a try just begun is not the endpoint's fault; one that it slept through is, or an
        // endpoint that hangs would never be ejected where the whole request has no more time than a try.
        Deadline if attempts.waited_long(waited) => Some(FailureKind::Timeout),
        _ => None,
    }
}

fn label(error: ErrorKind) -> Option<AttemptFailure> {
    use ErrorKind::*;
    Some(match error {
        ConnectFailed | TlsFailed | ConnectTimeout => AttemptFailure::Connect,
        Reset => AttemptFailure::Reset,
        TryTimeout | Deadline => AttemptFailure::Timeout,
        BadResponse(_) => AttemptFailure::Malformed,
        RefusedStream => AttemptFailure::Refused,
        EndpointDown => AttemptFailure::EndpointDown,
        _ => return None,
    })
}

/// Counts and logs a request that is over.
pub fn request(worker: &Rc<Worker>, client: &Client, head: &RequestHead, story: &Story<'_>) {
    let now = worker.now();
    let duration = now.0.saturating_sub(story.started.0);
    if let Some(service) = story.service {
        let cells = service.state.cells(worker.index);
        cells.statuses[usize::from((story.status / 100).clamp(1, 5)) - 1].add(1);
        cells.duration.record(duration);
        cells.bytes_in.add(story.bytes_in);
        cells.bytes_out.add(story.bytes_out);
        if let Some(count) = story.grpc.and_then(|code| cells.grpc.get(usize::from(code))) {
            count.add(1);
        }
    } else if story.error == Some(ErrorKind::NoRoute) {
        worker.counters().no_route.add(1);
    }
    let grpc_failed = story.grpc.is_some_and(|code| grpc::failure(code, true).is_some());
    let failed = story.error.is_some() || story.status >= 500 || grpc_failed;
    let log = &worker.shared.access_log;
    if log.wants(failed, worker.roll()) {
        log.send(log_record(client, head, story, duration));
    }
}

fn log_record(client: &Client, head: &RequestHead, story: &Story<'_>, duration: u64) -> Record {
    let started = SystemTime::now().checked_sub(Duration::from_nanos(duration));
    let user_agent = head.get(Known::UserAgent).unwrap_or_default();
    let home = story.service.and_then(|service| service.lanes.get(usize::from(story.home?)));
    let names = Names {
        rule: story.rule.map(|rule| &*rule.name),
        service: story.service.map(|service| &*service.state.name),
        home: home.map(|lane| &*lane.state.cluster),
        cluster: story.last.map(|(_, lane, _)| &*lane.state.cluster),
        endpoint: story.last.map(|(.., endpoint)| &*endpoint.state.address),
    };
    let mut record = Record::new(
        started.unwrap_or(SystemTime::UNIX_EPOCH),
        story.client.unwrap_or(client.peer.ip()),
        head.method_name(),
        head.host(),
        head.path_and_query(),
        user_agent,
        names,
    );
    record.identity = client.identity().map(|identity| identity.name.clone());
    record.duration = duration;
    record.first_byte = story.first_byte;
    record.protocol = match head.version {
        Version::Http10 => "HTTP/1.0",
        Version::Http11 => "HTTP/1.1",
        Version::Http2 => "HTTP/2",
    };
    record.status = story.status;
    record.flags = flags(story);
    (record.bytes_in, record.bytes_out) = (story.bytes_in, story.bytes_out);
    record.trace = head.get(Known::TraceParent).and_then(trace::parse);
    record.grpc = story.grpc;
    record.attempts = story.attempts;
    record.why = story.last.map(|(at, ..)| at.why.as_str());
    record
}

fn flags(story: &Story<'_>) -> Flags {
    let mut flags = Flags::default();
    if let Some(error) = story.error {
        flags.add(respond::answer(error).flag);
    }
    if story.delayed {
        flags.add(DELAYED);
    }
    if story.attempts > 1 {
        flags.add(RETRIED);
    }
    if let Some((at, ..)) = story.last {
        if story.home != Some(at.cluster) {
            flags.add(FAILED_OVER);
        }
        if at.why == Why::Panic {
            flags.add(PANIC);
        }
    }
    flags
}
