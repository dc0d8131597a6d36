//! Promises about files: what loads, what does not, and what is said about it.

mod files;
mod mistakes;
mod properties;
mod references;
mod support;
mod warnings;
