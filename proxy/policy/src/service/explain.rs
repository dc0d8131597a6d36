//! "Is my header hashed, and where does it go?" as an answer, not as a debug log (Istio #43974).

use super::plan::ServicePlan;
use super::route::Target;
use super::view::View;
use crate::hash::KeyHash;
use crate::tick::Tick;

/// Where a key goes right now, and why.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The key's hash.
    pub key: KeyHash,
    /// Index of its home.
    pub home: usize,
    /// The number in (0, 1) that is compared with home's admission: it stays while this is below.
    pub position: f64,
    /// Home first, then the key's own failover order, each with the reason why it would or would not be used.
    pub order: Vec<ClusterExplanation>,
    /// What [`ServicePlan::next`] answers, by the very same call.
    pub target: Option<Target>,
    /// The name of the target's cluster.
    pub cluster: Option<String>,
    /// The address of the target's endpoint.
    pub endpoint: Option<String>,
}

/// One cluster in a key's order.
#[derive(Clone, Debug)]
pub struct ClusterExplanation {
    /// Index in the service.
    pub cluster: usize,
    /// Its name.
    pub name: String,
    /// Its priority.
    pub priority: u32,
    /// Its admission `a`.
    pub admission: f32,
    /// The share of spilled load that it takes.
    pub spill_share: f32,
    /// Its healthy share is below the panic threshold.
    pub panic: bool,
    /// Whether this key may use it.
    pub verdict: Verdict,
}

/// Whether a key may use a cluster.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub enum Verdict {
    /// Home, and the key is within its admission.
    Stays,
    /// Home, and the key is past its admission.
    NotAdmitted,
    /// A target at full admission that takes this key.
    Counts,
    /// A target that is not fully admitted itself.
    PartlyAdmitted,
    /// A target at full admission whose capacity does not take this key.
    NoRoom,
}

impl ServicePlan {
    /// Explains where `key` goes. Asks [`ServicePlan::next`] itself, so it cannot disagree with requests.
    pub fn explain(&self, key: KeyHash, view: &impl View, now: Tick) -> Explanation {
        let _ = (key, view, now);
        todo!()
    }
}
