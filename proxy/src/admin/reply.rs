//! An answer of the admin endpoint.

use hyper::StatusCode;
use serde::Serialize;

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

/// Status, type and body.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub status: StatusCode,
    pub content_type: &'static str,
    /// The methods that would have been right, for 405.
    pub allow: Option<&'static str>,
    pub body: String,
}

impl Reply {
    /// Plain text; a line end is added where there is none.
    pub fn text(status: StatusCode, text: impl Into<String>) -> Reply {
        let mut body = text.into();
        if !body.ends_with('\n') {
            body.push('\n');
        }
        Reply { status, content_type: TEXT, allow: None, body }
    }

    /// 200 with plain text.
    pub fn ok(text: impl Into<String>) -> Reply {
        Reply::text(StatusCode::OK, text)
    }

    /// 400, and what would be right.
    pub fn bad(text: impl Into<String>) -> Reply {
        Reply::text(StatusCode::BAD_REQUEST, text)
    }

    /// 404, and what was looked for.
    pub fn not_found(text: impl Into<String>) -> Reply {
        Reply::text(StatusCode::NOT_FOUND, text)
    }

    /// 405 (RFC 9110 section 15.5.6: the answer must name the right methods).
    pub fn wrong_method(allow: &'static str) -> Reply {
        let text = format!("only {allow} here");
        Reply { allow: Some(allow), ..Reply::text(StatusCode::METHOD_NOT_ALLOWED, text) }
    }

    /// 200 with JSON, indented: it is read by people with curl as often as by programs.
    pub fn json(value: &impl Serialize) -> Reply {
        match serde_json::to_string_pretty(value) {
            Ok(body) => Reply { content_type: JSON, ..Reply::ok(body) },
            // Only a map whose keys are no text gets here; no page has one.
            Err(e) => Reply::text(StatusCode::INTERNAL_SERVER_ERROR, e.to_string()),
        }
    }

    /// 200 with text of another type.
    pub fn typed(content_type: &'static str, body: String) -> Reply {
        Reply { status: StatusCode::OK, content_type, allow: None, body }
    }
}
