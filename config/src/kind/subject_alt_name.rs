//! Names that a certificate may carry, as both sides of TLS are told them: a DNS name, or a URI such as a SPIFFE ID
//! (RFC 5280 section 4.2.1.6).

use crate::read::{At, units};

/// One name.
pub(crate) fn read(at: At<'_>) -> Option<String> {
    name(at, &at.text()?)
}

/// Names with commas between them, as an option of a Gateway listener holds them.
pub(crate) fn read_list(at: At<'_>) -> Option<Vec<String>> {
    let text = at.text()?;
    text.split(',').map(|part| name(at, part.trim())).collect()
}

fn name(at: At<'_>, text: &str) -> Option<String> {
    match text.split_once("://") {
        Some(("spiffe", id)) if !id.is_empty() => {
            if is_spiffe(id) {
                return Some(text.to_owned());
            }
            let remedy = "write spiffe://trust-domain/path, or spiffe://trust-domain/path/* for all below it; \
                          letters, digits, `-`, `.` and `_`, the trust domain in lower case";
            at.refuse(format!("`{text}` is not a SPIFFE ID"), remedy)
        }
        Some((scheme, rest)) if !rest.is_empty() && units::is_token(scheme) && text.is_ascii() => {
            Some(text.to_owned())
        }
        Some(_) => at.refuse(format!("`{text}` is not a URI"), "write it as spiffe://trust-domain/path"),
        None => match units::dns_name(text) {
            Some(name) => Some(name),
            None => at.refuse(
                format!("`{text}` is not a host name"),
                "write a DNS name, such as api.example.com, or a URI, such as spiffe://trust-domain/path",
            ),
        },
    }
}

/// What stands behind the scheme (SPIFFE-ID sections 2.1 and 2.2), `*` as the last segment allowed.
fn is_spiffe(id: &str) -> bool {
    let mut segments = id.split('/');
    let domain = segments.next().unwrap_or_default();
    let common = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'-' | b'.' | b'_');
    let fits = |segment: &str| {
        !matches!(segment, "" | "." | "..") && segment.bytes().all(|b| common(b) || b.is_ascii_alphabetic())
    };
    let mut rest: Vec<&str> = segments.collect();
    rest.pop_if(|last| *last == "*");
    !domain.is_empty()
        && domain.bytes().all(|byte| common(byte) || byte.is_ascii_lowercase())
        && rest.into_iter().all(fits)
}

#[cfg(test)]
mod tests {
    use super::is_spiffe;

    #[test]
    fn a_spiffe_id_has_a_trust_domain_and_whole_segments() {
        for good in ["example.com", "a/b", "a_b/ns/Prod/sa/web.1", "a/*", "a/b/*"] {
            assert!(is_spiffe(good), "{good}");
        }
        for bad in
            ["", "/a", "Example.com", "a/", "a//b", "a/b*", "a/*/b", "*", "*/a", "a/..", "a/b?c", "a:1/b"]
        {
            assert!(!is_spiffe(bad), "{bad}");
        }
    }
}
