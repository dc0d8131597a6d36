//! What became of all requests.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::fate::Fate;

/// Of what must not happen, so much is told in full.
const TOLD: usize = 20;

/// The counts of a run.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Requests by what was done and what became of it.
    pub fates: BTreeMap<(&'static str, &'static str), u64>,
    /// The proxy's own errors by status.
    pub refused: BTreeMap<u16, u64>,
    /// Answers that must never come: the first of them in words.
    pub wrong: Vec<String>,
    /// What took longer than anything may: the first of them in words.
    pub hung: Vec<String>,
    /// Body bytes that arrived and were compared.
    pub bytes: u64,
}

impl Tally {
    /// All requests.
    pub fn requests(&self) -> u64 {
        self.fates.values().sum()
    }

    /// Those of one fate.
    pub fn of(&self, fate: &str) -> u64 {
        self.fates.iter().filter(|((_, word), _)| *word == fate).map(|(_, n)| n).sum()
    }

    /// Those of one kind.
    pub fn done(&self, act: &str) -> u64 {
        self.fates.iter().filter(|((name, _), _)| *name == act).map(|(_, n)| n).sum()
    }

    /// A table: what was done, and what became of it.
    pub fn table(&self) -> String {
        let words = ["right", "sick", "refused", "cut", "lost", "left", "WRONG"];
        let mut table = format!("{:<14}", "");
        words.iter().for_each(|word| table += &format!("{word:>9}"));
        let mut acts: Vec<_> = self.fates.keys().map(|(act, _)| *act).collect();
        acts.dedup();
        for act in acts {
            table += &format!("\n{act:<14}");
            for word in words {
                table += &format!("{:>9}", self.fates.get(&(act, word)).copied().unwrap_or_default());
            }
        }
        let refused: Vec<_> = self.refused.iter().map(|(status, n)| format!("{status}: {n}")).collect();
        format!("{table}\nrefused by status: {}", refused.join(", "))
    }
}

/// A tally that is being made.
#[derive(Debug, Default)]
pub struct Books(Mutex<Tally>);

impl Books {
    /// Notes a request.
    pub fn note(&self, act: &'static str, fate: &Fate, bytes: usize) {
        let mut tally = self.tally();
        *tally.fates.entry((act, fate.word())).or_default() += 1;
        tally.bytes += bytes as u64;
        match fate {
            Fate::Refused(status) => *tally.refused.entry(*status).or_default() += 1,
            Fate::Wrong(what) if tally.wrong.len() < TOLD => tally.wrong.push(format!("{act}: {what}")),
            _ => {}
        }
    }

    /// Notes what did not end.
    pub fn hung(&self, act: &'static str) {
        let mut tally = self.tally();
        if tally.hung.len() < TOLD {
            tally.hung.push(act.to_owned());
        }
    }

    /// The counts so far.
    pub fn so_far(&self) -> Tally {
        self.tally().clone()
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        // Counts: a panic elsewhere does not spoil them.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
