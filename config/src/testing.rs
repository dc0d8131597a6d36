//! One document in, its model out: for the unit tests of the kinds.

use std::path::PathBuf;
use std::sync::Arc;

use crate::kind::{Cluster, MultiClusterService};
use crate::load::{Loaded, Strictness, load};
use crate::report::Problem;
use crate::source::Source;

fn document(kind: &str, name: &str, spec: &str) -> Loaded {
    let text = format!(
        "{{apiVersion: mesh.macleodlabs.io/v1, kind: {kind}, metadata: {{name: {name}}}, spec: {{{spec}}}}}"
    );
    let source = Source { name: String::from("test.yaml"), text, base: PathBuf::from("/base") };
    load(&[source], Strictness::Validate).unwrap_or_else(|report| panic!("{report}"))
}

/// The document `it` of this kind, in flow style without the outer brackets.
pub(crate) fn load_one(kind: &str, spec: &str) -> Loaded {
    document(kind, "it", spec)
}

/// The service `s` with this spec, in flow style without the outer brackets.
pub(crate) fn service(spec: &str) -> MultiClusterService {
    let config = document("MultiClusterService", "s", spec).config;
    Arc::unwrap_or_clone(config.services.into_values().next().unwrap())
}

/// The warnings about the service, but for those about clusters that are not there.
pub(crate) fn service_warnings(spec: &str) -> Vec<Problem> {
    let warnings = document("MultiClusterService", "s", spec).warnings;
    warnings
        .problems()
        .filter(|problem| !problem.message.starts_with("there is no Cluster"))
        .cloned()
        .collect()
}

/// The cluster `c` with this spec.
pub(crate) fn cluster(spec: &str) -> Cluster {
    let config = document("Cluster", "c", spec).config;
    Arc::unwrap_or_clone(config.clusters.into_values().next().unwrap())
}
