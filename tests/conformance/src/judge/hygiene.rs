//! What holds for every head that a proxy sends, to either side, whatever it was given (RFC 9112 sections 2.2, 5 and
//! 6.3, RFC 9110 section 5.5). It is held against each of the battery's messages.

use crate::check::Verdict;
use crate::ensure;
use crate::wire::h1::Message;

/// A request as an origin got it.
pub fn request(message: &Message) -> Verdict {
    if message.raw.is_empty() {
        // By HTTP/2: its own layer holds it to most of this.
        return Ok(());
    }
    head(message)?;
    ensure!(message.start.split(' ').count() == 3, "the origin got the request line {:?}", message.start);
    let hosts = message.all("host").len();
    // HTTP/1.0 needs none.
    let enough = hosts == 1 || (hosts == 0 && message.start.ends_with("HTTP/1.0"));
    ensure!(enough, "the origin got {hosts} Host fields");
    Ok(())
}

/// A response as a client got it.
pub fn response(message: &Message) -> Verdict {
    head(message)
}

fn head(message: &Message) -> Verdict {
    let raw = &message.raw;
    let shown = || raw.escape_ascii().to_string();
    for (at, &octet) in raw.iter().enumerate() {
        let fine = match octet {
            b'\n' => at > 0 && raw[at - 1] == b'\r',
            b'\r' => raw.get(at + 1) == Some(&b'\n'),
            // Other controls are invalid too, and may be kept "within a safe context" (RFC 9110 section 5.5).
            octet => octet != 0,
        };
        ensure!(fine, "octet {octet:#04x} at {at} of the head {}", shown());
    }
    for line in raw.split(|&c| c == b'\n').skip(1).map(|line| line.strip_suffix(b"\r").unwrap_or(line)) {
        let Some(colon) = line.iter().position(|&c| c == b':') else {
            ensure!(line.is_empty(), "the line {:?} is no field", line.escape_ascii().to_string());
            continue;
        };
        let name = &line[..colon];
        ensure!(
            !name.is_empty() && name.iter().all(|&c| is_token(c)),
            "the field name {:?}",
            name.escape_ascii().to_string()
        );
    }
    let (lengths, codings) = (message.all("content-length"), message.all("transfer-encoding"));
    ensure!(
        lengths.is_empty() || codings.is_empty(),
        "both Content-Length and Transfer-Encoding: {}",
        shown()
    );
    ensure!(lengths.len() < 2, "Content-Length {} times: {}", lengths.len(), shown());
    ensure!(codings.len() < 2, "Transfer-Encoding {} times: {}", codings.len(), shown());
    for length in lengths {
        let digits = !length.is_empty() && length.bytes().all(|c| c.is_ascii_digit());
        ensure!(digits, "Content-Length {length:?}");
    }
    for coding in codings {
        let last = coding.rsplit(',').next().unwrap_or_default().trim();
        ensure!(last.eq_ignore_ascii_case("chunked"), "Transfer-Encoding {coding:?}");
    }
    Ok(())
}

fn is_token(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&octet)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(raw: &str) -> Verdict {
        request(&Message::of(raw.as_bytes().to_vec()))
    }

    #[test]
    fn each_rule_is_broken_by_something() {
        assert_eq!(of("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n"), Ok(()));
        for raw in [
            "GET / HTTP/1.1\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
            "GET /  HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nX: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX : a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n",
        ] {
            assert!(of(raw).is_err(), "{raw:?}");
        }
    }
}
