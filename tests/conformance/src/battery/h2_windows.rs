//! Flow control (RFC 9113 sections 5.2 and 6.9), and the sizes that a client sets.

use std::time::Duration;

use crate::check::Check;
use crate::code;
use crate::ensure;

use crate::origin::script::{Step, answer};
use crate::wire::conn::PATIENCE;

use crate::wire::h2::kind::WINDOW_UPDATE;
use crate::wire::h2::{Frame, setting};

pub const CHECKS: &[Check] = &[
    code!(
        "h2-streams/frame-size-kept",
        "RFC 9113 4.2",
        "no frame is larger than the client allows",
        |case| {
            case.script(vec![answer(long_answer(200_000))]);
            let mut h2 = case.h2().await?;
            let stream = h2.request(&case.get("/@T"), true).await?;
            while !h2.answers.get(&stream).is_some_and(|answer| answer.is_over()) {
                let frame = h2.step(PATIENCE).await.ok_or("no more frames")?;
                ensure!(frame.payload.len() <= 16_384, "a frame of {}", frame.payload.len());
            }
            ensure!(h2.answers[&stream].body.len() == 200_000, "cut");
            Ok(())
        }
    ),
    code!("h2-streams/window-kept", "RFC 9113 6.9.1", "no more is sent than the window lets", |case| {
        case.script(vec![answer(long_answer(200_000))]);
        let mut h2 = case.h2_with(&[(setting::INITIAL_WINDOW_SIZE, 10)]).await?;
        h2.refill = false;
        let stream = h2.request(&case.get("/@T"), true).await?;
        h2.until(Duration::from_millis(700), |_| false).await;
        let got = h2.answers.get(&stream).map_or(0, |answer| answer.body.len());
        ensure!(got <= 10, "{got} octets by a window of 10");
        h2.send(&Frame::window(stream, 90)).await?;
        h2.until(PATIENCE, |h2| h2.answers.get(&stream).is_some_and(|answer| answer.body.len() >= 100)).await;
        let got = h2.answers.get(&stream).map_or(0, |answer| answer.body.len());
        ensure!(got == 100, "{got} octets by a window of 100");
        Ok(())
    }),
    code!("h2-streams/connection-window-kept", "RFC 9113 6.9.1", "nor than the connection's lets", |case| {
        case.script(vec![answer(long_answer(200_000))]);
        let mut h2 = case.h2_with(&[(setting::INITIAL_WINDOW_SIZE, 1_000_000)]).await?;
        h2.refill = false;
        let stream = h2.request(&case.get("/@T"), true).await?;
        h2.until(Duration::from_millis(700), |_| false).await;
        let got = h2.answers.get(&stream).map_or(0, |answer| answer.body.len());
        ensure!(got <= 65_535, "{got} octets by a window of 65,535");
        Ok(())
    }),
    code!(
        "h2-streams/window-by-settings",
        "RFC 9113 6.9.2",
        "a change of the first window changes the streams' own",
        |case| {
            case.script(vec![answer(long_answer(1_000))]);
            let mut h2 = case.h2_with(&[(setting::INITIAL_WINDOW_SIZE, 0)]).await?;
            h2.refill = false;
            let stream = h2.request(&case.get("/@T"), true).await?;
            h2.until(PATIENCE, |h2| h2.answers.get(&stream).is_some_and(|answer| answer.status != 0)).await;
            h2.send(&Frame::settings(&[(setting::INITIAL_WINDOW_SIZE, 5_000)])).await?;
            let answer = h2.answer(stream).await;
            ensure!(answer.body.len() == 1_000 && answer.ended, "{} octets", answer.body.len());
            Ok(())
        }
    ),
    code!(
        "h2-streams/own-window-held",
        "RFC 9113 6.9.1",
        "a client that sends past the window is stopped",
        |case| {
            case.script(vec![vec![Step::Hang]]);
            let mut h2 = case.h2().await?;
            h2.refill = false;
            let window = h2.allowed(setting::INITIAL_WINDOW_SIZE) as usize;
            let stream = h2.request(&case.h2_fields("POST", "/@T"), false).await?;
            // Twice what a stream and the connection have at first, whatever of it is given back meanwhile.
            let frames = (window.min(8 << 20) * 2 + (32 << 20)) / 16_384;
            for _ in 0..frames {
                if h2
                    .conn
                    .send_within(
                        Frame::data(stream, false, vec![b'x'; 16_384]).bytes(),
                        Duration::from_secs(2),
                    )
                    .await
                    .is_err()
                {
                    break;
                }
            }
            h2.until(Duration::from_secs(3), |h2| {
                h2.ended.is_some()
                    || h2.goaway.is_some()
                    || h2.answers.get(&stream).is_some_and(|a| a.reset.is_some())
            })
            .await;
            let stopped = h2.ended.is_some()
                || h2.goaway.is_some()
                || h2.answers.get(&stream).is_some_and(|a| a.is_over());
            ensure!(stopped, "32 MB past the window are taken");
            Ok(())
        }
    ),
    code!("h2-streams/long-request", "RFC 9113 6.9", "a long request gets window as it is read", |case| {
        let mut h2 = case.h2().await?;
        let stream = h2.request(&case.h2_fields("POST", "/@T"), false).await?;
        let mut window = [h2.allowed(setting::INITIAL_WINDOW_SIZE) as i64, 65_535];
        let mut left = 1_000_000i64;
        while left > 0 {
            let n = left.min(window[0]).min(window[1]).min(16_000);
            if n > 0 {
                left -= n;
                window = [window[0] - n, window[1] - n];
                h2.send(&Frame::data(stream, left == 0, vec![b'x'; n as usize])).await?;
                continue;
            }
            let frame = h2.step(PATIENCE).await.ok_or("no window in time")?;
            if frame.kind == WINDOW_UPDATE {
                window[usize::from(frame.stream == 0)] += i64::from(frame.number());
            }
        }
        ensure!(h2.answer(stream).await.status == 200, "not served");
        ensure!(case.only()?.message.body.len() == 1_000_000, "cut");
        Ok(())
    }),
    code!(
        "h2-streams/head-of-line",
        "RFC 9113 5.2",
        "a stream that nobody reads does not hold up the others",
        |case| {
            case.script(vec![answer(long_answer(500_000))]);
            let mut h2 = case.h2_with(&[(setting::INITIAL_WINDOW_SIZE, 0)]).await?;
            h2.refill = false;
            h2.request(&case.get("/@T"), true).await?;
            let next = h2.request(&case.get("/@N"), true).await?;
            h2.send(&Frame::window(next, 1_000)).await?;
            let answer = h2.answer(next).await;
            ensure!(answer.status == 200 && answer.ended, "it does");
            Ok(())
        }
    ),
];

fn long_answer(octets: usize) -> Vec<u8> {
    [format!("HTTP/1.1 200 OK\r\nContent-Length: {octets}\r\n\r\n").into_bytes(), vec![b'x'; octets]].concat()
}
