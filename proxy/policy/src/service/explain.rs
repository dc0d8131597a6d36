//! "Is my header hashed, and where does it go?" as an answer, not as a debug log (Istio #43974).

use super::params::Selection;
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
    /// Home, and the key is within its admission (under `PriorityTiers`: it admits somebody; the key's tier is
    /// in [`Explanation::target`]).
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
        let mut route = self.route(Some(key), 0);
        let home = route.home;
        let target = self.next(&mut route, view, now, 0);
        let order = match self.clusters.is_empty() {
            true => Vec::new(),
            false => std::iter::once(home)
                .chain(self.order(key, home))
                .map(|c| self.explain_cluster(key, c, c == home, view))
                .collect(),
        };
        Explanation {
            key,
            home: usize::from(home),
            position: if self.clusters.is_empty() { 0.0 } else { self.position(key, home) },
            order,
            target,
            cluster: target.and_then(|t| self.cluster_name(usize::from(t.cluster))).map(str::to_owned),
            endpoint: target
                .and_then(|t| self.endpoints(usize::from(t.cluster))?.address(t.endpoint as usize))
                .map(str::to_owned),
        }
    }

    fn explain_cluster(&self, key: KeyHash, c: u16, is_home: bool, view: &impl View) -> ClusterExplanation {
        let cluster = &self.clusters[usize::from(c)];
        let admission = view.admission(usize::from(c));
        let stays = match self.selection {
            Selection::WeightedHome => self.stays(key, c, view),
            Selection::PriorityTiers => admission > 0.0,
        };
        let verdict = match () {
            () if is_home && stays => Verdict::Stays,
            () if is_home => Verdict::NotAdmitted,
            () if self.counts(key, c, view) => Verdict::Counts,
            () if admission < 1.0 => Verdict::PartlyAdmitted,
            () => Verdict::NoRoom,
        };
        ClusterExplanation {
            cluster: usize::from(c),
            name: cluster.name.to_string(),
            priority: cluster.priority,
            admission,
            spill_share: view.spill_share(usize::from(c)),
            panic: view.panic(usize::from(c)),
            verdict,
        }
    }
}
