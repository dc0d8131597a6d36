//! What a large configuration costs: 5,000 endpoints and 500 routes against 3 endpoints and 1 route, in CPU time and
//! in instructions a request, in memory, and in time to load. `README.md` of this folder says how to read it.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use causeway_benches::fixture::{CLUSTERS, LARGE, SMALL, Shape, Workload};
use causeway_benches::instructions::{self, BUSY, PerRequest};
use causeway_benches::machine::{self, Cpus};
use causeway_benches::ratio::{self, Estimate};
use causeway_benches::subject::{CpuTime, Program, Running, Site};
use causeway_benches::traffic::{self, Clients, Plan};
use causeway_proxy::snapshot::{compile::compile, from_file};
use causeway_proxy::upstream::discover::Discovered;
use causeway_proxy::upstream::registry::Registry;
use clap::Parser;

/// The proxy's own allocator, as configs are loaded in here as well.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What the large configuration may cost, as a multiple of the small one.
const GOAL: f64 = 1.20;

/// What the large configuration may take to load.
const LOAD_GOAL: Duration = Duration::from_secs(1);

/// Before each measurement, at least, and until each user has been served: opens the connections, fills the caches.
const WARM_UP: Duration = Duration::from_millis(500);

/// How often a configuration is loaded for its median.
const LOADS: usize = 5;

/// Compares a proxy with a large configuration to one with a small one.
#[derive(Parser, Debug)]
struct Flags {
    /// Pairs of measurements; an interval of 95 % needs six.
    #[arg(long, default_value_t = 9)]
    pairs: usize,

    /// Length of each measurement.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,

    /// Client connections, each with one request under way.
    #[arg(long, default_value_t = 64)]
    connections: usize,

    /// Users; with more users than connections the large configuration needs more upstream connections.
    #[arg(long, default_value_t = 64)]
    users: usize,

    /// Endpoints of the two configurations, in three clusters each; `--endpoints 6,15000` is three of two against three
    /// of five thousand.
    #[arg(long, value_delimiter = ',', num_args = 2, value_names = ["FEW", "MANY"], default_values_t = [SMALL.endpoints, LARGE.endpoints])]
    endpoints: Vec<usize>,

    /// Count instructions under valgrind instead of CPU time.
    #[arg(long)]
    instructions: bool,

    /// The proxy to measure [default: the one beside this program, built if missing]
    #[arg(long, value_name = "PATH")]
    proxy: Option<std::path::PathBuf>,
}

impl Flags {
    /// The small and the large configuration.
    fn shapes(&self) -> [Shape; 2] {
        let endpoints = |i: usize, usual: Shape| Shape {
            endpoints: self.endpoints.get(i).copied().unwrap_or(usual.endpoints),
            ..usual
        };
        [endpoints(0, SMALL), endpoints(1, LARGE)]
    }
}

fn main() -> ExitCode {
    let flags = Flags::parse();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => {
            eprintln!("scale: no runtime: {e}");
            return ExitCode::FAILURE;
        }
    };
    match tokio::task::LocalSet::new().block_on(&runtime, run(&flags)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("scale: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(flags: &Flags) -> Result<(), String> {
    // 65,000 addresses lie in 127.1.0.0/16, and a cluster has one at least.
    let sound = |shape: Shape| (CLUSTERS..=65_000).contains(&shape.endpoints);
    if !flags.shapes().into_iter().all(sound) || flags.endpoints.first() == flags.endpoints.last() {
        return Err(format!("--endpoints takes two numbers that differ, of {CLUSTERS} to 65000"));
    }
    let valid = flags.pairs > 0 && flags.connections > 0 && flags.users > 0;
    let length = Duration::try_from_secs_f64(flags.seconds).ok().filter(|length| !length.is_zero() && valid);
    let length = length.ok_or("--pairs, --seconds, --connections and --users must be above 0")?;
    let program = match &flags.proxy {
        Some(path) => Program { path: path.clone() },
        None => Program::find()?,
    };
    println!("machine      {}", machine::facts());
    println!("proxy        {}", program.describe());
    println!("traffic      {} connections, {} users, 1 KiB answers", flags.connections, flags.users);
    if flags.instructions {
        return count_instructions(flags, &program).await;
    }
    let cpus = Cpus::pick();
    match cpus {
        Some(cpus) => {
            cpus.pin_traffic()?;
            println!(
                "CPUs         one worker on CPU {}, origin and clients on CPU {}",
                cpus.proxy, cpus.traffic
            );
        }
        None => println!("CPUs         not pinned: a single CPU, or no taskset"),
    }
    let origin = traffic::origin().await?;
    for shape in flags.shapes() {
        load(shape, origin)?;
    }
    compare(flags, length, &program, cpus, origin).await
}

/// Prints how long a configuration takes from files to a snapshot.
fn load(shape: Shape, origin: u16) -> Result<(), String> {
    let site = Site::new(shape, origin)?;
    let (mut read, mut compiled) = (Vec::new(), Vec::new());
    for _ in 0..LOADS {
        let began = Instant::now();
        let config = from_file::read(&site.config())?.config;
        read.push(began.elapsed().as_secs_f64() * 1e3);
        let began = Instant::now();
        let snapshot = compile(config, &Discovered::default(), &Registry::new(1), None)?;
        compiled.push(began.elapsed().as_secs_f64() * 1e3);
        drop(snapshot);
    }
    let (read, compiled) = (ratio::median(&read), ratio::median(&compiled));
    let (read, compiled) = read.zip(compiled).unwrap_or_default();
    println!(
        "load         {}: {read:.1} ms from files to model, {compiled:.1} ms from model to snapshot",
        shape.name()
    );
    Ok(())
}

/// One measurement.
struct Sample {
    cpu: CpuTime,
    rate: f64,
    resident_kib: u64,
    descriptors: usize,
    started_in: Duration,
}

async fn compare(
    flags: &Flags,
    length: Duration,
    program: &Program,
    cpus: Option<Cpus>,
    origin: u16,
) -> Result<(), String> {
    println!("\nCPU microseconds a request, user + system, and requests a second");
    let [few, many] = flags.shapes();
    println!("pair   {:<38} {:<38} ratio", few.name(), many.name());
    let (mut small, mut large) = (Vec::new(), Vec::new());
    for pair in 0..flags.pairs {
        // Each takes the first turn as often as the other, so that a drift of the machine favours neither.
        let mut shapes = flags.shapes();
        if pair % 2 == 1 {
            shapes.reverse();
        }
        for shape in shapes {
            let sample = measure(flags, length, program, cpus, origin, shape).await?;
            if shape == few { small.push(sample) } else { large.push(sample) }
        }
        let (Some(one), Some(other)) = (small.last(), large.last()) else { continue };
        println!("{:>4}   {}{}{:.3}", pair + 1, column(one), column(other), quotient(one, other));
    }
    println!();
    for (shape, samples) in [(few, &small), (many, &large)] {
        summary(shape, samples);
    }
    let ratios: Vec<f64> = small.iter().zip(&large).map(|(one, other)| quotient(one, other)).collect();
    if let Some(found) = ratio::estimate(&ratios) {
        verdict(&found, ratios.len());
    }
    let slowest = large.iter().map(|sample| sample.started_in).max().unwrap_or_default();
    let met = if slowest < LOAD_GOAL { "met" } else { "missed" };
    println!(
        "goal         loads in under {LOAD_GOAL:?}: {met}, at most {slowest:.0?} from start to the first answer"
    );
    Ok(())
}

fn column(sample: &Sample) -> String {
    let CpuTime { user, system } = sample.cpu;
    let text = format!("{:6.2} = {user:5.2} + {system:5.2}  {:>6.0}/s", sample.cpu.total(), sample.rate);
    format!("{text:<39}")
}

fn quotient(one: &Sample, other: &Sample) -> f64 {
    other.cpu.total() / one.cpu.total()
}

fn summary(shape: Shape, samples: &[Sample]) {
    let median = |what: fn(&Sample) -> f64| {
        ratio::median(&samples.iter().map(what).collect::<Vec<_>>()).unwrap_or_default()
    };
    println!(
        "medians      {}: {:.2} us a request ({:.2} user), {:.0} ms from start to the first answer, {:.1} MiB, {} descriptors",
        shape.name(),
        median(|sample| sample.cpu.total()),
        median(|sample| sample.cpu.user),
        median(|sample| sample.started_in.as_secs_f64() * 1e3),
        median(|sample| sample.resident_kib as f64) / 1024.0,
        median(|sample| sample.descriptors as f64),
    );
}

fn verdict(found: &Estimate, n: usize) {
    println!(
        "ratio        {:.3}, {:.1} % interval {:.3} to {:.3} (smallest and largest but {} of {n} paired ratios)",
        found.median,
        found.coverage * 100.0,
        found.low,
        found.high,
        found.rank - 1
    );
    let met = match () {
        () if found.coverage < ratio::CONFIDENCE => "undecided, too few pairs",
        () if found.high <= GOAL => "met",
        () if found.low > GOAL => "missed",
        () => "undecided, more pairs or a quieter machine would tell",
    };
    println!("goal         the interval's upper end at most {GOAL:.2}: {met}");
}

/// A proxy of its own for each measurement: where the kernel happens to put its memory differs from start to start,
/// and is to be averaged over too.
async fn measure(
    flags: &Flags,
    length: Duration,
    program: &Program,
    cpus: Option<Cpus>,
    origin: u16,
    shape: Shape,
) -> Result<Sample, String> {
    let site = Site::new(shape, origin)?;
    let proxy = Running::start(program, &site, cpus, &[]).await?;
    let mut clients = Clients::start(plan(flags, site.listen), u64::MAX);
    clients.work(WARM_UP).await?;
    while clients.answered() < flags.users as u64 {
        clients.work(WARM_UP).await?;
    }
    let (began, cpu, answered) = (Instant::now(), proxy.cpu()?, clients.answered());
    clients.work(length).await?;
    let (took, cpu_after, answered_after) = (began.elapsed(), proxy.cpu()?, clients.answered());
    let requests = answered_after - answered;
    if requests == 0 {
        return Err(format!("no request was answered in {length:?}:\n{}", proxy.said()));
    }
    let (resident_kib, descriptors) = (proxy.resident_kib()?, proxy.descriptors()?);
    let started_in = proxy.started_in;
    drop(clients);
    proxy.terminate().await?;
    Ok(Sample {
        cpu: cpu_after.each_since(cpu, requests),
        rate: requests as f64 / took.as_secs_f64(),
        resident_kib,
        descriptors,
        started_in,
    })
}

fn plan(flags: &Flags, to: SocketAddr) -> Plan {
    let (connections, users) = (flags.connections, flags.users);
    Plan { to, connections, users, workload: Workload::Get, pause: Duration::ZERO }
}

async fn count_instructions(flags: &Flags, program: &Program) -> Result<(), String> {
    if !machine::has("valgrind") {
        return Err(
            "--instructions needs valgrind\n  install it, or measure CPU time without the flag".to_owned()
        );
    }
    let [few, many] = BUSY.requests(flags.users);
    println!("\nuser instructions a request: (I({many}) - I({few})) / {}", many - few);
    let origin = traffic::origin().await?;
    let mut found: Vec<PerRequest> = Vec::new();
    for shape in flags.shapes() {
        let site = Site::new(shape, origin)?;
        let each = instructions::per_request(program, &site, plan(flags, site.listen), BUSY).await?;
        println!(
            "             {}: {:.0} on the worker, {:.0} on all threads",
            shape.name(),
            each.worker,
            each.all
        );
        found.push(each);
    }
    if let [small, large] = found.as_slice() {
        let ratio = large.worker / small.worker;
        let met = if ratio <= GOAL { "met" } else { "missed" };
        println!("ratio        {ratio:.3} on the worker, {:.3} on all threads", large.all / small.all);
        println!("goal         at most {GOAL:.2} on the worker: {met}");
    }
    Ok(())
}
