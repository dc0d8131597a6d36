//! `ApplicationSet` (argoproj.io/v1alpha1), in the shape of a progressive rollout.
//!
//! Read and checked now, run by the control plane's delivery service. The order of the list is the order of
//! the waves; `weight` is held for `canaryDuration`, then the cluster gets 100 %.

use std::time::Duration;

use serde::Serialize;

/// A progressive rollout over clusters.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ApplicationSet {
    /// `metadata.name`.
    pub name: String,
    /// The elements of the list generator, in order; never empty, clusters unique.
    pub targets: Vec<RolloutTarget>,
    /// `template.spec.project`.
    pub project: Option<String>,
    /// `template.spec.source`.
    pub source: Option<AppSource>,
    /// `template.spec.destination`.
    pub destination: Option<AppDestination>,
    /// Jobs that must pass before anything is changed.
    pub pre_sync: Vec<AppHook>,
    /// How the desired state is brought about.
    pub sync: SyncPolicy,
    /// What must hold before the next step.
    pub health: Vec<HealthGate>,
}

/// One element of the list generator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RolloutTarget {
    /// Name of the cluster.
    pub cluster: String,
    /// Percent of the cluster's traffic for the new version at first, 1 to 100. Default 100.
    pub weight: u32,
    /// How long `weight` is held. Default 0 s.
    #[serde(serialize_with = "crate::serialize::duration")]
    pub canary_duration: Duration,
}

/// Where the manifests are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AppSource {
    /// URL of the git repository.
    pub repo_url: String,
    /// Folder in it. Default `.`.
    pub path: String,
    /// Branch, tag or commit. Default `HEAD`.
    pub target_revision: String,
}

/// Where the manifests go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AppDestination {
    /// URL of the API server.
    pub server: Option<String>,
    /// Name of the cluster.
    pub name: Option<String>,
    /// Kubernetes namespace.
    pub namespace: Option<String>,
}

/// A job of `preSync`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AppHook {
    /// Name of the Job.
    pub name: String,
    /// Default 10 min.
    #[serde(serialize_with = "crate::serialize::duration")]
    pub timeout: Duration,
    /// Repeats after a failure. Default 0.
    pub retries: u32,
}

/// `syncPolicy`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SyncPolicy {
    /// `None`: only by hand.
    pub automated: Option<AutomatedSync>,
    /// `Name=value`, as written.
    pub options: Vec<String>,
}

/// `syncPolicy.automated`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AutomatedSync {
    /// Delete what is no longer in the source. Default `false`.
    pub prune: bool,
    /// Undo changes made by hand. Default `false`.
    pub self_heal: bool,
    /// Allow a source without any resource. Default `false`.
    pub allow_empty: bool,
}

/// One entry of `health.checks`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum HealthGate {
    /// `kind: Deployment`: at least this percentage of the pods is ready, 1 to 100.
    Deployment {
        /// Percent.
        threshold: u32,
    },
    /// `kind: Service`: the 95th percentile of the response time is below this.
    Service {
        /// Above 0.
        #[serde(serialize_with = "crate::serialize::duration")]
        response_time: Duration,
    },
    /// `kind: Custom`: the metric is below the threshold.
    Custom {
        /// Name of the metric.
        metric: String,
        /// Above 0.
        threshold: f64,
    },
}
