//! Chunked bodies: pieces against the whole, the decoder against a second reading, and chunks of our own.

use causeway_proxy_http1::{BodyDecoder, BodyError, Decoded, Framing, Limits, write_chunk, write_last_chunk};

use crate::bytes::number_of;
use crate::reference;

/// Payload, octets used (`None` = more must come), and names and values of the trailers.
type Read = Result<(Vec<u8>, Option<usize>, Vec<(Vec<u8>, Vec<u8>)>), BodyError>;

pub fn run(input: &[u8]) {
    let seed = number_of(input);
    let whole = read(input, input.len(), usize::MAX, usize::MAX);
    let parts = read(input, seed % (input.len() + 1), 1 + seed % 13, 1 + seed % 5);
    // Where it fails, how much was passed on before depends on the pieces; that it fails, and how, does not.
    assert_eq!(whole, parts);

    let second = reference::chunked(input);
    match &whole {
        Ok((payload, Some(used), _)) => {
            assert_eq!(second, Some((payload.clone(), *used)));
            is_written_as_read(payload, seed);
        }
        Ok((_, None, _)) => assert_eq!(second, None, "waits for more, and the second reading has all"),
        // The second reading knows neither bounds nor which fields may be trailers.
        Err(BodyError::Trailer(_) | BodyError::ForbiddenTrailer | BodyError::ChunkExtensionTooLong) => {}
        Err(error) => assert_eq!(second, None, "refused with {error:?}"),
    }
}

/// Reads with input coming from `split` on in pieces of `step`, and at most `most` octets of payload taken at a time.
fn read(input: &[u8], split: usize, step: usize, most: usize) -> Read {
    let mut decoder = BodyDecoder::with_limits(Framing::Chunked, &Limits::default());
    let (mut payload, mut at, mut end) = (Vec::new(), 0, split);
    loop {
        match decoder.decode(&input[at..end])? {
            Decoded::Payload(range) => {
                assert!(!range.is_empty());
                let taken = range.len().min(most);
                let from = at + range.start;
                payload.extend_from_slice(&input[from..from + taken]);
                decoder.advance(taken);
                at = from + taken;
            }
            Decoded::NeedMore { consumed } => {
                assert_eq!(at + consumed, end, "all there was is framing");
                at = end;
                if end == input.len() {
                    assert!(decoder.finish().is_err());
                    return Ok((payload, None, Vec::new()));
                }
                end = end.saturating_add(step).min(input.len());
            }
            Decoded::End { consumed, .. } => {
                assert_eq!(decoder.payload_bytes(), payload.len() as u64);
                let trailers = decoder.trailers().iter().map(|(n, v, _)| (n.to_vec(), v.to_vec())).collect();
                return Ok((payload, Some(at + consumed), trailers));
            }
        }
    }
}

fn is_written_as_read(payload: &[u8], seed: usize) {
    let mut out = Vec::new();
    for piece in payload.chunks(1 + seed % 31) {
        write_chunk(&mut out, piece);
    }
    write_last_chunk(&mut out, None);
    assert_eq!(reference::chunked(&out), Some((payload.to_vec(), out.len())));
}
