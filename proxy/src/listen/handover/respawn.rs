//! SIGUSR2: start the program again, as it is on disk now, to take over from this process.

use std::ffi::{OsStr, OsString};
use std::process::ExitStatus;

use tokio::process::{Child, Command};

use crate::settings::TAKEOVER;
use crate::telemetry::log;

/// A successor that this process started.
#[derive(Default)]
pub struct Respawn(Option<Child>);

impl Respawn {
    /// Starts one, unless one is on its way, or there is no door for it to come in by.
    pub fn start(&mut self, has_door: bool) {
        if !has_door {
            return log::event("handover", "refused: the state folder has no socket to hand over by");
        }
        if let Some(child) = &self.0 {
            let pid = child.id().unwrap_or_default();
            return log::event("handover", format_args!("process {pid} is taking over already"));
        }
        if std::process::id() == 1 {
            // The kernel would kill the successor, and the runtime the container, at the end of this process.
            return log::event("handover", "refused: the first process of a container cannot be replaced");
        }
        match command(std::env::args_os()).and_then(|mut command| command.spawn().map_err(|e| e.to_string()))
        {
            Ok(child) => {
                log::event("handover", format_args!("started process {}", child.id().unwrap_or_default()));
                self.0 = Some(child);
            }
            Err(why) => log::event("handover", format_args!("cannot start a successor: {why}")),
        }
    }

    /// Waits for its end, for ever if there is none. One that takes over outlives this process.
    pub async fn ended(&mut self) {
        let Some(child) = &mut self.0 else { return std::future::pending().await };
        let status =
            child.wait().await.map_or_else(|e| e.to_string(), |status: ExitStatus| status.to_string());
        self.0 = None;
        log::event("handover", format_args!("the successor ended ({status}); serving on"));
    }
}

/// The command line of this process, which is looked up as it was then: by path, or by name in `PATH`. The path of
/// the running image was rejected: it names the old file, also where a link has been moved to the new one.
fn command(mut args: impl Iterator<Item = OsString>) -> Result<Command, String> {
    let program = args.next().filter(|name| !name.is_empty()).ok_or("the program's name is not known")?;
    let mut args: Vec<OsString> = args.collect();
    if !args.iter().any(|arg| arg == OsStr::new(TAKEOVER)) {
        args.push(TAKEOVER.into());
    }
    let mut command = Command::new(program);
    command.args(args);
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(args: &[&str]) -> Vec<String> {
        let command = command(args.iter().map(OsString::from)).unwrap();
        let all = std::iter::once(command.as_std().get_program()).chain(command.as_std().get_args());
        all.map(|arg| arg.to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn a_successor_gets_the_same_arguments_and_takes_over_once() {
        let first = line(&["/usr/bin/causeway-proxy", "--config", "/etc/causeway"]);
        assert_eq!(first, ["/usr/bin/causeway-proxy", "--config", "/etc/causeway", TAKEOVER]);
        let again: Vec<&str> = first.iter().map(String::as_str).collect();
        assert_eq!(line(&again), first);
        assert!(command(std::iter::empty()).is_err());
    }
}
