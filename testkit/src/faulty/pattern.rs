//! Bodies that belong to one request: made from its number, so that a byte of another's is seen at once.

use causeway_control_demo::random::mix;

/// `len` bytes of the body that belongs to `id`, from its beginning.
pub fn body(id: u64, len: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(len + 7);
    for block in 0..len.div_ceil(8) as u64 {
        bytes.extend_from_slice(&mix(id.wrapping_add(block)).to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// What a request with this number uploads: another body than the one it is answered.
pub fn upload(id: u64, len: usize) -> Vec<u8> {
    body(!id, len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_longer_body_begins_like_a_shorter_one_and_no_other_does() {
        // Numbers as they are used: drawn, not counted. Neighbours overlap by all but a block.
        let (one, other) = (mix(1), mix(2));
        assert!(body(one, 1_000).starts_with(&body(one, 13)));
        assert_ne!(body(one, 8), body(other, 8));
        assert_ne!(body(one, 8), upload(one, 8));
        assert_eq!(body(one, 13).len(), 13);
    }
}
