//! The upstream's side of HTTP/2: connections that many requests share, and one stream of them.

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use causeway_proxy_http1::{Framing, RequestHead, RequestKind, ResponseHead, Trailers, Version};
use causeway_proxy_policy::Tick;
use h2::client::{ResponseFuture, SendRequest};
use http::{Method, Request as HttpRequest, Uri};

use super::body::{Receiving, Sending, Tunnel};
use super::fields;
use super::frames::Guard;
use super::io::gather;
use super::keepalive::{self, Life};
use super::malformed::Malformed;
use crate::http::buffer::BufferPool;
use crate::http::exchange::{BodyError, Fill, HeadError, Request};
use crate::http::stream::Stream;
use crate::request::tunnel;
use crate::timer::Wheel;
use crate::upstream::permit::ConnectionPermit;

/// What an upstream may send of one response before the client has read it.
const STREAM_WINDOW: u32 = 256 * 1024;
/// Streams put on one connection. Their windows together are the connection's, so that clients who do not read
/// cannot hold up the responses of others.
const STREAMS: u32 = 64;
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * STREAMS;
const SEND_BUFFER: usize = 64 * 1024;
/// Response heads above this are refused.
const HEAD_BYTES: u32 = 64 * 1024;

/// One connection to an upstream, shared by the requests of a worker.
#[derive(Clone)]
pub struct Sender {
    send: SendRequest<Bytes>,
    tls: bool,
    life: Rc<Life>,
    wheel: Rc<Wheel>,
    malformed: Malformed,
}

/// Makes an HTTP/2 connection of a byte stream. A task of its own drives it and holds its permit, another one
/// looks whether the upstream is still there.
pub async fn connect(
    stream: Stream,
    permit: ConnectionPermit,
    buffers: &BufferPool,
    wheel: Rc<Wheel>,
) -> Result<Sender, h2::Error> {
    let tls = stream.is_tls();
    let guard = Guard::of_upstream(wheel.clone());
    let malformed = guard.malformed();
    let (io, driver) = gather(stream, buffers, guard);
    let mut builder = h2::client::Builder::new();
    builder
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(SEND_BUFFER)
        .max_header_list_size(HEAD_BYTES)
        // Counted over the whole life of a connection, by `h2`; against time, by the guard.
        .max_local_error_reset_streams(None)
        .enable_push(false);
    let (send, mut connection) = driver.run(builder.handshake::<_, Bytes>(io)).await?;
    let ping = connection.ping_pong();
    let life = Rc::new(Life::begin(wheel.now()));
    let ended = life.clone();
    let driven = tokio::task::spawn_local(wheel.on_time(async move {
        // Its error reaches every stream; nothing is left to say here.
        let _ = driver.run(connection).await;
        ended.close();
        drop(permit);
    }));
    if let Some(ping) = ping {
        wheel.spawn(keepalive::watch(life.clone(), ping, wheel.timer(), driven.abort_handle()));
    }
    Ok(Sender { send, tls, life, wheel, malformed })
}

impl Sender {
    /// Whether the connection is over.
    pub fn is_closed(&self) -> bool {
        self.life.is_closed()
    }

    /// Whether the upstream allows another stream now. Not while it is doubtful whether it is there at all.
    pub fn has_room(&self) -> bool {
        let most = self.send.current_max_send_streams().min(STREAMS as usize);
        self.life.streams() < most && !self.life.is_doubtful()
    }

    /// Streams under way.
    pub fn streams(&self) -> usize {
        self.life.streams()
    }

    /// When the last stream ended, in ticks; meaningful at 0 streams.
    pub fn idle_since(&self) -> u64 {
        self.life.turned().0
    }

    /// A stream for one request.
    pub fn stream(&self) -> ClientStream {
        let opened = self.wheel.now();
        self.life.stream_begins(opened);
        ClientStream {
            sender: self.clone(),
            opened,
            tunnel: Tunnel::No,
            response: None,
            sending: Sending::none(),
            body: Receiving::none(),
            refused: None,
            sent: false,
        }
    }

    /// Closes after the streams under way.
    pub fn close(self) {
        drop(self.send);
    }
}

/// One stream to an upstream.
pub struct ClientStream {
    sender: Sender,
    opened: Tick,
    tunnel: Tunnel,
    response: Option<ResponseFuture>,
    sending: Sending,
    body: Receiving,
    /// Why the head could not be sent; told when the answer is asked for.
    refused: Option<HeadError>,
    sent: bool,
}

impl Drop for ClientStream {
    fn drop(&mut self) {
        let unanswered = (self.sent && self.response.is_some()).then_some(self.opened);
        self.sender.life.stream_ends(self.sender.wheel.now(), unanswered);
        if !self.sending.ended() || !self.body.ended() || self.response.is_some() {
            self.sending.reset(h2::Reason::CANCEL);
        }
    }
}

impl ClientStream {
    /// Waits until the upstream has said whether it takes tunnels, which its first frame does (RFC 9113 section
    /// 3.4, RFC 8441 section 3). Only on a connection that was just made there is something to wait for.
    pub async fn hears_settings(&self) {
        self.sender.life.hears().await;
    }

    /// Whether the upstream takes an extended CONNECT.
    pub fn takes_tunnels(&self) -> bool {
        self.sender.send.is_extended_connect_protocol_enabled()
    }

    /// Sends a request head, one that asks for an upgrade as an extended CONNECT (RFC 8441). Where the upstream
    /// takes none, it goes without the upgrade (RFC 9110 section 7.8).
    pub fn request(&mut self, head: &RequestHead, options: Request<'_>) -> io::Result<()> {
        if tunnel::protocol(head).is_some() && self.takes_tunnels() {
            self.tunnel = Tunnel::Asked;
        }
        let request =
            self.convert(head, options).ok_or_else(|| io::Error::other("not expressible in HTTP/2"))?;
        let length = match head.framing {
            Framing::Length(n) => Some(n),
            _ => None,
        };
        let ended = head.framing.is_empty() && self.tunnel == Tunnel::No;
        match self.sender.send.send_request(request, ended) {
            Ok((response, stream)) => {
                self.sent = true;
                self.response = Some(response);
                self.sending = Sending::new(stream, length, ended);
            }
            Err(e) => {
                // A GOAWAY, or worse: no request must find this connection in the pool again.
                self.sender.life.close();
                self.refused = Some(head_error(&e));
            }
        }
        Ok(())
    }

    /// Whether the connection took no stream: nothing was sent, and it says nothing about the endpoint.
    pub fn took_nothing(&self) -> bool {
        self.refused.is_some() && !self.sent
    }

    fn convert(&self, head: &RequestHead, options: Request<'_>) -> Option<HttpRequest<()>> {
        let mut request = HttpRequest::new(());
        let protocol = match self.tunnel {
            Tunnel::No => None,
            _ => tunnel::protocol(head),
        };
        let mut map = fields::to_map(head.iter());
        if let Some(protocol) = protocol {
            // RFC 8441 section 5: neither the key nor its answer has a place here.
            map.remove(http::header::SEC_WEBSOCKET_KEY);
            request.extensions_mut().insert(h2::ext::Protocol::from(protocol));
        }
        for (name, value) in options.extra {
            fields::append(&mut map, name.as_bytes(), value.as_bytes());
        }
        if let Framing::Length(n) = head.framing {
            map.insert(http::header::CONTENT_LENGTH, n.into());
        }
        if head.te_trailers {
            fields::append(&mut map, b"te", b"trailers");
        }
        *request.method_mut() = match protocol {
            Some(_) => Method::CONNECT,
            None => Method::from_bytes(head.method_name()).ok()?,
        };
        let path = options.path.unwrap_or_else(|| head.path_and_query());
        let path = http::uri::PathAndQuery::try_from(path)
            .or_else(|_| http::uri::PathAndQuery::try_from(&*encoded(path)))
            .ok()?;
        let uri = Uri::builder()
            .scheme(if self.sender.tls { "https" } else { "http" })
            .authority(options.host.unwrap_or_else(|| head.host()))
            .path_and_query(path)
            .build();
        *request.uri_mut() = uri.ok()?;
        *request.version_mut() = http::Version::HTTP_2;
        *request.headers_mut() = map;
        Some(request)
    }

    /// Takes request body.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.sending.poll_write(cx, data)
    }

    /// Ends the request. A request for a tunnel has no end before the tunnel's.
    pub fn finish(&mut self, trailers: Option<&Trailers>) -> io::Result<()> {
        if self.tunnel == Tunnel::Asked {
            return Ok(());
        }
        self.sending.finish(trailers)
    }

    /// `h2` sends by itself, all but what is held for its end.
    pub fn poll_flush(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.sending.flush())
    }

    /// Reads a response head, interim or final.
    pub fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        kind: RequestKind,
        head: &mut ResponseHead,
    ) -> Poll<Result<(), HeadError>> {
        let kind = RequestKind { upgrade: self.tunnel == Tunnel::Asked, ..kind };
        if let Some(refused) = self.refused {
            return Poll::Ready(Err(refused));
        }
        let Some(response) = &mut self.response else { return Poll::Ready(Err(HeadError::Reset)) };
        if let Poll::Ready(Some(Ok(interim))) = response.poll_informational(cx) {
            self.sender.life.heard(self.sender.wheel.now());
            let filled = fill(head, interim.status().as_u16(), interim.headers(), kind, false);
            return Poll::Ready(filled.map_err(HeadError::Malformed));
        }
        let answer = ready!(std::pin::Pin::new(response).poll(cx)).map_err(|e| head_error(&e))?;
        self.response = None;
        self.sender.life.heard(self.sender.wheel.now());
        let (parts, body) = answer.into_parts();
        let malformed = self.sender.malformed.clone();
        if malformed.is_head(body.stream_id().as_u32(), body.is_end_stream()) {
            return Poll::Ready(Err(HeadError::Malformed("a request's pseudo-header field in a response")));
        }
        let filled = fill(head, parts.status.as_u16(), &parts.headers, kind, body.is_end_stream());
        self.body = Receiving::new(body, malformed);
        Poll::Ready(filled.map_err(HeadError::Malformed))
    }

    /// Makes response body available.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<Fill, BodyError>> {
        let fill = self.body.poll_fill(cx);
        if fill.is_ready() {
            self.sender.life.heard(self.sender.wheel.now());
        }
        fill
    }

    /// The response body at hand.
    pub fn chunk(&self) -> &[u8] {
        self.body.chunk()
    }

    /// Marks response body as used.
    pub fn consume(&mut self, n: usize) {
        self.body.consume(n);
    }

    /// The response's trailers.
    pub fn trailers(&self) -> Option<&Trailers> {
        self.body.trailers()
    }

    /// From now on the stream's data is the tunnel's.
    pub fn start_tunnel(&mut self) {
        self.tunnel = Tunnel::Open;
    }

    /// Ends our direction of a tunnel.
    pub fn poll_close(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.sending.finish(None))
    }
}

fn fill(
    head: &mut ResponseHead,
    status: u16,
    fields: &http::HeaderMap,
    kind: RequestKind,
    ended: bool,
) -> Result<(), &'static str> {
    head.begin(status, Version::Http2).map_err(|e| e.reason())?;
    for (name, value) in fields {
        head.push(name.as_str().as_bytes(), value.as_bytes()).map_err(|e| e.reason())?;
    }
    if !head.is_interim() {
        head.finish_h2(kind, ended).map_err(|e| e.reason())?;
    }
    Ok(())
}

/// Octets that HTTP/1.1's parsers let pass and `http::Uri` does not, percent-encoded.
fn encoded(path: &[u8]) -> Vec<u8> {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = Vec::with_capacity(path.len() + 16);
    for &c in path {
        if matches!(c, b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}') || !c.is_ascii_graphic()
        {
            out.extend_from_slice(&[b'%', HEX[usize::from(c >> 4)], HEX[usize::from(c & 15)]]);
        } else {
            out.push(c);
        }
    }
    out
}

/// REFUSED_STREAM and a GOAWAY below the stream mean: not processed (RFC 9113 section 8.7).
fn head_error(error: &h2::Error) -> HeadError {
    let refused = error.reason() == Some(h2::Reason::REFUSED_STREAM)
        || (error.is_go_away() && error.is_remote() && error.reason() == Some(h2::Reason::NO_ERROR));
    if refused { HeadError::Refused } else { HeadError::Reset }
}
