//! The hash contract: the same users on the same clusters on every proxy, platform and release.
//!
//! ```text
//! key   = XXH3-64 of the key's bytes; several keys chain: the hash of one part seeds the next
//! node  = XXH3-64 of the cluster's name, or of cluster name + 0x00 + endpoint address
//! h     = mix13((key ^ node) + salt * 0x9E3779B97F4A7C15)          (wrapping)
//! U     = ((h >> 11) + 0.5) / 2^53                                  in (0, 1)
//! score = weight / -ln(U), ln from the `libm` crate                 ties by name
//! ```
//!
//! The request's key is hashed once; each further node costs one xor, one add and one finaliser (`mix13`, the
//! best of David Stafford's variants of the MurmurHash3 finaliser, which SplitMix64 uses). Rejected: std's
//! hasher (it may change with any release), hashing key and node bytes together for each node (cost grows with
//! the length of names), the platform's `ln` (differs in the last bit between C libraries, and so between two
//! proxies of one fleet).
//!
//! A salt separates questions about one key that must not be correlated: which home, whether it stays, whether
//! it may spill. The vectors in `tests/vectors.txt` are frozen: a change to anything here is a change of every
//! user's home.

use std::net::IpAddr;

use smallvec::SmallVec;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// Salt of `U` in the choice of the home cluster and of an endpoint by rendezvous.
pub const SALT_HOME: u64 = 1;
/// Salt of `U'`: a key stays at home while `U' < a`.
pub const SALT_ADMISSION: u64 = 2;
/// Salt of `U''`: a key may use a target while `U'' < s`, the target's share of spilled load.
pub const SALT_SPILL: u64 = 3;
/// Salt of the tier that a key belongs to under `PriorityTiers`.
pub const SALT_TIER: u64 = 4;
/// Salt of the acceptance test of an endpoint in slow start where the choice is not by score (Maglev).
pub const SALT_SLOW_START: u64 = 5;
/// Salts from here on number the choices of a Maglev lookup: the i-th choice has `SALT_MAGLEV + i`.
pub const SALT_MAGLEV: u64 = 0x100;

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// A source address as a part of a key: its octets and not its text, an IPv4-mapped one as the IPv4 address that it
/// is, so that a user is the same behind a dual-stack socket.
pub fn address_part(address: IpAddr) -> SmallVec<[u8; 16]> {
    match address.to_canonical() {
        IpAddr::V4(v4) => SmallVec::from_slice(&v4.octets()),
        IpAddr::V6(v6) => SmallVec::from_slice(&v6.octets()),
    }
}

/// The hash of a request's sticky key: one per request, whatever the number of clusters.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Debug, Hash)]
pub struct KeyHash(pub u64);

impl KeyHash {
    /// Hashes one key (`[header]`) or several (`[header, address]`).
    ///
    /// One part hashes to its plain XXH3-64. With several, the hash of the parts so far is the seed of the
    /// next, so `["ab", "c"]`, `["a", "bc"]` and `["abc"]` are three different keys, without a copy and without
    /// a separator that a client could forge.
    pub fn of(parts: &[&[u8]]) -> KeyHash {
        let mut parts = parts.iter();
        let first = parts.next().map_or(0, |part| xxh3_64(part));
        KeyHash(parts.fold(first, |seed, part| xxh3_64_with_seed(part, seed)))
    }

    /// A key for a request that has none: spreads a roll over the whole range, so that such requests follow
    /// the weights.
    pub const fn from_roll(roll: u64) -> KeyHash {
        KeyHash(mix13(roll.wrapping_add(GOLDEN)))
    }
}

/// The hash of a cluster: XXH3-64 of its name.
pub fn cluster_node(name: &str) -> u64 {
    xxh3_64(name.as_bytes())
}

/// The hash of an endpoint: XXH3-64 of `cluster`, a zero byte and `address`. Never of its weight: a changed
/// weight must not move users who stay within both shares.
pub fn endpoint_node(cluster: &str, address: &str) -> u64 {
    let mut bytes = Vec::with_capacity(cluster.len() + 1 + address.len());
    bytes.extend_from_slice(cluster.as_bytes());
    bytes.push(0);
    bytes.extend_from_slice(address.as_bytes());
    xxh3_64(&bytes)
}

/// The hash of one question (`salt`) about one key at one node.
#[inline]
pub const fn mix(key: KeyHash, node: u64, salt: u64) -> u64 {
    mix13((key.0 ^ node).wrapping_add(salt.wrapping_mul(GOLDEN)))
}

/// A hash as a number in the open interval (0, 1): never 0, so its logarithm is finite, never 1, so that the
/// logarithm is below zero.
#[inline]
pub fn unit(h: u64) -> f64 {
    const SCALE: f64 = 1.0 / (1u64 << 53) as f64;
    // 53 bits and a half: at the very top the sum rounds to 2^53, which must not become 1.
    (((h >> 11) as f64 + 0.5) * SCALE).min(1.0 - f64::EPSILON / 2.0)
}

/// Stafford's variant 13 of the MurmurHash3 finaliser: a bijection of 64 bits in which every input bit flips
/// every output bit with probability near one half.
#[inline]
pub const fn mix13(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unit_never_reaches_either_end() {
        for h in [0, 1, u64::MAX, u64::MAX - 1, 1 << 63] {
            let u = unit(h);
            assert!(u > 0.0 && u < 1.0, "{u}");
            assert!(libm::log(u) < 0.0);
        }
    }

    #[test]
    fn several_parts_are_unambiguous() {
        let keys = [
            KeyHash::of(&[b"abc"]),
            KeyHash::of(&[b"ab", b"c"]),
            KeyHash::of(&[b"a", b"bc"]),
            KeyHash::of(&[b"abc", b""]),
            KeyHash::of(&[b"", b"abc"]),
        ];
        for (i, a) in keys.iter().enumerate() {
            assert!(keys[i + 1..].iter().all(|b| a != b));
        }
    }

    #[test]
    fn salts_ask_independent_questions() {
        // Of the keys below the median under one salt, half are below it under another.
        for (a, b) in [(SALT_HOME, SALT_ADMISSION), (SALT_ADMISSION, SALT_SPILL), (SALT_SPILL, SALT_TIER)] {
            let node = cluster_node("us-east-1");
            let both = (0..20_000u64)
                .map(KeyHash::from_roll)
                .filter(|key| unit(mix(*key, node, a)) < 0.5 && unit(mix(*key, node, b)) < 0.5)
                .count();
            assert!((4_800..5_200).contains(&both), "{both} of 20000 for salts {a} and {b}");
        }
    }

    #[test]
    fn an_endpoint_is_not_confused_with_a_cluster_of_the_joined_name() {
        assert_ne!(endpoint_node("a", "b:1"), cluster_node("ab:1"));
        assert_ne!(endpoint_node("a", "b:1"), endpoint_node("ab", ":1"));
    }
}
