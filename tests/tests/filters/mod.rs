//! What a route's filters promise: copies, other origins, limits, faults on purpose.

mod cors;
mod edits;
mod fault;
mod mirror;
mod rate_limit;
mod split;

use causeway_testkit::config::backend;
use serde_json::{Value, json};

/// One rule of this path with these filters, to the usual service.
fn rule(path: &str, filters: Value) -> Value {
    json!({
        "matches": [{"path": {"type": "PathPrefix", "value": path}}],
        "filters": filters,
        "backendRefs": [backend("api")],
    })
}

/// A filter that names a document of ours.
fn extension(kind: &str, name: &str) -> Value {
    json!({"type": "ExtensionRef", "extensionRef": {"group": "mesh.macleodlabs.io", "kind": kind, "name": name}})
}
