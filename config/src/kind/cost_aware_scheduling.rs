//! `CostAwareScheduling` (scheduling.macleodlabs.io/v1): where and when batch jobs may run, and for how much.
//!
//! Read and checked now, run by the control plane's placement service.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

/// Rules for placing batch jobs.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CostAwareScheduling {
    /// `metadata.name`.
    pub name: String,
    /// IANA name in which `hours` are read. Default `UTC`.
    pub time_zone: String,
    /// What it may cost.
    pub cost: CostPolicy,
    /// What it must hold.
    pub sla: SlaPolicy,
    /// What a job needs.
    pub resources: ResourceNeeds,
    /// Where its input lies.
    pub data: Vec<DataSet>,
    /// Speed of a GPU type relative to the others, above 0.
    pub gpu_speed: BTreeMap<String, f64>,
}

/// `costPolicy`. Amounts in US dollars.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CostPolicy {
    /// For all running jobs of this policy together. `None`: no limit.
    pub max_cost_per_hour: Option<f64>,
    /// `false`: on-demand unless deadline or budget cannot be met. Default `true`.
    pub prefer_spot: bool,
    /// The highest price of one spot instance per hour. `None`: no limit.
    pub spot_max_price: Option<f64>,
    /// Preferred regions by time of day; hours without a window prefer none.
    pub time_of_day: Vec<PriceWindow>,
    /// Weight of a preferred region against the price. Default 0.05.
    pub preference_weight: f64,
}

/// One entry of `timeOfDay`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PriceWindow {
    /// Minute of the day at which it begins, 0 to 1439.
    pub from_minute: u16,
    /// Minute of the day at which it ends, exclusive, to 1440; below `from_minute` it runs over midnight.
    pub to_minute: u16,
    /// Never empty.
    pub prefer_regions: Vec<String>,
    /// For people.
    pub reason: Option<String>,
}

/// `slaPolicy`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SlaPolicy {
    /// From submission to completion. `None`: none.
    #[serde(serialize_with = "crate::serialize::optional_duration")]
    pub completion_deadline: Option<Duration>,
    /// Default: [`InterruptionTolerance::Medium`].
    pub interruption_tolerance: InterruptionTolerance,
    /// Default: [`DataLocality::None`].
    pub data_locality: DataLocality,
    /// How long the work takes uninterrupted.
    #[serde(serialize_with = "crate::serialize::optional_duration")]
    pub estimated_runtime: Option<Duration>,
    /// Lost at each change of instance. Default 12 min.
    #[serde(serialize_with = "crate::serialize::duration")]
    pub changeover_delay: Duration,
    /// `None`: work is lost at an interruption.
    pub checkpoint: Option<Checkpoint>,
}

/// How much interruption a job bears.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum InterruptionTolerance {
    /// On-demand only.
    Low,
    /// Spot with a checkpoint.
    Medium,
    /// Spot wherever allowed.
    High,
}

/// How close to its data a job must run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum DataLocality {
    /// Only where the data is.
    Required,
    /// There, if the price allows.
    Preferred,
    /// Anywhere.
    None,
}

/// `slaPolicy.checkpoint`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Checkpoint {
    /// In 10^9 bytes, above 0.
    pub size_gb: f64,
    /// Between two checkpoints.
    #[serde(serialize_with = "crate::serialize::duration")]
    pub interval: Duration,
}

/// `resources`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceNeeds {
    /// In thousandths of a CPU, above 0.
    pub cpu_millis: u64,
    /// In bytes, above 0.
    pub memory_bytes: u64,
    /// Number of GPUs. Default 0.
    pub gpus: u32,
    /// Acceptable GPU types; empty is any.
    pub gpu_types: Vec<String>,
}

/// One entry of `data`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DataSet {
    /// Where it lies.
    pub region: String,
    /// In 10^9 bytes.
    pub size_gb: f64,
}
