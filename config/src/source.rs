//! Text in.

use std::path::PathBuf;

/// One file, or what stands for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The path as shown in errors.
    pub name: String,
    /// Its content: YAML, one or many documents.
    pub text: String,
    /// The directory that relative file names in it are relative to.
    pub base: PathBuf,
}

impl Source {
    /// A source whose file names are relative to the working directory.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Source { name: name.into(), text: text.into(), base: PathBuf::new() }
    }
}
