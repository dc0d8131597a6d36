//! TLS towards clients (RFC 8446, RFC 5246, RFC 7301, RFC 9325).

use std::time::Duration;

use crate::check::{Case, Check, Verdict};
use crate::code;
use crate::ensure;
use crate::wire::conn::PATIENCE;
use crate::wire::h2::H2;
use crate::wire::{Conn, Read};

/// A ClientHello of a version, with the cipher suites of its time and these extensions.
fn hello(record: [u8; 2], version: [u8; 2], suites: &[u8], extensions: &[u8]) -> Vec<u8> {
    let mut body = version.to_vec();
    body.extend([7; 32]);
    body.push(0);
    body.extend((suites.len() as u16).to_be_bytes());
    body.extend(suites);
    body.extend([1, 0]);
    if !extensions.is_empty() {
        body.extend((extensions.len() as u16).to_be_bytes());
        body.extend(extensions);
    }
    let mut message = vec![1, 0];
    message.extend((body.len() as u16).to_be_bytes());
    message.extend(body);
    let mut bytes = vec![0x16, record[0], record[1]];
    bytes.extend((message.len() as u16).to_be_bytes());
    bytes.extend(message);
    bytes
}

/// Curves and signatures, which every client of the last fifteen years names.
const GROUPS: &[u8] =
    b"\0\x0a\0\x08\0\x06\0\x1d\0\x17\0\x18\0\x0d\0\x0e\0\x0c\x04\x03\x08\x04\x04\x01\x05\x03\x02\x01\x02\x03";

/// The handshake must fail: an alert, or the end, but no ServerHello.
async fn refused(case: &Case, bytes: &[u8]) -> Verdict {
    let mut conn = Conn::tcp(case.world.ports.https).await?;
    conn.offer(bytes).await;
    let (answer, how) = conn.read_to_end(Duration::from_secs(4)).await;
    ensure!(answer.first() != Some(&0x16), "a handshake begins");
    ensure!(answer.first() == Some(&0x15) || how != Read::Nothing, "neither an alert nor the end");
    Ok(())
}

pub const CHECKS: &[Check] = &[
    code!("tls/http1", "RFC 7301 3", "HTTP/1.1 is chosen where the client offers it", |case| {
        let mut conn = Conn::tls(case.world.ports.https, &case.world.tls.http1).await?;
        ensure!(conn.alpn().as_deref() == Some(b"http/1.1"), "chosen: {:?}", conn.alpn());
        conn.send(case.fill(b"GET /@T HTTP/1.1\r\nHost: a.test\r\n\r\n")).await?;
        ensure!(conn.response(false).await?.status() == 200, "not served");
        Ok(())
    }),
    code!("tls/http2-preferred", "RFC 9113 3.2", "HTTP/2 is chosen where both are offered", |case| {
        let conn = Conn::tls(case.world.ports.https, &case.world.tls.both).await?;
        ensure!(conn.alpn().as_deref() == Some(b"h2"), "chosen: {:?}", conn.alpn());
        Ok(())
    }),
    code!("tls/no-alpn", "RFC 9112 9.7", "without ALPN it is HTTP/1.1", |case| {
        let mut conn = Conn::tls(case.world.ports.https, &case.world.tls.plain).await?;
        conn.send(case.fill(b"GET /@T HTTP/1.1\r\nHost: a.test\r\n\r\n")).await?;
        ensure!(conn.response(false).await?.status() == 200, "not served");
        Ok(())
    }),
    code!(
        "tls/alpn-unknown",
        "RFC 7301 3.2",
        "a client that offers only what is not spoken is refused",
        |case| {
            let made = Conn::tls(case.world.ports.https, &case.world.tls.strange).await;
            ensure!(made.is_err(), "the handshake succeeds");
            Ok(())
        }
    ),
    code!("tls/alpn-is-kept", "attack: ALPN confusion", "who chose HTTP/1.1 is not served HTTP/2", |case| {
        let conn = Conn::tls(case.world.ports.https, &case.world.tls.http1).await?;
        let mut h2 = H2::over(conn);
        h2.conn
            .offer([crate::wire::h2::frame::PREFACE, &crate::wire::h2::Frame::settings(&[]).bytes()].concat())
            .await;
        h2.until(Duration::from_secs(2), |h2| h2.ended.is_some()).await;
        ensure!(h2.count[4] == 0, "it is");
        Ok(())
    }),
    code!("tls/version-1.3", "RFC 8446 4.2.1", "TLS 1.3 is spoken", |case| {
        let conn = Conn::tls(case.world.ports.https, &case.world.tls.both).await?;
        ensure!(conn.tls_version() == Some(rustls::ProtocolVersion::TLSv1_3), "{:?}", conn.tls_version());
        Ok(())
    }),
    code!("tls/version-1.1", "RFC 8996 5", "TLS 1.1 is refused", |case| {
        refused(&case, &hello([3, 1], [3, 2], b"\xc0\x09\xc0\x0a\xc0\x13\xc0\x14\0\x2f\0\x35", GROUPS)).await
    }),
    code!("tls/version-1.0", "RFC 8996 4", "TLS 1.0 is refused", |case| {
        refused(&case, &hello([3, 1], [3, 1], b"\xc0\x09\xc0\x0a\xc0\x13\xc0\x14\0\x2f\0\x35", GROUPS)).await
    }),
    code!("tls/version-ssl3", "RFC 7568 3", "SSL 3.0 is refused", |case| {
        refused(&case, &hello([3, 0], [3, 0], b"\0\x05\0\x0a\0\x2f\0\x35", b"")).await
    }),
    code!("tls/ssl2-hello", "RFC 8446 D.5", "a hello of SSL 2.0 is refused", |case| {
        refused(&case, b"\x80\x1c\x01\x03\x01\0\x03\0\0\0\x10\0\0\x2f0123456789abcdef").await
    }),
    code!(
        "tls/weak-suites",
        "RFC 9325 4.1",
        "a client with RC4, 3DES, NULL and export suites alone is refused",
        |case| {
            refused(
                &case,
                &hello([3, 1], [3, 3], b"\0\x05\0\x0a\0\x01\0\x02\0\x03\xc0\x06\xc0\x10\0\x3b", GROUPS),
            )
            .await
        }
    ),
    code!("tls/static-rsa-and-cbc", "RFC 9325 4.2", "a client without forward secrecy is refused", |case| {
        refused(&case, &hello([3, 1], [3, 3], b"\0\x2f\0\x35\0\x3c\0\x3d\0\x9c\0\x9d", GROUPS)).await
    }),
    code!("tls/no-common-suite", "RFC 8446 4.1.1", "a client without a suite in common is refused", |case| {
        refused(&case, &hello([3, 1], [3, 3], b"\xfa\xfa", GROUPS)).await
    }),
    code!("tls/hello-cut", "RFC 8446 5.1", "a hello whose lengths do not add up is refused", |case| {
        let mut bytes = hello([3, 1], [3, 3], b"\x13\x01\xc0\x2b", GROUPS);
        bytes[43] = 0xff;
        refused(&case, &bytes).await
    }),
    code!("tls/record-too-large", "RFC 8446 5.1", "a record past 16 KiB is refused", |case| {
        refused(&case, &[b"\x16\x03\x01\xff\xff".as_slice(), &[1; 40_000]].concat()).await
    }),
    code!("tls/record-of-unknown-type", "RFC 8446 5", "a record of an unknown type is refused", |case| {
        refused(&case, b"\x63\x03\x01\x00\x05hello").await
    }),
    code!(
        "tls/data-before-handshake",
        "RFC 8446 5",
        "application data before a handshake is refused",
        |case| { refused(&case, b"\x17\x03\x03\x00\x05hello").await }
    ),
    code!("tls/plain-http", "RFC 9110 4.3.4", "plain HTTP on the TLS port is not served", |case| {
        let mut conn = Conn::tcp(case.world.ports.https).await?;
        conn.offer(case.fill(b"GET /@T HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")).await;
        let (answer, how) = conn.read_to_end(Duration::from_secs(4)).await;
        ensure!(!answer.starts_with(b"HTTP/1.1 200") && how != Read::Nothing, "it is");
        ensure!(case.seen().is_empty(), "the origin got it");
        Ok(())
    }),
    code!("tls/tls-on-plain-port", "RFC 9112 3", "TLS on the plain port is refused", |case| {
        let mut conn = case.http().await?;
        conn.offer([hello([3, 1], [3, 3], b"\x13\x01\xc0\x2b", GROUPS), b"\r\n\r\n".to_vec()].concat()).await;
        ensure!(conn.ends_within(PATIENCE * 2).await, "the connection goes on");
        Ok(())
    }),
    code!("tls/hello-octet-by-octet", "RFC 8446 5.1", "a hello in many small segments is one", |case| {
        // Version 1.2 with a suite for the target's key, so that the answer shows without more.
        let bytes = hello([3, 1], [3, 3], b"\xc0\x2b\xc0\x2c\xc0\x2f\xc0\x30", GROUPS);
        let mut conn = Conn::tcp(case.world.ports.https).await?;
        for piece in bytes.chunks(3) {
            conn.send(piece).await?;
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        conn.more(PATIENCE).await;
        ensure!(conn.unread.first() == Some(&0x16), "no ServerHello: {:?}", conn.unread.first());
        Ok(())
    }),
    code!(
        "tls/renegotiation",
        "RFC 9325 3.5",
        "the server takes part in secure renegotiation, or in none",
        |case| {
            // TLS_EMPTY_RENEGOTIATION_INFO_SCSV; the ServerHello must answer with the extension (RFC 5746 section 3.6).
            let bytes = hello([3, 1], [3, 3], b"\xc0\x2b\xc0\x2c\xc0\x2f\xc0\x30\0\xff", GROUPS);
            let mut conn = Conn::tcp(case.world.ports.https).await?;
            conn.send(bytes).await?;
            conn.more(PATIENCE).await;
            let said = conn.unread.windows(5).any(|five| five == [0xff, 0x01, 0, 1, 0]);
            ensure!(said, "no renegotiation_info");
            Ok(())
        }
    ),
    code!(
        "tls/downgrade-sentinel",
        "RFC 8446 4.1.3",
        "a server of TLS 1.3 that is asked for 1.2 says so in its random",
        |case| {
            let bytes = hello([3, 1], [3, 3], b"\xc0\x2b\xc0\x2c\xc0\x2f\xc0\x30", GROUPS);
            let mut conn = Conn::tcp(case.world.ports.https).await?;
            conn.send(bytes).await?;
            conn.more(PATIENCE).await;
            let said = conn.unread.windows(8).any(|eight| eight == b"DOWNGRD\x01");
            ensure!(said, "no sentinel");
            Ok(())
        }
    ),
    code!("tls/fallback-scsv", "RFC 7507 3", "a fallback below what both speak is refused", |case| {
        refused(&case, &hello([3, 1], [3, 2], b"\xc0\x09\xc0\x13\0\x2f\x56\0", GROUPS)).await
    }),
    code!("tls/close-notify", "RFC 8446 6.1", "the end of a connection is said in TLS", |case| {
        let mut conn = Conn::tls(case.world.ports.https, &case.world.tls.http1).await?;
        conn.send(case.fill(b"GET /@T HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")).await?;
        ensure!(conn.response(false).await?.status() == 200, "not served");
        let (_, how) = conn.read_to_end(PATIENCE).await;
        ensure!(how == Read::End, "{how:?} without a close_notify");
        Ok(())
    }),
    code!("tls/truncation", "RFC 9112 9.8", "a request that TLS breaks off never becomes whole", |case| {
        let mut conn = Conn::tls(case.world.ports.https, &case.world.tls.http1).await?;
        conn.send(case.fill(b"POST /@T HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100\r\n\r\nhello"))
            .await?;
        tokio::time::sleep(Duration::from_millis(200)).await;
        drop(conn);
        tokio::time::sleep(Duration::from_millis(500)).await;
        ensure!(case.whole().is_empty(), "the origin took a part for the whole");
        Ok(())
    }),
    code!("tls/resumption", "RFC 8446 2.2", "a session that is taken up again is served", |case| {
        for _ in 0..3 {
            let mut conn = Conn::tls(case.world.ports.https, &case.world.tls.http1).await?;
            conn.send(case.fill(b"GET /@T HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")).await?;
            ensure!(conn.response(false).await?.status() == 200, "not served");
            conn.read_to_end(PATIENCE).await;
        }
        Ok(())
    }),
    code!(
        "tls/sni-unknown",
        "RFC 6066 3",
        "a name that nobody knows is refused or served, and the server lives",
        |case| {
            let _ = Conn::tls_to(case.world.ports.https, &case.world.tls.http1, "nobody.test").await;
            let mut conn = Conn::tls(case.world.ports.https, &case.world.tls.http1).await?;
            conn.send(case.fill(b"GET /@T HTTP/1.1\r\nHost: a.test\r\n\r\n")).await?;
            ensure!(conn.response(false).await?.status() == 200, "not served");
            Ok(())
        }
    ),
];
