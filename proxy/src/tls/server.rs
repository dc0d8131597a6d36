//! Certificates of a listener, chosen by SNI.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::{pem, provider};

/// The certificates of one port: by exact name, by wildcard parent, and the one for everybody else.
#[derive(Debug, Default)]
pub struct Certificates {
    exact: HashMap<String, Arc<CertifiedKey>>,
    wildcard: HashMap<String, Arc<CertifiedKey>>,
    fallback: Option<Arc<CertifiedKey>>,
}

impl Certificates {
    /// Adds a certificate for `hostname` (`a.example`, `*.example`); `None` = for every other name.
    pub fn add(&mut self, hostname: Option<&str>, cert: &Path, key: &Path) -> Result<(), String> {
        let chain = pem::certificates(cert)?;
        let key_der = pem::private_key(key)?;
        let certified = CertifiedKey::from_der(chain, key_der, &provider()).map_err(|e| {
            format!("{} and {} do not belong together or cannot be used: {e}", cert.display(), key.display())
        })?;
        let certified = Arc::new(certified);
        match hostname {
            None => self.fallback = Some(certified),
            Some(name) => match name.strip_prefix("*.") {
                Some(parent) => drop(self.wildcard.insert(parent.to_ascii_lowercase(), certified)),
                None => drop(self.exact.insert(name.to_ascii_lowercase(), certified)),
            },
        }
        Ok(())
    }

    fn find(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let Some(name) = name else { return self.fallback.clone() };
        if let Some(found) = self.exact.get(name) {
            return Some(found.clone());
        }
        let mut rest = name;
        // The longest matching wildcard wins; `*.example` covers any depth below it (Gateway API, Hostname).
        while let Some((_, parent)) = rest.split_once('.') {
            if let Some(found) = self.wildcard.get(parent) {
                return Some(found.clone());
            }
            rest = parent;
        }
        self.fallback.clone()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // rustls lower-cases the name. A name that nobody has ends the handshake with unrecognized_name.
        self.find(hello.server_name())
    }
}

/// A listener's TLS settings: TLS 1.2 and 1.3, HTTP/2 preferred by ALPN, tickets for resumption.
pub fn config(certificates: Certificates) -> Result<Arc<ServerConfig>, String> {
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|e| format!("TLS versions: {e}"))?;
    let mut config = builder.with_no_client_auth().with_cert_resolver(Arc::new(certificates));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().map_err(|e| format!("TLS tickets: {e}"))?;
    config.send_tls13_tickets = 1;
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
        let same = |a: &Arc<CertifiedKey>, b: &Arc<CertifiedKey>| Arc::ptr_eq(a, b);
        assert!(same(&which(Some("a.example")), &certs.exact["a.example"]));
        assert!(same(&which(Some("x.example")), &certs.wildcard["example"]));
        assert!(same(&which(Some("x.y.example")), &certs.wildcard["example"]));
        assert!(same(&which(Some("x.b.example")), &certs.wildcard["b.example"]));
        assert!(same(&which(Some("example")), certs.fallback.as_ref().unwrap()));
        assert!(same(&which(None), certs.fallback.as_ref().unwrap()));
    }

    #[test]
    fn a_key_of_another_certificate_is_refused_with_both_file_names() {
        let dir = tempfile::tempdir().unwrap();
        let (cert, _) = pair(dir.path(), "one");
        let (_, key) = pair(dir.path(), "two");
        let error = Certificates::default().add(None, &cert, &key).unwrap_err();
        assert!(error.contains("one.crt") && error.contains("two.key"), "{error}");
    }
}
