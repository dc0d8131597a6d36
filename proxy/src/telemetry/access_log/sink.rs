//! Where lines go.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use causeway_config::{AccessLog, AccessLogFormat, AccessLogTarget};

/// How often a file is looked up again, so that a log that was rotated away is noticed.
const LOOK_UP: Duration = Duration::from_secs(1);

/// An open target.
pub(super) struct Sink {
    /// How lines are written.
    pub format: AccessLogFormat,
    target: Target,
}

enum Target {
    Stdout,
    Stderr,
    File(LogFile),
    Off,
}

impl Sink {
    /// Opens the target; the error names the path.
    pub fn open(config: &AccessLog) -> Result<Sink, String> {
        let target = match &config.path {
            AccessLogTarget::Stdout => Target::Stdout,
            AccessLogTarget::Stderr => Target::Stderr,
            AccessLogTarget::Off => Target::Off,
            AccessLogTarget::File(path) => Target::File(LogFile::open(path)?),
        };
        Ok(Sink { format: config.format, target })
    }

    /// A target that takes nothing.
    pub fn off() -> Sink {
        Sink { format: AccessLogFormat::Json, target: Target::Off }
    }

    /// Nothing needs to be formatted.
    pub fn is_off(&self) -> bool {
        matches!(self.target, Target::Off)
    }

    /// Writes whole lines.
    pub fn write(&mut self, lines: &[u8], now: Instant) -> io::Result<()> {
        match &mut self.target {
            Target::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(lines)?;
                out.flush()
            }
            Target::Stderr => io::stderr().lock().write_all(lines),
            Target::File(file) => file.write(lines, now),
            Target::Off => Ok(()),
        }
    }
}

/// A file that is appended to and opened again when its name points elsewhere: logrotate and others rename the
/// old file away and expect no more than that.
struct LogFile {
    path: PathBuf,
    file: File,
    /// Device and inode of `file`.
    identity: (u64, u64),
    looked_up: Option<Instant>,
}

impl LogFile {
    fn open(path: &Path) -> Result<LogFile, String> {
        let open = || {
            // Group may read, others not: paths and addresses are personal data.
            let file = OpenOptions::new().append(true).create(true).mode(0o640).open(path)?;
            let meta = file.metadata()?;
            io::Result::Ok((file, (meta.dev(), meta.ino())))
        };
        let (file, identity) = open().map_err(|e| format!("access log {}: {e}", path.display()))?;
        Ok(LogFile { path: path.to_owned(), file, identity, looked_up: None })
    }

    fn write(&mut self, lines: &[u8], now: Instant) -> io::Result<()> {
        if self.looked_up.is_none_or(|at| now.saturating_duration_since(at) >= LOOK_UP) {
            self.looked_up = Some(now);
            self.reopen_if_moved();
        }
        self.file.write_all(lines)
    }

    /// Where the new file cannot be opened, the old one, wherever it is now, is better than nothing.
    fn reopen_if_moved(&mut self) {
        let there = std::fs::metadata(&self.path).map(|meta| (meta.dev(), meta.ino()));
        if there.ok() == Some(self.identity) {
            return;
        }
        if let Ok(new) = LogFile::open(&self.path) {
            *self = LogFile { looked_up: self.looked_up, ..new };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file_at(path: &Path) -> Sink {
        let target = AccessLogTarget::File(path.to_owned());
        Sink::open(&AccessLog { path: target, ..AccessLog::default() }).unwrap()
    }

    #[test]
    fn a_rotated_file_is_opened_again_within_a_second() {
        let dir = tempfile::tempdir().unwrap();
        let (path, old) = (dir.path().join("access.log"), dir.path().join("access.log.1"));
        let mut sink = file_at(&path);
        let start = Instant::now();
        sink.write(b"one\n", start).unwrap();
        std::fs::rename(&path, &old).unwrap();
        sink.write(b"two\n", start + LOOK_UP / 2).unwrap();
        sink.write(b"three\n", start + LOOK_UP).unwrap();
        assert_eq!(std::fs::read_to_string(&old).unwrap(), "one\ntwo\n");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "three\n");
    }

    #[test]
    fn a_new_file_that_logrotate_made_itself_is_taken_up() {
        let dir = tempfile::tempdir().unwrap();
        let (path, old) = (dir.path().join("access.log"), dir.path().join("access.log.1"));
        let mut sink = file_at(&path);
        std::fs::rename(&path, &old).unwrap();
        File::create(&path).unwrap();
        sink.write(b"one\n", Instant::now()).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\n");
    }

    #[test]
    fn without_its_folder_the_log_goes_on_in_the_old_file() {
        let dir = tempfile::tempdir().unwrap();
        let (logs, kept) = (dir.path().join("logs"), dir.path().join("kept"));
        std::fs::create_dir(&logs).unwrap();
        let mut sink = file_at(&logs.join("access.log"));
        std::fs::rename(&logs, &kept).unwrap();
        sink.write(b"one\n", Instant::now()).unwrap();
        assert_eq!(std::fs::read_to_string(kept.join("access.log")).unwrap(), "one\n");
    }

    #[test]
    fn a_file_is_appended_to_and_not_for_everybodys_eyes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("access.log");
        for _ in 0..2 {
            file_at(&path).write(b"line\n", Instant::now()).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "line\nline\n");
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o007, 0);
    }
}
