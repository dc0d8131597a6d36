//! The hash contract: frozen vectors, and how many users a change moves.

use std::collections::BTreeMap;
use std::sync::Arc;

use causeway_proxy_policy::endpoints::EndpointParams;
use causeway_proxy_policy::hash::{self, KeyHash, SALT_ADMISSION, SALT_HOME, SALT_SPILL};
use causeway_proxy_policy::rendezvous::{self, Node};
use causeway_proxy_policy::{ClusterParams, EndpointAlgorithm, EndpointSet, ServiceParams, ServicePlan};
use proptest::prelude::*;
use rendezvous_hash::{Capacity, RendezvousNodes, WeightedNode};

const KEYS: u32 = 12_000;

fn plan(weights: &[(&str, u32)]) -> ServicePlan {
    let cluster = |&(name, weight): &(&str, u32)| ClusterParams {
        name: name.into(),
        weight,
        priority: 1,
        endpoints: Arc::new(EndpointSet::new(name, &[], EndpointAlgorithm::Rendezvous)),
    };
    ServicePlan::new(ServiceParams {
        clusters: weights.iter().map(cluster).collect(),
        ..ServiceParams::default()
    })
}

fn keys() -> impl Iterator<Item = KeyHash> {
    (0..KEYS).map(|i| KeyHash::of(&[format!("user-{i}").as_bytes()]))
}

/// Percent of users whose home has another name.
fn moved(before: &[(&str, u32)], after: &[(&str, u32)]) -> f64 {
    let (a, b) = (plan(before), plan(after));
    let n = keys().filter(|&key| a.cluster_name(a.home(key)) != b.cluster_name(b.home(key))).count();
    n as f64 * 100.0 / f64::from(KEYS)
}

const EXAMPLE: [(&str, u32); 3] = [("us-east-1", 50), ("us-west-2", 30), ("eu-west-1", 20)];

#[test]
fn the_vectors_are_frozen() {
    let endpoints = |cluster: &str| -> Vec<EndpointParams> {
        (1..=3).map(|i| EndpointParams { address: format!("{cluster}.{i}:80"), weight: i }).collect()
    };
    let example = plan(&EXAMPLE);
    let by_hash = EndpointSet::new("c", &endpoints("c"), EndpointAlgorithm::Rendezvous);
    let nodes: Vec<Node> = (0u32..3)
        .map(|i| Node {
            hash: hash::endpoint_node("c", by_hash.address(i as usize).unwrap()),
            weight: i + 1,
            rank: i,
        })
        .collect();
    let table = causeway_proxy_policy::maglev::Maglev::new(&nodes);
    let mut lines = 0;
    for line in include_str!("vectors.txt").lines().filter(|line| !line.starts_with('#') && !line.is_empty())
    {
        let (question, answer) = line.split_once(" = ").expect("question = answer");
        let words: Vec<&str> = question.split(' ').collect();
        let number = |word: &str| u64::from_str_radix(word, 16).expect("hexadecimal");
        let of = |word: &str| KeyHash::of(&[word.as_bytes()]);
        let got = match words[..] {
            ["key", key] => format!("{:016x}", of(key).0),
            ["keys", a, b] => format!("{:016x}", KeyHash::of(&[a.as_bytes(), b.as_bytes()]).0),
            ["cluster", name] => format!("{:016x}", hash::cluster_node(name)),
            ["endpoint", cluster, address] => format!("{:016x}", hash::endpoint_node(cluster, address)),
            ["mix", key, node, salt] => {
                format!("{:016x}", hash::mix(KeyHash(number(key)), number(node), number(salt)))
            }
            ["unit", h] => format!("{:016x}", hash::unit(number(h)).to_bits()),
            ["score", key, node, weight] => {
                let score = rendezvous::score(of(key), hash::cluster_node(node), weight.parse().unwrap());
                format!("{:016x}", score.to_bits())
            }
            ["home", key] => example.cluster_name(example.home(of(key))).unwrap().to_owned(),
            ["maglev", key, i] => table.choice(of(key), i.parse().unwrap()).unwrap().to_string(),
            _ => panic!("not a vector: {line}"),
        };
        assert_eq!(got, answer, "{question}");
        lines += 1;
    }
    assert_eq!(lines, 55, "a vector was added or lost");
}

#[test]
fn losing_the_cluster_of_fifty_moves_its_own_users_and_nobody_else() {
    let measured = moved(&EXAMPLE, &EXAMPLE[1..]);
    assert!((49.0..=51.0).contains(&measured), "{measured} %");
    let (all, two) = (plan(&EXAMPLE), plan(&EXAMPLE[1..]));
    for key in keys().filter(|&key| all.home(key) != 0) {
        assert_eq!(all.home(key), two.home(key) + 1);
    }
}

#[test]
fn weight_shifts_move_little_more_than_the_shares_that_shift() {
    // What must move is what the shares lose together; beside it, what chance makes of 12,000 keys.
    let cases: [(&[u32], &[u32], f64); 4] = [
        (&[50, 30, 20], &[5, 30, 20], 40.9),
        (&[90, 10], &[80, 20], 10.0),
        (&[50, 30, 20], &[5, 55, 40], 45.0),
        (&[1, 1, 1], &[1, 1, 1], 0.0),
    ];
    for (before, after, least) in cases {
        let named = |weights: &[u32]| -> Vec<(&'static str, u32)> {
            EXAMPLE.iter().zip(weights).map(|((name, _), weight)| (*name, *weight)).collect()
        };
        let measured = moved(&named(before), &named(after));
        assert!(measured >= least - 1.1 && measured <= least + 1.1, "{before:?} to {after:?}: {measured} %");
    }
}

/// The hash that cuts `[0, sum)` into the clusters' weights: what Envoy's weighted clusters do.
fn moved_by_cumulative_weights(before: &[(&str, u32)], after: &[(&str, u32)]) -> f64 {
    let home = |weights: &[(&str, u32)], key: KeyHash| {
        let sum: u64 = weights.iter().map(|(_, w)| u64::from(*w)).sum();
        let mut at = (hash::unit(hash::mix(key, 0, SALT_HOME)) * sum as f64) as u64;
        for (name, weight) in weights {
            match at.checked_sub(u64::from(*weight)) {
                Some(rest) => at = rest,
                None => return (*name).to_owned(),
            }
        }
        String::new()
    };
    let n = keys().filter(|&key| home(before, key) != home(after, key)).count();
    n as f64 * 100.0 / f64::from(KEYS)
}

#[test]
fn a_hash_of_cumulative_weights_moves_twenty_points_more() {
    let broken = moved_by_cumulative_weights(&EXAMPLE, &EXAMPLE[1..]);
    assert!((68.0..=72.0).contains(&broken), "{broken} %");
}

#[test]
fn endpoints_keep_their_users_when_the_weight_of_another_changes() {
    let nodes = |weight| -> Vec<Node> {
        (0..6u32)
            .map(|i| Node {
                hash: hash::endpoint_node("c", &format!("10.0.0.{i}:80")),
                weight: if i == 2 { weight } else { 10 },
                rank: i,
            })
            .collect()
    };
    let (before, after) = (nodes(10), nodes(5));
    for key in keys() {
        let was = rendezvous::best(key, &before, true);
        let is = rendezvous::best(key, &after, false);
        assert!(was == is || was == Some(2), "{was:?} became {is:?}");
    }
}

fn weights() -> impl Strategy<Value = BTreeMap<String, u32>> {
    proptest::collection::btree_map("[a-z]{1,8}", 1u32..100, 2..7)
}

fn share_of(homes: &[usize], cluster: usize) -> f64 {
    homes.iter().filter(|&&home| home == cluster).count() as f64 / homes.len() as f64
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_cluster_gets_its_share(weights in weights()) {
        let list: Vec<(&str, u32)> = weights.iter().map(|(name, w)| (name.as_str(), *w)).collect();
        let plan = plan(&list);
        let homes: Vec<usize> = keys().map(|key| plan.home(key)).collect();
        let sum: u32 = weights.values().sum();
        for (cluster, (_, weight)) in list.iter().enumerate() {
            let due = f64::from(*weight) / f64::from(sum);
            // Four standard deviations of 12,000 draws.
            let slack = 4.0 * (due * (1.0 - due) / f64::from(KEYS)).sqrt() + 1e-4;
            let got = share_of(&homes, cluster);
            prop_assert!((got - due).abs() < slack, "{got} for {due}");
        }
    }

    /// `rendezvous_hash` allocates, sorts and uses std's hasher, but what it moves is what a rendezvous must: the
    /// users of the cluster that is lost. Ours moves exactly its own, and as many as the oracle, give or take chance.
    #[test]
    fn losing_a_cluster_moves_what_the_oracle_moves(weights in weights(), pick in any::<prop::sample::Index>()) {
        let list: Vec<(&str, u32)> = weights.iter().map(|(name, w)| (name.as_str(), *w)).collect();
        let lost = list[pick.index(list.len())].0;
        let rest: Vec<(&str, u32)> = list.iter().copied().filter(|(name, _)| *name != lost).collect();
        let (all, fewer) = (plan(&list), plan(&rest));
        let mut own = 0;
        for key in keys() {
            let (was, is) = (all.cluster_name(all.home(key)), fewer.cluster_name(fewer.home(key)));
            prop_assert!(was == is || was == Some(lost), "{was:?} became {is:?}");
            own += u32::from(was == Some(lost));
        }
        let oracle = |list: &[(&str, u32)], key: u32| {
            let mut nodes = RendezvousNodes::default();
            for (name, weight) in list {
                nodes.insert(WeightedNode::new(*name, Capacity::new(f64::from(*weight)).unwrap()));
            }
            nodes.calc_candidates(&key).next().map(|node| node.node.to_owned())
        };
        let few = 2_000;
        let theirs = (0..few).filter(|&key| oracle(&list, key) != oracle(&rest, key)).count();
        let (ours, theirs) = (f64::from(own) / f64::from(KEYS), theirs as f64 / f64::from(few));
        prop_assert!((ours - theirs).abs() < 0.06, "{ours} and {theirs}");
    }

    #[test]
    fn a_half_drained_cluster_keeps_the_same_half(a in 0.0..1.0f64, b in 0.0..1.0f64) {
        // Positions do not move, so the users kept at the smaller admission are among those kept at the larger.
        let (least, most) = (a.min(b), a.max(b));
        let node = hash::cluster_node("us-east-1");
        let kept = |at: f64| keys().filter(|&key| hash::unit(hash::mix(key, node, SALT_ADMISSION)) < at).count();
        let both = keys().filter(|&key| {
            let position = hash::unit(hash::mix(key, node, SALT_ADMISSION));
            position < least && position < most
        });
        prop_assert_eq!(both.count(), kept(least));
        prop_assert!((kept(most) as f64 / f64::from(KEYS) - most).abs() < 0.02);
    }

    #[test]
    fn staying_and_spilling_are_independent_questions(cut in 0.1..0.9f64) {
        let node = hash::cluster_node("us-east-1");
        let below = |key: KeyHash, salt| hash::unit(hash::mix(key, node, salt)) < cut;
        let both = keys().filter(|&k| below(k, SALT_ADMISSION) && below(k, SALT_SPILL)).count();
        prop_assert!((both as f64 / f64::from(KEYS) - cut * cut).abs() < 0.02);
    }
}
