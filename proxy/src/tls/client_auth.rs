//! Certificates of clients: which are taken, and how that is held through reloads and resumed sessions.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, UnixTime};

use super::pem::{self, Digest};
use super::provider;
use super::san::Names;

/// What a port asks of clients' certificates.
pub struct ClientAuth {
    verifier: Arc<Verifier>,
    roots: Digest,
    required: bool,
}

impl ClientAuth {
    /// Reads the authorities. `before` is used again if it asks for the same: sessions and connections that it let
    /// in are as good as new ones then.
    ///
    /// # Errors
    /// The file, and what is wrong with it.
    pub fn new(
        config: &causeway_config::ClientAuth,
        before: Option<&Arc<ClientAuth>>,
    ) -> Result<Arc<ClientAuth>, String> {
        let (store, roots) = pem::roots(&config.ca_file)?;
        let names = Names::new(config.subject_alt_names.clone());
        let same = |before: &&Arc<ClientAuth>| {
            (&before.verifier.names, before.roots, before.required) == (&names, roots, config.required)
        };
        if let Some(before) = before.filter(same) {
            return Ok(before.clone());
        }
        ClientAuth::of(store, roots, names, config.required)
            .map(Arc::new)
            .map_err(|e| format!("{}: {e}", config.ca_file.display()))
    }

    fn of(store: RootCertStore, roots: Digest, names: Names, required: bool) -> Result<ClientAuth, String> {
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(store), provider());
        let builder = if required { builder } else { builder.allow_unauthenticated() };
        let inner = builder.build().map_err(|e| e.to_string())?;
        Ok(ClientAuth { verifier: Arc::new(Verifier { inner, names }), roots, required })
    }

    /// For rustls.
    pub fn verifier(&self) -> Arc<dyn ClientCertVerifier> {
        self.verifier.clone()
    }

    /// Whether a client with this chain, which proved that the leaf is its own, is let in at `now`. An empty one
    /// is a client without a certificate.
    ///
    /// # Errors
    /// It is not, and why.
    pub fn admit(&self, chain: &[CertificateDer<'_>], now: UnixTime) -> Result<(), rustls::Error> {
        match chain {
            [leaf, intermediates @ ..] => {
                self.verifier.verify_client_cert(leaf, intermediates, now).map(|_| ())
            }
            [] if self.required => Err(rustls::Error::NoCertificatesPresented),
            [] => Ok(()),
        }
    }
}

/// Trusts a chain to the roots whose leaf carries one of the names, if there are any.
struct Verifier {
    inner: Arc<dyn ClientCertVerifier>,
    names: Names,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("names", &self.names).finish_non_exhaustive()
    }
}

impl ClientCertVerifier for Verifier {
    fn client_auth_mandatory(&self) -> bool {
        self.inner.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let verified = self.inner.verify_client_cert(end_entity, intermediates, now)?;
        if self.names.is_empty() || self.names.matches(end_entity) {
            return Ok(verified);
        }
        // rustls says `access_denied` to the client then: a good certificate, and not for this (RFC 8446 section 6.2).
        Err(CertificateError::ApplicationVerificationFailure.into())
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::date_time_ymd;

    use super::*;
    use crate::tls::testing::Authority;

    /// 2030-01-01.
    fn now() -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(1_893_456_000))
    }

    fn auth(authority: &Authority, required: bool, names: &[&str]) -> Arc<ClientAuth> {
        let dir = tempfile::tempdir().unwrap();
        let ca_file = dir.path().join("ca.pem");
        std::fs::write(&ca_file, &authority.pem).unwrap();
        let subject_alt_names = names.iter().map(|name| (*name).to_owned()).collect();
        let config = causeway_config::ClientAuth { ca_file, required, subject_alt_names };
        let first = ClientAuth::new(&config, None).unwrap();
        assert!(Arc::ptr_eq(&first, &ClientAuth::new(&config, Some(&first)).unwrap()), "the same is kept");
        let other = causeway_config::ClientAuth { required: !required, ..config };
        assert!(!Arc::ptr_eq(&first, &ClientAuth::new(&other, Some(&first)).unwrap()));
        first
    }

    #[test]
    fn a_client_is_let_in_by_its_authority_its_name_and_its_time() {
        let authority = Authority::new();
        let good = authority.issue(&["spiffe://td/web"], |_| {});
        let other = authority.issue(&["spiffe://td/other"], |_| {});
        let old =
            authority.issue(&["spiffe://td/web"], |params| params.not_after = date_time_ymd(2029, 12, 31));
        let foreign = Authority::new().issue(&["spiffe://td/web"], |_| {});
        let auth = auth(&authority, true, &["spiffe://td/web"]);
        let admit = |chain: &[CertificateDer<'static>]| auth.admit(chain, now()).map_err(|e| e.to_string());
        assert_eq!(admit(&[good]), Ok(()));
        for (what, chain, why) in [
            ("another name", vec![other], "ApplicationVerificationFailure"),
            ("expired", vec![old], "xpired"),
            ("another authority", vec![foreign], "UnknownIssuer"),
            ("nothing", vec![], "no certificates"),
        ] {
            let error = admit(&chain).unwrap_err();
            assert!(error.contains(why), "{what}: {error}");
        }
    }

    #[test]
    fn where_none_is_required_a_bad_one_is_refused_all_the_same() {
        let authority = Authority::new();
        let auth = auth(&authority, false, &["spiffe://td/web"]);
        assert!(auth.admit(&[], now()).is_ok());
        assert!(auth.admit(&[authority.issue(&["spiffe://td/other"], |_| {})], now()).is_err());
    }
}
