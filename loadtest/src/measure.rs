//! Measurements: peers at one job, by turns.
//!
//! The peers have the first CPU; the endpoints and the load have the last one, so that what is measured and what
//! measures do not take turns. A round starts every peer anew: where the kernel happens to put its memory differs from
//! start to start, and is to be averaged over too. Then they are measured in slices of 200 ms, each in turn, until
//! each has had its time: the speed of a virtual machine changes from second to second by more than the peers differ,
//! and whole measurements one after the other gave ratios from 0.5 to 1.0 for one and the same pair.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;

use crate::job::Job;
use crate::load::{self, Moment, Plan, Protocol, Session};
use crate::peer::Peer;
use crate::peer::install::Installed;
use crate::peer::running::{CpuTime, Running};
use crate::peer::site::{Identity, Ports, Site};
use crate::results::Sample;

/// Before each measurement: opens the connections, fills the caches.
const WARM_UP: Duration = Duration::from_millis(500);

/// How long a peer is measured before it is another's turn.
const SLICE: Duration = Duration::from_millis(200);

/// Users that the load plays, in turn.
const USERS: usize = 10_000;

/// What stays the same for all measurements.
pub struct Bench {
    /// The peers' CPU.
    pub proxy_cpu: usize,
    /// The CPU of endpoints and load; this thread runs there.
    pub traffic_cpu: usize,
    /// The certificate.
    pub identity: Identity,
    /// How long each peer is measured in a round.
    pub length: Duration,
}

/// A peer's sample, or why there is none.
pub type Measured = (Peer, Result<Sample, String>);

/// A peer that is being measured.
struct Subject {
    running: Running,
    session: Session,
    used: CpuTime,
    sample: Sample,
}

impl Bench {
    /// Measures these peers by turns, in the fresh folder `dir`. Each has its sample, or why there is none.
    ///
    /// # Errors
    /// There are no endpoints.
    pub fn measure(
        &self,
        peers: &[&Installed],
        job: Job,
        round: usize,
        dir: &Path,
    ) -> Result<Vec<Measured>, String> {
        std::fs::create_dir_all(dir).map_err(|e| format!("{}: {e}", dir.display()))?;
        let origins = Ports::free()?.origins;
        let _origins = Running::origins(&origins, &self.traffic_cpu.to_string(), dir)?;
        let start = |installed: &&Installed| {
            let ports = Ports { origins, ..Ports::free()? };
            self.start(installed, job, ports, dir)
        };
        if job.is_idle() {
            let idle = |installed: &&Installed| {
                let sample = start(installed).and_then(|(running, plan)| {
                    idle(&running, &plan, Sample::new(installed.peer, job, round))
                });
                (installed.peer, sample)
            };
            return Ok(peers.iter().map(idle).collect());
        }
        let mut subjects: Vec<(Peer, Result<Subject, String>)> = Vec::new();
        for installed in peers {
            let subject = start(installed).and_then(|(running, plan)| {
                let session = Session::open(&plan)?;
                let sample = Sample::new(installed.peer, job, round);
                Ok(Subject { running, session, used: CpuTime::default(), sample })
            });
            subjects.push((installed.peer, subject));
        }
        let slice = if job.by_turns() { self.length.min(SLICE) } else { self.length };
        let turns = (self.length.as_secs_f64() / slice.as_secs_f64()).round() as usize;
        for turn in 0..turns.max(1) {
            for i in 0..subjects.len() {
                // Each takes its turn at being first.
                let at = (i + turn) % subjects.len();
                let subject = &mut subjects[at].1;
                if let Ok(running) = subject
                    && let Err(e) = running.slice(slice)
                {
                    *subject = Err(e);
                }
            }
        }
        Ok(subjects.into_iter().map(|(peer, subject)| (peer, subject.and_then(Subject::finish))).collect())
    }

    fn start(
        &self,
        installed: &Installed,
        job: Job,
        ports: Ports,
        dir: &Path,
    ) -> Result<(Running, Plan), String> {
        let dir = dir.join(installed.peer.name());
        let site = Site::new(dir, installed.peer, ports, &self.identity)?;
        let cpus = match job {
            // Here a second worker needs a second CPU, and the first one the same choice.
            Job::Workers => format!("{},{}", self.proxy_cpu, self.traffic_cpu),
            _ => self.proxy_cpu.to_string(),
        };
        let running = Running::start(installed.peer, &installed.program, &site, &cpus)?;
        Ok((running, self.plan(job, ports)?))
    }

    fn plan(&self, job: Job, ports: Ports) -> Result<Plan, String> {
        let shape = job.shape();
        let port = if shape.tls { ports.https } else { ports.http };
        Ok(Plan {
            to: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            protocol: shape.protocol,
            tls: if shape.tls { Some(self.client(shape.protocol)?) } else { None },
            connections: shape.connections,
            streams: shape.streams,
            rate: shape.rate,
            impatient: false,
            polite: false,
            path: shape.path.to_owned(),
            fresh: shape.fresh,
            users: USERS,
            warm_up: WARM_UP,
            length: self.length,
        })
    }

    fn client(&self, protocol: Protocol) -> Result<Arc<ClientConfig>, String> {
        self.identity.client(match protocol {
            Protocol::Http1 => &[b"http/1.1"],
            Protocol::Http2 => &[b"h2"],
        })
    }
}

impl Subject {
    fn slice(&mut self, length: Duration) -> Result<(), String> {
        let (running, used) = (&self.running, &mut self.used);
        let mut before = CpuTime::default();
        self.session.slice(length, &mut |moment| {
            match moment {
                Moment::Begin => before = running.cpu(),
                Moment::End => used.add(running.cpu(), before),
            }
            Ok(())
        })
    }

    fn finish(self) -> Result<Sample, String> {
        let Subject { running, session, used, mut sample } = self;
        let outcome = session.outcome();
        if outcome.requests == 0 {
            return Err("no request was answered".to_owned());
        }
        sample.cpu_us = used.total as f64 / 1e3 / outcome.requests as f64;
        // The kernel samples the split; its sum is scaled to what is exact.
        let (user, system) = (used.user as f64, used.system as f64);
        sample.user_us = sample.cpu_us * user / (user + system).max(1.0);
        sample.system_us = sample.cpu_us - sample.user_us;
        sample.requests = outcome.requests;
        sample.rate = outcome.requests as f64 / outcome.seconds;
        (sample.p50_us, sample.p99_us, sample.p999_us) = (outcome.p50_us, outcome.p99_us, outcome.p999_us);
        sample.errors = outcome.errors;
        sample.late = outcome.late;
        sample.resident_kib = running.resident_kib();
        Ok(sample)
    }
}

fn idle(peer: &Running, plan: &Plan, mut sample: Sample) -> Result<Sample, String> {
    sample.start_kib = peer.resident_kib();
    let mut held = load::hold(plan)?;
    // What an allocator or a collector gives back, it gives back soon.
    std::thread::sleep(Duration::from_secs(1));
    sample.resident_kib = peer.resident_kib();
    sample.errors = plan.connections.saturating_sub(held.open()?) as u64;
    Ok(sample)
}

/// Whether a peer cannot do a job by its nature, so that nobody reads its absence as a failure.
pub fn cannot(peer: Peer, job: Job) -> Option<&'static str> {
    match (peer, job) {
        (Peer::Relay, _) if job.shape().tls => Some("relays cleartext"),
        _ => None,
    }
}
