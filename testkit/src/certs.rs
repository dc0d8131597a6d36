//! A certificate authority that lives as long as a test.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};
use rustls::crypto::aws_lc_rs;
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, DEFAULT_VERSIONS, RootCertStore, ServerConfig, SupportedProtocolVersion};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

pub use rustls::SupportedProtocolVersion as Version;
pub use rustls::version::{TLS12, TLS13};

/// An authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    der: CertificateDer<'static>,
}

/// A certificate of an authority's, and its key.
pub struct Issued {
    /// The certificate in PEM.
    pub cert: String,
    /// The key in PEM (PKCS#8).
    pub key: String,
    der: CertificateDer<'static>,
    key_der: Vec<u8>,
}

impl Default for Authority {
    fn default() -> Self {
        Authority::new()
    }
}

impl Authority {
    /// A new one.
    pub fn new() -> Authority {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // A name of its own: by that a verifier finds the authority, and knows a strange one.
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name = format!("authority {}", COUNT.fetch_add(1, Relaxed));
        params.distinguished_name.push(DnType::CommonName, name);
        let cert = params.self_signed(&key).expect("signed");
        Authority { pem: cert.pem(), der: cert.der().clone(), issuer: Issuer::new(params, key) }
    }

    /// A certificate for these names: DNS names, addresses, or URIs such as SPIFFE IDs.
    pub fn issue(&self, names: &[&str]) -> Issued {
        let key = KeyPair::generate().expect("a key");
        let (uris, plain): (Vec<&str>, Vec<&str>) = names.iter().partition(|name| name.contains("://"));
        let plain: Vec<String> = plain.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(plain).expect("names");
        for uri in uris {
            params.subject_alt_names.push(SanType::URI(uri.try_into().expect("ASCII")));
        }
        let cert = params.signed_by(&key, &self.issuer).expect("signed");
        Issued {
            cert: cert.pem(),
            key: key.serialize_pem(),
            der: cert.der().clone(),
            key_der: key.serialize_der(),
        }
    }

    /// Writes the authority's own certificate.
    pub fn write(&self, path: &Path) -> PathBuf {
        fs::write(path, &self.pem).expect("written");
        path.to_owned()
    }

    /// The client's side, which trusts this authority alone and offers these protocols by ALPN.
    pub fn client(&self, alpn: &[&str]) -> Arc<ClientConfig> {
        self.client_as(None, DEFAULT_VERSIONS, alpn)
    }

    /// The same with a certificate of its own, where it has one, and in these versions of TLS.
    pub fn client_as(
        &self,
        who: Option<&Issued>,
        versions: &[&'static SupportedProtocolVersion],
        alpn: &[&str],
    ) -> Arc<ClientConfig> {
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let builder = builder.with_protocol_versions(versions).expect("versions");
        let builder = builder.with_root_certificates(self.roots());
        let mut config = match who {
            Some(who) => {
                builder.with_client_auth_cert(vec![who.der.clone()], who.private_key()).expect("a pair")
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Arc::new(config)
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).expect("an authority");
        roots
    }
}

impl Issued {
    /// Writes certificate and key as `NAME.pem` and `NAME-key.pem`.
    pub fn write(&self, folder: &Path, name: &str) -> (PathBuf, PathBuf) {
        let (cert, key) = (folder.join(format!("{name}.pem")), folder.join(format!("{name}-key.pem")));
        fs::write(&cert, &self.cert).expect("written");
        fs::write(&key, &self.key).expect("written");
        (cert, key)
    }

    /// The certificate itself.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(self.key_der.clone().into())
    }

    /// A server's side, which speaks these protocols by ALPN.
    pub fn server(&self, alpn: &[&str]) -> Arc<ServerConfig> {
        self.server_for(None, alpn)
    }

    /// The same for clients of an authority alone.
    pub fn server_for(&self, clients: Option<&Authority>, alpn: &[&str]) -> Arc<ServerConfig> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone());
        let builder = builder.with_safe_default_protocol_versions().expect("versions");
        let verifier = clients.map_or_else(WebPkiClientVerifier::no_client_auth, |clients| {
            let verifier = WebPkiClientVerifier::builder_with_provider(clients.roots().into(), provider);
            verifier.build().expect("an authority")
        });
        let config = builder.with_client_cert_verifier(verifier);
        let mut config = config.with_single_cert(vec![self.der.clone()], self.private_key()).expect("a pair");
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Arc::new(config)
    }
}
