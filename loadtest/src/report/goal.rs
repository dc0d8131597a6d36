//! The goals, and whether they are met.
//!
//! Each compares our proxy with the best of its rivals at one job, as the ratio of two measurements of one round. The
//! best rival is the one with the lowest median over all rounds, so one lucky run does not choose it. Met means that the
//! upper end of the interval that holds the median ratio with 95 % keeps the goal; missed, that its lower end does
//! not; else the run does not tell.

use std::fmt;

use causeway_benches::ratio::{self, CONFIDENCE, Estimate};

use super::{Figure, median};
use crate::job::Job;
use crate::peer::Peer;
use crate::results::{Results, Sample};

/// The proxies that set the pace.
pub const RIVALS: &[Peer] = &[Peer::Haproxy, Peer::Nginx, Peer::NginxCurrent];

/// What a figure is held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Against {
    /// The best of these.
    Best(&'static [Peer]),
    /// The goal is the figure's own bound, in this unit.
    Bound(&'static str),
}

/// One goal.
#[derive(Clone, Copy, Debug)]
pub struct Goal {
    /// What.
    pub title: &'static str,
    /// At which job.
    pub job: Job,
    /// Whose.
    pub peer: Peer,
    /// Which figure.
    pub figure: Figure,
    /// Against whom.
    pub against: Against,
    /// The ratio, or the bound.
    pub at_most: f64,
}

/// Whether it is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Yes.
    Met,
    /// No.
    Missed,
    /// This run does not tell.
    Open,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Verdict::Met => "met",
            Verdict::Missed => "**missed**",
            Verdict::Open => "open",
        })
    }
}

/// A goal beside what was found.
#[derive(Clone, Debug)]
pub struct Judged {
    /// The goal.
    pub goal: Goal,
    /// The rival; `None` for a bound.
    pub rival: Option<Peer>,
    /// Ratios, or the figures themselves.
    pub found: Estimate,
    /// How many.
    pub count: usize,
    /// The verdict.
    pub verdict: Verdict,
}

/// All that this comparison can judge. Others (instructions, the size of a configuration, a decision's nanoseconds)
/// are judged by `benches/`.
pub fn goals() -> Vec<Goal> {
    let ours = |title, job, figure, against, at_most| Goal {
        title,
        job,
        peer: Peer::Causeway,
        figure,
        against,
        at_most,
    };
    let cpu: Figure = |sample| sample.cpu_us;
    let best = Against::Best(RIVALS);
    let relay = Against::Best(&[Peer::Relay]);
    vec![
        ours("CPU, HTTP/1.1, 1 KiB", Job::Http1, cpu, best, 0.80),
        ours("CPU, HTTP/1.1, 100 B", Job::Http1Small, cpu, best, 0.80),
        ours("CPU, HTTP/1.1, 1 KiB, to the bare relay", Job::Http1, cpu, relay, 1.25),
        ours("CPU, HTTP/1.1, 100 B, to the bare relay", Job::Http1Small, cpu, relay, 1.25),
        ours("CPU at 5,000/s", Job::Http1Paced, cpu, best, 0.85),
        ours("p50 at 5,000/s", Job::Http1Paced, |sample| sample.p50_us, best, 1.00),
        ours("p99 at 5,000/s", Job::Http1Paced, |sample| sample.p99_us, best, 1.00),
        ours("CPU, TLS 1.3", Job::Tls, cpu, best, 0.80),
        ours("CPU, HTTP/2 over TLS in, HTTP/1.1 out", Job::Http2, cpu, Against::Best(&[Peer::Haproxy]), 1.00),
        ours("CPU, a new connection for each request", Job::Close, cpu, best, 0.90),
        ours("CPU, 64 KiB bodies", Job::Body64k, cpu, best, 1.00),
        ours("CPU, 10 MiB bodies", Job::Body10m, cpu, best, 1.00),
        ours("memory at start", Job::Idle, |s| s.start_kib as f64 / 1024.0, Against::Bound("MiB"), 20.0),
        ours("memory of an idle connection", Job::Idle, |s| s.connection_kib(), Against::Bound("KiB"), 2.0),
        ours("the same over TLS", Job::IdleTls, |s| s.connection_kib(), Against::Bound("KiB"), 12.0),
        Goal {
            title: "CPU with two workers, to one",
            job: Job::Workers,
            peer: Peer::CausewayTwo,
            figure: cpu,
            against: Against::Best(&[Peer::Causeway]),
            at_most: 1.05,
        },
    ]
}

/// The goals that these results say something about.
pub fn judge(results: &Results) -> Vec<Judged> {
    goals().into_iter().filter_map(|goal| judge_one(results, goal)).collect()
}

fn judge_one(results: &Results, goal: Goal) -> Option<Judged> {
    let (rival, values) = match goal.against {
        Against::Bound(_) => (None, results.of(goal.peer, goal.job).map(goal.figure).collect()),
        Against::Best(rivals) => {
            let rival = best(results, rivals, goal.job, goal.figure)?;
            (Some(rival), ratios(results, goal, rival))
        }
    };
    let found = ratio::estimate(&values)?;
    let verdict = match goal.against {
        // No rival, no noise to pair away: every single figure keeps the bound or it is not kept.
        Against::Bound(_) if values.iter().all(|&value| value <= goal.at_most) => Verdict::Met,
        Against::Bound(_) => Verdict::Missed,
        Against::Best(_) if found.coverage < CONFIDENCE => Verdict::Open,
        Against::Best(_) if found.high <= goal.at_most => Verdict::Met,
        Against::Best(_) if found.low > goal.at_most => Verdict::Missed,
        Against::Best(_) => Verdict::Open,
    };
    Some(Judged { goal, rival, found, count: values.len(), verdict })
}

/// The rival with the lowest median.
pub fn best(results: &Results, rivals: &[Peer], job: Job, figure: Figure) -> Option<Peer> {
    let medians = rivals.iter().filter_map(|&peer| Some((peer, median(results, peer, job, figure)?)));
    medians.min_by(|(_, one), (_, other)| one.total_cmp(other)).map(|(peer, _)| peer)
}

/// Ours to theirs, in each round that has both.
pub fn ratios(results: &Results, goal: Goal, rival: Peer) -> Vec<f64> {
    let of_round = |sample: &Sample| {
        let theirs = results.of(rival, goal.job).find(|other| other.round == sample.round)?;
        Some((goal.figure)(sample) / (goal.figure)(theirs)).filter(|ratio| ratio.is_finite())
    };
    results.of(goal.peer, goal.job).filter_map(of_round).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nine rounds: ours costs `ours` of what nginx costs, the machine drifts, HAProxy is slower but for one round.
    fn results(ours: f64) -> Results {
        let mut results = Results::default();
        for round in 0..9 {
            let drift = 10.0 + round as f64;
            for (peer, cost) in [
                (Peer::Causeway, ours),
                (Peer::Nginx, 1.0),
                (Peer::Haproxy, if round == 4 { 0.2 } else { 2.0 }),
            ] {
                let mut sample = Sample::new(peer, Job::Http1, round);
                sample.cpu_us = drift * cost;
                results.samples.push(sample);
            }
        }
        results
    }

    fn verdict(ours: f64) -> (Verdict, Option<Peer>) {
        let judged = judge(&results(ours));
        assert_eq!(judged.len(), 1, "one job with a rival that took part");
        (judged[0].verdict, judged[0].rival)
    }

    #[test]
    fn a_goal_is_met_by_pairs_whatever_the_machine_does_meanwhile() {
        assert_eq!(verdict(0.79), (Verdict::Met, Some(Peer::Nginx)));
        assert_eq!(verdict(0.81), (Verdict::Missed, Some(Peer::Nginx)));
    }

    #[test]
    fn too_few_rounds_leave_it_open() {
        let mut few = results(0.5);
        few.samples.retain(|sample| sample.round < 5);
        assert_eq!(judge(&few)[0].verdict, Verdict::Open);
    }

    #[test]
    fn a_round_that_one_of_the_two_missed_is_no_pair() {
        let mut torn = results(0.5);
        torn.samples.retain(|sample| sample.round != 3 || sample.peer != Peer::Nginx);
        assert_eq!(judge(&torn)[0].count, 8);
    }

    #[test]
    fn a_bound_is_kept_by_every_figure_or_not() {
        let mut sample = Sample::new(Peer::Causeway, Job::Idle, 0);
        (sample.start_kib, sample.resident_kib) = (10 * 1024, 10 * 1024 + 5_000);
        let mut results = Results { samples: vec![sample.clone()], ..Results::default() };
        assert!(judge(&results).iter().all(|judged| judged.verdict == Verdict::Met));
        sample.resident_kib += 2 * 5_000;
        results.samples.push(sample);
        let verdicts: Vec<_> = judge(&results).iter().map(|judged| judged.verdict).collect();
        assert_eq!(verdicts, [Verdict::Met, Verdict::Missed]);
    }
}
