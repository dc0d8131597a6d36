//! The origin's HTTP/1.1.

use std::time::Duration;

use super::script::{Script, Step, answer};
use super::{Door, Origin, Visit, websocket};
use crate::wire::h1::{End, Message};
use crate::wire::{Conn, Read};

/// Longer than any check.
const PATIENCE: Duration = Duration::from_secs(30);

pub async fn serve(origin: &Origin, door: Door, connection: u64, mut conn: Conn) {
    while let Ok(head) = conn.head(PATIENCE).await {
        let (visit, script) = origin.begin(door, connection, head.clone());
        let script = script.unwrap_or_else(|| usual(&head, &visit));
        let goes_on = play(origin, &visit, script, head, &mut conn).await;
        origin.end(&visit);
        if !goes_on {
            return;
        }
    }
}

/// `ok TOKEN`.
fn usual(head: &Message, visit: &Visit) -> Script {
    let body = format!("ok {}", visit.token);
    let length = body.len();
    let body = if head.start.starts_with("HEAD ") { "" } else { body.as_str() };
    answer(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}"))
}

/// Whether the connection goes on.
async fn play(origin: &Origin, visit: &Visit, script: Script, head: Message, conn: &mut Conn) -> bool {
    let mut message = head;
    for step in script {
        match step {
            Step::Body => body(origin, visit, &mut message, conn).await,
            Step::Send(bytes) => {
                if conn.send(bytes).await.is_err() {
                    return false;
                }
            }
            Step::Switch => {
                let key = message.joined("sec-websocket-key").unwrap_or_default();
                let accept = websocket::accept(&key);
                let head = format!(
                    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                     Sec-WebSocket-Accept: {accept}\r\n\r\n"
                );
                conn.offer(head).await;
            }
            Step::Frames(_) => return false,
            Step::Pause(time) => tokio::time::sleep(time).await,
            Step::Close => {
                conn.finish().await;
                conn.ends_within(Duration::from_secs(2)).await;
                return false;
            }
            Step::Reset => {
                conn.reset_at_end();
                return false;
            }
            Step::Hang => {
                conn.ends_within(PATIENCE).await;
                return false;
            }
            Step::Echo => {
                echo(conn).await;
                return false;
            }
        }
    }
    if message.end == End::Open {
        body(origin, visit, &mut message, conn).await;
    }
    message.end == End::Whole
}

async fn body(origin: &Origin, visit: &Visit, message: &mut Message, conn: &mut Conn) {
    if message.end != End::Open {
        return;
    }
    conn.request_body(message, PATIENCE).await;
    origin.edit(visit, |seen| *seen = message.clone());
}

async fn echo(conn: &mut Conn) {
    loop {
        let bytes = std::mem::take(&mut conn.unread);
        if !bytes.is_empty() && conn.send(bytes).await.is_err() {
            return;
        }
        match conn.more(PATIENCE).await {
            Read::Some => {}
            Read::End => return conn.finish().await,
            _ => return,
        }
    }
}
