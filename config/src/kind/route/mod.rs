//! What `HTTPRoute` and `GRPCRoute` share: parents, backends, header matches and header edits.

use serde::Serialize;

/// A listener, or all listeners, of a `Gateway` that a route attaches to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ParentRef {
    /// Name of the `Gateway`.
    pub gateway: String,
    /// Only the listener of this name.
    pub section: Option<String>,
    /// Only listeners on this port.
    pub port: Option<u16>,
}

/// Where a rule sends its requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BackendRef {
    /// Name of the `MultiClusterService`.
    pub service: String,
    /// Share of the rule's requests relative to its other backends. Default 1; 0 to 1,000,000.
    pub weight: u32,
}

/// How a text is compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum StringMatch {
    /// Byte for byte.
    Exact(String),
    /// The whole text matches (syntax of the `regex` crate).
    Regex(String),
}

/// A header that must be there; several of one match are joined by AND.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HeaderMatch {
    /// In lower case.
    pub name: String,
    /// Its value.
    pub value: StringMatch,
}

/// Edits of a header section, applied in the order `set`, `add`, `remove`. Names in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HeaderModifier {
    /// Overwrite.
    pub set: Vec<(String, String)>,
    /// Append.
    pub add: Vec<(String, String)>,
    /// Take away.
    pub remove: Vec<String>,
}
