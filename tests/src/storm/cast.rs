//! Three clusters of origins that break HTTP, and who breaks what when.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use causeway_testkit::faulty::{Fault, FaultyOrigin, Mix};
use tokio::sync::watch;

/// The clusters, the last of which speaks HTTP/2.
pub(super) const CLUSTERS: [&str; 3] = ["a", "b", "c"];
/// Origins of each.
const ORIGINS: usize = 2;

/// What one cluster does for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scene {
    /// Connections and streams break, before and within answers.
    Breaks,
    /// Lengths that are not true, answers that nobody asked for or that come too early.
    Lies,
    /// What comes is not HTTP.
    Nonsense,
    /// Nothing comes.
    Silence,
    /// Everything comes slowly.
    Slow,
    /// Well-formed errors.
    Sick,
    /// Every fault there is.
    All,
    /// Nobody listens.
    Dead,
}

/// In their order. Their number and that of the clusters have no common divisor: each scene visits each cluster.
pub const SCENES: [Scene; 8] = [
    Scene::Breaks,
    Scene::Lies,
    Scene::Nonsense,
    Scene::Silence,
    Scene::Slow,
    Scene::Sick,
    Scene::All,
    Scene::Dead,
];

impl Scene {
    fn mix(self) -> Mix {
        use Fault::*;
        match self {
            Scene::Breaks => Mix::of(
                60,
                [
                    Reset,
                    Close,
                    HeadReset,
                    BodilessReset,
                    BodyReset,
                    BodyClose,
                    ResetOnReuse,
                    Refused,
                    GoAway,
                    GoAwayBelow,
                ],
            ),
            Scene::Lies => Mix::of(
                60,
                [
                    LongLength,
                    ShortLength,
                    TwoLengths,
                    LengthAndChunked,
                    // Not `Unasked`: what comes when the next request is under way already is its answer to anybody.
                    SecondAnswer,
                    EarlyAnswer,
                    EarlyClose,
                ],
            ),
            Scene::Nonsense => Mix::of(
                60,
                [BadChunkSize, LongChunk, BareLf, Nul, LargeHead, Interims, InterimFlood, Garbage],
            ),
            Scene::Silence => Mix::of(40, [Hang, BodyStall, UploadStall]),
            Scene::Slow => Mix::of(80, [SlowHead, SlowBody]),
            Scene::Sick => Mix::of(100, [Status]),
            Scene::All => {
                let all = Fault::http1().chain(Fault::http2());
                Mix::of(50, all.filter(|fault| *fault != Unasked))
            }
            Scene::Dead => Mix::calm(),
        }
    }
}

/// The origins, cluster by cluster.
pub struct Cast(Vec<Vec<FaultyOrigin>>);

impl Cast {
    /// Starts them, all well.
    pub(super) async fn start(seed: u64) -> Cast {
        let mut cast = Vec::new();
        for (i, cluster) in CLUSTERS.iter().enumerate() {
            let mut origins = Vec::new();
            for n in 0..ORIGINS {
                let seed = seed.wrapping_add((i * ORIGINS + n) as u64);
                origins.push(FaultyOrigin::start(&format!("{cluster}-{n}"), seed).await);
            }
            cast.push(origins);
        }
        Cast(cast)
    }

    /// Each cluster's name and addresses.
    pub(super) fn addrs(&self) -> impl Iterator<Item = (&'static str, Vec<SocketAddr>)> {
        let addrs = |origins: &Vec<FaultyOrigin>| origins.iter().map(FaultyOrigin::addr).collect();
        CLUSTERS.into_iter().zip(self.0.iter().map(addrs))
    }

    /// Plays scene after scene, each at another cluster, until told to stop; then the origins are well again.
    pub async fn play(&mut self, scene: Duration, mut stopped: watch::Receiver<bool>) {
        for round in 0.. {
            let (cluster, what) = (round % CLUSTERS.len(), SCENES[round % SCENES.len()]);
            self.0[cluster].iter().for_each(|origin| origin.mix(what.mix()));
            if what == Scene::Dead {
                for origin in &mut self.0[cluster] {
                    origin.stop().await;
                }
            }
            let over = tokio::time::timeout(scene, stopped.wait_for(|stopped| *stopped)).await.is_ok();
            for origin in &mut self.0[cluster] {
                origin.mix(Mix::calm());
                if what == Scene::Dead {
                    origin.restart().await;
                }
            }
            if over {
                return;
            }
        }
    }

    /// What the origins saw, by fault: how often it befell a request.
    pub fn faults(&self) -> BTreeMap<&'static str, u64> {
        let mut all = BTreeMap::new();
        for (fault, n) in self.0.iter().flatten().flat_map(|origin| origin.counts().faults) {
            *all.entry(fault).or_default() += n;
        }
        all
    }

    /// What the origins found wrong with what the proxy sent them.
    pub fn complaints(&self) -> Vec<String> {
        let mut complaints = Vec::new();
        for origin in self.0.iter().flatten() {
            let counts = origin.counts();
            if counts.corrupt > 0 {
                complaints.push(format!("{}: {} uploads were not their own", origin.name(), counts.corrupt));
            }
            if counts.panicked > 0 {
                complaints.push(format!("{}: {} requests were not HTTP", origin.name(), counts.panicked));
            }
        }
        complaints
    }
}
