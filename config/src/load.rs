//! From files to a [`Config`], or to a [`Report`] of everything that is wrong with them.

use std::path::Path;

use crate::config::Config;
use crate::report::Report;
use crate::source::Source;

/// What to make of a reference to something that was not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// An error: a proxy cannot serve it.
    Proxy,
    /// A warning: it may be defined in files that `causeway validate` was not given.
    Validate,
}

/// What [`load`] gives.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// The model.
    pub config: Config,
    /// What can hardly be meant.
    pub warnings: Report,
}

/// Reads a file, or the `*.yaml` and `*.yml` files of a directory, by name.
pub fn read_path(_path: &Path) -> Result<Vec<Source>, Report> {
    todo!()
}

/// Reads, checks and joins all documents of all sources.
pub fn load(_sources: &[Source], _strictness: Strictness) -> Result<Loaded, Report> {
    todo!()
}
