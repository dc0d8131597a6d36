//! `extensionRef`: a filter of our own kinds, where Gateway API has none.

use serde::Serialize;

use crate::read::Fields;
use crate::resolve::Reference;

/// Names a document that says what the filter does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExtensionRef {
    /// Which kind of document.
    pub kind: ExtensionKind,
    /// Its name.
    pub name: String,
}

/// The kinds that a filter may name, all of the group `mesh.macleodlabs.io`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum ExtensionKind {
    /// `LocalRateLimit`.
    LocalRateLimit,
    /// `FaultInjection`.
    FaultInjection,
}

impl ExtensionRef {
    pub(super) fn read(mut fields: Fields<'_>) -> Option<Self> {
        let group = fields.need("group", "write group: mesh.macleodlabs.io", |at| {
            at.choice(&[("mesh.macleodlabs.io", ())])
        });
        let kind = fields.need("kind", "write LocalRateLimit or FaultInjection", |at| {
            at.choice(&[
                ("LocalRateLimit", ExtensionKind::LocalRateLimit),
                ("FaultInjection", ExtensionKind::FaultInjection),
            ])
        });
        let name = fields.need("name", "name the document", |at| at.name());
        let (_, kind, name) = (group?, kind?, name?);
        fields.refer_at("name", Reference::Extension { kind, name: name.clone() });
        if kind == ExtensionKind::FaultInjection {
            // Said at every load for as long as it stands: a game day that nobody ended is an outage.
            let message =
                format!("FAULTS ARE INJECTED: requests of this rule fail or wait on purpose, by `{name}`");
            fields.at().warn(message, "remove the filter when the game day is over");
        }
        Some(ExtensionRef { kind, name })
    }
}
