//! The median of paired ratios, and an interval that holds it.
//!
//! A machine's speed moves by 30 % within hours and by several percent within minutes, so two series that are
//! measured one after the other say little. Here each measurement of one side has a neighbour of the other, only
//! their ratio counts, and of the ratios only their order: the interval reaches from the k-th smallest to the k-th
//! largest, which holds the true median with a probability that the binomial distribution gives, whatever the
//! noise looks like (David and Nagaraja, "Order Statistics", section 7.1). A bootstrap was rejected: with nine
//! pairs it promises more than it holds, and differs from run to run.

/// What is to be covered.
pub const CONFIDENCE: f64 = 0.95;

/// The median, and an interval that holds it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The median.
    pub median: f64,
    /// The interval's lower end.
    pub low: f64,
    /// The interval's upper end.
    pub high: f64,
    /// The ends are the `rank`-th smallest and the `rank`-th largest value, counted from 1.
    pub rank: usize,
    /// The probability that the interval holds the true median. Below [`CONFIDENCE`] where there are fewer than
    /// six values: the widest interval does not reach it then.
    pub coverage: f64,
}

/// The estimate from these values; `None` without any.
pub fn estimate(values: &[f64]) -> Option<Estimate> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len();
    let median = median_of_sorted(&sorted)?;
    let rank = (1..=n.div_ceil(2)).rev().find(|&k| coverage(n, k) >= CONFIDENCE).unwrap_or(1);
    Some(Estimate {
        median,
        low: sorted[rank - 1],
        high: sorted[n - rank],
        rank,
        coverage: coverage(n, rank),
    })
}

/// The median; `None` without any value.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    median_of_sorted(&sorted)
}

fn median_of_sorted(sorted: &[f64]) -> Option<f64> {
    let (below, above) = (sorted.get(sorted.len().checked_sub(1)? / 2)?, sorted.get(sorted.len() / 2)?);
    Some((below + above) / 2.0)
}

/// The probability that the median of a continuous distribution lies between the `k`-th smallest and the `k`-th
/// largest of `n` draws: 1 - 2 P(Binomial(n, 1/2) < k).
fn coverage(n: usize, k: usize) -> f64 {
    let mut probability = 0.5f64.powi(n as i32);
    let mut below = 0.0;
    for i in 0..k {
        below += probability;
        probability *= (n - i) as f64 / (i + 1) as f64;
    }
    1.0 - 2.0 * below
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nine_values_give_the_second_to_the_eighth() {
        let values = [9.0, 1.0, 8.0, 2.0, 7.0, 3.0, 6.0, 4.0, 5.0];
        let found = estimate(&values).unwrap();
        assert_eq!((found.low, found.median, found.high, found.rank), (2.0, 5.0, 8.0, 2));
        // The tables of Dixon and Massey give 0.961 for n = 9 and the second value.
        assert!((found.coverage - 0.961).abs() < 0.000_1, "{}", found.coverage);
    }

    #[test]
    fn too_few_values_say_that_they_are_too_few() {
        let found = estimate(&[1.0, 2.0, 3.0]).unwrap();
        assert_eq!((found.low, found.high, found.coverage), (1.0, 3.0, 0.75));
        assert_eq!(estimate(&[]), None);
    }

    #[test]
    fn the_interval_is_the_narrowest_that_covers_enough() {
        for n in 6..60 {
            let values: Vec<f64> = (0..n).map(f64::from).collect();
            let found = estimate(&values).unwrap();
            assert!(found.coverage >= CONFIDENCE, "{n}: {found:?}");
            assert!(coverage(values.len(), found.rank + 1) < CONFIDENCE, "{n}: {found:?}");
        }
    }

    #[test]
    fn an_even_number_of_values_has_its_median_in_the_middle() {
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }
}
