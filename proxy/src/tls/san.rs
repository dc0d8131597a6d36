//! Subject alternative names: what a certificate says it is for, and whether that is one of those we want.

use rustls_pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// Names of which a certificate must carry one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names(Vec<String>);

impl Names {
    /// From the configuration: DNS names, and URIs, of which a SPIFFE ID may end in `/*`.
    pub fn new(names: Vec<String>) -> Names {
        Names(names)
    }

    /// Nothing is asked for.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a certificate carries one of the names. One that cannot be read carries none.
    ///
    /// A SPIFFE ID counts only where it is the certificate's single URI: one with several must be refused as an
    /// identity (SPIFFE X509-SVID section 2), or an authority that signs a second one would make its holder both.
    pub fn matches(&self, leaf: &CertificateDer<'_>) -> bool {
        let Ok((_, cert)) = X509Certificate::from_der(leaf) else { return false };
        let Ok(Some(san)) = cert.subject_alternative_name() else { return false };
        let names = &san.value.general_names;
        let uris = names.iter().filter(|name| matches!(name, GeneralName::URI(_))).count();
        names.iter().any(|name| match name {
            GeneralName::DNSName(dns) => self.0.iter().any(|wanted| wanted.eq_ignore_ascii_case(dns)),
            GeneralName::URI(uri) => self.0.iter().any(|wanted| is_uri(wanted, uri, uris)),
            _ => false,
        })
    }
}

/// URIs compare byte by byte (SPIFFE-ID section 2.4); `/*` stands for one or more segments.
fn is_uri(wanted: &str, uri: &str, uris: usize) -> bool {
    if !wanted.starts_with("spiffe://") {
        return wanted == uri;
    }
    let found = match wanted.strip_suffix('*') {
        Some(folder) => uri.strip_prefix(folder).is_some_and(|below| !below.is_empty()),
        None => wanted == uri,
    };
    found && uris == 1
}

/// The first URI of a certificate, such as its SPIFFE ID.
pub fn first_uri(leaf: &CertificateDer<'_>) -> Option<String> {
    let (_, cert) = X509Certificate::from_der(leaf).ok()?;
    let san = cert.subject_alternative_name().ok()??;
    san.value.general_names.iter().find_map(|name| match name {
        GeneralName::URI(uri) => Some((*uri).to_owned()),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn carries(names: &[&str], wanted: &[&str]) -> bool {
        let cert = crate::tls::testing::self_signed(names);
        Names::new(wanted.iter().map(|name| (*name).to_owned()).collect()).matches(&cert)
    }

    #[test]
    fn a_name_is_matched_whole() {
        let cert = ["a.example", "spiffe://td/ns/prod/sa/web"];
        for (wanted, expected) in [
            ("a.example", true),
            ("A.Example", true),
            ("b.example", false),
            ("example", false),
            ("spiffe://td/ns/prod/sa/web", true),
            ("spiffe://td/ns/prod/sa/we", false),
            ("spiffe://td/ns/prod/sa/Web", false),
            ("spiffe://td/ns/prod/*", true),
            ("spiffe://td/*", true),
            ("spiffe://td/ns/prod/sa/web/*", false),
            ("spiffe://td/ns/pro/*", false),
            ("spiffe://t/*", false),
        ] {
            assert_eq!(carries(&cert, &[wanted]), expected, "{wanted}");
        }
        assert!(carries(&cert, &["b.example", "spiffe://td/*"]), "one of them is enough");
        assert!(!carries(&[], &["a.example"]), "without any");
    }

    #[test]
    fn a_certificate_of_two_uris_has_no_spiffe_id() {
        let two = ["spiffe://td/web", "spiffe://td/admin"];
        assert!(!carries(&two, &["spiffe://td/admin"]) && !carries(&two, &["spiffe://td/*"]));
        assert!(carries(&["spiffe://td/web", "https://a.example/x"], &["https://a.example/x"]));
    }
}
