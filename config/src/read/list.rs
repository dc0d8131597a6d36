//! Lists, and lists whose items have names.

use std::collections::HashSet;

use super::{At, Step, Way};
use crate::source::Value;

impl<'a> At<'a> {
    pub(crate) fn is_list(self) -> bool {
        matches!(self.node.value, Value::List(_))
    }

    pub(crate) fn is_map(self) -> bool {
        matches!(self.node.value, Value::Map(_))
    }

    /// Refuses a list that is longer than Gateway API lets it be, unread. The bounds are held for files too, as
    /// these must mean the same on Kubernetes, whose API server would refuse them.
    pub(crate) fn at_most(self, most: usize) -> Option<Self> {
        match &self.node.value {
            Value::List(items) if items.len() > most => {
                let remedy = format!("write {most} at most (Gateway API)");
                self.refuse(format!("{} items are too many", items.len()), remedy)
            }
            _ => Some(self),
        }
    }

    /// Reads every item; those with a mistake are left out, after it was noted.
    pub(crate) fn list<T>(self, mut read: impl FnMut(At<'_>) -> Option<T>) -> Option<Vec<T>> {
        let Value::List(items) = &self.node.value else {
            return self.refuse("a list is needed", "write `[a, b]`, or one `- item` a line");
        };
        let mut all = Vec::with_capacity(items.len());
        for (index, node) in items.iter().enumerate() {
            let way = Way { before: Some(self.way), step: Step::Item(index) };
            all.extend(read(At { file: self.file, node, way: &way }));
        }
        Some(all)
    }

    /// [`list`](Self::list), with an error if there is no item at all.
    pub(crate) fn filled_list<T>(self, read: impl FnMut(At<'_>) -> Option<T>) -> Option<Vec<T>> {
        if matches!(&self.node.value, Value::List(items) if items.is_empty()) {
            return self.refuse("the list is empty", "write at least one item");
        }
        self.list(read)
    }

    /// Notes an error if this name was seen before.
    pub(crate) fn unique(self, seen: &mut HashSet<String>, what: &str, name: &str) {
        if !seen.insert(name.to_owned()) {
            self.error(format!("{what} `{name}` is given twice"), "keep one of the two, or rename it");
        }
    }
}
