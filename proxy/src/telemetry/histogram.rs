//! Our own latency buckets: the `metrics` crate takes samples and keeps them under a lock, a worker's own array
//! takes two stores.

use crate::upstream::cell::Count;

/// Upper bounds in seconds: 250 us to 30 s, about 2.2 buckets a factor of ten more than Prometheus's default,
/// so that a p99 of some milliseconds is read within a factor of two.
pub const BOUNDS: [f64; 17] = [
    0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0,
    30.0,
];

const BOUNDS_NS: [u64; 17] = {
    let mut out = [0; 17];
    let mut i = 0;
    while i < out.len() {
        out[i] = (BOUNDS[i] * 1e9) as u64;
        i += 1;
    }
    out
};

/// A histogram with one writer.
#[derive(Default)]
pub struct Histogram {
    buckets: [Count; 18],
    sum_ns: Count,
}

impl Histogram {
    /// Counts one observation.
    pub fn record(&self, nanos: u64) {
        let bucket = BOUNDS_NS.partition_point(|&bound| bound < nanos);
        self.buckets[bucket].add(1);
        self.sum_ns.add(nanos);
    }

    /// Adds this one's counts to `sum`.
    pub fn add_to(&self, sum: &mut Totals) {
        for (total, bucket) in sum.buckets.iter_mut().zip(&self.buckets) {
            *total += bucket.get();
        }
        sum.seconds += self.sum_ns.get() as f64 / 1e9;
    }
}

/// Several workers' histograms added up.
#[derive(Default, Clone, Debug)]
pub struct Totals {
    /// Observations per bucket, not cumulative; the last holds what is above every bound.
    pub buckets: [u64; 18],
    /// Sum of all observations in seconds.
    pub seconds: f64,
}

impl Totals {
    /// Number of observations.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Upper bound of the bucket that holds quantile `q`, in seconds; infinity above the last bound.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        let rank = (q * count as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        let bucket = self.buckets.iter().position(|n| {
            seen += n;
            seen >= rank
        })?;
        Some(BOUNDS.get(bucket).copied().unwrap_or(f64::INFINITY))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_observation_on_a_bound_belongs_to_it() {
        let histogram = Histogram::default();
        for nanos in [1_000_000, 1_000_001, 40_000_000_000] {
            histogram.record(nanos);
        }
        let mut totals = Totals::default();
        histogram.add_to(&mut totals);
        assert_eq!((totals.buckets[2], totals.buckets[3], totals.buckets[17]), (1, 1, 1));
        assert_eq!(totals.quantile(0.5), Some(0.0025));
        assert_eq!(totals.quantile(1.0), Some(f64::INFINITY));
    }
}
