//! `causeway demo`, and the hidden commands by which it starts itself again.

use std::{ffi::OsString, net::SocketAddr, process::ExitCode, sync::Arc, time::Duration};

use causeway_control_demo::{
    DemoOptions,
    origin::{OriginOptions, serve_process},
    proxy_process, topology,
    users::HomeOf,
};
use causeway_proxy_policy::{ClusterParams, EndpointSet, KeyHash, ServiceParams, ServicePlan};
use clap::Args;

#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// Users, each with a name of its own in x-user-id
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    users: u32,
    /// Requests a second, all users together
    #[arg(long, default_value_t = 600.0, value_parser = rate)]
    rate: f64,
    /// End by itself after this time, such as 30s or 2m
    #[arg(long = "for", value_name = "TIME", value_parser = time)]
    duration: Option<Duration>,
    /// The proxy's port; the demo takes this one and the 99 after it [default: the first free from 18000]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=65_435))]
    port: Option<u16>,
    /// A line a second instead of a live view
    #[arg(long)]
    plain: bool,
}

#[derive(Debug, Args)]
pub(super) struct OriginArgs {
    #[arg(long)]
    listen: SocketAddr,
    #[arg(long)]
    cluster: String,
    #[arg(long)]
    endpoint: String,
    #[arg(long, default_value = "v1")]
    release: String,
    /// End with standard input
    #[arg(long)]
    tied: bool,
}

#[derive(Debug, Args)]
pub(super) struct ProxyArgs {
    /// End with standard input
    #[arg(long)]
    pub(super) tied: bool,
    /// Those of causeway-proxy
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(super) args: Vec<OsString>,
}

pub(super) fn demo(args: &DemoArgs) -> ExitCode {
    causeway_control_demo::run(DemoOptions {
        users: args.users as usize,
        rate: args.rate,
        duration: args.duration,
        port: args.port,
        plain: args.plain,
        home_of: Some(homes()),
    })
}

pub(super) fn origin(args: OriginArgs) -> ExitCode {
    let OriginArgs { listen, cluster, endpoint, release, tied } = args;
    serve_process(OriginOptions { listen, cluster, endpoint, version: release }, tied)
}

pub(super) fn proxy(args: ProxyArgs) -> ExitCode {
    proxy_process(args.args, args.tied)
}

/// Where each of the demo's users belongs, by the hash that its proxy uses. Endpoints have no say in it.
fn homes() -> HomeOf {
    let clusters = topology::CLUSTERS.iter().map(|(name, weight, priority)| ClusterParams {
        name: (*name).to_owned(),
        weight: *weight,
        priority: *priority,
        endpoints: Arc::new(EndpointSet::new(name, &[], Default::default())),
    });
    let plan = ServicePlan::new(ServiceParams { clusters: clusters.collect(), ..ServiceParams::default() });
    Arc::new(move |user| plan.cluster_name(plan.home(KeyHash::of(&[user.as_bytes()]))).map(str::to_owned))
}

/// Up to what one core of load generator sends without being the cause of errors itself.
const MOST_RATE: f64 = 20_000.0;

fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if rate > 0.0 && rate <= MOST_RATE => Ok(rate),
        _ => Err(format!("not a number above 0 and up to {MOST_RATE}")),
    }
}

/// A number and `ms`, `s`, `m` or `h`.
fn time(text: &str) -> Result<Duration, String> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let millis = match unit {
        "ms" => Some(1),
        "s" => Some(1_000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        _ => None,
    };
    let number: Option<u64> = number.parse().ok();
    match number.zip(millis).and_then(|(number, millis)| number.checked_mul(millis)) {
        // A year: past it, arithmetic on instants is not certain to hold.
        Some(total) if total <= 31_536_000_000 => Ok(Duration::from_millis(total)),
        _ => Err("not a time such as 30s, 2m or 1500ms".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_rates_are_read_and_nonsense_is_not() {
        assert_eq!(time("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(time("1500ms"), Ok(Duration::from_millis(1_500)));
        for text in ["", "s", "5", "-1s", "99999999999999999999s", "9999999999h", "1 s"] {
            assert!(time(text).is_err(), "{text}");
        }
        assert_eq!(rate("0.5"), Ok(0.5));
        for text in ["0", "-3", "NaN", "inf", "20001"] {
            assert!(rate(text).is_err(), "{text}");
        }
    }

    #[test]
    fn homes_follow_the_weights_of_the_demo() {
        let home_of = homes();
        let users: Vec<String> = (0..10_000).filter_map(|user| home_of(&format!("user-{user}"))).collect();
        for (name, weight, _) in topology::CLUSTERS {
            let share = users.iter().filter(|home| *home == name).count() as f64 / 100.0;
            assert!((share - f64::from(weight)).abs() < 2.0, "{name}: {share}");
        }
    }
}
