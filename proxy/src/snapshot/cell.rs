//! The only place that a snapshot is swapped in.

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
