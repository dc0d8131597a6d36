//! `selection: PriorityTiers`: the meaning of Envoy's priorities.
//!
//! A tier's availability is the weighted mean of its clusters' admissions (which have the overprovisioning in
//! them already). The first tier takes what it can, the next what is left of that, and so on; if all together
//! are below 1 the shares are scaled up. Keys sit at fixed positions on that scale, so a tier that gets weaker
//! gives up its last users only, and takes the same ones back.

use super::plan::ServicePlan;
use super::view::View;
use crate::hash::{KeyHash, SALT_TIER, mix, unit};

impl ServicePlan {
    /// The cluster for `key`, and whether all tiers together can take everything. `None` = no cluster admits
    /// anybody.
    pub(super) fn tier_choice(&self, key: KeyHash, view: &impl View) -> Option<(u16, bool)> {
        let total: f64 = self.tier_loads(view).map(|(_, load)| load).sum();
        if total <= 0.0 {
            return None;
        }
        let position = unit(mix(key, 0, SALT_TIER)) * total;
        let mut reached = 0.0;
        let mut last = None;
        for (tier, load) in self.tier_loads(view).filter(|(_, load)| *load > 0.0) {
            reached += load;
            last = self.best_of(key, tier, |c| f64::from(view.admission(c))).or(last);
            if position < reached && last.is_some() {
                break;
            }
        }
        last.map(|cluster| (cluster, total >= 1.0 - 1e-6))
    }

    fn tier_loads(&self, view: &impl View) -> impl Iterator<Item = (&[u16], f64)> {
        let mut left = 1.0f64;
        self.tiers.iter().map(move |tier| {
            let weight = |&c: &u16| f64::from(self.clusters[usize::from(c)].node.weight);
            let total: f64 = tier.iter().map(weight).sum();
            let admitted: f64 =
                tier.iter().map(|c| weight(c) * f64::from(view.admission(usize::from(*c)))).sum();
            let available = if total > 0.0 { (admitted / total).min(1.0) } else { 0.0 };
            let load = available.min(left);
            left -= load;
            (&**tier, load)
        })
    }
}
