//! The typed reader: takes values out of the tree and collects everything that is wrong with them.
//!
//! A reading function is `fn(At) -> Option<T>`: `None` says that the value is absent or that what is wrong
//! with it has been noted, so that a caller can go on with a default and find the next mistake. Whether anything
//! was noted as an error decides in the end; a default that stands in for a mistake is never served.
//!
//! [`Fields`] remembers which fields were asked for and reports the others when it is dropped. So a kind lists
//! its fields once, by reading them, and the list that "did you mean" draws on cannot fall behind. The price is
//! a rule: between opening a map and the last question to it there is no early return.

mod fields;
mod list;
mod scalar;
mod suggest;
pub(crate) mod units;

use std::cell::RefCell;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::report::{Problem, Report, Severity};
use crate::source::{Node, Position};

pub(crate) use fields::Fields;
pub(crate) use suggest::remedy;

/// A place that outlives the tree.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) file: usize,
    pub(crate) at: Position,
    pub(crate) path: String,
}

/// What is noted while reading: problems, and names to be looked up when everything has been read.
#[derive(Debug, Default)]
pub(crate) struct Notes<R> {
    report: RefCell<Report>,
    references: RefCell<Vec<(R, Place)>>,
    files: Vec<String>,
}

impl<R> Notes<R> {
    pub(crate) fn new(files: Vec<String>) -> Self {
        Notes { report: RefCell::default(), references: RefCell::default(), files }
    }

    pub(crate) fn note(
        &self,
        severity: Severity,
        place: &Place,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        let problem = Problem {
            severity,
            file: self.files.get(place.file).cloned().unwrap_or_default(),
            line: place.at.line,
            column: place.at.column,
            path: place.path.clone(),
            message: message.into(),
            remedy: remedy.into(),
        };
        self.report.borrow_mut().push(problem);
    }

    pub(crate) fn refer(&self, reference: R, place: Place) {
        self.references.borrow_mut().push((reference, place));
    }

    /// [`remedy`], but for problems that are only counted: the comparing is what costs.
    pub(crate) fn remedy<'n>(
        &self,
        written: &str,
        names: impl IntoIterator<Item = &'n str>,
        otherwise: &str,
    ) -> String {
        if self.report.borrow().is_full() { String::new() } else { remedy(written, names, otherwise) }
    }

    /// A place as in a problem: `file:line:column`.
    pub(crate) fn show(&self, place: &Place) -> String {
        let file = self.files.get(place.file).map_or("", String::as_str);
        format!("{file}:{}:{}", place.at.line, place.at.column)
    }

    pub(crate) fn take_references(&self) -> Vec<(R, Place)> {
        self.references.take()
    }

    pub(crate) fn into_report(self) -> Report {
        self.report.into_inner()
    }
}

/// One step on the way to a value.
#[derive(Clone, Copy)]
pub(crate) enum Step<'a> {
    /// Kind and name of a document.
    Document(&'a str, &'a str),
    Field(&'a str),
    Item(usize),
}

/// The way to a value, as a list on the stack: it becomes text only where something is noted.
#[derive(Clone, Copy)]
pub(crate) struct Way<'a> {
    pub(crate) before: Option<&'a Way<'a>>,
    pub(crate) step: Step<'a>,
}

impl fmt::Display for Way<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(before) = self.before {
            before.fmt(f)?;
        }
        let first = matches!(self.before, None | Some(Way { step: Step::Document(..), .. }));
        match self.step {
            Step::Document(kind, "") => write!(f, "{kind}: "),
            Step::Document(kind, name) => write!(f, "{kind}/{name}: "),
            Step::Field(name) if first => f.write_str(name),
            Step::Field(name) => write!(f, ".{name}"),
            Step::Item(index) => write!(f, "[{index}]"),
        }
    }
}

/// What the names looked up at the end are made of; given by `resolve`.
pub(crate) use crate::resolve::Reference;

/// A file that is being read.
#[derive(Clone, Copy)]
pub(crate) struct File<'a> {
    pub(crate) notes: &'a Notes<Reference>,
    pub(crate) index: usize,
    /// What relative file names are relative to.
    pub(crate) base: &'a Path,
}

/// A value, with the way to it.
#[derive(Clone, Copy)]
pub(crate) struct At<'a> {
    pub(crate) file: File<'a>,
    pub(crate) node: &'a Node<'a>,
    pub(crate) way: &'a Way<'a>,
}

impl<'a> At<'a> {
    pub(crate) fn place(&self) -> Place {
        let mut path = self.way.to_string();
        path.truncate(path.trim_end_matches([':', ' ']).len());
        Place { file: self.file.index, at: self.node.at, path }
    }

    pub(crate) fn error(&self, message: impl Into<String>, remedy: impl Into<String>) {
        self.file.notes.note(Severity::Error, &self.place(), message, remedy);
    }

    pub(crate) fn warn(&self, message: impl Into<String>, remedy: impl Into<String>) {
        self.file.notes.note(Severity::Warning, &self.place(), message, remedy);
    }

    /// Notes an error and gives the `None` that says so.
    pub(crate) fn refuse<T>(&self, message: impl Into<String>, remedy: impl Into<String>) -> Option<T> {
        self.error(message, remedy);
        None
    }

    /// A file name, relative to the file it is written in.
    pub(crate) fn file_name(self) -> Option<PathBuf> {
        self.text().map(|name| self.file.base.join(name))
    }
}
