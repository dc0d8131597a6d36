//! What was measured, as it is kept: `results.json`, one line a measurement, so that a new run reads well as a diff.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::job::Job;
use crate::peer::Peer;

/// A whole comparison.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// The day, UTC.
    pub date: String,
    /// CPU, kernel, compiler.
    pub machine: String,
    /// The commit of this repository.
    pub commit: String,
    /// Length of each measurement.
    pub seconds: f64,
    /// Rounds.
    pub rounds: usize,
    /// Who took part, and in which version.
    pub peers: Vec<(Peer, String)>,
    /// What could not be measured, and why.
    pub missing: Vec<String>,
    /// The measurements.
    #[serde(default)]
    pub samples: Vec<Sample>,
}

/// One measurement. Times in microseconds, memory in KiB; 0 where a job has no such figure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Which round.
    pub round: usize,
    /// Whose.
    pub peer: Peer,
    /// Which job.
    pub job: Job,
    /// CPU time a request, user and system.
    pub cpu_us: f64,
    /// The user part.
    pub user_us: f64,
    /// The system part.
    pub system_us: f64,
    /// Requests a second.
    pub rate: f64,
    /// Median latency; in open loops from when a request was due.
    pub p50_us: f64,
    /// 99th percentile.
    pub p99_us: f64,
    /// 99.9th percentile.
    pub p999_us: f64,
    /// Requests answered.
    pub requests: u64,
    /// Requests without a good answer.
    pub errors: u64,
    /// Open loops: requests that were due and not sent.
    pub late: u64,
    /// Resident memory at the end.
    pub resident_kib: u64,
    /// Idle jobs: resident memory before the connections came.
    pub start_kib: u64,
}

impl Sample {
    /// Nothing measured yet.
    pub fn new(peer: Peer, job: Job, round: usize) -> Sample {
        Sample {
            round,
            peer,
            job,
            cpu_us: 0.0,
            user_us: 0.0,
            system_us: 0.0,
            rate: 0.0,
            p50_us: 0.0,
            p99_us: 0.0,
            p999_us: 0.0,
            requests: 0,
            errors: 0,
            late: 0,
            resident_kib: 0,
            start_kib: 0,
        }
    }

    /// Idle jobs: memory of one connection.
    pub fn connection_kib(&self) -> f64 {
        self.resident_kib.saturating_sub(self.start_kib) as f64 / self.job.shape().connections as f64
    }
}

impl Results {
    /// The samples of a peer at a job, by round.
    pub fn of(&self, peer: Peer, job: Job) -> impl Iterator<Item = &Sample> {
        self.samples.iter().filter(move |sample| sample.peer == peer && sample.job == job)
    }

    /// The version of a peer; `None` if it did not take part.
    pub fn version(&self, peer: Peer) -> Option<&str> {
        self.peers.iter().find(|(one, _)| *one == peer).map(|(_, version)| version.as_str())
    }

    /// Reads a file.
    ///
    /// # Errors
    /// It is not there, or not what [`Results::write`] wrote.
    pub fn read(path: &Path) -> Result<Results, String> {
        let text = fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
        serde_json::from_str(&text)
            .map_err(|e| format!("{}: {e}\n  write it anew with `compare`", path.display()))
    }

    /// Writes a file.
    ///
    /// # Errors
    /// The disk's.
    pub fn write(&self, path: &Path) -> Result<(), String> {
        fs::write(path, self.text()?).map_err(|e| format!("{}: {e}", path.display()))
    }

    fn text(&self) -> Result<String, String> {
        let facts = Results { samples: Vec::new(), ..self.clone() };
        let head = serde_json::to_string_pretty(&facts).map_err(|e| e.to_string())?;
        let head = head.strip_suffix("\"samples\": []\n}").ok_or("the samples come last")?;
        let mut text = format!("{head}\"samples\": [");
        for (i, sample) in self.samples.iter().enumerate() {
            let line = serde_json::to_string(sample).map_err(|e| e.to_string())?;
            let _ = write!(text, "{}\n    {line}", if i == 0 { "" } else { "," });
        }
        text.push_str("\n  ]\n}\n");
        Ok(text)
    }

    /// Rounds figures to what they are worth, so that the file is not twice as long for noise.
    pub fn round_figures(&mut self) {
        let round = |value: &mut f64, digits: i32| {
            let scale = 10f64.powi(digits);
            *value = (*value * scale).round() / scale;
        };
        for sample in &mut self.samples {
            for value in [&mut sample.cpu_us, &mut sample.user_us, &mut sample.system_us] {
                round(value, 2);
            }
            for value in [&mut sample.rate, &mut sample.p50_us, &mut sample.p99_us, &mut sample.p999_us] {
                round(value, 0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again_one_line_a_sample() {
        let mut sample = Sample::new(Peer::NginxCurrent, Job::Http1, 2);
        sample.cpu_us = 17.126;
        let mut results = Results { peers: vec![(Peer::Relay, "1".into())], ..Results::default() };
        results.samples = vec![sample; 3];
        results.round_figures();
        assert_eq!(results.samples[0].cpu_us, 17.13);
        let text = results.text().expect("it has a form");
        assert_eq!(text.lines().filter(|line| line.contains("\"round\":2")).count(), 3);
        assert_eq!(serde_json::from_str::<Results>(&text).expect("JSON"), results);
    }
}
