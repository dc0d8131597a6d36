//! The small and the large configuration, and a request that both answer alike.
//!
//! They are written as a person writes them, since the time to read them is measured too. They differ in three
//! things alone: the number of endpoints, the number of routes, and how an endpoint is chosen (the large one by
//! Maglev, as validation advises above 64 endpoints; the small one by rendezvous, the default). The measured
//! request has the same hostname, path and route in both, so the difference is the cost of size.
//!
//! **Every endpoint is real.** The addresses are all of 127.0.0.0/8, which Linux keeps on the loopback interface,
//! so one origin on `0.0.0.0` answers for 5,000 endpoints.
//!
//! **No active checks.** They cost by the second and by the endpoint (5,000 probes a second here), not by the
//! request, and would drown what is asked.

use std::fmt::Write;
use std::net::{Ipv4Addr, SocketAddr};

/// The route that the measured request takes: the middle one of [`LARGE`].
pub const ROUTE: usize = 250;

/// Clusters of the service, in either configuration.
pub const CLUSTERS: usize = 3;

/// One endpoint in each of three clusters, one route.
pub const SMALL: Shape = Shape { endpoints: 3, routes: 1, maglev: false };

/// 5,000 endpoints in three clusters, chosen by Maglev, and 500 routes of as many hostnames and path prefixes.
pub const LARGE: Shape = Shape { endpoints: 5_000, routes: 500, maglev: true };

/// The size of a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Endpoints in all, dealt out to the clusters in turn. At most 65,000.
    pub endpoints: usize,
    /// Routes, [`ROUTE`] among them.
    pub routes: usize,
    /// Maglev instead of rendezvous within a cluster.
    pub maglev: bool,
}

impl Shape {
    /// What it is called in a report.
    pub fn name(self) -> String {
        let routes = if self.routes == 1 { "route" } else { "routes" };
        format!("{} endpoints, {} {routes}", self.endpoints, self.routes)
    }

    /// The text of one file with all of it, for a proxy of one worker that listens on `listen` and whose
    /// endpoints have the port `origin`.
    pub fn text(self, listen: SocketAddr, origin: u16) -> String {
        let mut text = String::new();
        self.write(&mut text, listen, origin).unwrap_or_else(|_| unreachable!("a String takes everything"));
        text
    }

    fn write(self, out: &mut String, listen: SocketAddr, origin: u16) -> std::fmt::Result {
        writeln!(
            out,
            "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{name: edge}}\nspec:"
        )?;
        writeln!(out, "  gatewayClassName: causeway\n  addresses: [{{value: \"{}\"}}]", listen.ip())?;
        writeln!(out, "  listeners: [{{name: http, port: {}, protocol: HTTP}}]", listen.port())?;
        let first = ROUTE.saturating_sub(self.routes / 2);
        for route in first..first + self.routes {
            write_route(out, route)?;
        }
        for cluster in 0..CLUSTERS {
            head(out, "Cluster", &format!("c{cluster}"))?;
            writeln!(out, "  endpoints:")?;
            for endpoint in (cluster..self.endpoints).step_by(CLUSTERS) {
                writeln!(out, "    - {{address: \"{}:{origin}\"}}", address(endpoint))?;
            }
        }
        head(out, "MultiClusterService", "api")?;
        writeln!(out, "  clusters:")?;
        for cluster in 0..CLUSTERS {
            writeln!(out, "    - {{name: c{cluster}, weight: 1, priority: 1}}")?;
        }
        writeln!(
            out,
            "  trafficPolicy:\n    loadBalancer:\n      consistentHash: {{httpHeaderName: x-user-id}}"
        )?;
        if self.maglev {
            writeln!(out, "      endpointAlgorithm: maglev")?;
        }
        writeln!(out, "    connectionPool: {{tcp: {{maxConnections: 10000}}}}")?;
        // Above the number of endpoints: with the default of 1,000 a cluster of 1,667 endpoints, all in use, would
        // close a connection for each that it opens, and that would be measured.
        writeln!(out, "  resilience: {{circuitBreaker: {{maxConnections: 10000}}}}")?;
        head(out, "ProxyConfig", "proxy")?;
        // Outside of the watched folder; 1 % as in production.
        writeln!(out, "  workers: 1\n  accessLog: {{path: ../access.log, format: json, sample: 0.01}}")
    }
}

fn head(out: &mut String, kind: &str, name: &str) -> std::fmt::Result {
    writeln!(out, "---\napiVersion: mesh.macleodlabs.io/v1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec:")
}

fn write_route(out: &mut String, route: usize) -> std::fmt::Result {
    writeln!(out, "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute")?;
    writeln!(out, "metadata: {{name: route-{route}}}\nspec:\n  parentRefs: [{{name: edge}}]")?;
    writeln!(out, "  hostnames: [{}]\n  rules:", hostname(route))?;
    writeln!(out, "    - matches: [{{path: {{type: PathPrefix, value: {}}}}}]", prefix(route))?;
    writeln!(out, "      backendRefs: [{{group: mesh.macleodlabs.io, kind: MultiClusterService, name: api}}]")
}

/// The hostname of a route.
pub fn hostname(route: usize) -> String {
    format!("svc-{route}.example.com")
}

/// The path prefix of a route.
pub fn prefix(route: usize) -> String {
    format!("/svc-{route}/v1")
}

/// The loopback address of an endpoint.
///
/// # Panics
/// Past 65,000 endpoints: there are no more in 127.1.0.0/16.
pub fn address(endpoint: usize) -> Ipv4Addr {
    let (high, low) = (endpoint / 250, endpoint % 250 + 1);
    let high = u8::try_from(high).expect("at most 65,000 endpoints");
    Ipv4Addr::new(127, 1, high, low as u8)
}

/// The key of a user.
pub fn user(number: usize) -> String {
    format!("user-{number}")
}

/// What the clients ask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Workload {
    /// A small GET, as a browser's script might send it.
    #[default]
    Get,
    /// The same with a body, which goes to the origin.
    Post,
    /// For a hostname that no route has: the proxy answers by itself.
    NoRoute,
}

/// The body of [`Workload::Post`]: 128 bytes, as of a form.
const BODY: [u8; 128] = [b'x'; 128];

impl Workload {
    /// All of them.
    pub const ALL: [Workload; 3] = [Workload::Get, Workload::Post, Workload::NoRoute];

    /// What it is called in a report.
    pub fn name(self) -> &'static str {
        match self {
            Workload::Get => "get",
            Workload::Post => "post",
            Workload::NoRoute => "no-route",
        }
    }

    /// What it is answered with.
    pub fn status(self) -> u16 {
        if self == Workload::NoRoute { 404 } else { 200 }
    }

    /// The request of a user, byte by byte.
    pub fn request(self, user_number: usize) -> Vec<u8> {
        let host = if self == Workload::NoRoute { "nobody.example.com".to_owned() } else { hostname(ROUTE) };
        let (prefix, user) = (prefix(ROUTE), user(user_number));
        let (method, body) = if self == Workload::Post { ("POST", &BODY[..]) } else { ("GET", &[][..]) };
        let mut request = format!(
            "{method} {prefix}/items?page=2 HTTP/1.1\r\nHost: {host}\r\nUser-Agent: scale\r\nAccept: */*\r\nx-user-id: {user}\r\n"
        );
        if !body.is_empty() {
            request += &format!("Content-Type: text/plain\r\nContent-Length: {}\r\n", body.len());
        }
        request += "\r\n";
        [request.as_bytes(), body].concat()
    }
}

/// The request of a user that is measured where nothing else is said: [`Workload::Get`].
pub fn request(user_number: usize) -> Vec<u8> {
    Workload::Get.request(user_number)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use causeway_config::{Source, Strictness, load};

    use super::*;

    fn listen() -> SocketAddr {
        ([127, 0, 0, 1], 8000).into()
    }

    #[test]
    fn both_configurations_load_without_a_warning_and_have_the_size_they_claim() {
        for shape in [SMALL, LARGE] {
            let text = shape.text(listen(), 9000);
            let loaded = load(&[Source::new("scale.yaml", &text)], Strictness::Proxy).expect("valid");
            assert_eq!(loaded.warnings.problems().count(), 0, "{}", loaded.warnings);
            let addresses: BTreeSet<String> = loaded
                .config
                .clusters
                .values()
                .flat_map(|c| &c.endpoints)
                .map(|e| format!("{e:?}"))
                .collect();
            assert_eq!(addresses.len(), shape.endpoints, "each endpoint has an address of its own");
            assert_eq!(loaded.config.clusters.len(), CLUSTERS);
            assert_eq!(loaded.config.http_routes.len(), shape.routes);
            assert!(loaded.config.http_routes.contains_key(&format!("route-{ROUTE}")));
        }
    }
}
