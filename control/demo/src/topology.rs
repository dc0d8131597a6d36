//! Which clusters the demo has, where everything listens, and the configuration that says so.

use std::{
    fmt::Write as _,
    fs, io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
};

/// One cluster of the demo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterSpec {
    /// Its name, also what its origins sign with.
    pub name: String,
    /// Its share of the users while all is well.
    pub weight: u32,
    /// Who takes over first: the lower one.
    pub priority: u32,
    /// Where its origins listen.
    pub endpoints: Vec<SocketAddr>,
}

/// Name, weight and priority of the demo's clusters: those of the documentation's example.
pub const CLUSTERS: [(&str, u32, u32); 3] =
    [("us-east-1", 50, 1), ("us-west-2", 30, 2), ("eu-west-1", 20, 2)];

/// Origins in each cluster: the fewest with which losing one is not losing the cluster.
pub const ENDPOINTS: usize = 2;

/// The name of the one service.
pub const SERVICE: &str = "api-gateway";

/// Where everything listens. All of it on loopback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    /// The proxy: where users go.
    pub gateway: SocketAddr,
    /// The demo's own switchboard.
    pub control: SocketAddr,
    /// The proxy's admin pages.
    pub admin: SocketAddr,
    /// The clusters.
    pub clusters: Vec<ClusterSpec>,
}

/// A demo takes the ports `base` to `base + 99`.
const BLOCK: u16 = 100;
/// The first block tried. All blocks stay below 32768, where Linux begins to hand out ports to clients: a
/// killed origin's port must stay free for its return, and a proxy that connects to a free port *within* that
/// range can by chance connect to itself (TCP simultaneous open).
const FIRST: u16 = 18_000;
const LAST: u16 = 29_900;

impl Topology {
    /// The layout within the block that begins at `base`: proxy, switchboard, admin, then the clusters at
    /// 11, 21, 31.
    pub fn at(base: u16) -> Topology {
        let at = |offset: usize| SocketAddr::from((Ipv4Addr::LOCALHOST, base + offset as u16));
        let clusters = CLUSTERS.iter().enumerate().map(|(number, (name, weight, priority))| ClusterSpec {
            name: (*name).to_owned(),
            weight: *weight,
            priority: *priority,
            endpoints: (0..ENDPOINTS).map(|endpoint| at(10 * (number + 1) + 1 + endpoint)).collect(),
        });
        Topology { gateway: at(0), control: at(1), admin: at(2), clusters: clusters.collect() }
    }

    /// Finds a block whose ports are all free and holds it: the returned listener, on the switchboard's
    /// port, keeps other demos out for as long as it lives. With `base`, that block or none.
    ///
    /// # Errors
    /// When no block is free, or the one asked for is not or would end past 65535.
    pub fn reserve(base: Option<u16>) -> io::Result<(Topology, TcpListener)> {
        let mut problem = None;
        let bases: Vec<u16> = match base {
            Some(base) if base > u16::MAX - BLOCK => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    format!("no {BLOCK} ports from {base}"),
                ));
            }
            Some(base) => vec![base],
            None => (FIRST..=LAST).step_by(usize::from(BLOCK)).collect(),
        };
        for base in bases {
            let topology = Topology::at(base);
            match topology.lease() {
                Ok(lease) => return Ok((topology, lease)),
                Err(error) => problem = Some(error),
            }
        }
        Err(problem.unwrap_or_else(|| io::ErrorKind::AddrInUse.into()))
    }

    fn lease(&self) -> io::Result<TcpListener> {
        let bind = |addr: SocketAddr| {
            TcpListener::bind(addr).map_err(|error| io::Error::new(error.kind(), format!("{addr}: {error}")))
        };
        let lease = bind(self.control)?;
        for addr in [self.gateway, self.admin] {
            bind(addr)?;
        }
        for addr in self.clusters.iter().flat_map(|cluster| &cluster.endpoints) {
            bind(*addr)?;
        }
        Ok(lease)
    }

    /// The configuration, as a user would write it.
    pub fn yaml(&self, access_log: &Path) -> String {
        let mut text = String::new();
        // Writing into a String cannot fail.
        let _ = self.write_yaml(&mut text, access_log);
        text
    }

    fn write_yaml(&self, out: &mut String, access_log: &Path) -> std::fmt::Result {
        writeln!(
            out,
            r#"# Written by `causeway demo`. The running proxy watches this file: edit it and see.
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: edge}}
spec:
  gatewayClassName: causeway
  addresses: [{{value: {gateway_ip}}}]
  listeners:
  - {{name: http, port: {gateway_port}, protocol: HTTP}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: everything}}
spec:
  parentRefs: [{{name: edge}}]
  rules:
  - matches: [{{path: {{type: PathPrefix, value: /}}}}]
    backendRefs: [{{group: mesh.macleodlabs.io, kind: MultiClusterService, name: {SERVICE}}}]
---
apiVersion: mesh.macleodlabs.io/v1
kind: ProxyConfig
metadata: {{name: demo}}
spec:
  admin: {{address: "{admin}"}}
  accessLog: {{path: {log}, format: json, sample: 0}}"#,
            gateway_ip = self.gateway.ip(),
            gateway_port = self.gateway.port(),
            admin = self.admin,
            log = quoted(&access_log.to_string_lossy()),
        )?;
        for cluster in &self.clusters {
            writeln!(out, "---\napiVersion: mesh.macleodlabs.io/v1\nkind: Cluster")?;
            writeln!(out, "metadata: {{name: {}}}\nspec:", cluster.name)?;
            writeln!(out, "  locality: {{region: {}}}\n  endpoints:", cluster.name)?;
            for addr in &cluster.endpoints {
                writeln!(out, "  - {{address: \"{addr}\"}}")?;
            }
            writeln!(out, "  healthCheck: {{http: {{path: /healthz}}, interval: 1s, timeout: 500ms}}")?;
        }
        writeln!(out, "---\napiVersion: mesh.macleodlabs.io/v1\nkind: MultiClusterService")?;
        writeln!(out, "metadata: {{name: {SERVICE}}}\nspec:\n  clusters:")?;
        for ClusterSpec { name, weight, priority, .. } in &self.clusters {
            writeln!(out, "  - {{name: {name}, weight: {weight}, priority: {priority}}}")?;
        }
        out.write_str(SERVICE_BEHAVIOUR)
    }

    /// Writes [`Topology::yaml`] into this folder, whole or not at all.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn write(&self, folder: &Path, access_log: &Path) -> io::Result<()> {
        fs::create_dir_all(folder)?;
        let whole = folder.join("demo.yaml");
        let part = folder.join("demo.yaml.part");
        fs::write(&part, self.yaml(access_log))?;
        fs::rename(part, whole)
    }
}

/// The rest of the service: word for word the documentation's example.
const SERVICE_BEHAVIOUR: &str = r#"  trafficPolicy:
    loadBalancer:
      consistentHash:
        httpHeaderName: "x-user-id"
    connectionPool:
      tcp:
        maxConnections: 1000
      http:
        http1MaxPendingRequests: 100
        http2MaxRequests: 1000
    outlierDetection:
      consecutiveErrors: 5
      interval: 30s
      baseEjectionTime: 30s
      maxEjectionPercent: 50
  resilience:
    retries:
      attempts: 3
      perTryTimeout: 2s
      retryOn: "5xx,reset,connect-failure"
    circuitBreaker:
      maxConnections: 1000
      maxPendingRequests: 100
      maxRequests: 1000
      consecutiveErrors: 5
    failover:
      - from: us-east-1
        to: [us-west-2, eu-west-1]
        triggerOn:
          - clusterUnhealthy
          - highLatency (p99 > 500ms)
          - highErrorRate (> 5%)
"#;

/// A YAML double-quoted scalar; JSON's strings are a subset of those.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_parts_of_a_demo_share_a_port_and_none_leaves_its_block() {
        let topology = Topology::at(FIRST);
        let mut ports = vec![topology.gateway.port(), topology.control.port(), topology.admin.port()];
        ports.extend(topology.clusters.iter().flat_map(|cluster| &cluster.endpoints).map(SocketAddr::port));
        ports.sort_unstable();
        let all = ports.len();
        ports.dedup();
        assert_eq!(ports.len(), all);
        assert!(ports.iter().all(|port| (FIRST..FIRST + BLOCK).contains(port)));
    }

    #[test]
    fn two_demos_on_one_machine_do_not_meet() {
        let (first, _lease) = Topology::reserve(None).expect("a free block");
        let (second, _other) = Topology::reserve(None).expect("a second one");
        assert_ne!(first.gateway, second.gateway);
        let asked = Topology::reserve(Some(first.gateway.port()));
        assert_eq!(asked.expect_err("it is taken").kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn the_file_is_whole_and_names_everything() {
        let folder = tempfile::tempdir().expect("a folder");
        let topology = Topology::at(FIRST);
        topology.write(folder.path(), Path::new("/a b/\"c\".log")).expect("written");
        let files: Vec<_> = fs::read_dir(folder.path()).expect("a folder").collect();
        assert_eq!(files.len(), 1);
        let text = fs::read_to_string(folder.path().join("demo.yaml")).expect("a file");
        assert!(text.contains(r#"path: "/a b/\"c\".log""#));
        for cluster in &topology.clusters {
            assert!(text.contains(&format!("name: {}, weight: {}", cluster.name, cluster.weight)));
            assert!(cluster.endpoints.iter().all(|addr| text.contains(&addr.to_string())));
        }
    }
}
