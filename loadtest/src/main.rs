//! `causeway-loadtest`: see the library.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use causeway_loadtest::compare::{self, Wanted};
use causeway_loadtest::job::Job;
use causeway_loadtest::overload::{self, Scenario};
use causeway_loadtest::peer::Peer;
use causeway_loadtest::report::{self, readme, table};
use causeway_loadtest::results::Results;
use causeway_loadtest::{origin, relay};
use clap::{Args, Parser, Subcommand};

/// Compares this proxy with its peers on this machine.
#[derive(Parser, Debug)]
#[command(name = "causeway-loadtest", version)]
struct Flags {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Runs every peer at every job, and writes results, tables and plots
    Compare(Compare),
    /// Runs our proxy at its capacity and at a multiple of it, and tells what is served and how soon
    Overload {
        /// How many times its capacity is asked of it
        #[arg(long, default_value_t = 3.0)]
        times: f64,
        /// Seconds of each measurement
        #[arg(long, default_value_t = 10.0)]
        seconds: f64,
        /// Connections
        #[arg(long, default_value_t = 8_000)]
        connections: usize,
        /// `overload.queueTime.target`; 0s: no shedding
        #[arg(long, default_value = "5ms")]
        target: String,
        /// Over HTTP/2 without TLS, with so many streams on each connection
        #[arg(long, value_name = "STREAMS")]
        http2: Option<usize>,
        /// Processes that share the proxy's CPU and compute all the time
        #[arg(long, default_value_t = 2)]
        neighbours: usize,
    },
    /// Makes tables, plots and the README's table again from the results
    Report {
        /// Where they are
        #[arg(long, value_name = "FOLDER", default_value_os_t = committed())]
        results: PathBuf,
    },
    /// An endpoint: answers on these ports
    #[command(hide = true)]
    Origin {
        #[arg(required = true)]
        ports: Vec<u16>,
    },
    /// Computes all the time
    #[command(hide = true)]
    Neighbour,
    /// Passes the bytes of a port on to another
    #[command(hide = true)]
    Relay { listen: u16, upstream: u16 },
}

#[derive(Args, Debug)]
struct Compare {
    /// Rounds; an interval of 95 % needs six, the goals ask for nine
    #[arg(long, default_value_t = 9)]
    rounds: usize,

    /// Seconds of each measurement
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,

    /// Only these
    #[arg(long, value_delimiter = ',', value_name = "NAME,...")]
    peers: Vec<Peer>,

    /// Only these
    #[arg(long, value_delimiter = ',', value_name = "NAME,...")]
    jobs: Vec<Job>,

    /// Leave peers out rather than install them
    #[arg(long)]
    no_install: bool,

    /// Where results go [default: loadtest/results, and the README's table with them; with --peers or --jobs a
    /// temporary folder]
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

/// The results that are part of the repository.
fn committed() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("results")
}

fn main() -> ExitCode {
    let done = match Flags::parse().command {
        Command::Compare(flags) => compare_all(&flags),
        Command::Overload { times, seconds, connections, target, http2, neighbours } => {
            overload::run(&Scenario { times, seconds, connections, target, http2, neighbours })
        }
        Command::Report { results } => tell(&results),
        Command::Origin { ports } => origin::serve(&ports),
        Command::Neighbour => loop {
            std::hint::spin_loop();
        },
        Command::Relay { listen, upstream } => relay::serve(listen, upstream),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("causeway-loadtest: {error}");
            ExitCode::FAILURE
        }
    }
}

fn compare_all(flags: &Compare) -> Result<(), String> {
    let length = Duration::try_from_secs_f64(flags.seconds).ok().filter(|length| !length.is_zero());
    let length = length.ok_or("--seconds must be above 0")?;
    if flags.rounds == 0 {
        return Err("--rounds must be above 0".to_owned());
    }
    if cfg!(debug_assertions) {
        return Err("a debug build measures nothing\n  cargo run --release -p causeway-loadtest -- compare"
            .to_owned());
    }
    let or_all = |some: &[Peer]| if some.is_empty() { Peer::ALL.to_vec() } else { some.to_vec() };
    let wanted = Wanted {
        peers: or_all(&flags.peers),
        jobs: if flags.jobs.is_empty() { Job::ALL.to_vec() } else { flags.jobs.clone() },
        rounds: flags.rounds,
        length,
        install: !flags.no_install,
    };
    // A part of the comparison must not take the place of the whole.
    let whole = flags.peers.is_empty() && flags.jobs.is_empty();
    let usual = if whole { committed() } else { std::env::temp_dir().join("causeway-loadtest-part") };
    let folder = flags.out.clone().unwrap_or(usual);
    std::fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let file = folder.join("results.json");
    let results = compare::compare(&wanted, &mut |results| results.write(&file))?;
    println!("\n{}", table::goals(&results));
    tell(&folder)
}

fn tell(folder: &Path) -> Result<(), String> {
    let results = Results::read(&folder.join("results.json"))?;
    report::write(&results, folder)?;
    println!("{}", folder.join("README.md").display());
    if folder == committed() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
        let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        let text = readme::with_table(&text, &results)?;
        std::fs::write(&path, text).map_err(|e| format!("{}: {e}", path.display()))?;
        println!("{}", path.display());
    }
    Ok(())
}
