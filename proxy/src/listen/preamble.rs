//! What comes before the first byte of HTTP: the PROXY protocol's header, then TLS, each in its time.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::HandshakeKind;
use rustls_pki_types::UnixTime;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::proxy_protocol::{self, Addresses, Progress};
use crate::http::stream::Stream;
use crate::request::client::{Client, Proof};
use crate::telemetry::counters::ConnectionEnd;
use crate::timer::{Fired, Tag};
use crate::tls::identity::Identity;
use crate::tls::server::PortTls;
use crate::worker::Worker;

/// Enough for version 1, and for version 2 with what most senders add.
const USUAL_HEADER: usize = 256;

/// What a connection must go through before it is spoken to.
pub struct Preamble {
    /// A PROXY protocol header must come within this; `None` = none is expected.
    pub header_within: Option<Duration>,
    /// TLS, and how long its handshake may take.
    pub tls: Option<(Arc<PortTls>, Duration)>,
}

impl Preamble {
    /// Goes through it. `client` is what is known from the socket alone.
    ///
    /// # Errors
    /// The connection is over; the reason is to be counted if there is one.
    pub async fn pass(
        self,
        worker: &Worker,
        tcp: std::net::TcpStream,
        mut client: Client,
    ) -> Result<(Client, Stream), Option<ConnectionEnd>> {
        let mut tcp = TcpStream::from_std(tcp).map_err(|_| None)?;
        if let Some(within) = self.header_within
            && let Some(addresses) = announced(worker, &mut tcp, within).await?
        {
            client.is_really(addresses.source, addresses.destination);
        }
        let Some((tls, within)) = self.tls else { return Ok((client, Stream::Tcp(tcp.into()))) };
        let acceptor = TlsAcceptor::from(tls.config.clone());
        let timer = worker.wheel.timer();
        timer.set(Some(worker.now() + within));
        // Its place is there for others: who opens connections and shakes no hand must not take them all.
        timer.tag(Tag::Head);
        let accepted = timer.guard(acceptor.accept(tcp)).await.map_err(|fired| match fired {
            Fired::Evicted => ConnectionEnd::Evicted,
            _ => ConnectionEnd::TlsTimeout,
        });
        let stream = accepted.map_err(Some)?.map_err(|e| Some(refusal(&e)))?;
        let session = stream.get_ref().1;
        worker.counters().tls_handshakes.add(1);
        let resumed = session.handshake_kind() == Some(HandshakeKind::Resumed);
        if resumed {
            worker.counters().tls_resumed.add(1);
        }
        if let Some(auth) = &tls.client_auth {
            let chain = session.peer_certificates().unwrap_or_default();
            // rustls takes a resumed session for as good as it was when it began, hours ago.
            if resumed && auth.admit(chain, UnixTime::now()).is_err() {
                return Err(Some(ConnectionEnd::ClientCertInvalid));
            }
            let by = tls.certificates.own_uri(session.server_name());
            client.proof = Some(Box::new(Proof {
                identity: chain.first().map(|leaf| Identity::of(leaf, by)),
                chain: chain.to_vec(),
                admitted_by: auth.clone().into(),
            }));
        }
        Ok((client, Stream::Tls(Box::new(stream.into()))))
    }
}

/// Reads a PROXY protocol header and not a byte more: what follows is TLS's or HTTP's. Looked at first and taken
/// when it is known to be the header's, since nothing can be put back into a socket.
async fn announced(
    worker: &Worker,
    tcp: &mut TcpStream,
    within: Duration,
) -> Result<Option<Addresses>, Option<ConnectionEnd>> {
    let timer = worker.wheel.timer();
    timer.set(Some(worker.now() + within));
    // Silent so far: a drain need not wait for it.
    timer.tag(Tag::Idle);
    let wrong = || Some(ConnectionEnd::ProxyHeader);
    let work = async {
        let mut bytes = vec![0; USUAL_HEADER];
        let mut taken = 0;
        loop {
            let seen = match tcp.peek(&mut bytes[taken..]).await {
                Ok(n) if n > 0 => taken + n,
                // A connection that says nothing and goes is a balancer's way to see that the port is open.
                _ => return Err(if taken == 0 { None } else { wrong() }),
            };
            timer.tag(Tag::None);
            let (progress, end) = match proxy_protocol::parse(&bytes[..seen]).map_err(|_| wrong())? {
                Progress::Complete(header) => (Some(header.addresses), header.length),
                // All of it is the header's, or taking it would make no difference.
                Progress::Incomplete { at_least } => {
                    bytes.resize(bytes.len().max(at_least), 0);
                    (None, seen)
                }
            };
            tcp.read_exact(&mut bytes[taken..end]).await.map_err(|_| wrong())?;
            taken = end;
            if let Some(addresses) = progress {
                return Ok(addresses);
            }
        }
    };
    match timer.guard(work).await {
        Ok(read) => read,
        Err(Fired::Drain) => Err(None),
        Err(_) => Err(Some(ConnectionEnd::ProxyHeaderTimeout)),
    }
}

/// Why a handshake failed.
fn refusal(error: &io::Error) -> ConnectionEnd {
    use rustls::{CertificateError, Error};
    match error.get_ref().and_then(|error| error.downcast_ref::<Error>()) {
        Some(Error::NoCertificatesPresented) => ConnectionEnd::ClientCertMissing,
        Some(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure)) => {
            ConnectionEnd::ClientCertName
        }
        Some(Error::InvalidCertificate(_)) => ConnectionEnd::ClientCertInvalid,
        _ => ConnectionEnd::TlsFailed,
    }
}
