//! What is counted.

use std::time::Instant;

use hdrhistogram::Histogram;

/// Of the histogram, in nanoseconds: 100 ns are below what a loopback exchange can take, ten minutes are above what a
/// run does. Finer than a microsecond, because some percentiles are a few dozen of them and runs are compared.
const LEAST: u64 = 100;
const MOST: u64 = 600_000_000_000;
const DIGITS: u8 = 3;

/// Answers so far.
pub struct Tally {
    /// Whole answers with a status of 2xx.
    pub good: u64,
    /// Other answers, and requests and connections that broke.
    pub errors: u64,
    /// Bytes of bodies.
    pub bytes: u64,
    /// The last thing that went wrong.
    pub reason: Option<String>,
    /// Seconds that the last `Retry-After` asked for.
    pub retry_after: u64,
    latencies: Histogram<u64>,
}

impl Tally {
    /// Nothing yet.
    ///
    /// # Errors
    /// Never: the bounds are constants.
    pub fn new() -> Result<Tally, String> {
        let latencies =
            Histogram::new_with_bounds(LEAST, MOST, DIGITS).map_err(|e| format!("latencies: {e}"))?;
        Ok(Tally { good: 0, errors: 0, bytes: 0, reason: None, retry_after: 0, latencies })
    }

    /// A whole answer to a request that was due then.
    pub fn answered(&mut self, due: Instant, status: Status) {
        match status {
            Status::Good => {
                self.good += 1;
                // In nanoseconds and below 2^64 for 584 years.
                self.latencies.saturating_record(due.elapsed().as_nanos() as u64);
            }
            Status::Bad => {
                self.errors += 1;
                self.reason.get_or_insert_with(|| "an answer's status is not 2xx".to_owned());
            }
        }
    }

    /// This many errors, for one reason.
    pub fn failed(&mut self, errors: u64, reason: String) {
        self.errors += errors;
        self.reason = Some(reason);
    }

    /// Forgets all, as a warm-up is to be.
    pub fn clear(&mut self) {
        self.good = 0;
        self.errors = 0;
        self.bytes = 0;
        self.reason = None;
        self.latencies.reset();
    }

    /// The latency that this share of the good answers did not exceed, in microseconds.
    pub fn quantile(&self, share: f64) -> f64 {
        self.latencies.value_at_quantile(share) as f64 / 1000.0
    }
}

/// How an answer counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// 2xx.
    Good,
    /// Any other.
    Bad,
}

/// Why a connection is of no more use. What was under way on it is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken(pub &'static str);
