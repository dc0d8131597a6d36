//! `requestHeaderModifier` and `responseHeaderModifier`.

use std::collections::HashSet;

use serde::Serialize;

use crate::kind::route::unique_header;
use crate::read::{At, Fields};

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

impl HeaderModifier {
    pub(super) fn read(mut fields: Fields<'_>) -> Self {
        let modifier = HeaderModifier {
            set: fields.or("set", Vec::new(), header_list),
            add: fields.or("add", Vec::new(), header_list),
            remove: fields.or("remove", Vec::new(), |at| {
                let mut names = HashSet::new();
                at.at_most(16)?.list(|at| unique_header(at, &mut names))
            }),
        };
        if modifier == HeaderModifier::default() {
            fields.at().warn(
                "the filter changes nothing",
                "write `set`, `add` or `remove`, or leave the filter out",
            );
        }
        modifier
    }
}

fn header_list(at: At<'_>) -> Option<Vec<(String, String)>> {
    let mut names = HashSet::new();
    at.at_most(16)?.list(|at| {
        let mut fields = at.fields()?;
        let name = fields.need("name", "name the header", |at| unique_header(at, &mut names));
        let value = fields.need("value", "write the value", header_value);
        Some((name?, value?))
    })
}

/// RFC 9110 section 5.5: no control characters, and no space at either end.
fn header_value(at: At<'_>) -> Option<String> {
    let text = at.text()?;
    let fits =
        text.len() <= 4096 && text.trim() == text && text.bytes().all(|byte| byte >= b' ' && byte != 0x7f);
    match fits {
        true => Some(text),
        false => at.refuse(
            "this is not the value of a header",
            "write at most 4096 bytes, without line ends or tabs",
        ),
    }
}
