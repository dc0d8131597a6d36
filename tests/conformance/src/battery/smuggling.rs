//! Request smuggling: what one hop takes for the body, and another for the next request.
//!
//! Each request has a length that covers a second request in its body, and something that a careless hop takes for a
//! chunked coding, by which the body would end before it (Linhart et al., 2005; Kettle, "HTTP Desync Attacks", 2019,
//! and "Browser-Powered Desync Attacks", 2022).

use crate::check::Check;
use crate::judge::request::Send::{Post, Raw};
use crate::judge::request::{either, forward, refuse};
use crate::judge::seen::Seen::{Body, No};

/// Chunked, an empty body and then a request; by the length of 45 octets, one body.
const HIDDEN: &str = "0\r\n\r\nGET /@S HTTP/1.1\r\nHost: a.test\r\nX: y";

macro_rules! by_length {
    ($field:expr) => {
        Post(concat!($field, "\r\nContent-Length: 45\r\n"), HIDDEN)
    };
}

pub const CHECKS: &[Check] = &[
    refuse(
        "smuggling/te-x-prefix",
        "attack: TE.TE",
        "a coding that only ends in chunked is none",
        by_length!("Transfer-Encoding: xchunked"),
    ),
    refuse(
        "smuggling/te-suffix",
        "attack: TE.TE",
        "a coding that only begins with chunked is none",
        by_length!("Transfer-Encoding: chunkedx"),
    ),
    refuse(
        "smuggling/te-space-before-colon",
        "RFC 9112 5.1",
        "a space before the colon is refused",
        by_length!("Transfer-Encoding : chunked"),
    ),
    refuse(
        "smuggling/te-tab-before-colon",
        "RFC 9112 5.1",
        "a tab before the colon is refused",
        by_length!("Transfer-Encoding\t: chunked"),
    ),
    refuse(
        "smuggling/te-vertical-tab",
        "attack: TE.TE",
        "a vertical tab is no white space",
        by_length!("Transfer-Encoding: \u{b}chunked"),
    ),
    refuse(
        "smuggling/te-form-feed",
        "attack: TE.TE",
        "a form feed is no white space",
        by_length!("Transfer-Encoding: chunked\u{c}"),
    ),
    refuse(
        "smuggling/te-nul",
        "attack: TE.TE",
        "a NUL ends no value",
        by_length!("Transfer-Encoding: chunked\0"),
    ),
    refuse(
        "smuggling/te-control",
        "attack: TE.TE",
        "a control is no part of a coding",
        by_length!("Transfer-Encoding: \u{1}chunked"),
    ),
    refuse(
        "smuggling/te-delete",
        "attack: TE.TE",
        "a delete is no part of a coding",
        by_length!("Transfer-Encoding: \u{7f}chunked"),
    ),
    refuse(
        "smuggling/te-quoted",
        "attack: TE.TE",
        "a coding in quotes is none",
        by_length!("Transfer-Encoding: \"chunked\""),
    ),
    refuse(
        "smuggling/te-semicolon",
        "RFC 9112 7.1",
        "chunked has no parameters",
        by_length!("Transfer-Encoding: chunked;x=1"),
    ),
    refuse(
        "smuggling/te-two-lines",
        "attack: TE.TE",
        "two fields are one list, and its last is not chunked",
        by_length!("Transfer-Encoding: chunked\r\nTransfer-Encoding: cow"),
    ),
    refuse(
        "smuggling/te-two-lines-reversed",
        "attack: TE.TE",
        "three fields are one list, and its last is not chunked",
        by_length!("Transfer-Encoding: cow\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x"),
    ),
    either(
        "smuggling/te-folded",
        "RFC 9112 5.2",
        "a folded coding is refused",
        by_length!("Transfer-Encoding:\r\n chunked"),
        &[],
    ),
    refuse(
        "smuggling/te-folded-name",
        "RFC 9112 5.2",
        "a folded name is refused",
        by_length!("Transfer-\r\n Encoding: chunked"),
    ),
    either(
        "smuggling/te-leading-space",
        "RFC 9112 5.2",
        "a field that begins with a space is refused or not one",
        by_length!("X-A: 1\r\n Transfer-Encoding: chunked"),
        &[],
    ),
    either(
        "smuggling/te-after-bare-lf",
        "attack: bare LF",
        "a coding behind a bare LF is no hidden field",
        by_length!("X-A: 1\nTransfer-Encoding: chunked"), &[]),
    refuse(
        "smuggling/te-after-bare-cr",
        "RFC 9112 2.2",
        "a coding behind a bare CR is no hidden field",
        by_length!("X-A: 1\rTransfer-Encoding: chunked"),
    ),
    either(
        "smuggling/te-after-lf-cr",
        "attack: bare LF",
        "LF CR is no line end, or harmless",
        by_length!("X-A: 1\n\rTransfer-Encoding: chunked"), &[]),
    refuse(
        "smuggling/te-comma-first",
        "attack: TE.TE",
        "the last coding decides",
        by_length!("Transfer-Encoding: identity, chunked, identity"),
    ),
    refuse(
        "smuggling/te-dot-name",
        "attack: TE.TE",
        "another name beside a coding that is unknown",
        by_length!("Transfer-Encoding.: chunked\r\nTransfer-Encoding: x"),
    ),
    refuse(
        "smuggling/te-non-breaking-space",
        "attack: TE.TE",
        "a non-breaking space is no white space",
        by_length!("Transfer-Encoding:  chunked"),
    ),
    either(
        "smuggling/te-underscore",
        "attack: TE.TE",
        "a name with an underscore frames nothing",
        by_length!("Transfer_Encoding: chunked"),
        &[Body(HIDDEN), No("transfer-encoding")],
    ),
    either(
        "smuggling/te-prefixed-name",
        "attack: TE.TE",
        "a longer name frames nothing",
        by_length!("X-Transfer-Encoding: chunked"),
        &[Body(HIDDEN), No("transfer-encoding")],
    ),
    either(
        "smuggling/te-in-value",
        "attack: TE.TE",
        "a coding in another field's value frames nothing",
        by_length!("X-A: Transfer-Encoding: chunked"),
        &[Body(HIDDEN), No("transfer-encoding")],
    ),
    either(
        "smuggling/te-misspelt",
        "attack: TE.TE",
        "a shorter name frames nothing",
        by_length!("Transfer-Encodin: chunked"),
        &[Body(HIDDEN), No("transfer-encoding")],
    ),
    either(
        "smuggling/cl-te",
        "attack: CL.TE",
        "a length that covers more than the chunks ends the connection",
        by_length!("Transfer-Encoding: chunked"), &[]),
    either(
        "smuggling/te-cl",
        "attack: TE.CL",
        "a length that covers less than the chunks ends the connection",
        Post("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "1f\r\nGET /@S HTTP/1.1\r\nX: 123456\r\n0\r\n\r\n"), &[]),
    forward(
        "smuggling/cl-0-static",
        "attack: CL.0",
        "the body of a request that expects none is still its body",
        Raw(b"GET /@T HTTP/1.1\r\nHost: a.test\r\nContent-Length: 40\r\n\r\nGET /@S HTTP/1.1\r\nHost: a.test\r\n\r\n12"),
        &[Body("GET /@S HTTP/1.1\r\nHost: a.test\r\n\r\n12")],
    ),
    either(
        "smuggling/cl-0-head",
        "attack: CL.0",
        "the body of a HEAD is still its body",
        Raw(b"HEAD /@T HTTP/1.1\r\nHost: a.test\r\nContent-Length: 38\r\n\r\nGET /@S HTTP/1.1\r\nHost: a.test\r\n\r\n"),
        &[Body("GET /@S HTTP/1.1\r\nHost: a.test\r\n\r\n")],
    ),
    either(
        "smuggling/cl-0-options",
        "attack: CL.0",
        "the body of an OPTIONS is still its body",
        Raw(b"OPTIONS /@T HTTP/1.1\r\nHost: a.test\r\nContent-Length: 38\r\n\r\nGET /@S HTTP/1.1\r\nHost: a.test\r\n\r\n"),
        &[Body("GET /@S HTTP/1.1\r\nHost: a.test\r\n\r\n")],
    ),
    either(
        "smuggling/te-0-options",
        "attack: TE.0",
        "the chunked body of an OPTIONS is still its body",
        Raw(b"OPTIONS /@T HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n26\r\nGET /@S HTTP/1.1\r\nHost: a.test\r\n\r\n\r\n0\r\n\r\n"),
        &[Body("GET /@S HTTP/1.1\r\nHost: a.test\r\n\r\n")],
    ),
    forward(
        "smuggling/0-cl",
        "attack: 0.CL",
        "a length in odd but valid spelling covers the body",
        Post("content-length:45\r\n", HIDDEN),
        &[Body(HIDDEN)],
    ),
    either(
        "smuggling/length-behind-bare-lf",
        "attack: bare LF",
        "a length behind a bare LF is no hidden field",
        Post("X-A: 1\nContent-Length: 45\r\n", HIDDEN),
        &[Body(HIDDEN)],
    ),
    refuse(
        "smuggling/length-space-before-colon",
        "RFC 9112 5.1",
        "a length with a space before its colon is refused",
        Post("Content-Length : 45\r\n", HIDDEN),
    ),
    either(
        "smuggling/length-folded",
        "RFC 9112 5.2",
        "a folded length is refused, or harmless",
        Post("Content-Length:\r\n 45\r\n", HIDDEN), &[]),
    refuse(
        "smuggling/length-list-hidden-zero",
        "attack: CL.CL",
        "a list of a length and zero is refused",
        Post("Content-Length: 45,0\r\n", HIDDEN),
    ),
    refuse(
        "smuggling/length-nul",
        "attack: CL.CL",
        "a length with a NUL in it is refused",
        Post("Content-Length: 45\0\r\n", HIDDEN),
    ),
    either(
        "smuggling/http-1.0-te-and-length",
        "RFC 9112 6.1",
        "a coding in HTTP/1.0 beside a length is refused, or harmless",
        Raw(b"POST /@T HTTP/1.0\r\nHost: a.test\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\nContent-Length: 45\r\n\r\n0\r\n\r\nGET /@S HTTP/1.1\r\nHost: a.test\r\nX: y"), &[]),
    either(
        "smuggling/request-line-lf",
        "attack: bare LF",
        "a request line that ends in LF alone hides no field",
        Raw(b"GET /@T HTTP/1.1\nX: y\r\nHost: a.test\r\n\r\n"), &[]),
    refuse(
        "smuggling/request-line-cr",
        "RFC 9112 2.2",
        "a bare CR in the request line is refused",
        Raw(b"GET /@T\rX HTTP/1.1\r\nHost: a.test\r\n\r\n"),
    ),
    either(
        "smuggling/head-ends-in-lf-lf",
        "attack: bare LF",
        "a head that ends in two LF is refused, or harmless",
        Raw(b"GET /@T HTTP/1.1\nHost: a.test\n\n"), &[]),
    either(
        "smuggling/head-ends-in-lf",
        "attack: bare LF",
        "an empty line of LF alone does not end a head",
        Raw(b"GET /@T HTTP/1.1\r\nHost: a.test\r\n\n"), &[]),
    either(
        "smuggling/two-requests-in-a-segment",
        "attack: request tunnelling",
        "a request behind another is served as one of its own",
        Raw(b"POST /@T HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\n\r\nok"),
        &[Body("ok")],
    ),
    either(
        "smuggling/expect-and-length",
        "attack: Expect desync",
        "an obfuscated Expect moves no boundary",
        Post("Expect: y 100-continue\r\nContent-Length: 45\r\n", HIDDEN),
        &[Body(HIDDEN)],
    ),
];
