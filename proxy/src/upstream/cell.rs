//! Counters that one worker writes and everybody may read.
//!
//! Each worker has cells of its own on cache lines of their own, so counting costs a load and a store and never
//! a bus lock. A reader sums over the workers; it may see two counters of one request a moment apart, which no
//! rule here minds.

use std::ops::Deref;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicU32, AtomicU64};

/// Keeps what is inside off its neighbours' cache lines. 128: x86 fetches lines in pairs, as do Apple's and
/// some Arm cores.
#[derive(Default)]
#[repr(align(128))]
pub struct Padded<T>(pub T);

impl<T> Deref for Padded<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// One cell a worker.
pub fn per_worker<T: Default>(workers: usize) -> Box<[Padded<T>]> {
    (0..workers).map(|_| Padded::default()).collect()
}

/// A counter with one writer.
#[derive(Default, Debug)]
pub struct Count(AtomicU64);

impl Count {
    /// Adds; only the owner may call it.
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// Overwrites; only the owner may call it.
    pub fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    /// The value as last written.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// How many of something are under way, with one writer.
#[derive(Default, Debug)]
pub struct InFlight(AtomicU32);

impl InFlight {
    /// One more; only the owner may call it.
    pub fn enter(&self) {
        self.0.store(self.0.load(Relaxed).wrapping_add(1), Relaxed);
    }

    /// One less; only the owner may call it.
    pub fn leave(&self) {
        self.0.store(self.0.load(Relaxed).wrapping_sub(1), Relaxed);
    }

    /// The value as last written.
    pub fn get(&self) -> u32 {
        self.0.load(Relaxed)
    }
}

/// An `f32` that one thread publishes and all read.
#[derive(Debug)]
pub struct Share(AtomicU32);

impl Share {
    /// Starts at `value`.
    pub fn new(value: f32) -> Share {
        Share(AtomicU32::new(value.to_bits()))
    }

    /// Publishes `value`.
    pub fn set(&self, value: f32) {
        self.0.store(value.to_bits(), Relaxed);
    }

    /// The value as last published.
    pub fn get(&self) -> f32 {
        f32::from_bits(self.0.load(Relaxed))
    }
}

/// An exact limit over all workers: taken before use, given back by [`Limit::give`].
///
/// Sequentially consistent, because two of them are read against each other: who gives a connection back must see
/// who waits for one, or the other way round. On x86 a locked instruction is that anyway.
#[derive(Default, Debug)]
#[repr(align(128))]
pub struct Limit(AtomicU32);

impl Limit {
    /// Takes one unless `max` are taken. Exact both ways: never one too many, never a refusal while one is free.
    /// (Add first and take back if too many would refuse a third caller while a loser's add stands.)
    pub fn try_take(&self, max: u32) -> bool {
        let mut taken = self.0.load(SeqCst);
        while taken < max {
            match self.0.compare_exchange_weak(taken, taken + 1, SeqCst, SeqCst) {
                Ok(_) => return true,
                Err(now) => taken = now,
            }
        }
        false
    }

    /// Takes one whether or not it is too many: for who has seen to it that others are about to be given back.
    pub fn take(&self) {
        self.0.fetch_add(1, SeqCst);
    }

    /// Gives one back.
    pub fn give(&self) {
        self.0.fetch_sub(1, SeqCst);
    }

    /// How many are taken.
    pub fn taken(&self) -> u32 {
        self.0.load(SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_exact_when_threads_race_for_it() {
        let limit = Limit::default();
        let peak = AtomicU32::new(0);
        let held = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..20_000 {
                        if limit.try_take(3) {
                            peak.fetch_max(held.fetch_add(1, Relaxed) + 1, Relaxed);
                            held.fetch_sub(1, Relaxed);
                            limit.give();
                        }
                    }
                });
            }
        });
        assert_eq!(limit.taken(), 0);
        assert!(peak.load(Relaxed) <= 3, "{peak:?} held at once under a limit of 3");
    }
}
