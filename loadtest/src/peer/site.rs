//! A folder for one run of a peer: its ports, a certificate, and its configuration with both filled in.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;

use super::Peer;

/// Where a peer listens, and where its endpoints do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// HTTP/1.1.
    pub http: u16,
    /// TLS, with HTTP/2 by ALPN.
    pub https: u16,
    /// Cleartext HTTP/2.
    pub h2c: u16,
    /// Ours: the admin address.
    pub admin: u16,
    /// The endpoints.
    pub origins: [u16; 3],
}

impl Ports {
    /// Ports that nobody has at the moment. They were all held at once, so they differ; the kernel does not give the
    /// same ones again soon.
    ///
    /// # Errors
    /// There are none.
    pub fn free() -> Result<Ports, String> {
        let hold = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|e| format!("a free port: {e}"));
        let held = (0..7).map(|_| hold()).collect::<Result<Vec<_>, _>>()?;
        let port = |i: usize| held[i].local_addr().map(|at| at.port()).map_err(|e| e.to_string());
        Ok(Ports {
            http: port(0)?,
            https: port(1)?,
            h2c: port(2)?,
            admin: port(3)?,
            origins: [port(4)?, port(5)?, port(6)?],
        })
    }
}

/// The certificate that every peer serves, and what a client needs to believe it. ECDSA over P-256, as most of the
/// web has.
pub struct Identity {
    certificate: String,
    key: String,
    root: CertificateDer<'static>,
}

impl Identity {
    /// A fresh one.
    ///
    /// # Errors
    /// The crypto library's.
    pub fn new() -> Result<Identity, String> {
        let made = || -> Result<Identity, rcgen::Error> {
            let key = KeyPair::generate()?;
            let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
            let certificate = CertificateParams::new(names)?.self_signed(&key)?;
            let root = certificate.der().clone();
            Ok(Identity { certificate: certificate.pem(), key: key.serialize_pem(), root })
        };
        made().map_err(|e| format!("a certificate: {e}"))
    }

    /// A TLS 1.3 client that asks for these protocols.
    ///
    /// # Errors
    /// The TLS library's.
    pub fn client(&self, protocols: &[&[u8]]) -> Result<Arc<ClientConfig>, String> {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone()).map_err(|e| format!("the certificate: {e}"))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|e| format!("TLS 1.3: {e}"))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Ok(Arc::new(config))
    }
}

/// The folder.
#[derive(Debug)]
pub struct Site {
    dir: PathBuf,
    /// Its ports.
    pub ports: Ports,
}

impl Site {
    /// Lays out a folder for `peer` in `dir`, which must not exist.
    ///
    /// # Errors
    /// The disk's.
    pub fn new(dir: PathBuf, peer: Peer, ports: Ports, identity: &Identity) -> Result<Site, String> {
        let write = |name: &str, text: &str| {
            let path = dir.join(name);
            let folder = path.parent().unwrap_or(&dir);
            fs::create_dir_all(folder)
                .and_then(|()| fs::write(&path, text))
                .map_err(|e| format!("{}: {e}", path.display()))
        };
        write("cert.pem", &identity.certificate)?;
        write("key.pem", &identity.key)?;
        // HAProxy wants both in one file.
        write("bundle.pem", &format!("{}{}", identity.certificate, identity.key))?;
        for (name, template) in peer.templates() {
            write(name, &fill(template, &dir, ports, peer.workers()))?;
        }
        Ok(Site { dir, ports })
    }

    /// Where it lies.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

fn fill(template: &str, dir: &Path, ports: Ports, workers: usize) -> String {
    let mut text = template.replace("@DIR@", &dir.display().to_string());
    let [one, two, three] = ports.origins;
    for (place, value) in [
        ("@HTTP@", ports.http),
        ("@HTTPS@", ports.https),
        ("@H2C@", ports.h2c),
        ("@ADMIN@", ports.admin),
        ("@ORIGIN1@", one),
        ("@ORIGIN2@", two),
        ("@ORIGIN3@", three),
    ] {
        text = text.replace(place, &value.to_string());
    }
    text.replace("@WORKERS@", &workers.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_in_every_configuration_is_filled() {
        let ports = Ports { http: 1, https: 2, h2c: 3, admin: 4, origins: [5, 6, 7] };
        for peer in Peer::ALL {
            for (name, template) in peer.templates() {
                let text = fill(template, Path::new("/run/x"), ports, 1);
                let rest = text.replace("@type", "");
                assert!(!rest.contains('@'), "{peer} {name}: {text}");
                assert!(!text.contains("9001") && !text.contains("8000"), "{peer} {name}: a port of its own");
            }
        }
    }

    #[test]
    fn our_configuration_is_the_one_that_the_goals_name() {
        let theirs =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/bench/peers/causeway/config/edge.yaml");
        let Ok(theirs) = fs::read_to_string(theirs) else {
            eprintln!("skipped: there is no ../shared/bench beside this clone");
            return;
        };
        let ports = Ports { http: 8000, https: 8443, h2c: 8080, admin: 9901, origins: [9001, 9002, 9003] };
        let [(_, template)] = Peer::Causeway.templates() else { panic!("one file") };
        let ours = fill(template, Path::new("@"), ports, 1);
        let paths =
            |text: &str| text.replace("../../../certs/", "@/").replace("../access.log", "@/access.log");
        assert_eq!(ours, paths(&theirs), "never a softer config");
    }
}
