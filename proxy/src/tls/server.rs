//! A listener's side of TLS: certificates chosen by SNI, clients' certificates, sessions that are resumed.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;

use super::client_auth::ClientAuth;
use super::pem::Stamp;
use super::{pem, provider, san};

/// TLS of one port.
pub struct PortTls {
    /// rustls's settings, shared by all workers, and with them the keys of session tickets.
    pub config: Arc<ServerConfig>,
    /// What the settings choose from.
    pub certificates: Arc<Certificates>,
    /// What is asked of clients; `None` = nothing.
    pub client_auth: Option<Arc<ClientAuth>>,
    /// What all of it was made from. While that stands, it is used again.
    pub made_from: MadeFrom,
}

/// What a port's TLS is made from: hostname and settings of each listener, and the state of the files.
pub type MadeFrom = Vec<(Option<String>, causeway_config::ListenerTls, Vec<Stamp>)>;

/// The certificates of one port: by exact name, by wildcard parent, and the one for everybody else.
#[derive(Default)]
pub struct Certificates {
    exact: HashMap<String, Held>,
    wildcard: HashMap<String, Held>,
    fallback: Option<Held>,
}

/// One certificate with its key.
#[derive(Clone)]
struct Held {
    certified: Arc<CertifiedKey>,
    /// The first URI in it.
    uri: Option<Arc<str>>,
}

/// By hand: what is derived would go through to the keys.
impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.exact.len() + self.wildcard.len() + usize::from(self.fallback.is_some());
        write!(f, "Certificates({count})")
    }
}

impl Certificates {
    /// Adds a certificate for `hostname` (`a.example`, `*.example`); `None` = for every other name.
    pub fn add(&mut self, hostname: Option<&str>, cert: &Path, key: &Path) -> Result<(), String> {
        let chain = pem::certificates(cert)?;
        let uri = chain.first().and_then(san::first_uri).map(Arc::from);
        let key_der = pem::private_key(key)?;
        let certified = CertifiedKey::from_der(chain, key_der, &provider()).map_err(|e| {
            format!("{} and {} do not belong together or cannot be used: {e}", cert.display(), key.display())
        })?;
        let held = Held { certified: Arc::new(certified), uri };
        match hostname {
            None => self.fallback = Some(held),
            Some(name) => match name.strip_prefix("*.") {
                Some(parent) => drop(self.wildcard.insert(parent.to_ascii_lowercase(), held)),
                None => drop(self.exact.insert(name.to_ascii_lowercase(), held)),
            },
        }
        Ok(())
    }

    /// The URI in the certificate that was shown to a client that asked for `name`.
    pub fn own_uri(&self, name: Option<&str>) -> Option<&str> {
        self.find(name)?.uri.as_deref()
    }

    fn find(&self, name: Option<&str>) -> Option<&Held> {
        let Some(name) = name else { return self.fallback.as_ref() };
        if let Some(found) = self.exact.get(name) {
            return Some(found);
        }
        let mut rest = name;
        // The longest matching wildcard wins; `*.example` covers any depth below it (Gateway API, Hostname).
        while let Some((_, parent)) = rest.split_once('.') {
            if let Some(found) = self.wildcard.get(parent) {
                return Some(found);
            }
            rest = parent;
        }
        self.fallback.as_ref()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // rustls lower-cases the name. A name that nobody has ends the handshake with unrecognized_name.
        self.find(hello.server_name()).map(|held| held.certified.clone())
    }
}

/// A port's settings: TLS 1.2 and 1.3, HTTP/2 preferred by ALPN, tickets for resumption.
///
/// `before` are those of before, where clients are still asked for the same: its keys of tickets are kept then, so
/// that new certificates do not cost every client a whole handshake at once. Where clients are asked for something
/// else they must not be kept: a session that is resumed is as authenticated as it was when it began, and rustls
/// does not look whether that would do now.
pub fn config(
    certificates: Arc<Certificates>,
    client_auth: Option<&ClientAuth>,
    before: Option<&ServerConfig>,
) -> Result<Arc<ServerConfig>, String> {
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|e| format!("TLS versions: {e}"))?;
    let verifier = client_auth.map_or_else(WebPkiClientVerifier::no_client_auth, ClientAuth::verifier);
    let mut config = builder.with_client_cert_verifier(verifier).with_cert_resolver(certificates);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.send_tls13_tickets = 1;
    match before {
        Some(before) => {
            config.ticketer = before.ticketer.clone();
            config.session_storage = before.session_storage.clone();
        }
        None => {
            config.ticketer =
                rustls::crypto::aws_lc_rs::Ticketer::new().map_err(|e| format!("TLS tickets: {e}"))?;
        }
    }
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(dir: &Path, name: &str) -> (std::path::PathBuf, std::path::PathBuf) {
        let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
        let (cert, key) = (dir.join(format!("{name}.crt")), dir.join(format!("{name}.key")));
        std::fs::write(&cert, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        (cert, key)
    }

    #[test]
    fn sni_prefers_the_exact_name_then_the_longest_wildcard_then_the_fallback() {
        let dir = tempfile::tempdir().unwrap();
        let mut certs = Certificates::default();
        for (host, file) in
            [(Some("a.example"), "1"), (Some("*.example"), "2"), (Some("*.b.example"), "3"), (None, "4")]
        {
            let (cert, key) = pair(dir.path(), file);
            certs.add(host, &cert, &key).unwrap();
        }
        let which = |name: Option<&str>| certs.find(name).unwrap();
        let same = |a: &Held, b: &Held| Arc::ptr_eq(&a.certified, &b.certified);
        assert!(same(which(Some("a.example")), &certs.exact["a.example"]));
        assert!(same(which(Some("x.example")), &certs.wildcard["example"]));
        assert!(same(which(Some("x.y.example")), &certs.wildcard["example"]));
        assert!(same(which(Some("x.b.example")), &certs.wildcard["b.example"]));
        assert!(same(which(Some("example")), certs.fallback.as_ref().unwrap()));
        assert!(same(which(None), certs.fallback.as_ref().unwrap()));
    }

    #[test]
    fn a_key_of_another_certificate_is_refused_with_both_file_names() {
        let dir = tempfile::tempdir().unwrap();
        let (cert, _) = pair(dir.path(), "one");
        let (_, key) = pair(dir.path(), "two");
        let error = Certificates::default().add(None, &cert, &key).unwrap_err();
        assert!(error.contains("one.crt") && error.contains("two.key"), "{error}");
    }

    #[test]
    fn what_holds_a_key_shows_nothing_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let (cert, key) = pair(dir.path(), "one");
        let mut certs = Certificates::default();
        certs.add(Some("a.example"), &cert, &key).unwrap();
        let der = pem::private_key(&key).unwrap();
        let certs = Arc::new(certs);
        let shown = format!("{der:?} {certs:?} {:?}", config(certs.clone(), None, None).unwrap());
        for part in der.secret_der().windows(8) {
            let list = format!("{part:?}");
            assert!(!shown.contains(list.trim_matches(['[', ']'])), "{shown}");
        }
    }
}
