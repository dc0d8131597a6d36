//! A seeded simulator in virtual time: users, a proxy of one worker, endpoints that misbehave.
//!
//! The proxy in the middle is [`ServicePlan::next`] and [`HealthEngine`] as production runs them; only sockets,
//! clocks and threads are simulated. The same seed gives the same run, to the last event ([`Report::hash`]).
//! Events reach the engine up to 3 ms late and out of order, as they do through channels.
//!
//! [`ServicePlan::next`]: causeway_proxy_policy::ServicePlan::next
//! [`HealthEngine`]: causeway_proxy_policy::health::HealthEngine

// Each test target uses a part of it.
#![allow(dead_code, unused_imports)]

mod proxy;
pub mod report;
mod setup;
mod world;

pub use report::Report;
pub use setup::{Action, Behaviour, ClusterSetup, Setup, Variant};
pub use world::run;

use causeway_proxy_policy::Tick;

/// `n` seconds after the start.
pub fn at(secs: u64) -> Tick {
    Tick::from_secs(secs)
}

/// SplitMix64: enough randomness for a simulator, and the same on every platform.
#[derive(Clone)]
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        causeway_proxy_policy::hash::mix13(self.0)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.roll()) * u128::from(n)) >> 64) as u64
    }
}
