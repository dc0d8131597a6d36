//! A map whose fields are asked for by name.

use super::{At, Notes, Place, Step, Way};
use crate::report::Severity;
use crate::resolve::Reference;
use crate::source::{Entry, Node, Value};

/// An open map. Fields nobody asked for are reported when it is dropped.
pub(crate) struct Fields<'a> {
    at: At<'a>,
    entries: &'a [Entry<'a>],
    asked: Vec<&'static str>,
    used: Vec<bool>,
}

impl<'a> At<'a> {
    /// Opens a map.
    pub(crate) fn fields(self) -> Option<Fields<'a>> {
        match &self.node.value {
            Value::Map(entries) => {
                Some(Fields { at: self, entries, asked: Vec::new(), used: vec![false; entries.len()] })
            }
            Value::Scalar { .. } if self.node.is_null() => self.refuse(
                "a map is needed, this is empty",
                "write `name: value` pairs, or leave the field out",
            ),
            Value::Scalar { .. } => {
                self.refuse("a map is needed, this is a single value", "write `name: value` pairs")
            }
            Value::List(_) => {
                self.refuse("a map is needed, this is a list", "write `name: value` pairs without `-`")
            }
        }
    }
}

impl<'a> Fields<'a> {
    /// Where the map stands.
    pub(crate) fn at(&self) -> At<'a> {
        self.at
    }

    fn find(&mut self, name: &'static str) -> Option<&'a Node<'a>> {
        self.asked.push(name);
        let index = self.entries.iter().position(|entry| entry.key == name)?;
        self.used[index] = true;
        let node = &self.entries[index].node;
        (!node.is_null()).then_some(node)
    }

    /// Reads a field that may be absent. A null is an absent one, as in Kubernetes.
    pub(crate) fn get<T>(&mut self, name: &'static str, read: impl FnOnce(At<'_>) -> Option<T>) -> Option<T> {
        let node = self.find(name)?;
        let way = Way { before: Some(self.at.way), step: Step::Field(name) };
        read(At { file: self.at.file, node, way: &way })
    }

    /// Reads a field that may be absent, with its default.
    pub(crate) fn or<T>(
        &mut self,
        name: &'static str,
        default: T,
        read: impl FnOnce(At<'_>) -> Option<T>,
    ) -> T {
        self.get(name, read).unwrap_or(default)
    }

    /// Reads a field that must be there.
    pub(crate) fn need<T>(
        &mut self,
        name: &'static str,
        remedy: &str,
        read: impl FnOnce(At<'_>) -> Option<T>,
    ) -> Option<T> {
        let Some(node) = self.find(name) else {
            return self.at.refuse(format!("`{name}` is missing"), remedy);
        };
        let way = Way { before: Some(self.at.way), step: Step::Field(name) };
        read(At { file: self.at.file, node, way: &way })
    }

    /// Whether a field is there and not null, without reading it.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.entries.iter().any(|entry| entry.key == name && !entry.node.is_null())
    }

    /// The place of a field, or of the map if the field is absent.
    pub(crate) fn place_of(&self, name: &'static str) -> Place {
        let way = Way { before: Some(self.at.way), step: Step::Field(name) };
        match self.entries.iter().find(|entry| entry.key == name) {
            Some(entry) => At { file: self.at.file, node: &entry.node, way: &way }.place(),
            None => self.at.place(),
        }
    }

    /// Notes something about one field, or about the map if the field is absent.
    pub(crate) fn warn_at(&self, name: &'static str, message: impl Into<String>, remedy: impl Into<String>) {
        self.notes().note(Severity::Warning, &self.place_of(name), message, remedy);
    }

    /// Notes an error about one field, or about the map if the field is absent.
    pub(crate) fn error_at(&self, name: &'static str, message: impl Into<String>, remedy: impl Into<String>) {
        self.notes().note(Severity::Error, &self.place_of(name), message, remedy);
    }

    /// Notes something to be looked up when everything has been read, at the place of a field or of the map.
    pub(crate) fn refer_at(&self, name: &'static str, reference: Reference) {
        self.notes().refer(reference, self.place_of(name));
    }

    /// Accepts a field without looking into it.
    pub(crate) fn ignore(&mut self, name: &'static str) {
        self.find(name);
    }

    /// Accepts all fields that were not asked for, where a mistake says already why they mean nothing.
    pub(crate) fn ignore_rest(&mut self) {
        self.used.fill(true);
    }

    /// Refuses a field that is known but cannot be served yet.
    pub(crate) fn not_yet(&mut self, name: &'static str, remedy: &str) {
        self.get(name, |at| at.refuse::<()>(format!("`{name}` is not supported yet"), remedy));
    }

    /// Reads every entry of a map whose keys are names.
    pub(crate) fn each<T>(mut self, mut read: impl FnMut(&str, At<'_>) -> Option<T>) -> Vec<T> {
        self.used.fill(true);
        let mut all = Vec::with_capacity(self.entries.len());
        for entry in self.entries {
            let way = Way { before: Some(self.at.way), step: Step::Field(&entry.key) };
            all.extend(read(&entry.key, At { file: self.at.file, node: &entry.node, way: &way }));
        }
        all
    }

    fn notes(&self) -> &'a Notes<Reference> {
        self.at.file.notes
    }
}

impl Drop for Fields<'_> {
    fn drop(&mut self) {
        for (entry, _) in self.entries.iter().zip(&self.used).filter(|(_, used)| !**used) {
            let way = Way { before: Some(self.at.way), step: Step::Field(&entry.key) };
            let place =
                Place { at: entry.key_at, ..At { file: self.at.file, node: &entry.node, way: &way }.place() };
            let remedy = if entry.key == "<<" {
                String::from("write the fields out: merge keys are not part of YAML 1.2")
            } else {
                let asked = self.asked.iter().copied();
                self.notes().remedy(&entry.key, asked, "the fields here are")
            };
            self.notes().note(Severity::Error, &place, format!("unknown field `{}`", entry.key), remedy);
        }
    }
}
