//! Everything that a view shows, gathered once: the terminal, the plain lines and `GET /status` are
//! functions of it, and so cannot disagree.

use std::{net::SocketAddr, time::Duration};

use serde::Serialize;

use crate::{
    events::Event,
    proxy_view::ClusterView,
    stage::{EndpointState, Stage, fault_in_words},
    users::{Ledger, Live, Slice, millis},
};

/// One moment of the demo.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Picture {
    /// Since the demo began.
    #[serde(rename = "elapsed_ms", serialize_with = "millis")]
    pub elapsed: Duration,
    /// Where users go.
    pub gateway: SocketAddr,
    /// The switchboard.
    pub control: SocketAddr,
    /// The proxy's admin pages.
    pub admin: SocketAddr,
    /// How many users there are.
    pub users: usize,
    /// How many requests a second they are to send.
    pub rate: f64,
    /// The last whole second.
    pub second: Slice,
    /// Errors in it that no cluster signed.
    pub unsigned_errors: u32,
    /// Requests that have not ended.
    pub in_flight: usize,
    /// Users whose latest answer came from elsewhere than home.
    pub away: u32,
    /// Requests since the demo began.
    pub requests: u64,
    /// Errors since the demo began.
    pub errors: u64,
    /// The clusters, in the order of the configuration.
    pub clusters: Vec<ClusterPicture>,
    /// Past seconds, oldest first.
    pub history: Vec<Moment>,
    /// The log, oldest first.
    pub events: Vec<Event>,
}

/// A cluster at that moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClusterPicture {
    /// Its name.
    pub name: String,
    /// Its configured share.
    pub weight: u32,
    /// Who takes over first.
    pub priority: u32,
    /// Its share (0 to 1) of the answers of the last whole second.
    pub share: f64,
    /// Its figures of the last whole second.
    pub second: Slice,
    /// The share (0 to 1) of its users that the proxy lets it serve.
    pub admission: Option<f64>,
    /// Why that is not 1.
    pub why: Option<String>,
    /// How long until it may begin to return, in milliseconds.
    pub hold_for_ms: Option<u64>,
    /// `closed`, `open` or `half-open`.
    pub breaker: Option<String>,
    /// Users of this home who are served elsewhere.
    pub away: u32,
    /// Its endpoints.
    pub endpoints: Vec<EndpointPicture>,
}

/// An endpoint at that moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EndpointPicture {
    /// Where it listens.
    pub address: SocketAddr,
    /// Whether its process runs.
    pub alive: bool,
    /// What it was told to do; `ok` is nothing.
    pub fault: String,
    /// What the proxy thinks of it.
    pub health: Option<String>,
    /// How long it stays ejected, in milliseconds.
    pub ejected_for_ms: Option<u64>,
}

/// One past second.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Moment {
    /// Good answers by cluster, in the order of [`Picture::clusters`].
    pub good: Vec<u32>,
    /// Errors.
    pub errors: u32,
    /// Median latency.
    #[serde(rename = "p50_ms", serialize_with = "millis")]
    pub p50: Duration,
    /// The latency that one in a hundred exceeds.
    #[serde(rename = "p99_ms", serialize_with = "millis")]
    pub p99: Duration,
}

/// As many seconds as the widest chart shows.
const HISTORY: usize = 300;

impl Picture {
    /// Gathers it.
    pub fn take(stage: &Stage, live: &Live, users: usize, rate: f64) -> Picture {
        let proxy = stage.proxy();
        let nothing = ClusterView::default();
        let topology = &stage.topology;
        live.read(|ledger| {
            let last = ledger.seconds().back();
            let signed: u32 = last.map_or(0, |second| second.clusters.iter().map(|c| c.requests).sum());
            let clusters = topology.clusters.iter().map(|spec| {
                let seen = proxy.clusters.get(&spec.name).unwrap_or(&nothing);
                let second = index(ledger, &spec.name)
                    .and_then(|index| last?.clusters.get(index).copied())
                    .unwrap_or_default();
                ClusterPicture {
                    name: spec.name.clone(),
                    weight: spec.weight,
                    priority: spec.priority,
                    share: f64::from(second.requests) / f64::from(signed.max(1)),
                    second,
                    admission: seen.admission,
                    why: seen.why.clone(),
                    hold_for_ms: seen.hold_for_ms,
                    breaker: seen.breaker.clone(),
                    away: ledger.away_from(&spec.name),
                    endpoints: stage
                        .endpoints(&spec.name)
                        .into_iter()
                        .map(|state| EndpointPicture::new(&state, seen))
                        .collect(),
                }
            });
            let clusters = clusters.collect();
            let (requests, errors) = ledger.totals();
            Picture {
                elapsed: stage.events.elapsed(),
                gateway: topology.gateway,
                control: topology.control,
                admin: topology.admin,
                users,
                rate,
                second: last.map(|second| second.all).unwrap_or_default(),
                unsigned_errors: last.map_or(0, |second| second.unsigned_errors),
                in_flight: live.in_flight(),
                away: ledger.away(),
                requests,
                errors,
                clusters,
                history: history(stage, ledger),
                events: stage.events.since(0),
            }
        })
    }
}

impl EndpointPicture {
    fn new(state: &EndpointState, seen: &ClusterView) -> Self {
        let view = seen.endpoints.get(&state.addr.to_string());
        EndpointPicture {
            address: state.addr,
            alive: state.alive,
            fault: fault_in_words(state.behaviour.fault),
            health: view.and_then(|view| view.health.clone()),
            ejected_for_ms: view.and_then(|view| view.ejected_for_ms),
        }
    }
}

fn index(ledger: &Ledger, name: &str) -> Option<usize> {
    ledger.clusters().iter().position(|known| known == name)
}

fn history(stage: &Stage, ledger: &Ledger) -> Vec<Moment> {
    let indices: Vec<_> = stage.topology.clusters.iter().map(|spec| index(ledger, &spec.name)).collect();
    let seconds = ledger.seconds();
    let moments = seconds.iter().skip(seconds.len().saturating_sub(HISTORY)).map(|second| Moment {
        good: indices
            .iter()
            .map(|index| index.and_then(|index| second.clusters.get(index)))
            .map(|slice| slice.map_or(0, |slice| slice.requests - slice.errors))
            .collect(),
        errors: second.all.errors,
        p50: second.all.p50,
        p99: second.all.p99,
    });
    moments.collect()
}

/// A latency as a person reads it: three digits at most.
pub fn short(latency: Duration) -> String {
    let us = latency.as_micros();
    match us {
        0 => "-".to_owned(),
        1..1_000 => format!("0.{:02} ms", us / 10),
        1_000..10_000 => format!("{}.{} ms", us / 1_000, us % 1_000 / 100),
        10_000..1_000_000 => format!("{} ms", us / 1_000),
        _ => format!("{}.{} s", us / 1_000_000, us % 1_000_000 / 100_000),
    }
}

/// Part of a whole in percent; nothing of nothing is 0.
pub fn percent_of(part: u64, whole: u64) -> f64 {
    100.0 * part as f64 / whole.max(1) as f64
}

/// 12345 as 12,345.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Minutes and seconds.
pub fn clock(elapsed: Duration) -> String {
    format!("{}:{:02}", elapsed.as_secs() / 60, elapsed.as_secs() % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_readable() {
        for (us, text) in [
            (0, "-"),
            (640, "0.64 ms"),
            (5, "0.00 ms"),
            (9_999, "9.9 ms"),
            (812_000, "812 ms"),
            (2_050_000, "2.0 s"),
        ] {
            assert_eq!(short(Duration::from_micros(us)), text);
        }
        assert_eq!([grouped(7), grouped(1_000), grouped(1_234_567)], ["7", "1,000", "1,234,567"]);
        assert_eq!(clock(Duration::from_secs(125)), "2:05");
        assert_eq!((percent_of(1, 4), percent_of(0, 0)), (25.0, 0.0));
    }
}
