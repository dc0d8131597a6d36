//! The relay: what any proxy costs at least. It hands bytes on without looking at them, with a connection upstream for
//! each from a client, and one read and one write for what has come. What a proxy uses beyond it is its own.

use std::convert::Infallible;
use std::io::{ErrorKind, Read};
use std::net::{Ipv4Addr, SocketAddr};

use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Registry, Token};

use crate::origin::{accept, listen, write_all};

/// Read at once.
const SCRATCH: usize = 64 * 1024;

/// Handled between two waits.
const EVENTS: usize = 256;

const LISTENER: Token = Token(usize::MAX);

/// Relays a port of 127.0.0.1 to another until the process ends.
///
/// # Errors
/// The port is taken, or the system refuses to go on.
pub fn serve(listen: u16, upstream: u16) -> Result<(), String> {
    Relay::bind(listen, upstream)?.serve().map(|never| match never {})
}

/// A relay whose port is bound.
pub struct Relay {
    poll: Poll,
    listener: TcpListener,
    upstream: SocketAddr,
    pairs: Vec<Option<Pair>>,
    /// Of `pairs`.
    free: Vec<usize>,
    scratch: Box<[u8]>,
}

/// The client's side and the upstream's. Their tokens are twice the pair's index, and one more.
struct Pair {
    sides: [Side; 2],
}

struct Side {
    stream: TcpStream,
    /// From the other side, and not yet written to this one.
    rest: Vec<u8>,
    /// There may be more to read, which waits until the other side takes it.
    unread: bool,
}

impl Relay {
    /// Binds the port. 0 is any that is free.
    ///
    /// # Errors
    /// The port is taken.
    pub fn bind(port: u16, upstream: u16) -> Result<Relay, String> {
        let poll = Poll::new().map_err(|e| format!("epoll: {e}"))?;
        let mut listener = listen(port)?;
        let registered = poll.registry().register(&mut listener, LISTENER, Interest::READABLE);
        registered.map_err(|e| format!("epoll: {e}"))?;
        let upstream = (Ipv4Addr::LOCALHOST, upstream).into();
        let (pairs, free, scratch) = (Vec::new(), Vec::new(), vec![0; SCRATCH].into());
        Ok(Relay { poll, listener, upstream, pairs, free, scratch })
    }

    /// The port.
    ///
    /// # Errors
    /// The system does not tell.
    pub fn port(&self) -> Result<u16, String> {
        self.listener.local_addr().map(|at| at.port()).map_err(|e| format!("a port: {e}"))
    }

    /// Relays until the process ends.
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
                let Token(token) = event.token();
                if event.token() == LISTENER {
                    self.accept();
                } else if let Some(slot) = self.pairs.get_mut(token / 2)
                    && let Some(pair) = slot
                    && !pair.handle(token % 2, event, &mut self.scratch)
                {
                    *slot = None;
                    self.free.push(token / 2);
                }
            }
        }
    }

    fn accept(&mut self) {
        for client in accept(&self.listener) {
            let at = self.free.pop().unwrap_or_else(|| {
                self.pairs.push(None);
                self.pairs.len() - 1
            });
            match Pair::new(client, self.upstream, at, self.poll.registry()) {
                Ok(pair) => self.pairs[at] = Some(pair),
                // The client finds its connection closed.
                Err(_) => self.free.push(at),
            }
        }
    }
}

impl Pair {
    fn new(client: TcpStream, to: SocketAddr, at: usize, registry: &Registry) -> std::io::Result<Pair> {
        let upstream = TcpStream::connect(to)?;
        upstream.set_nodelay(true)?;
        let mut sides = [client, upstream].map(|stream| Side { stream, rest: Vec::new(), unread: false });
        for (side, token) in sides.iter_mut().zip(2 * at..) {
            registry.register(&mut side.stream, Token(token), Interest::READABLE | Interest::WRITABLE)?;
        }
        Ok(Pair { sides })
    }

    /// `false`: the pair is over.
    fn handle(&mut self, side: usize, event: &Event, scratch: &mut [u8]) -> bool {
        let [client, upstream] = &mut self.sides;
        let (this, other) = if side == 0 { (client, upstream) } else { (upstream, client) };
        if event.is_writable() && !this.rest.is_empty() {
            match write_all(&mut this.stream, &this.rest) {
                Ok(written) => this.rest.drain(..written),
                Err(_) => return false,
            };
            if !hand_on(other, this, scratch, true) {
                return false;
            }
        }
        let ended = event.is_read_closed() || event.is_error();
        this.unread |= event.is_readable() || ended;
        hand_on(this, other, scratch, ended)
    }
}

/// Reads from one side and writes to the other, as long as that takes it. A read that leaves room has emptied the
/// socket, and the next edge tells of more, unless an edge told of the end before (`ended`: it may have). `false`: the
/// pair is over, and all that came from this side has been handed on.
fn hand_on(from: &mut Side, to: &mut Side, scratch: &mut [u8], ended: bool) -> bool {
    while from.unread && to.rest.is_empty() {
        match from.stream.read(scratch) {
            Ok(0) => return false,
            Ok(read) => {
                from.unread = ended || read == scratch.len();
                match write_all(&mut to.stream, &scratch[..read]) {
                    Ok(written) => to.rest.extend_from_slice(&scratch[written..read]),
                    Err(_) => return false,
                }
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => from.unread = false,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(_) => return false,
        }
    }
    // What waits for the other side to take it may have been followed by the end, whose edge is then used up.
    from.unread |= !to.rest.is_empty();
    true
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{Shutdown, TcpListener, TcpStream};
    use std::thread;

    use super::*;

    /// A client's connection and what came of it upstream.
    fn pair() -> (TcpStream, TcpStream) {
        let upstream = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let relay = Relay::bind(0, upstream.local_addr().unwrap().port()).unwrap();
        let port = relay.port().unwrap();
        thread::spawn(move || relay.serve());
        let client = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        (client, upstream.accept().unwrap().0)
    }

    #[test]
    fn more_than_a_socket_takes_arrives_whole_and_in_order_both_ways() {
        let bytes: Vec<u8> = (0..20_000_000_u32).map(|i| (i % 251) as u8).collect();
        let (client, upstream) = pair();
        for (mut from, mut to) in
            [(client.try_clone().unwrap(), upstream.try_clone().unwrap()), (upstream, client)]
        {
            let sent = bytes.clone();
            let sender = thread::spawn(move || from.write_all(&sent).unwrap());
            let mut received = vec![0; bytes.len()];
            // The receiver is slow at first, so that the relay has to wait for it.
            to.read_exact(&mut received[..1]).unwrap();
            thread::yield_now();
            to.read_exact(&mut received[1..]).unwrap();
            sender.join().unwrap();
            assert!(received == bytes);
        }
    }

    #[test]
    fn what_came_before_the_end_arrives_before_the_end() {
        let (mut client, mut upstream) = pair();
        let sent = vec![7; 10_000_000];
        let sender = thread::spawn(move || {
            client.write_all(&sent).unwrap();
            client.shutdown(Shutdown::Write).unwrap();
            // Until the relay closes this side too.
            assert_eq!(client.read(&mut [0]).unwrap(), 0);
        });
        let mut received = Vec::new();
        upstream.read_to_end(&mut received).unwrap();
        assert_eq!(received.len(), 10_000_000);
        sender.join().unwrap();
    }
}
