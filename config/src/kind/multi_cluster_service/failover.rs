//! `failover`: who takes over from whom, and when.

use std::collections::HashSet;
use std::time::Duration;

use serde::Serialize;

use super::ServiceCluster;
use crate::read::{At, Place};
use crate::report::Severity;
use crate::trigger::{Trigger, TriggerKind};

/// One entry of `failover`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FailoverRule {
    /// The cluster that fails.
    pub from: String,
    /// The clusters that take over, a set: ordered by priority, then by hash. Never empty, never holds `from`.
    pub to: Vec<String>,
    /// What starts it. Every cluster has `clusterUnhealthy` anyway.
    pub trigger_on: Vec<Trigger>,
}

/// Latencies that one service's triggers may compare with: the proxy counts each request against each of them.
const MAX_LATENCIES: usize = 4;

/// `failover` as read.
#[derive(Default)]
pub(super) struct Failover {
    pub(super) rules: Vec<FailoverRule>,
    /// The latencies that trigger, and where they stand.
    latencies: Vec<(Duration, Place)>,
}

impl Failover {
    /// `clusters` are those of the service, empty if they could not be read.
    pub(super) fn read(at: At<'_>, clusters: &[ServiceCluster]) -> Option<Self> {
        let known: HashSet<&str> = clusters.iter().map(|cluster| &*cluster.name).collect();
        let mut sources = HashSet::new();
        let mut latencies = Vec::new();
        let mut distinct = HashSet::new();
        let rules = at.list(|at| {
            let mut fields = at.fields()?;
            let from = fields.need("from", "name the cluster that fails", |at| {
                let from = member(at, clusters, &known)?;
                at.unique(&mut sources, "a rule from", &from);
                Some(from)
            });
            let mut targets = HashSet::new();
            let to = fields.need("to", "list the clusters that take over", |at| {
                at.filled_list(|at| {
                    let to = member(at, clusters, &known)?;
                    at.unique(&mut targets, "the target", &to);
                    if Some(&to) == from.as_ref() {
                        at.error(format!("`{to}` fails over to itself"), "name another cluster");
                    }
                    Some(to)
                })
            });
            let trigger_on = fields.get("triggerOn", |at| {
                at.list(|at| {
                    let trigger = Trigger::read(at)?;
                    if let TriggerKind::HighLatency { threshold, .. } = trigger.kind {
                        if distinct.insert(threshold) && distinct.len() > MAX_LATENCIES {
                            at.error(
                                format!("the service's triggers name more than {MAX_LATENCIES} latencies"),
                                "use one of those above again: a request is counted against each of them",
                            );
                        }
                        latencies.push((threshold, at.place()));
                    }
                    Some(trigger)
                })
            });
            let trigger_on = trigger_on.unwrap_or_else(|| vec![Trigger::cluster_unhealthy()]);
            Some(FailoverRule { from: from?, to: to?, trigger_on })
        })?;
        Some(Failover { rules, latencies })
    }

    /// A latency that no try can reach triggers nothing.
    pub(super) fn check_latencies(&self, at: At<'_>, per_try_timeout: Duration) {
        for (_, place) in self.latencies.iter().filter(|(latency, _)| *latency >= per_try_timeout) {
            let message = "never triggers: `retries.perTryTimeout` ends every try before that latency";
            at.file.notes.note(
                Severity::Warning,
                place,
                message,
                "lower the latency, or raise `perTryTimeout`",
            );
        }
    }
}

fn member(at: At<'_>, clusters: &[ServiceCluster], known: &HashSet<&str>) -> Option<String> {
    let name = at.name()?;
    if clusters.is_empty() || known.contains(&*name) {
        return Some(name);
    }
    let remedy = at.file.notes.remedy(
        &name,
        clusters.iter().map(|cluster| &*cluster.name),
        "the clusters of this service are",
    );
    at.refuse(format!("`{name}` is not one of the service's clusters"), remedy)
}

#[cfg(test)]
mod tests {
    use crate::testing::service;

    #[test]
    fn a_rule_means_the_same_under_spec_and_under_resilience() {
        let clusters = "clusters: [{name: a}, {name: b}]";
        let rule = "failover: [{from: a, to: [b], triggerOn: [highErrorRate (> 5%)]}]";
        let under_spec = service(&format!("{clusters}, {rule}, resilience: {{overallTimeout: 15s}}"));
        let under_resilience = service(&format!("{clusters}, resilience: {{{rule}}}"));
        assert_eq!(under_spec.failover.len(), 1);
        assert_eq!(under_spec, under_resilience);
    }
}
