//! Maglev
use crate::hash::KeyHash;
use crate::rendezvous::Node;
/// A table.
#[derive(Debug)]
pub struct Maglev {}
impl Maglev {
    /// Builds.
    pub fn new(nodes: &[Node]) -> Maglev {
        let _ = nodes;
        todo!()
    }
    /// i-th choice
    pub fn choice(&self, key: KeyHash, i: u64) -> Option<usize> {
        let _ = (key, i);
        todo!()
    }
}
