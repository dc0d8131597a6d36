//! The demo's configuration is one that the proxy would take.

use std::path::Path;

use causeway_config::{Source, Strictness, load, read_path};
use causeway_control_demo::topology::{CLUSTERS, ENDPOINTS, SERVICE, Topology};

#[test]
fn the_written_configuration_loads_as_strictly_as_the_proxy_reads_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let topology = Topology::at(18_000);
    topology.write(folder.path(), &folder.path().join("access \"log\"")).expect("written");
    let sources = read_path(folder.path()).unwrap_or_else(|report| panic!("{report}"));
    let loaded = load(&sources, Strictness::Proxy).unwrap_or_else(|report| panic!("{report}"));
    assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);

    let config = loaded.config;
    assert_eq!(config.proxy.admin, Some(topology.admin));
    let gateway = config.gateways.values().next().expect("a gateway");
    assert_eq!(
        (gateway.addresses[0], gateway.listeners[0].port),
        (topology.gateway.ip(), topology.gateway.port())
    );
    let service = &config.services[SERVICE];
    let clusters: Vec<_> =
        service.clusters.iter().map(|entry| (entry.name.as_str(), entry.weight, entry.priority)).collect();
    assert_eq!(clusters, CLUSTERS);
    for spec in &topology.clusters {
        let cluster = &config.clusters[&spec.name];
        assert_eq!(cluster.endpoints.len(), ENDPOINTS);
        assert!(cluster.health_check.is_some(), "a lost cluster is to be noticed");
    }
}

#[test]
fn the_service_is_the_documentations_example_word_for_word() {
    let example =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/formats/multi-cluster-service.yaml");
    let Ok(text) = std::fs::read_to_string(&example) else {
        println!("skipped: no {}", example.display());
        return;
    };
    let source = Source::new("example.yaml", text);
    let example = load(&[source], Strictness::Validate).unwrap_or_else(|report| panic!("{report}")).config;
    let source = Source::new("demo.yaml", Topology::at(18_000).yaml(Path::new("access.log")));
    let demo = load(&[source], Strictness::Proxy).unwrap_or_else(|report| panic!("{report}")).config;
    assert_eq!(demo.services[SERVICE], example.services[SERVICE]);
}
