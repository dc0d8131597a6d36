//! The HTTP/2 side: `h2` for what it can be brought to do, a second handle on its socket for the rest.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;

use super::{Asked, DROP_EVERY, Fault, Shared, garbage};

/// What one stream's window holds: less than the larger uploads of the tests, so that they wait for it.
const WINDOW: u32 = 64 * 1024;
/// More than any proxy takes for a head.
const LARGE_HEAD: usize = 256 * 1024;
/// More than any proxy takes of them for one request.
const INTERIM_FLOOD: usize = 100;

/// What a stream has done to its whole connection.
enum Order {
    GoAway,
    Abort,
    Reset,
    /// These bytes, past `h2`.
    Raw(Vec<u8>),
}

/// Serves one connection.
pub(super) async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let _ = stream.set_nodelay(true);
    let Ok(stream) = stream.into_std() else { return };
    let Ok(mut second) = stream.try_clone() else { return };
    let Ok(stream) = TcpStream::from_std(stream) else { return };
    let mut builder = h2::server::Builder::new();
    let builder = builder.initial_window_size(WINDOW).initial_connection_window_size(64 * WINDOW);
    let Ok(mut connection) = builder.handshake::<_, Bytes>(stream).await else { return };
    let (order, mut orders) = unbounded_channel();
    let mut streams = JoinSet::new();
    loop {
        tokio::select! {
            accepted = connection.accept() => match accepted {
                Some(Ok((request, respond))) => {
                    streams.spawn(one(request, respond, shared.clone(), order.clone()));
                }
                _ => return,
            },
            Some(ended) = streams.join_next() => shared.note(&ended),
            Some(order) = orders.recv() => match order {
                Order::GoAway => connection.graceful_shutdown(),
                Order::Abort => connection.abrupt_shutdown(Reason::INTERNAL_ERROR),
                Order::Reset => {
                    // Fails only on a socket that is gone.
                    let _ = rustix::net::sockopt::set_socket_linger(&second, Some(Duration::ZERO));
                    return;
                }
                Order::Raw(bytes) => {
                    let _ = second.write_all(&bytes);
                    return;
                }
            },
        }
    }
}

async fn one(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    shared: Arc<Shared>,
    order: UnboundedSender<Order>,
) {
    let (head, mut body) = request.into_parts();
    let field = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
    let asked = Asked::by(head.uri.path(), field);
    let fault = shared.fault(&asked, Fault::http2());
    let mut answer = Response::new(());
    for (name, value) in shared.fields(&asked, fault) {
        let value = HeaderValue::try_from(value).expect("visible ASCII");
        answer.headers_mut().insert(HeaderName::from_static(name), value);
    }
    // A stream that the other side has given up takes nothing more: its right, and nothing to say about it.
    let _ = match fault {
        Fault::EarlyAnswer => send(&mut respond, answer, &asked.body()).await,
        Fault::UploadStall if !body.is_end_stream() => gone(&mut respond).await,
        Fault::Right if asked.stream => echo(&mut respond, answer, body, &asked).await,
        _ => match read(&mut body).await {
            Ok(uploaded) => {
                shared.check(&asked, &uploaded);
                spoil(&mut respond, answer, &asked, fault, &order).await
            }
            Err(error) => Err(error),
        },
    };
}

async fn spoil(
    respond: &mut SendResponse<Bytes>,
    mut answer: Response<()>,
    asked: &Asked,
    fault: Fault,
    order: &UnboundedSender<Order>,
) -> Result<(), h2::Error> {
    let body = asked.body();
    let half = &body[..body.len() / 2];
    match fault {
        Fault::Status => {
            *answer.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
            respond.send_response(answer, true)?;
        }
        Fault::Reset => respond.send_reset(Reason::INTERNAL_ERROR),
        Fault::Refused => respond.send_reset(Reason::REFUSED_STREAM),
        Fault::Close => end(order, Order::Reset).await,
        Fault::Garbage => end(order, Order::Raw(garbage(asked.id))).await,
        Fault::GoAwayBelow => end(order, Order::Raw(GOAWAY_BELOW.to_vec())).await,
        Fault::Hang => gone(respond).await?,
        Fault::BodilessReset => {
            let mut stream = respond.send_response(answer, false)?;
            // The head leaves with the connection's next turn; a reset at once would take it back.
            tokio::time::sleep(DROP_EVERY).await;
            stream.send_reset(Reason::INTERNAL_ERROR);
        }
        Fault::BodyReset | Fault::BodyStall | Fault::BodyClose => {
            let mut stream = respond.send_response(answer, false)?;
            data(&mut stream, half, false).await?;
            tokio::time::sleep(DROP_EVERY).await;
            match fault {
                Fault::BodyReset => stream.send_reset(Reason::INTERNAL_ERROR),
                Fault::BodyClose => end(order, Order::Abort).await,
                _ => {
                    std::future::poll_fn(|cx| stream.poll_reset(cx)).await?;
                }
            }
        }
        Fault::SlowBody => {
            let mut stream = respond.send_response(answer, false)?;
            for drop in body.chunks(body.len().div_ceil(20).max(1)) {
                tokio::time::sleep(DROP_EVERY).await;
                data(&mut stream, drop, false).await?;
            }
            stream.send_data(Bytes::new(), true)?;
        }
        Fault::GoAway => {
            let mut stream = respond.send_response(answer, false)?;
            data(&mut stream, half, false).await?;
            // Nobody to hear it: the connection is over, and the stream with it.
            drop(order.send(Order::GoAway));
            data(&mut stream, &body[half.len()..], true).await?;
        }
        Fault::LongLength | Fault::ShortLength => {
            let length = if fault == Fault::LongLength { body.len() + 100 } else { half.len() };
            answer.headers_mut().insert(http::header::CONTENT_LENGTH, length.into());
            send(respond, answer, &body).await?;
        }
        Fault::LargeHead => {
            let value = HeaderValue::try_from("x".repeat(1_000)).expect("visible ASCII");
            for _ in 0..LARGE_HEAD / 1_000 {
                answer.headers_mut().append("x-large", value.clone());
            }
            send(respond, answer, &body).await?;
        }
        Fault::Interims | Fault::InterimFlood => {
            let many = if fault == Fault::Interims { 3 } else { INTERIM_FLOOD };
            for _ in 0..many {
                let mut hint = Response::new(());
                *hint.status_mut() = http::StatusCode::EARLY_HINTS;
                hint.headers_mut().insert("link", HeaderValue::from_static("</a.css>; rel=preload"));
                respond.send_informational(hint)?;
                tokio::task::yield_now().await;
            }
            send(respond, answer, &body).await?;
        }
        _ => send(respond, answer, &body).await?,
    }
    Ok(())
}

/// GOAWAY, last stream 0, NO_ERROR (RFC 9113, 6.8): no stream was processed.
const GOAWAY_BELOW: &[u8] = b"\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\0";

/// Ends the connection, and this task with it. The stream is held until then: one that is let go of unanswered is
/// reset by `h2`, and its RST_STREAM could come before what the connection is to end with.
async fn end(order: &UnboundedSender<Order>, how: Order) {
    // Nobody to hear it: the connection is over already.
    drop(order.send(how));
    std::future::pending().await
}

/// Waits until the other side gives the stream up.
async fn gone(respond: &mut SendResponse<Bytes>) -> Result<(), h2::Error> {
    std::future::poll_fn(|cx| respond.poll_reset(cx)).await.map(drop)
}

async fn read(body: &mut RecvStream) -> Result<Vec<u8>, h2::Error> {
    let mut all = Vec::new();
    while let Some(bytes) = body.data().await.transpose()? {
        body.flow_control().release_capacity(bytes.len())?;
        all.extend_from_slice(&bytes);
    }
    Ok(all)
}

async fn send(respond: &mut SendResponse<Bytes>, answer: Response<()>, body: &[u8]) -> Result<(), h2::Error> {
    let mut stream = respond.send_response(answer, false)?;
    data(&mut stream, body, true).await
}

/// Sends all of it, as the window allows.
async fn data(stream: &mut SendStream<Bytes>, mut body: &[u8], end: bool) -> Result<(), h2::Error> {
    while !body.is_empty() {
        stream.reserve_capacity(body.len());
        let room = match std::future::poll_fn(|cx| stream.poll_capacity(cx)).await {
            Some(room) => room?.min(body.len()),
            None => return Ok(()),
        };
        let (now, later) = body.split_at(room);
        body = later;
        stream.send_data(Bytes::copy_from_slice(now), end && body.is_empty())?;
        if body.is_empty() {
            return Ok(());
        }
    }
    if end { stream.send_data(Bytes::new(), true) } else { Ok(()) }
}

async fn echo(
    respond: &mut SendResponse<Bytes>,
    answer: Response<()>,
    mut body: RecvStream,
    asked: &Asked,
) -> Result<(), h2::Error> {
    let mut stream = respond.send_response(answer, false)?;
    while let Some(bytes) = body.data().await.transpose()? {
        body.flow_control().release_capacity(bytes.len())?;
        data(&mut stream, &bytes, false).await?;
    }
    let mut trailers = HeaderMap::new();
    let id = HeaderValue::try_from(format!("{:x}", asked.id)).expect("visible ASCII");
    trailers.insert(HeaderName::from_static(super::ID), id);
    stream.send_trailers(trailers)
}
