//! How many connections each client address holds, so that none takes the places of all.
//!
//! Counted in a sketch, not in a table: two rows of counters that all workers share, an address has one counter in
//! each by a keyed hash, and holds at most the smaller of the two. So a connection costs two atomic additions, memory
//! does not grow with the number of addresses, and no lock exists. The error has one side: an address is never
//! allowed more than its limit, and one that is below it is refused only if in *both* rows it shares a counter with
//! others that fill it. With 10 addresses at the limit that is about one in 170,000, and nobody can choose which.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

/// Counters a row. Both rows together are 32 KiB.
const WIDTH: usize = 4096;

/// Connections by address.
pub struct Crowd {
    rows: [Box<[AtomicU32]>; 2],
    key: RandomState,
}

/// A connection's place in the count; to be given back.
#[must_use]
pub struct Place([u16; 2]);

impl Default for Crowd {
    fn default() -> Crowd {
        let row = || (0..WIDTH).map(|_| AtomicU32::new(0)).collect();
        Crowd { rows: [row(), row()], key: RandomState::new() }
    }
}

impl Crowd {
    /// Counts a connection of `address`, unless it holds `most` already.
    pub fn enter(&self, address: IpAddr, most: u32) -> Option<Place> {
        let hash = self.key.hash_one(who(address));
        let place = Place([(hash % WIDTH as u64) as u16, ((hash >> 32) % WIDTH as u64) as u16]);
        let held = self.counters(&place).map(|counter| counter.fetch_add(1, Relaxed));
        if held[0].min(held[1]) < most {
            return Some(place);
        }
        self.leave(place);
        None
    }

    /// Counts a connection out.
    pub fn leave(&self, place: Place) {
        for counter in self.counters(&place) {
            counter.fetch_sub(1, Relaxed);
        }
    }

    fn counters(&self, place: &Place) -> [&AtomicU32; 2] {
        [&self.rows[0][usize::from(place.0[0])], &self.rows[1][usize::from(place.0[1])]]
    }
}

/// Who is behind an address: all of IPv4's, the first 64 bits of IPv6's, which is what one customer gets (RFC 6177).
fn who(address: IpAddr) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(v4) => u64::from(u32::from(v4)),
        IpAddr::V6(v6) => (u128::from(v6) >> 64) as u64 | 1 << 63,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v4(n: u32) -> IpAddr {
        IpAddr::V4(n.into())
    }

    #[test]
    fn an_address_gets_as_many_as_allowed_and_again_what_it_gives_back() {
        let crowd = Crowd::default();
        let mut held: Vec<Place> = std::iter::from_fn(|| crowd.enter(v4(7), 100)).take(1000).collect();
        assert_eq!(held.len(), 100);
        crowd.leave(held.pop().expect("one of them"));
        held.extend(crowd.enter(v4(7), 100));
        assert_eq!(held.len(), 100);
        assert!(crowd.enter(v4(7), 100).is_none());
        held.into_iter().for_each(|place| crowd.leave(place));
        let left = crowd.rows.iter().flatten().map(|counter| counter.load(Relaxed)).sum::<u32>();
        assert_eq!(left, 0, "refusals leave nothing behind");
    }

    #[test]
    fn hoarders_do_not_keep_others_out() {
        let crowd = Crowd::default();
        let hoards: Vec<Place> = (0..500).filter_map(|n| crowd.enter(v4(n % 10), 50)).collect();
        assert_eq!(hoards.len(), 500);
        let refused =
            (1000..6000).filter(|n| crowd.enter(v4(*n), 50).map(|place| crowd.leave(place)).is_none());
        // One in 170,000 is expected.
        assert!(refused.count() <= 3);
    }

    #[test]
    fn a_customers_ipv6_addresses_count_as_one_and_mapped_ones_as_ipv4() {
        let one = |text: &str| who(text.parse().expect("an address"));
        assert_eq!(one("2001:db8:1:2::1"), one("2001:db8:1:2:ffff::9"));
        assert_ne!(one("2001:db8:1:2::1"), one("2001:db8:1:3::1"));
        assert_eq!(one("::ffff:192.0.2.1"), one("192.0.2.1"));
    }
}
