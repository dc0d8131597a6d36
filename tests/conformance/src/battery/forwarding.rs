//! What the origin is told about the client (RFC 7239, and the X-Forwarded fields that it grew from).
//!
//! All targets are set up as the outermost proxy: nothing that a client says of itself is believed.

use crate::check::Check;
use crate::code;
use crate::ensure;
use crate::judge::request::Send::{Get, Raw};
use crate::judge::request::forward;
use crate::judge::seen::Seen::{Has, Holds, Lacks, No, Times};

pub const CHECKS: &[Check] = &[
    forward(
        "forwarding/for",
        "RFC 7239 4",
        "the origin is told the client's address",
        Get(""),
        &[Has("x-forwarded-for", "127.0.0.1")],
    ),
    forward(
        "forwarding/for-spoofed",
        "attack: X-Forwarded-For spoofing",
        "an address that a client makes up does not reach the origin",
        Get("X-Forwarded-For: 6.6.6.6\r\n"),
        &[Lacks("x-forwarded-for", "6.6.6.6")],
    ),
    forward(
        "forwarding/for-spoofed-lines",
        "attack: X-Forwarded-For spoofing",
        "nor do two of them",
        Get("X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 7.7.7.7\r\n"),
        &[Lacks("x-forwarded-for", "6.6.6.6"), Lacks("x-forwarded-for", "7.7.7.7")],
    ),
    forward(
        "forwarding/for-spoofed-case",
        "attack: X-Forwarded-For spoofing",
        "nor in another case",
        Get("x-FORWARDED-for: 6.6.6.6\r\n"),
        &[Lacks("x-forwarded-for", "6.6.6.6")],
    ),
    forward(
        "forwarding/for-once",
        "attack: X-Forwarded-For spoofing",
        "there is one field for the address, not two",
        Get("X-Forwarded-For: 6.6.6.6\r\n"),
        &[Times("x-forwarded-for", 1)],
    ),
    forward(
        "forwarding/proto",
        "RFC 7239 5.4",
        "the origin is told the client's scheme",
        Get(""),
        &[Has("x-forwarded-proto", "http")],
    ),
    forward(
        "forwarding/proto-spoofed",
        "attack: X-Forwarded-Proto spoofing",
        "a scheme that a client makes up does not reach the origin",
        Get("X-Forwarded-Proto: https\r\n"),
        &[Has("x-forwarded-proto", "http")],
    ),
    forward(
        "forwarding/host",
        "RFC 7239 5.3",
        "the origin is told the host that was asked for",
        Get(""),
        &[Has("x-forwarded-host", "a.test")],
    ),
    forward(
        "forwarding/host-spoofed",
        "attack: X-Forwarded-Host poisoning",
        "a host that a client makes up does not reach the origin",
        Get("X-Forwarded-Host: evil.test\r\n"),
        &[Lacks("x-forwarded-host", "evil")],
    ),
    forward(
        "forwarding/real-ip-spoofed",
        "attack: X-Real-IP spoofing",
        "X-Real-IP from a client does not reach the origin",
        Get("X-Real-IP: 6.6.6.6\r\n"),
        &[Lacks("x-real-ip", "6.6.6.6")],
    ),
    forward(
        "forwarding/forwarded-spoofed",
        "RFC 7239 8.1",
        "Forwarded from a client does not reach the origin",
        Get("Forwarded: for=6.6.6.6;proto=https;host=evil.test\r\n"),
        &[Lacks("forwarded", "6.6.6.6")],
    ),
    forward(
        "forwarding/forwarded-malformed",
        "RFC 7239 8.1",
        "nor a broken one, which would hide what is appended",
        Get("Forwarded: for=\"6.6.6.6\r\n"),
        &[Lacks("forwarded", "6.6.6.6")],
    ),
    forward(
        "forwarding/port-spoofed",
        "attack: X-Forwarded-Port spoofing",
        "X-Forwarded-Port from a client does not reach the origin",
        Get("X-Forwarded-Port: 6666\r\n"),
        &[Lacks("x-forwarded-port", "6666")],
    ),
    forward(
        "forwarding/traceparent",
        "RFC 9110 5.1",
        "a trace goes on under its id",
        Get("traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n"),
        &[Holds("traceparent", "4bf92f3577b34da6a3ce929d0e0e4736")],
    ),
    forward(
        "forwarding/http-1.0",
        "RFC 7239 4",
        "the client's address is told for HTTP/1.0 as well",
        Raw(b"GET /@T HTTP/1.0\r\nHost: a.test\r\n\r\n"),
        &[Has("x-forwarded-for", "127.0.0.1")],
    ),
    forward(
        "forwarding/no-proxy-credentials",
        "RFC 9110 11.7.2",
        "credentials for this proxy do not reach the origin",
        Get("Proxy-Authorization: Basic dTpw\r\n"),
        &[No("proxy-authorization")],
    ),
    code!("forwarding/proto-tls", "RFC 7239 5.4", "over TLS the scheme is https", |case| {
        let mut h2 = case.h2().await?;
        let stream = h2.request(&case.get("/@T"), true).await?;
        ensure!(h2.answer(stream).await.status == 200, "no answer");
        let proto = case.only()?.message.joined("x-forwarded-proto");
        ensure!(proto.as_deref() == Some("https"), "x-forwarded-proto: {proto:?}");
        Ok(())
    }),
    code!(
        "forwarding/for-h2-spoofed",
        "attack: X-Forwarded-For spoofing",
        "an address that a client makes up does not reach the origin by HTTP/2 either",
        |case| {
            let mut h2 = case.h2().await?;
            let mut fields = case.get("/@T");
            fields.push(("x-forwarded-for".to_owned(), "6.6.6.6".to_owned()));
            let stream = h2.request(&fields, true).await?;
            ensure!(h2.answer(stream).await.status == 200, "no answer");
            let told = case.only()?.message.joined("x-forwarded-for");
            ensure!(told.as_deref() == Some("127.0.0.1"), "x-forwarded-for: {told:?}");
            Ok(())
        }
    ),
];
