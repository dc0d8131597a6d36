//! The one schema both planes share: YAML documents to a validated model.
//!
//! Text becomes a bounded tree of nodes with positions (`source.rs`), the tree is read by the kinds ([`kind`]),
//! the kinds are joined by name ([`load`](load())), and what comes out is a [`Config`] in which every default
//! is applied and no invalid state can be written down. Every mistake of every file is collected into one
//! [`Report`], each with file, line, column and a remedy.
//!
//! The crate is pure: no clock, no network, no async runtime. Only [`read_path`] touches the disk.
//!
//! Why not serde with a YAML front end: serde stops at the first mistake, and it knows neither where a value
//! that parsed well but makes no sense stood, nor which fields of a map nobody asked for. Reading a tree by
//! hand costs a line a field, as a derive with attributes would, and says all of it at once.
//!
//! ```
//! use causeway_config::{Source, Strictness, load};
//! let text = "apiVersion: mesh.macleodlabs.io/v1\nkind: Cluster\nmetadata: {name: a}\nspec: {endpoint: []}\n";
//! let report = load(&[Source::new("a.yaml", text)], Strictness::Proxy).unwrap_err();
//! let first = report.problems().next().unwrap();
//! assert_eq!((first.line, first.column), (4, 7));
//! assert!(report.to_string().contains("did you mean `endpoints`?"));
//! ```
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod config;
mod diff;
mod digest;
mod endpoint_file;
mod files;
pub mod kind;
mod load;
mod read;
mod report;
mod resolve;
mod serialize;
mod source;
#[cfg(test)]
mod testing;

mod trigger;

pub use crate::config::Config;
pub use crate::diff::{Change, Changed, Diff, apply, diff};
pub use crate::endpoint_file::load_endpoints;
pub use crate::files::read_path;
pub use crate::kind::*;
pub use crate::load::{Loaded, Strictness, load};
pub use crate::report::{Problem, Report, Severity};
pub use crate::source::Source;
pub use crate::trigger::{Trigger, TriggerKind};
