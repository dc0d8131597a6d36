//! PEM files: certificates and keys, with errors that name the file and never show what is in it.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustls::RootCertStore;
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sha2::Digest as _;

/// A file as it stood when it was looked at: whether what was made of it must be made again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    path: PathBuf,
    /// Time of the last change and size; `None` = it cannot be looked at.
    state: Option<(SystemTime, u64)>,
}

/// SHA-256 of what a file holds.
pub type Digest = [u8; 32];

/// The present state of some files.
pub fn stamps<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Vec<Stamp> {
    let stamp = |path: &Path| {
        let found = std::fs::metadata(path).ok();
        let state = found.and_then(|found| Some((found.modified().ok()?, found.len())));
        Stamp { path: path.to_owned(), state }
    };
    paths.into_iter().map(stamp).collect()
}

/// All certificates of a file, leaf first.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let text =
        std::fs::read(path).map_err(|e| format!("{}: cannot read certificates: {e}", path.display()))?;
    let certs: Vec<_> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|e| format!("{}: not a PEM certificate: {}", path.display(), fault(&e)))?;
    if certs.is_empty() {
        return Err(format!("{}: holds no certificate (-----BEGIN CERTIFICATE-----)", path.display()));
    }
    Ok(certs)
}

/// The certificates of a file as roots to trust, and a digest of them: a file that was written anew with the same
/// ones is no change.
pub fn roots(path: &Path) -> Result<(RootCertStore, Digest), String> {
    let (mut roots, mut digest) = (RootCertStore::empty(), sha2::Sha256::new());
    for cert in certificates(path)? {
        digest.update(&cert);
        roots.add(cert).map_err(|e| format!("{}: not usable as a CA: {e}", path.display()))?;
    }
    Ok((roots, digest.finalize().into()))
}

/// The first private key of a file: PKCS#8, SEC1 or PKCS#1.
pub fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let text = std::fs::read(path).map_err(|e| format!("{}: cannot read a key: {e}", path.display()))?;
    PrivateKeyDer::from_pem_slice(&text)
        .map_err(|_| format!("{}: holds no private key in PEM (-----BEGIN PRIVATE KEY-----)", path.display()))
}

/// What is wrong with a text, in words of our own: the library's quote the line that it stumbled over, and that may
/// be a key whose line ends got lost.
fn fault(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::MissingSectionEnd { .. } => "it has no -----END line, or its line ends got lost",
        pem::Error::IllegalSectionStart { .. } => "its -----BEGIN line holds more, or its line ends got lost",
        pem::Error::Base64Decode(_) => "it is not base64",
        _ => "it cannot be read",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_shows_nothing_of_a_key() {
        let dir = tempfile::tempdir().unwrap();
        let key = rcgen::KeyPair::generate().unwrap().serialize_pem();
        let body: String = key.lines().filter(|line| !line.starts_with("-----")).collect();
        for (what, text) in [
            ("a key instead", key.clone()),
            ("on one line", key.replace('\n', "")),
            ("with blanks for line ends", key.replace('\n', " ")),
            ("without an end", key.replace("-----END PRIVATE KEY-----", "")),
            ("as a certificate on one line", key.replace("PRIVATE KEY", "CERTIFICATE").replace('\n', "")),
            ("as a broken certificate", key.replace("PRIVATE KEY", "CERTIFICATE").replace("M", "\u{20ac}")),
            ("without a frame", body.clone()),
        ] {
            let path = dir.path().join("a.pem");
            std::fs::write(&path, &text).unwrap();
            let mut errors = vec![certificates(&path).err(), private_key(&path).err()];
            errors.push(roots(&path).err());
            for error in errors.into_iter().flatten() {
                assert!(error.contains("a.pem"), "{what}: {error}");
                for at in 0..body.len() - 8 {
                    let part = &body[at..at + 8];
                    assert!(!error.contains(part), "{what}: {error}");
                    // As a list of numbers, which is how bytes are shown.
                    let list = format!("{:?}", part.as_bytes());
                    assert!(!error.contains(list.trim_matches(['[', ']'])), "{what}: {error}");
                }
            }
        }
    }

    #[test]
    fn the_same_roots_in_another_file_have_the_same_digest() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: String| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            roots(&path).unwrap().1
        };
        let (one, two) = (crate::tls::testing::Authority::new(), crate::tls::testing::Authority::new());
        let first = write("a", one.pem.clone());
        assert_eq!(first, write("b", format!("# the same\n{}", one.pem)));
        assert_ne!(first, write("c", two.pem.clone()));
        assert_ne!(first, write("d", one.pem.clone() + &two.pem));
    }
}
