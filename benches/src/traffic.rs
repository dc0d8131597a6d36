//! An origin and a closed loop of clients, on one thread.
//!
//! As little as it takes: the clients and the origin share one CPU, and where they need more of it than the proxy
//! needs of its own, the proxy idles between requests and each costs more wake-ups. So answers are found by a scan
//! for the end of their head, and nothing is allocated for a request.
//!
//! **Which users.** A connection plays its users in turn, so with as many users as connections (the default) each
//! connection is one user, and each user one endpoint. Then the proxy holds at most one upstream connection for
//! each client connection, whether there are 3 endpoints or 5,000. With many more users than connections the large
//! configuration needs an upstream connection for each endpoint in use, the small one only as many as there are
//! requests at a time. Thousands of sockets in turn miss the CPU's caches, whoever chooses among them: that is the
//! price of having many servers, not of a large configuration, and `README.md` tells it apart.

use std::cell::Cell;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::fixture::{self, Workload};

/// Bytes of an answer's body: the size that the project's other comparisons use.
const BODY: usize = 1024;

/// A client that hears nothing for this long gives up: the run is void, not slow.
const SILENCE: Duration = Duration::from_secs(30);

/// An origin that answers for every endpoint, on the present `LocalSet`.
///
/// # Errors
/// There is no port, or no descriptor.
pub async fn origin() -> Result<u16, String> {
    origin_after(Duration::ZERO).await
}

/// The same, which lets so much time pass before each answer.
///
/// # Errors
/// There is no port, or no descriptor.
pub async fn origin_after(pause: Duration) -> Result<u16, String> {
    let listener =
        TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).await.map_err(|e| format!("an origin: {e}"))?;
    let port = listener.local_addr().map_err(|e| format!("an origin: {e}"))?.port();
    let answer: Rc<[u8]> = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {BODY}\r\n\r\n{}",
        "x".repeat(BODY)
    )
    .into_bytes()
    .into();
    tokio::task::spawn_local(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::task::spawn_local(answer_all(stream, answer.clone(), pause));
        }
    });
    Ok(port)
}

async fn answer_all(mut stream: TcpStream, answer: Rc<[u8]>, pause: Duration) {
    let _ = stream.set_nodelay(true);
    let mut buffer = Buffer::new();
    while let Ok(end) = buffer.head(&mut stream).await {
        // Only a POST has a body here: no other head is searched for its length.
        let head = &buffer.filled()[..end];
        let body = if head.starts_with(b"POST ") { content_length(head).unwrap_or(0) } else { 0 };
        if buffer.at_least(&mut stream, end + body).await.is_err() {
            return;
        }
        buffer.take(end + body);
        rest(pause).await;
        if stream.write_all(&answer).await.is_err() {
            return;
        }
    }
}

async fn rest(pause: Duration) {
    if !pause.is_zero() {
        tokio::time::sleep(pause).await;
    }
}

/// How much is sent, and by whom.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// The proxy's address.
    pub to: SocketAddr,
    /// Client connections, each with one request under way at a time.
    pub connections: usize,
    /// Users, dealt out to the connections.
    pub users: usize,
    /// What they ask.
    pub workload: Workload,
    /// Before each request of a connection.
    pub pause: Duration,
}

impl Plan {
    /// The users of a connection.
    fn users_of(&self, connection: usize) -> impl Iterator<Item = usize> {
        let shared = (connection >= self.users).then(|| connection % self.users.max(1));
        (connection..self.users).step_by(self.connections.max(1)).chain(shared)
    }
}

/// Clients at work. They end when this is dropped.
pub struct Clients {
    tasks: JoinSet<Result<(), String>>,
    answered: Rc<Cell<u64>>,
}

impl Clients {
    /// Starts them on the present `LocalSet`. Each sends `each` requests and ends.
    pub fn start(plan: Plan, each: u64) -> Clients {
        let answered = Rc::new(Cell::new(0));
        let mut tasks = JoinSet::new();
        for connection in 0..plan.connections {
            let requests = plan.users_of(connection).map(|user| plan.workload.request(user)).collect();
            tasks.spawn_local(client(plan, requests, each, answered.clone()));
        }
        Clients { tasks, answered }
    }

    /// Requests answered so far.
    pub fn answered(&self) -> u64 {
        self.answered.get()
    }

    /// Lets them work for a while.
    ///
    /// # Errors
    /// The first thing that went wrong: a benchmark with failed requests is void.
    pub async fn work(&mut self, time: Duration) -> Result<(), String> {
        tokio::select! {
            () = tokio::time::sleep(time) => Ok(()),
            Some(ended) = self.tasks.join_next() => {
                ended.map_err(|e| e.to_string())?.and(Err("the requests are used up".to_owned()))
            }
        }
    }

    /// Waits until they have sent all they were to send.
    ///
    /// # Errors
    /// See [`work`](Clients::work).
    pub async fn finish(mut self) -> Result<u64, String> {
        while let Some(ended) = self.tasks.join_next().await {
            ended.map_err(|e| e.to_string())??;
        }
        Ok(self.answered.get())
    }
}

async fn client(
    plan: Plan,
    requests: Vec<Vec<u8>>,
    times: u64,
    answered: Rc<Cell<u64>>,
) -> Result<(), String> {
    let (to, expected) = (plan.to, start_line(plan.workload));
    let mut stream = TcpStream::connect(to).await.map_err(|e| format!("{to}: {e}"))?;
    stream.set_nodelay(true).map_err(|e| e.to_string())?;
    let mut buffer = Buffer::new();
    for (request, _) in requests.iter().cycle().zip(0..times) {
        rest(plan.pause).await;
        exchange(&mut stream, &mut buffer, request, &expected).await?;
        answered.set(answered.get() + 1);
    }
    Ok(())
}

/// One request and its answer, for a look whether somebody serves at all.
///
/// # Errors
/// Nobody does, or not with 200.
pub async fn probe(to: SocketAddr) -> Result<(), String> {
    let mut stream = TcpStream::connect(to).await.map_err(|e| format!("{to}: {e}"))?;
    exchange(&mut stream, &mut Buffer::new(), &fixture::request(0), &start_line(Workload::Get)).await
}

/// How the right answer begins.
fn start_line(workload: Workload) -> Vec<u8> {
    format!("HTTP/1.1 {} ", workload.status()).into_bytes()
}

async fn exchange(
    stream: &mut TcpStream,
    buffer: &mut Buffer,
    request: &[u8],
    expected: &[u8],
) -> Result<(), String> {
    stream.write_all(request).await.map_err(|e| format!("a request cannot be sent: {e}"))?;
    let end = buffer.head(stream).await?;
    let head = &buffer.filled()[..end];
    if !head.starts_with(expected) {
        let expected = String::from_utf8_lossy(expected);
        return Err(format!("not {expected}but {}", String::from_utf8_lossy(head)));
    }
    let length = content_length(head).ok_or("an answer without Content-Length")?;
    buffer.at_least(stream, end + length).await?;
    buffer.take(end + length);
    Ok(())
}

fn content_length(head: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"content-length:";
    let is_it = |line: &&[u8]| line.len() > NAME.len() && line[..NAME.len()].eq_ignore_ascii_case(NAME);
    let line = head.split(|&byte| byte == b'\n').find(is_it)?;
    std::str::from_utf8(&line[NAME.len()..]).ok()?.trim().parse().ok()
}

/// What was read and not yet used.
struct Buffer {
    bytes: Box<[u8]>,
    len: usize,
}

impl Buffer {
    fn new() -> Buffer {
        Buffer { bytes: vec![0; 8 * BODY].into(), len: 0 }
    }

    fn filled(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Reads a whole head and tells where it ends.
    async fn head(&mut self, stream: &mut TcpStream) -> Result<usize, String> {
        let mut seen = 0;
        loop {
            if let Some(at) = self.filled()[seen..].windows(4).position(|four| four == b"\r\n\r\n") {
                return Ok(seen + at + 4);
            }
            seen = self.len.saturating_sub(3);
            self.more(stream).await?;
        }
    }

    async fn at_least(&mut self, stream: &mut TcpStream, len: usize) -> Result<(), String> {
        while self.len < len {
            self.more(stream).await?;
        }
        Ok(())
    }

    async fn more(&mut self, stream: &mut TcpStream) -> Result<(), String> {
        let room = &mut self.bytes[self.len..];
        if room.is_empty() {
            return Err("an answer of more than 8 KiB".to_owned());
        }
        match stream.read(room).await {
            Ok(0) => Err("closed before the end of an answer".to_owned()),
            Ok(n) => {
                self.len += n;
                Ok(())
            }
            Err(e) => Err(format!("an answer cannot be read: {e}")),
        }
    }

    fn take(&mut self, n: usize) {
        self.bytes.copy_within(n..self.len, 0);
        self.len -= n;
    }
}

/// Ends with an error where the future takes longer than any working proxy would.
///
/// # Errors
/// The future's own, or that it was over time.
pub async fn watched<T>(work: impl Future<Output = Result<T, String>>, limit: Duration) -> Result<T, String> {
    tokio::time::timeout(limit.max(SILENCE), work)
        .await
        .unwrap_or_else(|_| Err(format!("nothing for {limit:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on_one_thread<T>(work: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, work)
    }

    fn plan(to: SocketAddr, connections: usize, users: usize) -> Plan {
        Plan { to, connections, users, workload: Workload::Get, pause: Duration::ZERO }
    }

    #[test]
    fn every_request_is_answered_once() {
        let answered = on_one_thread(async {
            let to = SocketAddr::from((Ipv4Addr::LOCALHOST, origin().await.unwrap()));
            Clients::start(plan(to, 5, 12), 7).finish().await
        });
        assert_eq!(answered, Ok(35));
    }

    #[test]
    fn the_origin_reads_a_body_before_it_answers() {
        let answered = on_one_thread(async {
            let to = SocketAddr::from((Ipv4Addr::LOCALHOST, origin().await.unwrap()));
            Clients::start(Plan { workload: Workload::Post, ..plan(to, 2, 2) }, 7).finish().await
        });
        assert_eq!(answered, Ok(14));
    }

    #[test]
    fn one_origin_answers_for_the_first_and_the_last_endpoint() {
        on_one_thread(async {
            let port = origin().await.unwrap();
            for endpoint in [0, fixture::LARGE.endpoints - 1] {
                probe((fixture::address(endpoint), port).into()).await.unwrap();
            }
        });
    }

    #[test]
    fn an_answer_that_is_no_success_ends_the_run() {
        let found = on_one_thread(async {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            let to = listener.local_addr().unwrap();
            tokio::task::spawn_local(async move {
                let (stream, _) = listener.accept().await.unwrap();
                answer_all(
                    stream,
                    b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"[..].into(),
                    Duration::ZERO,
                )
                .await;
            });
            Clients::start(plan(to, 1, 1), 1).finish().await
        });
        assert!(found.as_ref().is_err_and(|e| e.contains("503")), "{found:?}");
    }

    #[test]
    fn each_user_has_a_connection_and_each_connection_a_user() {
        let users = |connections, users: usize| {
            let plan = plan(([127, 0, 0, 1], 1).into(), connections, users);
            (0..connections).map(|c| plan.users_of(c).collect::<Vec<_>>()).collect::<Vec<_>>()
        };
        assert_eq!(users(2, 5), [vec![0, 2, 4], vec![1, 3]]);
        assert_eq!(users(3, 3), [[0], [1], [2]]);
        assert_eq!(users(3, 2), [[0], [1], [0]]);
    }
}
