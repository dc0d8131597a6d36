//! What starts a failover: `triggerOn`.
//!
//! Short: `name [ "(" [pNN] op value ")" ]`, such as `clusterUnhealthy`, `highLatency (p99 > 500ms)`,
//! `highErrorRate (> 5%)`. Spaces do not matter; `op` is `>` or `>=`, which mean the same, because what is
//! compared is a count with a margin for chance. Long: the same as a map, with the window spelled out.
//!
//! Why a grammar of our own for one line: the format has it, people read it aloud, and it has five tokens.

use std::time::Duration;

use serde::Serialize;

use crate::read::{At, Fields, remedy, units};

/// A condition of a cluster that moves users away.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Trigger {
    /// What is watched.
    pub kind: TriggerKind,
    /// Over which time requests are counted. Default 5 s.
    #[serde(serialize_with = "crate::serialize::duration")]
    pub window: Duration,
    /// A window is extended until it holds so many. Default 100.
    pub min_requests: u32,
    /// How many windows in a row must be over the threshold. Default 3.
    pub windows: u32,
    /// It clears below this share of the threshold. Default 0.5; above 0, at most 1.
    pub recover_ratio: f64,
}

/// What a [`Trigger`] watches.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum TriggerKind {
    /// No healthy endpoint, or the breaker is open.
    ClusterUnhealthy,
    /// More than `1 - quantile` of the requests take longer than `threshold` to their first byte.
    HighLatency {
        /// Above 0, below 1: p99 is 0.99.
        quantile: f64,
        /// Above 0.
        #[serde(serialize_with = "crate::serialize::duration")]
        threshold: Duration,
    },
    /// More than `threshold` of the requests fail.
    HighErrorRate {
        /// Above 0, below 1: 5 % is 0.05.
        threshold: f64,
    },
}

/// Words, so that the reader can say what a form needs before its values are known.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Unhealthy,
    Latency,
    ErrorRate,
}

const KINDS: [(&str, Kind); 3] = [
    ("clusterUnhealthy", Kind::Unhealthy),
    ("highLatency", Kind::Latency),
    ("highErrorRate", Kind::ErrorRate),
];

impl Trigger {
    /// The trigger that every cluster has.
    pub fn cluster_unhealthy() -> Self {
        Trigger::new(TriggerKind::ClusterUnhealthy)
    }

    /// A trigger with the default window.
    pub fn new(kind: TriggerKind) -> Self {
        Trigger { kind, window: Duration::from_secs(5), min_requests: 100, windows: 3, recover_ratio: 0.5 }
    }

    /// The share of requests over (slow or failed) at which it trips; `None` for `clusterUnhealthy`.
    pub fn share(&self) -> Option<f64> {
        match self.kind {
            TriggerKind::ClusterUnhealthy => None,
            TriggerKind::HighLatency { quantile, .. } => Some(1.0 - quantile),
            TriggerKind::HighErrorRate { threshold } => Some(threshold),
        }
    }

    /// Either form.
    pub(crate) fn read(at: At<'_>) -> Option<Self> {
        if at.is_map() {
            at.fields().and_then(read_long)
        } else {
            let text = at.any_text()?;
            parse(text).map_err(|(message, remedy)| at.error(message, remedy)).ok()
        }
    }
}

type Mistake = (String, String);

/// The short form.
fn parse(text: &str) -> Result<Trigger, Mistake> {
    let text = text.trim();
    let (name, condition) = match text.split_once('(') {
        None => (text, None),
        Some((name, rest)) => {
            let inside = rest.strip_suffix(')').ok_or_else(|| {
                (
                    format!("`{text}` has no closing bracket at its end"),
                    String::from("write name (p99 > 500ms)"),
                )
            })?;
            (name.trim_end(), Some(inside.trim()))
        }
    };
    let kind =
        KINDS.iter().find(|(word, _)| *word == name).map(|(_, kind)| *kind).ok_or_else(|| unknown(name))?;
    let example = example(kind);
    let wrong = |message: String| (message, format!("write {example}"));
    match (kind, condition) {
        (Kind::Unhealthy, None) => Ok(Trigger::cluster_unhealthy()),
        (Kind::Unhealthy, Some(_)) => Err(wrong(String::from("`clusterUnhealthy` takes no condition"))),
        (_, None) => Err(wrong(format!("`{name}` needs a condition"))),
        (_, Some(condition)) => {
            let (left, right) =
                condition.split_once('>').ok_or_else(|| wrong(format!("`{condition}` has no `>`")))?;
            let (left, right) = (left.trim(), right.strip_prefix('=').unwrap_or(right).trim());
            let kind = match kind {
                Kind::ErrorRate if left.is_empty() => error_rate(right),
                Kind::ErrorRate => Err("a rate has no quantile: write highErrorRate (> 5%)"),
                _ => quantile(left).and_then(|quantile| latency(quantile, right)),
            };
            kind.map(Trigger::new)
                .map_err(|remedy| (format!("`{condition}` is no condition"), remedy.to_owned()))
        }
    }
}

fn unknown(name: &str) -> Mistake {
    let words = KINDS.map(|(word, _)| word);
    let remedy = remedy(name, words, "write one of");
    (format!("`{name}` is not a trigger"), remedy)
}

fn example(kind: Kind) -> &'static str {
    match kind {
        Kind::Unhealthy => "clusterUnhealthy",
        Kind::Latency => "highLatency (p99 > 500ms)",
        Kind::ErrorRate => "highErrorRate (> 5%)",
    }
}

/// `p99`, `p99.9`; absent it is p99.
fn quantile(text: &str) -> Result<f64, &'static str> {
    if text.is_empty() {
        return Ok(0.99);
    }
    let percent = text.strip_prefix('p').and_then(units::decimal).map(|percent| percent * 1000.0 / 100_000.0);
    percent.filter(inside).ok_or("write the quantile as p99 or p99.9, above p0 and below p100")
}

fn latency(quantile: f64, text: &str) -> Result<TriggerKind, &'static str> {
    match units::duration(text)? {
        Duration::ZERO => Err("write a latency above 0s, such as 500ms"),
        threshold => Ok(TriggerKind::HighLatency { quantile, threshold }),
    }
}

fn error_rate(text: &str) -> Result<TriggerKind, &'static str> {
    let threshold = units::share(text)?;
    inside(&threshold)
        .then_some(TriggerKind::HighErrorRate { threshold })
        .ok_or("write a rate above 0% and below 100%, such as 5%")
}

/// A share at either end would always trip or never.
fn inside(share: &f64) -> bool {
    *share > 0.0 && *share < 1.0
}

/// The long form. `for` counts windows in a row, or is a time that they fill; `recoverThreshold` is, like what
/// trips, a share of the requests: those that fail, or that are slow.
fn read_long(mut fields: Fields<'_>) -> Option<Trigger> {
    let kind = fields
        .need("type", "write one of: clusterUnhealthy, highLatency, highErrorRate", |at| at.choice(&KINDS));
    let described = |at: At<'_>, value: Result<TriggerKind, &'static str>| {
        value.map_err(|remedy| at.error("the threshold cannot be used", remedy)).ok()
    };
    let quantile = fields.get("quantile", |at| {
        let text = at.any_text()?;
        let value = units::decimal(text).filter(inside).map_or_else(|| quantile(text), Ok);
        value.map_err(|remedy| at.error(format!("`{text}` is not a quantile"), remedy)).ok()
    });
    let threshold = |at: At<'_>| match kind? {
        Kind::Unhealthy => at.refuse("`clusterUnhealthy` has no threshold", "leave it out"),
        Kind::Latency => described(at, latency(quantile.unwrap_or(0.99), at.any_text()?)),
        Kind::ErrorRate => described(at, error_rate(at.any_text()?)),
    };
    let tripping = match kind {
        Some(kind @ (Kind::Latency | Kind::ErrorRate)) => {
            fields.need("threshold", &format!("give it, as in {}", example(kind)), threshold)
        }
        _ => fields.get("threshold", threshold),
    };
    if quantile.is_some() && kind.is_some_and(|kind| kind != Kind::Latency) {
        fields.error_at("quantile", "only `highLatency` has a quantile", "leave it out");
    }
    let mut trigger = Trigger::new(tripping.unwrap_or(TriggerKind::ClusterUnhealthy));
    trigger.window = fields.or("window", trigger.window, |at| at.period());
    trigger.min_requests = fields.or("minRequests", trigger.min_requests, |at| at.u32(1..=u32::MAX));
    let window = trigger.window;
    trigger.windows = fields.or("for", trigger.windows, |at| match units::duration(at.any_text()?) {
        Ok(time) => u32::try_from(time.as_nanos().div_ceil(window.as_nanos()).clamp(1, 1000)).ok(),
        Err(_) => at.u32(1..=1000),
    });
    let share = trigger.share();
    trigger.recover_ratio =
        fields.or("recoverThreshold", trigger.recover_ratio, |at| match (at.share()?, share) {
            (recover, Some(share)) if recover > 0.0 && recover <= share => Some(recover / share),
            (_, Some(share)) => {
                let remedy =
                    format!("write a share of the requests above 0% and at most {:.3}%", share * 100.0);
                at.refuse("it would never clear, or clear while it trips", remedy)
            }
            (_, None) => at.refuse("`clusterUnhealthy` clears by itself", "leave it out"),
        });
    kind.map(|_| trigger)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::service;

    fn kind(text: &str) -> TriggerKind {
        parse(text).unwrap().kind
    }

    fn remedy_for(text: &str) -> String {
        parse(text).unwrap_err().1
    }

    #[test]
    fn the_short_form_is_a_name_and_a_condition() {
        let latency = |quantile, millis| TriggerKind::HighLatency {
            quantile,
            threshold: Duration::from_millis(millis),
        };
        for (text, expected) in [
            ("clusterUnhealthy", TriggerKind::ClusterUnhealthy),
            ("highLatency (p99 > 500ms)", latency(0.99, 500)),
            ("  highLatency(p99.9>=1s) ", latency(0.999, 1000)),
            ("highLatency ( > 2s )", latency(0.99, 2000)),
            ("highErrorRate (> 5%)", TriggerKind::HighErrorRate { threshold: 0.05 }),
            ("highErrorRate (>0.001)", TriggerKind::HighErrorRate { threshold: 0.001 }),
        ] {
            assert_eq!(kind(text), expected, "{text}");
        }
    }

    #[test]
    fn a_mistake_in_the_short_form_is_answered_with_the_right_form() {
        for (text, expected) in [
            ("highLatncy (p99 > 500ms)", "did you mean `highLatency`?"),
            ("", "write one of: clusterUnhealthy, highLatency, highErrorRate"),
            ("highLatency", "write highLatency (p99 > 500ms)"),
            ("highLatency ()", "write highLatency (p99 > 500ms)"),
            ("highLatency (p99 > 500ms", "write name (p99 > 500ms)"),
            ("highLatency (p99 < 500ms)", "write highLatency (p99 > 500ms)"),
            ("highLatency (p999 > 500ms)", "write the quantile as p99 or p99.9, above p0 and below p100"),
            ("highLatency (99 > 500ms)", "write the quantile as p99 or p99.9, above p0 and below p100"),
            ("highLatency (p99 > 0s)", "write a latency above 0s, such as 500ms"),
            ("highErrorRate (p99 > 5%)", "a rate has no quantile: write highErrorRate (> 5%)"),
            ("highErrorRate (> 5)", "write a percentage such as 5%, or a fraction such as 0.05"),
            ("highErrorRate (> 100%)", "write a rate above 0% and below 100%, such as 5%"),
            ("clusterUnhealthy (> 5%)", "write clusterUnhealthy"),
        ] {
            assert_eq!(remedy_for(text), expected, "{text}");
        }
    }

    fn long(text: &str) -> Trigger {
        let rule = format!("failover: [{{from: a, to: [b], triggerOn: [{text}]}}]");
        let service = service(&format!("clusters: [{{name: a}}, {{name: b}}], {rule}"));
        service.failover[0].trigger_on[0].clone()
    }

    #[test]
    fn the_long_form_says_the_same_and_more() {
        assert_eq!(long("{type: clusterUnhealthy}"), Trigger::cluster_unhealthy());
        assert_eq!(
            long("{type: highLatency, quantile: 0.99, threshold: 500ms}"),
            parse("highLatency (p99 > 500ms)").unwrap()
        );
        let rate = "{type: highErrorRate, threshold: 4%, window: 10s, minRequests: 20, for: 30s, recoverThreshold: 1%}";
        let expected = Trigger {
            kind: TriggerKind::HighErrorRate { threshold: 0.04 },
            window: Duration::from_secs(10),
            min_requests: 20,
            windows: 3,
            recover_ratio: 0.25,
        };
        assert_eq!(long(rate), expected);
        assert_eq!(long("{type: highErrorRate, threshold: 4%, for: 5}").windows, 5);
    }

    #[test]
    fn a_rule_without_triggers_fails_over_when_the_cluster_is_unhealthy() {
        let service = service("clusters: [{name: a}, {name: b}], failover: [{from: a, to: [b]}]");
        assert_eq!(service.failover[0].trigger_on, [Trigger::cluster_unhealthy()]);
    }
}
