//! The small rules with numbers in them: budgets, waits, ramps, packed words.

use std::time::Duration;

use causeway_proxy_policy::Tick;
use causeway_proxy_policy::backoff::Backoff;
use causeway_proxy_policy::bounded_load::has_room;
use causeway_proxy_policy::health::outlier::{ejection_span, may_eject};
use causeway_proxy_policy::health::{Attempt, EndpointId, OutlierParams};
use causeway_proxy_policy::p2c::{decayed, observe};
use causeway_proxy_policy::retry_budget::{RetryBudget, RollingCount, SLICES};
use causeway_proxy_policy::slow_start::SlowStart;

use crate::bytes::Bytes;

pub fn run(input: &[u8]) {
    let mut bytes = Bytes::new(input);
    match bytes.byte() % 5 {
        0 => retries(&mut bytes),
        1 => waits(&mut bytes),
        2 => ramps(&mut bytes),
        3 => words(&mut bytes),
        _ => shares(&mut bytes),
    }
}

/// The ring counts what a list of all would, and never allows more than the budget.
fn retries(bytes: &mut Bytes<'_>) {
    let percent = f64::from(bytes.byte());
    let budget = RetryBudget { percent, min_per_second: f64::from(bytes.byte()), window: bytes.span() };
    let (mut now, mut all) = (Tick::from_millis(bytes.short().into()), Vec::new());
    let (mut requests, mut retries) = (RollingCount::default(), 0u64);
    while !bytes.is_empty() {
        now = now + budget.window.mul_f64(f64::from(bytes.byte()) / 300.0);
        let slice = budget.slice(now);
        for _ in 0..bytes.below(40) {
            requests.add(slice);
            all.push(slice);
        }
        let recent = all.iter().filter(|past| slice.wrapping_sub(**past) < SLICES as u32).count() as u64;
        assert_eq!(requests.sum(slice), recent);
        while retries < 500 && budget.allows(recent, retries) {
            retries += 1;
        }
        let most = percent / 100.0 * recent as f64 + budget.min_per_second * budget.window.as_secs_f64();
        assert!(retries == 0 || retries as f64 <= most || !budget.allows(recent, retries));
        retries = 0;
    }
}

fn waits(bytes: &mut Bytes<'_>) {
    let backoff = Backoff { base: bytes.span(), max: bytes.span() };
    let n = [0, 1, 2, 3, 62, 63, 64, u32::MAX][bytes.below(8)];
    let (roll, other) = (bytes.long(), bytes.long());
    let (short, long) = (backoff.delay(n, roll.min(other)), backoff.delay(n, roll.max(other)));
    assert!(short <= long && long <= backoff.max);
    assert!(n > 0 || long.is_zero());

    let params = OutlierParams {
        base_ejection_time: bytes.span(),
        max_ejection_time: bytes.span(),
        ..OutlierParams::default()
    };
    let longest = params.max_ejection_time.max(params.base_ejection_time) + params.base_ejection_time / 10;
    let span = ejection_span(&params, u32::from(bytes.short()), roll);
    assert!(span >= params.base_ejection_time && span <= longest, "{span:?} of {longest:?}");
}

fn ramps(bytes: &mut Bytes<'_>) {
    let aggression = f64::from(bytes.byte()) / 16.0;
    let ramp = SlowStart { window: bytes.span(), aggression, min_weight: f64::from(bytes.byte()) / 255.0 };
    let since = Tick(bytes.long() >> 8);
    let mut before = 0.0;
    for n in 0..8u32 {
        let weight = ramp.weight(since, since + ramp.window / 6 * n);
        assert!(weight > 0.0 && weight <= 1.0 && weight >= before, "{weight} after {before}");
        before = weight;
    }
    assert_eq!(ramp.weight(since, since + ramp.window), 1.0);

    let (estimate, sample) = (bytes.long() >> 16, bytes.long() >> 16);
    let (updated, now) = (Tick(bytes.long() >> 8), Tick(bytes.long() >> 8));
    let next = observe(estimate, updated, sample, now);
    assert!(next >= 1 && next <= estimate.max(sample).max(1), "{next} of {estimate} and {sample}");
    assert!(decayed(estimate, updated, now) <= estimate);
}

fn words(bytes: &mut Bytes<'_>) {
    let ended = Tick(bytes.long() >> 6);
    let sent = Tick(ended.0.saturating_sub(bytes.span().as_nanos() as u64));
    let endpoint = EndpointId(u32::from(bytes.short()));
    let attempt = Attempt { ended, sent, endpoint, failed: bytes.flag() };
    let word = attempt.pack();
    assert_ne!(word, 0);
    let back = Attempt::unpack(word, ended + Duration::from_millis(bytes.short().into())).expect("not empty");
    assert_eq!(
        (back.endpoint, back.failed, back.ended.as_millis()),
        (endpoint, attempt.failed, ended.as_millis())
    );
    let (age, seemed) = (ended.since(sent).min(Duration::from_secs(240)), back.ended.since(back.sent));
    assert!(
        seemed + Duration::from_millis(1) >= age.min(back.ended.since(Tick(0))),
        "{seemed:?} for {age:?}"
    );
    // Whatever a word is, reading it is safe.
    let _ = Attempt::unpack(bytes.long(), Tick(bytes.long()));
}

fn shares(bytes: &mut Bytes<'_>) {
    let (hosts, percent) = (u32::from(bytes.byte()), bytes.below(101) as u32);
    let most = (0..hosts).take_while(|&ejected| may_eject(ejected, hosts, percent)).count() as u64;
    assert!(100 * most <= u64::from(percent) * u64::from(hosts));
    assert!(100 * (most + 1) > u64::from(percent) * u64::from(hosts), "one more would have been allowed");

    // Of endpoints with equal shares, somebody always has room.
    let n = 1 + bytes.below(20);
    let flying: Vec<u32> = (0..n).map(|_| u32::from(bytes.short())).collect();
    let (total, factor) = (flying.iter().sum(), u32::from(bytes.short()));
    assert!(flying.iter().any(|own| has_room(factor, *own, total, 1.0 / n as f64)), "{flying:?}");
}
