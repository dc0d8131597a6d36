//! A second thread that does something over and over while the first is timed.
//!
//! A line of memory that two CPUs write travels between them, and that costs far more than the instructions that
//! write it. divan's own `threads` was rejected for this: its threads meet at a barrier before each sample, and the
//! time that one takes to wake is longer than a sample, so most of what it would call contended is not.
//!
//! Each of the two is kept on a CPU of its own: left alone, the scheduler of a busy machine lets them take turns on one,
//! and nothing is contended. Where other programs want those CPUs too the rival sleeps at times, and the contended
//! numbers are too good, never too bad (README.md says what helps).

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Turns between two looks at whether it should stop: the look itself must not show.
const TURNS: usize = 64;

/// The thread. It ends when this is dropped.
pub struct Rival {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Rival {
    /// Starts it, and returns once it is at work. The present thread is kept on its CPU from now on.
    pub fn start(mut turn: impl FnMut() + Send + 'static) -> Rival {
        let apart = two_cpus();
        if let Some([ours, _]) = apart {
            keep_on(ours);
        }
        let (stop, at_work) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (stopped, begun) = (stop.clone(), at_work.clone());
        let thread = std::thread::spawn(move || {
            if let Some([_, theirs]) = apart {
                keep_on(theirs);
            }
            while !stopped.load(Relaxed) {
                (0..TURNS).for_each(|_| turn());
                if !begun.load(Relaxed) {
                    begun.store(true, Relaxed);
                }
            }
        });
        while !at_work.load(Relaxed) && !thread.is_finished() {
            std::thread::yield_now();
        }
        Rival { stop, thread: Some(thread) }
    }
}

/// The first and the last CPU that this program may use; `None` with a single one. Asked once: a thread that is kept on
/// one CPU sees no other.
fn two_cpus() -> Option<[usize; 2]> {
    static FOUND: OnceLock<Option<[usize; 2]>> = OnceLock::new();
    *FOUND.get_or_init(|| {
        let allowed = sched_getaffinity(None).ok()?;
        let mut cpus = (0..CpuSet::MAX_CPU).filter(|&cpu| allowed.is_set(cpu));
        Some([cpus.next()?, cpus.next_back()?])
    })
}

fn keep_on(cpu: usize) {
    let mut only = CpuSet::new();
    only.set(cpu);
    // Where that is refused the two take their chance.
    let _ = sched_setaffinity(None, &only);
}

impl Drop for Rival {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            // A rival that panicked has said so; what was timed beside it is void, but not worth a second panic.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;

    #[test]
    fn it_works_from_its_start_to_its_drop() {
        let turns = Arc::new(AtomicU64::new(0));
        let theirs = turns.clone();
        let rival = Rival::start(move || {
            theirs.fetch_add(1, Relaxed);
        });
        assert!(turns.load(Relaxed) > 0);
        drop(rival);
        let at_its_end = turns.load(Relaxed);
        std::thread::yield_now();
        assert_eq!(turns.load(Relaxed), at_its_end);
    }
}
