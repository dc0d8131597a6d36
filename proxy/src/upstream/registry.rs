//! Where the live state lives between snapshots.
//!
//! Only compiling a snapshot asks here, under a lock; requests hold the `Arc`s that the snapshot took. State that
//! no snapshot names any more is dropped with the last request that still uses it, and its id is used again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::buckets::LimitState;
use super::endpoint::EndpointState;
use super::extras::{FaultState, MirrorState};
use super::lane::LaneState;
use super::service::{BudgetState, ServiceState};

/// All live state of the process.
pub struct Registry {
    workers: usize,
    tables: Mutex<Tables>,
}

#[derive(Default)]
struct Tables {
    endpoints: Ids<(String, String), EndpointState>,
    lanes: Ids<(String, String), LaneState>,
    services: Ids<String, ServiceState>,
    pools: Ids<(u32, u32), PoolId>,
    budgets: HashMap<String, Weak<BudgetState>>,
    limits: HashMap<String, Weak<LimitState>>,
    faults: HashMap<String, Weak<FaultState>>,
    mirrors: HashMap<String, Weak<MirrorState>>,
}

/// The place of one (lane, endpoint) in every worker's table of pools, reserved as long as a snapshot names it.
#[derive(Debug)]
pub struct PoolId(pub u32);

impl Registry {
    /// An empty one.
    pub fn new(workers: usize) -> Registry {
        Registry { workers, tables: Mutex::default() }
    }

    /// How many workers use what it makes.
    pub fn workers(&self) -> usize {
        self.workers
    }

    fn tables(&self) -> std::sync::MutexGuard<'_, Tables> {
        // The tables are consistent between any two statements; a panic elsewhere does not spoil them.
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The endpoint at `address` of `cluster`.
    pub fn endpoint(&self, cluster: &str, address: &str) -> Arc<EndpointState> {
        let make = |id| EndpointState::new(id, cluster, address, self.workers);
        self.tables().endpoints.get((cluster.to_owned(), address.to_owned()), make)
    }

    /// The lane of `service` to `cluster`.
    pub fn lane(&self, service: &str, cluster: &str) -> Arc<LaneState> {
        let make = |id| LaneState::new(id, service, cluster, self.workers);
        self.tables().lanes.get((service.to_owned(), cluster.to_owned()), make)
    }

    /// The service of that name.
    pub fn service(&self, name: &str) -> Arc<ServiceState> {
        let make = |id| ServiceState::new(id, name, self.workers);
        self.tables().services.get(name.to_owned(), make)
    }

    /// The pool of connections from a lane to an endpoint.
    pub fn pool(&self, lane: &LaneState, endpoint: &EndpointState) -> Arc<PoolId> {
        self.tables().pools.get((lane.id, endpoint.id), PoolId)
    }

    /// The retry budget's counts of a service with these clusters.
    pub fn budget(&self, service: &str, clusters: Vec<Arc<str>>) -> Arc<BudgetState> {
        let fits = |found: &BudgetState| *found.clusters() == *clusters;
        let make = || BudgetState::new(clusters.clone().into(), self.workers);
        held(&mut self.tables().budgets, service, fits, make)
    }

    /// The buckets of a rate limit; made anew, and so full, where their number changes.
    pub fn rate_limit(&self, name: &str, slots: Option<u32>) -> Arc<LimitState> {
        let make = || LimitState::new(name, slots, self.workers);
        held(&mut self.tables().limits, name, |found| found.fits(slots), make)
    }

    /// The counters of a fault injection.
    pub fn fault(&self, name: &str) -> Arc<FaultState> {
        let make = || FaultState::new(name, self.workers);
        held(&mut self.tables().faults, name, |_| true, make)
    }

    /// The counters of what is mirrored to a service.
    pub fn mirror(&self, service: &str) -> Arc<MirrorState> {
        let make = || MirrorState::new(service, self.workers);
        held(&mut self.tables().mirrors, service, |_| true, make)
    }

    /// Forgets what nobody holds any more. Called after a new snapshot is in use.
    pub fn sweep(&self) {
        let mut tables = self.tables();
        tables.pools.sweep();
        tables.endpoints.sweep();
        tables.lanes.sweep();
        tables.services.sweep();
        tables.budgets.retain(|_, state| state.strong_count() > 0);
        tables.limits.retain(|_, state| state.strong_count() > 0);
        tables.faults.retain(|_, state| state.strong_count() > 0);
        tables.mirrors.retain(|_, state| state.strong_count() > 0);
    }

    /// How many endpoints, lanes and services are alive.
    pub fn sizes(&self) -> (usize, usize, usize) {
        let tables = self.tables();
        (tables.endpoints.by_key.len(), tables.lanes.by_key.len(), tables.services.by_key.len())
    }
}

/// The value of that name, if somebody holds one that fits; else a new one.
fn held<V>(
    table: &mut HashMap<String, Weak<V>>,
    name: &str,
    fits: impl FnOnce(&V) -> bool,
    make: impl FnOnce() -> V,
) -> Arc<V> {
    if let Some(found) = table.get(name).and_then(Weak::upgrade).filter(|found| fits(found)) {
        return found;
    }
    let made = Arc::new(make());
    table.insert(name.to_owned(), Arc::downgrade(&made));
    made
}

/// Values by key, each with a dense id that is free again once nobody holds the value.
struct Ids<K, V> {
    by_key: HashMap<K, (u32, Weak<V>)>,
    free: Vec<u32>,
    next: u32,
}

impl<K, V> Default for Ids<K, V> {
    fn default() -> Self {
        Ids { by_key: HashMap::new(), free: Vec::new(), next: 0 }
    }
}

impl<K: std::hash::Hash + Eq, V> Ids<K, V> {
    fn get(&mut self, key: K, make: impl FnOnce(u32) -> V) -> Arc<V> {
        let held = self.by_key.get(&key);
        if let Some(value) = held.and_then(|(_, value)| value.upgrade()) {
            return value;
        }
        // A dead entry of the same key hands its id on: nobody holds it.
        let id = held.map(|(id, _)| *id).or_else(|| self.free.pop()).unwrap_or_else(|| {
            self.next += 1;
            self.next - 1
        });
        let value = Arc::new(make(id));
        self.by_key.insert(key, (id, Arc::downgrade(&value)));
        value
    }

    fn sweep(&mut self) {
        let free = &mut self.free;
        self.by_key.retain(|_, (id, value)| {
            let alive = value.strong_count() > 0;
            if !alive {
                free.push(*id);
            }
            alive
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_is_found_again_by_cluster_and_address() {
        let registry = Registry::new(2);
        let first = registry.endpoint("a", "h:80");
        let again = registry.endpoint("a", "h:80");
        assert!(Arc::ptr_eq(&first, &again));
        assert!(!Arc::ptr_eq(&first, &registry.endpoint("b", "h:80")));
    }

    #[test]
    fn an_id_is_used_again_only_after_its_owner_is_gone() {
        let registry = Registry::new(1);
        let old = registry.endpoint("a", "h:1");
        let id = old.id;
        registry.sweep();
        let other = registry.endpoint("a", "h:2");
        assert_ne!(other.id, id);
        drop(old);
        registry.sweep();
        let third = registry.endpoint("a", "h:3");
        assert_eq!(third.id, id);
        drop(other);
        registry.sweep();
        assert_eq!(registry.sizes().0, 1);
    }

    #[test]
    fn a_rate_limit_keeps_its_buckets_unless_their_number_changes() {
        let registry = Registry::new(1);
        let one = registry.rate_limit("l", Some(1_024));
        assert!(Arc::ptr_eq(&one, &registry.rate_limit("l", Some(1_024))));
        assert!(!Arc::ptr_eq(&one, &registry.rate_limit("l", Some(2_048))));
        assert!(!Arc::ptr_eq(&one, &registry.rate_limit("l", None)));
        assert!(!Arc::ptr_eq(&one, &registry.rate_limit("m", Some(1_024))));
    }

    #[test]
    fn a_budget_starts_anew_when_the_list_of_clusters_changes() {
        let registry = Registry::new(1);
        let one = registry.budget("s", vec!["a".into(), "b".into()]);
        assert!(Arc::ptr_eq(&one, &registry.budget("s", vec!["a".into(), "b".into()])));
        assert!(!Arc::ptr_eq(&one, &registry.budget("s", vec!["b".into(), "a".into()])));
    }
}
