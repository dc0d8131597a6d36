//! `CostAwareScheduling` (scheduling.macleodlabs.io/v1): where and when batch jobs may run, and for how much.
//!
//! Read and checked now, run by the control plane's placement service.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use serde::Serialize;

use crate::read::{At, Fields, units};

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

impl CostAwareScheduling {
    pub(crate) fn read(name: &str, mut spec: Fields<'_>) -> Option<Self> {
        let time_zone = spec.get("timeZone", time_zone).unwrap_or_else(|| String::from("UTC"));
        let cost = spec.get("costPolicy", |at| at.fields().map(CostPolicy::read));
        let sla = spec.get("slaPolicy", |at| at.fields().map(SlaPolicy::read));
        let resources = spec.need("resources", "write what a job needs: {cpu: \"16\", memory: 64Gi}", |at| {
            at.fields().and_then(ResourceNeeds::read)
        });
        let data = spec.or("data", Vec::new(), |at| {
            at.list(|at| {
                let mut fields = at.fields()?;
                let region = fields.need("region", "name the region", |at| at.text());
                let size_gb = fields.need("sizeGB", "write how much lies there", |at| at.positive());
                Some(DataSet { region: region?, size_gb: size_gb? })
            })
        });
        let gpu_speed = spec.or("gpuSpeed", BTreeMap::new(), |at| {
            let speeds = at.fields()?.each(|kind, at| at.positive().map(|speed| (kind.to_owned(), speed)));
            Some(speeds.into_iter().collect())
        });
        let resources = resources?;
        let types: HashSet<&String> = resources.gpu_types.iter().collect();
        for kind in gpu_speed.keys().filter(|kind| !types.is_empty() && !types.contains(kind)) {
            let message = format!("`{kind}` has a speed but is not among `resources.gpuType`");
            spec.warn_at("gpuSpeed", message, "add it there, or leave it out here");
        }
        Some(CostAwareScheduling {
            name: name.to_owned(),
            time_zone,
            cost: cost.unwrap_or_default(),
            sla: sla.unwrap_or_default(),
            resources,
            data,
            gpu_speed,
        })
    }
}

/// The form of an IANA name; whether it exists is for the service that has the database.
fn time_zone(at: At<'_>) -> Option<String> {
    let text = at.text()?;
    let fits = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/_+-".contains(&byte));
    match fits {
        true => Some(text),
        false => at.refuse(
            format!("`{text}` is not a time zone"),
            "write an IANA name, such as UTC or Europe/Berlin",
        ),
    }
}

impl Default for CostPolicy {
    fn default() -> Self {
        CostPolicy {
            max_cost_per_hour: None,
            prefer_spot: true,
            spot_max_price: None,
            time_of_day: Vec::new(),
            preference_weight: 0.05,
        }
    }
}

impl CostPolicy {
    fn read(mut fields: Fields<'_>) -> Self {
        let base = CostPolicy::default();
        let policy = CostPolicy {
            max_cost_per_hour: fields.get("maxCostPerHour", |at| at.positive()),
            prefer_spot: fields.or("preferSpot", base.prefer_spot, |at| at.boolean()),
            spot_max_price: fields.get("spotMaxPrice", |at| at.positive()),
            time_of_day: fields
                .or("timeOfDay", base.time_of_day, |at| at.list(|at| PriceWindow::read(at.fields()?))),
            preference_weight: fields.or("preferenceWeight", base.preference_weight, |at| at.f64(0.0..=1.0)),
        };
        if let Some((spot, most)) = policy.spot_max_price.zip(policy.max_cost_per_hour)
            && spot > most
        {
            let remedy = "lower `spotMaxPrice`, or raise `maxCostPerHour`";
            fields.warn_at("spotMaxPrice", "above `maxCostPerHour`, which one instance would exceed", remedy);
        }
        let twice =
            |minute: u16| policy.time_of_day.iter().filter(|window| window.contains(minute)).count() > 1;
        if let Some(minute) = (0..1440).find(|minute| twice(*minute)) {
            let message = format!("two windows hold at {:02}:{:02}", minute / 60, minute % 60);
            fields.warn_at(
                "timeOfDay",
                message,
                "end one where the other begins; the preferred regions of both count",
            );
        }
        policy
    }
}

impl PriceWindow {
    /// Whether it holds in this minute of the day.
    pub fn contains(&self, minute: u16) -> bool {
        match self.from_minute < self.to_minute {
            true => (self.from_minute..self.to_minute).contains(&minute),
            false => minute >= self.from_minute || minute < self.to_minute,
        }
    }

    fn read(mut fields: Fields<'_>) -> Option<Self> {
        let hours = fields.need("hours", "write \"HH:MM-HH:MM\"", |at| {
            let text = at.any_text()?;
            let hours = text.split_once('-').and_then(|(from, to)| minute(from).zip(minute(to)));
            match hours.filter(|(from, to)| from != to && *from < 1440) {
                Some(hours) => Some(hours),
                None => at.refuse(
                    format!("`{text}` is not a window of hours"),
                    "write \"HH:MM-HH:MM\", such as \"08:00-18:00\"",
                ),
            }
        });
        let prefer_regions =
            fields.need("preferRegions", "list the regions", |at| at.filled_list(|at| at.text()));
        let reason = fields.get("reason", |at| at.text());
        let (from_minute, to_minute) = hours?;
        Some(PriceWindow { from_minute, to_minute, prefer_regions: prefer_regions?, reason })
    }
}

fn minute(text: &str) -> Option<u16> {
    let (hour, minute) = text.trim().split_once(':')?;
    let number = |text: &str, most: u64| {
        (text.len() == 2).then(|| units::digits(text)).flatten().filter(|number| *number <= most)
    };
    let minutes = number(hour, 24)? * 60 + number(minute, 59)?;
    u16::try_from(minutes).ok().filter(|minutes| *minutes <= 1440)
}

impl Default for SlaPolicy {
    fn default() -> Self {
        SlaPolicy {
            completion_deadline: None,
            interruption_tolerance: InterruptionTolerance::Medium,
            data_locality: DataLocality::None,
            estimated_runtime: None,
            changeover_delay: Duration::from_secs(12 * 60),
            checkpoint: None,
        }
    }
}

impl SlaPolicy {
    fn read(mut fields: Fields<'_>) -> Self {
        use InterruptionTolerance::{High, Low, Medium};
        let base = SlaPolicy::default();
        let localities = [
            ("required", DataLocality::Required),
            ("preferred", DataLocality::Preferred),
            ("none", DataLocality::None),
        ];
        let policy = SlaPolicy {
            completion_deadline: fields.get("completionDeadline", |at| at.period()),
            interruption_tolerance: fields.or("interruptionTolerance", base.interruption_tolerance, |at| {
                at.choice(&[("low", Low), ("medium", Medium), ("high", High)])
            }),
            data_locality: fields.or("dataLocality", base.data_locality, |at| at.choice(&localities)),
            estimated_runtime: fields.get("estimatedRuntime", |at| at.period()),
            changeover_delay: fields.or("changeoverDelay", base.changeover_delay, |at| at.duration()),
            checkpoint: fields.get("checkpoint", |at| {
                let mut fields = at.fields()?;
                let size_gb = fields.need("sizeGB", "write the size of a checkpoint", |at| at.positive());
                let interval = fields.need("interval", "write how often, such as 10m", |at| at.period());
                Some(Checkpoint { size_gb: size_gb?, interval: interval? })
            }),
        };
        if let Some((runtime, deadline)) = policy.estimated_runtime.zip(policy.completion_deadline)
            && runtime > deadline
        {
            let remedy = "raise `completionDeadline`, or lower `estimatedRuntime`";
            fields.error_at(
                "estimatedRuntime",
                "longer than `completionDeadline`: every job would be late",
                remedy,
            );
        }
        policy
    }
}

impl ResourceNeeds {
    fn read(mut fields: Fields<'_>) -> Option<Self> {
        let cpu_millis =
            fields.need("cpu", "write how many CPUs, such as \"16\"", |at| match at.cpu_millis()? {
                0 => at.refuse("a job without a CPU cannot run", "write how many it needs"),
                millis => Some(millis),
            });
        let memory_bytes = fields.need("memory", "write how much, such as 64Gi", |at| match at.bytes()? {
            0 => at.refuse("a job without memory cannot run", "write how much it needs"),
            bytes => Some(bytes),
        });
        let gpus = fields.or("gpu", 0, |at| {
            let text = at.any_text()?;
            let gpus = units::digits(text).and_then(|gpus| u32::try_from(gpus).ok());
            gpus.or_else(|| {
                at.refuse(format!("`{text}` is not a number of GPUs"), "write a whole number, such as \"1\"")
            })
        });
        let mut seen = HashSet::new();
        let gpu_types = fields.or("gpuType", Vec::new(), |at| {
            at.list(|at| {
                let kind = at.text()?;
                at.unique(&mut seen, "the GPU type", &kind);
                Some(kind)
            })
        });
        if gpus == 0 && !gpu_types.is_empty() {
            fields.warn_at(
                "gpuType",
                "a job without a GPU has no type of it",
                "write `gpu`, or leave `gpuType` out",
            );
        }
        Some(ResourceNeeds { cpu_millis: cpu_millis?, memory_bytes: memory_bytes?, gpus, gpu_types })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_may_run_over_midnight_and_ends_before_its_end() {
        let window = |from_minute, to_minute| PriceWindow {
            from_minute,
            to_minute,
            prefer_regions: vec!["r".into()],
            reason: None,
        };
        let day = window(480, 1080);
        assert!(day.contains(480) && day.contains(1079) && !day.contains(1080) && !day.contains(0));
        let night = window(1320, 360);
        assert!(night.contains(1439) && night.contains(0) && !night.contains(360) && !night.contains(720));
    }

    #[test]
    fn a_minute_of_the_day_has_two_digits_each() {
        assert_eq!((minute("00:00"), minute("18:30"), minute("24:00")), (Some(0), Some(1110), Some(1440)));
        for text in ["24:01", "25:00", "8:00", "08:60", "0800", "", "+1:00"] {
            assert_eq!(minute(text), None, "{text}");
        }
    }
}
