//! `ApplicationSet` (argoproj.io/v1alpha1), in the shape of a progressive rollout.
//!
//! Read and checked now, run by the control plane's delivery service. The order of the list is the order of
//! the waves; `weight` is held for `canaryDuration`, then the cluster gets 100 %.

use std::collections::HashSet;
use std::time::Duration;

use serde::Serialize;

use crate::read::Fields;

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
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
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

impl ApplicationSet {
    pub(crate) fn read(name: &str, mut spec: Fields<'_>) -> Option<Self> {
        let mut clusters = HashSet::new();
        let targets =
            spec.need("generators", "list the clusters: [{list: {elements: [{cluster: dev}]}}]", |at| {
                let lists = at.filled_list(|at| {
                    let mut fields = at.fields()?;
                    for other in
                        ["clusters", "git", "scmProvider", "pullRequest", "matrix", "merge", "plugin"]
                    {
                        fields.not_yet(other, "use a `list` generator");
                    }
                    fields.need("list", "use a `list` generator", |at| {
                        let mut fields = at.fields()?;
                        fields.need("elements", "list the clusters, in the order of the waves", |at| {
                            at.filled_list(|at| RolloutTarget::read(at.fields()?, &mut clusters))
                        })
                    })
                })?;
                Some(lists.concat())
            });
        let template = spec.need("template", "describe what is rolled out", |at| {
            let mut fields = at.fields()?;
            fields.ignore("metadata");
            fields.need("spec", "describe what is rolled out", |at| at.fields().map(Template::read))
        });
        let (targets, template) = (targets?, template?);
        Some(ApplicationSet {
            name: name.to_owned(),
            targets,
            project: template.project,
            source: template.source,
            destination: template.destination,
            pre_sync: template.pre_sync,
            sync: template.sync,
            health: template.health,
        })
    }
}

impl RolloutTarget {
    fn read(mut fields: Fields<'_>, seen: &mut HashSet<String>) -> Option<Self> {
        let cluster = fields.need("cluster", "name the cluster", |at| {
            let name = at.name()?;
            at.unique(seen, "the cluster", &name);
            Some(name)
        });
        let weight = fields.or("weight", 100, |at| at.u32(1..=100));
        let canary_duration = fields.or("canaryDuration", Duration::ZERO, |at| at.duration());
        Some(RolloutTarget { cluster: cluster?, weight, canary_duration })
    }
}

/// `template.spec`.
struct Template {
    project: Option<String>,
    source: Option<AppSource>,
    destination: Option<AppDestination>,
    pre_sync: Vec<AppHook>,
    sync: SyncPolicy,
    health: Vec<HealthGate>,
}

impl Template {
    fn read(mut fields: Fields<'_>) -> Self {
        let source = fields.get("source", |at| {
            let mut fields = at.fields()?;
            let repo_url = fields.need("repoURL", "write the URL of the git repository", |at| at.text());
            let path = fields.get("path", |at| at.text()).unwrap_or_else(|| String::from("."));
            let target_revision =
                fields.get("targetRevision", |at| at.text()).unwrap_or_else(|| String::from("HEAD"));
            Some(AppSource { repo_url: repo_url?, path, target_revision })
        });
        let destination = fields.get("destination", |at| {
            let mut fields = at.fields()?;
            Some(AppDestination {
                server: fields.get("server", |at| at.text()),
                name: fields.get("name", |at| at.text()),
                namespace: fields.get("namespace", |at| at.name()),
            })
        });
        Template {
            project: fields.get("project", |at| at.text()),
            source,
            destination,
            pre_sync: fields.or("preSync", Vec::new(), |at| at.list(|at| AppHook::read(at.fields()?))),
            sync: fields.or("syncPolicy", SyncPolicy::default(), |at| at.fields().map(SyncPolicy::read)),
            health: fields.or("health", Vec::new(), |at| {
                let mut fields = at.fields()?;
                fields.get("checks", |at| at.list(|at| HealthGate::read(at.fields()?)))
            }),
        }
    }
}

impl AppHook {
    fn read(mut fields: Fields<'_>) -> Option<Self> {
        fields.need("kind", "write Job", |at| at.choice(&[("Job", ())]));
        let name = fields.need("name", "name the Job", |at| at.name());
        let timeout = fields.or("timeout", Duration::from_secs(600), |at| at.period());
        let retries = fields.or("retries", 0, |at| at.u32(0..=100));
        Some(AppHook { name: name?, timeout, retries })
    }
}

impl SyncPolicy {
    fn read(mut fields: Fields<'_>) -> Self {
        SyncPolicy {
            automated: fields.get("automated", |at| {
                let mut fields = at.fields()?;
                Some(AutomatedSync {
                    prune: fields.or("prune", false, |at| at.boolean()),
                    self_heal: fields.or("selfHeal", false, |at| at.boolean()),
                    allow_empty: fields.or("allowEmpty", false, |at| at.boolean()),
                })
            }),
            options: fields.or("syncOptions", Vec::new(), |at| {
                at.list(|at| {
                    let text = at.text()?;
                    if !text.contains('=') {
                        at.error(
                            format!("`{text}` has no value"),
                            "write Name=value, such as CreateNamespace=true",
                        );
                    }
                    Some(text)
                })
            }),
        }
    }
}

impl HealthGate {
    fn read(mut fields: Fields<'_>) -> Option<Self> {
        #[derive(Clone, Copy)]
        enum Kind {
            Deployment,
            Service,
            Custom,
        }
        let kinds = [("Deployment", Kind::Deployment), ("Service", Kind::Service), ("Custom", Kind::Custom)];
        let kind = fields.need("kind", "write Deployment, Service or Custom", |at| at.choice(&kinds));
        match kind {
            None => {
                fields.ignore_rest();
                None
            }
            Some(Kind::Deployment) => {
                let threshold =
                    fields.need("threshold", "write the percentage of ready pods", |at| at.u32(1..=100));
                Some(HealthGate::Deployment { threshold: threshold? })
            }
            Some(Kind::Service) => {
                let response_time =
                    fields.need("responseTime", "write a time, such as 200ms", |at| at.period());
                Some(HealthGate::Service { response_time: response_time? })
            }
            Some(Kind::Custom) => {
                let metric = fields.need("metric", "name the metric, such as error_rate", |at| at.text());
                let threshold = fields.need("threshold", "write the value to stay below", |at| at.positive());
                Some(HealthGate::Custom { metric: metric?, threshold: threshold? })
            }
        }
    }
}
