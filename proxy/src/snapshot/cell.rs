//! The only place that a snapshot is swapped in, and where those of before end.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::Snapshot;

/// The snapshot in force.
pub struct SnapshotCell(ArcSwap<Snapshot>);

impl SnapshotCell {
    /// Starts with the first one.
    pub fn new(snapshot: Arc<Snapshot>) -> SnapshotCell {
        SnapshotCell(ArcSwap::new(snapshot))
    }

    /// The one in force.
    pub fn load(&self) -> Arc<Snapshot> {
        self.0.load_full()
    }

    /// Puts a new one in force.
    pub fn store(&self, snapshot: Arc<Snapshot>) {
        self.0.store(snapshot);
    }
}

/// What was in force before, for as long as somebody else may hold it. Whoever lets go last pays for the end of
/// thousands of endpoints; a worker's other requests would wait for that, so it must not be a worker.
pub struct Retired<T = Snapshot>(Vec<Arc<T>>);

impl<T> Default for Retired<T> {
    fn default() -> Self {
        Retired(Vec::new())
    }
}

impl<T> Retired<T> {
    /// Keeps what was in force.
    pub fn keep(&mut self, old: Arc<T>) {
        self.0.push(old);
    }

    /// Ends what nobody else holds; says whether there was any. So never more is kept than is in use, or was when
    /// this was last called.
    pub fn sweep(&mut self) -> bool {
        let before = self.0.len();
        // Only a holder can make another: a count of one stays one.
        self.0.retain(|old| Arc::strong_count(old) > 1);
        self.0.len() < before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_holds_is_kept_and_ends_in_the_sweep_after() {
        let (held, free) = (Arc::new(1), Arc::new(2));
        let (held_ends, free_ends) = (Arc::downgrade(&held), Arc::downgrade(&free));
        let mut retired = Retired::default();
        retired.keep(held.clone());
        retired.keep(free);
        assert!(retired.sweep() && free_ends.upgrade().is_none());
        assert!(!retired.sweep());
        drop(held);
        assert!(held_ends.upgrade().is_some(), "not the holder ends it");
        assert!(retired.sweep() && held_ends.upgrade().is_none());
    }
}
