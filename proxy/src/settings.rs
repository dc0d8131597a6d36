//! What the command line may say: raw flags first, checked settings after.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Parser;
use sha2::{Digest, Sha256};

/// A layer-7 proxy for one service in several clusters.
#[derive(Parser, Debug)]
#[command(name = "causeway-proxy", version)]
struct Flags {
    /// Folder (or one file) of YAML documents: Gateway, HTTPRoute, MultiClusterService, Cluster, ...
    #[arg(long, value_name = "DIR")]
    config: PathBuf,

    /// Address of the admin endpoint; wins over the config's ProxyConfig.
    #[arg(long, value_name = "ADDR")]
    admin: Option<SocketAddr>,

    /// Take the listening sockets over from the proxy that runs with the same state folder, if one does, and let it
    /// drain. If this one cannot serve, that one goes on.
    #[arg(long)]
    takeover: bool,

    /// Where the last good config is kept. Default: the user's state folder, one subfolder per config path.
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
}

/// Checked settings of one proxy process.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Folder or file that is read and watched.
    pub config: PathBuf,
    /// The admin address, where the command line named one.
    pub admin: Option<SocketAddr>,
    /// Where the last good config is kept; never inside the watched folder.
    pub state_dir: PathBuf,
    /// Take over from the process that serves with this state folder, if there is one.
    pub takeover: bool,
}

/// The flag that starts a successor.
pub const TAKEOVER: &str = "--takeover";

impl Settings {
    /// Reads a command line, program name first. The error is clap's own and prints itself.
    pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Settings, clap::Error> {
        let flags = Flags::try_parse_from(args)?;
        let fail = |text: String| clap::Error::raw(clap::error::ErrorKind::ValueValidation, text + "\n");
        let config = flags.config.canonicalize().map_err(|e| {
            fail(format!(
                "--config {}: {e}\n  name a folder of YAML files, or one file",
                flags.config.display()
            ))
        })?;
        let state_dir = flags.state_dir.unwrap_or_else(|| default_state_dir(&config));
        let state_dir = std::path::absolute(&state_dir).unwrap_or(state_dir);
        if config.is_dir() && state_dir.starts_with(&config) {
            return Err(fail(format!(
                "--state-dir {} lies inside the watched folder {}\n  name a folder outside it",
                state_dir.display(),
                config.display()
            )));
        }
        Ok(Settings { config, admin: flags.admin, state_dir, takeover: flags.takeover })
    }
}

/// `$XDG_STATE_HOME/causeway/HASH` (XDG Base Directory 0.8; `~/.local/state` where unset). The hash of the
/// config's path keeps two proxies on one host apart.
fn default_state_dir(config: &Path) -> PathBuf {
    let base = std::env::var_os("XDG_STATE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| std::env::home_dir().map(|home| home.join(".local/state")))
        .unwrap_or_else(std::env::temp_dir);
    let digest = Sha256::digest(config.as_os_str().as_encoded_bytes());
    let name: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    base.join("causeway").join(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Settings, clap::Error> {
        Settings::parse(std::iter::once("causeway-proxy").chain(args.iter().copied()).map(OsString::from))
    }

    #[test]
    fn the_flag_of_a_takeover_is_called_as_the_successor_is_started_with() {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().to_str().unwrap();
        assert!(parse(&["--config", config, TAKEOVER]).unwrap().takeover);
        assert!(!parse(&["--config", config]).unwrap().takeover);
    }

    #[test]
    fn two_configs_never_share_a_state_folder() {
        let a = default_state_dir(Path::new("/etc/a"));
        let b = default_state_dir(Path::new("/etc/b"));
        assert_ne!(a, b);
        assert_eq!(a, default_state_dir(Path::new("/etc/a")));
    }

    #[test]
    fn a_state_folder_inside_the_watched_folder_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().to_str().unwrap();
        let state = dir.path().join("state");
        let error = parse(&["--config", config, "--state-dir", state.to_str().unwrap()]).unwrap_err();
        assert!(error.to_string().contains("inside the watched folder"), "{error}");
    }

    #[test]
    fn a_missing_config_is_refused_with_its_path() {
        let error = parse(&["--config", "/no/such/folder"]).unwrap_err();
        assert!(error.to_string().contains("/no/such/folder"), "{error}");
    }
}
