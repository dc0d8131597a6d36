//! The samples, the format files, and what they mean.

use std::path::{Path, PathBuf};

use causeway_config::{
    AccessLogTarget, Config, HashOn, PathMatch, Severity, Strictness, TriggerKind, load, read_path,
};

fn samples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("samples")
}

#[track_caller]
fn file(path: &Path, strictness: Strictness) -> Config {
    let sources = read_path(path).unwrap_or_else(|report| panic!("{report}"));
    load(&sources, strictness).unwrap_or_else(|report| panic!("{report}")).config
}

#[test]
fn every_sample_loads_and_only_misses_what_other_files_define() {
    let sources = read_path(&samples()).unwrap();
    assert!(sources.len() >= 13, "a sample of every kind");
    for source in sources {
        let loaded = load(std::slice::from_ref(&source), Strictness::Validate)
            .unwrap_or_else(|report| panic!("{report}"));
        let others = loaded.warnings.problems().find(|problem| !problem.message.starts_with("there is no "));
        assert_eq!(others, None);
        assert!(!loaded.config.canonical_json().is_empty());
    }
}

#[test]
fn the_walkthrough_is_complete_and_without_a_warning() {
    let sources = read_path(&samples().join("three-clusters.yaml")).unwrap();
    let loaded = load(&sources, Strictness::Proxy).unwrap_or_else(|report| panic!("{report}"));
    assert_eq!(loaded.warnings.to_string(), "");
    let config = loaded.config;
    assert_eq!(config.clusters.keys().collect::<Vec<_>>(), ["eu-west-1", "us-east-1", "us-west-2"]);
    let service = &config.services["api-gateway"];
    assert_eq!(service.load_balancer.hash_on, [HashOn::Header("x-user-id".into())]);
    assert_eq!(service.steady_shares(), [0.5, 0.3, 0.2]);
    let kinds: Vec<_> = service.failover[0].trigger_on.iter().map(|trigger| trigger.kind).collect();
    assert_eq!(
        kinds,
        [
            TriggerKind::ClusterUnhealthy,
            TriggerKind::HighLatency { quantile: 0.99, threshold: std::time::Duration::from_millis(500) },
            TriggerKind::HighErrorRate { threshold: 0.05 },
        ]
    );
    assert_eq!(config.http_routes["api"].rules[0].matches[0].path, PathMatch::Prefix("/".into()));
    assert_eq!(config.proxy.access_log.path, AccessLogTarget::Stdout);
}

#[test]
fn a_sample_at_its_defaults_is_the_default() {
    let config = file(&samples().join("client-traffic-policy.yaml"), Strictness::Validate);
    let policy = &config.client_policies["public"];
    let default = causeway_config::ClientTrafficPolicy::default();
    assert_eq!((policy.timeouts, policy.limits), (default.timeouts, default.limits));
    assert_eq!((policy.trusted_hops, policy.proxy_protocol), (default.trusted_hops, default.proxy_protocol));
    assert_eq!(policy.forwarding_header, default.forwarding_header);
}

#[test]
fn a_file_of_endpoints_among_the_others_is_no_configuration_and_is_checked_by_validate_alone() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = "apiVersion: mesh.macleodlabs.io/v1\nkind: Cluster\nmetadata: {name: a}\nspec: {discovery: {file: {path: endpoints.yaml}}}\n";
    std::fs::write(folder.path().join("cluster.yaml"), cluster).unwrap();
    let list = folder.path().join("endpoints.yaml");
    std::fs::write(&list, "- address: 10.0.0.1:80\n").unwrap();
    let loaded = |strictness| load(&read_path(folder.path()).unwrap(), strictness);
    let config = loaded(Strictness::Validate).unwrap_or_else(|report| panic!("{report}")).config;
    assert_eq!(config.endpoint_files().collect::<Vec<_>>(), [list.as_path()]);

    std::fs::write(&list, "- address: 10.0.0.1\n").unwrap();
    let report = loaded(Strictness::Validate).unwrap_err().to_string();
    assert!(report.contains("endpoints.yaml:1:") && report.contains("write host:port"), "{report}");
    assert_eq!(loaded(Strictness::Proxy).unwrap_or_else(|report| panic!("{report}")).config, config);
}

/// The folder with the formats as they were given, if it lies beside the workspace.
fn formats() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/formats");
    if !folder.is_dir() {
        eprintln!("skipped: {} is not there", folder.display());
        return None;
    }
    Some(folder)
}

#[test]
fn the_three_formats_load_verbatim() {
    let Some(folder) = formats() else { return };
    let sources = read_path(&folder).unwrap_or_else(|report| panic!("{report}"));
    let loaded = load(&sources, Strictness::Validate).unwrap_or_else(|report| panic!("{report}"));
    let warned: Vec<_> =
        loaded.warnings.problems().map(|problem| (problem.severity, &*problem.message)).collect();
    let missing = |name: &str| format!("there is no Cluster named `{name}`");
    let names = [missing("us-east-1"), missing("us-west-2"), missing("eu-west-1")];
    assert_eq!(warned, names.each_ref().map(|message| (Severity::Warning, &**message)));
    let config = loaded.config;
    assert_eq!(config.services["api-gateway"].retries.attempts, 3);
    assert_eq!(config.application_sets["progressive-rollout"].targets.len(), 5);
    assert_eq!(config.cost_policies["batch-jobs"].resources.cpu_millis, 16_000);
}

#[test]
fn the_service_of_the_format_is_what_a_service_is_by_default() {
    let Some(folder) = formats() else { return };
    let config = file(&folder.join("multi-cluster-service.yaml"), Strictness::Validate);
    let written = &config.services["api-gateway"];
    let bare = crate::support::config(&crate::support::service(""));
    let bare = &bare.services["s"];
    assert_eq!((written.limits, written.outlier, written.breaker), (bare.limits, bare.outlier, bare.breaker));
    assert_eq!(written.retries, bare.retries);
    assert_eq!((written.overall_timeout, written.recovery), (bare.overall_timeout, bare.recovery));
}

#[test]
fn the_digest_is_of_what_is_meant_not_of_how_it_is_written() {
    let digest = |text: &str| crate::support::config(text).digest();
    let short = "apiVersion: mesh.macleodlabs.io/v1\nkind: Cluster\nmetadata: {name: a}\nspec: {endpoints: [{address: \"h:1\"}]}\n";
    let long = "# a\nkind: Cluster\nspec:\n  protocol: http1\n  endpoints:\n  - weight: 1\n    address: H:1\nmetadata:\n  name: a\n  labels: {b: c}\napiVersion: mesh.macleodlabs.io/v1\n";
    assert_eq!(digest(short), digest(long));
    assert_ne!(digest(short), digest(&short.replace("h:1", "h:2")));
}
