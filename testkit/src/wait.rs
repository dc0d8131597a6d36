//! Waiting for a state, never for a time.

use std::time::{Duration, Instant};

/// For what takes milliseconds on an idle machine. Only a bug, or a machine that has all but stopped, gets here.
pub const WATCHDOG: Duration = Duration::from_secs(30);

/// Between two looks: short against everything that is waited for, long against the cost of looking.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Looks again and again until there is something to see, and returns it.
///
/// # Panics
/// When `limit` is over. `what` says in the message what was waited for.
pub async fn eventually<T>(what: &str, limit: Duration, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(began.elapsed() < limit, "waited {limit:?} in vain: {what}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// The same for a condition.
pub async fn until(what: &str, limit: Duration, mut holds: impl AsyncFnMut() -> bool) {
    eventually(what, limit, async || holds().await.then_some(())).await;
}

/// What a future gives, if it does so in time.
///
/// # Panics
/// When `limit` is over.
pub async fn within<T>(what: &str, limit: Duration, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(limit, future).await {
        Ok(given) => given,
        Err(_) => panic!("waited {limit:?} in vain: {what}"),
    }
}
