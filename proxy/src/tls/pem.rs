//! PEM files: certificates and keys, with errors that name the file and never show a key.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// A file as it stood when it was looked at: whether what was made of it must be made again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    path: PathBuf,
    /// Time of the last change and size; `None` = it cannot be looked at.
    state: Option<(SystemTime, u64)>,
}

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
        .map_err(|e| format!("{}: not a PEM certificate: {e}", path.display()))?;
    if certs.is_empty() {
        return Err(format!("{}: holds no certificate (-----BEGIN CERTIFICATE-----)", path.display()));
    }
    Ok(certs)
}

/// The first private key of a file: PKCS#8, SEC1 or PKCS#1.
pub fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let text = std::fs::read(path).map_err(|e| format!("{}: cannot read a key: {e}", path.display()))?;
    PrivateKeyDer::from_pem_slice(&text)
        .map_err(|_| format!("{}: holds no private key in PEM (-----BEGIN PRIVATE KEY-----)", path.display()))
}
