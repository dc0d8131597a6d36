//! The endpoint within a cluster.

use super::plan::ServicePlan;
use super::route::Route;
use super::view::View;
use crate::bounded_load;
use crate::endpoints::EndpointSet;
use crate::hash::{SALT_SLOW_START, mix, unit};
use crate::maglev::Maglev;
use crate::p2c::{self, Load};
use crate::rendezvous;
use crate::tick::Tick;

/// How long a timeout at an endpoint speaks against it as a sibling, in nanoseconds: 1 s. Longer, and one lost
/// answer would keep retries away; shorter, and a silent endpoint is forgotten between two requests.
const SILENT_NANOS: u64 = 1_000_000_000;

/// How many choices of a Maglev table are looked at before all endpoints are searched. With half of them out,
/// one key in four billion gets there.
const MAGLEV_CHOICES: u64 = 32;

/// Which endpoints may be picked.
#[derive(Copy, Clone, Debug)]
pub(super) struct Pick {
    /// Those that are out, too.
    pub ignore_health: bool,
    /// Not those that ran into a timeout within the last second.
    pub skip_silent: bool,
    /// Those that failed this request before, too, apart from the last one.
    pub tried_too: bool,
}

impl Pick {
    pub const ANY: Pick = Pick { ignore_health: false, skip_silent: false, tried_too: false };
    pub const IGNORING_HEALTH: Pick = Pick { ignore_health: true, ..Pick::ANY };

    pub const fn ignoring_health(self) -> Pick {
        Pick { ignore_health: true, ..self }
    }
}

impl ServicePlan {
    #[inline]
    pub(super) fn endpoint(
        &self,
        route: &Route,
        cluster: u16,
        pick: Pick,
        view: &impl View,
        now: Tick,
        roll: u64,
    ) -> Option<u32> {
        let set = &*self.clusters[usize::from(cluster)].endpoints;
        let chooser = Chooser { set, bound: self.hash_balance_factor, route, cluster, pick, view, now };
        let chosen = if route.keyed { chooser.by_key() } else { chooser.by_load(roll) };
        chosen.and_then(|i| u32::try_from(i).ok())
    }
}

struct Chooser<'a, V> {
    set: &'a EndpointSet,
    bound: Option<u32>,
    route: &'a Route,
    cluster: u16,
    pick: Pick,
    view: &'a V,
    now: Tick,
}

impl<V: View> Chooser<'_, V> {
    #[inline]
    fn by_key(&self) -> Option<usize> {
        if let Some(table) = &self.set.maglev {
            return self.by_table(table);
        }
        // Who wins at full weight and has its full weight, wins: nobody else's weight can be above its own full
        // one. That is every request in quiet times.
        let winner = rendezvous::best(self.route.key, &self.set.nodes, self.set.uniform)?;
        if self.weight(winner) >= 1.0 && self.has_room(winner) {
            return Some(winner);
        }
        self.by_score()
    }

    #[cold]
    fn by_score(&self) -> Option<usize> {
        let among = |roomy: bool| {
            let factor = |i| if roomy && !self.has_room(i) { 0.0 } else { f64::from(self.weight(i)) };
            rendezvous::best_by(self.route.key, &self.set.nodes, factor)
        };
        if self.bound.is_some() { among(true).or_else(|| among(false)) } else { among(false) }
    }

    #[inline]
    fn by_table(&self, table: &Maglev) -> Option<usize> {
        for i in 0..MAGLEV_CHOICES {
            let choice = table.choice(self.route.key, i)?;
            let weight = f64::from(self.weight(choice));
            let accepts = weight >= 1.0
                || (weight > 0.0
                    && unit(mix(self.route.key, self.set.nodes[choice].hash, SALT_SLOW_START)) < weight);
            if accepts && self.has_room(choice) {
                return Some(choice);
            }
        }
        self.by_score()
    }

    fn by_load(&self, roll: u64) -> Option<usize> {
        let cluster = usize::from(self.cluster);
        let load = |i| Load {
            in_flight: self.view.in_flight(cluster, i),
            latency: self.view.latency_ewma(cluster, i, self.now),
        };
        p2c::choose(self.set, roll, |i| self.weight(i), load)
    }

    /// The factor on the configured weight; 0 = may not be picked.
    #[inline]
    fn weight(&self, i: usize) -> f32 {
        if !self.route.tried.is_empty() && self.is_passed_over(i) {
            return 0.0;
        }
        if self.pick.ignore_health {
            return 1.0;
        }
        self.view.endpoint_weight(usize::from(self.cluster), i, self.now)
    }

    fn is_passed_over(&self, i: usize) -> bool {
        let endpoint = i as u32;
        let just_failed = || {
            let last = self.route.last_failure();
            last.is_some_and(|(tried, _)| tried.cluster == self.cluster && tried.endpoint == endpoint)
        };
        let tried =
            if self.pick.tried_too { just_failed() } else { self.route.was_tried(self.cluster, endpoint) };
        tried || (self.pick.skip_silent && self.is_silent(i))
    }

    fn is_silent(&self, i: usize) -> bool {
        let at = self.view.timed_out_at(usize::from(self.cluster), i);
        at != Tick(0) && self.now.0.saturating_sub(at.0) < SILENT_NANOS
    }

    #[inline]
    fn has_room(&self, i: usize) -> bool {
        let Some(factor) = self.bound else { return true };
        let cluster = usize::from(self.cluster);
        let in_flight = self.view.in_flight(cluster, i);
        if in_flight < bounded_load::FLOOR {
            return true;
        }
        let share = f64::from(self.set.nodes[i].weight) / self.set.total_weight.max(1) as f64;
        bounded_load::has_room(factor, in_flight, self.view.cluster_in_flight(cluster), share)
    }
}
