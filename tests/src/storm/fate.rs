//! What became of one request, held against what was asked.

use causeway_testkit::faulty::{FAULT, Fault, ID, pattern};

/// What was asked of a [`causeway_testkit::faulty::FaultyOrigin`].
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The request's number.
    pub id: u64,
    /// Length of the answer's body.
    pub bytes: usize,
    /// Length of the request's own body.
    pub upload: usize,
    /// The upload is to come back, instead of a body of `bytes`.
    pub echo: bool,
}

/// What came.
pub struct Got<'a> {
    /// Status.
    pub status: u16,
    /// Body as far as it came.
    pub body: &'a [u8],
    /// It ended as its framing says.
    pub whole: bool,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The right answer, to the last byte.
    Right,
    /// An error of the origin's own, passed on.
    Sick,
    /// A well-formed error of the proxy's own, with this status.
    Refused(u16),
    /// The right answer broke off, and could not be taken for a whole one.
    Cut,
    /// The connection ended without an answer.
    Lost,
    /// The client left, as it had meant to.
    Left,
    /// Something that must never come.
    Wrong(String),
}

impl Fate {
    /// One word for it.
    pub fn word(&self) -> &'static str {
        match self {
            Fate::Right => "right",
            Fate::Sick => "sick",
            Fate::Refused(_) => "refused",
            Fate::Cut => "cut",
            Fate::Lost => "lost",
            Fate::Left => "left",
            Fate::Wrong(_) => "WRONG",
        }
    }
}

/// The proxy's own errors that a routed request can get.
const OWN: [u16; 5] = [408, 413, 502, 503, 504];

/// Judges an answer. `field` gives the value of a field of its head.
pub fn judge<'a>(wanted: &Wanted, got: &Got<'_>, field: impl Fn(&str) -> Option<&'a str>) -> Fate {
    let wrong = |what: String| Fate::Wrong(format!("request {:x}: {what}", wanted.id));
    let Some(id) = field(ID) else {
        let own = field("proxy-status").is_some_and(|status| status.starts_with("causeway; error="));
        // What asked as gRPC does may be told as gRPC does it: a 200 that says so in its head.
        let grpc = wanted.echo && got.status == 200 && field("grpc-status").is_some();
        return match got.status {
            200 if grpc && got.body.is_empty() && got.whole => Fate::Refused(200),
            status if !own || !OWN.contains(&status) => wrong(format!("status {status} from nobody")),
            status if got.whole => Fate::Refused(status),
            _ => Fate::Cut,
        };
    };
    if id != format!("{:x}", wanted.id) {
        return wrong(format!("the answer to {id}"));
    }
    let fault = field(FAULT).and_then(Fault::by_name);
    if got.status == 503 && fault == Some(Fault::Status) {
        return if got.body.is_empty() { Fate::Sick } else { wrong("a body with the 503".to_owned()) };
    }
    if got.status != 200 {
        return wrong(format!("status {}", got.status));
    }
    let expected = if wanted.echo && fault == Some(Fault::Right) {
        pattern::upload(wanted.id, wanted.upload)
    } else {
        pattern::body(wanted.id, wanted.bytes)
    };
    if !expected.starts_with(got.body) {
        let at = expected.iter().zip(got.body).take_while(|(one, other)| one == other).count();
        return wrong(format!("byte {at} of {} is another's ({fault:?})", got.body.len()));
    }
    match got.body.len() {
        _ if !got.whole => Fate::Cut,
        length if length == expected.len() => Fate::Right,
        // A lie of the origin's that nobody behind it can see through.
        _ if fault == Some(Fault::ShortLength) => Fate::Right,
        length => wrong(format!("{length} of {} bytes pass for all ({fault:?})", expected.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fate(status: u16, fields: &[(&str, &str)], body: &[u8], whole: bool) -> Fate {
        let wanted = Wanted { id: 0xab, bytes: 100, upload: 0, echo: false };
        let got = Got { status, body, whole };
        judge(&wanted, &got, |name| fields.iter().find(|(have, _)| *have == name).map(|(_, value)| *value))
    }

    #[test]
    fn only_the_own_answer_to_the_last_byte_is_right() {
        let body = pattern::body(0xab, 100);
        let own = [(ID, "ab"), (FAULT, "right")];
        assert_eq!(fate(200, &own, &body, true), Fate::Right);
        assert_eq!(fate(200, &own, &body[..99], false), Fate::Cut);
        let mut other = body.clone();
        other[50] ^= 1;
        for wrong in [
            fate(200, &own, &body[..99], true),
            fate(200, &own, &other, true),
            fate(200, &own, &other, false),
            fate(200, &[(ID, "ac"), (FAULT, "right")], &body, true),
            fate(404, &own, &body, true),
            fate(200, &[], &body, true),
        ] {
            assert!(matches!(wrong, Fate::Wrong(_)), "{wrong:?}");
        }
    }

    #[test]
    fn an_error_is_the_proxys_by_its_proxy_status_and_the_origins_by_its_number() {
        let own = [("proxy-status", "causeway; error=connection_terminated")];
        assert_eq!(fate(503, &own, b"text", true), Fate::Refused(503));
        assert_eq!(fate(503, &own, b"te", false), Fate::Cut);
        assert_eq!(fate(503, &[(ID, "ab"), (FAULT, "status")], b"", true), Fate::Sick);
        for wrong in [fate(404, &own, b"", true), fate(503, &[], b"", true)] {
            assert!(matches!(wrong, Fate::Wrong(_)), "{wrong:?}");
        }
    }
}
