//! Bodies, in whole and in every split.

use causeway_proxy_http1::*;

#[derive(Debug, PartialEq, Clone, Default)]
struct Read {
    payload: Vec<u8>,
    trailers: Vec<(Vec<u8>, Vec<u8>)>,
    used: usize,
    done: bool,
}

/// Reads a body that comes `step` octets at a time, of which `take` payload octets are passed on at once.
fn read_by(
    framing: Framing,
    limits: &Limits,
    input: &[u8],
    step: usize,
    take: usize,
) -> Result<Read, BodyError> {
    let mut decoder = BodyDecoder::with_limits(framing, limits);
    let (mut read, mut end) = (Read::default(), 0);
    loop {
        match decoder.decode(&input[read.used..end])? {
            Decoded::Payload(range) => {
                assert!(!range.is_empty());
                let count = take.min(range.len());
                read.payload.extend_from_slice(&input[read.used..end][range.start..range.start + count]);
                decoder.advance(count);
                read.used += range.start + count;
            }
            Decoded::NeedMore { consumed } => {
                assert_eq!(read.used + consumed, end);
                read.used = end;
                if end == input.len() {
                    return Ok(read);
                }
                end = (end + step).min(input.len());
            }
            Decoded::End { consumed, trailers } => {
                read.used += consumed;
                read.done = decoder.is_done();
                assert_eq!(decoder.payload_bytes(), read.payload.len() as u64);
                let fields = decoder.trailers().iter();
                read.trailers = fields.map(|(name, value, _)| (name.to_vec(), value.to_vec())).collect();
                assert_eq!(trailers, !read.trailers.is_empty());
                return Ok(read);
            }
        }
    }
}

fn read(framing: Framing, input: &[u8]) -> Result<Read, BodyError> {
    let limits = Limits { head_bytes: 256, head_count: 4, line_bytes: 64 };
    let whole = read_by(framing, &limits, input, input.len().max(1), usize::MAX);
    for step in 1..=input.len().min(40) {
        for take in [1, 3, usize::MAX] {
            assert_eq!(read_by(framing, &limits, input, step, take), whole, "step {step}, take {take}");
        }
    }
    whole
}

#[test]
fn a_length_ends_the_body_exactly() {
    let body = read(Framing::Length(5), b"helloGET /").unwrap();
    assert_eq!((&body.payload[..], body.used, body.done), (&b"hello"[..], 5, true));
    let cut = read(Framing::Length(5), b"hel").unwrap();
    assert_eq!((&cut.payload[..], cut.done), (&b"hel"[..], false));
}

#[test]
fn no_body_is_done_at_once_and_touches_nothing() {
    for framing in [Framing::None, Framing::Length(0)] {
        let mut decoder = BodyDecoder::new(framing);
        assert!(decoder.is_done());
        assert_eq!(decoder.decode(b"GET /"), Ok(Decoded::End { consumed: 0, trailers: false }));
        assert_eq!(decoder.finish(), Ok(()));
    }
}

#[test]
fn only_a_complete_body_may_end_with_its_connection() {
    let mut until_close = BodyDecoder::new(Framing::UntilClose);
    assert_eq!(until_close.decode(b"abc"), Ok(Decoded::Payload(0..3)));
    until_close.advance(3);
    assert!(!until_close.is_done());
    assert_eq!((until_close.finish(), until_close.is_done()), (Ok(()), true));
    assert_eq!(BodyDecoder::new(Framing::Length(1)).finish(), Err(BodyError::Truncated));
    let mut chunked = BodyDecoder::new(Framing::Chunked);
    assert_eq!(chunked.decode(b"0\r\n"), Ok(Decoded::NeedMore { consumed: 3 }));
    assert_eq!(chunked.finish(), Err(BodyError::Truncated));
}

#[test]
fn chunks_are_joined_and_what_follows_is_left() {
    let input = b"5\r\nhello\r\n1;a=b;c=\"d e\"\r\n \r\n00A\r\n0123456789\r\n000\r\n\r\nGET /";
    let body = read(Framing::Chunked, input).unwrap();
    assert_eq!((&body.payload[..], body.done), (&b"hello 0123456789"[..], true));
    assert_eq!(&input[body.used..], b"GET /");
}

#[test]
fn trailers_are_read_and_those_that_would_change_the_message_are_dropped() {
    let input =
        b"1\r\nx\r\n0\r\nGrpc-Status: 0\r\nX-Sum:  abc \r\nAuthorization: z\r\nConnection: q\r\n\r\nrest";
    let body = read(Framing::Chunked, input).unwrap();
    let expected = [(b"Grpc-Status".to_vec(), b"0".to_vec()), (b"X-Sum".to_vec(), b"abc".to_vec())];
    assert_eq!(body.trailers, expected);
    assert_eq!(&input[body.used..], b"rest");
}

macro_rules! refused {
    ($($name:ident: $input:expr => $error:expr;)*) => {$(
        #[test]
        fn $name() {
            let input = $input;
            let input: &[u8] = input.as_ref();
            assert_eq!(read(Framing::Chunked, input), Err($error), "{}", input.escape_ascii());
        }
    )*};
}

refused! {
    empty_chunk_size_rfc9112_7_1: b"\r\nabc" => BodyError::ChunkSize;
    signed_chunk_size_rfc9112_7_1: b"+1\r\na\r\n" => BodyError::ChunkSize;
    negative_chunk_size_rfc9112_7_1: b"-1\r\na\r\n" => BodyError::ChunkSize;
    prefixed_chunk_size_rfc9112_7_1: b"0x1\r\na\r\n" => BodyError::ChunkSize;
    space_before_chunk_size_rfc9112_7_1: b" 1\r\na\r\n" => BodyError::ChunkSize;
    space_after_chunk_size_rfc9112_7_1: b"1 \r\na\r\n" => BodyError::ChunkSize;
    tab_before_extension_rfc9112_7_1_1: b"1\t;a\r\na\r\n" => BodyError::ChunkSize;
    letter_in_chunk_size_rfc9112_7_1: b"1g\r\na\r\n" => BodyError::ChunkSize;
    nul_in_chunk_size_rfc9112_7_1: b"1\0\r\na\r\n" => BodyError::ChunkSize;
    extension_without_size_rfc9112_7_1: b";a\r\na\r\n" => BodyError::ChunkSize;
    chunk_size_over_64_bits_rfc9112_7_1: b"10000000000000001\r\na\r\n" => BodyError::ChunkSizeOverflow;
    chunk_size_over_63_bits_rfc9112_7_1: b"8000000000000000\r\na\r\n" => BodyError::ChunkSizeOverflow;
    endless_zeros_rfc9112_7_1: b"00000000000000001\r\na\r\n" => BodyError::ChunkSizeOverflow;
    bare_lf_after_chunk_size_rfc9112_2_2: b"1\na\r\n" => BodyError::ChunkLineEnd;
    bare_lf_in_first_place_rfc9112_2_2: b"\na\r\n" => BodyError::ChunkSize;
    bare_lf_after_extension_rfc9112_2_2: b"1;a\na\r\n" => BodyError::ChunkLineEnd;
    bare_cr_after_chunk_size_rfc9112_2_2: b"1\ra\r\n" => BodyError::ChunkLineEnd;
    bare_cr_in_extension_rfc9112_2_2: b"1;a\rb\r\na\r\n" => BodyError::ChunkLineEnd;
    two_cr_after_chunk_size_rfc9112_2_2: b"1\r\r\na\r\n" => BodyError::ChunkLineEnd;
    nul_in_extension_rfc9112_7_1_1: b"1;a\0\r\na\r\n" => BodyError::ChunkExtension;
    long_extension_rfc9112_7_1_1: format!("1;{}\r\na\r\n", "x".repeat(4097)) => BodyError::ChunkExtensionTooLong;
    many_extensions_rfc9112_7_1_1: "1;aaaaaaaaa\r\nx\r\n".repeat(600) => BodyError::ChunkExtensionTooLong;
    chunk_data_without_end_rfc9112_7_1: b"1\r\nab\r\n0\r\n\r\n" => BodyError::ChunkDataEnd;
    bare_lf_after_chunk_data_rfc9112_2_2: b"1\r\na\n0\r\n\r\n" => BodyError::ChunkDataEnd;
    bare_cr_after_chunk_data_rfc9112_2_2: b"1\r\na\r0\r\n\r\n" => BodyError::ChunkDataEnd;
    bare_lf_in_last_chunk_rfc9112_2_2: b"0\n\r\n" => BodyError::ChunkLineEnd;
    bare_lf_after_last_chunk_rfc9112_2_2: b"0\r\n\n" => BodyError::Trailer(Fault::BareLf);
    bare_cr_after_last_chunk_rfc9112_2_2: b"0\r\n\rX" => BodyError::Trailer(Fault::BareCr);
    folded_trailer_rfc9112_5_2: b"0\r\nA: b\r\n c\r\n\r\n" => BodyError::Trailer(Fault::ObsFold);
    trailer_without_colon_rfc9112_7_1_2: b"0\r\nGET / HTTP/1.1\r\n\r\n" => BodyError::Trailer(Fault::SpaceBeforeColon);
    nul_in_trailer_rfc9110_5_5: b"0\r\nA: \0\r\n\r\n" => BodyError::Trailer(Fault::FieldValue);
    length_as_trailer_rfc9110_6_5_1: b"0\r\nContent-Length: 5\r\n\r\n" => BodyError::ForbiddenTrailer;
    coding_as_trailer_rfc9110_6_5_1: b"0\r\nTransfer-Encoding: chunked\r\n\r\n" => BodyError::ForbiddenTrailer;
    host_as_trailer_rfc9110_6_5_1: b"0\r\nHost: a\r\n\r\n" => BodyError::ForbiddenTrailer;
    too_many_trailers_rfc6585_5: format!("0\r\n{}\r\n", "A: b\r\n".repeat(5)) => BodyError::Trailer(Fault::TooMany);
    long_trailers_rfc6585_5: format!("0\r\nA: {}\r\n\r\n", "b".repeat(300)) => BodyError::Trailer(Fault::TooLarge);
}

#[test]
fn extensions_in_proportion_to_payload_never_end_a_long_body() {
    let chunk = format!("a;{}\r\n0123456789\r\n", "x".repeat(10));
    let input = chunk.repeat(2000) + "0\r\n\r\n";
    assert!(read(Framing::Chunked, input.as_bytes()).unwrap().done);
}

#[test]
fn what_is_encoded_is_decoded_at_every_split() {
    let mut trailers = Trailers::default();
    trailers.push(b"grpc-status", b"14").unwrap();
    trailers.push(b"host", b"h").unwrap();
    let mut out = Vec::new();
    for payload in [&b"a"[..], b"", &[0; 15], &[b'\r'; 16], &[b'0'; 300]] {
        write_chunk(&mut out, payload);
    }
    write_last_chunk(&mut out, Some(&trailers));
    let body = read(Framing::Chunked, &out).unwrap();
    assert_eq!((body.payload.len(), body.used, body.done), (332, out.len(), true));
    assert_eq!(body.trailers, [(b"grpc-status".to_vec(), b"14".to_vec())]);
}

#[test]
fn trailers_from_elsewhere_are_held_to_the_same_rule() {
    let mut trailers = Trailers::default();
    trailers.push(b"host", b"a").unwrap();
    assert_eq!(trailers.mark_forbidden(), Err(BodyError::ForbiddenTrailer));
    trailers.remove(Known::Host);
    trailers.push(b"cookie", b"a").unwrap();
    assert_eq!((trailers.mark_forbidden(), trailers.is_empty()), (Ok(()), true));
    trailers.push(b"x-sum", b"1").unwrap();
    assert_eq!((trailers.mark_forbidden(), trailers.is_empty()), (Ok(()), false));
    trailers.clear();
    assert!(trailers.is_empty() && trailers.bytes.is_empty());
}

#[test]
fn chunk_headers_are_plain_hexadecimal() {
    for (size, header) in [(1, "1\r\n"), (15, "f\r\n"), (16, "10\r\n"), (65536, "10000\r\n")] {
        assert_eq!(ChunkHeader::new(size).as_ref(), header.as_bytes());
    }
    assert_eq!(ChunkHeader::new(usize::MAX).as_ref(), format!("{:x}\r\n", usize::MAX).as_bytes());
}
