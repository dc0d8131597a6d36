//! The origin behind the proxy: it keeps what it receives, and does with each request what its check has asked for.
//!
//! A request is known by the token of its check in its path, so that hundreds of checks share one origin and one
//! proxy. A request that nobody wrote a script for is answered with `ok TOKEN`: an answer that reaches another
//! request is told apart by that.

mod http1;
mod http2;
pub mod script;
mod websocket;

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use causeway_testkit::certs::Authority;
use causeway_testkit::ports::PortLease;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use self::script::Script;
use crate::wire::Conn;
use crate::wire::h1::{End, Message};

/// The addresses of an origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Door {
    /// HTTP/1.1.
    One,
    /// HTTP/1.1, the second endpoint of the pair.
    Two,
    /// HTTP/1.1, for the host `secret.test` alone.
    Secret,
    /// HTTP/2 without TLS.
    H2,
    /// HTTP/1.1 by TLS, with a certificate for `localhost`.
    Tls,
    /// The same with a certificate of an authority that nobody trusts.
    Stranger,
    /// The same with a trusted certificate for another name.
    Misnamed,
    /// Nobody listens.
    Dead,
}

impl Door {
    /// All of them.
    pub const ALL: [Door; 8] =
        [Door::One, Door::Two, Door::Secret, Door::H2, Door::Tls, Door::Stranger, Door::Misnamed, Door::Dead];
}

/// A request that came.
#[derive(Clone, Debug)]
pub struct Seen {
    /// It, as far as it came.
    pub message: Message,
    /// Where.
    pub door: Door,
    /// By which connection.
    pub connection: u64,
}

impl Seen {
    /// All of it came.
    pub fn is_whole(&self) -> bool {
        self.message.end == End::Whole
    }
}

#[derive(Default)]
struct State {
    scripts: HashMap<String, Vec<Script>>,
    seen: HashMap<String, Vec<Seen>>,
    under_way: HashMap<String, (usize, usize)>,
}

/// The origin.
pub struct Origin {
    state: Mutex<State>,
    doors: Vec<(Door, PortLease)>,
    connections: AtomicU64,
}

impl Origin {
    /// Starts it on the present runtime.
    ///
    /// # Errors
    /// A port cannot be bound.
    pub async fn start(authority: &Authority) -> Result<Arc<Origin>, String> {
        let doors: Vec<_> = Door::ALL.into_iter().map(|door| (door, PortLease::take())).collect();
        let origin = Arc::new(Origin { state: Mutex::default(), doors, connections: AtomicU64::new(0) });
        for (door, lease) in &origin.doors {
            let tls = match door {
                Door::Dead => continue,
                Door::Tls => Some(authority.issue(&["localhost"])),
                Door::Stranger => Some(Authority::new().issue(&["localhost"])),
                Door::Misnamed => Some(authority.issue(&["elsewhere.test"])),
                Door::One | Door::Two | Door::Secret | Door::H2 => None,
            };
            let tls = tls.map(|issued| issued.server(&["http/1.1"]));
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, lease.addr().port())).await;
            let listener = listener.map_err(|e| format!("an origin's port: {e}"))?;
            tokio::spawn(origin.clone().accept(*door, listener, tls));
        }
        Ok(origin)
    }

    async fn accept(self: Arc<Origin>, door: Door, listener: TcpListener, tls: Option<Arc<ServerConfig>>) {
        loop {
            // Out of descriptors: the next round finds some.
            let Ok((stream, _)) = listener.accept().await else { continue };
            tokio::spawn(self.clone().serve(door, stream, tls.clone()));
        }
    }

    async fn serve(self: Arc<Origin>, door: Door, stream: TcpStream, tls: Option<Arc<ServerConfig>>) {
        let connection = self.connections.fetch_add(1, Relaxed);
        let conn = match tls {
            None => Conn::over(stream),
            Some(config) => match TlsAcceptor::from(config).accept(stream).await {
                Ok(stream) => Conn::over_tls(stream.into()),
                // A proxy that does not believe the certificate.
                Err(_) => return,
            },
        };
        match door {
            Door::H2 => http2::serve(&self, connection, conn).await,
            _ => http1::serve(&self, door, connection, conn).await,
        }
    }

    /// A door's port.
    pub fn port(&self, door: Door) -> u16 {
        let lease = self.doors.iter().find(|(own, _)| *own == door);
        lease.map_or(0, |(_, lease)| lease.addr().port())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing is half done at a panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is to be done with the first, second, ... request of this token; the last script is for all further ones.
    pub fn script(&self, token: &str, scripts: Vec<Script>) {
        self.state().scripts.insert(token.to_owned(), scripts);
    }

    /// The requests of a token so far, whole or not.
    pub fn seen(&self, token: &str) -> Vec<Seen> {
        self.state().seen.get(token).cloned().unwrap_or_default()
    }

    /// Requests of a token that were under way at once, at most.
    pub fn peak(&self, token: &str) -> usize {
        self.state().under_way.get(token).map_or(0, |(_, peak)| *peak)
    }

    /// Requests of a token that are under way.
    pub fn under_way(&self, token: &str) -> usize {
        self.state().under_way.get(token).map_or(0, |(now, _)| *now)
    }

    /// Notes a request; says which of its token it is, and what to do with it.
    fn begin(&self, door: Door, connection: u64, message: Message) -> (Visit, Option<Script>) {
        let token = token_of(&message).unwrap_or_default();
        let mut state = self.state();
        let seen = state.seen.entry(token.clone()).or_default();
        let index = seen.len();
        seen.push(Seen { message, door, connection });
        let count = state.under_way.entry(token.clone()).or_default();
        count.0 += 1;
        count.1 = count.1.max(count.0);
        let script = state.scripts.get(&token).and_then(|all| all.get(index).or(all.last()).cloned());
        (Visit { token, index }, script)
    }

    /// Notes more of a request.
    fn edit(&self, visit: &Visit, edit: impl FnOnce(&mut Message)) {
        let mut state = self.state();
        let seen = state.seen.get_mut(&visit.token).and_then(|seen| seen.get_mut(visit.index));
        if let Some(seen) = seen {
            edit(&mut seen.message);
        }
    }

    fn end(&self, visit: &Visit) {
        if let Some(count) = self.state().under_way.get_mut(&visit.token) {
            count.0 = count.0.saturating_sub(1);
        }
    }
}

/// One request among those that came.
struct Visit {
    token: String,
    index: usize,
}

/// The token in a request's target, or anywhere in its head: `k`, four digits, and perhaps a letter.
fn token_of(message: &Message) -> Option<String> {
    let path = message.all(":path").join(" ");
    let head = String::from_utf8_lossy(&message.raw).into_owned();
    [path, message.start.clone(), head].iter().find_map(|text| find_token(text))
}

fn find_token(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let at = bytes.windows(5).position(|five| five[0] == b'k' && five[1..].iter().all(u8::is_ascii_digit))?;
    let letter = usize::from(bytes.get(at + 5).is_some_and(u8::is_ascii_lowercase));
    text.get(at..at + 5 + letter).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_belongs_to_the_check_whose_token_it_names() {
        assert_eq!(find_token("GET /pair/k0042s?x HTTP/1.1").as_deref(), Some("k0042s"));
        assert_eq!(find_token("GET /k0042 HTTP/1.1").as_deref(), Some("k0042"));
        assert_eq!(find_token("GET /k042 HTTP/1.1"), None);
    }
}
