//! Whatever the input: no panic, and a diff that replays.

use std::sync::Arc;

use causeway_config::{Config, Source, Strictness, apply, diff, load, read_path};
use proptest::prelude::*;
use proptest::sample::select;

use crate::support::config;

fn sample_texts() -> Vec<String> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("samples");
    read_path(&folder).unwrap().into_iter().map(|source| source.text).collect()
}

/// Loads and renders, in both ways.
fn exercise(text: &str) {
    for strictness in [Strictness::Proxy, Strictness::Validate] {
        match load(&[Source::new("a.yaml", text)], strictness) {
            Ok(loaded) => assert_eq!(loaded.config.digest().len(), 64),
            Err(report) => assert!(report.errors() > 0 && !report.to_string().is_empty()),
        }
    }
}

/// Pieces that mean something to YAML or to us.
const PIECES: [&str; 40] = [
    "a",
    "- ",
    ": ",
    "\n",
    "  ",
    "{",
    "}",
    "[",
    "]",
    ", ",
    "\"",
    "'",
    "|",
    ">",
    "&x ",
    "*x",
    "!!str ",
    "!t ",
    "? ",
    "#",
    "---\n",
    "...\n",
    "%YAML 1.2\n",
    "\t",
    "\u{feff}",
    "ä",
    "\\u0041",
    "<<: *x",
    "spec: ",
    "kind: Cluster\n",
    "metadata: {name: a}\n",
    "apiVersion: mesh.macleodlabs.io/v1\n",
    "5",
    "-1",
    "1e9",
    "null",
    "~",
    "10.0.0.1:80",
    "clusters: ",
    "\0",
];

fn small() -> ProptestConfig {
    ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(small())]

    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC{0,200}") {
        exercise(&text);
    }

    #[test]
    fn no_yaml_like_text_makes_the_reader_panic(pieces in prop::collection::vec(select(&PIECES[..]), 0..40)) {
        exercise(&pieces.concat());
    }

    #[test]
    fn no_damage_to_a_sample_makes_the_reader_panic(
        sample in any::<prop::sample::Index>(),
        cut in any::<(prop::sample::Index, prop::sample::Index)>(),
        piece in select(&PIECES[..]),
    ) {
        let samples = sample_texts();
        let chars: Vec<char> = sample.get(&samples).chars().collect();
        let (from, length) = (cut.0.index(chars.len()), cut.1.index(12));
        let text: String = chars[..from].iter().copied()
            .chain(piece.chars())
            .chain(chars[(from + length).min(chars.len())..].iter().copied())
            .collect();
        exercise(&text);
    }
}

/// A config of a few resources under a few names, in a few variants.
fn configs() -> impl Strategy<Value = Config> {
    prop::collection::btree_map((0..7_usize, select(vec!["a", "b", "c", "d"])), 1..4_u32, 0..12).prop_map(
        |resources| {
            let text: String =
                resources.iter().map(|((kind, name), variant)| document(*kind, name, *variant)).collect();
            config(&text)
        },
    )
}

fn document(kind: usize, name: &str, variant: u32) -> String {
    let port = match name {
        "a" => 8000,
        "b" => 8100,
        "c" => 8200,
        _ => 8300,
    };
    match kind {
        0 => crate::support::document(
            "MultiClusterService",
            name,
            &format!("{{clusters: [{{name: x, weight: {variant}}}]}}"),
        ),
        1 => crate::support::document(
            "Cluster",
            name,
            &format!("{{endpoints: [{{address: \"h:{variant}\"}}]}}"),
        ),
        2 => crate::support::document(
            "Gateway",
            name,
            &format!(
                "{{gatewayClassName: causeway, listeners: [{{name: l, port: {}, protocol: HTTP}}]}}",
                port + variant
            ),
        ),
        3 => crate::support::document("HTTPRoute", name, &format!("{{parentRefs: [{{name: g{variant}}}]}}")),
        4 => crate::support::document("LocalRateLimit", name, &format!("{{requests: {variant}}}")),
        5 => crate::support::document(
            "FaultInjection",
            name,
            &format!("{{abort: {{percent: {variant}, status: 503}}}}"),
        ),
        _ if name == "a" => crate::support::document("ProxyConfig", name, &format!("{{workers: {variant}}}")),
        _ => crate::support::document(
            "CostAwareScheduling",
            name,
            &format!("{{resources: {{cpu: {variant}, memory: 1}}}}"),
        ),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_diff_applied_to_the_old_config_is_the_new_one(old in configs(), new in configs()) {
        let difference = diff(&old, &new);
        prop_assert_eq!(&apply(&old, &difference), &new);
        prop_assert_eq!(difference.is_empty(), old == new);
        prop_assert_eq!(old.digest() == new.digest(), old == new);
    }

    #[test]
    fn what_did_not_change_is_shared_with_the_old_config(old in configs(), new in configs()) {
        let applied = apply(&old, &diff(&old, &new));
        for (name, cluster) in &applied.clusters {
            if let Some(before) = old.clusters.get(name) {
                prop_assert_eq!(Arc::ptr_eq(before, cluster), before == cluster);
            }
        }
    }
}
