//! The books of a run: pure, fed with one record a request, read by the view and by tests.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use serde::Serialize;

use super::{histogram::Histogram, summary::Summary};

/// How a request ended, as its user saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// A whole answer arrived, with this status.
    Status(u16),
    /// No connection.
    Connect,
    /// The connection ended before the answer's head.
    Reset,
    /// The answer broke off.
    Body,
    /// What arrived was not HTTP.
    Malformed,
    /// Nothing whole within the client's timeout.
    Timeout,
}

impl Outcome {
    /// What a user calls an error: no answer, or a 5xx one.
    pub fn is_error(self) -> bool {
        !matches!(self, Outcome::Status(..500))
    }
}

/// The index of a cluster's name in [`Ledger::clusters`].
pub type ClusterIndex = u8;

/// One request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Record {
    /// The user's number, from 0.
    pub user: u32,
    /// When it was due, since the run began.
    pub sent_at: Duration,
    /// From when it was due to the last byte of its answer, whatever kept it waiting.
    pub latency: Duration,
    /// How it ended.
    pub outcome: Outcome,
    /// Who answered; None where nobody signed the answer.
    pub cluster: Option<ClusterIndex>,
    /// Whether the method is one that a proxy may retry at will (RFC 9110, 9.2.2).
    pub idempotent: bool,
}

/// One user's history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserStats {
    /// Requests that ended.
    pub requests: u32,
    /// Those that were errors.
    pub errors: u32,
    /// Where this user belongs: as told beforehand, else the cluster of the first good answer.
    pub home: Option<ClusterIndex>,
    /// The cluster of the latest good answer.
    pub last: Option<ClusterIndex>,
    /// How often that changed, in the order the requests were sent.
    pub changes: u32,
    latest: Option<Duration>,
}

impl UserStats {
    fn away(&self) -> bool {
        self.last.is_some() && self.home.is_some() && self.last != self.home
    }
}

/// What happened in one second, by when the requests ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Second {
    /// Seconds since the run began.
    pub at: u64,
    /// Everything together.
    pub all: Slice,
    /// By cluster, in the order of [`Ledger::clusters`]; may be shorter than that.
    pub clusters: Vec<Slice>,
    /// Errors that no cluster signed: the proxy's own answers, and none at all.
    pub unsigned_errors: u32,
    /// Users whose latest answer came from elsewhere than home, at the end of the second.
    pub away: u32,
}

/// A second's figures of one cluster, or of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Slice {
    /// Requests that ended, errors too.
    pub requests: u32,
    /// Those that were errors.
    pub errors: u32,
    /// Median latency.
    #[serde(rename = "p50_ms", serialize_with = "millis")]
    pub p50: Duration,
    /// The latency that one in a hundred exceeds.
    #[serde(rename = "p99_ms", serialize_with = "millis")]
    pub p99: Duration,
}

/// A time in JSON: a plain number that any script can use.
pub(crate) fn millis<S: serde::Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.as_micros() as f64 / 1_000.0)
}

#[derive(Clone, Debug, Default)]
struct Tally {
    requests: u32,
    errors: u32,
    latency: Histogram,
}

impl Tally {
    fn add(&mut self, record: &Record) {
        self.requests += 1;
        self.errors += u32::from(record.outcome.is_error());
        self.latency.record(record.latency);
    }

    fn seal(&mut self) -> Slice {
        let slice = Slice {
            requests: self.requests,
            errors: self.errors,
            p50: self.latency.quantile(0.5),
            p99: self.latency.quantile(0.99),
        };
        (self.requests, self.errors) = (0, 0);
        self.latency.clear();
        slice
    }
}

/// How many past seconds are kept: two hours, about 1 MB.
const SECONDS_KEPT: usize = 7_200;

/// More cluster names than this share the last slot, so that a server that signs each answer differently
/// costs no memory.
const MOST_CLUSTERS: usize = 64;

/// The name of that last slot.
const OTHERS: &str = "(others)";

/// The books.
#[derive(Debug)]
pub struct Ledger {
    clusters: Vec<String>,
    users: Vec<UserStats>,
    /// By home.
    away: Vec<u32>,
    outcomes: BTreeMap<Outcome, u64>,
    reasons: BTreeMap<String, u64>,
    by_cluster: Vec<u64>,
    total: Histogram,
    errors: u64,
    idempotent_errors: u64,
    now: u64,
    present: Tally,
    present_by_cluster: Vec<Tally>,
    present_unsigned: u32,
    seconds: VecDeque<Second>,
    records: Option<Vec<Record>>,
    /// Requests repeated once because an idle connection had been closed by the other side.
    pub stale_retries: u64,
    /// Requests not sent because too many were in flight: this program's limit, no error of the target.
    pub shed: u64,
    /// Connections opened.
    pub connections: u64,
}

impl Ledger {
    /// Empty books for this many users. `homes` tells where each belongs, where that is known beforehand.
    pub fn new(users: usize, homes: impl Fn(usize) -> Option<String>, keep_records: bool) -> Ledger {
        let mut ledger = Ledger {
            clusters: Vec::new(),
            users: vec![UserStats::default(); users],
            away: Vec::new(),
            outcomes: BTreeMap::new(),
            reasons: BTreeMap::new(),
            by_cluster: Vec::new(),
            total: Histogram::default(),
            errors: 0,
            idempotent_errors: 0,
            now: 0,
            present: Tally::default(),
            present_by_cluster: Vec::new(),
            present_unsigned: 0,
            seconds: VecDeque::new(),
            records: keep_records.then(Vec::new),
            stale_retries: 0,
            shed: 0,
            connections: 0,
        };
        for user in 0..users {
            ledger.users[user].home = homes(user).map(|name| ledger.cluster(&name));
        }
        ledger
    }

    /// The index of a name, given at its first sight.
    pub fn cluster(&mut self, name: &str) -> ClusterIndex {
        let name = if self.clusters.len() >= MOST_CLUSTERS && !self.clusters.iter().any(|known| known == name)
        {
            OTHERS
        } else {
            name
        };
        let index = self.clusters.iter().position(|known| known == name).unwrap_or_else(|| {
            self.clusters.push(name.to_owned());
            self.by_cluster.push(0);
            self.away.push(0);
            self.present_by_cluster.push(Tally::default());
            self.clusters.len() - 1
        });
        index as ClusterIndex
    }

    /// Books one request. `reason` is why a proxy says that it failed.
    pub fn record(&mut self, record: Record, reason: Option<&str>) {
        self.advance((record.sent_at + record.latency).as_secs());
        self.present.add(&record);
        self.total.record(record.latency);
        *self.outcomes.entry(record.outcome).or_default() += 1;
        if record.outcome.is_error() {
            self.errors += 1;
            self.idempotent_errors += u64::from(record.idempotent);
            self.present_unsigned += u32::from(record.cluster.is_none());
            if let Some(reason) = reason {
                let known = self.reasons.len() < MOST_CLUSTERS || self.reasons.contains_key(reason);
                *self.reasons.entry(if known { reason } else { OTHERS }.to_owned()).or_default() += 1;
            }
        }
        if let Some(cluster) = record.cluster {
            self.present_by_cluster[usize::from(cluster)].add(&record);
            self.by_cluster[usize::from(cluster)] += 1;
        }
        self.book_user(&record);
        if let Some(records) = &mut self.records {
            records.push(record);
        }
    }

    fn book_user(&mut self, record: &Record) {
        let Some(user) = self.users.get_mut(record.user as usize) else { return };
        user.requests += 1;
        user.errors += u32::from(record.outcome.is_error());
        // An answer that was overtaken by a later request's says nothing about where the user is now.
        let Some(cluster) = record.cluster else { return };
        if record.outcome.is_error() || user.latest > Some(record.sent_at) {
            return;
        }
        let was_away = user.away();
        user.latest = Some(record.sent_at);
        let home = *user.home.get_or_insert(cluster);
        user.changes += u32::from(user.last.is_some() && user.last != record.cluster);
        user.last = record.cluster;
        match (was_away, user.away()) {
            (false, true) => self.away[usize::from(home)] += 1,
            (true, false) => self.away[usize::from(home)] -= 1,
            _ => {}
        }
    }

    /// Closes the seconds before this one. Seconds without a request are kept too, as zeros.
    pub fn advance(&mut self, now: u64) {
        while self.now < now {
            if self.seconds.len() == SECONDS_KEPT {
                self.seconds.pop_front();
            }
            self.seconds.push_back(Second {
                at: self.now,
                all: self.present.seal(),
                clusters: self.present_by_cluster.iter_mut().map(Tally::seal).collect(),
                unsigned_errors: std::mem::take(&mut self.present_unsigned),
                away: self.away(),
            });
            self.now += 1;
        }
    }

    /// Names by [`ClusterIndex`], in the order in which they were first seen.
    pub fn clusters(&self) -> &[String] {
        &self.clusters
    }

    /// The closed seconds, oldest first.
    pub fn seconds(&self) -> &VecDeque<Second> {
        &self.seconds
    }

    /// How many users' latest good answer came from elsewhere than home.
    pub fn away(&self) -> u32 {
        self.away.iter().sum()
    }

    /// The same for those whose home is this cluster.
    pub fn away_from(&self, cluster: &str) -> u32 {
        self.clusters.iter().position(|name| name == cluster).map_or(0, |index| self.away[index])
    }

    /// Requests that ended so far, and how many of them were errors.
    pub fn totals(&self) -> (u64, u64) {
        (self.total.len(), self.errors)
    }

    /// Closes the books.
    pub fn summary(mut self) -> Summary {
        self.advance(self.now + 1);
        Summary {
            requests: self.total.len(),
            errors: self.errors,
            idempotent_errors: self.idempotent_errors,
            outcomes: self.outcomes,
            reasons: self.reasons,
            p50: self.total.quantile(0.5),
            p99: self.total.quantile(0.99),
            p999: self.total.quantile(0.999),
            max: self.total.max(),
            by_cluster: self.clusters.iter().cloned().zip(self.by_cluster).collect(),
            away: self.away.iter().sum(),
            clusters: self.clusters,
            users: self.users,
            seconds: self.seconds.into(),
            records: self.records.unwrap_or_default(),
            stale_retries: self.stale_retries,
            shed: self.shed,
            connections: self.connections,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn good(user: u32, sent: u64, latency: u64, cluster: ClusterIndex) -> Record {
        Record {
            user,
            sent_at: ms(sent),
            latency: ms(latency),
            outcome: Outcome::Status(200),
            cluster: Some(cluster),
            idempotent: true,
        }
    }

    fn two_clusters(users: usize) -> Ledger {
        let mut ledger = Ledger::new(users, |_| None, true);
        assert_eq!((ledger.cluster("a"), ledger.cluster("b")), (0, 1));
        ledger
    }

    #[test]
    fn a_user_who_moves_and_comes_back_has_changed_twice_and_is_home() {
        let mut ledger = two_clusters(2);
        ledger.record(good(0, 0, 1, 0), None);
        ledger.record(good(1, 1, 1, 1), None);
        ledger.record(good(0, 100, 1, 1), None);
        assert_eq!((ledger.away(), ledger.away_from("a"), ledger.away_from("b")), (1, 1, 0));
        ledger.record(good(0, 200, 1, 0), None);
        assert_eq!(ledger.away(), 0);
        let summary = ledger.summary();
        assert_eq!((summary.users[0].changes, summary.users[1].changes), (2, 0));
        assert_eq!(summary.users[0].home, Some(0));
    }

    #[test]
    fn an_overtaken_answer_moves_nobody() {
        let mut ledger = two_clusters(1);
        ledger.record(good(0, 0, 1, 0), None);
        ledger.record(good(0, 500, 1, 0), None);
        ledger.record(good(0, 100, 2_000, 1), None);
        let summary = ledger.summary();
        assert_eq!((summary.users[0].changes, summary.away), (0, 0));
    }

    #[test]
    fn a_home_told_beforehand_counts_from_the_first_answer() {
        let mut ledger = Ledger::new(1, |_| Some("a".to_owned()), false);
        let elsewhere = ledger.cluster("b");
        ledger.record(good(0, 0, 1, elsewhere), None);
        assert_eq!(ledger.away(), 1);
    }

    #[test]
    fn an_error_counts_for_its_user_and_its_second_but_moves_nobody() {
        let mut ledger = two_clusters(1);
        ledger.record(good(0, 0, 1, 0), None);
        let failed = Record { outcome: Outcome::Status(503), cluster: None, ..good(0, 10, 1, 1) };
        ledger.record(failed, Some("causeway; error=connection_refused"));
        ledger.record(Record { outcome: Outcome::Timeout, idempotent: false, ..failed }, None);
        let summary = ledger.summary();
        assert_eq!((summary.requests, summary.errors, summary.idempotent_errors), (3, 2, 1));
        assert_eq!((summary.users[0].errors, summary.users[0].changes), (2, 0));
        assert_eq!((summary.seconds[0].all.errors, summary.seconds[0].unsigned_errors), (2, 2));
        assert_eq!(summary.reasons["causeway; error=connection_refused"], 1);
        assert_eq!(summary.status(503), 1);
    }

    #[test]
    fn a_request_belongs_to_the_second_in_which_it_ended_and_silent_seconds_are_kept() {
        let mut ledger = two_clusters(1);
        ledger.record(good(0, 100, 10, 0), None);
        ledger.record(good(0, 900, 3_000, 1), None);
        let summary = ledger.summary();
        let requests: Vec<u32> = summary.seconds.iter().map(|second| second.all.requests).collect();
        assert_eq!(requests, [1, 0, 0, 1]);
        assert_eq!(summary.seconds[3].clusters[1].p99, ms(3_000));
        assert_eq!(summary.seconds[3].clusters[0], Slice::default());
        assert_eq!(summary.share("a"), 0.5);
    }

    #[test]
    fn a_server_that_signs_each_answer_differently_costs_no_memory() {
        let mut ledger = Ledger::new(1, |_| None, false);
        for name in 0..1_000 {
            ledger.cluster(&name.to_string());
        }
        assert_eq!(ledger.clusters().len(), MOST_CLUSTERS + 1);
        assert_eq!(ledger.cluster("0"), 0);
    }
}
