//! TLS of a port: certificates from files, what is asked of clients, and what of before is used again.

use std::path::Path;
use std::sync::Arc;

use causeway_config::ListenerTls;

use crate::tls::client_auth::ClientAuth;
use crate::tls::pem::{self, Stamp};
use crate::tls::server::{self, Certificates, MadeFrom, PortTls};

/// TLS of the listeners of a port, each with its hostname. `before` as a whole while nothing changed; otherwise
/// as much of it as still means the same, so that clients can resume their sessions.
pub fn compile(
    named: &[(Option<String>, &ListenerTls)],
    before: Option<&Arc<PortTls>>,
) -> Result<Arc<PortTls>, String> {
    let made_from: MadeFrom =
        named.iter().map(|(hostname, tls)| (hostname.clone(), (*tls).clone(), stamps(tls))).collect();
    if let Some(before) = before.filter(|before| before.made_from == made_from) {
        return Ok(before.clone());
    }
    let mut certificates = Certificates::default();
    for (hostname, tls) in named {
        certificates.add(hostname.as_deref(), &tls.cert_file, &tls.key_file)?;
    }
    let certificates = Arc::new(certificates);
    // All listeners of a port ask for the same, as validation sees to.
    let asked = named.iter().find_map(|(_, tls)| tls.client.as_ref());
    let asked_before = before.and_then(|before| before.client_auth.as_ref());
    let client_auth = asked.map(|asked| ClientAuth::new(asked, asked_before)).transpose()?;
    let same = client_auth.as_ref().map(Arc::as_ptr) == asked_before.map(Arc::as_ptr);
    let resumed = before.filter(|_| same).map(|before| &*before.config);
    let config = server::config(certificates.clone(), client_auth.as_deref(), resumed)?;
    Ok(Arc::new(PortTls { config, certificates, client_auth, made_from }))
}

/// The state of the files that a listener's TLS is made from.
fn stamps(tls: &ListenerTls) -> Vec<Stamp> {
    pem::stamps(files(tls))
}

/// The files that a listener's TLS is made from.
pub fn files(tls: &ListenerTls) -> impl Iterator<Item = &Path> {
    let client = tls.client.as_ref().map(|client| &client.ca_file);
    [&tls.cert_file, &tls.key_file].into_iter().chain(client).map(|path| path.as_path())
}
