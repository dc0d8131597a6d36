//! Our proxy at more than it can do: `causeway-loadtest overload`.
//!
//! First its capacity, as a closed loop without shedding finds it; right before each row, since that of a virtual
//! machine goes up and down by a third. Then an open loop at a multiple of it, over many connections; a request that
//! finds none free is given up, since nobody waits for ever and what was never sent says nothing about the proxy.
//!
//! The proxy has one worker. It shares its CPU with neighbours that compute all the time, because generator and origin
//! have only the other CPU: for three times what a whole CPU of the proxy can do they would need more than one.
//!
//! *Goodput* is what was answered with 2xx, as a share of the capacity. Latencies are those of the admitted. How much
//! of its share of the CPU the proxy used says whether it was the bottleneck.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use causeway_benches::machine::Cpus;

use crate::compare::{raise_descriptors, scratch};
use crate::load::{self, Moment, Outcome, Plan, Protocol};
use crate::peer::Peer;
use crate::peer::install;
use crate::peer::running::{CpuTime, Running};
use crate::peer::site::{Identity, Ports, Site};

/// The target that sheds nothing.
const UNSHED: &str = "0s";

/// Users that the load plays, in turn.
const USERS: usize = 10_000;

/// What is asked of the proxy.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// How many times its capacity.
    pub times: f64,
    /// Seconds of each measurement.
    pub seconds: f64,
    /// Connections of the open loops.
    pub connections: usize,
    /// `overload.queueTime.target`, as in a configuration.
    pub target: String,
    /// Over HTTP/2, with so many streams on each connection.
    pub http2: Option<usize>,
    /// How many neighbours the proxy's CPU has.
    pub neighbours: usize,
}

/// Runs it, and prints a table.
///
/// # Errors
/// The machine is not fit for it, or the proxy does not serve.
pub fn run(scenario: &Scenario) -> Result<(), String> {
    let length = Duration::try_from_secs_f64(scenario.seconds).ok().filter(|length| !length.is_zero());
    let length = length.ok_or("--seconds must be above 0")?;
    if !(scenario.times > 0.0 && scenario.times.is_finite()) || scenario.connections == 0 {
        return Err("--times and --connections must be above 0".to_owned());
    }
    let cpus = Cpus::pick().ok_or("this needs two CPUs, and taskset (util-linux)")?;
    let found = install::find(Peer::Causeway, false)?;
    raise_descriptors()?;
    cpus.pin_traffic()?;
    let dir = scratch()?;
    let ports = Ports::free()?;
    let identity = Identity::new()?;
    let _origins = Running::origins(&ports.origins, &cpus.traffic.to_string(), &dir)?;
    let proxy_cpu = cpus.proxy.to_string();
    let neighbours = (0..scenario.neighbours).map(|_| Running::neighbour(&proxy_cpu, &dir));
    let neighbours = neighbours.collect::<Result<Vec<_>, _>>()?;

    let plan = |connections, rate| Plan {
        connections,
        rate,
        impatient: true,
        users: USERS,
        protocol: if scenario.http2.is_some() { Protocol::Http2 } else { Protocol::Http1 },
        streams: scenario.http2.unwrap_or(1),
        length,
        ..Plan::new(SocketAddr::from((Ipv4Addr::LOCALHOST, ports.http)))
    };
    // A process for each, so that none begins with what the last one left.
    let mut started = 0;
    let mut ask = |target: &str, plan: &Plan| -> Result<(Outcome, f64), String> {
        started += 1;
        let site = Site::new(dir.join(format!("site-{started}")), Peer::Causeway, ports, &identity)?;
        shed_from(site.dir(), target)?;
        let proxy = Running::start(Peer::Causeway, &found.program, &site, &proxy_cpu)?;
        let (mut used, mut before) = (CpuTime::default(), CpuTime::default());
        let outcome = load::run(plan, &mut |moment| {
            match moment {
                Moment::Begin => before = proxy.cpu(),
                Moment::End => used.add(proxy.cpu(), before),
            }
            Ok(())
        })?;
        let cpu = used.total as f64 / 1e9 / outcome.seconds;
        Ok((outcome, cpu))
    };
    println!("{} s each; the proxy's CPU has {} more to serve", scenario.seconds, scenario.neighbours);
    println!(
        "| target | load | capacity | asked for | answered | goodput | refused | not sent | CPU | p50 | p99 | p99.9 |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    for target in [UNSHED, &scenario.target] {
        for (times, polite) in [(0.8, true), (scenario.times, true), (scenario.times, false)] {
            let closed = Plan { length: length / 2, ..plan(scenario.connections, None) };
            let (closed, _) = ask(UNSHED, &closed)?;
            let capacity = closed.requests as f64 / closed.seconds;
            let rate = capacity * times;
            let (outcome, cpu) = ask(target, &Plan { polite, ..plan(scenario.connections, Some(rate)) })?;
            let manners = if polite { "" } else { ", Retry-After ignored" };
            println!("{}", row(target, &format!("{times} x{manners}"), rate, capacity, &outcome, cpu));
        }
    }
    drop(neighbours);
    let _ = std::fs::remove_dir_all(&dir);
    Ok(())
}

/// Sets the target in the configuration that the comparison uses.
fn shed_from(dir: &Path, target: &str) -> Result<(), String> {
    let path = dir.join("config/edge.yaml");
    let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let overload = format!("overload: {{queueTime: {{target: {target}, interval: 100ms}}}}");
    let changed = text.replace("spec: {workers:", &format!("spec: {{{overload}, workers:"));
    if changed == text {
        return Err(format!("{} has no ProxyConfig with `spec: {{workers:`", path.display()));
    }
    std::fs::write(&path, changed).map_err(|e| format!("{}: {e}", path.display()))
}

fn row(target: &str, load: &str, rate: f64, capacity: f64, outcome: &Outcome, cpu: f64) -> String {
    let answered = outcome.requests as f64 / outcome.seconds;
    let millis = |us: f64| format!("{:.1} ms", us / 1000.0);
    format!(
        "| {target} | {load} | {capacity:.0}/s | {rate:.0}/s | {answered:.0}/s | {:.0} % | {:.0}/s | {:.0}/s | {:.0} % | {} | {} | {} |",
        100.0 * answered / capacity,
        outcome.errors as f64 / outcome.seconds,
        outcome.late as f64 / outcome.seconds,
        100.0 * cpu,
        millis(outcome.p50_us),
        millis(outcome.p99_us),
        millis(outcome.p999_us),
    )
}
