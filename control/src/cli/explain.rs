//! `causeway explain`: one user's home and failover order, offline.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use causeway_config::{Config, HashOn, MultiClusterService, Strictness, load, read_path};
use causeway_proxy_policy::hash::address_part;
use causeway_proxy_policy::{KeyHash, Tick};
use clap::Args;
use smallvec::SmallVec;

use super::NO;
use crate::plan::{Supposed, compile, service};

#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    /// A configuration file, or a folder of them
    #[arg(long, value_name = "PATH")]
    config: PathBuf,
    /// The MultiClusterService; needed where there are several
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// The user's key, such as the value of x-user-id; once for each part where several are hashed together
    #[arg(long, required = true, value_name = "KEY")]
    key: Vec<String>,
    /// Suppose that this cluster is lost; may be repeated
    #[arg(long, value_name = "CLUSTER")]
    lost: Vec<String>,
}

pub(super) fn explain(args: &ExplainArgs, out: &mut impl Write) -> ExitCode {
    let loaded = read_path(&args.config).and_then(|sources| load(&sources, Strictness::Validate));
    let config = match loaded {
        Ok(loaded) => loaded.config,
        Err(report) => {
            eprintln!("{report}");
            return ExitCode::from(NO);
        }
    };
    match service(&config, args.service.as_deref()).and_then(|service| answer(args, &config, service)) {
        Ok(text) => super::written(out.write_all(text.as_bytes()).map(|()| ExitCode::SUCCESS)),
        Err(problem) => {
            eprintln!("causeway explain: {problem}");
            ExitCode::from(NO)
        }
    }
}

fn answer(args: &ExplainArgs, config: &Config, service: &MultiClusterService) -> Result<String, String> {
    let hashed = &service.load_balancer.hash_on;
    if !hashed.is_empty() && hashed.len() != args.key.len() {
        let parts: Vec<String> = hashed.iter().map(part).collect();
        return Err(format!("{} hashes {}: give --key for each", service.name, parts.join(" and ")));
    }
    let plan = compile(service, &config.clusters);
    let mut world = Supposed::well(&plan);
    for name in &args.lost {
        let found = (0..plan.len()).find(|cluster| plan.cluster_name(*cluster) == Some(name));
        let Some(cluster) = found else { return Err(format!("{} has no cluster {name:?}", service.name)) };
        world.lost[cluster] = true;
    }
    let parts: Vec<SmallVec<[u8; 16]>> =
        (0..args.key.len()).map(|i| key_part(&args.key[i], hashed.get(i))).collect::<Result<_, _>>()?;
    let parts: Vec<&[u8]> = parts.iter().map(SmallVec::as_slice).collect();
    let told = plan.explain(KeyHash::of(&parts), &world, Tick(1));
    let mut text = Vec::new();
    // Into memory: it cannot fail.
    let _ = write_answer(&mut text, service, &told);
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// What is hashed of one `--key`.
fn key_part(key: &str, hashed: Option<&HashOn>) -> Result<SmallVec<[u8; 16]>, String> {
    match hashed {
        Some(HashOn::SourceIp) => key.parse().map(address_part).map_err(|_| {
            format!("the client's address is hashed, and {key:?} is not one: give --key 192.0.2.7")
        }),
        _ => Ok(SmallVec::from_slice(key.as_bytes())),
    }
}

fn write_answer(
    out: &mut impl Write,
    service: &MultiClusterService,
    told: &causeway_proxy_policy::Explanation,
) -> io::Result<()> {
    use causeway_proxy_policy::service::Verdict;

    let name = |cluster: usize| service.clusters.get(cluster).map_or("-", |entry| entry.name.as_str());
    writeln!(out, "service   {}", service.name)?;
    if service.load_balancer.hash_on.is_empty() {
        writeln!(out, "note      no consistentHash here: proxies spread by weight, nobody sticks")?;
    } else {
        let parts: Vec<String> = service.load_balancer.hash_on.iter().map(part).collect();
        writeln!(out, "hashed    {}", parts.join(", then "))?;
    }
    writeln!(out, "key       {:016x}", told.key.0)?;
    writeln!(out, "home      {}", name(told.home))?;
    writeln!(out, "position  {:.4}  (stays at home while its admission is above this)", told.position)?;
    writeln!(out, "order")?;
    for (number, cluster) in told.order.iter().enumerate() {
        let verdict = match cluster.verdict {
            Verdict::Stays => "home, admits this key",
            Verdict::NotAdmitted => "home, does not admit this key",
            Verdict::Counts => "would take this key",
            Verdict::PartlyAdmitted => "is not fully admitted itself",
            Verdict::NoRoom => "has no room for this key",
        };
        let number = number + 1;
        writeln!(out, "  {number}. {:<16} priority {:<3} {verdict}", cluster.name, cluster.priority)?;
    }
    match (&told.target, &told.cluster, &told.endpoint) {
        (Some(target), Some(cluster), Some(endpoint)) => {
            writeln!(out, "goes to   {cluster} {endpoint}  ({})", target.why.as_str())
        }
        _ => writeln!(out, "goes to   nowhere: 503"),
    }
}

/// A part of a key, in words.
pub(super) fn part(part: &HashOn) -> String {
    match part {
        HashOn::Header(name) => format!("header {name}"),
        HashOn::Cookie { name, .. } => format!("cookie {name}"),
        HashOn::SourceIp => "the client's address".to_owned(),
        HashOn::QueryParameter(name) => format!("query parameter {name}"),
    }
}
