//! One try at one endpoint: a connection, the request on it, the head of the answer.

use std::cell::Cell;
use std::io;

use causeway_proxy_http1::{Known, Name, Version};
use causeway_proxy_policy::Tick;

use super::attempt::{Attempts, Ended, Won};
use super::body::RequestBody;
use super::error::{ErrorKind, LimitKind, TryError};
use super::record::{self, Story};
use super::send::Waiting;
use crate::http::exchange::{Down, Request, Up};
use crate::snapshot::{Endpoint, Lane};
use crate::upstream::connect::{self, Phase};
use crate::upstream::permit::RequestPermit;

const VIA: Name = Name::new("Via: ");
const TIMEOUT: Name = Name::new("X-Request-Timeout: ");
const ATTEMPT: Name = Name::new("X-Causeway-Attempt: ");
const FORWARDED_FOR: Name = Name::new("X-Forwarded-For: ");
const FORWARDED_PROTO: Name = Name::new("X-Forwarded-Proto: ");
const FORWARDED_HOST: Name = Name::new("X-Forwarded-Host: ");

/// What happened to the connection of a failed try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Connection {
    /// It was good, as far as we know.
    Sound,
    /// A pooled one that ended before a byte of the answer: the upstream may have closed it just as it was used.
    MaybeStale,
    /// A shared one that took no more streams: nothing was sent.
    TookNothing,
}

impl<'s> Attempts<'_, 's> {
    /// One try, and a second one on a fresh connection where the pooled one proves to have been closed by the
    /// upstream: that says nothing about the endpoint.
    #[allow(clippy::too_many_arguments)]
    pub async fn one(
        &self,
        down: &mut Down<'_>,
        body: &mut RequestBody,
        lane: &'s Lane,
        endpoint: &'s Endpoint,
        permit: RequestPermit<'s>,
        deadline: &mut Option<Tick>,
        story: &mut Story<'s>,
    ) -> Ended<'s> {
        let began = self.worker.now();
        let mut fresh = false;
        loop {
            let mut response = self.worker.take_response_head();
            let pooled = if fresh { None } else { connect::pooled(self.worker, lane, endpoint) };
            let connected = match pooled {
                Some(up) => Ok(up),
                // Boxed: it is rare, and its state is several times that of the rest of a request.
                None => Box::pin(self.connect(lane, endpoint, *deadline, fresh)).await,
            };
            let mut up = match connected {
                Ok(up) => up,
                Err(error) => {
                    record::failed(self, lane, endpoint, error.kind, began);
                    self.worker.give_response_head(response);
                    return Ended::Error(error);
                }
            };
            let sent_at = self.worker.now();
            if self.write_head(&mut up, endpoint, deadline, story.attempts).is_err() {
                self.worker.give_response_head(response);
                return Ended::Error(TryError::untouched(ErrorKind::BadTarget));
            }
            let waiting = Waiting { endpoint: endpoint.state.id, lane: lane.state.id };
            match self.exchange_heads(down, &mut up, body, &mut response, deadline, waiting).await {
                Ok(sent) => {
                    let first_byte = record::answered(self, lane, endpoint, &response, sent_at, sent);
                    story.first_byte = Some(first_byte);
                    return Ended::Answer(Won { up, lane, endpoint, response, permit });
                }
                Err(error) => {
                    self.worker.give_response_head(response);
                    let connection = condition(&up, error.kind);
                    let again = match connection {
                        Connection::Sound => false,
                        Connection::MaybeStale => self.idempotent,
                        Connection::TookNothing => true,
                    };
                    if again && !fresh && body.can_replay() {
                        body.rewind();
                        fresh = true;
                        continue;
                    }
                    if fresh || connection == Connection::Sound {
                        record::failed(self, lane, endpoint, error.kind, sent_at);
                    }
                    return Ended::Error(error);
                }
            }
        }
    }

    async fn connect(
        &self,
        lane: &Lane,
        endpoint: &Endpoint,
        deadline: Option<Tick>,
        fresh: bool,
    ) -> Result<Up, TryError> {
        let try_ends = self.worker.now() + self.try_timeout();
        self.timer.set(Some(deadline.map_or(try_ends, |deadline| deadline.min(try_ends))));
        let phase = Cell::new(Phase::Waiting);
        let work = connect::obtain(self.worker, lane, endpoint, fresh, &phase);
        if let Ok(obtained) = self.timer.guard(work).await {
            return obtained;
        }
        let now = self.worker.now();
        Err(TryError::untouched(match phase.get() {
            _ if deadline.is_some_and(|deadline| now >= deadline) => ErrorKind::Deadline,
            Phase::Dialling => ErrorKind::ConnectTimeout,
            // The queue for a connection, which only a limit of ours makes.
            Phase::Waiting => ErrorKind::Overloaded(LimitKind::Pending),
        }))
    }

    fn write_head(
        &self,
        up: &mut Up,
        endpoint: &Endpoint,
        deadline: &Option<Tick>,
        attempt: u32,
    ) -> io::Result<()> {
        let left = deadline.map_or(self.overall_timeout(), |at| at.since(self.worker.now()));
        let (mut left_text, mut attempt_text) = (itoa::Buffer::new(), itoa::Buffer::new());
        let left_text = left_text.format(u64::try_from(left.as_millis()).unwrap_or(u64::MAX));
        // RFC 9110 section 7.6.3: the protocol of the message as we received it.
        let via: &[u8] = match self.head.version {
            Version::Http10 => b"1.0 causeway",
            Version::Http11 => b"1.1 causeway",
            Version::Http2 => b"2.0 causeway",
        };
        let mut extra: [(Name, &[u8]); 6] = [(VIA, via); 6];
        extra[1] = (TIMEOUT, left_text.as_bytes());
        extra[2] = (ATTEMPT, attempt_text.format(attempt).as_bytes());
        let mut n = 3;
        let proto: &[u8] = if self.client.tls { b"https" } else { b"http" };
        let claims: [(Known, Name, &[u8]); 3] = [
            (Known::XForwardedFor, FORWARDED_FOR, &self.client.peer_text),
            (Known::XForwardedProto, FORWARDED_PROTO, proto),
            (Known::XForwardedHost, FORWARDED_HOST, self.head.host()),
        ];
        for (known, name, value) in claims {
            // What a trusted proxy said stays: see `Client::settle`.
            if !value.is_empty() && self.head.get(known).is_none() {
                extra[n] = (name, value);
                n += 1;
            }
        }
        // HTTP/1.0 may name no host; the upstream's protocol wants one.
        let none = self.head.host().is_empty().then(|| endpoint.state.address.as_bytes());
        let host = self.rule.filters.host().or(none);
        up.request(self.head, Request { path: self.path, host, extra: &extra[..n] })
    }
}

fn condition(up: &Up, error: ErrorKind) -> Connection {
    match up {
        Up::H1(conn) if error == ErrorKind::Reset && conn.was_used_before() && !conn.answered() => {
            Connection::MaybeStale
        }
        Up::H2(stream) if stream.took_nothing() => Connection::TookNothing,
        _ => Connection::Sound,
    }
}
