//! What happened, in words, the latest kept.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use serde::Serialize;

/// Who speaks: it decides the colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Voice {
    /// The person at the demo, or a script: something was broken or mended on purpose.
    You,
    /// The proxy took something away: an ejection, a failed probe, less admission.
    Worse,
    /// The proxy gave something back.
    Better,
    /// Something that should not happen.
    Trouble,
}

/// One line of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Event {
    /// Counts from 0 without gaps: a reader that remembers the last one misses none it could have.
    pub number: u64,
    /// Since the demo began.
    #[serde(rename = "at_ms", serialize_with = "crate::users::millis")]
    pub at: Duration,
    /// Who speaks.
    pub voice: Voice,
    /// What happened.
    pub text: String,
}

/// More than any terminal shows; older ones are forgotten.
const KEPT: usize = 200;

/// The log.
pub struct Events {
    began: Instant,
    kept: Mutex<(u64, VecDeque<Event>)>,
}

impl Events {
    /// An empty log whose time starts now.
    pub fn new() -> Events {
        Events { began: Instant::now(), kept: Mutex::default() }
    }

    /// Adds a line.
    pub fn say(&self, voice: Voice, text: impl Into<String>) {
        let at = self.began.elapsed();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let number = kept.0;
        kept.0 += 1;
        if kept.1.len() == KEPT {
            kept.1.pop_front();
        }
        kept.1.push_back(Event { number, at, voice, text: text.into() });
    }

    /// Those kept with this number or a later one, oldest first.
    pub fn since(&self, number: u64) -> Vec<Event> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.1.iter().filter(|event| event.number >= number).cloned().collect()
    }

    /// Since the demo began.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }
}

impl Default for Events {
    fn default() -> Self {
        Events::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_are_kept_and_numbered_without_gaps() {
        let events = Events::new();
        for number in 0..KEPT + 5 {
            events.say(Voice::You, number.to_string());
        }
        let all = events.since(0);
        assert_eq!((all.len(), all[0].number, all[0].text.as_str()), (KEPT, 5, "5"));
        assert_eq!(events.since(KEPT as u64 + 4).len(), 1);
        assert!(events.since(KEPT as u64 + 5).is_empty());
    }
}
