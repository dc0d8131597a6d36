//! The origin's HTTP/2, without TLS.

use std::collections::HashMap;
use std::time::Duration;

use super::script::{Script, Step, THIS, frames};
use super::{Door, Origin, Visit};
use crate::wire::h1::{End, Message};
use crate::wire::h2::frame::PREFACE;
use crate::wire::h2::hpack::{self, Decoder};
use crate::wire::h2::{Frame, flag, kind};
use crate::wire::{Conn, Read};

/// Longer than any check.
const PATIENCE: Duration = Duration::from_secs(30);

struct Stream {
    visit: Visit,
    message: Message,
    script: Option<Script>,
}

pub async fn serve(origin: &Origin, connection: u64, mut conn: Conn) {
    while conn.unread.len() < PREFACE.len() {
        if conn.more(PATIENCE).await != Read::Some {
            return;
        }
    }
    conn.unread.drain(..PREFACE.len());
    conn.offer(Frame::settings(&[]).bytes()).await;
    let mut decoder = Decoder::default();
    let mut block = Vec::new();
    let mut streams = HashMap::new();
    loop {
        let Some(frame) = Frame::take(&mut conn.unread) else {
            match conn.more(PATIENCE).await {
                Read::Some => continue,
                _ => break,
            }
        };
        let ack = frame.flags & flag::ACK != 0;
        match frame.kind {
            kind::SETTINGS if !ack => conn.offer(Frame::new(kind::SETTINGS, flag::ACK, 0, []).bytes()).await,
            kind::PING if !ack => {
                conn.offer(Frame::new(kind::PING, flag::ACK, 0, frame.payload.clone()).bytes()).await;
            }
            kind::HEADERS | kind::CONTINUATION => {
                block.extend_from_slice(frame.content().unwrap_or_default());
                if frame.flags & flag::END_HEADERS != 0 {
                    let fields = decoder.decode(&std::mem::take(&mut block)).unwrap_or_default();
                    head(origin, connection, &mut streams, frame.stream, fields);
                }
            }
            kind::DATA => {
                let content = frame.content().unwrap_or_default();
                if let Some(stream) = streams.get_mut(&frame.stream) {
                    stream.message.body.extend_from_slice(content);
                }
                if !frame.payload.is_empty() {
                    let more = frame.payload.len() as u32;
                    conn.offer(Frame::window(0, more).bytes()).await;
                    conn.offer(Frame::window(frame.stream, more).bytes()).await;
                }
            }
            kind::RST_STREAM => {
                if let Some(stream) = streams.remove(&frame.stream) {
                    origin.end(&stream.visit);
                }
            }
            kind::GOAWAY => break,
            _ => {}
        }
        let ends = matches!(frame.kind, kind::DATA | kind::HEADERS) && frame.flags & flag::END_STREAM != 0;
        if ends && let Some(mut stream) = streams.remove(&frame.stream) {
            stream.message.end = End::Whole;
            origin.edit(&stream.visit, |seen| *seen = stream.message.clone());
            let goes_on = play(stream.script, &stream.visit, frame.stream, &mut conn).await;
            origin.end(&stream.visit);
            if !goes_on {
                return;
            }
        }
    }
    for stream in streams.into_values() {
        origin.end(&stream.visit);
    }
}

fn head(
    origin: &Origin,
    connection: u64,
    streams: &mut HashMap<u32, Stream>,
    id: u32,
    fields: Vec<hpack::Field>,
) {
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let fields: Vec<(String, String)> = fields.into_iter().map(|(n, v)| (text(n), text(v))).collect();
    if let Some(stream) = streams.get_mut(&id) {
        stream.message.trailers = fields;
        return;
    }
    let message = Message { fields, ..Message::default() };
    let (visit, script) = origin.begin(Door::H2, connection, message.clone());
    streams.insert(id, Stream { visit, message, script });
}

async fn play(script: Option<Script>, visit: &Visit, id: u32, conn: &mut Conn) -> bool {
    for step in script.unwrap_or_else(|| usual(visit)) {
        match step {
            Step::Body | Step::Echo | Step::Switch => {}
            Step::Send(bytes) => conn.offer(bytes).await,
            Step::Frames(frames) => {
                for mut frame in frames {
                    if frame.stream == THIS {
                        frame.stream = id;
                    }
                    conn.offer(frame.bytes()).await;
                }
            }
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
            // Other streams of the connection go on.
            Step::Hang => return true,
        }
    }
    true
}

fn usual(visit: &Visit) -> Script {
    let head = hpack::block(&[(":status", "200")]);
    frames([
        Frame::new(kind::HEADERS, flag::END_HEADERS, THIS, head),
        Frame::data(THIS, true, format!("ok {}", visit.token)),
    ])
}
