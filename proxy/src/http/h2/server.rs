//! The client's side of HTTP/2: one task a connection, one a stream.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use causeway_proxy_http1::{Framing, H2Request, Method, RequestHead, ResponseHead, Trailers, Version};
use causeway_proxy_policy::flood::RESETS_AT_ONCE;
use h2::Reason;
use h2::server::SendResponse;
use http::{HeaderMap, StatusCode};

use super::body::{Receiving, Sending, Tunnel};
use super::fields;
use super::frames::Guard;
use super::io::gather;
use super::malformed::Malformed;
use super::pause::Pause;
use super::prefixed::Prefixed;
use super::servants;
use crate::http::exchange::{BodyError, Down, Fill, Response};
use crate::http::h1::Wire;
use crate::request::{self, Client};
use crate::snapshot::ClientLimits;
use crate::telemetry::counters::ConnectionEnd;
use crate::telemetry::metrics;
use crate::timer::{Fired, Tag, Timer};
use crate::worker::Worker;

/// What a stream may have in flight towards us before we read it: RFC 9113's own start (section 6.9.2), as HAProxy
/// and nginx have it. A connection gets as much for each of its streams: with less, streams that nobody reads would
/// hold up the others. Together, 100 streams of 64 KiB, it bounds what one client can make us hold.
const STREAM_WINDOW: u32 = 64 * 1024;

/// RFC 9113 section 6.9.1.
const MAX_WINDOW: u32 = (1 << 31) - 1;

/// How long a client that is sent away may take to read why.
const FAREWELL: Duration = Duration::from_secs(1);

/// Response bytes that `h2` may hold for one stream.
const SEND_BUFFER: usize = 64 * 1024;

/// Serves one HTTP/2 connection until it ends.
pub async fn serve(worker: Rc<Worker>, client: Client, (wire, timer): (Wire, Rc<Timer>)) {
    let client = Rc::new(client);
    let snapshot = worker.snapshot();
    let Some(port) = snapshot.port(client.key) else { return };
    // Copied: a count of references would be written by all workers, on the line of the limits.
    let ClientLimits { ref head, http2_streams, request_header, keep_alive_idle, .. } = *port.client;
    let (max_head, max_fields) = (u32::try_from(head.head_bytes).unwrap_or(u32::MAX), head.head_count);
    drop(snapshot);
    let first = wire.input.data().to_vec();
    let guard = Guard::of_client(worker.wheel.clone());
    let malformed = guard.malformed();
    let active = Rc::new(Cell::new(0usize));
    let pause = Pause::new(&worker, &active);
    let stream = Prefixed::new(&first, wire.into_stream(), pause.clone());
    let (io, driver) = gather(stream, &worker.buffers, guard);

    let mut builder = h2::server::Builder::new();
    builder
        .max_concurrent_streams(http2_streams)
        .max_header_list_size(max_head)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(STREAM_WINDOW.saturating_mul(http2_streams).min(MAX_WINDOW))
        .max_send_buffer_size(SEND_BUFFER)
        .enable_connect_protocol()
        // `h2` counts these over the whole life of a connection, which a long one would not outlive. The guard holds
        // them against time.
        .max_local_error_reset_streams(None)
        // Those that are given up while the connection is not read: see `pause`. The guard counts resets too.
        .max_pending_accept_reset_streams(RESETS_AT_ONCE as usize);
    timer.set(Some(worker.now() + request_header));
    timer.tag(Tag::Head);
    let mut connection = match timer.guard(driver.run(builder.handshake::<_, Bytes>(io))).await {
        Ok(Ok(connection)) => connection,
        Err(Fired::Evicted) => return worker.counters().ended(ConnectionEnd::Evicted),
        _ => return worker.counters().ended(ConnectionEnd::Http2Failed),
    };

    let mut served = 0u64;
    timer.tag(Tag::Http2Idle);
    timer.set(Some(worker.now() + keep_alive_idle));
    if worker.is_draining() {
        connection.graceful_shutdown();
    }
    // The connection is being ended for what the client does.
    let mut calming = false;
    loop {
        let accepted = std::future::poll_fn(|cx| {
            driver.poll(cx, |cx| {
                let accepted = connection.poll_accept(cx);
                if accepted.is_pending() {
                    pause.caught_up();
                }
                if calming || accepted.is_ready() || !driver.is_flooded() {
                    return accepted;
                }
                calming = true;
                worker.counters().ended(ConnectionEnd::Http2Flood);
                connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
                timer.set(Some(worker.now() + FAREWELL));
                connection.poll_accept(cx)
            })
        });
        let accepted = timer.guard(accepted).await;
        let stream = match accepted {
            Ok(Some(Ok(stream))) => stream,
            Ok(Some(Err(error))) => {
                let calmed = error.reason() == Some(Reason::ENHANCE_YOUR_CALM) && error.is_library();
                let end = if calmed { ConnectionEnd::Http2Flood } else { ConnectionEnd::Http2Failed };
                if calmed {
                    metrics::flooded("client", "limits");
                }
                worker.counters().ended(end);
                break;
            }
            // Also after a GOAWAY in order: a close with unread input would reset, and take the GOAWAY with it.
            Ok(None) => break,
            Err(_) if calming => return,
            Err(Fired::Deadline) if active.get() == 0 && served == 0 => {
                connection.graceful_shutdown();
                served = 1;
                timer.set(Some(worker.now() + request_header));
                continue;
            }
            Err(Fired::Deadline) if active.get() == 0 && served == 1 => return,
            Err(Fired::Deadline) => {
                // Streams came in this period, or are under way: look again after another.
                served = 0;
                timer.set(Some(worker.now() + keep_alive_idle));
                continue;
            }
            Err(Fired::Evicted) => {
                worker.counters().ended(ConnectionEnd::Evicted);
                pause.end();
                connection.graceful_shutdown();
                served = 1;
                timer.set(Some(worker.now() + FAREWELL));
                continue;
            }
            Err(_) => {
                pause.end();
                connection.graceful_shutdown();
                timer.set(Some(worker.now() + keep_alive_idle));
                continue;
            }
        };
        served += 2;
        let (request, respond) = stream;
        let open = Open::enter(&active, &timer);
        let (worker, client, malformed) = (worker.clone(), client.clone(), malformed.clone());
        let (waited, pause) = (pause.is_late(), pause.clone());
        servants::serve(Job { worker, client, request, respond, max_fields, malformed, pause, waited, open });
    }
    pause.end();
    timer.set(Some(worker.now() + FAREWELL));
    // Whatever comes of it, the connection ends now.
    let _ = timer.guard(Box::pin(driver.linger())).await;
}

/// One stream to be served.
pub struct Job {
    pub worker: Rc<Worker>,
    client: Rc<Client>,
    request: http::Request<h2::RecvStream>,
    respond: SendResponse<Bytes>,
    max_fields: usize,
    malformed: Malformed,
    pause: Rc<Pause>,
    /// It came during a pause.
    waited: bool,
    open: Open,
}

/// Counts a stream for as long as it is served, also through a panic.
struct Open(Rc<Cell<usize>>, Rc<Timer>);

impl Open {
    /// `timer` is the connection's: a connection without streams may be closed for another.
    fn enter(active: &Rc<Cell<usize>>, timer: &Rc<Timer>) -> Open {
        if active.replace(active.get() + 1) == 0 {
            timer.tag(Tag::Http2);
        }
        Open(active.clone(), timer.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
        if self.0.get() == 0 {
            self.1.tag(Tag::Http2Idle);
        }
    }
}

/// Serves one stream. `timer` is its one deadline.
pub async fn serve_stream(job: Job, timer: &Rc<Timer>) {
    let Job { worker, client, request, mut respond, max_fields, malformed, pause, waited, open: _open } = job;
    let mut head = worker.take_request_head();
    // The parts are dropped here: a request under way must not hold its head twice.
    let (converted, body) = {
        let (parts, body) = request.into_parts();
        if parts.headers.len() > max_fields {
            worker.counters().bad_requests.add(1);
            worker.give_request_head(head);
            if let Some(response) = response(431, HeaderMap::new()) {
                // A stream that is over needs no answer.
                let _ = respond.send_response(response, true);
            }
            return;
        }
        (convert(&parts, body.is_end_stream(), &mut head), body)
    };
    let mut stream = ServerStream {
        timer: timer.clone(),
        body: Receiving::new(body, malformed),
        pause,
        waited,
        respond,
        sending: Sending::none(),
        head_request: head.method == Method::Head,
        responded: false,
        tunnel: if head.upgrade.is_some() { Tunnel::Asked } else { Tunnel::No },
    };
    match converted {
        Ok(()) => request::handle(&worker, &client, Down::H2(&mut stream), &mut head).await,
        Err(_) => {
            worker.counters().bad_requests.add(1);
            // RFC 9113 section 8.1.1: a malformed request is a stream error.
            stream.respond.send_reset(Reason::PROTOCOL_ERROR);
        }
    }
    worker.give_request_head(head);
    // Dropping what is left of an unread request ends it with NO_ERROR behind the answer (RFC 9113 section 8.1). A
    // reset by hand would overtake the answer.
}

fn convert(
    parts: &http::request::Parts,
    ended: bool,
    head: &mut RequestHead,
) -> Result<(), causeway_proxy_http1::RequestError> {
    let protocol = parts.extensions.get::<h2::ext::Protocol>();
    let uri = &parts.uri;
    // A `Uri` without an authority cannot hold the scheme either. `h2` has refused requests that lack it.
    let unsaid = uri.authority().is_none() && parts.method != http::Method::CONNECT;
    head.begin_h2(&H2Request {
        method: parts.method.as_str().as_bytes(),
        scheme: uri.scheme_str().or(unsaid.then_some("https")).map(str::as_bytes),
        authority: uri.authority().map(|authority| authority.as_str().as_bytes()),
        path: uri.path_and_query().map(|path| path.as_str().as_bytes()),
        protocol: protocol.map(|protocol| protocol.as_str().as_bytes()),
    })?;
    for (name, value) in &parts.headers {
        head.push(name.as_str().as_bytes(), value.as_bytes())?;
    }
    head.finish_h2(ended)
}

/// One HTTP/2 stream of a client.
pub struct ServerStream {
    /// The stream's one deadline.
    pub timer: Rc<Timer>,
    body: Receiving,
    pause: Rc<Pause>,
    waited: bool,
    respond: SendResponse<Bytes>,
    sending: Sending,
    head_request: bool,
    responded: bool,
    tunnel: Tunnel,
}

impl ServerStream {
    /// Leaves the connection unread for so long, or for what is left of an earlier rest; says which.
    pub fn rest(&mut self, length: Duration) -> Duration {
        self.pause.begin(length)
    }

    /// Whether the request was there before its connection was read again.
    pub fn waited(&self) -> bool {
        self.waited
    }

    /// Makes request body available. What follows an extended CONNECT is none.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<Fill, BodyError>> {
        if self.tunnel == Tunnel::Asked {
            return Poll::Ready(Ok(Fill::End));
        }
        self.body.poll_fill(cx)
    }

    /// The request body at hand.
    pub fn chunk(&self) -> &[u8] {
        self.body.chunk()
    }

    /// Marks request body as used.
    pub fn consume(&mut self, n: usize) {
        self.body.consume(n);
    }

    /// The request's trailers.
    pub fn trailers(&self) -> Option<&Trailers> {
        self.body.trailers()
    }

    /// Whether the whole request has been read.
    pub fn request_ended(&self) -> bool {
        self.body.ended()
    }

    /// Ready when the client gave the stream up.
    pub fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.responded {
            return self.sending.poll_reset(cx);
        }
        self.respond.poll_reset(cx).map(|_| ())
    }

    /// Sends a 1xx.
    pub fn interim(&mut self, head: &ResponseHead) {
        if let Some(response) = response(head.status, fields::to_map(head.iter())) {
            // A stream that is over needs no hint.
            let _ = self.respond.send_informational(response);
        }
    }

    /// Sends a response head.
    pub fn respond(&mut self, head: &ResponseHead, options: Response<'_>) -> io::Result<()> {
        let mut map = fields::to_map(head.iter());
        for (name, value) in options.extra {
            fields::append(&mut map, name.as_bytes(), value.as_bytes());
        }
        let length = match head.framing {
            Framing::Length(n) => Some(n),
            _ => None,
        };
        // An HTTP/2 answer that is a head alone needs no length, and gRPC's callers would be shown it as metadata.
        let said = length != Some(0) || head.version != Version::Http2;
        if let Some(n) = length.filter(|_| said)
            && !map.contains_key(http::header::CONTENT_LENGTH)
        {
            map.insert(http::header::CONTENT_LENGTH, n.into());
        }
        // A 101 is a 200 to an extended CONNECT (RFC 8441 section 5).
        let status = if head.tunnel { 200 } else { head.status };
        let response = response(status, map).ok_or_else(|| io::Error::other("status"))?;
        let ended = !head.tunnel && (self.head_request || head.framing.is_empty());
        let stream = self.respond.send_response(response, ended).map_err(io::Error::other)?;
        self.responded = true;
        self.sending = Sending::new(stream, length, ended);
        Ok(())
    }

    /// Takes response body.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.sending.poll_write(cx, data)
    }

    /// Ends the response.
    pub fn finish(&mut self, trailers: Option<&Trailers>) -> io::Result<()> {
        self.sending.finish(trailers)
    }

    /// `h2` sends by itself, all but what is held for its end.
    pub fn poll_flush(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.sending.flush())
    }

    /// What `h2` holds is not seen from here; it takes no more than the client's window.
    pub fn has_output(&self) -> bool {
        false
    }

    /// Too late: what `h2` was given cannot be had back, only reset.
    pub fn take_back(&mut self) -> bool {
        false
    }

    /// Breaks the stream off. For a tunnel CANCEL stands for TCP's reset (RFC 8441 section 5).
    pub fn abort(&mut self) {
        if self.responded {
            let tunnel = self.tunnel == Tunnel::Open;
            self.sending.reset(if tunnel { Reason::CANCEL } else { Reason::INTERNAL_ERROR });
        } else {
            self.respond.send_reset(Reason::INTERNAL_ERROR);
        }
    }

    /// From now on the stream's data is the tunnel's.
    pub fn start_tunnel(&mut self) {
        self.tunnel = Tunnel::Open;
    }

    /// Ends our direction of a tunnel.
    pub fn poll_close(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.sending.finish(None))
    }

    /// Whether a response head was sent.
    pub fn responded(&self) -> bool {
        self.responded
    }
}

fn response(status: u16, fields: HeaderMap) -> Option<http::Response<()>> {
    let mut response = http::Response::new(());
    *response.status_mut() = StatusCode::from_u16(status).ok()?;
    *response.headers_mut() = fields;
    Some(response)
}
