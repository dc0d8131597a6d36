//! One request's way so far.

use smallvec::SmallVec;

use crate::FailureKind;
use crate::hash::KeyHash;
use crate::tick::Tick;

/// Where the next try goes, and why there.
#[derive(Copy, Clone, Eq, PartialEq, Debug, Hash)]
pub struct Target {
    /// Index in [`ServiceParams::clusters`](super::ServiceParams::clusters).
    pub cluster: u16,
    /// Index in the cluster's [`EndpointSet`](crate::EndpointSet).
    pub endpoint: u32,
    /// The reason, for logs, metrics and `explain`.
    pub why: Why,
}

/// Why a target was chosen.
#[derive(Copy, Clone, Eq, PartialEq, Debug, Hash)]
pub enum Why {
    /// The key's home admits it.
    Home,
    /// Home does not admit this key; first in its failover order that counts.
    Spilled,
    /// Home is at 0 and no cluster is at 1: the one with the largest admission.
    LeastBad,
    /// The key's tier under `PriorityTiers`.
    Tier,
    /// After a failure: another endpoint of the cluster that was tried first.
    Sibling,
    /// After a failure: the next cluster of the failover order, or what is left when that is used up.
    Retry,
    /// The cluster before it in the order refused by a limit.
    Overflow,
    /// No cluster admits this key: home anyway.
    FailStatic,
    /// As `FailStatic`, and so few endpoints are healthy that health is ignored within the cluster.
    Panic,
    /// The 1 % of keyless idempotent requests that look whether an unprobed cluster is back.
    Trickle,
}

impl Why {
    /// A short name for metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Why::Home => "home",
            Why::Spilled => "spilled",
            Why::LeastBad => "least-bad",
            Why::Tier => "tier",
            Why::Sibling => "sibling",
            Why::Retry => "retry",
            Why::Overflow => "overflow",
            Why::FailStatic => "fail-static",
            Why::Panic => "panic",
            Why::Trickle => "trickle",
        }
    }
}

/// What became of one try.
#[derive(Copy, Clone, Debug)]
pub(super) enum Ended {
    Failed(FailureKind),
    Refused,
}

#[derive(Copy, Clone, Debug)]
pub(super) struct Tried {
    pub cluster: u16,
    pub endpoint: u32,
    pub ended: Ended,
}

/// The state of one request between its tries: key, home, and what was tried. Lives on the stack; allocates
/// only past four failed tries.
#[derive(Clone, Debug)]
pub struct Route {
    pub(super) key: KeyHash,
    pub(super) keyed: bool,
    pub(super) home: u16,
    pub(super) trickles: bool,
    pub(super) tried: SmallVec<[Tried; 4]>,
    pub(super) failed_at: Tick,
}

impl Route {
    pub(super) fn new(key: KeyHash, keyed: bool, home: u16) -> Route {
        Route { key, keyed, home, trickles: false, tried: SmallVec::new(), failed_at: Tick(0) }
    }

    /// The key's home: for the counters and for the retry budget of this home.
    pub fn home(&self) -> usize {
        usize::from(self.home)
    }

    /// Failed tries so far. Refusals by a limit do not count: they use up no attempt.
    pub fn failures(&self) -> usize {
        self.tried.iter().filter(|tried| matches!(tried.ended, Ended::Failed(_))).count()
    }

    /// Says that the request is idempotent, so that one in a hundred of those without a key may be spent on
    /// looking whether an unprobed cluster is back ([`View::trickle`](super::View::trickle)).
    #[must_use]
    pub fn idempotent(mut self, idempotent: bool) -> Route {
        self.trickles = idempotent && !self.keyed;
        self
    }

    /// The try at `target` failed. The next call of [`ServicePlan::next`](super::ServicePlan::next) avoids it.
    pub fn failed(&mut self, target: Target, how: FailureKind, now: Tick) {
        self.failed_at = now;
        self.push(target, Ended::Failed(how));
    }

    /// A limit of ours refused the try at `target`. Limits are per cluster, so the next choice is elsewhere.
    pub fn refused(&mut self, target: Target) {
        self.push(target, Ended::Refused);
    }

    fn push(&mut self, target: Target, ended: Ended) {
        self.tried.push(Tried { cluster: target.cluster, endpoint: target.endpoint, ended });
    }

    pub(super) fn refused_by(&self, cluster: u16) -> bool {
        self.tried.iter().any(|tried| tried.cluster == cluster && matches!(tried.ended, Ended::Refused))
    }

    pub(super) fn tries_in(&self, cluster: u16) -> usize {
        self.tried
            .iter()
            .filter(|tried| tried.cluster == cluster && matches!(tried.ended, Ended::Failed(_)))
            .count()
    }

    pub(super) fn was_tried(&self, cluster: u16, endpoint: u32) -> bool {
        self.tried.iter().any(|tried| tried.cluster == cluster && tried.endpoint == endpoint)
    }

    /// The cluster of the first try that a limit did not refuse.
    pub(super) fn first_cluster(&self) -> Option<u16> {
        self.tried.iter().find(|tried| matches!(tried.ended, Ended::Failed(_))).map(|tried| tried.cluster)
    }

    /// The latest failure: where, and how.
    pub(super) fn last_failure(&self) -> Option<(Tried, FailureKind)> {
        self.tried.iter().rev().find_map(|tried| match tried.ended {
            Ended::Failed(how) => Some((*tried, how)),
            Ended::Refused => None,
        })
    }
}
