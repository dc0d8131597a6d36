//! TLS towards an upstream: its own CA, a name or a list of subject alternative names, a client certificate.

use std::sync::Arc;

use causeway_config::UpstreamTls;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::pem::Digest;
use super::san::Names;
use super::{pem, provider};

/// Which protocols to offer an upstream by ALPN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// `http/1.1` alone.
    Http1,
    /// `h2` alone.
    Http2,
    /// Both, HTTP/2 preferred.
    Both,
}

impl Offer {
    fn alpn(self) -> Vec<Vec<u8>> {
        match self {
            Offer::Http1 => vec![b"http/1.1".to_vec()],
            Offer::Http2 => vec![b"h2".to_vec()],
            Offer::Both => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        }
    }
}

/// Builds the client side for one cluster, and says by a digest which roots it trusts. Without `caFile` they are
/// Mozilla's.
pub fn config(tls: &UpstreamTls, offer: Offer) -> Result<(Arc<ClientConfig>, Digest), String> {
    let (roots, digest) = match &tls.ca_file {
        Some(path) => pem::roots(path)?,
        None => (webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect(), Digest::default()),
    };
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|e| format!("TLS versions: {e}"))?;
    let builder = if tls.subject_alt_names.is_empty() {
        builder.with_root_certificates(roots)
    } else {
        let verifier = SanVerifier::new(roots, Names::new(tls.subject_alt_names.clone()))?;
        builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
    };
    let mut config = match (&tls.cert_file, &tls.key_file) {
        (Some(cert), Some(key)) => builder
            .with_client_auth_cert(pem::certificates(cert)?, pem::private_key(key)?)
            .map_err(|e| format!("{} and {}: {e}", cert.display(), key.display()))?,
        _ => builder.with_no_client_auth(),
    };
    config.alpn_protocols = offer.alpn();
    Ok((Arc::new(config), digest))
}

/// The same settings with another offer.
pub fn offering(config: &ClientConfig, offer: Offer) -> Arc<ClientConfig> {
    let mut config = config.clone();
    config.alpn_protocols = offer.alpn();
    Arc::new(config)
}

/// Trusts a chain to our roots whose leaf carries one of the listed subject alternative names, whatever host
/// was dialled: the identity of a workload is its SPIFFE ID or service name, not the address of a pod.
#[derive(Debug)]
struct SanVerifier {
    roots: Arc<RootCertStore>,
    inner: Arc<WebPkiServerVerifier>,
    provider: Arc<CryptoProvider>,
    names: Names,
}

impl SanVerifier {
    fn new(roots: RootCertStore, names: Names) -> Result<SanVerifier, String> {
        let roots = Arc::new(roots);
        let inner = WebPkiServerVerifier::builder_with_provider(roots.clone(), provider())
            .build()
            .map_err(|e| format!("caFile: {e}"))?;
        Ok(SanVerifier { roots, inner, provider: provider(), names })
    }
}

impl ServerCertVerifier for SanVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let parsed = ParsedCertificate::try_from(end_entity)?;
        rustls::client::verify_server_cert_signed_by_trust_anchor(
            &parsed,
            &self.roots,
            intermediates,
            now,
            self.provider.signature_verification_algorithms.all,
        )?;
        if self.names.matches(end_entity) {
            return Ok(ServerCertVerified::assertion());
        }
        Err(rustls::Error::InvalidCertificate(rustls::CertificateError::NotValidForName))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
