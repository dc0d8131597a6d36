//! A floor under the rate at which a client takes or gives a body.
//!
//! A limit on pauses alone lets a client hold a request, its buffers and its place in every other limit for ever, at
//! a byte now and then (slowloris by body, slow read). What counts is the time in which the *client* is waited for: a
//! stream of events that comes once a minute is slow, and nobody's fault. The average is taken over spans of such
//! waiting, each as long as the limit on pauses, so that a client has that long to recover from a stall.
//!
//! 240 bytes a second by default, as Kestrel has it in both directions (`MinRequestBodyDataRate`,
//! `MinResponseDataRate`, with a grace of 5 s); IIS has the same (`minBytesPerSecond`), Apache 500 (`mod_reqtimeout`).

use std::time::Duration;

use crate::Tick;

/// What is asked of a client.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub struct Floor {
    /// Bytes a second, on average over `span`.
    pub bytes_per_second: u32,
    /// How long a client is waited for between two judgements.
    pub span: Duration,
}

/// How a client does.
#[derive(Debug, Default)]
pub struct Pace(Option<Box<Waited>>);

#[derive(Debug, Default)]
struct Waited {
    /// Since when it is waited for without a break; 0 = it is not.
    since: u64,
    /// How long it was waited for in this span, in nanoseconds.
    waited: u64,
    /// What had been moved when this span began.
    before: u64,
}

impl Pace {
    /// Called whenever something was done for the client: `moved` bytes so far in all, and whether it is the client
    /// that is waited for from now on. False = too slow.
    pub fn keeps(&mut self, floor: Floor, now: Tick, moved: u64, waits: bool) -> bool {
        // Few clients are ever waited for, and all requests would carry the room.
        if !waits && self.0.is_none() {
            return true;
        }
        self.0.get_or_insert_default().keeps(floor, now, moved, waits)
    }
}

impl Waited {
    fn keeps(&mut self, floor: Floor, now: Tick, moved: u64, waits: bool) -> bool {
        if self.since > 0 {
            self.waited += now.0.saturating_sub(self.since);
        }
        self.since = if waits { now.0.max(1) } else { 0 };
        let span = crate::tick::nanos(floor.span);
        if self.waited < span {
            return true;
        }
        // In 128 bits: a byte rate times nanoseconds.
        let due = u128::from(floor.bytes_per_second) * u128::from(self.waited) / 1_000_000_000;
        let kept = u128::from(moved.saturating_sub(self.before)) >= due;
        (self.waited, self.before) = (0, moved);
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOOR: Floor = Floor { bytes_per_second: 240, span: Duration::from_secs(30) };

    /// When a client that is waited for all the time and moves `bytes` every `pause` is given up.
    fn given_up(bytes: u64, pause: Duration, of: Duration) -> Option<Duration> {
        let mut pace = Pace::default();
        let mut now = Tick::from_secs(100);
        assert!(pace.keeps(FLOOR, now, 0, true));
        let mut moved = 0;
        while now.since(Tick::from_secs(100)) < of {
            now = now + pause;
            moved += bytes;
            if !pace.keeps(FLOOR, now, moved, true) {
                return Some(now.since(Tick::from_secs(100)));
            }
        }
        None
    }

    #[test]
    fn a_byte_now_and_then_is_given_up_after_a_span() {
        let day = Duration::from_secs(86_400);
        assert_eq!(given_up(1, Duration::from_secs(29), day), Some(Duration::from_secs(58)));
        assert_eq!(given_up(1, Duration::from_secs(1), day), Some(Duration::from_secs(30)));
        assert_eq!(given_up(239, Duration::from_secs(1), day), Some(Duration::from_secs(30)));
        assert_eq!(given_up(240, Duration::from_secs(1), day), None);
    }

    #[test]
    fn a_stall_within_the_span_is_made_up_for_by_what_follows() {
        assert_eq!(given_up(29 * 240, Duration::from_secs(29), Duration::from_secs(1000)), None);
    }

    #[test]
    fn a_slow_upstream_is_not_held_against_the_client() {
        let mut pace = Pace::default();
        for event in 0..100_000u64 {
            let at = Tick::from_secs(1 + 20 * event);
            // An event of 10 bytes is sent at once; then it is the upstream that is waited for.
            assert!(pace.keeps(FLOOR, at, 10 * event, true));
            assert!(pace.keeps(FLOOR, at + Duration::from_millis(1), 10 * event + 10, false));
        }
    }

    #[test]
    fn quick_bytes_of_before_do_not_pay_for_the_spans_after() {
        let mut pace = Pace::default();
        let gigabyte = 1 << 30;
        assert!(pace.keeps(FLOOR, Tick::from_secs(1), gigabyte, true));
        assert!(pace.keeps(FLOOR, Tick::from_secs(31), gigabyte, true), "the span in which they came");
        assert!(!pace.keeps(FLOOR, Tick::from_secs(61), gigabyte + 7_199, true));
    }
}
