//! The one clock of the data plane, as a value.

use std::ops::Add;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Nanoseconds since the process started, or, after an upgrade in place, since the first process of the line did.
/// Only the shell turns a clock into one of these.
///
/// `Tick(0)` doubles as "never" where a field says so: the shell's first reading is later than its start.
/// A plain number instead of `std::time::Instant`, so that it can be stored in an atomic, recorded, replayed
/// and written down in a test.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Debug, Default, Hash, Serialize, Deserialize)]
pub struct Tick(pub u64);

impl Tick {
    /// The end of time: 584 years after the start.
    pub const MAX: Tick = Tick(u64::MAX);

    /// `n` milliseconds after the start.
    pub const fn from_millis(n: u64) -> Tick {
        Tick(n.saturating_mul(1_000_000))
    }

    /// `n` seconds after the start.
    pub const fn from_secs(n: u64) -> Tick {
        Tick(n.saturating_mul(1_000_000_000))
    }

    /// Whole milliseconds since the start.
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000_000
    }

    /// How long ago `earlier` was; zero if it lies in the future. Events of several workers arrive slightly out
    /// of order, so a negative age is an everyday matter and never an error.
    pub const fn since(self, earlier: Tick) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Tick {
    type Output = Tick;

    fn add(self, span: Duration) -> Tick {
        Tick(self.0.saturating_add(nanos(span)))
    }
}

/// A duration in nanoseconds, saturating at 584 years.
pub(crate) fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_at_both_ends() {
        assert_eq!(Tick(5).since(Tick(9)), Duration::ZERO);
        assert_eq!(Tick(9).since(Tick(5)), Duration::from_nanos(4));
        assert_eq!(Tick::MAX + Duration::from_secs(1), Tick::MAX);
        assert_eq!(Tick::from_secs(2).as_millis(), 2_000);
    }
}
