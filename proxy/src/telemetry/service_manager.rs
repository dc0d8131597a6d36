//! Tells a service manager how the process fares: systemd's `sd_notify` protocol, which others speak as well.
//!
//! A datagram of lines to the socket that `NOTIFY_SOCKET` names. By hand: it is a page of code, and the library
//! would be a dependency of every build.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use super::log;

/// The process serves.
pub fn ready() {
    say("READY=1");
}

/// The process drains, for good.
pub fn stopping() {
    say("STOPPING=1");
}

/// The service goes on in process `pid`, which is not this one.
pub fn main_process(pid: u32) {
    say(&format!("MAINPID={pid}"));
}

fn say(what: &str) {
    if let Some(to) = std::env::var_os("NOTIFY_SOCKET").filter(|to| !to.is_empty())
        && let Err(e) = send(&to, what)
    {
        log::event("service manager", format_args!("{what} was not heard: {e}"));
    }
}

/// A name that begins with `@` is one of Linux's abstract names.
fn send(to: &OsStr, what: &str) -> io::Result<()> {
    let addr = match to.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(to)?,
    };
    let socket = UnixDatagram::unbound()?;
    // A manager that does not read must not hold us up.
    socket.set_nonblocking(true)?;
    socket.send_to_addr(what.as_bytes(), &addr).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_abstract_names_are_reached() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let name = format!("causeway-notify-{}", std::process::id());
        let by_path = UnixDatagram::bind(&path).unwrap();
        let abstracted = SocketAddr::from_abstract_name(name.as_bytes()).unwrap();
        let by_name = UnixDatagram::bind_addr(&abstracted).unwrap();
        let abstract_name = format!("@{name}");
        for (socket, to) in [(by_path, path.as_os_str()), (by_name, OsStr::new(&abstract_name))] {
            send(to, "MAINPID=7").unwrap();
            let mut heard = [0; 32];
            let length = socket.recv(&mut heard).unwrap();
            assert_eq!(&heard[..length], b"MAINPID=7");
        }
        assert!(send(OsStr::new("/no/such/socket"), "READY=1").is_err());
    }
}
