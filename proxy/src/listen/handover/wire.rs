//! Messages with descriptors over a Unix stream socket.
//!
//! A message is four bytes of length (little endian), then as much JSON. Descriptors travel with the four bytes:
//! the kernel hands them out with the first byte of what they were sent with, and never joins two such pieces. A
//! socket that keeps messages apart by itself (`SOCK_SEQPACKET`) would bound them by its buffer, and the state of
//! 20,000 endpoints does not fit.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Descriptors in one message: below Linux's bound of 253 (`SCM_MAX_FD`).
pub(super) const FDS: usize = 250;

/// A message above this is refused unread: 64 MiB, several times what 100,000 endpoints need.
const LONGEST: usize = 64 << 20;

/// One end of a conversation. Calls block, at most as long as it was made with.
pub(super) struct Wire(UnixStream);

impl Wire {
    /// Over a connected socket.
    pub fn new(stream: UnixStream, patience: Duration) -> io::Result<Wire> {
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        Ok(Wire(stream))
    }

    /// Sends a message, with at most [`FDS`] descriptors.
    pub fn send(&self, message: &impl Serialize, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        let body = serde_json::to_vec(message)?;
        let length = u32::try_from(body.len()).map_err(io::Error::other)?.to_le_bytes();
        let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
            return Err(io::Error::other("too many descriptors for one message"));
        }
        // NOSIGNAL: the other side's end is an error here, not the end of this process.
        let sent = rustix::io::retry_on_intr(|| {
            sendmsg(&self.0, &[IoSlice::new(&length)], &mut control, SendFlags::NOSIGNAL)
        })?;
        (&self.0).write_all(&length[sent..])?;
        (&self.0).write_all(&body)
    }

    /// Receives a message and what came with it.
    pub fn receive<T: DeserializeOwned>(&self) -> io::Result<(T, Vec<OwnedFd>)> {
        let (mut length, mut fds, mut got) = ([0; 4], Vec::new(), 0);
        while got < length.len() {
            got += self.receive_some(&mut length[got..], &mut fds)?;
        }
        let length = u32::from_le_bytes(length) as usize;
        if length > LONGEST {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a message of {length} bytes")));
        }
        let mut body = Vec::new();
        // Not `vec![0; length]`: the length is a claim until the bytes are there.
        let read = (&self.0).take(length as u64).read_to_end(&mut body)?;
        if read < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok((serde_json::from_slice(&body)?, fds))
    }

    fn receive_some(&self, bytes: &mut [u8], fds: &mut Vec<OwnedFd>) -> io::Result<usize> {
        let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = rustix::io::retry_on_intr(|| {
            recvmsg(&self.0, &mut [IoSliceMut::new(bytes)], &mut control, RecvFlags::CMSG_CLOEXEC)
        })?;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(more) = message {
                fds.extend(more);
            }
        }
        match received {
            // As by the limit on open files: some were lost, and a lost socket is lost connections.
            r if r.flags.contains(ReturnFlags::CTRUNC) => {
                Err(io::Error::other("not all descriptors came through: is the limit on open files too low?"))
            }
            r if r.bytes == 0 => Err(io::ErrorKind::UnexpectedEof.into()),
            r => Ok(r.bytes),
        }
    }
}
