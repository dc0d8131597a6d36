//! What one process tells the next of health, when it hands its sockets over.
//!
//! An upgrade in the middle of an outage must not send everybody home to a sick cluster, nor undo what an operator
//! drained by hand. So ejections, verdicts of active checks, outages with their holds and ramps, and what triggers
//! shed are carried, under names and addresses as across a reload. Counters are not: those of the new process begin
//! at 0, and a rule that compares two readings takes the first one anew.
//!
//! Ticks are carried as they are. The new process goes on with the clock of the old one.

use serde::{Deserialize, Serialize};

use super::admission::Outage;
use super::endpoint::Endpoint;
use super::params::Trigger;
use super::shed::Shed;
use super::window::Windows;
use crate::tick::Tick;

/// The state of an engine, to be written down and read by the same or a later version.
///
/// A version that cannot read it starts as if nothing had been carried.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Carried {
    pub(super) clusters: Vec<CarriedCluster>,
    pub(super) services: Vec<CarriedService>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct CarriedCluster {
    pub name: String,
    pub endpoints: Vec<Endpoint>,
    pub dark_at: Option<Tick>,
    pub drained: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct CarriedService {
    pub name: String,
    pub clusters: Vec<CarriedPair>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct CarriedPair {
    pub name: String,
    pub outage: Outage,
    pub watches: Vec<CarriedWatch>,
    pub shut: bool,
    pub by_breaker: bool,
    pub marked_at: Option<Tick>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct CarriedWatch {
    pub trigger: Trigger,
    pub windows: Windows,
    pub shed: Option<Shed>,
}
