//! Every proxy sends a user to the same place, and can be asked which.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Command;

use causeway_testkit::binaries::binaries;
use causeway_testkit::client::Client;
use causeway_testkit::origin::{Origin, addrs};
use causeway_tests::Site;
use http::Method;
use serde_json::json;

const KEYS: usize = 12_000;

/// Where each key is sent, asked by real requests over several connections.
async fn destinations(at: SocketAddr) -> Vec<String> {
    let parts = (0..8).map(|part| {
        tokio::spawn(async move {
            let mut client = Client::http1(at).await.expect("a connection");
            let mut seen = Vec::new();
            for key in (part..KEYS).step_by(8) {
                let answer =
                    client.get("/", &[("x-user-id", &format!("user-{key}"))]).await.expect("an answer");
                assert_eq!(answer.status, 200);
                seen.push((key, answer.header("x-endpoint").to_owned()));
            }
            seen
        })
    });
    let mut all = BTreeMap::new();
    for part in parts.collect::<Vec<_>>() {
        all.extend(part.await.expect("no panic"));
    }
    all.into_values().collect()
}

#[tokio::test]
async fn two_proxies_started_apart_send_each_of_12000_keys_to_the_same_endpoint() {
    for algorithm in ["rendezvous", "maglev"] {
        let (east, west, north) = (
            Origin::cluster("east", 3).await,
            Origin::cluster("west", 2).await,
            Origin::cluster("north", 1).await,
        );
        let names: BTreeMap<String, SocketAddr> = east
            .iter()
            .chain(&west)
            .chain(&north)
            .map(|origin| (origin.name().to_owned(), origin.addr()))
            .collect();
        let configure = |config: &mut causeway_testkit::config::Config,
                         clusters: [usize; 3],
                         workers: usize| {
            let all = [("east", 50, addrs(&east)), ("west", 30, addrs(&west)), ("north", 20, addrs(&north))];
            // In another order, and the endpoints turned round: what is the same is the meaning.
            for index in clusters {
                let (name, weight, mut endpoints) = all[index].clone();
                if workers == 1 {
                    endpoints.reverse();
                }
                config.cluster(name, weight, &endpoints);
            }
            config.set_service("trafficPolicy.loadBalancer.endpointAlgorithm", json!(algorithm));
            config.set_proxy("workers", json!(workers));
        };
        let one = Site::start(|config| configure(config, [0, 1, 2], 2)).await;
        let first = destinations(one.at).await;
        let other = Site::start(|config| configure(config, [2, 0, 1], 1)).await;
        let second = destinations(other.at).await;
        let differ = first.iter().zip(&second).filter(|(one, other)| one != other).count();
        assert_eq!((first.len(), differ), (KEYS, 0), "{algorithm}");
        for (cluster, share) in [("east", 0.5), ("west", 0.3), ("north", 0.2)] {
            let have =
                first.iter().filter(|endpoint| endpoint.starts_with(cluster)).count() as f64 / KEYS as f64;
            assert!((have - share).abs() < 0.02, "{cluster} has {have}");
        }
        for key in (0..KEYS).step_by(1_200) {
            let (user, addr) = (format!("user-{key}"), names[&first[key]].to_string());
            let offline = explain(&one, &user);
            assert!(offline.contains(&addr), "{user} is sent to {addr}, but:\n{offline}");
            let online =
                other.proxy.admin(Method::GET, &format!("/explain?service=api&key={user}")).await.json();
            assert_eq!(online["endpoint"], addr.as_str(), "{user}");
        }
    }
}

/// What `causeway explain` says of a user: the line that tells where they go.
fn explain(site: &Site, user: &str) -> String {
    let mut command = Command::new(&binaries().causeway);
    command.args(["explain", "--service", "api", "--key", user, "--config"]).arg(site.proxy.folder.config());
    let output = command.output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().find(|line| line.starts_with("goes to")).unwrap_or_else(|| panic!("{text}")).to_owned()
}
