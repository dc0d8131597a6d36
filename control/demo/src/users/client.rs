//! One request of one user, over pooled keep-alive connections.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::Incoming,
    client::conn::http1::{SendRequest, handshake},
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::timeout_at};

use super::ledger::Outcome;

type Connection = SendRequest<Full<Bytes>>;

/// A client for one address.
pub(super) struct Client {
    target: SocketAddr,
    host: String,
    user_header: http::HeaderName,
    timeout: Duration,
    /// The latest used on top: a burst's connections then sink, idle, until the server closes them.
    idle: Mutex<Vec<Connection>>,
}

/// How one request went.
pub(super) struct Answer {
    pub outcome: Outcome,
    pub cluster: Option<String>,
    /// `Proxy-Status` of an error.
    pub reason: Option<String>,
    /// Sent again once because its idle connection had been closed by the other side.
    pub retried: bool,
    /// Connections opened for it.
    pub connections: u64,
}

impl Client {
    pub fn new(target: SocketAddr, host: String, user_header: http::HeaderName, timeout: Duration) -> Client {
        Client { target, host, user_header, timeout, idle: Mutex::default() }
    }

    /// Sends one request that was due at `due` and reads its whole answer.
    pub async fn send(&self, method: &Method, uri: &Uri, user: &str, due: tokio::time::Instant) -> Answer {
        let mut answer =
            Answer { outcome: Outcome::Timeout, cluster: None, reason: None, retried: false, connections: 0 };
        // When the time is up the future is dropped, and with it the connection: it cannot be used again.
        if let Ok(outcome) =
            timeout_at(due + self.timeout, self.exchange(method, uri, user, &mut answer)).await
        {
            answer.outcome = outcome.unwrap_or_else(|outcome| outcome);
        }
        answer
    }

    async fn exchange(
        &self,
        method: &Method,
        uri: &Uri,
        user: &str,
        answer: &mut Answer,
    ) -> Result<Outcome, Outcome> {
        let (mut connection, reused) = self.connection(answer).await?;
        let mut sent = connection.send_request(self.request(method, uri, user)).await;
        if let Err(error) = &sent
            && reused
            && stale(error, method)
        {
            answer.retried = true;
            connection = self.open(answer).await?;
            sent = connection.send_request(self.request(method, uri, user)).await;
        }
        let response = sent.map_err(|error| failure(&error, Outcome::Reset))?;
        let status = response.status().as_u16();
        answer.cluster = header_text(&response, "x-cluster");
        if status >= 500 {
            answer.reason = header_text(&response, "proxy-status");
        }
        let mut body = response.into_body();
        while let Some(frame) = body.frame().await {
            frame.map_err(|error| failure(&error, Outcome::Body))?;
        }
        if !connection.is_closed() {
            self.idle().push(connection);
        }
        Ok(Outcome::Status(status))
    }

    /// An idle connection (true) or a new one.
    async fn connection(&self, answer: &mut Answer) -> Result<(Connection, bool), Outcome> {
        loop {
            let Some(mut connection) = self.idle().pop() else { break };
            // Not ready: closed while it lay there. Nothing was sent, so that this is no retry.
            if connection.ready().await.is_ok() {
                return Ok((connection, true));
            }
        }
        Ok((self.open(answer).await?, false))
    }

    async fn open(&self, answer: &mut Answer) -> Result<Connection, Outcome> {
        let stream = TcpStream::connect(self.target).await.map_err(|_| Outcome::Connect)?;
        answer.connections += 1;
        let _ = stream.set_nodelay(true);
        let (sender, driver) = handshake(TokioIo::new(stream)).await.map_err(|_| Outcome::Connect)?;
        tokio::spawn(driver);
        Ok(sender)
    }

    fn request(&self, method: &Method, uri: &Uri, user: &str) -> Request<Full<Bytes>> {
        let body = if method.is_safe() { Bytes::new() } else { Bytes::from_static(b"{\"order\":1}") };
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method.clone();
        *request.uri_mut() = uri.clone();
        for (name, value) in [(header::HOST, self.host.as_str()), (self.user_header.clone(), user)] {
            if let Ok(value) = value.parse() {
                request.headers_mut().insert(name, value);
            }
        }
        request
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Shared by the tasks of a run.
pub(super) type SharedClient = Arc<Client>;

fn header_text(response: &Response<Incoming>, name: &str) -> Option<String> {
    response.headers().get(name)?.to_str().ok().map(str::to_owned)
}

/// Whether a request on a reused connection may be sent once more, as browsers do: hyper had not begun to
/// send it, or (RFC 9110, 9.2.2) the connection ended without an answer and the method is idempotent.
fn stale(error: &hyper::Error, method: &Method) -> bool {
    error.is_canceled() || (method.is_idempotent() && !error.is_parse() && !error.is_timeout())
}

fn failure(error: &hyper::Error, usual: Outcome) -> Outcome {
    if error.is_parse() { Outcome::Malformed } else { usual }
}
