//! Latencies in buckets: constant memory however long the run, quantiles within 1 / 32 of the truth.
//!
//! Log-linear buckets, as HdrHistogram has them: exact below 64 us, then 32 buckets for each doubling. The
//! crate of that name was rejected: this is the part of it that is needed, and merging is a loop.

use std::time::Duration;

/// Below this many microseconds each value has a bucket of its own.
const EXACT: u64 = 64;
/// Buckets for each doubling from there: the error of a quantile is at most one of them, 1 / 32.
const STEPS: u64 = 32;
/// The last doubling ends at 2^26 us = 67 s, past any client's timeout; longer ones fall in the last bucket.
const DOUBLINGS: u64 = 20;
const BUCKETS: usize = (EXACT + DOUBLINGS * STEPS) as usize;

/// Counts of latencies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    counts: Box<[u32; BUCKETS]>,
    total: u64,
    longest: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram { counts: Box::new([0; BUCKETS]), total: 0, longest: 0 }
    }
}

fn bucket(us: u64) -> usize {
    if us < EXACT {
        return us as usize;
    }
    let doubling = u64::from(us.ilog2()) - 6;
    let step = (us >> (doubling + 1)) - STEPS;
    (EXACT + doubling * STEPS + step).min(BUCKETS as u64 - 1) as usize
}

/// The longest latency that falls in a bucket.
fn upper(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < EXACT {
        return bucket;
    }
    let doubling = (bucket - EXACT) / STEPS;
    let step = (bucket - EXACT) % STEPS;
    ((step + STEPS + 1) << (doubling + 1)) - 1
}

impl Histogram {
    /// Counts one latency.
    pub fn record(&mut self, latency: Duration) {
        let us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.counts[bucket(us)] += 1;
        self.total += 1;
        self.longest = self.longest.max(us);
    }

    /// Adds the counts of another one.
    pub fn merge(&mut self, other: &Histogram) {
        for (count, more) in self.counts.iter_mut().zip(other.counts.iter()) {
            *count += more;
        }
        self.total += other.total;
        self.longest = self.longest.max(other.longest);
    }

    /// How many were counted.
    pub fn len(&self) -> u64 {
        self.total
    }

    /// Whether none was.
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// The longest, exactly.
    pub fn max(&self) -> Duration {
        Duration::from_micros(self.longest)
    }

    /// The smallest latency that at least this share (0 to 1) of those counted do not exceed, rounded up by
    /// at most 1 / 32; zero if none was counted.
    pub fn quantile(&self, share: f64) -> Duration {
        let wanted = ((share * self.total as f64).ceil() as u64).clamp(1, self.total.max(1));
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += u64::from(*count);
            if seen >= wanted {
                return Duration::from_micros(upper(index).min(self.longest));
            }
        }
        Duration::ZERO
    }

    /// Forgets all.
    pub(crate) fn clear(&mut self) {
        self.counts.fill(0);
        self.total = 0;
        self.longest = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_what_it_says_and_no_gap_is_between_two() {
        for at in 0..BUCKETS - 1 {
            assert_eq!(bucket(upper(at)), at);
            assert_eq!(bucket(upper(at) + 1), at + 1);
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_err_by_at_most_a_32nd_and_never_downwards() {
        let mut histogram = Histogram::default();
        let all: Vec<u64> = (0..20_000).map(|i| crate::random::mix(i) % 3_000_000).collect();
        for us in &all {
            histogram.record(Duration::from_micros(*us));
        }
        let mut sorted = all;
        sorted.sort_unstable();
        for share in [0.001, 0.5, 0.9, 0.99, 0.999, 1.0] {
            let exact = sorted[(share * sorted.len() as f64).ceil() as usize - 1];
            let told = histogram.quantile(share).as_micros() as u64;
            assert!(told >= exact && told <= exact + exact / 32 + 1, "{share}: {told} for {exact}");
        }
    }

    #[test]
    fn an_empty_histogram_has_quantile_zero_and_merging_adds() {
        let mut all = Histogram::default();
        assert_eq!(all.quantile(0.99), Duration::ZERO);
        let mut one = Histogram::default();
        one.record(Duration::from_millis(5));
        all.merge(&one);
        all.merge(&one);
        assert_eq!((all.len(), all.max()), (2, Duration::from_millis(5)));
        all.clear();
        assert_eq!(all, Histogram::default());
    }
}
