//! What is simulated.

use std::sync::Arc;
use std::time::Duration;

use causeway_proxy_policy::endpoints::EndpointParams;
use causeway_proxy_policy::health::{
    ClusterHealthParams, ClusterId, EndpointId, EngineParams, OutlierParams, ProbeThresholds, Recovery,
    ServiceClusterParams, ServiceHealthParams, Trigger,
};
use causeway_proxy_policy::retry_budget::RetryBudget;
use causeway_proxy_policy::{
    ClusterParams, EndpointAlgorithm, EndpointSet, FailoverParams, Selection, ServiceParams, ServicePlan,
    Tick,
};

/// How an endpoint behaves.
#[derive(Copy, Clone, Debug, PartialEq)]
pub enum Behaviour {
    /// Answers in about 5 ms.
    Up,
    /// Refuses connections; what is in flight is reset.
    Dead,
    /// Takes requests and probes and never answers.
    Hang,
    /// Answers requests after this many milliseconds, probes at once.
    Slow(u64),
    /// Answers this percentage with 503, probes with 200.
    Err(u64),
    /// Answers everything with 500, probes with 200.
    Broken,
}

/// Something that happens to a cluster, or to one endpoint of it.
#[derive(Copy, Clone, Debug)]
pub struct Action {
    pub at: Tick,
    pub cluster: usize,
    pub endpoint: Option<usize>,
    pub behaviour: Behaviour,
}

#[derive(Clone, Debug)]
pub struct ClusterSetup {
    pub name: &'static str,
    pub weight: u32,
    pub priority: u32,
    pub endpoints: usize,
    pub capacity: Option<f64>,
}

/// One run. The default is the format's example: 50/30/20, two endpoints each, failover from the first to the others
/// by `clusterUnhealthy`, `highLatency (p99 > 500ms)`, `highErrorRate (> 5%)`; 1,000 users, 600 requests a second.
#[derive(Clone, Debug)]
pub struct Setup {
    pub seed: u64,
    pub secs: u64,
    pub rps: u64,
    pub users: u64,
    pub keyed: bool,
    pub idempotent: bool,
    pub clusters: Vec<ClusterSetup>,
    pub selection: Selection,
    pub fail_closed: bool,
    pub failover: bool,
    pub triggers: bool,
    pub probes: bool,
    pub algorithm: EndpointAlgorithm,
    pub outlier: OutlierParams,
    pub breaker_errors: u32,
    pub recovery: Recovery,
    pub attempts: u32,
    pub budget: RetryBudget,
    pub per_try: Duration,
    pub script: Vec<Action>,
    /// Broken variants, for tests that must be seen failing.
    pub variant: Variant,
}

/// Deliberately broken proxies: what the complaints are about.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Variant {
    Ours,
    /// A retry goes where the failed try went.
    RetriesOnTheSameHost,
    /// The engine is not told of failures: nothing is ever ejected, no breaker opens.
    NoPassiveHealth,
    /// Requests that wait on an endpoint that is given up keep waiting.
    WaitersSleep,
}

impl Default for Setup {
    fn default() -> Self {
        let cluster =
            |name, weight, priority| ClusterSetup { name, weight, priority, endpoints: 2, capacity: None };
        Setup {
            seed: 1,
            secs: 60,
            rps: 600,
            users: 1_000,
            keyed: true,
            idempotent: true,
            clusters: vec![
                cluster("us-east-1", 50, 1),
                cluster("us-west-2", 30, 2),
                cluster("eu-west-1", 20, 2),
            ],
            selection: Selection::WeightedHome,
            fail_closed: false,
            failover: true,
            triggers: true,
            probes: true,
            algorithm: EndpointAlgorithm::Rendezvous,
            outlier: OutlierParams::default(),
            breaker_errors: 5,
            recovery: Recovery::default(),
            attempts: 3,
            budget: RetryBudget::default(),
            per_try: Duration::from_secs(2),
            script: Vec::new(),
            variant: Variant::Ours,
        }
    }
}

impl Setup {
    /// Cluster `cluster`, or its endpoint, behaves so from `secs` on.
    pub fn then(mut self, secs: u64, cluster: usize, endpoint: Option<usize>, behaviour: Behaviour) -> Setup {
        self.script.push(Action { at: Tick::from_secs(secs), cluster, endpoint, behaviour });
        self
    }

    pub fn variant(self, variant: Variant) -> Setup {
        Setup { variant, ..self }
    }

    pub fn plan(&self) -> ServicePlan {
        let cluster = |c: &ClusterSetup| {
            let address = |i| EndpointParams { address: format!("10.0.0.{i}:8080"), weight: 1 };
            let endpoints: Vec<_> = (1..=c.endpoints).map(address).collect();
            let endpoints = Arc::new(EndpointSet::new(c.name, &endpoints, self.algorithm));
            ClusterParams { name: c.name.into(), weight: c.weight, priority: c.priority, endpoints }
        };
        let failover = FailoverParams {
            from: self.clusters[0].name.into(),
            to: self.clusters[1..].iter().map(|c| c.name.into()).collect(),
        };
        ServicePlan::new(ServiceParams {
            selection: self.selection,
            fail_closed: self.fail_closed,
            hash_balance_factor: None,
            clusters: self.clusters.iter().map(cluster).collect(),
            failover: if self.failover { vec![failover] } else { Vec::new() },
        })
    }

    pub fn engine_params(&self) -> EngineParams {
        let mut id = 0;
        let clusters = self.clusters.iter().map(|c| ClusterHealthParams {
            name: c.name.into(),
            endpoints: (1..=c.endpoints)
                .map(|i| {
                    id += 1;
                    (EndpointId(id - 1), format!("10.0.0.{i}:8080"))
                })
                .collect(),
            outlier: self.outlier.clone(),
            probe: self.probes.then(ProbeThresholds::default),
            capacity: c.capacity,
        });
        let clusters = clusters.collect();
        let all = 0..self.clusters.len();
        let entry = |(i, c): (usize, &ClusterSetup)| ServiceClusterParams {
            name: c.name.into(),
            cluster: ClusterId(i as u32),
            triggers: if self.triggers && i == 0 {
                vec![Trigger::high_latency(0.99, Duration::from_millis(500)), Trigger::high_error_rate(0.05)]
            } else {
                Vec::new()
            },
            failover: all.clone().filter(|&other| other != i).collect(),
        };
        let service = ServiceHealthParams {
            name: "api-gateway".into(),
            overprovisioning: 2.0,
            breaker_errors: self.breaker_errors,
            recovery: self.recovery.clone(),
            clusters: self.clusters.iter().enumerate().map(entry).collect(),
        };
        EngineParams { clusters, services: vec![service] }
    }
}
