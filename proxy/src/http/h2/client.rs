//! The upstream's side of HTTP/2: connections that many requests share, and one stream of them.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use causeway_proxy_http1::{Framing, RequestHead, RequestKind, ResponseHead, Trailers, Version};
use h2::client::{ResponseFuture, SendRequest};
use http::{Method, Request as HttpRequest, Uri};

use super::body::{Receiving, Sending};
use super::fields;
use super::io::gather;
use crate::http::buffer::BufferPool;
use crate::http::exchange::{BodyError, Fill, HeadError, Request};
use crate::http::stream::Stream;
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
    /// The connection's task ended.
    closed: Rc<Cell<bool>>,
    streams: Rc<Cell<usize>>,
    /// When the last stream ended, for closing idle connections.
    idle_since: Rc<Cell<u64>>,
    wheel: Rc<Wheel>,
}

/// Makes an HTTP/2 connection of a byte stream. A task of its own drives it and holds its permit.
pub async fn connect(
    stream: Stream,
    permit: ConnectionPermit,
    buffers: &BufferPool,
    wheel: Rc<Wheel>,
) -> Result<Sender, h2::Error> {
    let tls = stream.is_tls();
    let (io, driver) = gather(stream, buffers);
    let mut builder = h2::client::Builder::new();
    builder
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(SEND_BUFFER)
        .max_header_list_size(HEAD_BYTES)
        .enable_push(false);
    let (send, connection) = driver.run(builder.handshake::<_, Bytes>(io)).await?;
    let closed = Rc::new(Cell::new(false));
    let ended = closed.clone();
    wheel.spawn(async move {
        // Its error reaches every stream; nothing is left to say here.
        let _ = driver.run(connection).await;
        ended.set(true);
        drop(permit);
    });
    let idle_since = Rc::new(Cell::new(wheel.now().0));
    Ok(Sender { send, tls, closed, streams: Rc::default(), idle_since, wheel })
}

impl Sender {
    /// Whether the connection is over.
    pub fn is_closed(&self) -> bool {
        self.closed.get()
    }

    /// Whether the upstream allows another stream now.
    pub fn has_room(&self) -> bool {
        self.streams.get() < self.send.current_max_send_streams().min(STREAMS as usize)
    }

    /// Streams under way.
    pub fn streams(&self) -> usize {
        self.streams.get()
    }

    /// When the last stream ended, in ticks; meaningful at 0 streams.
    pub fn idle_since(&self) -> u64 {
        self.idle_since.get()
    }

    /// A stream for one request.
    pub fn stream(&self) -> ClientStream {
        self.streams.set(self.streams.get() + 1);
        ClientStream {
            sender: self.clone(),
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
    response: Option<ResponseFuture>,
    sending: Sending,
    body: Receiving,
    /// Why the head could not be sent; told when the answer is asked for.
    refused: Option<HeadError>,
    sent: bool,
}

impl Drop for ClientStream {
    fn drop(&mut self) {
        let streams = self.sender.streams.get() - 1;
        self.sender.streams.set(streams);
        self.sender.idle_since.set(self.sender.wheel.now().0);
        if !self.sending.ended() || !self.body.ended() || self.response.is_some() {
            self.sending.reset(h2::Reason::CANCEL);
        }
    }
}

impl ClientStream {
    /// Sends a request head.
    pub fn request(&mut self, head: &RequestHead, options: Request<'_>) -> io::Result<()> {
        let request =
            self.convert(head, options).ok_or_else(|| io::Error::other("not expressible in HTTP/2"))?;
        let length = match head.framing {
            Framing::Length(n) => Some(n),
            _ => None,
        };
        // An upgrade is HTTP/1.1's; towards HTTP/2 the request goes without it (RFC 9113 section 8.2.2).
        let ended = head.framing.is_empty();
        match self.sender.send.send_request(request, ended) {
            Ok((response, stream)) => {
                self.sent = true;
                self.response = Some(response);
                self.sending = Sending::new(stream, length, ended);
            }
            Err(e) => {
                // A GOAWAY, or worse: no request must find this connection in the pool again.
                self.sender.closed.set(true);
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
        let mut map = fields::to_map(head.iter());
        for (name, value) in options.extra {
            fields::append(&mut map, name.as_bytes(), value.as_bytes());
        }
        if let Framing::Length(n) = head.framing {
            map.insert(http::header::CONTENT_LENGTH, n.into());
        }
        if head.te_trailers {
            fields::append(&mut map, b"te", b"trailers");
        }
        *request.method_mut() = Method::from_bytes(head.method_name()).ok()?;
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

    /// Ends the request.
    pub fn finish(&mut self, trailers: Option<&Trailers>) -> io::Result<()> {
        self.sending.finish(trailers)
    }

    /// `h2` sends by itself.
    pub fn poll_flush(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Reads a response head, interim or final.
    pub fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        kind: RequestKind,
        head: &mut ResponseHead,
    ) -> Poll<Result<(), HeadError>> {
        let kind = RequestKind { upgrade: false, ..kind };
        if let Some(refused) = self.refused {
            return Poll::Ready(Err(refused));
        }
        let Some(response) = &mut self.response else { return Poll::Ready(Err(HeadError::Reset)) };
        if let Poll::Ready(Some(Ok(interim))) = response.poll_informational(cx) {
            let filled = fill(head, interim.status().as_u16(), interim.headers(), kind, false);
            return Poll::Ready(filled.map_err(HeadError::Malformed));
        }
        let answer = ready!(std::pin::Pin::new(response).poll(cx)).map_err(|e| head_error(&e))?;
        self.response = None;
        let (parts, body) = answer.into_parts();
        let filled = fill(head, parts.status.as_u16(), &parts.headers, kind, body.is_end_stream());
        self.body = Receiving::new(body);
        Poll::Ready(filled.map_err(HeadError::Malformed))
    }

    /// Makes response body available.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<Fill, BodyError>> {
        self.body.poll_fill(cx)
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

    /// A stream's data is plain bytes as it is.
    pub fn start_tunnel(&mut self) {}

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
