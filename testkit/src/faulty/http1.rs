//! The HTTP/1.1 side, byte by byte.

use std::time::Duration;

use tokio::net::TcpStream;

use super::{Asked, DROP_EVERY, Fault, Shared, garbage};
use crate::raw::{End, Head, Raw};

/// More than any proxy takes for a head.
const LARGE_HEAD: usize = 1024 * 1024;
/// More than any proxy takes of them for one request.
const INTERIM_FLOOD: usize = 200;

/// Whether a connection goes on.
#[derive(PartialEq, Eq)]
enum Then {
    GoOn,
    Close,
    Reset,
}

/// Serves one connection.
pub(super) async fn serve(stream: TcpStream, shared: &Shared) {
    // Connections of a pool may be idle for as long as the pool likes.
    let mut raw = Raw::over(stream).with_patience(Duration::MAX);
    let mut doomed = false;
    while let Some(head) = raw.head().await {
        if doomed {
            return raw.reset();
        }
        let path = head.start.split(' ').nth(1).unwrap_or_default().to_owned();
        let asked = Asked::by(&path, |name| head.get(name));
        let fault = shared.fault(&asked, Fault::http1());
        doomed = fault == Fault::ResetOnReuse;
        match one(&mut raw, head, &asked, fault, shared).await {
            Then::GoOn => {}
            Then::Close => return,
            Then::Reset => return raw.reset(),
        }
    }
}

async fn one(raw: &mut Raw, head: Head, asked: &Asked, fault: Fault, shared: &Shared) -> Then {
    let answer = Answer { head: fields(shared, asked, fault), body: asked.body() };
    if head.get("upgrade").is_some() && matches!(fault, Fault::Right | Fault::BodyReset | Fault::BodyClose) {
        return tunnel(raw, fault).await;
    }
    if matches!(fault, Fault::EarlyAnswer | Fault::EarlyClose) {
        let sent = raw.send(answer.whole("")).await;
        if sent.is_err() || fault == Fault::EarlyClose {
            return Then::Close;
        }
    }
    let request = raw.body(head, true).await;
    if request.end != End::Whole {
        return Then::Close;
    }
    shared.check(asked, &request.body);
    if fault == Fault::EarlyAnswer {
        return Then::GoOn;
    }
    let sent = if asked.stream && fault == Fault::Right {
        raw.send(Answer { body: request.body, ..answer }.chunked(asked)).await.map(|()| Then::GoOn)
    } else {
        answer.send(raw, asked, fault).await
    };
    // The other end is gone: its right.
    sent.unwrap_or(Then::Close)
}

/// Bytes come back as they are, until the other side ends; or break off after the first ones.
async fn tunnel(raw: &mut Raw, fault: Fault) -> Then {
    let switch = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    if raw.send(switch).await.is_err() {
        return Then::Close;
    }
    loop {
        let bytes = raw.read_some().await;
        if bytes.is_empty() || raw.send(&bytes).await.is_err() || fault == Fault::BodyClose {
            return Then::Close;
        }
        if fault == Fault::BodyReset {
            return Then::Reset;
        }
    }
}

fn fields(shared: &Shared, asked: &Asked, fault: Fault) -> String {
    shared.fields(asked, fault).iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect()
}

struct Answer {
    /// Status line and framing aside.
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn bytes(&self, status: &str, framing: &str, body: &[u8]) -> Vec<u8> {
        let head = format!("HTTP/1.1 {status}\r\n{}{framing}\r\n", self.head);
        [head.as_bytes(), body].concat()
    }

    /// With its length, and more fields.
    fn whole(&self, more: &str) -> Vec<u8> {
        self.bytes("200 OK", &format!("{more}Content-Length: {}\r\n", self.body.len()), &self.body)
    }

    /// In chunks, with a trailer.
    fn chunked(&self, asked: &Asked) -> Vec<u8> {
        let mut body = Vec::with_capacity(self.body.len() + 64);
        for chunk in self.body.chunks(10_000) {
            body.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            body.extend_from_slice(chunk);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(format!("0\r\n{}: {:x}\r\n\r\n", super::ID, asked.id).as_bytes());
        self.bytes("200 OK", "Transfer-Encoding: chunked\r\n", &body)
    }

    /// Announced as so many bytes, whatever is sent.
    fn announced(&self, length: usize, body: &[u8]) -> Vec<u8> {
        self.bytes("200 OK", &format!("Content-Length: {length}\r\n"), body)
    }

    async fn send(&self, raw: &mut Raw, asked: &Asked, fault: Fault) -> std::io::Result<Then> {
        let (body, half) = (&self.body, &self.body[..self.body.len() / 2]);
        // What breaks off needs a byte that is missing.
        let length = body.len().max(1);
        let chunked = "Transfer-Encoding: chunked\r\n";
        match fault {
            Fault::Reset => return Ok(Then::Reset),
            Fault::Close => return Ok(Then::Close),
            Fault::Hang => {
                // Ends when the other side gives up; what it says meanwhile goes unanswered.
                while !raw.read_some().await.is_empty() {}
                return Ok(Then::Close);
            }
            Fault::Status => raw.send(self.bytes("503 Sick", "Content-Length: 0\r\n", b"")).await?,
            Fault::HeadReset => {
                let whole = self.whole("");
                raw.send(&whole[..self.head.len() / 2]).await?;
                return Ok(Then::Reset);
            }
            Fault::BodilessReset => {
                raw.send(self.announced(length, b"")).await?;
                return Ok(Then::Reset);
            }
            Fault::BodyReset => {
                raw.send(self.announced(length, half)).await?;
                return Ok(Then::Reset);
            }
            Fault::BodyClose => {
                raw.send(self.announced(length, half)).await?;
                return Ok(Then::Close);
            }
            Fault::LongLength => {
                raw.send(self.announced(length + 100, body)).await?;
                return Ok(Then::Close);
            }
            Fault::ShortLength => raw.send(self.announced(half.len(), body)).await?,
            Fault::BodyStall => {
                raw.send(self.announced(length, half)).await?;
                while !raw.read_some().await.is_empty() {}
                return Ok(Then::Close);
            }
            Fault::SlowHead => {
                let whole = self.whole("");
                let head = whole.len() - body.len();
                for byte in whole[..head].chunks(8) {
                    raw.send(byte).await?;
                    tokio::time::sleep(DROP_EVERY).await;
                }
                raw.send(body).await?;
            }
            Fault::SlowBody => {
                raw.send(self.announced(body.len(), b"")).await?;
                for drop in body.chunks(body.len().div_ceil(20).max(1)) {
                    tokio::time::sleep(DROP_EVERY).await;
                    raw.send(drop).await?;
                }
            }
            Fault::TwoLengths => {
                let lengths = format!("Content-Length: {length}\r\nContent-Length: {}\r\n", length + 1);
                raw.send(self.bytes("200 OK", &lengths, body)).await?;
            }
            Fault::LengthAndChunked => {
                let both = format!("Content-Length: {length}\r\n{chunked}");
                raw.send(self.bytes("200 OK", &both, b"0\r\n\r\n")).await?;
            }
            Fault::BadChunkSize | Fault::LongChunk => {
                let size = if fault == Fault::LongChunk { format!("{:x}", half.len()) } else { "zz".into() };
                let chunk = [size.as_bytes(), b"\r\n", body, b"\r\n0\r\n\r\n"].concat();
                raw.send(self.bytes("200 OK", chunked, &chunk)).await?;
            }
            Fault::BareLf => {
                let whole = String::from_utf8_lossy(&self.announced(0, b"")).replace("\r\n", "\n");
                raw.send(whole).await?;
            }
            Fault::Nul => raw.send(self.whole("X-Nul: a\0b\r\n")).await?,
            Fault::LargeHead => {
                let field = format!("X-Large: {}\r\n", "x".repeat(1_000));
                raw.send(self.whole(&field.repeat(LARGE_HEAD / field.len()))).await?;
            }
            Fault::Interims | Fault::InterimFlood => {
                let many = if fault == Fault::Interims { 3 } else { INTERIM_FLOOD };
                for _ in 0..many {
                    raw.send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n").await?;
                }
                raw.send(self.whole("")).await?;
            }
            Fault::Garbage => {
                raw.send(garbage(asked.id)).await?;
                return Ok(Then::Close);
            }
            Fault::SecondAnswer => {
                let other = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsmuggled";
                raw.send([&self.whole("")[..], other.as_bytes()].concat()).await?;
            }
            Fault::Unasked => {
                raw.send(self.whole("")).await?;
                tokio::time::sleep(DROP_EVERY).await;
                raw.send("HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n").await?;
            }
            // The rest is right over HTTP/1.1. In each of the ways in which a body can be framed.
            _ if asked.last => {
                raw.send(self.whole("Connection: close\r\n")).await?;
                return Ok(Then::Close);
            }
            _ => match asked.id % 16 {
                0 => {
                    raw.send(self.bytes("200 OK", "Connection: close\r\n", body)).await?;
                    return Ok(Then::Close);
                }
                1..=5 => raw.send(self.chunked(asked)).await?,
                _ => raw.send(self.whole("")).await?,
            },
        }
        Ok(Then::GoOn)
    }
}
