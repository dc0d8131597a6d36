//! Whether something grows: a pure function of the samples.
//!
//! Looked at is the second half of a run; in the first, pools, spare buffers and the allocator's own stock come to their
//! size. A straight line is fitted by least squares. Its slope is known to within its standard error, so what is judged is
//! the least growth that the samples leave room for (2.33 standard errors below the slope: 99 %), over the half: noise
//! alone is no leak, and a leak is one however small its rate, once a run is long enough. Below a tolerance it is taken for
//! the rest of the settling:
//!
//! | | tolerated over the second half |
//! | --- | --- |
//! | resident memory | 5 % of its mean, or 4 MiB |
//! | descriptors | 10 %, or 32 |
//! | tasks | 10 %, or 32 |
//! | threads | none |

use crate::storm::State;

/// The proxy at one moment of a run.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// Seconds since the run began.
    pub at: f64,
    /// What was seen.
    pub state: State,
}

/// What must not grow.
#[derive(Clone, Copy)]
pub struct Watched {
    /// Its name and unit.
    pub name: &'static str,
    /// Where it stands.
    pub of: fn(&State) -> f64,
    /// Growth over the half that is no leak: this share of the mean,
    share: f64,
    /// or so much, whichever is more.
    least: f64,
}

impl Watched {
    /// All of them.
    pub const ALL: [Watched; 4] = [
        Watched { name: "resident memory (KiB)", of: |s| s.resident_kib, share: 0.05, least: 4096.0 },
        Watched { name: "descriptors", of: |s| s.descriptors, share: 0.1, least: 32.0 },
        Watched { name: "tasks", of: |s| s.tasks, share: 0.1, least: 32.0 },
        Watched { name: "threads", of: |s| s.threads, share: 0.0, least: 0.5 },
    ];
}

/// A line through points.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Growth {
    /// The mean of the values.
    pub mean: f64,
    /// What the line rises from the first point to the last.
    pub rise: f64,
    /// The least rise that the points leave room for.
    pub surely: f64,
}

/// One-sided 99 % of a normal distribution.
const SURE: f64 = 2.33;

/// Fits a line to (time, value).
pub fn growth(points: &[(f64, f64)]) -> Growth {
    let n = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / n.max(1.0);
    let (at, value) = (mean(|p| p.0), mean(|p| p.1));
    let spread: f64 = points.iter().map(|(t, _)| (t - at).powi(2)).sum();
    if points.len() < 3 || spread == 0.0 {
        return Growth { mean: value, ..Growth::default() };
    }
    let slope = points.iter().map(|(t, v)| (t - at) * (v - value)).sum::<f64>() / spread;
    let off: f64 = points.iter().map(|(t, v)| (v - value - slope * (t - at)).powi(2)).sum();
    let error = (off / (n - 2.0) / spread).sqrt();
    let lasts = points[points.len() - 1].0 - points[0].0;
    Growth { mean: value, rise: slope * lasts, surely: (slope - SURE * error) * lasts }
}

/// The second half of a run, of one figure.
pub(super) fn second_half(samples: &[Sample], of: fn(&State) -> f64) -> Vec<(f64, f64)> {
    let half = samples.last().map_or(0.0, |last| last.at / 2.0);
    samples.iter().filter(|sample| sample.at >= half).map(|sample| (sample.at, of(&sample.state))).collect()
}

/// Names what grows, in words. Empty: nothing does.
pub fn judge(samples: &[Sample]) -> Vec<String> {
    let mut leaks = Vec::new();
    for watched in Watched::ALL {
        let line = growth(&second_half(samples, watched.of));
        if line.surely > (watched.share * line.mean).max(watched.least) {
            let Growth { mean, rise, surely } = line;
            leaks.push(format!(
                "{} grows: by {rise:.0}, surely by {surely:.0}, in the second half, where its mean is {mean:.0}",
                watched.name
            ));
        }
    }
    leaks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storm::Chance;

    /// Half an hour, a sample each 10 s: memory settles in the first third, then is noise of 2 MiB about 40 MiB.
    fn run(more: impl Fn(f64, &mut State)) -> Vec<Sample> {
        let mut chance = Chance::new(1, 1);
        let mut noise = |size: f64| size * (chance.below(2_001) as f64 / 1_000.0 - 1.0);
        (0..=180)
            .map(|n| {
                let at = f64::from(n) * 10.0;
                let mut state = State {
                    resident_kib: 40_000.0 * (1.0 - 0.5 * (-at / 200.0).exp()) + noise(2_048.0),
                    descriptors: 150.0 + noise(60.0),
                    tasks: 300.0 + noise(100.0),
                    threads: 6.0,
                    ..State::default()
                };
                more(at, &mut state);
                Sample { at, state }
            })
            .collect()
    }

    #[test]
    fn what_settles_and_what_is_noise_is_no_leak() {
        assert_eq!(judge(&run(|_, _| {})), [""; 0]);
    }

    #[test]
    fn a_leak_is_found_in_the_noise() {
        type Leak = (&'static str, fn(f64, &mut State));
        let leaks: [Leak; 4] = [
            // 8 KiB a second; a descriptor in 10 s; a task in 5 s; one thread.
            ("resident memory", |at, state| state.resident_kib += 8.0 * at),
            ("descriptors", |at, state| state.descriptors += at / 10.0),
            ("tasks", |at, state| state.tasks += at / 5.0),
            ("threads", |at, state| state.threads += f64::from(at > 1_300.0)),
        ];
        for (name, leak) in leaks {
            let found = judge(&run(leak));
            assert_eq!(found.len(), 1, "{name}: {found:?}");
            assert!(found[0].starts_with(name), "{found:?}");
        }
    }

    #[test]
    fn a_line_is_fitted_as_it_is_in_the_books() {
        // Values 1, 3, 2, 4 at 0 to 3: slope 0.8, residuals -0.3, 0.9, -0.9, 0.3, so an error of sqrt(1.8 / 2 / 5).
        let line = growth(&[(0.0, 1.0), (1.0, 3.0), (2.0, 2.0), (3.0, 4.0)]);
        let error = (1.8_f64 / 2.0 / 5.0).sqrt();
        assert!((line.rise - 2.4).abs() < 1e-9 && (line.mean - 2.5).abs() < 1e-9, "{line:?}");
        assert!((line.surely - 3.0 * (0.8 - SURE * error)).abs() < 1e-9, "{line:?}");
        assert_eq!(growth(&[(0.0, 5.0)]).rise, 0.0);
    }
}
