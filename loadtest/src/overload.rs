//! Our proxy at more than it can do: `causeway-loadtest overload`.
//!
//! First its capacity, as a closed loop finds it. Then an open loop at that rate, and one at a multiple of it, over
//! many connections; a request that finds none free is given up, since nobody waits for ever and what was never sent
//! says nothing about the proxy. The proxy has one worker on a CPU of its own.
//!
//! *Goodput* is what was answered with 2xx, as a share of the capacity. Latencies are those of the admitted.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use causeway_benches::machine::Cpus;

use crate::compare::{raise_descriptors, scratch};
use crate::load::{self, Outcome, Plan};
use crate::peer::Peer;
use crate::peer::install;
use crate::peer::running::Running;
use crate::peer::site::{Identity, Ports, Site};

/// Connections that find the capacity: enough to keep the worker busy, few enough for a short queue.
const CLOSED: usize = 128;

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
    let site = Site::new(dir.join("site"), Peer::Causeway, ports, &Identity::new()?)?;
    shed_from(site.dir(), &scenario.target)?;
    let _origins = Running::origins(&ports.origins, &cpus.traffic.to_string(), &dir)?;
    let proxy = Running::start(Peer::Causeway, &found.program, &site, &cpus.proxy.to_string())?;

    let plan = |connections, rate| Plan {
        connections,
        rate,
        impatient: true,
        users: USERS,
        length,
        ..Plan::new(SocketAddr::from((Ipv4Addr::LOCALHOST, ports.http)))
    };
    let ask = |plan: &Plan| load::run(plan, &mut |_| Ok(()));
    println!("queueTime.target {}; {} s each", scenario.target, scenario.seconds);
    println!("| load | asked for | answered | goodput | refused | not sent | p50 | p99 | p99.9 |");
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    let closed = ask(&plan(CLOSED, None))?;
    let capacity = closed.requests as f64 / closed.seconds;
    println!("{}", row(&format!("closed loop, {CLOSED} connections"), None, capacity, &closed));
    for times in [1.0, scenario.times] {
        let rate = capacity * times;
        let outcome = ask(&plan(scenario.connections, Some(rate)))?;
        let name = format!("{times} x, {} connections", scenario.connections);
        println!("{}", row(&name, Some(rate), capacity, &outcome));
    }
    drop(proxy);
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

fn row(name: &str, rate: Option<f64>, capacity: f64, outcome: &Outcome) -> String {
    let answered = outcome.requests as f64 / outcome.seconds;
    let asked = rate.map_or_else(String::new, |rate| format!("{rate:.0}/s"));
    let millis = |us: f64| format!("{:.1} ms", us / 1000.0);
    format!(
        "| {name} | {asked} | {answered:.0}/s | {:.0} % | {:.0}/s | {:.0}/s | {} | {} | {} |",
        100.0 * answered / capacity,
        outcome.errors as f64 / outcome.seconds,
        outcome.late as f64 / outcome.seconds,
        millis(outcome.p50_us),
        millis(outcome.p99_us),
        millis(outcome.p999_us),
    )
}
