//! A request to one of our own processes on loopback, now and then: no pool, a short deadline.

use std::{io, net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Well past what a healthy process on this machine needs, short enough not to hold up a view.
const DEADLINE: Duration = Duration::from_secs(1);
/// More than any admin page of a demo.
const MOST_BYTES: usize = 4 << 20;

/// The status and the whole body.
///
/// # Errors
/// No connection, no whole answer, or none within a second.
pub(crate) async fn fetch(method: Method, addr: SocketAddr, path: &str) -> io::Result<(StatusCode, Bytes)> {
    match tokio::time::timeout(DEADLINE, exchange(method, addr, path)).await {
        Ok(answer) => answer,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

async fn exchange(method: Method, addr: SocketAddr, path: &str) -> io::Result<(StatusCode, Bytes)> {
    let request = Request::builder().method(method).uri(path).header(header::HOST, addr.to_string());
    let request = request.body(Empty::<Bytes>::new()).map_err(io::Error::other)?;
    let stream = TcpStream::connect(addr).await?;
    let (mut sender, driver) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    tokio::spawn(driver);
    let response = sender.send_request(request).await.map_err(io::Error::other)?;
    let status = response.status();
    let body = Limited::new(response.into_body(), MOST_BYTES).collect().await.map_err(io::Error::other)?;
    Ok((status, body.to_bytes()))
}
