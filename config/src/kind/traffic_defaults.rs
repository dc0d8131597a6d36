//! `TrafficDefaults`: one level of defaults below every `MultiClusterService`. At most one document.
//!
//! It may say what a service says, except what names clusters: `clusters` and `failover`. It leaves no trace in
//! the model but the services' own values. More levels (per namespace, per team) were left out on purpose: with
//! one, a reader finds any value in at most three places.

use super::multi_cluster_service::ServiceDefaults;
use crate::read::Fields;

/// Reads the document on top of the built-in defaults.
pub(crate) fn read(mut spec: Fields<'_>) -> ServiceDefaults {
    ServiceDefaults::default().read(&mut spec, None, |resilience| {
        resilience.get("failover", |at| {
            at.refuse::<()>(
                "`failover` names clusters, so it has no default",
                "move it to the MultiClusterService",
            )
        });
    })
}
