//! One `MultiClusterService`: the policy's plan, and the lanes to its clusters.

use std::collections::BTreeMap;
use std::sync::Arc;

use causeway_config as config;
use causeway_proxy_policy::backoff::Backoff;
use causeway_proxy_policy::limits::Limits;
use causeway_proxy_policy::retry::{RetryOn, RetryPolicy};
use causeway_proxy_policy::retry_budget::RetryBudget;
use causeway_proxy_policy::slow_start::SlowStart;
use causeway_proxy_policy::{ClusterParams, FailoverParams, Selection, ServiceParams, ServicePlan};

use crate::snapshot::{Dial, Endpoint, Lane, Service};
use crate::upstream::lane::SLOW_THRESHOLDS;
use crate::upstream::registry::Registry;

/// Compiles one service.
pub fn compile(
    service: &config::MultiClusterService,
    clusters: &BTreeMap<&str, Arc<Dial>>,
    registry: &Registry,
) -> Result<Service, String> {
    let dials: Vec<&Arc<Dial>> = service
        .clusters
        .iter()
        .map(|entry| {
            let name = entry.endpoints_ref.as_str();
            clusters.get(name).ok_or_else(|| format!("there is no Cluster `{name}`: add it"))
        })
        .collect::<Result<_, _>>()?;
    let plan = ServicePlan::new(ServiceParams {
        selection: match service.selection {
            config::Selection::WeightedHome => Selection::WeightedHome,
            config::Selection::PriorityTiers => Selection::PriorityTiers,
        },
        fail_closed: service.fail_closed,
        hash_balance_factor: service.load_balancer.hash_balance_factor,
        clusters: service
            .clusters
            .iter()
            .zip(&dials)
            .map(|(entry, dial)| ClusterParams {
                name: entry.name.clone(),
                weight: entry.weight,
                priority: entry.priority,
                endpoints: dial.endpoints.clone(),
            })
            .collect(),
        failover: service
            .failover
            .iter()
            .map(|rule| FailoverParams { from: rule.from.clone(), to: rule.to.clone() })
            .collect(),
    });
    let lanes = service.clusters.iter().zip(&dials);
    let lanes: Vec<Lane> = lanes.map(|(entry, dial)| lane(service, entry, dial, registry)).collect();
    let ramp = &service.load_balancer.slow_start;
    let names = lanes.iter().map(|lane| lane.state.cluster.clone()).collect();
    let retries = &service.retries;
    Ok(Service {
        state: registry.service(&service.name),
        plan,
        hash_on: service.load_balancer.hash_on.clone(),
        retry: RetryPolicy {
            attempts: retries.attempts,
            on: retry_on(&retries.on),
            non_idempotent: retries.non_idempotent,
        },
        budget: RetryBudget {
            percent: retries.budget.percent,
            min_per_second: retries.budget.min_per_second,
            window: retries.budget.window,
        },
        budget_state: registry.budget(&service.name, names),
        backoff: Backoff { base: retries.backoff.base, max: retries.backoff.max },
        try_timeout: retries.per_try_timeout,
        overall_timeout: service.overall_timeout,
        slow_start: SlowStart {
            window: ramp.window,
            aggression: ramp.aggression,
            min_weight: ramp.min_weight_percent / 100.0,
        },
        slow_thresholds: slow_thresholds(service)?,
        lanes,
    })
}

fn lane(
    service: &config::MultiClusterService,
    entry: &config::ServiceCluster,
    dial: &Arc<Dial>,
    registry: &Registry,
) -> Lane {
    let state = registry.lane(&service.name, &entry.name);
    let endpoints = dial.targets.iter().map(|target| Endpoint {
        state: target.state.clone(),
        socket: target.socket,
        pool: registry.pool(&state, &target.state),
        name: target.name.clone(),
    });
    Lane {
        endpoints: endpoints.collect(),
        state,
        dial: dial.clone(),
        limits: Limits {
            max_connections: service.limits.max_connections,
            max_pending: service.limits.max_pending,
            max_requests: service.limits.max_requests,
        },
    }
}

fn retry_on(on: &config::RetryOn) -> RetryOn {
    RetryOn {
        five_xx: on.five_xx,
        gateway_error: on.gateway_error,
        reset: on.reset,
        connect_failure: on.connect_failure,
        refused_stream: on.refused_stream,
        retriable_4xx: on.retriable_4xx,
        statuses: on.statuses.iter().copied().collect(),
        grpc: on.grpc.iter().copied().collect(),
    }
}

/// The latencies that the service's triggers compare with, ascending, in nanoseconds: the order in which the
/// health engine numbers them.
fn slow_thresholds(service: &config::MultiClusterService) -> Result<Vec<u64>, String> {
    let triggers = service.failover.iter().flat_map(|rule| &rule.trigger_on);
    let mut thresholds: Vec<u64> = triggers
        .filter_map(|trigger| match trigger.kind {
            config::TriggerKind::HighLatency { threshold, .. } => {
                Some(u64::try_from(threshold.as_nanos()).unwrap_or(u64::MAX))
            }
            _ => None,
        })
        .collect();
    thresholds.sort_unstable();
    thresholds.dedup();
    if thresholds.len() > SLOW_THRESHOLDS {
        return Err(format!(
            "its highLatency triggers name {} different thresholds: use at most {SLOW_THRESHOLDS}",
            thresholds.len()
        ));
    }
    Ok(thresholds)
}
