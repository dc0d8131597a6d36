//! The answer on its way to the client, while the rest of the request may still go up.

use std::task::{Context, Poll, ready};

use causeway_proxy_http1::{Name, Value};
use causeway_proxy_policy::grpc::of_http;
use causeway_proxy_policy::pace::Pace;

use super::attempt::{Attempts, Won};
use super::body::{RequestBody, SendError};
use super::error::ErrorKind;
use super::record::{self, Story};
use super::send::sooner;
use super::{grpc, respond};
use crate::http::exchange::{Down, Fill, Response, Up};

const SET_COOKIE: Name = Name::new("Set-Cookie: ");

/// Sends the head, then the body, then gives the connection back.
#[inline]
pub fn relay(
    attempts: &Attempts<'_, '_>,
    down: &mut Down<'_>,
    body: &mut RequestBody,
    won: Won<'_>,
    set_cookie: Option<Value<'_>>,
    story: &mut Story<'_>,
) -> impl Future<Output = Result<(), ErrorKind>> {
    let worker = attempts.worker;
    let Won { mut up, lane, endpoint, response, grpc: first_code, permit } = won;
    let cookie = set_cookie.map(|line| (SET_COOKIE, line));
    async move {
        story.status = response.status;
        if down.respond(&response, Response { extra: cookie.as_slice(), close: false }).is_err() {
            return Err(ErrorKind::ClientGone);
        }
        let tunnel = response.tunnel;
        worker.give_response_head(response);
        let ended = if tunnel {
            tunnel_bytes(attempts, down, &mut up, story).await
        } else {
            relay_body(attempts, down, body, &mut up, story).await
        };
        story.bytes_in = body.taken;
        drop(permit);
        match ended {
            Ok(()) => {
                if attempts.grpc.is_some() {
                    let code = first_code.or_else(|| grpc::trailing_code(&up));
                    story.grpc = Some(code.unwrap_or(of_http(story.status)));
                    if let (None, Some(code)) = (first_code, code) {
                        record::failed_late(attempts, lane, endpoint, code, story.started);
                    }
                }
                if let Up::H1(conn) = up {
                    worker.pools.give(lane, endpoint, conn, worker.now());
                }
            }
            Err(error) => {
                if error == ErrorKind::ResponseCut {
                    record::cut(attempts, lane, endpoint, story.started);
                    if !tunnel && down.take_back() {
                        story.bytes_out = 0;
                        return Err(error);
                    }
                }
                // The head is out: an error can only be shown by not ending the response, or in gRPC's own way.
                let said = matches!(error, ErrorKind::Deadline | ErrorKind::ResponseCut)
                    && attempts.grpc.is_some()
                    && grpc::end_with(down, error);
                if !said {
                    down.abort();
                }
                story.error = Some(error);
                story.grpc = story.grpc.map(|_| of_http(respond::answer(error).status));
            }
        }
        Ok(())
    }
}

#[inline]
fn relay_body(
    attempts: &Attempts<'_, '_>,
    down: &mut Down<'_>,
    body: &mut RequestBody,
    up: &mut Up,
    story: &mut Story<'_>,
) -> impl Future<Output = Result<(), ErrorKind>> {
    let (worker, timer, limits) = (attempts.worker, &*attempts.timer, attempts.limits);
    let ends = sooner(limits.stream_max.map(|max| worker.now() + max), attempts.ends(None));
    let mut pace = Pace::default();
    let mut uploading = !body.was_sent();
    let mut pausing = false;
    std::future::poll_fn(move |cx| {
        let before = story.bytes_out;
        if uploading {
            match body.poll_send(cx, down, up) {
                Poll::Pending => {}
                Poll::Ready(Err(SendError::Client(error))) => return Poll::Ready(Err(error)),
                // Sent, or the upstream has its answer out and wants no more.
                Poll::Ready(_) => uploading = false,
            }
        }
        match poll_download(cx, up, down, &mut story.bytes_out) {
            Poll::Ready(ended) => return Poll::Ready(ended),
            Poll::Pending => {}
        }
        // A stream may say nothing for long: nobody must be kept busy for a client that has left.
        if !uploading && down.poll_gone(cx).is_ready() {
            return Poll::Ready(Err(ErrorKind::ClientGone));
        }
        if !pausing || story.bytes_out != before || body.take_progress() {
            pausing = true;
            let idle = worker.now() + attempts.body_idle();
            timer.set(sooner(Some(idle), ends));
        }
        // Whose silence it was decides who is blamed for it.
        let client_waits =
            !up.chunk().is_empty() || down.has_output() || (uploading && body.waits_for_client());
        let moved = story.bytes_out + body.taken;
        if attempts.floor().is_some_and(|floor| !pace.keeps(floor, worker.now(), moved, client_waits)) {
            return Poll::Ready(Err(ErrorKind::ClientTimeout));
        }
        timer.poll_fired(cx).map(|_| match ends {
            Some(ends) if worker.now() >= ends => Err(ErrorKind::Deadline),
            _ if client_waits => Err(ErrorKind::ClientTimeout),
            _ => Err(ErrorKind::ResponseCut),
        })
    })
}

/// Moves the response body; ready once the client has all of it.
fn poll_download(
    cx: &mut Context<'_>,
    up: &mut Up,
    down: &mut Down<'_>,
    moved: &mut u64,
) -> Poll<Result<(), ErrorKind>> {
    let gone = |_| ErrorKind::ClientGone;
    loop {
        match up.poll_fill(cx) {
            Poll::Ready(Ok(Fill::Data)) => {
                let n = ready!(down.poll_write(cx, up.chunk())).map_err(gone)?;
                up.consume(n);
                *moved += n as u64;
            }
            Poll::Ready(Ok(Fill::End)) => {
                down.finish(up.trailers()).map_err(gone)?;
                return down.poll_flush(cx).map_err(gone);
            }
            Poll::Ready(Err(_)) => return Poll::Ready(Err(ErrorKind::ResponseCut)),
            Poll::Pending => {
                ready!(down.poll_flush(cx)).map_err(gone)?;
                return Poll::Pending;
            }
        }
    }
}

/// Both directions as plain bytes, after a 101 or a 2xx to an extended CONNECT. An end in one direction is passed
/// on; the tunnel is over when both have ended, or nothing moved for the idle time.
async fn tunnel_bytes(
    attempts: &Attempts<'_, '_>,
    down: &mut Down<'_>,
    up: &mut Up,
    story: &mut Story<'_>,
) -> Result<(), ErrorKind> {
    let (worker, timer) = (attempts.worker, &*attempts.timer);
    down.start_tunnel();
    up.start_tunnel();
    let idle = attempts.limits.upgrade_idle;
    timer.set(Some(worker.now() + idle));
    let (mut up_open, mut down_open) = (true, true);
    std::future::poll_fn(|cx| {
        let mut moved = 0u64;
        while up_open {
            match down.poll_fill(cx) {
                Poll::Ready(Ok(Fill::Data)) => match up.poll_write(cx, down.chunk()) {
                    Poll::Ready(Ok(n)) => {
                        down.consume(n);
                        moved += n as u64;
                    }
                    Poll::Ready(Err(_)) => return Poll::Ready(Err(ErrorKind::ResponseCut)),
                    Poll::Pending => break,
                },
                Poll::Ready(Ok(Fill::End)) => match up.poll_close(cx) {
                    Poll::Ready(_) => up_open = false,
                    Poll::Pending => break,
                },
                Poll::Ready(Err(_)) => return Poll::Ready(Err(ErrorKind::ClientGone)),
                Poll::Pending => {
                    if let Poll::Ready(Err(_)) = up.poll_flush(cx) {
                        return Poll::Ready(Err(ErrorKind::ResponseCut));
                    }
                    break;
                }
            }
        }
        while down_open {
            match up.poll_fill(cx) {
                Poll::Ready(Ok(Fill::Data)) => match down.poll_write(cx, up.chunk()) {
                    Poll::Ready(Ok(n)) => {
                        up.consume(n);
                        moved += n as u64;
                        story.bytes_out += n as u64;
                    }
                    Poll::Ready(Err(_)) => return Poll::Ready(Err(ErrorKind::ClientGone)),
                    Poll::Pending => break,
                },
                Poll::Ready(Ok(Fill::End)) => match down.poll_close(cx) {
                    Poll::Ready(_) => down_open = false,
                    Poll::Pending => break,
                },
                Poll::Ready(Err(_)) => return Poll::Ready(Err(ErrorKind::ResponseCut)),
                Poll::Pending => {
                    if let Poll::Ready(Err(_)) = down.poll_flush(cx) {
                        return Poll::Ready(Err(ErrorKind::ClientGone));
                    }
                    break;
                }
            }
        }
        if !up_open && !down_open {
            return Poll::Ready(Ok(()));
        }
        if moved > 0 {
            timer.set(Some(worker.now() + idle));
        }
        timer.poll_fired(cx).map(|_| Err(ErrorKind::ResponseCut))
    })
    .await
}
