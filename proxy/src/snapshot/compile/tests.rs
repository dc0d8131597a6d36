//! What a snapshot takes over from the one before.

use causeway_config::{Source, Strictness, load, load_endpoints};

use super::*;
use crate::upstream::discover::Endpoints;

const CONFIG: &str = "
apiVersion: mesh.macleodlabs.io/v1
kind: Cluster
metadata: {name: found}
spec: {discovery: {dns: {name: api.test, port: 80}}}
---
apiVersion: mesh.macleodlabs.io/v1
kind: Cluster
metadata: {name: listed}
spec: {endpoints: [{address: 'localhost:1'}]}
---
apiVersion: mesh.macleodlabs.io/v1
kind: MultiClusterService
metadata: {name: api}
spec: {clusters: [{name: found}, {name: listed}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge}
spec: {gatewayClassName: causeway, listeners: [{name: http, port: 8000, protocol: HTTP}]}
";

fn discovered(addresses: &[&str]) -> Discovered {
    let list: Vec<String> = addresses.iter().map(|address| format!("{{address: \"{address}\"}}")).collect();
    let text = format!("[{}]", list.join(", "));
    let endpoints: Endpoints = load_endpoints(&Source::new("e.yaml", text)).unwrap().into();
    [("found".to_owned(), endpoints)].into()
}

#[test]
fn other_endpoints_change_their_cluster_and_nothing_else() {
    let config = load(&[Source::new("test.yaml", CONFIG)], Strictness::Proxy).unwrap().config;
    let registry = Registry::new(1);
    let none = Discovered::default();
    let before = compile(config, &none, &registry, None).unwrap();
    assert!(before.clusters[0].targets.is_empty(), "nothing was found yet");

    let two = discovered(&["10.0.0.1:80", "10.0.0.2:80"]);
    let after = compile_endpoints(&before, &two, &registry).unwrap();
    assert_eq!((after.version, &after.digest), (before.version + 1, &before.digest));
    let addresses: Vec<&str> = after.clusters[0].targets.iter().map(|t| &*t.state.address).collect();
    assert_eq!(addresses, ["10.0.0.1:80", "10.0.0.2:80"]);
    let service = &after.services[0];
    assert_eq!(service.lanes[0].endpoints.len(), 2, "and the services use them");
    assert!(Arc::ptr_eq(&before.clusters[1], &after.clusters[1]), "no name is looked up for it again");

    let same = compile_endpoints(&after, &two, &registry).unwrap();
    assert!(Arc::ptr_eq(&after.clusters[0], &same.clusters[0]), "the same endpoints are no change");
    let other = compile_endpoints(&after, &discovered(&["10.0.0.2:80"]), &registry).unwrap();
    let kept = |snapshot: &Snapshot, i: usize| snapshot.clusters[0].targets[i].state.clone();
    assert!(Arc::ptr_eq(&kept(&after, 1), &kept(&other, 0)), "what is known of an endpoint stays");
}
