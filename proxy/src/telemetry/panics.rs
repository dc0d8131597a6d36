//! Panics: a task that panics is lost, the process is not. Counted, because one that nobody looks at stays.
//!
//! But some tasks are what all others stand on: a worker without timers serves for ever whom it should give up, one that
//! no longer accepts keeps its share of the port's clients waiting, and without the health thread nobody is ejected.
//! Half a proxy is worse than one that its supervisor starts anew. Such a task holds a [`Vital`].

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

static PANICS: AtomicU64 = AtomicU64::new(0);

/// How many there were in this process.
pub fn count() -> u64 {
    PANICS.load(Relaxed)
}

/// The exit code after a panic of what nothing goes on without: `EX_SOFTWARE` of sysexits.h.
pub const EXIT: i32 = 70;

/// Held by what nothing goes on without: if its holder panics, the process ends.
pub struct Vital(pub &'static str);

impl Drop for Vital {
    fn drop(&mut self) {
        if std::thread::panicking() {
            super::log::event(
                "fatal",
                format_args!("a panic in {}, without which this cannot go on", self.0),
            );
            std::process::exit(EXIT);
        }
    }
}

impl Vital {
    /// Runs this, and ends the process if it panics.
    pub async fn watch<T>(self, future: impl Future<Output = T>) -> T {
        let out = future.await;
        drop(self);
        out
    }
}

/// Counts every panic from now on, and prints thread, place and message to standard error, with a backtrace where
/// `RUST_BACKTRACE` asks for one. Replaces the standard hook, which ends the process if standard error is closed.
pub fn install_hook() {
    std::panic::set_hook(Box::new(|info| {
        PANICS.fetch_add(1, Relaxed);
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("unnamed");
        let payload = info.payload();
        let message = payload
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("(no text)");
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let backtrace = std::backtrace::Backtrace::capture();
        let trace = match backtrace.status() {
            std::backtrace::BacktraceStatus::Captured => format!("\n{backtrace}"),
            _ => String::new(),
        };
        super::log::event("panic", format_args!("thread {name} at {place}: {message}{trace}"));
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_another_thread_is_counted() {
        install_hook();
        let before = count();
        let thread = std::thread::Builder::new().name("doomed".into());
        let joined = thread.spawn(|| panic!("on purpose")).map(std::thread::JoinHandle::join);
        // Back to the standard hook, which the other tests' reports need.
        drop(std::panic::take_hook());
        assert!(matches!(joined, Ok(Err(_))));
        assert!(count() > before);
    }

    #[tokio::test]
    async fn a_vital_task_that_panics_ends_the_process_and_says_so() {
        const CHILD: &str = "CAUSEWAY_TEST_VITAL";
        if std::env::var_os(CHILD).is_some() {
            let local = tokio::task::LocalSet::new();
            let doomed = local.run_until(async {
                let vital = Vital("the timers").watch(async { panic!("on purpose") });
                let _: Result<(), _> = tokio::task::spawn_local(vital).await;
            });
            doomed.await;
            unreachable!("the process goes on");
        }
        let test = "telemetry::panics::tests::a_vital_task_that_panics_ends_the_process_and_says_so";
        let mut again = std::process::Command::new(std::env::current_exe().unwrap());
        let ended = again.args(["--exact", test, "--nocapture"]).env(CHILD, "1").output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(EXIT), "{said}");
        assert!(said.contains("fatal: a panic in the timers, without which this cannot go on"), "{said}");
    }
}
