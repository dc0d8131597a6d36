//! What is known of each source of endpoints: one place, which lookups write and everybody else reads.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use causeway_config::{Config, Discovery, Endpoint};
use causeway_proxy_policy::discovery::{Step, Tracker, TtlBounds};
use tokio::time::Instant;

use super::Look;
use super::kept::Kept;
use crate::telemetry::log;

/// The endpoints of one source.
pub type Endpoints = Arc<[Endpoint]>;

/// The endpoints of each `Cluster` that has its endpoints looked up, as far as they were ever found.
pub type Discovered = HashMap<String, Endpoints>;

/// One `Cluster`'s source. A change of any of its settings makes another one.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Source {
    /// Name of the `Cluster`.
    pub cluster: String,
    /// Where it is looked up.
    pub spec: Discovery,
}

/// What is known of all sources.
#[derive(Default)]
pub struct Board(Mutex<State>);

#[derive(Default)]
struct State {
    open: HashMap<Source, Entry>,
    /// What an earlier process served, for those not opened yet.
    kept: Vec<Kept>,
}

struct Entry {
    tracker: Tracker<Endpoints>,
    error: Option<String>,
    succeeded_at: Option<SystemTime>,
    due: Instant,
}

/// One source, for people and Prometheus.
pub struct Status {
    /// Name of the `Cluster`.
    pub cluster: String,
    /// Where it is looked up, in words.
    pub source: String,
    /// Endpoints that are served from it.
    pub endpoints: usize,
    /// Lookups that found everything, and the others.
    pub totals: (u64, u64),
    /// Failures since the last success.
    pub failures: u32,
    /// Why the last lookup failed, if it did.
    pub error: Option<String>,
    /// The endpoints were found by an earlier process, and not confirmed since.
    pub from_last_good: bool,
    /// When this process last found everything.
    pub succeeded_at: Option<SystemTime>,
    /// Until it is looked up again; `None` = when it changes.
    pub next_in: Option<Duration>,
}

/// All sources of a config.
pub(super) fn sources(config: &Config) -> impl Iterator<Item = Source> {
    config.clusters.values().filter_map(|cluster| {
        let spec = cluster.discovery.clone()?;
        Some(Source { cluster: cluster.name.clone(), spec })
    })
}

impl Board {
    /// Knows what an earlier process served.
    pub fn new(kept: Vec<Kept>) -> Board {
        Board(Mutex::new(State { open: HashMap::new(), kept }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Consistent between any two statements; a panic elsewhere does not spoil it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes an entry for each source of `config` that has none. It begins with what its cluster was last served
    /// from the same place, if it was: other bounds of the TTL or another name server make no other endpoints.
    pub(super) fn open(&self, config: &Config) {
        let state = &mut *self.state();
        for source in sources(config) {
            if state.open.contains_key(&source) {
                continue;
            }
            let place = source.spec.to_string();
            let alike = |other: &&Source| other.cluster == source.cluster && other.spec.to_string() == place;
            let live = state.open.keys().find(alike).and_then(|other| state.open.get(other));
            let live = live.and_then(|entry| entry.tracker.served().cloned());
            let kept = state.kept.iter().position(|k| k.cluster == source.cluster && k.source == place);
            // Taken out: it is of this start, and of no use when the cluster comes back in a week.
            let kept = kept.map(|at| state.kept.swap_remove(at).endpoints);
            let endpoints = live.or(kept);
            let entry = Entry {
                tracker: Tracker::new(endpoints),
                error: None,
                succeeded_at: None,
                due: Instant::now(),
            };
            state.open.insert(source, entry);
        }
    }

    /// Forgets all sources that are not `config`'s.
    pub(super) fn keep_only(&self, config: &Config) {
        let named: HashSet<Source> = sources(config).collect();
        self.state().open.retain(|source, _| named.contains(source));
    }

    /// The sources of `config` of which no lookup has ended.
    pub(super) fn not_looked_at(&self, config: &Config) -> Vec<Source> {
        let state = self.state();
        let new = |source: &Source| state.open.get(source).is_some_and(|e| !e.tracker.was_looked_at());
        sources(config).filter(new).collect()
    }

    /// Takes in a lookup. What it means for people is logged where it begins and where it ends.
    pub(super) fn note(&self, source: &Source, look: Look, roll: u64) -> Step {
        let mut state = self.state();
        let Some(entry) = state.open.get_mut(source) else {
            // Nobody asks for it any more.
            return Step { changed: false, again_in: Duration::MAX };
        };
        let bounds = match &source.spec {
            Discovery::Dns(dns) => TtlBounds { min: dns.min_ttl, max: dns.max_ttl },
            Discovery::File { .. } => TtlBounds { min: Duration::ZERO, max: Duration::ZERO },
        };
        let before = entry.tracker.failures();
        let step = entry.tracker.found(look.found, look.ttl, bounds, roll);
        entry.due = Instant::now() + step.again_in;
        let Source { cluster, spec } = source;
        if entry.tracker.failures() == 0 {
            entry.error = None;
            entry.succeeded_at = Some(SystemTime::now());
            if before > 0 {
                log::event("discovery", format_args!("{cluster}: {spec}: answers again"));
            }
        } else {
            let error = look.error.unwrap_or_else(|| "the lookup failed".to_owned());
            // Where nothing was ever found, whoever wanted to serve it says so.
            if let Some(served) = entry.tracker.served()
                && entry.error.as_ref() != Some(&error)
            {
                let stay = format!("{} endpoints are served as before", served.len());
                log::event("discovery", format_args!("{cluster}: {spec}: {error}; {stay}"));
            }
            entry.error = Some(error);
        }
        step
    }

    /// When to look again; `None` = nobody asks for it any more.
    pub(super) fn due(&self, source: &Source) -> Option<Instant> {
        self.state().open.get(source).map(|entry| entry.due)
    }

    /// What is to be served.
    pub fn discovered(&self, config: &Config) -> Discovered {
        let state = self.state();
        let served = |source: Source| {
            let endpoints = state.open.get(&source)?.tracker.served()?.clone();
            Some((source.cluster, endpoints))
        };
        sources(config).filter_map(served).collect()
    }

    /// The sources of which nothing was ever found, and why; `None` if there are none.
    pub fn missing(&self, config: &Config) -> Option<String> {
        let state = self.state();
        let missing = |source: Source| {
            let entry = state.open.get(&source).filter(|entry| entry.tracker.served().is_none())?;
            let error = entry.error.as_deref().unwrap_or("not looked up");
            Some(format!("Cluster {}: no endpoints: {}: {error}", source.cluster, source.spec))
        };
        let all: Vec<String> = sources(config).filter_map(missing).collect();
        (!all.is_empty()).then(|| all.join("\n"))
    }

    /// All sources of `config`, by cluster.
    pub fn statuses(&self, config: &Config) -> Vec<Status> {
        let state = self.state();
        let now = Instant::now();
        let status = |source: Source| {
            let entry = state.open.get(&source)?;
            Some(Status {
                source: source.spec.to_string(),
                endpoints: entry.tracker.served().map_or(0, |endpoints| endpoints.len()),
                totals: entry.tracker.totals(),
                failures: entry.tracker.failures(),
                error: entry.error.clone(),
                from_last_good: entry.tracker.is_inherited(),
                succeeded_at: entry.succeeded_at,
                next_in: match source.spec {
                    Discovery::Dns(_) => Some(entry.due.saturating_duration_since(now)),
                    Discovery::File { .. } => None,
                },
                cluster: source.cluster,
            })
        };
        sources(config).filter_map(status).collect()
    }
}

#[cfg(test)]
mod tests {
    use causeway_config::{Source as Text, Strictness, load, load_endpoints};
    use causeway_proxy_policy::discovery::Found;

    use super::*;

    fn config(discovery: &str) -> Config {
        let text = format!(
            "{{apiVersion: mesh.macleodlabs.io/v1, kind: Cluster, metadata: {{name: a}}, spec: {{discovery: {discovery}}}}}"
        );
        load(&[Text::new("a.yaml", text)], Strictness::Validate).unwrap().config
    }

    fn endpoints(address: &str) -> Endpoints {
        let text = format!("[{{address: \"{address}\"}}]");
        load_endpoints(&Text::new("e.yaml", text)).unwrap().into()
    }

    fn look(address: &str) -> Look {
        Look { found: Found::All(endpoints(address)), ttl: Duration::from_secs(60), error: None }
    }

    const DNS: &str = "{dns: {name: a.b, port: 80}}";

    #[test]
    fn a_source_with_other_bounds_goes_on_with_the_same_endpoints_and_another_name_does_not() {
        let (board, first) = (Board::default(), config(DNS));
        board.open(&first);
        let source = sources(&first).next().unwrap();
        assert!(board.note(&source, look("10.0.0.1:80"), 0).changed);

        let bounded = config("{dns: {name: a.b, port: 80, maxTTL: 9s}}");
        board.open(&bounded);
        assert_eq!(board.discovered(&bounded)["a"], endpoints("10.0.0.1:80"));
        assert_eq!(board.not_looked_at(&bounded).len(), 1, "and is looked at all the same");

        let other = config("{dns: {name: other, port: 80}}");
        board.open(&other);
        assert!(board.discovered(&other).is_empty());
        assert!(board.missing(&other).unwrap().contains("Cluster a: no endpoints: dns A other:80"));
        // Neither was put in force.
        board.keep_only(&first);
        assert_eq!((board.missing(&other), board.discovered(&first).len()), (None, 1));
    }

    #[test]
    fn what_an_earlier_process_served_is_served_until_there_is_an_answer() {
        let kept =
            Kept { cluster: "a".into(), source: "dns A a.b:80".into(), endpoints: endpoints("10.0.0.1:80") };
        let (board, config) = (Board::new(vec![kept]), config(DNS));
        board.open(&config);
        let source = sources(&config).next().unwrap();
        board.note(&source, Look::failed("no such name"), 0);
        let status = &board.statuses(&config)[0];
        assert_eq!((status.endpoints, status.failures, status.from_last_good), (1, 1, true));
        assert_eq!((status.error.as_deref(), status.succeeded_at), (Some("no such name"), None));
        assert_eq!(board.missing(&config), None);
        board.note(&source, look("10.0.0.2:80"), 0);
        let status = &board.statuses(&config)[0];
        assert_eq!((status.failures, status.from_last_good, status.error.as_deref()), (0, false, None));
        assert!(status.next_in.is_some_and(|next| next > Duration::from_secs(50)));
    }
}
