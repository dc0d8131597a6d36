//! From files to a validated config.

use std::path::Path;

use causeway_config::{Config, Source, Strictness};

/// A validated config and the text it came from.
pub struct Read {
    /// The model.
    pub config: Config,
    /// What validation warned of, a text each.
    pub warnings: Vec<String>,
    /// The files, for the last good copy.
    pub sources: Vec<Source>,
}

/// Reads and validates a folder or a file. The error is the whole report.
pub fn read(path: &Path) -> Result<Read, String> {
    let sources = causeway_config::read_path(path).map_err(|report| report.to_string())?;
    check(sources)
}

/// Validates sources.
pub fn check(mut sources: Vec<Source>) -> Result<Read, String> {
    let loaded = causeway_config::load(&sources, Strictness::Proxy).map_err(|report| report.to_string())?;
    if loaded.config.gateways.is_empty() {
        return Err("there is no Gateway, so nothing to listen on: add one".to_owned());
    }
    let warnings = loaded.warnings.problems().map(ToString::to_string).collect();
    sources.retain(|source| is_configuration(&loaded.config, source));
    Ok(Read { config: loaded.config, warnings, sources })
}

/// Whether a source is part of `config`. Files of endpoints may lie among those of the configuration; discovery
/// reads them, by itself.
pub fn is_configuration(config: &Config, source: &Source) -> bool {
    config.endpoint_files().all(|path| path != Path::new(&source.name))
}
