//! Proper clients: HTTP/1.1 and HTTP/2, in cleartext and over TLS, by hyper.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{ClientConfig, HandshakeKind};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// For one whole answer, unless a test says otherwise: longer than any of the proxy's own timeouts.
const PATIENCE: Duration = Duration::from_secs(40);

/// Why there is no answer.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// What requests carry.
pub type Body = UnsyncBoxBody<Bytes, Error>;

/// Nothing.
pub fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// Bytes of a known length.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// What it was sent in.
    pub version: Version,
    /// Its fields.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
    /// Its trailers.
    pub trailers: Option<HeaderMap>,
}

impl Answer {
    /// A field's text; empty if it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// Reads an answer to its end.
    ///
    /// # Errors
    /// It breaks off.
    pub async fn collect(response: Response<Incoming>) -> Result<Answer, Error> {
        let (head, body) = response.into_parts();
        let collected = body.collect().await?;
        let trailers = collected.trailers().cloned();
        let (status, version) = (StatusCode::as_u16(&head.status), head.version);
        Ok(Answer { status, version, headers: head.headers, body: collected.to_bytes(), trailers })
    }
}

enum Sender {
    Http1(http1::SendRequest<Body>),
    Http2(http2::SendRequest<Body>),
}

/// One connection.
pub struct Client {
    sender: Sender,
    scheme: &'static str,
    authority: String,
}

impl Client {
    /// HTTP/1.1 in cleartext.
    ///
    /// # Errors
    /// No connection.
    pub async fn http1(addr: SocketAddr) -> Result<Client, Error> {
        let sender = handshake1(tcp(addr).await?).await?;
        Ok(Client { sender, scheme: "http", authority: addr.to_string() })
    }

    /// The same behind bytes that come before it, such as a PROXY protocol header.
    ///
    /// # Errors
    /// No connection.
    pub async fn http1_behind(addr: SocketAddr, first: &[u8]) -> Result<Client, Error> {
        let sender = handshake1(tcp_behind(addr, first).await?).await?;
        Ok(Client { sender, scheme: "http", authority: addr.to_string() })
    }

    /// HTTP/2 in cleartext, with prior knowledge.
    ///
    /// # Errors
    /// No connection.
    pub async fn http2(addr: SocketAddr) -> Result<Client, Error> {
        Client::http2_behind(addr, &[]).await
    }

    /// The same behind bytes that come before it.
    ///
    /// # Errors
    /// No connection.
    pub async fn http2_behind(addr: SocketAddr, first: &[u8]) -> Result<Client, Error> {
        let sender = handshake2(tcp_behind(addr, first).await?).await?;
        Ok(Client { sender, scheme: "http", authority: addr.to_string() })
    }

    /// Whatever ALPN agrees on.
    ///
    /// # Errors
    /// No connection, or no TLS.
    pub async fn tls(addr: SocketAddr, config: Arc<ClientConfig>, name: &str) -> Result<Client, Error> {
        Client::tls_behind(addr, &[], config, name).await
    }

    /// The same behind bytes that come before it.
    ///
    /// # Errors
    /// No connection, or no TLS.
    pub async fn tls_behind(
        addr: SocketAddr,
        first: &[u8],
        config: Arc<ClientConfig>,
        name: &str,
    ) -> Result<Client, Error> {
        let server = ServerName::try_from(name.to_owned())?;
        let stream = TlsConnector::from(config).connect(server, tcp_behind(addr, first).await?).await?;
        let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let sender = if http2 { handshake2(stream).await? } else { handshake1(stream).await? };
        Ok(Client { sender, scheme: "https", authority: format!("{name}:{}", addr.port()) })
    }

    /// A request to be sent here.
    ///
    /// # Panics
    /// At what is no path or no field.
    pub fn request(&self, method: Method, path: &str, fields: &[(&str, &str)], body: Body) -> Request<Body> {
        let uri = match self.sender {
            Sender::Http1(_) => path.to_owned(),
            Sender::Http2(_) => format!("{}://{}{path}", self.scheme, self.authority),
        };
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = uri.parse().expect("a path");
        if matches!(self.sender, Sender::Http1(_)) {
            let host = HeaderValue::from_str(&self.authority).expect("a host");
            request.headers_mut().insert(http::header::HOST, host);
        }
        for (name, value) in fields {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
            request.headers_mut().append(name, HeaderValue::from_str(value).expect("a value"));
        }
        request
    }

    /// Sends a request and waits for the answer's head.
    ///
    /// # Errors
    /// There is none.
    pub async fn send(&mut self, request: Request<Body>) -> Result<Response<Incoming>, Error> {
        let sent = async {
            match &mut self.sender {
                Sender::Http1(sender) => {
                    sender.ready().await?;
                    sender.send_request(request).await
                }
                Sender::Http2(sender) => {
                    sender.ready().await?;
                    sender.send_request(request).await
                }
            }
        };
        Ok(tokio::time::timeout(PATIENCE, sent).await??)
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Errors
    /// There is none, or it breaks off.
    pub async fn call(
        &mut self,
        method: Method,
        path: &str,
        fields: &[(&str, &str)],
        body: Body,
    ) -> Result<Answer, Error> {
        let request = self.request(method, path, fields, body);
        let response = self.send(request).await?;
        tokio::time::timeout(PATIENCE, Answer::collect(response)).await?
    }

    /// The same for GET.
    ///
    /// # Errors
    /// There is no whole answer.
    pub async fn get(&mut self, path: &str, fields: &[(&str, &str)]) -> Result<Answer, Error> {
        self.call(Method::GET, path, fields, empty()).await
    }

    /// Whether the connection takes another request.
    pub async fn is_open(&mut self) -> bool {
        match &mut self.sender {
            Sender::Http1(sender) => sender.ready().await.is_ok(),
            Sender::Http2(sender) => sender.ready().await.is_ok(),
        }
    }

    /// For several streams at once on an HTTP/2 connection.
    ///
    /// # Panics
    /// On an HTTP/1.1 connection, which has no such thing.
    pub fn share(&self) -> Client {
        let Sender::Http2(sender) = &self.sender else { panic!("HTTP/1.1 takes one request at a time") };
        Client {
            sender: Sender::Http2(sender.clone()),
            scheme: self.scheme,
            authority: self.authority.clone(),
        }
    }
}

async fn tcp(addr: SocketAddr) -> Result<TcpStream, Error> {
    let stream = tokio::time::timeout(PATIENCE, TcpStream::connect(addr)).await??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn tcp_behind(addr: SocketAddr, first: &[u8]) -> Result<TcpStream, Error> {
    let mut stream = tcp(addr).await?;
    stream.write_all(first).await?;
    Ok(stream)
}

/// What came of one request by TLS on a connection of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Visit {
    /// The status of the answer.
    pub status: u16,
    /// The handshake resumed a session.
    pub resumed: bool,
}

/// GET / by HTTP/1.1 on a new TLS connection, which is read to its end: only then have the tickets of TLS 1.3
/// come, and the alerts of those who refuse us.
///
/// # Errors
/// No connection, no TLS, no answer: with the alert, if there was one.
pub async fn visit(addr: SocketAddr, config: &Arc<ClientConfig>, name: &str) -> Result<Visit, Error> {
    let server = ServerName::try_from(name.to_owned())?;
    let visit = async {
        let mut stream = TlsConnector::from(config.clone()).connect(server, tcp(addr).await?).await?;
        let request = format!("GET / HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n");
        let written = stream.write_all(request.as_bytes()).await;
        let mut answer = Vec::new();
        // First what is to be read: a server that refused us has sent an alert before it closed.
        stream.read_to_end(&mut answer).await?;
        written?;
        let status = answer.get(9..12).and_then(|code| std::str::from_utf8(code).ok()?.parse().ok());
        let resumed = stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed);
        Ok(Visit { status: status.ok_or("no answer")?, resumed })
    };
    tokio::time::timeout(PATIENCE, visit).await?
}

async fn handshake1(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Result<Sender, Error> {
    let (sender, driver) = http1::handshake(TokioIo::new(stream)).await?;
    // What ends the connection is seen by whoever waits for an answer on it.
    tokio::spawn(driver.with_upgrades());
    Ok(Sender::Http1(sender))
}

async fn handshake2(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Result<Sender, Error> {
    let (sender, driver) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    tokio::spawn(driver);
    Ok(Sender::Http2(sender))
}

/// One HTTP/1.1 request without a body, on a connection of its own.
///
/// # Errors
/// No connection, or no whole answer.
pub async fn fetch(
    addr: SocketAddr,
    method: Method,
    path: &str,
    fields: &[(&str, &str)],
) -> Result<Answer, Error> {
    Client::http1(addr).await?.call(method, path, fields, empty()).await
}

/// The same for GET, by a user.
///
/// # Panics
/// When there is no whole answer.
pub async fn get_as(addr: SocketAddr, user: &str, path: &str) -> Answer {
    let answer = fetch(addr, Method::GET, path, &[("x-user-id", user)]).await;
    answer.unwrap_or_else(|error| panic!("GET {path} as {user}: {error}"))
}
