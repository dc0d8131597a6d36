//! `/config`: which config is in force, and what became of the newest one.

use std::time::SystemTime;

use serde::Serialize;
use serde_json::Value;

use super::discovery::SourceEntry;
use crate::shared::ConfigStatus;
use crate::snapshot::Snapshot;
use crate::telemetry::timestamp::Timestamp;
use crate::upstream::discover::Status;

const HIDDEN: &str = "(hidden)";

/// Headers whose values are shown as [`HIDDEN`], in lower case: a route may set them, and this page is pasted into
/// tickets.
const SECRET: [&str; 5] = ["authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key"];

/// The page.
#[derive(Serialize)]
pub(super) struct Page<'a> {
    /// SHA-256 of the model's canonical encoding: the same on every proxy that has the same config.
    pub digest: &'a str,
    /// Counts the configs that took effect in this process.
    pub version: u64,
    pub applied_at: Option<String>,
    /// It came from the state folder and not from the files: those were unusable when the process started.
    pub from_last_good: bool,
    /// Loads that took effect, and loads that were refused.
    pub applied: u64,
    pub refused: u64,
    /// Why the newest files are not in force, if they are not.
    pub error: Option<&'a str>,
    pub warnings: &'a [String],
    /// Where endpoints are looked up, and what became of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub discovery: Vec<SourceEntry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<Value>,
}

/// The page; `full` adds the model, without the values of secret headers.
pub(super) fn page<'a>(
    snapshot: &'a Snapshot,
    status: &'a ConfigStatus,
    sources: &[Status],
    full: bool,
) -> Page<'a> {
    let model = full.then(|| {
        let mut model = serde_json::to_value(&snapshot.config).unwrap_or_default();
        hide_secrets(&mut model);
        model
    });
    let now = SystemTime::now();
    let discovery = sources.iter().map(|source| SourceEntry::new(source, now)).collect();
    Page { discovery, ..of(&snapshot.digest, snapshot.version, status, model) }
}

fn of<'a>(digest: &'a str, version: u64, status: &'a ConfigStatus, model: Option<Value>) -> Page<'a> {
    Page {
        digest,
        version,
        applied_at: status.applied_at.map(|at| Timestamp(at).to_string()),
        from_last_good: status.from_last_good,
        applied: status.applied,
        refused: status.refused,
        error: status.error.as_deref(),
        warnings: &status.warnings,
        discovery: Vec::new(),
        model,
    }
}

/// Values of header edits (`["name", "value"]` under `set` and `add`) and of header matches (`{"name", "value"}`),
/// wherever they stand.
fn hide_secrets(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(hide_secrets),
        Value::Object(fields) => {
            if is_secret(fields.get("name"))
                && let Some(secret) = fields.get_mut("value")
            {
                *secret = HIDDEN.into();
            }
            for edits in ["set", "add"] {
                let pairs = fields.get_mut(edits).and_then(Value::as_array_mut).into_iter().flatten();
                for pair in pairs {
                    if is_secret(pair.get(0))
                        && let Some(secret) = pair.get_mut(1)
                    {
                        *secret = HIDDEN.into();
                    }
                }
            }
            fields.values_mut().for_each(hide_secrets);
        }
        _ => {}
    }
}

fn is_secret(name: Option<&Value>) -> bool {
    let name = name.and_then(Value::as_str);
    name.is_some_and(|name| SECRET.iter().any(|secret| name.eq_ignore_ascii_case(secret)))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use causeway_config::{HeaderMatch, HeaderModifier, StringMatch};
    use serde_json::json;

    use super::*;

    #[test]
    fn a_refused_config_is_told_beside_the_one_in_force() {
        let status = ConfigStatus {
            applied: 3,
            refused: 1,
            error: Some("a.yaml:3:1: error".into()),
            warnings: vec!["b".into()],
            applied_at: Some(UNIX_EPOCH + Duration::from_secs(1)),
            from_last_good: true,
        };
        let expected = json!({
            "digest": "abc", "version": 7, "applied_at": "1970-01-01T00:00:01.000Z", "from_last_good": true,
            "applied": 3, "refused": 1, "error": "a.yaml:3:1: error", "warnings": ["b"],
        });
        assert_eq!(serde_json::to_value(of("abc", 7, &status, None)).unwrap(), expected);
    }

    #[test]
    fn the_secrets_of_header_edits_and_matches_are_hidden_and_the_rest_is_not() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let edits = HeaderModifier {
            set: vec![pair("authorization", "Bearer hush"), pair("x-team", "shop")],
            add: vec![pair("cookie", "hush=1")],
            remove: vec!["cookie".into(), "server".into()],
        };
        let matched = HeaderMatch { name: "X-Api-Key".into(), value: StringMatch::Exact("hush".into()) };
        let mut model = json!({"rules": [{"filters": [edits], "matches": [{"headers": [matched]}]}]});
        assert!(model.to_string().contains("hush"));
        hide_secrets(&mut model);
        let text = model.to_string();
        assert!(!text.contains("hush"), "{text}");
        assert_eq!(text.matches(HIDDEN).count(), 3, "{text}");
        assert!(text.contains("shop") && text.contains(r#"["cookie","server"]"#), "{text}");
    }
}
