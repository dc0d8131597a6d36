//! The Pingora peer: consistent hash (ketama) on `x-user-id` over three endpoints, one worker thread.
//!
//! `pingora-peer HTTP HTTPS CERTIFICATE KEY ORIGIN...`: ports and files by argument, since Pingora is a library and
//! has no configuration for these.
use std::sync::Arc;

use async_trait::async_trait;
use pingora::listeners::tls::TlsSettings;
use pingora::prelude::*;
use pingora_load_balancing::{LoadBalancer, selection::Consistent};

struct Peer(Arc<LoadBalancer<Consistent>>);

#[async_trait]
impl ProxyHttp for Peer {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, session: &mut Session, _: &mut ()) -> Result<Box<HttpPeer>> {
        let key = session.req_header().headers.get("x-user-id").map_or(&b""[..], |value| value.as_bytes());
        let upstream = self.0.select(key, 16).ok_or_else(|| Error::new_str("no upstream"))?;
        Ok(Box::new(HttpPeer::new(upstream, false, String::new())))
    }
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [http, https, certificate, key, origins @ ..] = words.as_slice() else {
        eprintln!("usage: pingora-peer HTTP HTTPS CERTIFICATE KEY ORIGIN...");
        std::process::exit(2);
    };
    let mut server = Server::new(None).expect("a server");
    server.bootstrap();
    let endpoints = origins.iter().map(|port| format!("127.0.0.1:{port}"));
    let balancer = LoadBalancer::<Consistent>::try_from_iter(endpoints).expect("addresses");
    let mut service = http_proxy_service(&server.configuration, Peer(Arc::new(balancer)));
    service.threads = Some(1);
    service.add_tcp(&format!("127.0.0.1:{http}"));
    let mut tls = TlsSettings::intermediate(certificate, key).expect("a certificate");
    tls.enable_h2();
    service.add_tls_with_settings(&format!("127.0.0.1:{https}"), None, tls);
    server.add_service(service);
    server.run_forever();
}
