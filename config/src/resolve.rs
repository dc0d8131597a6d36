//! What needs more than one document: names that refer to others, policies that meet, ports that collide.
//!
//! While documents are read, every name that points elsewhere is noted with its place ([`Reference`]); here, with
//! all of them read, each is looked up. The model itself carries no places.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::config::Config;
use crate::kind::{
    EndpointAlgorithm, Gateway, HostPattern, Listener, MultiClusterService, ParentRef, PolicyTarget,
    PolicyTargetKind,
};
use crate::load::{Kind, Strictness};
use crate::read::{Notes, Place, closest};
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
pub(crate) type Declared = HashMap<Kind, HashMap<String, Place>>;

/// Looks everything up. `complete` is false if a file was cut short by a mistake in its text: then a name that
/// is missing may stand in what could not be read, and nothing is said about it.
pub(crate) fn check(
    notes: &Notes<Reference>,
    config: &Config,
    declared: &Declared,
    strictness: Strictness,
    complete: bool,
) {
    let mut check = Check { notes, config, declared, strictness, complete, outlier: HashMap::new() };
    let references = notes.take_references();
    let mut targets: HashMap<&PolicyTarget, &str> = HashMap::new();
    let mut gateways: Vec<&Gateway> = Vec::new();
    for (reference, place) in &references {
        match reference {
            Reference::Cluster { service, cluster } => check.cluster(service, cluster, place),
            Reference::Outlier(service) => check.outlier(service, place),
            Reference::SuccessRate(service) => check.success_rate(service, place),
            Reference::Service(name) => {
                check.exists(Kind::MultiClusterService, name, place);
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
                    check.ports(gateway, &gateways, place);
                    gateways.push(gateway);
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
        let mut known: Vec<&str> = names.into_iter().flatten().map(|(name, _)| &**name).collect();
        known.sort_unstable();
        let severity = match self.strictness {
            Strictness::Proxy => Severity::Error,
            Strictness::Validate => Severity::Warning,
        };
        let remedy = match closest(name, &known) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("add a {kind} named `{name}`, or give its file as well"),
        };
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
            if self.config.clusters.get(name).is_some_and(|cluster| cluster.endpoints.len() < hosts as usize)
            {
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
            let remedy = match closest(section, &sections) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("its sections are: {}", sections.join(", ")),
            };
            self.error(place, &format!("the {kind} `{}` has no section `{section}`", target.name), &remedy);
        }
    }

    fn ports(&self, gateway: &Gateway, others: &[&'a Gateway], place: &Place) {
        for other in others {
            let shared = gateway.listeners.iter().find(|listener| {
                other.listeners.iter().any(|theirs| theirs.port == listener.port)
                    && gateway.addresses.iter().any(|a| other.addresses.iter().any(|b| overlap(*a, *b)))
            });
            if let Some(listener) = shared {
                let message =
                    format!("the Gateway `{}` listens on port {} as well", other.name, listener.port);
                self.error(place, &message, "use another port or address, or join the two Gateways");
            }
        }
    }
}

/// Whether both can be what a connection is made to. `::` takes IPv4 too where the system lets it.
fn overlap(a: IpAddr, b: IpAddr) -> bool {
    let all = |ip: IpAddr, other: IpAddr| ip.is_unspecified() && (ip.is_ipv6() || other.is_ipv4());
    a == b || all(a, b) || all(b, a)
}

impl ParentRef {
    /// Whether a route with this parent attaches to this listener of the Gateway, hostnames aside.
    pub fn selects(&self, listener: &Listener) -> bool {
        self.section.as_ref().is_none_or(|section| *section == listener.name)
            && self.port.is_none_or(|port| port == listener.port)
    }
}
