//! Second tries (RFC 9110 section 9.2.2). The route `/pair` has two endpoints, and one retry.

use std::time::Duration;

use crate::check::{Case, Check};
use crate::code;
use crate::ensure;
use crate::judge::answer::is_bad;
use crate::origin::script::{Script, Step, answer, silence};
use crate::wire::h1::Message;

async fn ask(case: &Case, request: &[u8], scripts: Vec<Script>) -> Result<Message, String> {
    case.script(scripts);
    let mut conn = case.http().await?;
    conn.send(case.fill(request)).await?;
    conn.response(false).await
}

fn ok() -> Script {
    answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
}

fn reset() -> Script {
    vec![Step::Body, Step::Close]
}

const GET: &[u8] = b"GET /pair/@T HTTP/1.1\r\nHost: a.test\r\n\r\n";
const POST: &[u8] = b"POST /pair/@T HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello";
const PUT: &[u8] = b"PUT /pair/@T HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello";

pub const CHECKS: &[Check] = &[
    code!(
        "retries/get-after-close",
        "RFC 9110 9.2.2",
        "a GET whose upstream closes is tried again",
        |case| {
            let answer = ask(&case, GET, vec![reset(), ok()]).await?;
            ensure!(answer.status() == 200, "answered {}", answer.start);
            Ok(())
        }
    ),
    code!("retries/get-elsewhere", "RFC 9110 9.2.2", "the second try goes to the other endpoint", |case| {
        let answer = ask(&case, GET, vec![reset(), ok()]).await?;
        ensure!(answer.status() == 200, "answered {}", answer.start);
        let doors: Vec<_> = case.seen().into_iter().map(|seen| seen.door).collect();
        ensure!(doors.len() == 2 && doors[0] != doors[1], "it was tried at {doors:?}");
        Ok(())
    }),
    code!("retries/get-after-503", "RFC 9110 15.6.4", "a GET that is answered 503 is tried again", |case| {
        let busy = answer("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n");
        let answer = ask(&case, GET, vec![busy, ok()]).await?;
        ensure!(answer.status() == 200, "answered {}", answer.start);
        Ok(())
    }),
    code!(
        "retries/get-after-silence",
        "RFC 9110 15.6.5",
        "a GET that nobody answers is tried again",
        |case| {
            let answer = ask(&case, GET, vec![silence(), ok()]).await?;
            ensure!(answer.status() == 200, "answered {}", answer.start);
            Ok(())
        }
    ),
    code!("retries/not-for-ever", "attack: retry amplification", "tries end", |case| {
        let answer = ask(&case, GET, vec![reset()]).await?;
        ensure!(is_bad(answer.status()), "answered {}", answer.start);
        let tries = case.seen().len();
        ensure!(tries <= 4, "{tries} tries");
        Ok(())
    }),
    code!(
        "retries/post-not-repeated",
        "RFC 9110 9.2.2",
        "a POST that may have been done is not sent again",
        |case| {
            let answer = ask(&case, POST, vec![reset(), ok()]).await?;
            ensure!(is_bad(answer.status()), "answered {}", answer.start);
            let tries = case.whole().len();
            ensure!(tries == 1, "{tries} tries");
            Ok(())
        }
    ),
    code!("retries/post-not-repeated-after-silence", "RFC 9110 9.2.2", "nor after a timeout", |case| {
        let answer = ask(&case, POST, vec![silence(), ok()]).await?;
        ensure!(is_bad(answer.status()), "answered {}", answer.start);
        let tries = case.whole().len();
        ensure!(tries == 1, "{tries} tries");
        Ok(())
    }),
    code!("retries/patch-not-repeated", "RFC 5789 2", "nor a PATCH", |case| {
        let patch = b"PATCH /pair/@T HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello";
        let answer = ask(&case, patch, vec![reset(), ok()]).await?;
        ensure!(is_bad(answer.status()) && case.whole().len() == 1, "answered {}", answer.start);
        Ok(())
    }),
    code!("retries/put-repeated-whole", "RFC 9110 9.2.2", "a PUT that is sent again is sent whole", |case| {
        let answer = ask(&case, PUT, vec![reset(), ok()]).await?;
        if answer.status() != 200 {
            // Not to repeat it is allowed; to repeat a part of it is not.
            ensure!(case.seen().len() == 1, "it was sent again, and not whole");
            ensure!(is_bad(answer.status()), "answered {}", answer.start);
            return Ok(());
        }
        let bodies: Vec<String> = case.whole().iter().map(|seen| seen.message.text()).collect();
        ensure!(bodies.iter().all(|body| body == "hello"), "the tries had {bodies:?}");
        Ok(())
    }),
    code!(
        "retries/none-after-the-head",
        "RFC 9112 8",
        "an answer that breaks off is not continued by another's",
        |case| {
            let cut = vec![
                Step::Body,
                Step::Send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello".to_vec()),
                Step::Pause(Duration::from_millis(100)),
                Step::Close,
            ];
            let full = answer("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789");
            let Ok(answer) = ask(&case, GET, vec![cut, full]).await else { return Ok(()) };
            let mixed = answer.body.starts_with(b"hello") && answer.body.len() == 10;
            ensure!(!mixed, "the client got {:?}", answer.text());
            Ok(())
        }
    ),
    code!("retries/hop-fields-again", "RFC 9110 7.6.1", "the second try is as clean as the first", |case| {
        let get = b"GET /pair/@T HTTP/1.1\r\nHost: a.test\r\nConnection: X-One-Hop\r\nX-One-Hop: 1\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n";
        let answer = ask(&case, get, vec![reset(), ok()]).await?;
        ensure!(answer.status() == 200, "answered {}", answer.start);
        for seen in case.whole() {
            crate::judge::hygiene::request(&seen.message)?;
            let told = seen.message.joined("x-forwarded-for");
            ensure!(told.as_deref() == Some("127.0.0.1"), "x-forwarded-for: {told:?}");
            ensure!(seen.message.joined("x-one-hop").is_none(), "x-one-hop is there");
        }
        Ok(())
    }),
];
