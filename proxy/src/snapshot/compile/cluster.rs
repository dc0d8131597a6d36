//! One `Cluster`: where its endpoints are, and how to speak to them.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::Arc;

use causeway_config::{Cluster, Discovery, Endpoint, EndpointAddr, Host, Protocol, ProxyProtocol};
use causeway_proxy_policy::endpoints::{EndpointAlgorithm, EndpointParams, EndpointSet};
use rustls_pki_types::ServerName;

use super::{Given, Renew};
use crate::listen::proxy_protocol;
use crate::snapshot::{Dial, Target, UpstreamTls};
use crate::tls::client::{self, Offer};
use crate::tls::pem;

/// Compiles one cluster; its dial of before if nothing in it is to be renewed.
pub fn compile(
    cluster: &Cluster,
    algorithm: EndpointAlgorithm,
    given: Given<'_>,
) -> Result<Arc<Dial>, String> {
    let before = given.previous.and_then(|p| p.clusters.iter().find(|dial| *dial.name == *cluster.name));
    let endpoints: &[Endpoint] = match &cluster.discovery {
        None => &cluster.endpoints,
        // Nothing was ever found: the cluster is there, and has no endpoint.
        Some(_) => given.discovered.get(&cluster.name).map_or(&[], |endpoints| &**endpoints),
    };
    let old = before.filter(|_| given.renew == Renew::Endpoints);
    if let Some(old) = old.filter(|old| cluster.discovery.is_none() || has_endpoints(old, endpoints)) {
        return Ok(old.clone());
    }
    let offer = match (cluster.protocol, &cluster.tls) {
        (Protocol::Http1, _) | (Protocol::Auto, None) => Offer::Http1,
        (Protocol::Http2, _) => Offer::Http2,
        (Protocol::Auto, Some(_)) => Offer::Both,
    };
    let tls = match old {
        Some(old) => old.tls.clone(),
        None => cluster.tls.as_ref().map(|tls| upstream_tls(tls, offer, before)).transpose()?,
    };
    // Who is looked up by a name must be known by that name, not by an address that the lookup gave.
    let looked_up = match &cluster.discovery {
        Some(Discovery::Dns(dns)) => Some(dns.host()),
        _ => None,
    };

    let mut params = Vec::with_capacity(endpoints.len());
    let mut targets = Vec::with_capacity(endpoints.len());
    for endpoint in endpoints {
        let address = endpoint.address.to_string();
        let socket = resolve(&endpoint.address)?;
        let name = match (&tls, looked_up, &endpoint.address.host) {
            (Some(UpstreamTls { server_name: Some(name), .. }), ..) => name.clone(),
            (_, Some(name), _) => server_name(name, &address)?,
            (_, None, Host::Ip(ip)) => ServerName::from(*ip),
            (_, None, Host::Name(name)) => server_name(name, &address)?,
        };
        let state = given.registry.endpoint(&cluster.name, &address);
        targets.push(Target { state, socket, name });
        params.push(EndpointParams { address, weight: endpoint.weight });
    }
    Ok(Arc::new(Dial {
        name: cluster.name.as_str().into(),
        offer,
        tls,
        proxy_protocol: cluster.proxy_protocol.map(|version| match version {
            ProxyProtocol::V1 => proxy_protocol::Version::V1,
            ProxyProtocol::V2 => proxy_protocol::Version::V2,
        }),
        connect_timeout: cluster.connect_timeout,
        idle_timeout: cluster.idle_timeout,
        endpoints: EndpointSet::reuse(before.map(|dial| &dial.endpoints), &cluster.name, &params, algorithm),
        targets,
        check: cluster.health_check.clone(),
    }))
}

fn has_endpoints(dial: &Dial, endpoints: &[Endpoint]) -> bool {
    let same = |(old, new): (&EndpointParams, &Endpoint)| {
        old.weight == new.weight && old.address == new.address.to_string()
    };
    let old = dial.endpoints.endpoints();
    old.len() == endpoints.len() && old.iter().zip(endpoints).all(same)
}

fn server_name(name: &str, address: &str) -> Result<ServerName<'static>, String> {
    ServerName::try_from(name.to_owned())
        .map_err(|_| format!("endpoint {address}: `{name}` is not a DNS name"))
}

fn upstream_tls(
    tls: &causeway_config::UpstreamTls,
    offer: Offer,
    before: Option<&Arc<Dial>>,
) -> Result<UpstreamTls, String> {
    let files = [&tls.ca_file, &tls.cert_file, &tls.key_file];
    let made_from = (tls.clone(), pem::stamps(files.into_iter().flatten().map(PathBuf::as_path)));
    let kept = before.filter(|dial| dial.offer == offer).and_then(|dial| dial.tls.as_ref());
    let (config, roots) = match kept.filter(|kept| kept.made_from == made_from) {
        Some(kept) => (kept.config.clone(), kept.roots),
        None => client::config(tls, offer)?,
    };
    let server_name = tls.server_name.clone().map(ServerName::try_from).transpose();
    let server_name = server_name.map_err(|_| "tls.serverName: not a DNS name or address".to_owned())?;
    Ok(UpstreamTls { config, made_from, roots, server_name })
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
