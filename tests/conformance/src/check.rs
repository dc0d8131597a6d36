//! What a check is, and what it has at hand.

use std::pin::Pin;
use std::sync::Arc;

use crate::origin::script::Script;
use crate::origin::{Door, Seen};
use crate::target::World;
use crate::wire::Conn;
use crate::wire::h2::H2;

/// Nothing, or what was wrong.
pub type Verdict = Result<(), String>;

/// One promise of a proxy.
#[derive(Clone, Copy)]
pub struct Check {
    /// `area/name`, unique.
    pub id: &'static str,
    /// The section that asks for it, or the attack that it stops.
    pub source: &'static str,
    /// The promise.
    pub title: &'static str,
    /// How it is seen.
    pub run: Run,
}

impl Check {
    /// The part of its id before the slash.
    pub fn area(&self) -> &'static str {
        self.id.split('/').next().unwrap_or_default()
    }

    /// Runs it.
    ///
    /// # Errors
    /// What was wrong.
    pub async fn judge(&self, case: Case) -> Verdict {
        match self.run {
            Run::Request(request) => crate::judge::request::judge(&case, &request).await,
            Run::Answer(answer) => crate::judge::answer::judge(&case, &answer).await,
            Run::H2Request(request) => crate::judge::h2_request::judge(&case, &request).await,
            Run::Frames(frames) => crate::judge::frames::judge(&case, &frames).await,
            Run::Code(code) => code(case).await,
        }
    }
}

/// The kinds of checks: four that are data, and code.
#[derive(Clone, Copy)]
pub enum Run {
    /// HTTP/1.1 octets from a client.
    Request(crate::judge::request::Request),
    /// Octets from an upstream.
    Answer(crate::judge::answer::Answer),
    /// An HTTP/2 field section.
    H2Request(crate::judge::h2_request::H2Request),
    /// HTTP/2 frames.
    Frames(crate::judge::frames::Frames),
    /// Anything else.
    Code(fn(Case) -> Pin<Box<dyn Future<Output = Verdict> + Send>>),
}

/// A check in code: `code!("area/name", "RFC ...", "promise", |case| { ... Ok(()) })`.
#[macro_export]
macro_rules! code {
    ($id:expr, $source:expr, $title:expr, |$case:ident| $body:block) => {
        $crate::check::Check {
            id: $id,
            source: $source,
            title: $title,
            run: $crate::check::Run::Code(|case| {
                async fn run($case: $crate::check::Case) -> $crate::check::Verdict {
                    $body
                }
                Box::pin(run(case))
            }),
        }
    };
}

/// `ensure!(holds, "what else")`: the verdict where it does not.
#[macro_export]
macro_rules! ensure {
    ($holds:expr, $($what:tt)+) => {
        if !$holds {
            return Err(format!($($what)+));
        }
    };
}

/// One check's run against one target.
#[derive(Clone)]
pub struct Case {
    /// The target and the origin behind it.
    pub world: Arc<World>,
    /// What its requests are known by.
    pub token: String,
}

impl Case {
    /// Fills in the tokens: `@T` this check's, `@N` that of the request that follows, `@S` that of one that must not
    /// come to be.
    pub fn fill(&self, text: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(text.len() + 16);
        let mut rest = text;
        while let Some((&first, after)) = rest.split_first() {
            let suffix = match rest.get(..2) {
                Some(b"@T") => "",
                Some(b"@N") => "n",
                Some(b"@S") => "s",
                _ => {
                    out.push(first);
                    rest = after;
                    continue;
                }
            };
            out.extend_from_slice(self.token.as_bytes());
            out.extend_from_slice(suffix.as_bytes());
            rest = &rest[2..];
        }
        out
    }

    /// The same for text.
    pub fn text(&self, text: &str) -> String {
        String::from_utf8_lossy(&self.fill(text.as_bytes())).into_owned()
    }

    /// What to do with this check's requests, in their order.
    pub fn script(&self, scripts: Vec<Script>) {
        self.world.origin.script(&self.token, scripts);
    }

    /// This check's requests that came whole.
    pub fn whole(&self) -> Vec<Seen> {
        self.seen().into_iter().filter(Seen::is_whole).collect()
    }

    /// This check's requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.world.origin.seen(&self.token)
    }

    /// The only one of them, whole.
    ///
    /// # Errors
    /// There are none or several.
    pub fn only(&self) -> Result<Seen, String> {
        let mut all = self.whole();
        match (all.pop(), all.len()) {
            (Some(seen), 0) => Ok(seen),
            (None, _) => Err("the origin got no whole request".to_owned()),
            (Some(_), more) => Err(format!("the origin got {} requests", more + 1)),
        }
    }

    /// Whether a request came that must not: the one with the token `@S`.
    pub fn is_smuggled(&self) -> bool {
        !self.world.origin.seen(&format!("{}s", self.token)).is_empty()
    }

    /// A cleartext connection to the target.
    ///
    /// # Errors
    /// Nobody accepts.
    pub async fn http(&self) -> Result<Conn, String> {
        Conn::tcp(self.world.ports.http).await
    }

    /// A cleartext connection to the listener with tight limits.
    ///
    /// # Errors
    /// Nobody accepts.
    pub async fn tight(&self) -> Result<Conn, String> {
        Conn::tcp(self.world.ports.tight).await
    }

    /// An HTTP/2 connection to the target.
    ///
    /// # Errors
    /// There is none.
    pub async fn h2(&self) -> Result<H2, String> {
        self.h2_with(&[]).await
    }

    /// The same with settings of the client's.
    ///
    /// # Errors
    /// There is none.
    pub async fn h2_with(&self, settings: &[(u16, u32)]) -> Result<H2, String> {
        H2::open(self.world.ports.https, &self.world.tls.h2, settings).await
    }

    /// A GET's fields in HTTP/2, for this path.
    pub fn get(&self, path: &str) -> Vec<(String, String)> {
        self.h2_fields("GET", path)
    }

    /// A request's fields in HTTP/2.
    pub fn h2_fields(&self, method: &str, path: &str) -> Vec<(String, String)> {
        let pseudo = [(":method", method), (":scheme", "https"), (":authority", "a.test"), (":path", path)];
        pseudo.into_iter().map(|(name, value)| (name.to_owned(), self.text(value))).collect()
    }

    /// A port of the origin's.
    pub fn origin_port(&self, door: Door) -> u16 {
        self.world.origin.port(door)
    }
}
