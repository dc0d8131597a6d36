//! Panics: a task that panics is lost, the process is not. Counted, because one that nobody looks at stays.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

static PANICS: AtomicU64 = AtomicU64::new(0);

/// How many there were in this process.
pub fn count() -> u64 {
    PANICS.load(Relaxed)
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
}
