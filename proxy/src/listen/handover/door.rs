//! The socket in the state folder at which a successor asks.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::UnixListener;

use crate::telemetry::log;

/// Its name in the state folder.
const NAME: &str = "handover.sock";

/// Pause after the process ran out of descriptors: accepting again at once would spin.
const EXHAUSTED_PAUSE: Duration = Duration::from_secs(1);

/// Where the process that serves now can be asked for its sockets.
///
/// It is not removed at the end: by then the name may be a successor's, and one that nobody listens at says what a
/// missing one says.
pub struct Door(UnixListener);

impl Door {
    /// Opens it in place of whatever was there. Must be called on a runtime.
    pub fn open(state_dir: &Path) -> io::Result<Door> {
        DirBuilder::new().recursive(true).mode(0o700).create(state_dir)?;
        // Made aside and renamed: at no moment is the name missing, or the socket open to others.
        let aside = state_dir.join(format!("{NAME}.{}.tmp", std::process::id()));
        let _ = fs::remove_file(&aside);
        let listener = UnixListener::bind(&aside)?;
        fs::set_permissions(&aside, Permissions::from_mode(0o600))?;
        fs::rename(&aside, path(state_dir))?;
        Ok(Door(listener))
    }

    /// The next one who asks, by a process of the same user or of root.
    pub async fn knock(&self) -> UnixStream {
        loop {
            let asked = match self.0.accept().await {
                Ok((stream, _)) => stream.peer_cred().and_then(|peer| {
                    admit(peer.uid())?;
                    stream.into_std()
                }),
                Err(e) => {
                    tokio::time::sleep(EXHAUSTED_PAUSE).await;
                    Err(e)
                }
            };
            match asked {
                Ok(stream) => return stream,
                Err(e) => log::event("handover", format_args!("not answered: {e}")),
            }
        }
    }
}

/// A connection to the process that serves with this state folder; `None` if there is none.
pub(super) fn connect(state_dir: &Path) -> io::Result<Option<UnixStream>> {
    let stream = match UnixStream::connect(path(state_dir)) {
        Ok(stream) => stream,
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Ok(None);
        }
        Err(e) => return Err(e),
    };
    // Who made the socket may open it alone, so that is who listens.
    admit(fs::metadata(path(state_dir))?.uid())?;
    Ok(Some(stream))
}

/// Whether to talk with a process of this user.
fn admit(uid: u32) -> io::Result<()> {
    if uid == 0 || uid == rustix::process::geteuid().as_raw() {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("the other process is user {uid}'s")))
}

fn path(state_dir: &Path) -> PathBuf {
    state_dir.join(NAME)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_own_user_and_root_are_talked_to() {
        let own = rustix::process::geteuid().as_raw();
        assert!(admit(own).is_ok() && admit(0).is_ok());
        assert!(admit(own + 4711).is_err());
    }

    #[tokio::test]
    async fn the_door_is_open_to_its_owner_alone_and_a_stale_one_is_none() {
        let dir = tempfile::tempdir().unwrap();
        assert!(connect(dir.path()).unwrap().is_none(), "nothing there");
        let door = Door::open(dir.path()).unwrap();
        assert_eq!(fs::metadata(path(dir.path())).unwrap().permissions().mode() & 0o777, 0o600);
        let (asks, _) = (connect(dir.path()).unwrap().unwrap(), door.knock().await);
        drop((asks, door));
        assert!(connect(dir.path()).unwrap().is_none(), "nobody listens");
        Door::open(dir.path()).unwrap();
    }
}
