//! What the health engine is configured with.

use std::collections::BTreeMap;
use std::sync::Arc;

use causeway_config::{Config, MultiClusterService, OutlierDetection, TriggerKind as Kind};
use causeway_proxy_policy::health::{
    ClusterHealthParams, ClusterId, EndpointId, EngineParams, FailurePercentage, OutlierParams,
    ProbeThresholds, Recovery, ServiceClusterParams, ServiceHealthParams, SuccessRate, Trigger, TriggerKind,
};

use crate::snapshot::Dial;

/// Services and clusters in the order of the snapshot's.
pub fn params(config: &Config, clusters: &BTreeMap<&str, Arc<Dial>>) -> EngineParams {
    let ids: BTreeMap<&str, ClusterId> =
        clusters.keys().enumerate().map(|(i, name)| (*name, ClusterId(i as u32))).collect();
    EngineParams {
        clusters: clusters.iter().map(|(name, dial)| cluster(config, name, dial)).collect(),
        services: config.services.values().map(|s| service(s, &ids)).collect(),
    }
}

fn cluster(config: &Config, name: &str, dial: &Dial) -> ClusterHealthParams {
    let mut users = config.services.values();
    let user = users.find(|service| service.clusters.iter().any(|entry| entry.endpoints_ref == name));
    ClusterHealthParams {
        name: name.to_owned(),
        endpoints: dial
            .targets
            .iter()
            .map(|target| (EndpointId(target.state.id), target.state.address.to_string()))
            .collect(),
        outlier: user.map_or_else(OutlierParams::default, |service| outlier(&service.outlier)),
        probe: dial.check.as_ref().map(|check| ProbeThresholds {
            unhealthy: check.unhealthy_threshold,
            healthy: check.healthy_threshold,
        }),
        capacity: config.clusters.get(name).and_then(|cluster| cluster.capacity),
    }
}

fn outlier(outlier: &OutlierDetection) -> OutlierParams {
    OutlierParams {
        consecutive_errors: outlier.consecutive_errors,
        consecutive_5xx: outlier.consecutive_5xx,
        consecutive_gateway: outlier.consecutive_gateway,
        consecutive_local_origin: outlier.consecutive_local_origin,
        interval: outlier.interval,
        base_ejection_time: outlier.base_ejection_time,
        max_ejection_time: outlier.max_ejection_time,
        max_ejection_percent: outlier.max_ejection_percent,
        panic_threshold: outlier.panic_threshold,
        failure_percentage: FailurePercentage {
            threshold: outlier.failure_percentage.threshold,
            minimum_hosts: outlier.failure_percentage.minimum_hosts,
            request_volume: u64::from(outlier.failure_percentage.request_volume),
        },
        success_rate: SuccessRate {
            stdev_factor: outlier.success_rate.stdev_factor,
            minimum_hosts: outlier.success_rate.minimum_hosts,
            request_volume: u64::from(outlier.success_rate.request_volume),
        },
    }
}

fn service(service: &MultiClusterService, ids: &BTreeMap<&str, ClusterId>) -> ServiceHealthParams {
    let index = |name: &str| service.clusters.iter().position(|entry| entry.name == name);
    let clusters = service.clusters.iter().enumerate().map(|(i, entry)| {
        let rules = || service.failover.iter().filter(|rule| rule.from == entry.name);
        let named: Vec<usize> = rules().flat_map(|rule| &rule.to).filter_map(|name| index(name)).collect();
        let others = (0..service.clusters.len()).filter(|other| *other != i).collect();
        ServiceClusterParams {
            name: entry.name.clone(),
            cluster: ids.get(entry.endpoints_ref.as_str()).copied().unwrap_or(ClusterId(u32::MAX)),
            triggers: rules().flat_map(|rule| &rule.trigger_on).filter_map(trigger).collect(),
            failover: if rules().next().is_some() { named } else { others },
        }
    });
    ServiceHealthParams {
        name: service.name.clone(),
        overprovisioning: service.overprovisioning,
        breaker_errors: service.breaker.consecutive_errors,
        recovery: Recovery {
            hold: service.recovery.hold,
            max_hold: service.recovery.max_hold,
            ramp: service.recovery.ramp,
        },
        clusters: clusters.collect(),
    }
}

/// `clusterUnhealthy` is always on, rule or not.
fn trigger(trigger: &causeway_config::Trigger) -> Option<Trigger> {
    let kind = match trigger.kind {
        Kind::ClusterUnhealthy => return None,
        Kind::HighLatency { threshold, .. } => TriggerKind::HighLatency(threshold),
        Kind::HighErrorRate { .. } => TriggerKind::HighErrorRate,
    };
    Some(Trigger {
        kind,
        share: trigger.share()?,
        window: trigger.window,
        min_requests: u64::from(trigger.min_requests),
        windows: trigger.windows,
        recover_ratio: trigger.recover_ratio,
    })
}
