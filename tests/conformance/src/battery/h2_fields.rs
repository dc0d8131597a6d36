//! Fields of HTTP/2 requests: names, values, and what has no place in HTTP/2 (RFC 9113 section 8.2).

use crate::check::Check;
use crate::judge::h2_request::{Send, either, forward, malformed};
use crate::judge::seen::Seen::{Has, Times};

pub const CHECKS: &[Check] = &[
    forward(
        "h2-requests/cookies-joined",
        "RFC 9113 8.2.3",
        "cookie crumbs become one Cookie",
        Send::Get(&[("cookie", "a=1"), ("cookie", "b=2"), ("cookie", "c=3")]),
        &[Has("cookie", "a=1; b=2; c=3"), Times("cookie", 1)],
    ),
    forward(
        "h2-requests/te-trailers",
        "RFC 9113 8.2.2",
        "te: trailers is allowed",
        Send::Get(&[("te", "trailers")]),
        &[],
    ),
    forward(
        "h2-requests/value-with-tab",
        "RFC 9110 5.5",
        "a tab within a value passes",
        Send::Get(&[("x-a", "a\tb")]),
        &[Has("x-a", "a\tb")],
    ),
    forward(
        "h2-requests/value-empty",
        "RFC 9110 5.5",
        "a value may be empty",
        Send::Get(&[("x-a", "")]),
        &[Has("x-a", "")],
    ),
    malformed(
        "h2-requests/name-upper-case",
        "RFC 9113 8.2.1",
        "a name in upper case is malformed",
        Send::Get(&[("X-A", "1")]),
    ),
    malformed(
        "h2-requests/name-mixed-case",
        "RFC 9113 8.2.1",
        "a name with one letter in upper case is malformed",
        Send::Get(&[("x-fOo", "1")]),
    ),
    malformed(
        "h2-requests/name-empty",
        "RFC 9113 8.2.1",
        "an empty name is malformed",
        Send::Get(&[("", "1")]),
    ),
    malformed(
        "h2-requests/name-space",
        "RFC 9113 8.2.1",
        "a space in a name is malformed",
        Send::Get(&[("x a", "1")]),
    ),
    malformed(
        "h2-requests/name-colon",
        "RFC 9113 8.2.1",
        "a colon in a name is malformed",
        Send::Get(&[("x:a", "1")]),
    ),
    malformed(
        "h2-requests/name-nul",
        "RFC 9113 8.2.1",
        "a NUL in a name is malformed",
        Send::Get(&[("x\0a", "1")]),
    ),
    malformed(
        "h2-requests/name-delete",
        "RFC 9113 8.2.1",
        "a delete in a name is malformed",
        Send::Get(&[("x\u{7f}a", "1")]),
    ),
    malformed(
        "h2-requests/name-beyond-ascii",
        "RFC 9113 8.2.1",
        "a name beyond ASCII is malformed",
        Send::Get(&[("xé", "1")]),
    ),
    malformed(
        "h2-requests/value-cr",
        "RFC 9113 8.2.1",
        "a CR in a value is malformed",
        Send::Get(&[("x-a", "a\rb")]),
    ),
    malformed(
        "h2-requests/value-lf",
        "RFC 9113 8.2.1",
        "an LF in a value is malformed",
        Send::Get(&[("x-a", "a\nb")]),
    ),
    malformed(
        "h2-requests/value-nul",
        "RFC 9113 8.2.1",
        "a NUL in a value is malformed",
        Send::Get(&[("x-a", "a\0b")]),
    ),
    malformed(
        "h2-requests/connection",
        "RFC 9113 8.2.2",
        "Connection is malformed",
        Send::Get(&[("connection", "keep-alive")]),
    ),
    malformed(
        "h2-requests/keep-alive",
        "RFC 9113 8.2.2",
        "Keep-Alive is malformed",
        Send::Get(&[("keep-alive", "timeout=5")]),
    ),
    malformed(
        "h2-requests/proxy-connection",
        "RFC 9113 8.2.2",
        "Proxy-Connection is malformed",
        Send::Get(&[("proxy-connection", "keep-alive")]),
    ),
    malformed(
        "h2-requests/transfer-encoding",
        "RFC 9113 8.2.2",
        "Transfer-Encoding is malformed",
        Send::Get(&[("transfer-encoding", "chunked")]),
    ),
    malformed(
        "h2-requests/upgrade",
        "RFC 9113 8.2.2",
        "Upgrade is malformed",
        Send::Get(&[("connection", "upgrade"), ("upgrade", "h2c")]),
    ),
    malformed(
        "h2-requests/te-other",
        "RFC 9113 8.2.2",
        "TE with anything but trailers is malformed",
        Send::Get(&[("te", "gzip")]),
    ),
    malformed(
        "h2-requests/te-list",
        "RFC 9113 8.2.2",
        "TE with more than trailers is malformed",
        Send::Get(&[("te", "trailers, deflate;q=0.5")]),
    ),
    either(
        "h2-requests/value-leading-space",
        "RFC 9113 8.2.1",
        "a space before a value is malformed, or gone",
        Send::Get(&[("x-a", " 1")]),
        &[Has("x-a", "1")],
    ),
    either(
        "h2-requests/value-trailing-space",
        "RFC 9113 8.2.1",
        "a space behind a value is malformed, or gone",
        Send::Get(&[("x-a", "1 ")]),
        &[Has("x-a", "1")],
    ),
];
