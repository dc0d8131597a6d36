//! The failover order of one key, and which clusters in it count.

use smallvec::SmallVec;

use super::params::Selection;
use super::plan::{Cluster, ServicePlan};
use super::view::View;
use crate::hash::{KeyHash, SALT_ADMISSION, SALT_SPILL, mix, unit};
use crate::rendezvous;

/// Cluster indices. Services of more than eight clusters pay an allocation when they spill.
pub(super) type Order = SmallVec<[u16; 8]>;

impl ServicePlan {
    /// The position of `key` that is compared with the admission of `cluster`: it stays while this is below. The
    /// position never changes, so a half-drained cluster always keeps the same half of its users.
    pub(super) fn position(&self, key: KeyHash, cluster: u16) -> f64 {
        unit(mix(key, self.clusters[usize::from(cluster)].node.hash, SALT_ADMISSION))
    }

    /// Whether home keeps this key.
    #[inline]
    pub(super) fn stays(&self, key: KeyHash, home: u16, view: &impl View) -> bool {
        let admission = view.admission(usize::from(home));
        admission >= 1.0 || (admission > 0.0 && self.position(key, home) < f64::from(admission))
    }

    /// Whether `target` takes keys that are not its own: it is fully admitted itself (a cluster on its way back
    /// must not get more than its ramp), and its capacity has room for this key. Under `PriorityTiers` any
    /// admission counts, as in Envoy.
    pub(super) fn counts(&self, key: KeyHash, target: u16, view: &impl View) -> bool {
        let admission = view.admission(usize::from(target));
        match self.selection {
            Selection::PriorityTiers => admission > 0.0,
            Selection::WeightedHome => admission >= 1.0 && self.has_room(key, target, view),
        }
    }

    pub(super) fn has_room(&self, key: KeyHash, target: u16, view: &impl View) -> bool {
        let share = view.spill_share(usize::from(target));
        let node = self.clusters[usize::from(target)].node.hash;
        share >= 1.0 || unit(mix(key, node, SALT_SPILL)) < f64::from(share)
    }

    /// Where the users of `home` go without it: its failover set by priority, and within one priority by this
    /// key's rendezvous score, so that a lost cluster's users spread over its targets by weight.
    pub(super) fn order(&self, key: KeyHash, home: u16) -> Order {
        let targets = &self.clusters[usize::from(home)].failover;
        let place = |&target: &u16| {
            let Cluster { node, priority, .. } = &self.clusters[usize::from(target)];
            // A cluster of weight 0 takes what nobody of its priority with a weight can take.
            let weight = f64::from(node.weight).max(1e-9);
            Place {
                priority: *priority,
                score: rendezvous::score(key, node.hash, weight),
                rank: node.rank,
                target,
            }
        };
        let mut places: SmallVec<[Place; 8]> = targets.iter().map(place).collect();
        places.sort_unstable_by(|a, b| {
            a.priority.cmp(&b.priority).then(b.score.total_cmp(&a.score)).then(a.rank.cmp(&b.rank))
        });
        places.into_iter().map(|place| place.target).collect()
    }
}

/// What a target is ordered by.
struct Place {
    priority: u32,
    score: f64,
    rank: u32,
    target: u16,
}
