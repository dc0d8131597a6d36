//! Field compression (RFC 7541; RFC 9113 section 4.3).

use crate::check::{Case, Check};
use crate::code;
use crate::ensure;
use crate::judge::frames::F::{Await, Raw};
use crate::judge::frames::{connection_error, fine};
use crate::wire::h2::code::{COMPRESSION_ERROR, FRAME_SIZE_ERROR, PROTOCOL_ERROR};
use crate::wire::h2::flag::{END_HEADERS, END_STREAM};
use crate::wire::h2::kind::HEADERS;
use crate::wire::h2::{Frame, H2, hpack, setting};

const WHOLE: u8 = END_HEADERS | END_STREAM;
const BROKEN: &[u32] = &[COMPRESSION_ERROR, PROTOCOL_ERROR, FRAME_SIZE_ERROR];

/// `GET https /`, then `:authority: a`; the start of each block.
macro_rules! block {
    ($rest:expr) => {
        concat!("\x41\x01a", $rest).as_bytes()
    };
}

const fn broken(
    id: &'static str,
    source: &'static str,
    title: &'static str,
    frames: &'static [crate::judge::frames::F],
) -> Check {
    connection_error(id, source, title, frames, BROKEN)
}

pub const CHECKS: &[Check] = &[
    fine(
        "h2-hpack/static",
        "RFC 7541 6.1",
        "entries of the static table are read",
        &[Raw(HEADERS, WHOLE, 1, b"\x82\x87\x84\x41\x01a"), Await(1)],
    ),
    fine(
        "h2-hpack/dynamic",
        "RFC 7541 6.2.1",
        "an entry of the dynamic table is read again",
        &[
            Raw(HEADERS, WHOLE, 1, b"\x82\x87\x84\x41\x01a\x40\x01x\x01y"),
            Await(1),
            Raw(HEADERS, WHOLE, 3, b"\x82\x87\x84\xbf\xbe"),
            Await(3),
        ],
    ),
    fine(
        "h2-hpack/never-indexed",
        "RFC 7541 6.2.3",
        "a literal that is never indexed is read",
        &[Raw(HEADERS, WHOLE, 1, b"\x82\x87\x84\x41\x01a\x10\x01x\x01y"), Await(1)],
    ),
    fine(
        "h2-hpack/huffman",
        "RFC 7541 5.2",
        "a Huffman string is read",
        &[
            Raw(HEADERS, WHOLE, 1, b"\x82\x87\x84\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff"),
            Await(1),
        ],
    ),
    fine(
        "h2-hpack/size-update",
        "RFC 7541 6.3",
        "a smaller table is taken, at the start of a block",
        &[Raw(HEADERS, WHOLE, 1, b"\x20\x82\x87\x84\x41\x01a"), Await(1)],
    ),
    fine(
        "h2-hpack/size-update-twice",
        "RFC 7541 4.2",
        "two updates at the start are taken",
        &[Raw(HEADERS, WHOLE, 1, b"\x20\x3f\xe1\x1f\x82\x87\x84\x41\x01a"), Await(1)],
    ),
    broken(
        "h2-hpack/index-zero",
        "RFC 7541 6.1",
        "the index 0 is an error",
        &[Raw(HEADERS, WHOLE, 1, b"\x82\x87\x84\x80")],
    ),
    broken(
        "h2-hpack/index-past-end",
        "RFC 7541 2.3.3",
        "an index past the tables is an error",
        &[Raw(HEADERS, WHOLE, 1, b"\x82\x87\x84\xc6")],
    ),
    broken(
        "h2-hpack/name-index-past-end",
        "RFC 7541 2.3.3",
        "so is one of a name",
        &[Raw(HEADERS, WHOLE, 1, b"\x82\x87\x84\x7f\x20\x01a")],
    ),
    broken(
        "h2-hpack/size-update-too-large",
        "RFC 7541 6.3",
        "a table larger than allowed is an error",
        &[Raw(HEADERS, WHOLE, 1, b"\x3f\xe2\xff\xff\x7f\x82\x87\x84\x41\x01a")],
    ),
    broken(
        "h2-hpack/size-update-late",
        "RFC 7541 4.2",
        "an update behind a field is an error",
        &[Raw(HEADERS, WHOLE, 1, b"\x82\x87\x84\x41\x01a\x20")],
    ),
    broken(
        "h2-hpack/string-cut",
        "RFC 7541 5.2",
        "a string longer than its block is an error",
        &[Raw(HEADERS, WHOLE, 1, b"\x82\x87\x84\x41\x7fabc")],
    ),
    broken(
        "h2-hpack/integer-cut",
        "RFC 7541 5.1",
        "an integer without its end is an error",
        &[Raw(HEADERS, WHOLE, 1, b"\x82\x87\x84\xff\x80")],
    ),
    broken(
        "h2-hpack/integer-overflow",
        "RFC 7541 5.1",
        "an integer past all bounds is an error",
        &[Raw(HEADERS, WHOLE, 1, b"\x82\x87\x84\xff\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01")],
    ),
    broken(
        "h2-hpack/huffman-padding-long",
        "RFC 7541 5.2",
        "padding of more than seven bits is an error",
        &[Raw(HEADERS, WHOLE, 1, b"\x82\x87\x84\x41\x82\x1f\xff")],
    ),
    broken(
        "h2-hpack/huffman-padding-zeros",
        "RFC 7541 5.2",
        "padding with zeros is an error",
        &[Raw(HEADERS, WHOLE, 1, b"\x82\x87\x84\x41\x81\x18")],
    ),
    broken(
        "h2-hpack/huffman-end-of-string",
        "RFC 7541 5.2",
        "the end of the string in a string is an error",
        &[Raw(HEADERS, WHOLE, 1, b"\x82\x87\x84\x41\x84\xff\xff\xff\xff")],
    ),
    broken(
        "h2-hpack/literal-cut",
        "RFC 7541 6.2",
        "a literal without its value is an error",
        &[Raw(HEADERS, WHOLE, 1, block!("\x00\x01x"))],
    ),
    code!(
        "h2-hpack/table-size-zero",
        "RFC 7541 4.2",
        "who allows no table is sent no entries of one",
        |case| {
            let mut h2 = case.h2_with(&[(setting::HEADER_TABLE_SIZE, 0)]).await?;
            for _ in 0..3 {
                let stream = h2.request(&case.get("/@T"), true).await?;
                let answer = h2.answer(stream).await;
                ensure!(answer.status == 200, "answered {} {:?}", answer.status, answer.fields);
            }
            Ok(())
        }
    ),
    code!(
        "h2-hpack/tables-kept-in-step",
        "RFC 7541 2.2",
        "answers can be read after twenty others",
        |case| {
            let mut h2 = case.h2().await?;
            for n in 0..20 {
                case.script(vec![crate::origin::script::answer(format!(
                    "HTTP/1.1 200 OK\r\nX-N: {n}\r\nX-Same: same\r\nContent-Length: 0\r\n\r\n"
                ))]);
                let stream = h2.request(&case.get("/@T"), true).await?;
                let answer = h2.answer(stream).await;
                ensure!(
                    answer.all("x-n") == [n.to_string()] && answer.all("x-same") == ["same"],
                    "{:?}",
                    answer.fields
                );
            }
            Ok(())
        }
    ),
    code!(
        "h2-hpack/refused-block-is-read",
        "RFC 9113 4.3",
        "a malformed request does not put the tables out of step",
        |case| {
            let mut h2 = case.h2().await?;
            let stream = h2.stream();
            let mut block = hpack::block(&case.get("/@T"));
            hpack::indexed_literal(&mut block, b"x-good", b"1");
            hpack::literal(&mut block, b"connection", b"close");
            h2.send(&Frame::new(HEADERS, WHOLE, stream, block)).await?;
            h2.answer(stream).await;
            if h2.goaway.is_some() || h2.ended.is_some() {
                // It was taken for a connection error.
                return Ok(());
            }
            again(&case, &mut h2).await
        }
    ),
];

/// The entry that the block before put into the table.
async fn again(case: &Case, h2: &mut H2) -> Result<(), String> {
    let stream = h2.stream();
    let mut block = hpack::block(&case.get("/@N"));
    block.push(0xbe);
    h2.send(&Frame::new(HEADERS, WHOLE, stream, block)).await?;
    let answer = h2.answer(stream).await;
    ensure!(answer.status == 200, "answered {} {:?}", answer.status, answer.reset);
    let seen = case.world.origin.seen(&case.text("@N"));
    let good = seen.first().and_then(|seen| seen.message.joined("x-good"));
    ensure!(good.as_deref() == Some("1"), "x-good: {good:?}");
    Ok(())
}
