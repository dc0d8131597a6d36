//! The live state of a rate limit: one bucket, or a bounded table of them, for all workers.
//!
//! A bucket is a number that workers move by compare-and-swap (see [`causeway_proxy_policy::rate_limit`]), so one
//! limit is exact over the whole process without a lock. With a key there is a table of fixed size: sets of eight
//! slots, a key's hash says which set. A slot whose bucket is full is the same as a new one, so taking it for another
//! key loses nothing; only where all eight of a set hold debts is the smallest one forgotten, and counted. So the
//! table is exact for as many keys *in debt* as it has room for, and what it forgets errs on the side of the client.
//!
//! The error: in the moment in which a slot changes hands, each other worker may charge one request to the wrong one
//! of the two keys. A map under a lock was rejected (a wait on the path), and so was one table for each worker
//! (each would let the whole rate through).

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

use causeway_proxy_policy::Tick;
use causeway_proxy_policy::rate_limit::{Debt, Rate, Verdict};

use super::cell::{Count, Padded, per_worker};

/// Slots of a set. Eight of 16 bytes fill two cache lines, which x86 fetches together.
const WAYS: usize = 8;

/// One limit's buckets and counters.
pub struct LimitState {
    /// Name of the `LocalRateLimit`.
    pub name: Arc<str>,
    buckets: Buckets,
    /// With a secret of its own: who could choose keys that meet in one set could make it forget.
    hasher: RandomState,
    cells: Box<[Padded<LimitCells>]>,
}

/// What one worker counts about one limit.
#[derive(Default)]
pub struct LimitCells {
    /// Requests that passed.
    pub passed: Count,
    /// Requests that were refused.
    pub refused: Count,
    /// Debts of other keys that had to be forgotten.
    pub forgotten: Count,
}

enum Buckets {
    One(Padded<AtomicU64>),
    Many(Box<[Set]>),
}

#[derive(Default)]
#[repr(align(128))]
struct Set([Slot; WAYS]);

#[derive(Default)]
struct Slot {
    /// The hash of the key that has it; 0 = nobody.
    key: AtomicU64,
    debt: AtomicU64,
}

impl LimitState {
    /// Full buckets: `slots` of them for as many keys, rounded up to a whole set, or one for all requests.
    pub fn new(name: &str, slots: Option<u32>, workers: usize) -> LimitState {
        let set = |_| Set::default();
        let buckets = match slots {
            None => Buckets::One(Padded::default()),
            Some(slots) => Buckets::Many((0..(slots as usize).div_ceil(WAYS).max(1)).map(set).collect()),
        };
        LimitState { name: name.into(), buckets, hasher: RandomState::new(), cells: per_worker(workers) }
    }

    /// Whether it has as many buckets as a new one of `slots` would.
    pub fn fits(&self, slots: Option<u32>) -> bool {
        match (&self.buckets, slots) {
            (Buckets::One(_), None) => true,
            (Buckets::Many(sets), Some(slots)) => sets.len() == (slots as usize).div_ceil(WAYS).max(1),
            _ => false,
        }
    }

    /// Charges one request to the bucket of `key`; those without a key share one.
    pub fn charge(&self, worker: usize, key: Option<&[u8]>, rate: &Rate, now: Tick) -> Verdict {
        let cells = &self.cells[worker].0;
        let verdict = match &self.buckets {
            Buckets::One(debt) => charge(debt, rate, now),
            Buckets::Many(sets) => {
                let hash = self.hasher.hash_one(key).max(1);
                // The upper bits choose the set: the product's upper half, without a division.
                let set = ((u128::from(hash) * sets.len() as u128) >> 64) as usize;
                charge(&sets[set].slot(hash, now, &cells.forgotten).debt, rate, now)
            }
        };
        match verdict {
            Verdict::Pass { .. } => cells.passed.add(1),
            Verdict::Refuse { .. } => cells.refused.add(1),
        }
        verdict
    }

    /// A counter's sum over the workers.
    pub fn sum(&self, counter: impl Fn(&LimitCells) -> &Count) -> u64 {
        self.cells.iter().fold(0, |sum, cells| sum.wrapping_add(counter(cells).get()))
    }
}

impl Set {
    /// The slot of `key`: its own, or else the one with the least to forget.
    fn slot(&self, key: u64, now: Tick, forgotten: &Count) -> &Slot {
        loop {
            let mut least = (&self.0[0], 0, u64::MAX);
            for slot in &self.0 {
                let held = slot.key.load(Acquire);
                if held == key {
                    return slot;
                }
                let debt = slot.debt.load(Relaxed);
                if debt < least.2 {
                    least = (slot, held, debt);
                }
            }
            let (slot, held, debt) = least;
            if slot.key.compare_exchange(held, key, AcqRel, Acquire).is_err() {
                // Another worker was quicker, perhaps with this very key.
                continue;
            }
            if !Debt(debt).is_paid(now) {
                slot.debt.store(0, Relaxed);
                forgotten.add(1);
            }
            return slot;
        }
    }
}

fn charge(bucket: &AtomicU64, rate: &Rate, now: Tick) -> Verdict {
    let mut debt = bucket.load(Relaxed);
    loop {
        let verdict = rate.decide(Debt(debt), now);
        let (Verdict::Pass { debt: then, .. } | Verdict::Refuse { debt: then, .. }) = verdict;
        if then.0 == debt {
            return verdict;
        }
        match bucket.compare_exchange_weak(debt, then.0, Relaxed, Relaxed) {
            Ok(_) => return verdict,
            Err(present) => debt = present,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NOW: Tick = Tick::from_secs(100);

    fn passes(state: &LimitState, key: Option<&[u8]>, rate: &Rate, now: Tick) -> bool {
        matches!(state.charge(0, key, rate, now), Verdict::Pass { .. })
    }

    /// Five an hour: within a test nothing comes back.
    fn five() -> Rate {
        Rate::new(5, Duration::from_secs(3600), 5)
    }

    #[test]
    fn each_key_has_a_bucket_and_those_without_one_share_one() {
        let state = LimitState::new("l", Some(1_024), 1);
        for key in [Some(&b"a"[..]), Some(b"b"), Some(b""), None] {
            let passed = (0..9).filter(|_| passes(&state, key, &five(), NOW)).count();
            assert_eq!(passed, 5, "{key:?}");
        }
        assert_eq!((state.sum(|c| &c.passed), state.sum(|c| &c.refused)), (20, 16));
        assert_eq!(state.sum(|c| &c.forgotten), 0);
    }

    #[test]
    fn threads_that_charge_one_bucket_at_once_pass_exactly_the_burst() {
        for slots in [None, Some(1_024)] {
            let state = LimitState::new("l", slots, 4);
            let rate = Rate::new(1_000, Duration::from_secs(3600), 1_000);
            // The key has its slot before they race: finding one may err by a request for each worker.
            assert!(passes(&state, Some(b"k"), &rate, NOW));
            std::thread::scope(|scope| {
                for worker in 0..4 {
                    let state = &state;
                    scope.spawn(move || {
                        for _ in 0..1_000 {
                            state.charge(worker, Some(b"k"), &rate, NOW);
                        }
                    });
                }
            });
            assert_eq!((state.sum(|c| &c.passed), state.sum(|c| &c.refused)), (1_000, 3_001), "{slots:?}");
        }
    }

    #[test]
    fn a_full_set_forgets_the_smallest_debt_and_counts_it_and_a_paid_one_costs_nothing() {
        let state = LimitState::new("l", Some(WAYS as u32), 1);
        let keys: Vec<[u8; 1]> = (0..=WAYS as u8).map(|key| [key]).collect();
        // Key 0 owes one request, the others two.
        for key in &keys[..WAYS] {
            passes(&state, Some(key), &five(), NOW);
            if key != &keys[0] {
                passes(&state, Some(key), &five(), NOW);
            }
        }
        let left = |key: &[u8], now| (0..9).filter(|_| passes(&state, Some(key), &five(), now)).count();
        assert_eq!(left(&keys[WAYS], NOW), 5, "a new key is not charged for another's debt");
        assert_eq!(state.sum(|c| &c.forgotten), 1);
        assert_eq!(left(&keys[1], NOW), 3, "the larger debts are kept");
        let later = NOW + Duration::from_secs(7_200);
        for key in 100..120u8 {
            assert!(passes(
                &state,
                Some(&[key]),
                &Rate::new(1, Duration::from_millis(1), 1),
                later + Duration::from_millis(u64::from(key))
            ));
        }
        assert_eq!(state.sum(|c| &c.forgotten), 1, "what is paid is not forgotten");
    }
}
