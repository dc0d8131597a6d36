//! What a run showed.

use std::time::Duration;

use causeway_proxy_policy::Tick;
use causeway_proxy_policy::health::HealthEvent;

/// One finished request.
#[derive(Copy, Clone, Debug)]
pub struct Answer {
    pub user: usize,
    pub sent: Tick,
    pub ended: Tick,
    /// Who answered it, whatever the answer.
    pub from: Option<(u16, u32)>,
    pub good: bool,
    pub tries: u32,
}

/// One try.
#[derive(Copy, Clone, Debug)]
pub struct Try {
    pub at: Tick,
    pub request: usize,
    pub cluster: u16,
    pub endpoint: u32,
    pub retry: bool,
}

#[derive(Clone, Debug, Default)]
pub struct Report {
    pub homes: Vec<usize>,
    pub answers: Vec<Answer>,
    pub tries: Vec<Try>,
    pub events: Vec<(Tick, HealthEvent)>,
    /// Admission of each cluster at each of the engine's ticks.
    pub admissions: Vec<(Tick, Vec<f32>)>,
    /// Of everything that happened, in order.
    pub hash: u64,
}

impl Report {
    /// Requests whose user saw an error.
    pub fn errors(&self) -> usize {
        self.answers.iter().filter(|answer| !answer.good).count()
    }

    /// Changes of the answering cluster, by user.
    pub fn changes(&self) -> Vec<usize> {
        let mut last = vec![None; self.homes.len()];
        let mut changes = vec![0; self.homes.len()];
        let mut sent: Vec<&_> = self.answers.iter().filter(|answer| answer.good).collect();
        sent.sort_by_key(|answer| answer.sent);
        for answer in sent {
            let cluster = answer.from.map(|(cluster, _)| cluster);
            let before = std::mem::replace(&mut last[answer.user], cluster);
            changes[answer.user] += usize::from(before.is_some() && before != cluster);
        }
        changes
    }

    /// The share of requests sent in a span that their home answered.
    pub fn share_home(&self, from: Tick, to: Tick) -> f64 {
        let span = || self.answers.iter().filter(|a| a.sent >= from && a.sent < to);
        let home = span().filter(|a| a.from.is_some_and(|(c, _)| usize::from(c) == self.homes[a.user]));
        home.count() as f64 / span().count().max(1) as f64
    }

    /// Latencies of the requests sent in a span, ascending.
    pub fn latencies(&self, from: Tick, to: Tick) -> Vec<Duration> {
        let span = self.answers.iter().filter(|a| a.sent >= from && a.sent < to);
        let mut all: Vec<_> = span.map(|a| a.ended.since(a.sent)).collect();
        all.sort_unstable();
        all
    }

    /// When the first event of a kind happened.
    pub fn first(&self, is: impl Fn(&HealthEvent) -> bool) -> Option<Tick> {
        self.events.iter().find(|(_, event)| is(event)).map(|(at, _)| *at)
    }

    /// The admission of a cluster as published at a time.
    pub fn admission(&self, cluster: usize, at: Tick) -> f32 {
        let before = self.admissions.iter().take_while(|(when, _)| *when <= at).last();
        before.map_or(1.0, |(_, all)| all[cluster])
    }
}
