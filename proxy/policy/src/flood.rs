//! HTTP/2 frames that cost the receiver more than the sender, counted per connection against what useful traffic
//! earns.
//!
//! A bucket a class: `burst` frames at once, refilled by `per_second`, by streams and by frames of body. It is the
//! earning that tells an attack from a busy client: gRPC's pings to estimate bandwidth come once a round trip of a
//! stream that moves, window updates follow the bytes that were sent, priorities the streams that were opened, and
//! a client that cancels gets other answers to the end. A flood has nothing to show for itself.
//!
//! The numbers are those of others where they have some; where those differ, the more generous, since an ended
//! connection takes its other streams with it:
//!
//! | class | burst | a second | a stream | a frame of body | by |
//! | --- | --- | --- | --- | --- | --- |
//! | [`Reset`](Class::Reset) | 500 | 33 | 1 for each that was answered whole | | Envoy `premature_reset_total_stream_count` 500 at a share of a half; nghttp2 and Node 1000 and 33/s |
//! | [`Provoked`](Class::Provoked) | 500 | 33 | | | as above: MadeYouReset (CVE-2025-8671) is rapid reset by other means. Go ends at 4 x the streams allowed, nginx at 100 refused, `h2` at 1024 ever |
//! | [`Settings`](Class::Settings) | 100 | 1 | | | nobody sends more than a few; nghttp2 ends at 1000 unsent acks, Envoy too |
//! | [`Ping`](Class::Ping) | 1000 | 10 | 1 | 1 | as above |
//! | [`Priority`](Class::Priority) | 1000 | 10 | 100 | | Envoy `max_inbound_priority_frames_per_stream` 100 |
//! | [`Window`](Class::Window) | 1000 | 10 | 2 | 20 sent | Envoy `max_inbound_window_update_frames_per_data_frame_sent` 10, times 2, and 2 a stream |
//! | [`Empty`](Class::Empty) | 100 | 1 | | | Envoy allows 1 in a row, `h2` 100 ever |
//! | [`Unknown`](Class::Unknown) | 1000 | 10 | 10 | | extensions are to be ignored (RFC 9113 section 4.1), not without end |
//!
//! What is a limit on memory and not on a rate is `h2`'s own: CONTINUATION frames a head, the size of a head as
//! decoded (HPACK bombs), streams at once, what small DATA frames cost beyond their bytes.

use crate::Tick;

/// Resets that are no flood yet, however soon they come.
pub const RESETS_AT_ONCE: u32 = 500;

/// What a frame is, as far as counting goes. Received from the other end unless it says otherwise.
#[derive(Copy, Clone, Eq, PartialEq, Debug, Hash)]
pub enum Class {
    /// RST_STREAM: a request that is begun and given up costs its whole way (rapid reset, CVE-2023-44487).
    Reset,
    /// RST_STREAM sent by us because of what the other end did on the stream (MadeYouReset, CVE-2025-8671).
    Provoked,
    /// SETTINGS, acknowledgements included (CVE-2019-9515).
    Settings,
    /// PING, acknowledgements included (CVE-2019-9512).
    Ping,
    /// PRIORITY, PRIORITY_UPDATE (CVE-2019-9513).
    Priority,
    /// WINDOW_UPDATE (CVE-2019-9511 and after).
    Window,
    /// A frame that could carry something, carries nothing and ends nothing (CVE-2019-9518).
    Empty,
    /// A frame of an unknown type, and GOAWAY.
    Unknown,
}

/// How much of a class one connection may send.
#[derive(Copy, Clone, Debug)]
struct Allowance {
    burst: u32,
    per_second: u32,
}

impl Class {
    /// In the order of their numbers.
    pub const ALL: [Class; 8] = [
        Class::Reset,
        Class::Provoked,
        Class::Settings,
        Class::Ping,
        Class::Priority,
        Class::Window,
        Class::Empty,
        Class::Unknown,
    ];

    /// The word for it in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Class::Reset => "resets",
            Class::Provoked => "provoked_resets",
            Class::Settings => "settings",
            Class::Ping => "pings",
            Class::Priority => "priorities",
            Class::Window => "window_updates",
            Class::Empty => "empty_frames",
            Class::Unknown => "unknown_frames",
        }
    }

    const fn allowance(self) -> Allowance {
        let (burst, per_second) = match self {
            Class::Reset | Class::Provoked => (RESETS_AT_ONCE, 33),
            Class::Settings | Class::Empty => (100, 1),
            Class::Ping | Class::Priority | Class::Window | Class::Unknown => (1000, 10),
        };
        Allowance { burst, per_second }
    }
}

/// What earns.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub enum Useful {
    /// A stream was opened.
    Opened,
    /// A stream was answered to its end.
    Answered,
    /// A frame with body came.
    BodyReceived,
    /// A frame with body went out.
    BodySent,
}

/// The count of one connection.
#[derive(Clone, Debug)]
pub struct FrameBudget {
    /// What each class has used up and has not got back.
    spent: [u32; Class::ALL.len()],
    /// Up to when the seconds have been credited.
    credited: Tick,
}

impl FrameBudget {
    /// Nothing spent.
    pub fn new(now: Tick) -> FrameBudget {
        FrameBudget { spent: [0; Class::ALL.len()], credited: now }
    }

    /// Counts a frame that costs; false = one too many, the connection is to be ended.
    pub fn spend(&mut self, class: Class, now: Tick) -> bool {
        let seconds = now.since(self.credited).as_secs();
        if seconds > 0 {
            self.credited = self.credited + std::time::Duration::from_secs(seconds);
            let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
            for class in Class::ALL {
                self.earn(class, class.allowance().per_second.saturating_mul(seconds));
            }
        }
        let spent = &mut self.spent[class as usize];
        *spent += 1;
        *spent <= class.allowance().burst
    }

    /// Credits traffic that is what a connection is for.
    pub fn useful(&mut self, what: Useful) {
        match what {
            Useful::Opened => {
                self.earn(Class::Ping, 1);
                self.earn(Class::Priority, 100);
                self.earn(Class::Window, 2);
                self.earn(Class::Unknown, 10);
            }
            Useful::Answered => self.earn(Class::Reset, 1),
            Useful::BodyReceived => self.earn(Class::Ping, 1),
            Useful::BodySent => {
                self.earn(Class::Ping, 1);
                self.earn(Class::Window, 20);
            }
        }
    }

    fn earn(&mut self, class: Class, frames: u32) {
        let spent = &mut self.spent[class as usize];
        *spent = spent.saturating_sub(frames);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames of a class that pass at one instant.
    fn at_once(budget: &mut FrameBudget, class: Class, now: Tick) -> u32 {
        (0..1_000_000).take_while(|_| budget.spend(class, now)).count() as u32
    }

    #[test]
    fn each_class_has_its_burst_and_then_its_rate() {
        for class in Class::ALL {
            let Allowance { burst, per_second } = class.allowance();
            let mut budget = FrameBudget::new(Tick::from_secs(5));
            assert_eq!(at_once(&mut budget, class, Tick::from_secs(5)), burst, "{class:?}");
            // The one that was refused is owed too.
            assert_eq!(at_once(&mut budget, class, Tick::from_secs(7)), 2 * per_second - 1, "{class:?}");
        }
    }

    #[test]
    fn one_class_does_not_use_up_anothers_budget() {
        let mut budget = FrameBudget::new(Tick(0));
        at_once(&mut budget, Class::Ping, Tick(0));
        for class in Class::ALL.into_iter().filter(|class| *class != Class::Ping) {
            assert!(budget.spend(class, Tick(0)), "{class:?}");
        }
    }

    #[test]
    fn a_fraction_of_a_second_is_credited_once_it_is_whole() {
        let mut budget = FrameBudget::new(Tick(0));
        at_once(&mut budget, Class::Settings, Tick(0));
        // Asked often, the seconds must neither be lost nor credited twice.
        let passed = (1..=100).filter(|tenth| budget.spend(Class::Settings, Tick::from_millis(tenth * 100)));
        assert!(passed.count() <= 10);
    }

    #[test]
    fn grpcs_bandwidth_pings_pass_for_ever_as_long_as_bytes_move() {
        let mut budget = FrameBudget::new(Tick(0));
        for _ in 0..1_000_000 {
            budget.useful(Useful::BodySent);
            assert!(budget.spend(Class::Ping, Tick(0)));
            assert!((0..20).all(|_| budget.spend(Class::Window, Tick(0))), "a small window, updated often");
        }
    }

    #[test]
    fn a_client_that_cancels_every_second_request_is_served_and_one_that_cancels_all_is_not() {
        let mut budget = FrameBudget::new(Tick(0));
        for _ in 0..100_000 {
            budget.useful(Useful::Opened);
            budget.useful(Useful::Answered);
            budget.useful(Useful::Opened);
            assert!(budget.spend(Class::Reset, Tick(0)));
        }
        let mut opened = 0;
        loop {
            budget.useful(Useful::Opened);
            opened += 1;
            if !budget.spend(Class::Reset, Tick(0)) {
                break;
            }
        }
        // The last one of before has not been made up for.
        assert_eq!(opened, Class::Reset.allowance().burst);
    }

    #[test]
    fn a_cancelling_client_within_the_rate_is_never_ended() {
        let mut budget = FrameBudget::new(Tick(0));
        for n in 0..100_000u64 {
            assert!(budget.spend(Class::Reset, Tick::from_millis(n * 31)), "32 a second");
        }
    }

    #[test]
    fn earnings_are_not_saved_up() {
        let mut budget = FrameBudget::new(Tick(0));
        (0..100_000).for_each(|_| budget.useful(Useful::BodySent));
        assert_eq!(at_once(&mut budget, Class::Ping, Tick(0)), Class::Ping.allowance().burst);
    }
}
