//! HTTP/2 streams as byte streams, and upstreams of HTTP/2 that do what a test says.

use std::net::SocketAddr;

use bytes::Bytes;
use causeway_testkit::ports::PortLease;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::Request;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Joins the two halves of a tunnel's stream.
pub fn joined(mut send: SendStream<Bytes>, mut receive: RecvStream) -> DuplexStream {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let (mut from_us, mut to_us) = tokio::io::split(far);
    tokio::spawn(async move {
        while let Some(Ok(bytes)) = receive.data().await {
            let _ = receive.flow_control().release_capacity(bytes.len());
            if to_us.write_all(&bytes).await.is_err() {
                return;
            }
        }
        let _ = to_us.shutdown().await;
    });
    tokio::spawn(async move {
        let mut bytes = vec![0; 16 * 1024];
        while let Ok(n) = from_us.read(&mut bytes).await {
            if send.send_data(Bytes::copy_from_slice(&bytes[..n]), n == 0).is_err() || n == 0 {
                return;
            }
        }
    });
    near
}

/// An upstream of HTTP/2 in cleartext.
pub struct Http2Upstream {
    lease: PortLease,
    accepting: JoinHandle<()>,
}

impl Http2Upstream {
    /// Starts one that serves each stream by `script`. `tunnels`: it takes extended CONNECT.
    pub async fn start<F>(
        tunnels: bool,
        script: impl Fn(Request<RecvStream>, SendResponse<Bytes>) -> F + Clone + Send + 'static,
    ) -> Http2Upstream
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let lease = PortLease::take();
        let listener = TcpListener::bind(lease.addr()).await.expect("a leased port can be bound");
        let accepting = tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                tokio::spawn(serve(tcp, tunnels, script.clone()));
            }
        });
        Http2Upstream { lease, accepting }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.lease.addr()
    }
}

impl Drop for Http2Upstream {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve<F>(
    tcp: TcpStream,
    tunnels: bool,
    script: impl Fn(Request<RecvStream>, SendResponse<Bytes>) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let mut builder = h2::server::Builder::new();
    if tunnels {
        builder.enable_connect_protocol();
    }
    let Ok(mut connection) = builder.handshake(tcp).await else { return };
    while let Some(Ok((request, respond))) = connection.accept().await {
        tokio::spawn(script(request, respond));
    }
}

/// A client's HTTP/2 connection in cleartext, and what drives it.
pub async fn http2(at: SocketAddr) -> h2::client::SendRequest<Bytes> {
    let tcp = TcpStream::connect(at).await.expect("a connection");
    let (client, connection) = h2::client::handshake(tcp).await.expect("HTTP/2");
    tokio::spawn(async move {
        // Its end is seen on the streams.
        let _ = connection.await;
    });
    client.ready().await.expect("ready")
}
