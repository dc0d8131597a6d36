//! Gateways and routes: what is listened on, and which rule a request matches there.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use causeway_config::{
    ClientTrafficPolicy, Config, Gateway, GrpcRoute, HeaderMatch, HttpRoute, ListenerProtocol, ListenerTls,
    ParentRef, PathMatch, RouteTimeouts, StringMatch,
};
use causeway_proxy_policy::hash::cluster_node;
use causeway_proxy_policy::pace::Floor;
use causeway_proxy_policy::route_table::{MatchSpec, PathSpec, RouteTable, RuleSpec, TextMatch};

use super::extras::Named;
use super::{Renew, port_tls};
use crate::request::filters::Filters;
use crate::snapshot::{Backend, ClientLimits, Listener, Port, PortKey, Rule, Snapshot};

/// All ports of all gateways.
pub fn compile(
    config: &Config,
    named: &Named<'_>,
    previous: Option<&Snapshot>,
    renew: Renew,
) -> Result<Vec<Port>, String> {
    let mut ports: Vec<Port> = Vec::new();
    let mut certificates: BTreeMap<SocketAddr, Vec<(Option<String>, &ListenerTls)>> = BTreeMap::new();
    for gateway in config.gateways.values() {
        for listener in &gateway.listeners {
            let compiled = self::listener(config, gateway, listener, named)?;
            for address in &gateway.addresses {
                let addr = SocketAddr::new(*address, listener.port);
                if listener.protocol == ListenerProtocol::Https {
                    let tls = listener.tls.as_ref();
                    let tls =
                        tls.ok_or_else(|| format!("Gateway {}: {} has no tls", gateway.name, listener.name))?;
                    let hostname = listener.hostname.as_ref().map(ToString::to_string);
                    certificates.entry(addr).or_default().push((hostname, tls));
                }
                let key = PortKey(addr);
                let client = Arc::new(limits(config.listener_policy(&gateway.name, &listener.name)));
                match ports.iter_mut().find(|port| port.key == key) {
                    // They act before a request has named its host, and so before it has a listener.
                    Some(port) if port.client != client => {
                        return Err(format!(
                            "Gateway {}: the listeners on port {} have different ClientTrafficPolicies: \
                             give them the same one",
                            gateway.name, listener.port
                        ));
                    }
                    Some(port) => port.listeners.push(compiled.clone()),
                    None => ports.push(Port { key, tls: None, client, listeners: vec![compiled.clone()] }),
                }
            }
        }
    }
    for port in &mut ports {
        if let Some(named) = certificates.remove(&port.key.0) {
            let before = previous.and_then(|previous| previous.port(port.key));
            port.tls = match before {
                Some(before) if renew == Renew::Endpoints => before.tls.clone(),
                _ => {
                    let tls = port_tls::compile(&named, before.and_then(|before| before.tls.as_ref()));
                    Some(tls.map_err(|e| format!("Gateway listener on {}: {e}", port.key))?)
                }
            };
        }
        // Exact names first, then wildcards by length, then the listener for every host.
        port.listeners.sort_by_key(|listener| {
            std::cmp::Reverse(listener.hostname.as_ref().map(|name| match name {
                causeway_config::HostPattern::Exact(name) => (1, name.len()),
                causeway_config::HostPattern::Suffix(name) => (0, name.len()),
            }))
        });
    }
    Ok(ports)
}

fn listener(
    config: &Config,
    gateway: &Gateway,
    listener: &causeway_config::Listener,
    named: &Named<'_>,
) -> Result<Arc<Listener>, String> {
    let attached = |parents: &[ParentRef]| {
        parents.iter().any(|parent| {
            parent.gateway == gateway.name
                && parent.section.as_ref().is_none_or(|section| *section == listener.name)
                && parent.port.is_none_or(|port| port == listener.port)
        })
    };
    let mut specs = Vec::new();
    let mut rules = Vec::new();
    for route in config.http_routes.values().filter(|route| attached(&route.parents)) {
        http_route(config, route, named, &mut specs, &mut rules)?;
    }
    for route in config.grpc_routes.values().filter(|route| attached(&route.parents)) {
        grpc_route(route, named, &mut specs, &mut rules)?;
    }
    let hostname = listener.hostname.as_ref().map(ToString::to_string);
    let numbered = specs.into_iter().zip(0..).collect();
    let table = RouteTable::new(hostname.as_deref(), numbered, named.workers)
        .map_err(|e| format!("Gateway {}, listener {}: {e}", gateway.name, listener.name))?;
    Ok(Arc::new(Listener {
        name: format!("{}/{}", gateway.name, listener.name).into(),
        hostname: listener.hostname.clone(),
        table,
        rules,
    }))
}

fn http_route(
    config: &Config,
    route: &HttpRoute,
    named: &Named<'_>,
    specs: &mut Vec<RuleSpec>,
    rules: &mut Vec<Rule>,
) -> Result<(), String> {
    for (i, rule) in route.rules.iter().enumerate() {
        let matches = rule.matches.iter().map(|found| MatchSpec {
            path: match &found.path {
                PathMatch::Exact(path) => PathSpec::Exact(path.clone()),
                PathMatch::Prefix(path) => PathSpec::Prefix(path.clone()),
                PathMatch::Regex(path) => PathSpec::Regex(path.clone()),
            },
            method: found.method.clone(),
            headers: headers(&found.headers),
            query: found.query.iter().map(|query| (query.name.clone(), text(&query.value))).collect(),
        });
        specs.push(spec(&route.name, &route.hostnames, i, matches.collect()));
        let prefix = match rule.matches.as_slice() {
            [only] => match &only.path {
                PathMatch::Prefix(prefix) => Some(prefix.as_str()),
                _ => None,
            },
            _ => None,
        };
        let filters = Filters::new(&rule.filters, prefix);
        let name = rule_name(&route.name, rule.name.as_deref(), i);
        let policy = config.rule_policy(&route.name, rule.name.as_deref());
        let client = policy.map(|policy| Arc::new(limits(Some(policy))));
        let compiled = Rule { client, ..compiled_rule(name, filters, rule.timeouts, &rule.backends, named) };
        rules.push(named.with_extras(compiled, &rule.filters)?);
    }
    Ok(())
}

fn grpc_route(
    route: &GrpcRoute,
    named: &Named<'_>,
    specs: &mut Vec<RuleSpec>,
    rules: &mut Vec<Rule>,
) -> Result<(), String> {
    for (i, rule) in route.rules.iter().enumerate() {
        let matches = rule.matches.iter().map(|found| MatchSpec {
            path: match &found.method {
                None => PathSpec::default(),
                Some(method) => grpc_path(method.service.as_ref(), method.method.as_ref()),
            },
            headers: headers(&found.headers),
            ..MatchSpec::default()
        });
        specs.push(spec(&route.name, &route.hostnames, i, matches.collect()));
        let filters = Filters::new(&rule.filters, None);
        let name = rule_name(&route.name, rule.name.as_deref(), i);
        let compiled = compiled_rule(name, filters, RouteTimeouts::default(), &rule.backends, named);
        rules.push(named.with_extras(compiled, &rule.filters)?);
    }
    Ok(())
}

/// A gRPC request's path is `/service/method`.
fn grpc_path(service: Option<&StringMatch>, method: Option<&StringMatch>) -> PathSpec {
    let part = |text: Option<&StringMatch>| match text {
        None => "[^/]+".to_owned(),
        Some(StringMatch::Exact(text)) => regex_escape(text),
        Some(StringMatch::Regex(pattern)) => format!("(?:{pattern})"),
    };
    let exact = |text: Option<&StringMatch>| match text {
        None => Some(None),
        Some(StringMatch::Exact(text)) => Some(Some(text.clone())),
        Some(StringMatch::Regex(_)) => None,
    };
    match (exact(service), exact(method)) {
        (Some(service), Some(method)) => PathSpec::grpc(service.as_deref(), method.as_deref()),
        _ => PathSpec::Regex(format!("/{}/{}", part(service), part(method))),
    }
}

/// Service and method names are letters, digits, `_` and `.` (protobuf); only the dot has a meaning.
fn regex_escape(text: &str) -> String {
    text.chars().flat_map(|c| (!c.is_ascii_alphanumeric()).then_some('\\').into_iter().chain([c])).collect()
}

fn spec(
    route: &str,
    hostnames: &[causeway_config::HostPattern],
    rule_index: usize,
    matches: Vec<MatchSpec>,
) -> RuleSpec {
    let hostnames = hostnames.iter().map(ToString::to_string).collect();
    RuleSpec { hostnames, created: 0, route: route.to_owned(), rule_index, matches }
}

pub(super) fn headers(headers: &[HeaderMatch]) -> Vec<(String, TextMatch)> {
    headers.iter().map(|header| (header.name.clone(), text(&header.value))).collect()
}

fn text(value: &StringMatch) -> TextMatch {
    match value {
        StringMatch::Exact(text) => TextMatch::Exact(text.as_bytes().to_vec()),
        StringMatch::Regex(pattern) => TextMatch::Regex(pattern.clone()),
    }
}

fn rule_name(route: &str, rule: Option<&str>, index: usize) -> Arc<str> {
    match rule {
        Some(rule) => format!("{route}/{rule}").into(),
        None => format!("{route}/{index}").into(),
    }
}

fn compiled_rule(
    name: Arc<str>,
    filters: Filters,
    timeouts: RouteTimeouts,
    backends: &[causeway_config::BackendRef],
    named: &Named<'_>,
) -> Rule {
    let backends = backends.iter().map(|backend| Backend {
        service: named.services.get(backend.service.as_str()).cloned(),
        weight: backend.weight,
        node: cluster_node(&backend.service),
    });
    Rule {
        name,
        filters,
        request_timeout: timeouts.request,
        try_timeout: timeouts.backend_request,
        client: None,
        extras: None,
        backends: backends.collect(),
    }
}

/// What clients may do under a policy; without one, the defaults.
pub(super) fn limits(policy: Option<&Arc<ClientTrafficPolicy>>) -> ClientLimits {
    let policy = policy.cloned().unwrap_or_default();
    let (limits, timeouts) = (&policy.limits, &policy.timeouts);
    ClientLimits {
        head: causeway_proxy_http1::Limits {
            head_bytes: limits.header_bytes,
            head_count: limits.header_count,
            ..causeway_proxy_http1::Limits::default()
        },
        body_bytes: limits.body_bytes,
        connections: limits.connections,
        connections_per_address: limits.connections_per_address,
        http2_streams: limits.http2_streams,
        request_header: timeouts.request_header,
        floor: limits
            .min_bytes_per_second
            .map(|bytes_per_second| Floor { bytes_per_second, span: timeouts.body_idle }),
        body_idle: timeouts.body_idle,
        upgrade_idle: timeouts.upgrade_idle,
        stream_max: timeouts.stream_max,
        keep_alive_idle: timeouts.keep_alive_idle,
        tls_handshake: timeouts.tls_handshake,
        trusted_hops: policy.trusted_hops,
        forwarding: policy.forwarding_header,
        proxy_protocol: policy.proxy_protocol,
    }
}
