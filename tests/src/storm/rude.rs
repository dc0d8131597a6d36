//! Clients that do not: they leave in the middle, read or send slowly, switch protocols, or speak none. Byte by byte.

use std::time::Duration;

use causeway_testkit::faulty::{BYTES, ID, pattern};
use causeway_testkit::raw::{End, Head, Message, Raw};

use super::clients::User;
use super::{Fate, Got, Wanted, judge};

/// Longer than a segment takes, much shorter than any deadline.
const MOMENT: Duration = Duration::from_millis(5);

impl User {
    pub async fn rude(&mut self, act: &'static str) {
        let raw = Raw::connect(self.target.http).await;
        let (fate, bytes) = match act {
            "leave" => (self.leave(raw).await, 0),
            "slow-reader" => self.read_slowly(raw).await,
            "slow-sender" => self.send_slowly(raw).await,
            "tunnel" => self.tunnel(raw).await,
            _ => (self.talk_nonsense(raw).await, 0),
        };
        self.books.note(act, &fate, bytes);
    }

    fn head(&mut self, wanted: &Wanted, more: &str) -> String {
        let method = if wanted.upload > 0 { "POST" } else { "GET" };
        let length = match wanted.upload {
            0 => String::new(),
            upload => format!("Content-Length: {upload}\r\n"),
        };
        let (user, Wanted { id, bytes, .. }) = (self.name(), wanted);
        format!(
            "{method} / HTTP/1.1\r\nHost: a\r\nx-user-id: {user}\r\n{ID}: {id:x}\r\n{BYTES}: {bytes}\r\n{length}{more}\r\n"
        )
    }

    /// Goes away at some point of an exchange, by a reset or by a close with bytes unread.
    async fn leave(&mut self, mut raw: Raw) -> Fate {
        let upload = 100_000;
        let wanted = Wanted { bytes: self.crowd.big, upload, ..self.small() };
        let bytes = [self.head(&wanted, "").as_bytes(), &pattern::upload(wanted.id, upload)].concat();
        let sent = match self.chance.below(3) {
            // Within the head, within the body, or with all of it.
            0 => self.chance.below(200) as usize,
            1 => self.chance.below(bytes.len() as u64) as usize,
            _ => bytes.len(),
        };
        // An early answer may have ended the connection.
        let _ = raw.send(&bytes[..sent]).await;
        if sent == bytes.len() && self.chance.one_in(2) {
            raw.read_some().await;
        } else {
            tokio::time::sleep(MOMENT).await;
        }
        if self.chance.one_in(2) {
            raw.reset();
        }
        Fate::Left
    }

    /// Asks for much, and takes it late.
    async fn read_slowly(&mut self, mut raw: Raw) -> (Fate, usize) {
        let wanted = Wanted { bytes: self.crowd.big, ..self.small() };
        let head = self.head(&wanted, "");
        let _ = raw.send(head).await;
        tokio::time::sleep(100 * MOMENT).await;
        answer(&mut raw, &wanted).await
    }

    /// Sends head and body in drops.
    async fn send_slowly(&mut self, mut raw: Raw) -> (Fate, usize) {
        let wanted = Wanted { upload: 5_000, ..self.small() };
        let bytes = [self.head(&wanted, "").as_bytes(), &pattern::upload(wanted.id, wanted.upload)].concat();
        for drop in bytes.chunks(bytes.len() / 40) {
            if raw.send(drop).await.is_err() {
                break;
            }
            tokio::time::sleep(MOMENT).await;
        }
        answer(&mut raw, &wanted).await
    }

    /// Upgrades and talks; to an HTTP/2 upstream the request goes without the upgrade, and is answered as any other.
    async fn tunnel(&mut self, mut raw: Raw) -> (Fate, usize) {
        let wanted = self.small();
        let more = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n";
        let head = self.head(&wanted, more);
        let _ = raw.send(head).await;
        let Some(head) = final_head(&mut raw).await else { return (Fate::Lost, 0) };
        if head.status() != 101 {
            let message = raw.body(head, false).await;
            return judged(&wanted, &message);
        }
        let mut came = 0;
        for round in 0..5 {
            let sent = pattern::upload(wanted.id.wrapping_add(1_000 * round), 700);
            let _ = raw.send(&sent).await;
            let mut back = Vec::new();
            while back.len() < sent.len() {
                match raw.read_some().await {
                    bytes if bytes.is_empty() => return (Fate::Cut, came),
                    bytes => back.extend_from_slice(&bytes),
                }
            }
            if back != sent {
                return (Fate::Wrong(format!("tunnel {:x}, round {round}: other bytes", wanted.id)), came);
            }
            came += back.len();
        }
        if self.chance.one_in(3) {
            raw.reset();
            return (Fate::Left, came);
        }
        raw.finish().await;
        let more = raw.read_to_end().await;
        let fate =
            if more.is_empty() { Fate::Right } else { Fate::Wrong("a tunnel's late bytes".to_owned()) };
        (fate, came)
    }

    /// Everything but HTTP. It must be answered by an error, or by the end of the connection; and soon.
    async fn talk_nonsense(&mut self, mut raw: Raw) -> Fate {
        let noise = pattern::body(self.chance.any(), 3_000);
        let kind = self.chance.below(6);
        let bytes = match kind {
            0 => noise,
            1 => [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), noise].concat(),
            2 => format!("GET / HTTP/1.1\r\nHost: a\r\nx-large: {}", "x".repeat(100_000)).into_bytes(),
            3 => b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc"
                .to_vec(),
            4 => b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".to_vec(),
            _ => {
                // A head that never ends: its deadline has to.
                let _ = raw.send("GET / HTTP/1.1\r\n").await;
                b"Host: a\r\n".to_vec()
            }
        };
        // It may be refused before all of it has been sent.
        let _ = raw.send(bytes).await;
        let answer = raw.read_to_end().await;
        // Of a body that is none the origin may not have read anything yet when it answers.
        let early = kind == 4 && answer.starts_with(b"HTTP/1.1 200");
        let refused = early || answer.starts_with(b"HTTP/1.1 4") || answer.starts_with(b"HTTP/1.1 5");
        // HTTP/2 begins with SETTINGS, in either direction.
        let http2 = answer.get(3) == Some(&4);
        match answer.is_empty() || refused || http2 {
            true => Fate::Left,
            false => Fate::Wrong(format!("nonsense was answered {:?}", String::from_utf8_lossy(&answer))),
        }
    }
}

/// The head behind all hints.
async fn final_head(raw: &mut Raw) -> Option<Head> {
    loop {
        let head = raw.head().await?;
        if head.status() == 101 || head.status() >= 200 {
            return Some(head);
        }
    }
}

async fn answer(raw: &mut Raw, wanted: &Wanted) -> (Fate, usize) {
    let Some(head) = final_head(raw).await else { return (Fate::Lost, 0) };
    let message = raw.body(head, false).await;
    judged(wanted, &message)
}

fn judged(wanted: &Wanted, message: &Message) -> (Fate, usize) {
    let got = Got { status: message.status(), body: &message.body, whole: message.end != End::Cut };
    (judge(wanted, &got, |name| message.head.get(name)), message.body.len())
}
