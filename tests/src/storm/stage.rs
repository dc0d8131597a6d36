//! A proxy in front of the cast, with deadlines short enough that a run sees many of each, and its state at a moment.

use std::time::Duration;

use causeway_testkit::certs::Authority;
use causeway_testkit::config::Config;
use causeway_testkit::ports::PortLease;
use causeway_testkit::proxy::{Folder, Proxy, add_https};
use serde_json::{Value, json};

use super::cast::{CLUSTERS, Cast};
use super::{Chance, Target};
use crate::Site;

/// The name in the listener's certificate.
const NAME: &str = "chaos.test";

/// The whole of it.
pub struct Stage {
    /// The proxy.
    pub site: Site,
    /// Where clients go.
    pub target: Target,
    /// Before the first client.
    pub base: State,
    /// The clusters.
    pub cast: Cast,
    _https: PortLease,
}

/// The proxy's state at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// Resident memory in KiB.
    pub resident_kib: f64,
    /// Open descriptors.
    pub descriptors: f64,
    /// Threads.
    pub threads: f64,
    /// Live tasks of all workers.
    pub tasks: f64,
    /// Requests under way, as clients see them.
    pub requests: f64,
    /// Permits of clusters that are taken: requests under way, and those that wait for a connection.
    pub permits: f64,
    /// Client connections.
    pub downstream: f64,
    /// Upstream connections, by the permits of clusters.
    pub upstream: f64,
    /// The same, by the counters of endpoints.
    pub endpoints: f64,
    /// Requests since the start.
    pub started: f64,
    /// Processor seconds since the start.
    pub cpu: f64,
    /// Panics since the start.
    pub panics: f64,
}

impl State {
    /// Looks at a proxy.
    pub async fn of(proxy: &Proxy) -> State {
        let metrics = proxy.metrics().await;
        let sum = |name| metrics.sum(name, &[]);
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", proxy.process.pid())).unwrap_or_default();
        let threads = status.lines().find_map(|line| line.strip_prefix("Threads:")?.trim().parse().ok());
        State {
            resident_kib: sum("process_resident_memory_bytes") / 1024.0,
            descriptors: sum("process_open_fds"),
            threads: threads.unwrap_or_default(),
            tasks: sum("causeway_worker_tasks"),
            requests: sum("causeway_requests_in_flight"),
            permits: sum("causeway_upstream_requests_in_flight") + sum("causeway_upstream_requests_pending"),
            downstream: sum("causeway_downstream_connections"),
            upstream: sum("causeway_upstream_connections"),
            endpoints: sum("causeway_endpoint_connections"),
            started: sum("causeway_requests_started_total"),
            cpu: sum("process_cpu_seconds_total"),
            panics: sum("causeway_panics_total"),
        }
    }
}

/// For everything to be over once the clients have gone: the longest of the proxy's own deadlines is a request's 3 s.
const SETTLE: Duration = Duration::from_secs(20);

impl Stage {
    /// Sets it up. `seed` is the origins'.
    pub async fn set(seed: u64) -> Stage {
        let cast = Cast::start(seed).await;
        let (folder, https, authority) = (Folder::new(), PortLease::take(), Authority::new());
        // Without huge pages, of which the kernel may put one under the heap at any time.
        let folder = folder.with_env("MIMALLOC_ALLOW_THP", "0");
        let (cert, key) = authority.issue(&[NAME]).write(&folder.path(""), "listener");
        let site = Site::start_in(folder, |config| {
            for (name, addrs) in cast.addrs() {
                config.cluster(name, 1, &addrs);
                config.set("Cluster", name, "timeouts", json!({"connect": "500ms", "idle": "1s"}));
            }
            config.set("Cluster", "c", "protocol", json!("http2"));
            add_https(config, https.addr(), &cert, &key);
            short_deadlines(config);
        })
        .await;
        let target = Target {
            http: site.at,
            https: https.addr(),
            tls1: authority.client(&["http/1.1"]),
            tls2: authority.client(&["h2"]),
            name: NAME,
        };
        let base = State::of(&site.proxy).await;
        Stage { site, target, base, cast, _https: https }
    }

    /// Waits until nothing is left of what clients have done. `Err`: what is.
    pub async fn settle(&self) -> Result<State, String> {
        let began = std::time::Instant::now();
        loop {
            let state = State::of(&self.site.proxy).await;
            let left = [state.requests, state.permits, state.downstream, state.upstream, state.endpoints];
            // A thread that compiled a configuration waits some seconds for the next (tokio's blocking pool, 10 s).
            let back = state.descriptors <= self.base.descriptors && state.threads <= self.base.threads;
            if left == [0.0; 5] && back {
                return Ok(state);
            }
            if began.elapsed() > SETTLE {
                return Err(format!(
                    "{SETTLE:?} after the last client: {state:?}; at the start: {:?}",
                    self.base
                ));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Deadlines short against a scene, so that the proxy lives through many of each.
fn short_deadlines(config: &mut Config) {
    let client = json!({
        "requestHeader": "2s", "bodyIdle": "2s", "upgradeIdle": "5s", "keepAliveIdle": "5s", "tlsHandshake": "2s",
    });
    config.client_policy(json!({"timeouts": client}));
    config.set_service("resilience.overallTimeout", json!("3s"));
    config.set_service("resilience.retries.perTryTimeout", json!("700ms"));
    config.set_service("resilience.retries.backoff", json!({"base": "5ms", "max": "50ms"}));
    config.set_service("resilience.recovery", json!({"hold": "1s", "maxHold": "2s", "ramp": "1s"}));
    config.set_service("trafficPolicy.outlierDetection.baseEjectionTime", json!("1s"));
    config.set_service("trafficPolicy.outlierDetection.maxEjectionTime", json!("2s"));
}

/// A change of the config that costs nobody anything: weights, a route and a service that come and go.
pub fn change(config: &mut Config, chance: &mut Chance) {
    for cluster in 0..CLUSTERS.len() {
        config.set_service(&format!("clusters.{cluster}.weight"), json!(1 + chance.below(5)));
    }
    let path = format!("/extra/{}", chance.below(1_000));
    let rule: Value = json!([{
        "matches": [{"path": {"type": "PathPrefix", "value": path}}],
        "backendRefs": [causeway_testkit::config::backend(causeway_testkit::config::SERVICE)],
    }]);
    config.route("extra", rule);
}
