//! When requests are due, and waking up for it.

use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Instant;

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

/// When the next request is due.
pub enum Pace {
    /// Whenever one can be sent.
    Closed,
    /// At a fixed rate.
    Open {
        /// When the first was due.
        begun: Instant,
        /// Nanoseconds from one to the next.
        interval: f64,
        /// Requests taken so far.
        taken: u64,
    },
}

impl Pace {
    /// This many requests a second from now on, or as many as there are answers.
    pub fn new(rate: Option<f64>, begun: Instant) -> Pace {
        match rate {
            None => Pace::Closed,
            Some(rate) => Pace::Open { begun, interval: 1e9 / rate, taken: 0 },
        }
    }

    /// When the next request is due. In a closed loop that is always now, by a look at the clock of its own: a write
    /// takes microseconds, and the last of a turn's requests must not be charged for those before it.
    pub fn due(&self) -> Instant {
        match self {
            Pace::Closed => Instant::now(),
            Pace::Open { begun, interval, taken } => {
                // Multiplied, not added up: the error of an addition would grow with each request.
                *begun + std::time::Duration::from_nanos((interval * *taken as f64) as u64)
            }
        }
    }

    /// Whether requests wait for answers rather than for the clock.
    pub fn is_closed(&self) -> bool {
        matches!(self, Pace::Closed)
    }

    /// The next request was taken.
    pub fn take(&mut self) {
        if let Pace::Open { taken, .. } = self {
            *taken += 1;
        }
    }

    /// Takes all requests that were due before this time, and says how many.
    pub fn skip(&mut self, by: Instant) -> u64 {
        let late = self.late(by);
        if let Pace::Open { taken, .. } = self {
            *taken += late;
        }
        late
    }

    /// Requests that were due before this time and are not yet taken.
    pub fn late(&self, by: Instant) -> u64 {
        match self {
            Pace::Closed => 0,
            Pace::Open { begun, interval, taken } => {
                let due = (by.saturating_duration_since(*begun).as_nanos() as f64 / interval).ceil() as u64;
                due.saturating_sub(*taken)
            }
        }
    }
}

/// Wakes the poll at a time. mio's timeouts are whole milliseconds, and to spin instead would take the CPU from the
/// origin that shares it. A timerfd is exact, for it knows no timer slack, and its edge needs no read.
pub struct Alarm {
    timer: OwnedFd,
    set: Option<Instant>,
}

impl Alarm {
    /// One that wakes this poll with this token.
    ///
    /// # Errors
    /// There is no descriptor.
    pub fn new(registry: &Registry, token: Token) -> std::io::Result<Alarm> {
        let timer =
            timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        registry.register(&mut SourceFd(&timer.as_raw_fd()), token, Interest::READABLE)?;
        Ok(Alarm { timer, set: None })
    }

    /// Sets it to this time, in place of any other. A time that has passed wakes at once.
    ///
    /// # Errors
    /// The system refuses.
    pub fn set(&mut self, at: Instant) -> std::io::Result<()> {
        if self.set == Some(at) {
            return Ok(());
        }
        let wait = at.saturating_duration_since(Instant::now());
        // Zero would switch the timer off.
        let nanos = wait.subsec_nanos().max(u32::from(wait.as_secs() == 0));
        let value = Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: nanos.into() };
        let never = Timespec { tv_sec: 0, tv_nsec: 0 };
        let times = Itimerspec { it_interval: never, it_value: value };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &times)?;
        self.set = Some(at);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_open_loop_is_due_at_its_rate_and_late_by_what_it_has_not_taken() {
        let begun = Instant::now();
        let mut pace = Pace::new(Some(1000.0), begun);
        assert_eq!(pace.due(), begun);
        pace.take();
        assert_eq!(pace.due(), begun + Duration::from_millis(1));
        assert_eq!(pace.late(begun + Duration::from_millis(10)), 9);
        (0..20).for_each(|_| pace.take());
        assert_eq!(pace.late(begun + Duration::from_millis(10)), 0);
    }

    #[test]
    fn an_alarm_for_a_time_that_has_passed_wakes_at_once_and_again() {
        let mut poll = mio::Poll::new().unwrap();
        let mut events = mio::Events::with_capacity(4);
        let mut alarm = Alarm::new(poll.registry(), Token(7)).unwrap();
        let now = Instant::now();
        for before in [0, 1, 2] {
            alarm.set(now - Duration::from_millis(before)).unwrap();
            poll.poll(&mut events, Some(Duration::from_secs(10))).unwrap();
            assert!(events.iter().any(|event| event.token() == Token(7)));
        }
    }
}
