//! The one function that says where a try goes.

use super::params::Selection;
use super::plan::ServicePlan;
use super::route::{Ended, Route, Target, Why};
use super::view::View;
use crate::hash::mix13;
use crate::tick::Tick;

use super::endpoint::Pick;

/// Of the keyless idempotent requests of a home that is at 0 and unprobed, one in this many looks whether it is
/// back.
const TRICKLE: u64 = 100;

impl ServicePlan {
    /// The next place to try: first try, retries, and what follows a limit's refusal.
    ///
    /// The order, for a service with `selection: WeightedHome`:
    ///
    /// 1. Home, while its admission keeps this key.
    /// 2. Else the clusters of home's failover order that count: fully admitted, with room for this key. Where
    ///    none counts and home is at 0, the one with the largest admission above 0.
    /// 3. None left: home anyway (fail static), or nothing with `failClosed`.
    ///
    /// After a failure the same order goes on: one other endpoint of the cluster tried first, then the clusters
    /// of step 2, one endpoint each; the first cluster's further endpoints only where there is no such cluster,
    /// then everybody's further endpoints, and at the very last an endpoint that failed this request before, but
    /// never the one that failed just now. After a timeout, a sibling that itself ran into one within the last
    /// second is passed over, and so are all siblings in a cluster that is not fully admitted: a silent cluster
    /// must not cost two timeouts.
    ///
    /// A limit's refusal passes over the whole cluster (limits are per cluster) and uses up no attempt.
    ///
    /// `None` = nowhere: answer 503 at the first try, or what the last try brought. `roll` need only be set for
    /// requests without a key, fresh for each call.
    pub fn next(&self, route: &mut Route, view: &impl View, now: Tick, roll: u64) -> Option<Target> {
        if usize::from(route.home) >= self.clusters.len() {
            return None;
        }
        let walk = Walk { plan: self, route, view, now, roll };
        if route.tried.is_empty() { walk.first() } else { walk.again() }
    }
}

struct Walk<'a, V> {
    plan: &'a ServicePlan,
    route: &'a Route,
    view: &'a V,
    now: Tick,
    roll: u64,
}

impl<V: View> Walk<'_, V> {
    /// The cluster that keeps this key, if one does.
    #[inline]
    fn keeper(&self) -> Option<(u16, Why)> {
        match self.plan.selection {
            Selection::WeightedHome => {
                let home = self.route.home;
                self.plan.stays(self.route.key, home, self.view).then_some((home, Why::Home))
            }
            Selection::PriorityTiers => {
                self.plan.tier_choice(self.route.key, self.view).map(|(cluster, _)| (cluster, Why::Tier))
            }
        }
    }

    #[inline]
    fn first(&self) -> Option<Target> {
        if let Some((cluster, why)) = self.keeper() {
            if self.ignores_health(cluster) {
                return self.pick(cluster, Pick::IGNORING_HEALTH, Why::Panic);
            }
            if let Some(target) = self.pick(cluster, Pick::ANY, why) {
                return Some(target);
            }
        }
        self.elsewhere()
    }

    /// A first try that its home does not keep.
    #[cold]
    fn elsewhere(&self) -> Option<Target> {
        let home = self.route.home;
        if self.route.trickles
            && self.view.trickle(usize::from(home))
            && mix13(self.roll).is_multiple_of(TRICKLE)
        {
            return self.pick(home, Pick::IGNORING_HEALTH, Why::Trickle);
        }
        let order = self.plan.order(self.route.key, home);
        let counting = order.iter().filter(|&&t| self.plan.counts(self.route.key, t, self.view));
        if let Some(target) = counting.into_iter().find_map(|&t| self.pick(t, Pick::ANY, Why::Spilled)) {
            return Some(target);
        }
        if let Some(target) = self.least_bad(&order).and_then(|t| self.pick(t, Pick::ANY, Why::LeastBad)) {
            return Some(target);
        }
        if self.plan.fail_closed {
            return None;
        }
        let empty = |c: u16| self.plan.clusters[usize::from(c)].endpoints.is_empty();
        if !empty(home) {
            return self.anyway(home, Pick::ANY);
        }
        order.iter().find(|&&t| !empty(t)).and_then(|&t| self.anyway(t, Pick::ANY))
    }

    /// A cluster that does not admit this key, because nobody does.
    fn anyway(&self, cluster: u16, pick: Pick) -> Option<Target> {
        if self.view.panic(usize::from(cluster)) {
            return self.pick(cluster, pick.ignoring_health(), Why::Panic);
        }
        self.pick(cluster, pick, Why::FailStatic)
    }

    /// Where no cluster counts and home is at 0: the one with the largest admission above 0.
    fn least_bad(&self, order: &[u16]) -> Option<u16> {
        let admission = |c: u16| self.view.admission(usize::from(c));
        if admission(self.route.home) > 0.0 || order.iter().any(|&t| admission(t) >= 1.0) {
            return None;
        }
        let some = order.iter().copied().filter(|&t| admission(t) > 0.0);
        some.reduce(|best, t| if admission(t) > admission(best) { t } else { best })
    }

    /// Panic: few endpoints are healthy, and nobody else could take the load. To send all of it to those few
    /// would only finish them off, so health is ignored within the cluster.
    fn ignores_health(&self, cluster: u16) -> bool {
        if !self.view.panic(usize::from(cluster)) {
            return false;
        }
        match self.plan.selection {
            Selection::WeightedHome => {
                let targets = &self.plan.clusters[usize::from(cluster)].failover;
                !targets.iter().any(|&t| self.view.admission(usize::from(t)) > 0.0)
            }
            Selection::PriorityTiers => {
                self.plan.tier_choice(self.route.key, self.view).is_none_or(|(_, enough)| !enough)
            }
        }
    }

    #[cold]
    fn again(&self) -> Option<Target> {
        let route = self.route;
        let keeper = self.keeper().map(|(cluster, _)| cluster);
        let origin = match self.plan.selection {
            Selection::WeightedHome => route.home,
            Selection::PriorityTiers => keeper.unwrap_or(route.home),
        };
        let order = self.plan.order(route.key, origin);
        let counting = || order.iter().copied().filter(|&t| self.plan.counts(route.key, t, self.view));
        let places = || keeper.into_iter().chain(counting()).filter(|&c| !route.refused_by(c));
        let first = route.first_cluster();
        let has_try_left = |c: &u16| {
            let most = if first.is_none_or(|f| f == *c) { 2 } else { 1 };
            route.tries_in(*c) < most && !self.is_suspect(*c)
        };
        let fresh = |c| Pick { skip_silent: self.was_silent(c), ..Pick::ANY };
        let next = places().filter(has_try_left).find_map(|c| self.pick(c, fresh(c), self.why(c)));
        if next.is_some() {
            return next;
        }
        let least_bad = self.least_bad(&order).filter(|t| !route.refused_by(*t) && has_try_left(t));
        if let Some(target) = least_bad.and_then(|t| self.pick(t, fresh(t), self.why(t))) {
            return Some(target);
        }
        let further = places().find_map(|c| self.pick(c, Pick::ANY, self.why(c)));
        if further.is_some() {
            return further;
        }
        // Nobody counts: what there is of home, unless told not to.
        let nobody = keeper.is_none() && counting().next().is_none();
        if nobody && !self.plan.fail_closed && !route.refused_by(origin) {
            let target = self.anyway(origin, Pick::ANY);
            if target.is_some() {
                return target;
            }
        }
        let twice = Pick { tried_too: true, skip_silent: true, ..Pick::ANY };
        places().chain(first.filter(|&f| !route.refused_by(f))).find_map(|c| self.pick(c, twice, Why::Retry))
    }

    /// The last failure was a timeout, and here: its siblings may be silent too.
    fn was_silent(&self, cluster: u16) -> bool {
        self.route.last_failure().is_some_and(|(tried, how)| tried.cluster == cluster && how.is_timeout())
    }

    /// Silent, and on its way back from an outage: one wait is enough to know that it is not back.
    fn is_suspect(&self, cluster: u16) -> bool {
        self.was_silent(cluster) && self.view.admission(usize::from(cluster)) < 1.0
    }

    fn why(&self, cluster: u16) -> Why {
        let refused = self.route.tried.last().is_some_and(|tried| matches!(tried.ended, Ended::Refused));
        match () {
            () if refused => Why::Overflow,
            () if self.route.tries_in(cluster) > 0 => Why::Sibling,
            () => Why::Retry,
        }
    }

    #[inline]
    fn pick(&self, cluster: u16, pick: Pick, why: Why) -> Option<Target> {
        let endpoint = self.plan.endpoint(self.route, cluster, pick, self.view, self.now, self.roll)?;
        Some(Target { cluster, endpoint, why })
    }
}
