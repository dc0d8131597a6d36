//! The origin: answers of a size that the path says, over HTTP/1.1, from one thread.
//!
//! As cheap as a server can be, for what it uses of its CPU the generator lacks: one read and one write for an
//! exchange, nothing allocated, and no file or library between the request and the socket.

mod answers;

use std::convert::Infallible;
use std::io::{self, ErrorKind, Read};
use std::net::Ipv4Addr;

use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

use crate::load::head;
pub(crate) use answers::write_all;
use answers::{Answer, Answers, Owed};

/// Read at once.
const SCRATCH: usize = 64 * 1024;

/// Handled between two waits.
const EVENTS: usize = 256;

/// Serves these ports of 127.0.0.1 until the process ends. `/bytes/N` is answered with N bytes, all else with 1,024.
///
/// # Errors
/// A port is taken, or the system refuses to go on.
pub fn serve(ports: &[u16]) -> Result<(), String> {
    Origin::bind(ports)?.serve().map(|never| match never {})
}

/// A port of 127.0.0.1 (0: any) with room for as many waiting connections as the kernel allows: where a thousand
/// come at once, those beyond mio's 128 would lose their first packet and be tried again a second later.
pub(crate) fn listen(port: u16) -> Result<TcpListener, String> {
    let listen = || {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port).into())?;
        rustix::net::listen(&listener, 4096)?;
        Ok(listener)
    };
    listen().map_err(|e: io::Error| format!("listen on 127.0.0.1:{port}: {e}"))
}

/// Whoever waits to be accepted. A connection that broke meanwhile, or for which there is no descriptor, is left.
pub(crate) fn accept(listener: &TcpListener) -> impl Iterator<Item = TcpStream> {
    std::iter::from_fn(|| {
        loop {
            match listener.accept() {
                Ok((stream, _)) => return stream.set_nodelay(true).map(|()| stream).ok(),
                Err(e) if matches!(e.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionAborted) => {}
                Err(_) => return None,
            }
        }
    })
}

/// An origin whose ports are bound.
pub struct Origin {
    poll: Poll,
    /// Their tokens are the highest, counted down, so that a connection's is its index.
    listeners: Vec<TcpListener>,
    answers: Answers,
    connections: Vec<Option<Connection>>,
    /// Of `connections`.
    free: Vec<usize>,
    scratch: Box<[u8]>,
}

struct Connection {
    stream: TcpStream,
    /// Which listener it came by.
    port: usize,
    /// The beginning of a request.
    held: Vec<u8>,
    /// Bytes of a request's body that are still to come.
    body: u64,
    owed: Owed,
    /// There may be more to read, which waits until less is owed.
    unread: bool,
    /// No more requests: it is closed when nothing is owed.
    last: bool,
}

impl Origin {
    /// Binds these ports. 0 is any that is free.
    ///
    /// # Errors
    /// A port is taken.
    pub fn bind(ports: &[u16]) -> Result<Origin, String> {
        let poll = Poll::new().map_err(|e| format!("epoll: {e}"))?;
        let mut listeners = ports.iter().map(|&port| listen(port)).collect::<Result<Vec<_>, _>>()?;
        for (at, listener) in listeners.iter_mut().enumerate() {
            let registered = poll.registry().register(listener, Token(usize::MAX - at), Interest::READABLE);
            registered.map_err(|e| format!("epoll: {e}"))?;
        }
        let (connections, free, scratch) = (Vec::new(), Vec::new(), vec![0; SCRATCH].into());
        let mut origin = Origin { poll, listeners, answers: Answers::new(&[]), connections, free, scratch };
        origin.answers = Answers::new(&origin.ports()?);
        Ok(origin)
    }

    /// The ports, in the order in which they were asked for.
    ///
    /// # Errors
    /// The system does not tell.
    pub fn ports(&self) -> Result<Vec<u16>, String> {
        let port = |listener: &TcpListener| listener.local_addr().map(|at| at.port());
        self.listeners.iter().map(port).collect::<Result<_, _>>().map_err(|e| format!("a port: {e}"))
    }

    /// Serves until the process ends.
    ///
    /// # Errors
    /// The system refuses to go on.
    pub fn serve(mut self) -> Result<Infallible, String> {
        let mut events = Events::with_capacity(EVENTS);
        loop {
            match self.poll.poll(&mut events, None) {
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                polled => polled.map_err(|e| format!("epoll: {e}"))?,
            }
            for event in &events {
                let at = event.token().0;
                if self.listeners.len() > usize::MAX - at {
                    self.accept(usize::MAX - at);
                } else if let Some(slot) = self.connections.get_mut(at)
                    && let Some(connection) = slot
                    && !connection.handle(event, &mut self.scratch, &mut self.answers)
                {
                    *slot = None;
                    self.free.push(at);
                }
            }
        }
    }

    fn accept(&mut self, port: usize) {
        for mut stream in accept(&self.listeners[port]) {
            let at = self.free.pop().unwrap_or_else(|| {
                self.connections.push(None);
                self.connections.len() - 1
            });
            let both = Interest::READABLE | Interest::WRITABLE;
            if self.poll.registry().register(&mut stream, Token(at), both).is_err() {
                self.free.push(at);
                continue;
            }
            let (held, owed) = (Vec::new(), Owed::default());
            let new = Connection { stream, port, held, body: 0, owed, unread: false, last: false };
            self.connections[at] = Some(new);
        }
    }
}

impl Connection {
    /// `false`: the connection is over.
    fn handle(&mut self, event: &Event, scratch: &mut [u8], answers: &mut Answers) -> bool {
        let ended = event.is_read_closed() || event.is_error();
        self.unread |= event.is_readable() || ended;
        loop {
            // What could not be written waits for the event that says that it can.
            if !self.owed.is_empty() {
                match answers.pay(&mut self.owed, self.port, &mut self.stream) {
                    Ok(true) => {}
                    Ok(false) => return true,
                    Err(_) => return false,
                }
            }
            if self.last {
                return false;
            }
            if !self.unread {
                return true;
            }
            match self.stream.read(scratch) {
                Ok(0) => self.last = true,
                Ok(read) => {
                    // A read that leaves room has emptied the socket; the next edge tells of more.
                    self.unread = read == scratch.len() || ended;
                    if self.take(&scratch[..read]).is_err() {
                        return false;
                    }
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => self.unread = false,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
    }

    /// Takes requests, and notes what they are owed.
    fn take(&mut self, bytes: &[u8]) -> Result<(), &'static str> {
        if self.held.is_empty() {
            let used = self.requests(bytes)?;
            self.held.extend_from_slice(&bytes[used..]);
        } else {
            let mut held = std::mem::take(&mut self.held);
            held.extend_from_slice(bytes);
            let used = self.requests(&held)?;
            held.drain(..used);
            self.held = held;
        }
        Ok(())
    }

    fn requests(&mut self, bytes: &[u8]) -> Result<usize, &'static str> {
        let mut used = 0;
        while used < bytes.len() && !self.last {
            let body = self.body.min((bytes.len() - used) as u64);
            self.body -= body;
            used += body as usize;
            let Some(head) = head::read(&bytes[used..])? else { break };
            if head.chunked {
                return Err("a chunked request, which no load of ours sends");
            }
            used += head.len;
            self.body = head.length.unwrap_or(0);
            self.last = head.close;
            self.owed.push(Answer::to(head.first)?);
        }
        Ok(if self.last { bytes.len() } else { used })
    }
}

#[cfg(test)]
mod tests;
