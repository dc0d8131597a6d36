//! From measurements to what people read: verdicts on the goals, tables, plots, the README's table.
//!
//! All of it is made from `results.json` alone, so it can be made again at any time (`causeway-loadtest report`), and a
//! test holds the README to it.

use std::fs;
use std::path::Path;

use causeway_benches::ratio;

use crate::job::Job;
use crate::peer::Peer;
use crate::results::{Results, Sample};

pub mod goal;
pub mod plot;
pub mod readme;
pub mod table;

/// A figure of a sample.
pub type Figure = fn(&Sample) -> f64;

/// The median of a figure; `None` where there is no sample.
pub fn median(results: &Results, peer: Peer, job: Job, figure: Figure) -> Option<f64> {
    ratio::median(&results.of(peer, job).map(figure).collect::<Vec<_>>())
}

/// Writes tables and plots beside `results.json`.
///
/// # Errors
/// The disk's, or the plots'.
pub fn write(results: &Results, folder: &Path) -> Result<(), String> {
    let path = folder.join("README.md");
    fs::write(&path, table::page(results)).map_err(|e| format!("{}: {e}", path.display()))?;
    plot::cpu(results, &folder.join("cpu.svg"))?;
    plot::latency(results, &folder.join("latency.svg"))?;
    plot::memory(results, &folder.join("memory.svg"))
}
