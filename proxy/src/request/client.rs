//! Who the client is, and what it may say about itself.

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use causeway_config::ForwardingHeader;
use causeway_proxy_http1::{Known, RequestHead};
use rustls_pki_types::{CertificateDer, UnixTime};
use smallvec::SmallVec;

use super::forwarded;
use crate::listen::proxy_protocol::Addresses;
use crate::snapshot::{ClientLimits, PortKey};
use crate::tls::client_auth::ClientAuth;
use crate::tls::identity::Identity;

/// The connection that a request came by.
#[derive(Clone)]
pub struct Client {
    /// The port it came to.
    pub key: PortKey,
    /// The other end, as a PROXY protocol header says where one is expected.
    pub peer: SocketAddr,
    /// The other end's address as text, for X-Forwarded-For.
    pub peer_text: SmallVec<[u8; 40]>,
    /// Whether it came by TLS.
    pub tls: bool,
    /// What it connected to. Only asked for where an upstream is told.
    pub destination: Option<Box<SocketAddr>>,
    /// What it proved by a certificate, where one is asked for.
    pub proof: Option<Box<Proof>>,
}

/// What a client proved when its connection began.
#[derive(Clone)]
pub struct Proof {
    /// Who it is; `None` = it showed no certificate, and none is required.
    pub identity: Option<Identity>,
    /// Its certificates.
    pub chain: Vec<CertificateDer<'static>>,
    /// What let it in last.
    pub admitted_by: RefCell<Arc<ClientAuth>>,
}

/// What a request says of itself, as far as it is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claims {
    /// The user's address.
    pub address: IpAddr,
    /// It is a retry of another proxy.
    pub is_retry: bool,
    /// The time that the caller still waits.
    pub time_left: Option<Duration>,
}

impl Client {
    /// The client at the other end of a connection.
    pub fn new(key: PortKey, peer: SocketAddr, tls: bool) -> Client {
        let peer_text = text_of(peer.ip().to_canonical());
        Client { key, peer, peer_text, tls, destination: None, proof: None }
    }

    /// The connection came through a proxy below HTTP, which says whose it is.
    pub fn is_really(&mut self, peer: SocketAddr, destination: SocketAddr) {
        self.peer = peer;
        self.peer_text = text_of(peer.ip().to_canonical());
        if let Some(held) = &mut self.destination {
            **held = destination;
        }
    }

    /// Both ends of its connection.
    pub fn addresses(&self) -> Addresses {
        let destination = self.destination.as_deref().copied().unwrap_or(self.key.0);
        Addresses { source: self.peer, destination }
    }

    /// Who it proved to be.
    pub fn identity(&self) -> Option<&Identity> {
        self.proof.as_ref()?.identity.as_ref()
    }

    /// Whether the connection would be let in by what its port asks of clients now, which may have changed since
    /// it began: connections live for hours, and an authority that is not trusted any more is not trusted on those
    /// either. One look where nothing changed.
    pub fn is_admitted(&self, asked: &Arc<ClientAuth>) -> bool {
        let Some(proof) = &self.proof else { return asked.admit(&[], UnixTime::now()).is_ok() };
        if Arc::ptr_eq(&proof.admitted_by.borrow(), asked) {
            return true;
        }
        let admitted = asked.admit(&proof.chain, UnixTime::now()).is_ok();
        if admitted {
            *proof.admitted_by.borrow_mut() = asked.clone();
        }
        admitted
    }

    /// Reads what the request claims, and removes or rewrites the fields that carry claims, so that the upstream
    /// sees only what is true: with no trusted hops nothing is believed, and an X-Forwarded-For that a client made
    /// up is gone. Of the two headers that say the same the one that is not agreed upon is removed in any case: a
    /// proxy in front that does not know it passes on what the client wrote there.
    pub fn settle(&self, head: &mut RequestHead, limits: &ClientLimits) -> Claims {
        let mut claims = Claims { address: self.peer.ip(), is_retry: false, time_left: None };
        let hops = limits.trusted_hops;
        if hops > 0 {
            claims.is_retry = number(head.get(Known::XCausewayAttempt)).is_some_and(|attempt| attempt > 1);
            claims.time_left = number(head.get(Known::XRequestTimeout)).map(Duration::from_millis);
        }
        let told = match (limits.forwarding, hops) {
            (ForwardingHeader::Forwarded, _) => {
                remove(head, &X_FORWARDED);
                self.settle_forwarded(head, hops)
            }
            (ForwardingHeader::XForwardedFor, 0) => {
                remove(head, &X_FORWARDED);
                head.remove(Known::Forwarded);
                None
            }
            (ForwardingHeader::XForwardedFor, _) => {
                head.remove(Known::Forwarded);
                self.settle_x_forwarded_for(head, hops)
            }
        };
        if let Some(address) = told {
            claims.address = address;
        }
        head.remove(Known::XCausewayAttempt);
        head.remove(Known::XRequestTimeout);
        self.settle_certificate(head, hops);
        claims
    }

    /// Adds the peer to what trusted proxies wrote; gives the client's address by it.
    fn settle_x_forwarded_for(&self, head: &mut RequestHead, hops: u32) -> Option<IpAddr> {
        let told = forwarded_for(head, hops);
        // One field, not two lines: some upstreams read only the first.
        let before: Vec<&[u8]> = head.get_all(Known::XForwardedFor).collect();
        if !before.is_empty() {
            let joined = [before.join(&b", "[..]), self.peer_text.to_vec()].join(&b", "[..]);
            // Parsed values joined by commas are a valid value.
            let _ = head.set(b"X-Forwarded-For", &joined);
        }
        told
    }

    /// The same in `Forwarded`, which begins anew where nobody is trusted.
    fn settle_forwarded(&self, head: &mut RequestHead, hops: u32) -> Option<IpAddr> {
        let trusted = head.get_all(Known::Forwarded).filter(|_| hops > 0);
        let chain = forwarded::Chain::read(trusted);
        let told = chain.client(hops);
        let mut value = chain.lines.join(&b", "[..]);
        if !value.is_empty() {
            value.extend_from_slice(b", ");
        }
        forwarded::push_element(&mut value, &self.peer_text, head.host(), self.tls);
        drop(chain);
        // Values that were parsed, an address and a host, which was parsed as well.
        let _ = head.set(b"Forwarded", &value);
        told
    }

    /// `X-Forwarded-Client-Cert` says what this connection proved, and nothing that a client wrote there. A chain is
    /// kept only of a trusted hop that proved itself who it is: an address is no proof of that.
    fn settle_certificate(&self, head: &mut RequestHead, hops: u32) {
        let Some(identity) = self.identity() else { return head.remove(Known::XForwardedClientCert) };
        let before = head.get_all(Known::XForwardedClientCert).filter(|_| hops > 0);
        let all: Vec<&[u8]> = before.chain([&identity.forwarded[..]]).collect();
        let joined = all.join(&b","[..]);
        // Parsed values, and one of printable ASCII.
        let _ = head.set(b"X-Forwarded-Client-Cert", &joined);
    }
}

/// What `Forwarded` says in one.
const X_FORWARDED: [Known; 5] = [
    Known::XForwardedFor,
    Known::XForwardedProto,
    Known::XForwardedHost,
    Known::XForwardedPort,
    Known::XRealIp,
];

fn remove(head: &mut RequestHead, names: &[Known]) {
    names.iter().for_each(|name| head.remove(*name));
}

/// An address as text. IPv4 by hand: `Display` costs 1,300 instructions, a third of accepting a connection.
fn text_of(address: IpAddr) -> SmallVec<[u8; 40]> {
    let mut text = SmallVec::new();
    match address {
        IpAddr::V4(v4) => {
            for (i, octet) in v4.octets().into_iter().enumerate() {
                if i > 0 {
                    text.push(b'.');
                }
                text.extend_from_slice(itoa::Buffer::new().format(octet).as_bytes());
            }
        }
        IpAddr::V6(v6) => text.extend_from_slice(v6.to_string().as_bytes()),
    }
    text
}

/// The address that the outermost trusted proxy saw: `hops` entries from the right, our peer being the first hop.
fn forwarded_for(head: &RequestHead, hops: u32) -> Option<IpAddr> {
    let lines: Vec<&[u8]> = head.get_all(Known::XForwardedFor).collect();
    let mut entries = lines.iter().rev().flat_map(|line| line.rsplit(|&b| b == b','));
    let entry = entries.nth(hops as usize - 1)?;
    parse_address(std::str::from_utf8(entry.trim_ascii()).ok()?)
}

/// An address, perhaps with a port or in brackets.
fn parse_address(text: &str) -> Option<IpAddr> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address);
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(address.ip());
    }
    text.strip_prefix('[')?.strip_suffix(']')?.parse().ok()
}

fn number(value: Option<&[u8]>) -> Option<u64> {
    std::str::from_utf8(value?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use causeway_proxy_http1::{Limits, parse_request};

    fn head(fields: &str) -> RequestHead {
        let mut head = RequestHead::default();
        let text = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        parse_request(text.as_bytes(), &Limits::default(), &mut 0, &mut head).unwrap().unwrap();
        head
    }

    fn trusting(hops: u32) -> ClientLimits {
        ClientLimits { trusted_hops: hops, ..ClientLimits::default() }
    }

    fn speaking_forwarded(hops: u32) -> ClientLimits {
        ClientLimits { forwarding: ForwardingHeader::Forwarded, ..trusting(hops) }
    }

    fn client() -> Client {
        let local = SocketAddr::from(([127, 0, 0, 1], 80));
        Client::new(PortKey(local), SocketAddr::from(([192, 0, 2, 9], 4000)), false)
    }

    #[test]
    fn nothing_is_believed_of_an_untrusted_client() {
        let mut head = head("X-Forwarded-For: 1.2.3.4\r\nX-Causeway-Attempt: 3\r\nX-Request-Timeout: 1\r\n");
        let claims = client().settle(&mut head, &trusting(0));
        assert_eq!(claims, Claims { address: client().peer.ip(), is_retry: false, time_left: None });
        assert_eq!(head.get(Known::XForwardedFor), None);
        assert_eq!(head.get(Known::XCausewayAttempt), None);
    }

    #[test]
    fn trusted_hops_count_from_the_right_so_a_forged_prefix_is_never_reached() {
        let fields = "X-Forwarded-For: 6.6.6.6, 10.0.0.7\r\nX-Forwarded-For: 10.0.0.8\r\n";
        assert_eq!(client().settle(&mut head(fields), &trusting(1)).address, IpAddr::from([10, 0, 0, 8]));
        assert_eq!(client().settle(&mut head(fields), &trusting(2)).address, IpAddr::from([10, 0, 0, 7]));
        assert_eq!(client().settle(&mut head(fields), &trusting(9)).address, client().peer.ip());
    }

    #[test]
    fn a_trusted_chain_is_passed_on_in_one_field() {
        let mut head = head("X-Forwarded-For: 10.0.0.7\r\nX-Forwarded-For: 10.0.0.8\r\n");
        client().settle(&mut head, &trusting(2));
        let all: Vec<&[u8]> = head.get_all(Known::XForwardedFor).collect();
        assert_eq!(all, [b"10.0.0.7, 10.0.0.8, 192.0.2.9"]);
    }

    #[test]
    fn a_trusted_retry_and_its_deadline_are_believed() {
        let claims =
            client().settle(&mut head("X-Causeway-Attempt: 2\r\nX-Request-Timeout: 1500\r\n"), &trusting(1));
        assert!(claims.is_retry);
        assert_eq!(claims.time_left, Some(Duration::from_millis(1500)));
    }

    #[test]
    fn forwarded_is_written_and_read_where_it_is_agreed_upon_and_removed_where_it_is_not() {
        let fields = "Forwarded: for=6.6.6.6, for=10.0.0.8;proto=https\r\nX-Forwarded-For: 7.7.7.7\r\n";
        let mut untrusted = head(fields);
        assert_eq!(client().settle(&mut untrusted, &speaking_forwarded(0)).address, client().peer.ip());
        let ours = "for=192.0.2.9;host=a;proto=http";
        assert_eq!(untrusted.get(Known::Forwarded), Some(ours.as_bytes()));
        assert_eq!(untrusted.get(Known::XForwardedFor), None);

        let mut trusted = head(fields);
        assert_eq!(
            client().settle(&mut trusted, &speaking_forwarded(1)).address,
            IpAddr::from([10, 0, 0, 8])
        );
        let chain = format!("for=6.6.6.6, for=10.0.0.8;proto=https, {ours}");
        assert_eq!(trusted.get(Known::Forwarded), Some(chain.as_bytes()));
        assert_eq!(
            client().settle(&mut head(fields), &speaking_forwarded(2)).address,
            IpAddr::from([6, 6, 6, 6])
        );
        assert_eq!(client().settle(&mut head(fields), &speaking_forwarded(3)).address, client().peer.ip());

        // A balancer that knows X-Forwarded-For alone passes on what the client wrote in the other.
        let mut other = head(fields);
        assert_eq!(client().settle(&mut other, &trusting(1)).address, IpAddr::from([7, 7, 7, 7]));
        assert_eq!(other.get(Known::Forwarded), None);
    }

    #[test]
    fn a_certificate_is_what_the_connection_proved_and_not_what_a_client_says() {
        let fields = "X-Forwarded-Client-Cert: URI=spiffe://td/admin\r\n";
        for hops in [0, 1] {
            let mut forged = head(fields);
            client().settle(&mut forged, &trusting(hops));
            assert_eq!(forged.get(Known::XForwardedClientCert), None, "{hops} hops");
        }
        let authority = crate::tls::testing::Authority::new();
        let asked = |required| {
            let dir = tempfile::tempdir().unwrap();
            let ca_file = dir.path().join("ca.pem");
            std::fs::write(&ca_file, &authority.pem).unwrap();
            let config = causeway_config::ClientAuth { ca_file, required, subject_alt_names: Vec::new() };
            ClientAuth::new(&config, None).unwrap()
        };
        let leaf = authority.issue(&["spiffe://td/web"], |_| {});
        let mut proven = client();
        proven.proof = Some(Box::new(Proof {
            identity: Some(Identity::of(&leaf, None)),
            chain: vec![leaf],
            admitted_by: asked(true).into(),
        }));
        for (hops, expected) in [(0, "Hash="), (1, "URI=spiffe://td/admin,Hash=")] {
            let mut head = head(fields);
            proven.settle(&mut head, &trusting(hops));
            let value = String::from_utf8_lossy(head.get(Known::XForwardedClientCert).unwrap()).into_owned();
            assert!(value.starts_with(expected) && value.ends_with(";URI=spiffe://td/web"), "{value}");
        }
        assert!(proven.is_admitted(&asked(true)) && client().is_admitted(&asked(false)));
        assert!(!client().is_admitted(&asked(true)));
        let stranger = crate::tls::testing::Authority::new().issue(&["spiffe://td/web"], |_| {});
        proven.proof.as_mut().unwrap().chain = vec![stranger];
        assert!(!proven.is_admitted(&asked(false)), "an authority that is not trusted any more");
    }
}
