//! One try at one endpoint: a connection, the request on it, the head of the answer.

use std::cell::Cell;

use causeway_config::ForwardingHeader;
use causeway_proxy_http1::{Decimal, Known, Name, Value, Version};
use causeway_proxy_policy::Tick;

use super::attempt::{Attempts, Ended, Won};
use super::body::RequestBody;
use super::error::{ErrorKind, LimitKind, TryError};
use super::grpc::{self, Answered};
use super::record::{self, Story};
use super::send::Waiting;
use crate::http::exchange::{Down, Request, Up};
use crate::snapshot::{Endpoint, Lane};
use crate::timer::Tag;
use crate::tls::client::Offer;
use crate::upstream::connect::{self, Phase};
use crate::upstream::permit::RequestPermit;

const VIA: Name = Name::new("Via: ");
const TIMEOUT: Name = Name::new("X-Request-Timeout: ");
const GRPC_TIMEOUT: Name = Name::new("grpc-timeout: ");
const ATTEMPT: Name = Name::new("X-Causeway-Attempt: ");
const FORWARDED_FOR: Name = Name::new("X-Forwarded-For: ");
const FORWARDED_PROTO: Name = Name::new("X-Forwarded-Proto: ");
const FORWARDED_HOST: Name = Name::new("X-Forwarded-Host: ");

/// What happened to the connection of a failed try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Connection {
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
    ///
    /// Not an `async fn`, which would hold its arguments twice: nor are the others that are awaited on the way of
    /// every request, or their future would not fit into what the allocator hands out at once (1 KiB).
    #[allow(clippy::too_many_arguments)]
    #[inline]
    pub fn one(
        &self,
        down: &mut Down<'_>,
        body: &mut RequestBody,
        lane: &'s Lane,
        endpoint: &'s Endpoint,
        permit: RequestPermit<'s>,
        deadline: &mut Option<Tick>,
        story: &mut Story<'s>,
    ) -> impl Future<Output = Ended<'s>> {
        let began = self.worker.now();
        let mut fresh = false;
        async move {
            loop {
                let mut response = self.worker.take_response_head();
                let pooled =
                    if fresh { None } else { connect::pooled(self.worker, lane, endpoint, self.client) };
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
                if let Err(kind) = self.write_head(&mut up, endpoint, deadline, story.attempts) {
                    self.worker.give_response_head(response);
                    return Ended::Error(TryError::untouched(kind));
                }
                let waiting = Waiting { endpoint: endpoint.state.id, lane: lane.state.id };
                let answer = self.exchange_heads(down, &mut up, body, &mut response, deadline, waiting).await;
                self.timer.tag(Tag::None);
                match answer {
                    Ok(sent) => {
                        let code = self.grpc.as_ref().and_then(|_| grpc::first_code(&mut up, &response));
                        let answer = Answered { status: response.status, grpc: code };
                        let first_byte = record::answered(self, lane, endpoint, answer, sent_at, sent);
                        story.first_byte = Some(first_byte);
                        return Ended::Answer(Won { up, lane, endpoint, response, grpc: code, permit });
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
    }

    pub(super) async fn connect(
        &self,
        lane: &Lane,
        endpoint: &Endpoint,
        deadline: Option<Tick>,
        fresh: bool,
    ) -> Result<Up, TryError> {
        let try_ends = self.worker.now() + self.try_timeout();
        let deadline = self.ends(deadline);
        self.timer.set(Some(deadline.map_or(try_ends, |deadline| deadline.min(try_ends))));
        let phase = Cell::new(Phase::Waiting);
        let work = async {
            let up = connect::obtain(self.worker, lane, endpoint, self.client, fresh, &phase).await?;
            if let Up::H2(stream) = &up
                && self.kind.upgrade
            {
                stream.hears_settings().await;
                if !stream.takes_tunnels() && lane.dial.offer == Offer::Both {
                    return connect::http1_for_tunnel(self.worker, lane, endpoint, self.client, &phase).await;
                }
            }
            Ok::<Up, TryError>(up)
        };
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

    pub(super) fn write_head(
        &self,
        up: &mut Up,
        endpoint: &Endpoint,
        deadline: &Option<Tick>,
        attempt: u32,
    ) -> Result<(), ErrorKind> {
        if let Up::H2(stream) = up
            && self.kind.upgrade
            && self.head.version == Version::Http2
            && !stream.takes_tunnels()
        {
            return Err(ErrorKind::NoTunnel);
        }
        let now = self.worker.now();
        let left = deadline.unwrap_or_else(|| self.deadline(now)).since(now);
        let left = Decimal::of(u64::try_from(left.as_millis()).unwrap_or(u64::MAX));
        let attempt = Decimal::of(attempt.into());
        // RFC 9110 section 7.6.3: the protocol of the message as we received it.
        let via = match self.head.version {
            Version::Http10 => const { Value::new("1.0 causeway") },
            Version::Http11 => const { Value::new("1.1 causeway") },
            Version::Http2 => const { Value::new("2.0 causeway") },
        };
        let mut extra = [(VIA, via); 7];
        extra[1] = (TIMEOUT, left.as_value());
        extra[2] = (ATTEMPT, attempt.as_value());
        let mut n = 3;
        let proto =
            if self.client.tls { const { Value::new("https") } } else { const { Value::new("http") } };
        let claims = [
            (Known::XForwardedFor, FORWARDED_FOR, Value::of(&self.client.peer_text).unwrap_or_default()),
            (Known::XForwardedProto, FORWARDED_PROTO, proto),
            (Known::XForwardedHost, FORWARDED_HOST, self.head.host_value()),
        ];
        for (known, name, value) in claims {
            // What a trusted proxy said stays: see `Client::settle`, which has written `Forwarded`.
            let spoken = self.forwarding == ForwardingHeader::XForwardedFor;
            if spoken && !value.as_bytes().is_empty() && self.head.get(known).is_none() {
                extra[n] = (name, value);
                n += 1;
            }
        }
        let call_left =
            self.grpc.as_ref().and_then(|call| call.ends).map(|ends| grpc::timeout_text(ends.since(now)));
        if let Some(left) = &call_left {
            extra[n] = (GRPC_TIMEOUT, Value::of(left).unwrap_or_default());
            n += 1;
        }
        // HTTP/1.0 may name no host; the upstream's protocol wants one.
        let none = self.head.host().is_empty().then(|| endpoint.state.address.as_bytes());
        let host = self.rule.filters.host().or(none);
        up.request(self.head, Request { path: self.path.as_deref(), host, extra: &extra[..n] })
            .map_err(|_| ErrorKind::BadTarget)
    }
}

pub(super) fn condition(up: &Up, error: ErrorKind) -> Connection {
    match up {
        Up::H1(conn) if error == ErrorKind::Reset && conn.was_used_before() && !conn.answered() => {
            Connection::MaybeStale
        }
        Up::H2(stream) if stream.took_nothing() => Connection::TookNothing,
        _ => Connection::Sound,
    }
}
