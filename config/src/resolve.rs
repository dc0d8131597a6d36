//! What needs more than one document: names that refer to others, policies that meet, ports that collide.
//!
//! While documents are read, every name that points elsewhere is noted with its place ([`Reference`]); here, with
//! all of them read, each is looked up. The model itself carries no places.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use crate::config::Config;
use crate::kind::{
    Cluster, EndpointAlgorithm, ExtensionKind, Gateway, HostPattern, Listener, MultiClusterService,
    ParentRef, PolicyTarget, PolicyTargetKind,
};
use crate::load::{Kind, Strictness};
use crate::read::{Notes, Place};
use crate::report::Severity;

/// Something to be looked up when everything has been read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Reference {
    /// A cluster of a service points to a `Cluster`.
    Cluster { service: String, cluster: String },
    /// What a service's outlier detection is must be the same for all services of a `Cluster`.
    Outlier(String),
    /// A service sets `successRate`.
    SuccessRate(String),
    /// A rule points to a `MultiClusterService`.
    Service(String),
    /// A filter points to a document of ours.
    Extension { kind: ExtensionKind, name: String },
    /// A rule bounds the time of its services.
    RouteTimeout { name: &'static str, bound: Duration, services: Vec<String> },
    /// A route points to a `Gateway`.
    Parent { parent: ParentRef, hostnames: Vec<HostPattern> },
    /// A policy points to a `Gateway` or an `HTTPRoute`.
    Target { policy: String, target: PolicyTarget },
    /// A `Gateway` takes ports.
    Ports { gateway: String },
}

/// The names of all documents that were given, those with mistakes included, and where they stand.
pub(crate) type Declared = HashMap<Kind, BTreeMap<String, Place>>;

/// Looks everything up. `complete` is false if a file was cut short by a mistake in its text: then a name that
/// is missing may stand in what could not be read, and nothing is said about it.
pub(crate) fn check(
    notes: &Notes<Reference>,
    config: &Config,
    declared: &Declared,
    strictness: Strictness,
    complete: bool,
) {
    let mut check = Check {
        notes,
        config,
        declared,
        strictness,
        complete,
        outlier: HashMap::new(),
        ports: HashMap::new(),
    };
    let references = notes.take_references();
    let mut targets: HashMap<&PolicyTarget, &str> = HashMap::new();
    for (reference, place) in &references {
        match reference {
            Reference::Cluster { service, cluster } => check.cluster(service, cluster, place),
            Reference::Outlier(service) => check.outlier(service, place),
            Reference::SuccessRate(service) => check.success_rate(service, place),
            Reference::Service(name) => {
                check.exists(Kind::MultiClusterService, name, place);
            }
            Reference::Extension { kind, name } => {
                let kind = match kind {
                    ExtensionKind::LocalRateLimit => Kind::LocalRateLimit,
                    ExtensionKind::FaultInjection => Kind::FaultInjection,
                };
                check.exists(kind, name, place);
            }
            Reference::RouteTimeout { name, bound, services } => check.timeout(name, *bound, services, place),
            Reference::Parent { parent, hostnames } => check.parent(parent, hostnames, place),
            Reference::Target { policy, target } => {
                check.target(target, place);
                if let Some(other) = targets.insert(target, policy) {
                    let message = format!("the policy `{other}` applies to the same");
                    check.error(
                        place,
                        &message,
                        "join the two, or set `sectionName`: the narrower target wins",
                    );
                }
            }
            Reference::Ports { gateway } => {
                if let Some(gateway) = config.gateways.get(gateway) {
                    check.ports(gateway, place);
                }
            }
        }
    }
}

struct Check<'a> {
    notes: &'a Notes<Reference>,
    config: &'a Config,
    declared: &'a Declared,
    strictness: Strictness,
    complete: bool,
    /// For each `Cluster` the first service that uses it.
    outlier: HashMap<&'a str, &'a MultiClusterService>,
    /// Which Gateway has which port.
    ports: HashMap<(u16, Span), &'a str>,
}

impl<'a> Check<'a> {
    fn error(&self, place: &Place, message: &str, remedy: &str) {
        self.notes.note(Severity::Error, place, message, remedy);
    }

    fn warn(&self, place: &Place, message: &str, remedy: &str) {
        self.notes.note(Severity::Warning, place, message, remedy);
    }

    /// Notes a name that nothing has.
    fn exists(&self, kind: Kind, name: &str, place: &Place) -> bool {
        let names = self.declared.get(&kind);
        if !self.complete || names.is_some_and(|names| names.contains_key(name)) {
            return true;
        }
        let severity = match self.strictness {
            Strictness::Proxy => Severity::Error,
            Strictness::Validate => Severity::Warning,
        };
        let known = names.into_iter().flatten().map(|(name, _)| &**name);
        let missing = format!("add the {kind} `{name}`, or give its file as well; given are");
        let remedy = self.notes.remedy(name, known, &missing);
        let remedy = remedy.trim_end_matches("; given are: ");
        self.notes.note(severity, place, format!("there is no {kind} named `{name}`"), remedy);
        false
    }

    fn cluster(&mut self, service: &str, name: &str, place: &Place) {
        if !self.exists(Kind::Cluster, name, place) {
            return;
        }
        let (Some(service), Some(cluster)) =
            (self.config.services.get(service), self.config.clusters.get(name))
        else {
            return;
        };
        // Above 64 endpoints a hash over all of them costs more than a table: 286 ns at 32, 1,880 ns at 250.
        let balancer = &service.load_balancer;
        let rendezvous = balancer.algorithm == EndpointAlgorithm::Rendezvous;
        if cluster.endpoints.len() > 64 && rendezvous && !balancer.hash_on.is_empty() {
            let message = format!(
                "`{name}` has {} endpoints, and each is hashed for a request",
                cluster.endpoints.len()
            );
            self.warn(
                place,
                &message,
                "set loadBalancer.endpointAlgorithm: maglev, which takes the same time for any number",
            );
        }
    }

    fn outlier(&mut self, service: &str, place: &Place) {
        let Some(service) = self.config.services.get(service) else { return };
        for cluster in &service.clusters {
            let first: &&MultiClusterService = self.outlier.entry(&cluster.endpoints_ref).or_insert(service);
            if first.outlier != service.outlier {
                let (other, cluster) = (&first.name, &cluster.endpoints_ref);
                let message =
                    format!("`{other}` has another outlierDetection for the same Cluster `{cluster}`");
                self.warn(place, &message, "write the same in both, or give each service its own Cluster");
            }
        }
    }

    fn success_rate(&self, service: &str, place: &Place) {
        let Some(service) = self.config.services.get(service) else { return };
        let hosts = service.outlier.success_rate.minimum_hosts;
        for name in service.clusters.iter().map(|cluster| &cluster.endpoints_ref) {
            let few = |cluster: &Arc<Cluster>| {
                cluster.discovery.is_none() && cluster.endpoints.len() < hosts as usize
            };
            if self.config.clusters.get(name).is_some_and(few) {
                let message =
                    format!("`successRate` never ejects in `{name}`, which has less than {hosts} endpoints");
                self.warn(
                    place,
                    &message,
                    "rely on `consecutiveErrors`, or lower `successRate.minimumHosts`",
                );
            }
        }
    }

    fn timeout(&self, name: &str, bound: Duration, services: &[String], place: &Place) {
        for service in services.iter().filter_map(|name| self.config.services.get(name)) {
            let (field, theirs) = match name {
                "request" => ("overallTimeout", service.overall_timeout),
                _ => ("retries.perTryTimeout", service.retries.per_try_timeout),
            };
            if bound > theirs {
                let message = format!("`{name}` is longer than `{field}` of `{}`, which holds", service.name);
                self.warn(
                    place,
                    &message,
                    &format!("lower `{name}`, or raise `resilience.{field}` of the service"),
                );
            }
        }
    }

    fn parent(&self, parent: &ParentRef, hostnames: &[HostPattern], place: &Place) {
        if !self.exists(Kind::Gateway, &parent.gateway, place) {
            return;
        }
        let Some(gateway) = self.config.gateways.get(&parent.gateway) else { return };
        let listeners: Vec<&Listener> =
            gateway.listeners.iter().filter(|listener| parent.selects(listener)).collect();
        if listeners.is_empty() {
            let names: Vec<String> = gateway
                .listeners
                .iter()
                .map(|listener| format!("{} ({})", listener.name, listener.port))
                .collect();
            let remedy = format!("its listeners are: {}", names.join(", "));
            self.error(place, &format!("the Gateway `{}` has no such listener", parent.gateway), &remedy);
            return;
        }
        let meets = |host: &HostPattern| {
            listeners
                .iter()
                .any(|listener| listener.hostname.as_ref().is_none_or(|other| other.intersects(host)))
        };
        if !hostnames.is_empty() && !hostnames.iter().any(meets) {
            let message = format!("no hostname of the route belongs to a listener of `{}`", parent.gateway);
            self.warn(
                place,
                &message,
                "the route gets no request: change its `hostnames` or the listener's `hostname`",
            );
        }
    }

    fn target(&self, target: &PolicyTarget, place: &Place) {
        let (kind, sections): (_, Option<Vec<&str>>) = match target.kind {
            PolicyTargetKind::Gateway => {
                let gateway = self.config.gateways.get(&target.name);
                (Kind::Gateway, gateway.map(|gateway| gateway.listeners.iter().map(|l| &*l.name).collect()))
            }
            PolicyTargetKind::HttpRoute => {
                let route = self.config.http_routes.get(&target.name);
                (
                    Kind::HttpRoute,
                    route.map(|route| route.rules.iter().filter_map(|r| r.name.as_deref()).collect()),
                )
            }
        };
        if !self.exists(kind, &target.name, place) {
            return;
        }
        if let (Some(section), Some(sections)) = (&target.section, sections)
            && !sections.contains(&&**section)
        {
            let remedy = self.notes.remedy(section, sections, "its sections are");
            self.error(place, &format!("the {kind} `{}` has no section `{section}`", target.name), &remedy);
        }
    }

    /// One Gateway a port and address: with two, SO_REUSEPORT would deal connections out between them.
    fn ports(&mut self, gateway: &'a Gateway, place: &Place) {
        let mut conflict = None;
        let pairs = || {
            let ports: BTreeSet<u16> = gateway.listeners.iter().map(|listener| listener.port).collect();
            ports.into_iter().flat_map(|port| gateway.addresses.iter().map(move |ip| (port, *ip)))
        };
        for (port, ip) in pairs() {
            let any_v4 = Span::Exact(Ipv4Addr::UNSPECIFIED.into());
            // `::` takes IPv4 too where the system lets it.
            let any = Span::Exact(Ipv6Addr::UNSPECIFIED.into());
            let met = match ip {
                IpAddr::V6(ip) if ip.is_unspecified() => vec![Span::Some],
                IpAddr::V4(ip) if ip.is_unspecified() => vec![Span::SomeV4, any],
                IpAddr::V4(_) => vec![Span::Exact(ip), any_v4, any],
                IpAddr::V6(_) => vec![Span::Exact(ip), any],
            };
            let other = met.into_iter().find_map(|span| self.ports.get(&(port, span)));
            conflict = conflict.or(other.map(|other| (*other, port)));
        }
        for (port, ip) in pairs() {
            let v4 = ip.is_ipv4().then_some(Span::SomeV4);
            for span in [Span::Exact(ip), Span::Some].into_iter().chain(v4) {
                self.ports.entry((port, span)).or_insert(&gateway.name);
            }
        }
        if let Some((other, port)) = conflict {
            let message = format!("the Gateway `{other}` listens on port {port} as well");
            self.error(place, &message, "use another port or address, or join the two Gateways");
        }
    }
}

/// What of a port is taken.
#[derive(PartialEq, Eq, Hash)]
enum Span {
    Exact(IpAddr),
    SomeV4,
    Some,
}

impl ParentRef {
    /// Whether a route with this parent attaches to this listener of the Gateway, hostnames aside.
    pub fn selects(&self, listener: &Listener) -> bool {
        self.section.as_ref().is_none_or(|section| *section == listener.name)
            && self.port.is_none_or(|port| port == listener.port)
    }
}
