//! From the answers of several questions to one set of endpoints.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use super::Found;

/// The addresses that several questions gave.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Addresses {
    /// In order, each once.
    pub known: Vec<IpAddr>,
    /// Every question was answered: there are no others.
    pub whole: bool,
}

impl Addresses {
    /// Joins answers; `None` = no answer, which is not an answer without any address.
    pub fn join(answers: impl IntoIterator<Item = Option<Vec<IpAddr>>>) -> Addresses {
        let mut joined = Addresses { known: Vec::new(), whole: true };
        for answer in answers {
            joined.whole &= answer.is_some();
            joined.known.extend(answer.into_iter().flatten());
        }
        joined.known.sort_unstable();
        joined.known.dedup();
        joined
    }

    /// As a set of endpoints.
    pub fn found(self) -> Found<Vec<IpAddr>> {
        found(self.known, self.whole)
    }
}

fn found<T>(set: Vec<T>, whole: bool) -> Found<Vec<T>> {
    match (set.is_empty(), whole) {
        (true, _) => Found::Nothing,
        (false, true) => Found::All(set),
        (false, false) => Found::Some(set),
    }
}

/// One SRV record, its target looked up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SrvTarget {
    /// Lower is preferred.
    pub priority: u16,
    /// Share within its priority.
    pub weight: u16,
    /// Of all its addresses.
    pub port: u16,
    /// Of the target.
    pub addresses: Addresses,
}

/// RFC 2782: a weight of 0 has a very small chance beside others: this much less than a weight of 1. As much as
/// keeps the largest, 65,535, below a million.
const ABOVE_ZERO: u32 = 15;

/// The endpoints that SRV records name, with weights, in the order of their addresses.
///
/// Only the lowest priority that has an address counts; the next ones are for when it has none (which endpoints
/// are healthy is for the health engine to say, and clusters are what fails over here). Of several records for
/// one address the weights add up. Where all weights are 0, all are 1.
pub fn srv(targets: &[SrvTarget]) -> Found<Vec<(SocketAddr, u32)>> {
    let mut by_priority: BTreeMap<u16, Vec<&SrvTarget>> = BTreeMap::new();
    for target in targets {
        by_priority.entry(target.priority).or_default().push(target);
    }
    let mut whole = true;
    for group in by_priority.values() {
        whole &= group.iter().all(|target| target.addresses.whole);
        let set = weighted(group);
        if !set.is_empty() {
            return found(set, whole);
        }
    }
    Found::Nothing
}

fn weighted(group: &[&SrvTarget]) -> Vec<(SocketAddr, u32)> {
    let (some, none) = (group.iter().any(|t| t.weight > 0), group.iter().any(|t| t.weight == 0));
    let weight = |target: &SrvTarget| match u32::from(target.weight) {
        0 => 1,
        weight if some && none => weight * ABOVE_ZERO,
        weight => weight,
    };
    let mut set: BTreeMap<SocketAddr, u32> = BTreeMap::new();
    for target in group {
        for ip in &target.addresses.known {
            *set.entry(SocketAddr::new(*ip, target.port)).or_default() += weight(target);
        }
    }
    set.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    fn target(priority: u16, weight: u16, port: u16, last: Option<&[u8]>) -> SrvTarget {
        let addresses = Addresses::join([last.map(|all| all.iter().copied().map(ip).collect())]);
        SrvTarget { priority, weight, port, addresses }
    }

    fn at(last: u8, port: u16) -> SocketAddr {
        SocketAddr::new(ip(last), port)
    }

    #[test]
    fn no_answer_and_an_answer_without_addresses_are_two_things() {
        let found = |answers: Vec<Option<Vec<IpAddr>>>| Addresses::join(answers).found();
        assert_eq!(
            found(vec![Some(vec![ip(2), ip(1), ip(2)]), Some(vec![])]),
            Found::All(vec![ip(1), ip(2)])
        );
        assert_eq!(found(vec![Some(vec![ip(1)]), None]), Found::Some(vec![ip(1)]));
        assert_eq!(found(vec![Some(vec![]), Some(vec![])]), Found::Nothing);
        assert_eq!(found(vec![None]), Found::Nothing);
    }

    #[test]
    fn srv_records_give_ports_and_weights_and_the_lowest_priority_counts() {
        let targets = [
            target(20, 1, 80, Some(&[9])),
            target(10, 3, 8081, Some(&[2, 1])),
            target(10, 1, 8080, Some(&[1])),
        ];
        assert_eq!(srv(&targets), Found::All(vec![(at(1, 8080), 1), (at(1, 8081), 3), (at(2, 8081), 3)]));
    }

    #[test]
    fn a_priority_whose_targets_have_no_address_gives_way_to_the_next() {
        let gone = target(10, 1, 80, Some(&[]));
        let next = target(20, 1, 80, Some(&[1]));
        assert_eq!(srv(&[gone.clone(), next.clone()]), Found::All(vec![(at(1, 80), 1)]));
        let silent = target(10, 1, 80, None);
        assert_eq!(srv(&[silent.clone(), next]), Found::Some(vec![(at(1, 80), 1)]), "nobody knows");
        assert_eq!(srv(&[silent, gone]), Found::Nothing);
        assert_eq!(srv(&[]), Found::Nothing);
    }

    #[test]
    fn a_target_without_an_answer_makes_the_set_a_part() {
        let targets = [target(10, 1, 80, Some(&[1])), target(10, 1, 80, None)];
        assert_eq!(srv(&targets), Found::Some(vec![(at(1, 80), 1)]));
    }

    #[test]
    fn a_weight_of_zero_is_a_small_chance_beside_others_and_an_equal_one_among_its_like() {
        let mixed = [target(1, 0, 80, Some(&[1])), target(1, 2, 80, Some(&[2]))];
        assert_eq!(srv(&mixed), Found::All(vec![(at(1, 80), 1), (at(2, 80), 30)]));
        let zeros = [target(1, 0, 80, Some(&[1])), target(1, 0, 80, Some(&[2]))];
        assert_eq!(srv(&zeros), Found::All(vec![(at(1, 80), 1), (at(2, 80), 1)]));
    }

    #[test]
    fn records_for_one_address_add_up() {
        let twice = [target(1, 2, 80, Some(&[1, 1])), target(1, 3, 80, Some(&[1]))];
        assert_eq!(srv(&twice), Found::All(vec![(at(1, 80), 5)]));
    }
}
