//! One `Cluster`: where its endpoints are, and how to speak to them.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

use causeway_config::{Cluster, EndpointAddr, Host, Protocol};
use causeway_proxy_policy::endpoints::{EndpointAlgorithm, EndpointParams, EndpointSet};
use rustls_pki_types::ServerName;

use crate::snapshot::{Dial, Snapshot, Target, UpstreamTls};
use crate::tls::client::{self, Offer};
use crate::tls::pem;
use crate::upstream::registry::Registry;

/// Compiles one cluster.
pub fn compile(
    cluster: &Cluster,
    algorithm: EndpointAlgorithm,
    registry: &Registry,
    previous: Option<&Snapshot>,
) -> Result<Dial, String> {
    let offer = match (cluster.protocol, &cluster.tls) {
        (Protocol::Http1, _) | (Protocol::Auto, None) => Offer::Http1,
        (Protocol::Http2, _) => Offer::Http2,
        (Protocol::Auto, Some(_)) => Offer::Both,
    };
    let before = previous.and_then(|p| p.clusters.iter().find(|dial| *dial.name == *cluster.name));
    let tls = cluster.tls.as_ref().map(|tls| -> Result<UpstreamTls, String> {
        let files = [&tls.ca_file, &tls.cert_file, &tls.key_file];
        let made_from = (tls.clone(), pem::stamps(files.into_iter().flatten().map(PathBuf::as_path)));
        let kept = before.filter(|dial| dial.offer == offer).and_then(|dial| dial.tls.as_ref());
        let config = match kept.filter(|kept| kept.made_from == made_from) {
            Some(kept) => kept.config.clone(),
            None => client::config(tls, offer)?,
        };
        let server_name = tls.server_name.clone().map(ServerName::try_from).transpose();
        let server_name = server_name.map_err(|_| "tls.serverName: not a DNS name or address".to_owned())?;
        Ok(UpstreamTls { config, made_from, server_name })
    });
    let tls = tls.transpose()?;

    let mut params = Vec::with_capacity(cluster.endpoints.len());
    let mut targets = Vec::with_capacity(cluster.endpoints.len());
    for endpoint in &cluster.endpoints {
        let address = endpoint.address.to_string();
        let socket = resolve(&endpoint.address)?;
        let name = match (&tls, &endpoint.address.host) {
            (Some(UpstreamTls { server_name: Some(name), .. }), _) => name.clone(),
            (_, Host::Ip(ip)) => ServerName::from(*ip),
            (_, Host::Name(name)) => ServerName::try_from(name.clone())
                .map_err(|_| format!("endpoint {address}: `{name}` is not a DNS name"))?,
        };
        let state = registry.endpoint(&cluster.name, &address);
        targets.push(Target { state, socket, name });
        params.push(EndpointParams { address, weight: endpoint.weight });
    }
    Ok(Dial {
        name: cluster.name.as_str().into(),
        offer,
        tls,
        connect_timeout: cluster.connect_timeout,
        idle_timeout: cluster.idle_timeout,
        endpoints: EndpointSet::reuse(before.map(|dial| &dial.endpoints), &cluster.name, &params, algorithm),
        targets,
        check: cluster.health_check.clone(),
    })
}

/// The address of an endpoint. A name is looked up once, when the config is read; following DNS as it changes is
/// discovery, which static endpoints do not do.
fn resolve(address: &EndpointAddr) -> Result<SocketAddr, String> {
    match &address.host {
        Host::Ip(ip) => Ok(SocketAddr::new(*ip, address.port)),
        Host::Name(name) => (name.as_str(), address.port)
            .to_socket_addrs()
            .map_err(|e| format!("endpoint {address}: cannot look up `{name}`: {e}"))?
            .next()
            .ok_or_else(|| format!("endpoint {address}: `{name}` has no address")),
    }
}
