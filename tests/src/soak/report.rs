//! What a run found, for people and for programs.

use std::collections::BTreeMap;
use std::fs;
use std::io;

use serde_json::{Value, json};

use super::judge::second_half;
use super::{Plan, Sample, Watched, growth, plot};
use crate::storm::{State, Tally};

/// The whole of it.
pub struct Report {
    /// What was done.
    pub plan: Plan,
    /// The proxy, from time to time.
    pub samples: Vec<Sample>,
    /// What became of the requests.
    pub tally: Tally,
    /// How often each fault befell a request.
    pub faults: BTreeMap<&'static str, u64>,
    /// Changes of the config.
    pub changes: u64,
    /// The proxy once all clients had gone; None: something was left.
    pub settled: Option<State>,
    /// What must not be. Empty: it holds.
    pub complaints: Vec<String>,
}

/// One line of the run's table.
pub(super) fn line(sample: &Sample, tally: &Tally) -> String {
    let State { resident_kib, descriptors, threads, tasks, requests, downstream, upstream, .. } =
        sample.state;
    format!(
        "{:>6.0} s {:>7.1} MiB {descriptors:>5} fds {threads:>3} threads {tasks:>5} tasks {requests:>4} in flight \
         {downstream:>4} + {upstream:>4} connections {:>9} requests {:>3} wrong {:>3} hung",
        sample.at,
        resident_kib / 1024.0,
        tally.requests(),
        tally.of("WRONG"),
        tally.hung.len(),
    )
}

impl Report {
    /// Whether it holds.
    pub fn holds(&self) -> bool {
        self.complaints.is_empty()
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut text = format!("\n{}\n\nfaults:", self.tally.table());
        for (fault, n) in &self.faults {
            text += &format!(" {fault} {n},");
        }
        let befell: u64 = self.faults.values().sum();
        let last = self.samples.last().map(|last| &last.state).cloned().unwrap_or_default();
        text += &format!(
            " {befell} in all\n{} requests, {:.1} GB compared, {} changes of the config, {:.0} s of CPU\n",
            self.tally.requests(),
            self.tally.bytes as f64 / 1e9,
            self.changes,
            last.cpu,
        );
        for watched in Watched::ALL {
            let line = growth(&second_half(&self.samples, watched.of));
            text += &format!(
                "{:<24} mean {:>9.0}, rise over the second half {:>8.0}, of which sure {:>8.0}\n",
                watched.name, line.mean, line.rise, line.surely
            );
        }
        match &self.settled {
            Some(state) => {
                text += &format!(
                    "afterwards: {}\n",
                    line(&Sample { at: last_at(self), state: state.clone() }, &self.tally)
                )
            }
            None => text += "afterwards: something was left\n",
        }
        for complaint in &self.complaints {
            text += &format!("DOES NOT HOLD: {complaint}\n");
        }
        text + if self.holds() { "it holds\n" } else { "" }
    }

    /// Writes `soak.json` and `soak.svg`.
    ///
    /// # Errors
    /// The disk's.
    pub fn write(&self) -> io::Result<()> {
        fs::create_dir_all(&self.plan.out)?;
        fs::write(self.plan.out.join("soak.json"), format!("{:#}\n", self.json()))?;
        plot(&self.samples, &self.plan.out.join("soak.svg")).map_err(io::Error::other)
    }

    fn json(&self) -> Value {
        let fates =
            self.tally.fates.iter().map(|((act, fate), n)| json!({"act": act, "fate": fate, "requests": n}));
        let refused = self.tally.refused.iter().map(|(status, n)| (status.to_string(), json!(n)));
        let growths = Watched::ALL.map(|watched| {
            let line = growth(&second_half(&self.samples, watched.of));
            json!({"of": watched.name, "mean": line.mean, "rise": line.rise, "surely": line.surely})
        });
        json!({
            "holds": self.holds(),
            "complaints": self.complaints,
            "seconds": self.plan.lasts.as_secs_f64(),
            "seed": self.plan.seed,
            "users": self.plan.users,
            "scene_seconds": self.plan.scene.as_secs_f64(),
            "requests": self.tally.requests(),
            "bytes_compared": self.tally.bytes,
            "config_changes": self.changes,
            "fates": fates.collect::<Value>(),
            "refused_by_status": refused.collect::<serde_json::Map<_, _>>(),
            "faults": self.faults,
            "second_half": growths,
            "settled": self.settled.as_ref().map(state),
            "samples": self.samples.iter().map(|sample| {
                let mut value = state(&sample.state);
                value["seconds"] = json!(sample.at);
                value
            }).collect::<Value>(),
        })
    }
}

fn last_at(report: &Report) -> f64 {
    report.samples.last().map_or(0.0, |last| last.at)
}

fn state(state: &State) -> Value {
    json!({
        "resident_kib": state.resident_kib,
        "descriptors": state.descriptors,
        "threads": state.threads,
        "tasks": state.tasks,
        "requests_in_flight": state.requests,
        "permits": state.permits,
        "downstream_connections": state.downstream,
        "upstream_connections": state.upstream,
        "requests_started": state.started,
        "cpu_seconds": state.cpu,
        "panics": state.panics,
    })
}
