//! `Forwarded` (RFC 7239): what proxies in front say about the client, and what we say.
//!
//! Read strictly and without IO. A list of elements cannot be read from its end, as X-Forwarded-For can: a quote
//! that a client left open would swallow what the proxies behind it wrote. So each line is read from its beginning,
//! and a line that breaks the grammar counts for nothing, nor does any line before it.

use std::net::IpAddr;

use smallvec::SmallVec;

/// What trusted proxies made of the header.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Chain<'a> {
    /// The lines that are passed on, in order.
    pub lines: SmallVec<[&'a [u8]; 2]>,
    /// The `for` of each element, the last one first; `None` where it is absent, `unknown` or a word.
    pub nodes: SmallVec<[Option<IpAddr>; 4]>,
}

impl<'a> Chain<'a> {
    /// Reads all lines of a request.
    pub fn read(lines: impl Iterator<Item = &'a [u8]>) -> Chain<'a> {
        let lines: SmallVec<[&[u8]; 2]> = lines.collect();
        let mut chain = Chain::default();
        for line in lines.into_iter().rev() {
            let Some(nodes) = elements(line) else { break };
            chain.nodes.extend(nodes.into_iter().rev());
            chain.lines.insert(0, line);
        }
        chain
    }

    /// The address that the outermost of `hops` trusted proxies saw.
    pub fn client(&self, hops: u32) -> Option<IpAddr> {
        *self.nodes.get((hops as usize).checked_sub(1)?)?
    }
}

/// The `for` of each element of a line; `None` = it breaks the grammar (section 4).
fn elements(line: &[u8]) -> Option<SmallVec<[Option<IpAddr>; 4]>> {
    let mut nodes = SmallVec::new();
    let mut rest = Rest(line);
    loop {
        rest.skip_blanks();
        // Empty elements of a list count for nothing (RFC 9110 section 5.6.1.2).
        if rest.take(b',') {
            continue;
        }
        if rest.0.is_empty() {
            return Some(nodes);
        }
        nodes.push(rest.element()?);
        if !rest.0.is_empty() && !rest.take(b',') {
            return None;
        }
    }
}

struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn skip_blanks(&mut self) {
        self.0 = self.0.trim_ascii_start();
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.0.strip_prefix(&[byte]);
        self.0 = found.unwrap_or(self.0);
        found.is_some()
    }

    /// One element, up to its comma: its `for`.
    fn element(&mut self) -> Option<Option<IpAddr>> {
        let mut names: SmallVec<[&[u8]; 4]> = SmallVec::new();
        let mut node = None;
        loop {
            self.skip_blanks();
            if !matches!(self.0.first(), None | Some(b',' | b';')) {
                let name = self.token()?;
                if !self.take(b'=') || names.iter().any(|other| other.eq_ignore_ascii_case(name)) {
                    return None;
                }
                names.push(name);
                let value = self.value()?;
                if name.eq_ignore_ascii_case(b"for") {
                    node = self::node(&value);
                }
            }
            // Blanks beside a semicolon are not in the grammar, and are sent.
            self.skip_blanks();
            if !self.take(b';') {
                return Some(node);
            }
        }
    }

    fn token(&mut self) -> Option<&'a [u8]> {
        let end = self.0.iter().position(|&byte| !is_token(byte)).unwrap_or(self.0.len());
        let (token, rest) = self.0.split_at(end);
        self.0 = rest;
        (!token.is_empty()).then_some(token)
    }

    /// A token or a quoted string (RFC 9110 section 5.6.4).
    fn value(&mut self) -> Option<SmallVec<[u8; 64]>> {
        if !self.take(b'"') {
            return self.token().map(SmallVec::from_slice);
        }
        let mut value = SmallVec::new();
        loop {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            match byte {
                b'"' => return Some(value),
                b'\\' => {
                    let (&escaped, rest) = self.0.split_first()?;
                    self.0 = rest;
                    value.push(escaped);
                }
                byte => value.push(byte),
            }
        }
    }
}

/// RFC 9110 section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// The address of a node (section 6), its port left out; `None` for `unknown`, a word, and what is none of these.
fn node(value: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(value).ok()?;
    if let Some(rest) = text.strip_prefix('[') {
        let (ip, port) = rest.split_once(']')?;
        let port = if port.is_empty() { None } else { Some(port.strip_prefix(':')?) };
        return ip.parse().ok().map(IpAddr::V6).filter(|_| port.is_none_or(is_port));
    }
    let (ip, port) = text.split_once(':').map_or((text, None), |(ip, port)| (ip, Some(port)));
    ip.parse().ok().map(IpAddr::V4).filter(|_| port.is_none_or(is_port))
}

/// Up to five digits, or a word that begins with `_`.
fn is_port(port: &str) -> bool {
    match port.strip_prefix('_') {
        Some(word) => {
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
            !word.is_empty() && word.bytes().all(fits)
        }
        None => (1..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

/// Our own element, appended to `out`: the peer's address as text, the host that it asked for, and how it came.
pub fn push_element(out: &mut Vec<u8>, peer: &[u8], host: &[u8], tls: bool) {
    out.extend_from_slice(b"for=");
    // IPv6 is bracketed, and brackets and colons must be quoted (section 6).
    if peer.contains(&b':') {
        out.extend_from_slice(b"\"[");
        out.extend_from_slice(peer);
        out.extend_from_slice(b"]\"");
    } else {
        out.extend_from_slice(peer);
    }
    if !host.is_empty() {
        out.extend_from_slice(b";host=");
        if host.iter().all(|&byte| is_token(byte)) {
            out.extend_from_slice(host);
        } else {
            out.push(b'"');
            for &byte in host {
                if matches!(byte, b'"' | b'\\') {
                    out.push(b'\\');
                }
                out.push(byte);
            }
            out.push(b'"');
        }
    }
    out.extend_from_slice(if tls { b";proto=https" } else { b";proto=http" });
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn nodes(lines: &[&str]) -> Vec<Option<IpAddr>> {
        Chain::read(lines.iter().map(|line| line.as_bytes())).nodes.into_vec()
    }

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn the_examples_of_the_rfc_are_read() {
        for (line, expected) in [
            ("for=\"_gazonk\"", vec![None]),
            ("For=\"[2001:db8:cafe::17]:4711\"", vec![ip("2001:db8:cafe::17")]),
            ("for=192.0.2.60;proto=http;by=203.0.113.43", vec![ip("192.0.2.60")]),
            ("for=192.0.2.43, for=198.51.100.17", vec![ip("198.51.100.17"), ip("192.0.2.43")]),
            ("for=_hidden, for=_SEVKISEK", vec![None, None]),
            (
                "for=192.0.2.43,for=\"[2001:db8:cafe::17]\",for=unknown",
                vec![None, ip("2001:db8:cafe::17"), ip("192.0.2.43")],
            ),
            ("for=\"192.0.2.43:47011\"", vec![ip("192.0.2.43")]),
            ("for=\"192.0.2.43:_a.b\"", vec![ip("192.0.2.43")]),
            ("proto=https", vec![None]),
        ] {
            assert_eq!(nodes(&[line]), expected, "{line}");
        }
        let several = ["for=192.0.2.43,for=\"[2001:db8:cafe::17]\"", "for=192.0.2.1"];
        let chain = Chain::read(several.iter().map(|line| line.as_bytes()));
        assert_eq!((chain.client(1), chain.client(2)), (ip("192.0.2.1"), ip("2001:db8:cafe::17")));
        assert_eq!((chain.client(3), chain.client(4), chain.client(0)), (ip("192.0.2.43"), None, None));
    }

    #[test]
    fn blanks_and_empty_elements_count_for_nothing() {
        assert_eq!(
            nodes(&[" , for=1.1.1.1 ,, for=2.2.2.2; proto=http ; host=a,"]),
            [ip("2.2.2.2"), ip("1.1.1.1")]
        );
        assert_eq!(nodes(&[""]), []);
        assert_eq!(nodes(&["for=\"1.1.1.1\\\"\""]), [None], "an escaped quote is part of the value");
        assert_eq!(nodes(&["for=\"1.1.1.\\1\""]), [ip("1.1.1.1")]);
    }

    #[test]
    fn a_line_that_breaks_the_grammar_counts_for_nothing_nor_does_what_is_before_it() {
        for broken in [
            "for",
            "for=",
            "=1.1.1.1",
            "for =1.1.1.1",
            "for= 1.1.1.1",
            "for=1.1.1.1:80",
            "for=[::1]",
            "for=\"1.1.1.1",
            "for=\"1.1.1.1\\",
            "for=1.1.1.1 for=2.2.2.2",
            "for=1.1.1.1;for=2.2.2.2",
            "for=1.1.1.1;FOR=2.2.2.2",
            "for=\"1.1.1.1\"x",
            // What an open quote of a client's swallows.
            "for=\"x, for=192.0.2.7",
        ] {
            assert_eq!(nodes(&["for=9.9.9.9", broken]), [], "{broken}");
            let after = ["for=9.9.9.9", broken, "for=3.3.3.3"];
            let chain = Chain::read(after.iter().map(|line| line.as_bytes()));
            assert_eq!(
                (&chain.nodes[..], &chain.lines[..]),
                (&[ip("3.3.3.3")][..], &[&b"for=3.3.3.3"[..]][..]),
                "{broken}"
            );
        }
        for no_address in [
            "for=\"1.1.1.1:\"",
            "for=\"[::1]:x\"",
            "for=\"[::1\"",
            "for=\"::1\"",
            "for=1.1.1",
            "for=\"1.1.1.1:123456\"",
        ] {
            assert_eq!(nodes(&[no_address]), [None], "{no_address}");
        }
    }

    #[test]
    fn our_own_element_is_quoted_where_it_must_be() {
        let written = |peer: &str, host: &str, tls| {
            let mut out = Vec::new();
            push_element(&mut out, peer.as_bytes(), host.as_bytes(), tls);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(written("192.0.2.1", "a.example", true), "for=192.0.2.1;host=a.example;proto=https");
        assert_eq!(
            written("2001:db8::1", "a:8000", false),
            "for=\"[2001:db8::1]\";host=\"a:8000\";proto=http"
        );
        assert_eq!(written("192.0.2.1", "", false), "for=192.0.2.1;proto=http");
    }

    proptest! {
        #[test]
        fn what_we_write_is_read_again_whatever_stands_before_it(
            before in "[ -~]{0,40}",
            peer in any::<IpAddr>(),
            host in "[!-~]{0,20}",
            tls in any::<bool>(),
        ) {
            let mut ours = Vec::new();
            push_element(&mut ours, peer.to_string().as_bytes(), host.as_bytes(), tls);
            let chain = Chain::read([before.as_bytes(), &ours].into_iter());
            prop_assert_eq!(chain.client(1), Some(peer));
            // In one line, as it is sent on: only what is valid is kept before it.
            let line = chain.lines.join(&b", "[..]);
            prop_assert_eq!(Chain::read([&line[..]].into_iter()).client(1), Some(peer));
        }
    }
}
