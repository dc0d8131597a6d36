//! Connections that are kept open and idle, for what they cost a proxy.

use std::time::{Duration, Instant};

use super::Plan;
use super::driver::Driver;

/// Exchanges under way at most. Fewer than any server lets wait for `accept` (nginx: 511), beyond which the kernel
/// drops the connection's first packet and it is sent again a second later.
const AT_ONCE: u64 = 64;

/// A server that completes no exchange for this long does not work.
const PATIENCE: Duration = Duration::from_secs(10);

/// Idle connections. They are closed when this is dropped. PINGs of HTTP/2 wait for the next [`open`](Held::open).
pub struct Held {
    driver: Driver,
}

impl Held {
    /// How many are still open.
    ///
    /// # Errors
    /// The system refuses to tell.
    pub fn open(&mut self) -> Result<usize, String> {
        self.driver.open_now()
    }
}

/// Opens a plan's connections, has a request answered on each, and keeps them open and idle.
///
/// # Errors
/// One of the exchanges fails, or the server takes too long.
pub fn hold(plan: &Plan) -> Result<Held, String> {
    let mut driver = Driver::new(&Plan { fresh: false, ..plan.clone() })?;
    let wanted = plan.connections as u64;
    let (mut started, mut answered) = (0, 0);
    let mut patience = Instant::now() + PATIENCE;
    while answered < wanted {
        while started < wanted && started - answered < AT_ONCE {
            driver.start(started as usize, Instant::now());
            started += 1;
        }
        driver.flush_unsent();
        // One that was refused at once has no event to wait for.
        if driver.tally.errors == 0 {
            driver.wait(patience)?;
        }
        if driver.tally.errors > 0 {
            let reason = driver.tally.reason.as_deref().unwrap_or("no reason");
            return Err(format!("after {answered} of {wanted} idle connections: {reason}"));
        }
        if driver.tally.good > answered {
            answered = driver.tally.good;
            patience = Instant::now() + PATIENCE;
        } else if Instant::now() >= patience {
            return Err(format!("after {answered} of {wanted} idle connections: no answer for {PATIENCE:?}"));
        }
    }
    Ok(Held { driver })
}
