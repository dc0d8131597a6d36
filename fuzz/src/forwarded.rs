//! `Forwarded` as others wrote it: what is kept can be read again, alone and with our own element behind it.

use causeway_proxy::request::forwarded::{Chain, push_element};

pub fn run(input: &[u8]) {
    let lines: Vec<&[u8]> = input.split(|&byte| byte == b'\n').collect();
    let chain = Chain::read(lines.iter().copied());
    assert!(chain.lines.len() <= lines.len());
    let again = Chain::read(chain.lines.iter().copied());
    assert_eq!(again, chain, "what is kept is read as before");
    assert_eq!(chain.client(0), None);

    let mut sent = chain.lines.join(&b", "[..]);
    if !sent.is_empty() {
        sent.extend_from_slice(b", ");
    }
    push_element(&mut sent, b"192.0.2.7", b"a.example", true);
    let next = Chain::read([&sent[..]].into_iter());
    assert_eq!(
        next.client(1),
        "192.0.2.7".parse().ok(),
        "the next proxy sees our peer: {}",
        sent.escape_ascii()
    );
    assert_eq!(next.nodes[1..], chain.nodes[..], "and behind it what we saw: {}", sent.escape_ascii());
}
