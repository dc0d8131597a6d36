//! The storm for as long as one likes, and a judge who looks whether anything grows.
//!
//! `make soak`, or `cargo run --release -p causeway-tests --bin soak -- --minutes 30`. It is no part of CI: what leaks
//! slowly takes long to see. See `docs/testing.md`.

mod judge;
mod plot;
mod report;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::sync::watch;

pub use judge::{Growth, Sample, Watched, growth, judge};
pub use plot::plot;
pub use report::Report;

use crate::Site;
use crate::storm::{Chance, Crowd, SCENES, Stage, State, Storm, acts, change};

/// What to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How long.
    pub lasts: Duration,
    /// Same seed, same clients, faults and changes of the config.
    pub seed: u64,
    /// Clients.
    pub users: u64,
    /// How long a scene lasts.
    pub scene: Duration,
    /// Between two samples.
    pub every: Duration,
    /// Between two changes of the config.
    pub reload: Duration,
    /// Where the results go.
    pub out: PathBuf,
}

/// A big body: more than the socket buffers of a loopback connection take, so that a slow reader is felt.
const BIG: usize = 3 * 1024 * 1024;

/// The longest pause of a client. With it, 32 clients leave an ordinary machine of two CPUs some room.
const PAUSE: Duration = Duration::from_millis(60);

/// Plays it to its end.
pub async fn run(plan: &Plan) -> Report {
    let mut stage = Stage::set(plan.seed).await;
    let crowd = Crowd { seed: plan.seed, users: plan.users, pause: PAUSE, big: BIG };
    let storm = Storm::start(&stage.target, &crowd);
    let (stop, stopped) = watch::channel(false);
    let (site, cast) = (&stage.site, &mut stage.cast);
    let watching = async {
        let seen = watch_over(site, plan, &storm).await;
        stop.send_replace(true);
        seen
    };
    let ((samples, changes), ()) = tokio::join!(watching, cast.play(plan.scene, stopped));
    let tally = storm.stop().await;
    let settled = stage.settle().await;
    let faults = stage.cast.faults();
    let mut complaints = judge(&samples);
    complaints.extend(stage.cast.complaints());
    complaints.extend(settled.as_ref().err().cloned());
    complaints.extend(tally.wrong.iter().cloned());
    complaints.extend(tally.hung.iter().map(|act| format!("{act}: took longer than anything may")));
    let panics = samples.last().map_or(0.0, |last| last.state.panics);
    if panics > 0.0 {
        complaints.push(format!("{panics} panics"));
    }
    // A run that did little has shown little.
    let rounds = plan.lasts.as_secs_f64() / plan.scene.as_secs_f64();
    if rounds >= SCENES.len() as f64 {
        complaints.extend(acts().filter(|act| tally.done(act) == 0).map(|act| format!("nobody did {act}")));
    }
    Report { plan: plan.clone(), samples, tally, faults, changes, settled: settled.ok(), complaints }
}

/// Samples the proxy and changes its config until the time is up; gives the samples and the number of changes.
async fn watch_over(site: &Site, plan: &Plan, storm: &Storm) -> (Vec<Sample>, u64) {
    let mut config = site.config.clone();
    let mut chance = Chance::new(plan.seed, u64::MAX);
    let (mut samples, mut changes) = (Vec::new(), 0);
    let began = Instant::now();
    let mut sampling = tokio::time::interval(plan.every);
    let mut changing = tokio::time::interval(plan.reload);
    while began.elapsed() < plan.lasts {
        tokio::select! {
            _ = sampling.tick() => {
                let state = State::of(&site.proxy).await;
                let sample = Sample { at: began.elapsed().as_secs_f64(), state };
                println!("{}", report::line(&sample, &storm.so_far()));
                samples.push(sample);
            }
            _ = changing.tick() => {
                change(&mut config, &mut chance);
                site.proxy.reload(&config).await;
                changes += 1;
            }
        }
    }
    (samples, changes)
}
