//! What can be wrong with an origin, as text and as a type.
//!
//! A refused connection is not here: that is what killing the process (or [`super::Origin::stop`]) gives,
//! and imitating it inside a listening process would only look like it.

use std::time::Duration;

/// How an origin treats every request except those to its own `/__` paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Fault {
    /// Answers as it should.
    #[default]
    Ok,
    /// Waits this long before each answer. Spares `/healthz`.
    Slow(Duration),
    /// Answers this share of the requests (0 to 100) with 503, spread evenly but without a pattern, the
    /// same requests in every run. Spares `/healthz`.
    Err {
        /// Percent of requests that get 503.
        percent: u8,
    },
    /// Answers every request with this status. Spares `/healthz`: the sick origin with a good probe.
    Status(u16),
    /// Reads requests and never answers, `/healthz` neither. Requests that wait are answered once the
    /// fault is lifted, as those of a stopped process are once it continues.
    Hang,
    /// Closes the connection (HTTP/2: resets the stream) instead of answering, `/healthz` too.
    Close,
}

/// What `/healthz` does while a fault is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Health {
    /// What the fault says of it.
    #[default]
    Usual,
    /// 200 whatever the fault.
    Good,
    /// 503 whatever the fault.
    Bad,
}

/// An origin's whole behaviour: a fault, and what its probe says meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Behaviour {
    /// For requests.
    pub fault: Fault,
    /// For `/healthz`.
    pub health: Health,
}

impl From<Fault> for Behaviour {
    fn from(fault: Fault) -> Self {
        Behaviour { fault, health: Health::Usual }
    }
}

impl Fault {
    /// Whether `/healthz` stays good under this fault (see each variant).
    pub fn spares_health(self) -> bool {
        !matches!(self, Fault::Hang | Fault::Close)
    }
}

impl Behaviour {
    /// Reads the query of `POST /__fault`: `kind=ok|slow|err|status|hang|close`, with `ms` (slow, 800 if
    /// absent), `percent` (err, 10), `code` (status, 500), and `healthz=good|bad`.
    ///
    /// # Errors
    /// A sentence that says what was expected, fit for the answer's body.
    pub fn from_query(query: &str) -> Result<Behaviour, String> {
        let get = |name| query_value(query, name);
        let fault = match get("kind").unwrap_or("ok") {
            "ok" => Fault::Ok,
            "slow" => Fault::Slow(Duration::from_millis(number(get("ms"), 800, 0..=600_000, "ms")?)),
            "err" => Fault::Err { percent: number(get("percent"), 10, 0..=100, "percent")? as u8 },
            "status" => Fault::Status(number(get("code"), 500, 200..=599, "code")? as u16),
            "hang" => Fault::Hang,
            "close" => Fault::Close,
            other => return Err(format!("unknown kind {other:?}: ok, slow, err, status, hang or close")),
        };
        let health = match get("healthz") {
            None => Health::Usual,
            Some("good") => Health::Good,
            Some("bad") => Health::Bad,
            Some(other) => return Err(format!("unknown healthz {other:?}: good or bad")),
        };
        Ok(Behaviour { fault, health })
    }

    /// The query that [`Behaviour::from_query`] reads back to the same value.
    pub fn to_query(self) -> String {
        let mut query = match self.fault {
            Fault::Ok => "kind=ok".to_owned(),
            Fault::Slow(wait) => format!("kind=slow&ms={}", wait.as_millis()),
            Fault::Err { percent } => format!("kind=err&percent={percent}"),
            Fault::Status(code) => format!("kind=status&code={code}"),
            Fault::Hang => "kind=hang".to_owned(),
            Fault::Close => "kind=close".to_owned(),
        };
        match self.health {
            Health::Usual => {}
            Health::Good => query.push_str("&healthz=good"),
            Health::Bad => query.push_str("&healthz=bad"),
        }
        query
    }
}

/// The value of one field of a query such as `a=1&b=2`. Nothing here needs percent-decoding.
pub(crate) fn query_value<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

/// A whole number from a query, or its default; out of range is an error that names the field.
pub(crate) fn number(
    text: Option<&str>,
    default: u64,
    range: std::ops::RangeInclusive<u64>,
    name: &str,
) -> Result<u64, String> {
    let value = match text {
        None => default,
        Some(text) => text.parse().map_err(|_| format!("{name}={text:?} is not a whole number"))?,
    };
    if range.contains(&value) {
        Ok(value)
    } else {
        Err(format!("{name}={value} is outside {} to {}", range.start(), range.end()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_behaviour_survives_its_own_text() {
        let faults = [
            Fault::Ok,
            Fault::Slow(Duration::from_millis(250)),
            Fault::Err { percent: 33 },
            Fault::Status(501),
            Fault::Hang,
            Fault::Close,
        ];
        for fault in faults {
            for health in [Health::Usual, Health::Good, Health::Bad] {
                let behaviour = Behaviour { fault, health };
                assert_eq!(Behaviour::from_query(&behaviour.to_query()), Ok(behaviour));
            }
        }
    }

    #[test]
    fn a_fault_without_numbers_takes_those_of_the_demo() {
        assert_eq!(
            Behaviour::from_query("kind=slow").map(|b| b.fault),
            Ok(Fault::Slow(Duration::from_millis(800)))
        );
        assert_eq!(Behaviour::from_query("kind=err").map(|b| b.fault), Ok(Fault::Err { percent: 10 }));
    }

    #[test]
    fn nonsense_is_refused_with_what_was_expected() {
        for (query, word) in [
            ("kind=sleepy", "hang"),
            ("kind=err&percent=101", "0 to 100"),
            ("kind=slow&ms=x", "whole number"),
            ("kind=status&code=42", "200 to 599"),
            ("kind=ok&healthz=maybe", "good or bad"),
        ] {
            let error = Behaviour::from_query(query).expect_err(query);
            assert!(error.contains(word), "{query}: {error}");
        }
    }
}
