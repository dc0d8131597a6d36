//! The rules that hold against clients and sources that mean no good, or too well: floods, overload, pace, rates.

use std::time::Duration;

use causeway_proxy_policy::Tick;
use causeway_proxy_policy::discovery::{TtlBounds, retry_in};
use causeway_proxy_policy::flood::{Class, FrameBudget, Useful};
use causeway_proxy_policy::overload::{Crowd, Params, Rest, Shedder};
use causeway_proxy_policy::pace::{Floor, Pace};
use causeway_proxy_policy::rate_limit::{Debt, Rate, Verdict};

use crate::bytes::Bytes;

pub fn run(input: &[u8]) {
    let mut bytes = Bytes::new(input);
    match bytes.byte() % 5 {
        0 => floods(&mut bytes),
        1 => overload(&mut bytes),
        2 => pace(&mut bytes),
        3 => rates(&mut bytes),
        _ => lookups(&mut bytes),
    }
}

/// A number in [0, 1).
fn fraction(bytes: &mut Bytes<'_>) -> f64 {
    f64::from(bytes.byte()) / 256.0
}

/// Useful traffic never does harm, and without any a burst has an end.
fn floods(bytes: &mut Bytes<'_>) {
    let mut now = Tick::from_secs(1);
    let (mut bare, mut earning) = (FrameBudget::new(now), FrameBudget::new(now));
    let mut passed = [0u32; Class::ALL.len()];
    let begun = now;
    while !bytes.is_empty() {
        match bytes.below(4) {
            0 => now = now + Duration::from_millis(bytes.short().into()),
            1 => earning.useful(
                [Useful::Opened, Useful::Answered, Useful::BodyReceived, Useful::BodySent][bytes.below(4)],
            ),
            _ => {
                let (class, times) = (Class::ALL[bytes.below(Class::ALL.len())], bytes.byte());
                for _ in 0..=times {
                    let (one, other) = (bare.spend(class, now), earning.spend(class, now));
                    assert!(other || !one, "{class:?}: who did more that is useful is given less");
                    passed[class as usize] += u32::from(one);
                }
            }
        }
    }
    // The largest of the bursts and of the rates; a second is credited when it is over.
    let most = 1000 + 33 * (now.since(begun).as_secs() as u32 + 1);
    assert!(passed.iter().all(|passed| *passed <= most), "{passed:?} of {most}");
}

/// Shares and rests stay within their bounds, and what is off refuses nobody.
fn overload(bytes: &mut Bytes<'_>) {
    let target = if bytes.flag() { bytes.span() } else { Duration::ZERO };
    let params = Params { max_in_flight: 1, target, interval: bytes.span() };
    let (mut shedder, mut now) = (Shedder::default(), Tick::from_secs(1));
    while !bytes.is_empty() {
        now = now + bytes.span();
        let queue_time = bytes.span() - Duration::from_millis(1);
        let share = shedder.sample(&params, now, queue_time);
        assert!((0.0..1.0).contains(&share), "{share}");
        let (resting, served) = (f64::from(bytes.short()) * 100.0, f64::from(bytes.short()));
        let crowd = Crowd { resting, served, measuring: bytes.flag() };
        let (roll, look) = (fraction(bytes), bytes.span());
        let rests = [Rest::ONE, Rest::MANY].map(|rest| shedder.rest(rest, crowd, roll));
        if params.target.is_zero() {
            assert_eq!((share, rests), (0.0, [None, None]));
            assert!(shedder.has_time_for_old(&params, now, crowd));
        }
        let [one, many] = rests;
        assert!(one.is_none_or(|rest| (0.5..=15.0).contains(&rest.as_secs_f64())), "{one:?}");
        assert!(many.is_none_or(|rest| (0.05..=7.5).contains(&rest.as_secs_f64())), "{many:?}");
        assert!(one.is_some() || many.is_none(), "a connection that carries many rests later");
        let empty = Crowd { resting: 0.0, ..crowd };
        let may = |crowd| shedder.may_return(now, look, crowd, roll);
        assert!(may(empty) || !may(crowd) || crowd.served == 0.0, "fewer wait and none may");
    }
}

/// Who keeps the floor is never given up, and who does nothing is, after two spans at most.
fn pace(bytes: &mut Bytes<'_>) {
    let floor = Floor { bytes_per_second: u32::from(bytes.short()) + 1, span: bytes.span() };
    let (mut now, mut fair, mut idle) = (Tick::from_secs(1), Pace::default(), Pace::default());
    let (mut moved, mut waits) = (0u64, false);
    let (mut given_up, mut waited) = (false, Duration::ZERO);
    while !bytes.is_empty() {
        let step = bytes.span();
        now = now + step;
        if waits {
            moved += (u128::from(floor.bytes_per_second) * step.as_nanos()).div_ceil(1_000_000_000) as u64;
            waited += step;
        }
        waits = bytes.flag();
        assert!(fair.keeps(floor, now, moved, waits), "it kept {floor:?}");
        given_up |= !idle.keeps(floor, now, 0, waits);
        let due = f64::from(floor.bytes_per_second) * floor.span.as_secs_f64() >= 1.0;
        assert!(given_up || !due || waited < floor.span, "{floor:?}: it has waited for {waited:?}");
    }
}

/// No more pass than the rate and its burst, and who waits for as long as was said passes.
fn rates(bytes: &mut Bytes<'_>) {
    let (requests, per, burst) = (u64::from(bytes.byte()) + 1, bytes.span(), u64::from(bytes.byte()) + 1);
    let rate = Rate::new(requests, per, burst);
    let (begun, mut now, mut held, mut passed) =
        (Tick::from_secs(1), Tick::from_secs(1), Debt::default(), 0u64);
    while !bytes.is_empty() {
        now = now + per.mul_f64(f64::from(bytes.byte()) / 100.0);
        match rate.decide(held, now) {
            Verdict::Pass { debt, quota } => {
                assert!(quota.remaining < burst);
                held = debt;
                passed += 1;
            }
            Verdict::Refuse { debt, wait, quota } => {
                assert_eq!(quota.remaining, 0);
                assert!(matches!(rate.decide(debt, now + wait), Verdict::Pass { .. }), "after {wait:?}");
                held = debt;
            }
        }
        let earned = now.since(begun).as_nanos() * u128::from(requests) / per.as_nanos();
        assert!(u128::from(passed) <= u128::from(burst) + earned + 1, "{passed} of {burst} and {earned}");
    }
}

/// A source is asked neither all the time nor never again.
fn lookups(bytes: &mut Bytes<'_>) {
    let (failures, roll) = (u32::from(bytes.short()), bytes.long());
    let wait = retry_in(failures, roll);
    assert!(wait >= Duration::from_millis(500) && wait <= Duration::from_secs(30), "{wait:?}");
    let min = bytes.span();
    let bounds = TtlBounds { min, max: min + bytes.span() };
    let again = bounds.refresh_in(bytes.span(), roll);
    assert!(
        again >= min.min(bounds.max * 9 / 10) && again <= bounds.max.mul_f64(1.1),
        "{again:?} of {bounds:?}"
    );
}
