//! Who a client is by its verified certificate: a name for people, and the value of `X-Forwarded-Client-Cert` for
//! upstreams, in Envoy's format (`By`, `Hash`, `Subject`, `URI`, `DNS`), which is the one that programs read.

use std::fmt::Write;
use std::sync::Arc;

use rustls_pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

/// A client that proved who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The certificate's first URI (its SPIFFE ID, where it has one), else its first DNS name, else its subject,
    /// else its hash.
    pub name: Arc<str>,
    /// One element of `X-Forwarded-Client-Cert`.
    pub forwarded: Box<[u8]>,
}

impl Identity {
    /// Of a verified leaf. `by` is the URI of our own certificate, if it has one.
    pub fn of(leaf: &CertificateDer<'_>, by: Option<&str>) -> Identity {
        let hash = Sha256::digest(leaf).iter().fold(String::with_capacity(64), |mut hash, byte| {
            // Writing to memory does not fail, here and below.
            let _ = write!(hash, "{byte:02x}");
            hash
        });
        let (subject, uris, names) = parts(leaf).unwrap_or_default();
        let mut out = String::new();
        if let Some(by) = by {
            let _ = write!(out, "By={};", quoted(by));
        }
        let _ = write!(out, "Hash={hash}");
        if !subject.is_empty() {
            let _ = write!(out, ";Subject=\"{subject}\"");
        }
        for (key, values) in [("URI", &uris), ("DNS", &names)] {
            for value in values {
                let _ = write!(out, ";{key}={}", quoted(value));
            }
        }
        let named = uris.into_iter().chain(names).next();
        let name = named.unwrap_or(if subject.is_empty() { hash } else { subject });
        Identity { name: name.into(), forwarded: out.into_bytes().into() }
    }
}

type Parts = (String, Vec<String>, Vec<String>);

/// Subject, URIs and DNS names. What cannot be parsed here was parsed by the verifier, and says nothing then.
fn parts(leaf: &CertificateDer<'_>) -> Option<Parts> {
    let (_, cert) = X509Certificate::from_der(leaf).ok()?;
    let (mut uris, mut names) = (Vec::new(), Vec::new());
    if let Ok(Some(san)) = cert.subject_alternative_name() {
        for name in &san.value.general_names {
            match name {
                GeneralName::URI(uri) => uris.push((*uri).to_owned()),
                GeneralName::DNSName(dns) => names.push((*dns).to_owned()),
                _ => {}
            }
        }
    }
    Some((subject(cert.subject()), uris, names))
}

/// A value of an element: quoted where something in it could be taken for the header's own structure. An authority
/// that signs what it is given must not let a client write a second element.
fn quoted(value: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\' | b',' | b';' | b'=');
    if value.bytes().all(plain) {
        return value.to_owned();
    }
    let mut out = String::from('"');
    for letter in value.chars() {
        match letter {
            '"' | '\\' => out.extend(['\\', letter]),
            ' '..='~' => out.push(letter),
            _ => out.push('?'),
        }
    }
    out + "\""
}

/// A distinguished name as RFC 2253 writes it: the last part first, everything outside of ASCII as `\XX`.
fn subject(name: &X509Name<'_>) -> String {
    let parts: Vec<_> = name.iter_rdn().collect();
    let mut out = String::new();
    for (i, rdn) in parts.into_iter().rev().enumerate() {
        for (j, attribute) in rdn.iter().enumerate() {
            match (i, j) {
                (0, 0) => {}
                (_, 0) => out.push(','),
                _ => out.push('+'),
            }
            push_attribute(&mut out, attribute);
        }
    }
    out
}

fn push_attribute(out: &mut String, attribute: &AttributeTypeAndValue<'_>) {
    let oid = attribute.attr_type().to_id_string();
    // RFC 2253 section 2.3; others by their numbers.
    let name = match oid.as_str() {
        "2.5.4.3" => "CN",
        "2.5.4.6" => "C",
        "2.5.4.7" => "L",
        "2.5.4.8" => "ST",
        "2.5.4.9" => "STREET",
        "2.5.4.10" => "O",
        "2.5.4.11" => "OU",
        "0.9.2342.19200300.100.1.1" => "UID",
        "0.9.2342.19200300.100.1.25" => "DC",
        other => other,
    };
    let _ = write!(out, "{name}=");
    let Ok(text) = attribute.as_str() else {
        out.push('#');
        for byte in attribute.as_slice() {
            let _ = write!(out, "{byte:02X}");
        }
        return;
    };
    let last = text.len().saturating_sub(1);
    for (i, byte) in text.bytes().enumerate() {
        match byte {
            b',' | b'+' | b'"' | b'\\' | b'<' | b'>' | b';' => out.extend(['\\', char::from(byte)]),
            b' ' | b'#' if i == 0 => out.extend(['\\', char::from(byte)]),
            b' ' if i == last => out.push_str("\\ "),
            b' '..=b'~' => out.push(char::from(byte)),
            _ => {
                let _ = write!(out, "\\{byte:02X}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rcgen::DnType;

    use super::*;
    use crate::tls::testing::Authority;

    fn identity(names: &[&str], parts: &[(DnType, &str)]) -> (Identity, String) {
        let cert = Authority::new().issue(names, |params| {
            params.distinguished_name = rcgen::DistinguishedName::new();
            for (kind, value) in parts {
                params.distinguished_name.push(kind.clone(), *value);
            }
        });
        let hash: String = Sha256::digest(&cert).iter().map(|byte| format!("{byte:02x}")).collect();
        (Identity::of(&cert, Some("spiffe://td/edge")), hash)
    }

    #[test]
    fn an_element_is_what_envoy_writes() {
        let names = ["spiffe://td/web", "web.example"];
        let (identity, hash) =
            identity(&names, &[(DnType::CountryName, "DE"), (DnType::OrganizationName, "A, Inc.")]);
        let expected = format!(
            "By=spiffe://td/edge;Hash={hash};Subject=\"O=A\\, Inc.,C=DE\";URI=spiffe://td/web;DNS=web.example"
        );
        assert_eq!(String::from_utf8_lossy(&identity.forwarded), expected);
        assert_eq!(&*identity.name, "spiffe://td/web");
    }

    #[test]
    fn a_name_that_would_be_another_element_is_quoted() {
        let (identity, _) = identity(
            &["spiffe://td/web,By=x;URI=spiffe://td/admin"],
            &[(DnType::CommonName, "a\";URI=spiffe://td/admin;x=\"\n\u{e9} ")],
        );
        let text = String::from_utf8_lossy(&identity.forwarded).into_owned();
        assert!(text.contains(r#";URI="spiffe://td/web,By=x;URI=spiffe://td/admin""#), "{text}");
        assert!(text.contains(r#"Subject="CN=a\"\;URI=spiffe://td/admin\;x=\"\0A\C3\A9\ ""#), "{text}");
        assert!(identity.forwarded.iter().all(|byte| (b' '..=b'~').contains(byte)), "{text}");
    }

    #[test]
    fn a_client_is_called_by_the_best_name_it_has() {
        let subject = [(DnType::CommonName, "job-7")];
        assert_eq!(&*identity(&["web.example"], &subject).0.name, "web.example");
        assert_eq!(&*identity(&[], &subject).0.name, "CN=job-7");
        let (nameless, hash) = identity(&[], &[]);
        assert_eq!(*nameless.name, *hash);
    }
}
