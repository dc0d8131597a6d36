//! Addresses for servers, each given to one test at a time on the whole machine.
//!
//! Binding port 0 and using its number after closing the socket was rejected: between the two, another test or a
//! client socket may be given the same port, and a killed server's port must stay free for its return. So ports
//! come from below the range that Linux hands out to clients (32768), and a locked file stands for each.

use std::fs::{self, File, TryLockError};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::Range;
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};

/// Above what people usually listen on, below where ephemeral ports begin.
const RANGE: Range<u16> = 30_000..32_700;

/// A loopback address that is nobody else's until this is dropped.
#[derive(Debug)]
pub struct PortLease {
    port: u16,
    // The lock ends with the process too, however that ends.
    _lock: File,
}

impl PortLease {
    /// Finds a port that is neither leased nor in use.
    ///
    /// # Panics
    /// When there is none.
    pub fn take() -> PortLease {
        let folder = std::env::temp_dir().join("causeway-test-ports");
        fs::create_dir_all(&folder).expect("a folder for locks");
        // Processes begin at different places, and a port is not used again at once: what the last user's
        // clients still send to it must not reach the next.
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let width = RANGE.end - RANGE.start;
        let first = (std::process::id() % u32::from(width)) as u16;
        for _ in 0..width {
            let offset = (u32::from(first) + u32::from(NEXT.fetch_add(1, Relaxed))) % u32::from(width);
            let port = RANGE.start + offset as u16;
            let lock = File::options().create(true).append(true).open(folder.join(port.to_string()));
            let lock = lock.expect("a lock file");
            match lock.try_lock() {
                Ok(()) if is_free(port) => return PortLease { port, _lock: lock },
                Ok(()) | Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => panic!("locking a port: {error}"),
            }
        }
        panic!("no free port in {RANGE:?}");
    }

    /// The address.
    pub fn addr(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_leases_are_the_same_and_a_leased_port_can_be_bound() {
        let leases: Vec<_> = (0..50).map(|_| PortLease::take()).collect();
        let mut ports: Vec<_> = leases.iter().map(|lease| lease.port).collect();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 50);
        assert!(leases.iter().all(|lease| TcpListener::bind(lease.addr()).is_ok()));
    }

    #[test]
    fn a_port_in_use_is_not_leased() {
        let held = TcpListener::bind("127.0.0.1:0").expect("a port");
        assert!(!is_free(held.local_addr().expect("an address").port()));
    }
}
