//! Load shedding: when a worker has more to do than it can, some requests are refused at once, so that the others
//! are served in time.
//!
//! Two signs. *Requests in flight*, which bounds memory when upstreams are slow. And *queue time*: how long a task
//! that is ready waits for its turn. A worker runs what is ready in order, so a marker that is put at the end of its
//! queue and timed until it is reached measures what the next request will wait.
//!
//! The rule on queue time takes what is good of two queue disciplines. From CoDel (RFC 8289): a queue is judged by
//! whether it *stands*, that is, stays above `target` for a whole `interval`; a burst that is worked off in between
//! is what queues are for; and where one stood lately, the next is believed at once (section 5.5: 16 intervals). From
//! RED (RFC 2309) that the share refused grows in proportion to the excess: nothing at the target, everything at
//! [`FULL`] times it. CoDel's own drops, one at a time and faster by a square root, are meant for senders that slow
//! down when they see one; clients of a proxy do not. A limit found by gradient (Netflix concurrency-limits, Envoy's
//! adaptive concurrency) was rejected: it needs each service's latency without load, and what it measures is the
//! upstream's, which the breaker's limits and the admission of a cluster see to.

use std::time::Duration;

use crate::Tick;

/// At how many times the target everything is refused.
pub const FULL: f64 = 4.0;

/// How many intervals after a queue stood for the last time a queue need not stand again to be believed (RFC 8289
/// section 5.5). Without it, refusing would stop whenever it worked, and the queue grow for an interval each time.
const REMEMBERED: u32 = 16;

/// Refusals for one that is served, when many connections rest: at half of its cost they take a tenth of the time.
const REFUSED_FOR_ONE: f64 = 0.2;

/// Without requests nothing is measured: after this nothing waits any more.
const SILENCE: Duration = Duration::from_millis(100);

/// What may come back before its time while the queue is short, as a share of what is served meanwhile: so much is
/// known to be no flood.
const EARLY: f64 = 0.1;

/// When a connection is left alone that was refused, and for how long. A refusal is not free, it costs about half of a
/// request, but what is not read costs nothing.
#[derive(Copy, Clone, PartialEq, Debug)]
pub struct Rest {
    /// Where more than this share is refused.
    from: f64,
    /// Seconds at least, on average.
    least: f64,
    /// Seconds at most, on average.
    most: f64,
}

impl Rest {
    /// Of a connection that carries one request at a time.
    pub const ONE: Rest = Rest { from: 0.1, least: 1.0, most: 10.0 };

    /// Of one that carries many. All of them rest with it, also those whose clients would stay away by themselves: so
    /// it is the last resort.
    pub const MANY: Rest = Rest { from: 0.4, least: 0.1, most: 5.0 };

    /// For how long one more connection is to rest. `roll` is in [0, 1): not all rest for the same time, or they would
    /// come back as they went.
    fn length(self, crowd: Crowd, roll: f64) -> Duration {
        let mean = crowd.resting / (REFUSED_FOR_ONE * crowd.served).max(1.0);
        Duration::from_secs_f64(mean.clamp(self.least, self.most) * (0.5 + roll))
    }
}

/// Who is kept away, beside who is served.
#[derive(Copy, Clone, PartialEq, Debug, Default)]
pub struct Crowd {
    /// Requests that connections may carry which are left alone.
    pub resting: f64,
    /// Requests that are served, a second.
    pub served: f64,
    /// A measurement of the queue is under way: that there was none for long is no sign of silence.
    pub measuring: bool,
}

/// What is refused at most: somebody must get through to show that the queue is short again.
const MOST: f64 = 0.98;

/// When to shed.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub struct Params {
    /// Requests in flight of one worker. `u32::MAX` = no limit.
    pub max_in_flight: u32,
    /// Queue time that may stand. Zero = any may.
    pub target: Duration,
    /// How long it must have stood.
    pub interval: Duration,
}

/// Why a request was shed.
#[derive(Copy, Clone, Eq, PartialEq, Debug, Hash)]
pub enum Why {
    /// `max_in_flight`.
    InFlight,
    /// The queue stands.
    QueueTime,
}

impl Why {
    /// The word for it in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Why::InFlight => "in_flight",
            Why::QueueTime => "queue_time",
        }
    }
}

/// One worker's judgement of its queue.
#[derive(Copy, Clone, Debug, Default)]
pub struct Shedder {
    /// Since when the queue is above the target without a break.
    above: Option<Tick>,
    /// Since when it is not; meaningful while shedding.
    below: Option<Tick>,
    shedding: bool,
    share: f64,
    sampled: Tick,
}

impl Shedder {
    /// Takes a measurement of the queue time; gives the share of requests to refuse from now on.
    pub fn sample(&mut self, params: &Params, now: Tick, queue_time: Duration) -> f64 {
        if params.target.is_zero() {
            *self = Shedder { sampled: now, ..Shedder::default() };
            return 0.0;
        }
        if now.since(self.sampled).saturating_sub(queue_time) >= params.interval * REMEMBERED {
            // Silence until this measurement began: nothing stood meanwhile.
            *self = Shedder::default();
        }
        let excess = queue_time.as_secs_f64() / params.target.as_secs_f64() - 1.0;
        if excess > 0.0 {
            self.below = None;
            let since = *self.above.get_or_insert(now);
            self.shedding |= now.since(since) >= params.interval;
        } else {
            self.above = None;
            let since = *self.below.get_or_insert(now);
            self.shedding &= now.since(since) < params.interval * REMEMBERED;
        }
        let wanted = match self.shedding {
            true => (excess / (FULL - 1.0)).clamp(0.0, MOST),
            false => 0.0,
        };
        // Smoothed over a quarter of the interval, or it would swing with each burst.
        let (step, smooth) = (now.since(self.sampled).as_secs_f64(), params.interval.as_secs_f64() / 4.0);
        let weight = if step > 0.0 { step / (step + smooth) } else { 1.0 };
        self.share = if self.shedding { self.share + (wanted - self.share) * weight } else { 0.0 };
        self.sampled = now;
        self.share
    }

    /// Whether a queue stands, or stood lately: where refusing works it is short now and then.
    fn is_pressed(&self, params: &Params, now: Tick, crowd: Crowd) -> bool {
        // Without requests nothing is measured, and the last measurement is no sign for ever.
        let lately = now.since(self.below.unwrap_or(self.sampled)) < params.interval * REMEMBERED;
        self.shedding && (lately || crowd.measuring && self.below.is_none())
    }

    /// Whether a connection that is left alone may come back before its time, since nothing waits now. It looks every
    /// `look`, as do all others. `roll` is in [0, 1).
    pub fn may_return(&self, now: Tick, look: Duration, crowd: Crowd, roll: f64) -> bool {
        let silence = !crowd.measuring && now.since(self.sampled) >= SILENCE;
        let short = self.share < Rest::ONE.from || silence;
        short && roll * crowd.resting < EARLY * crowd.served * look.as_secs_f64()
    }

    /// Whether there is time for a request that waited while its connection was left alone. It is old, and the queue
    /// may be short only because others rest: so not before all of them could be served in time.
    pub fn has_time_for_old(&self, params: &Params, now: Tick, crowd: Crowd) -> bool {
        let room = crowd.served * FULL * params.target.as_secs_f64();
        params.target.is_zero() || !self.is_pressed(params, now, crowd) && crowd.resting <= room
    }

    /// For how long a connection is to be left alone whose request is refused; see [`Rest`]. `None`: not at all.
    pub fn rest(&self, rest: Rest, crowd: Crowd, roll: f64) -> Option<Duration> {
        (self.share > rest.from).then(|| rest.length(crowd, roll))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, VecDeque};

    use super::*;

    const PARAMS: Params = Params {
        max_in_flight: u32::MAX,
        target: Duration::from_millis(20),
        interval: Duration::from_millis(100),
    };

    fn shares(samples: impl IntoIterator<Item = (u64, u64)>) -> Vec<f64> {
        let mut shedder = Shedder::default();
        let sample = |(at, ms)| shedder.sample(&PARAMS, Tick::from_millis(at), Duration::from_millis(ms));
        samples.into_iter().map(sample).collect()
    }

    #[test]
    fn a_burst_is_worked_off_and_a_standing_queue_is_not() {
        let burst = shares((0..9).map(|i| (i * 10, 500)).chain([(95, 19)]));
        assert!(burst.iter().all(|share| *share == 0.0), "{burst:?}");
        let broken = shares((0..1000).map(|i| (i * 10, if i % 9 == 8 { 5 } else { 70 })));
        assert!(broken.iter().all(|share| *share == 0.0), "it never stood for the interval");
        let standing = shares((0..40).map(|i| (i * 10, 50)));
        assert!(standing[..10].iter().all(|share| *share == 0.0));
        assert!((standing[39] - 0.5).abs() < 0.01, "half way from 1 x to 4 x the target: {standing:?}");
    }

    #[test]
    fn it_ends_when_the_queue_is_short_again_and_for_a_while_begins_anew_at_once() {
        let (stands, short, burst) = (0..30u64, 30..60, 60..65);
        let all = stands.map(|i| (i * 10, 60)).chain(short.map(|i| (i * 10, 1)));
        let all = shares(all.chain(burst.map(|i| (i * 10, 60))));
        assert!(all[29] > 0.5);
        assert!(all[33] < all[29] / 2.0, "at once less");
        assert!(all[59] < 0.01, "{}", all[59]);
        assert!(all[61] > 0.2, "the next is believed");
        let stood = (0..30).map(|i| (i * 10, 60));
        let later = (30..200).map(|i| (i * 10, 1)).chain((200..205).map(|i| (i * 10, 60)));
        assert_eq!(shares(stood.chain(later))[204], 0.0, "but not for ever");
        let silence = (0..30).map(|i| (i * 10, 60)).chain([(60_000, 60)]);
        assert_eq!(shares(silence)[30], 0.0, "nor over a silence");
        let long = (0..30).map(|i| (i * 10, 60)).chain([(2_290, 2_000)]);
        assert!(shares(long)[30] > 0.9, "a queue of 2 s is no silence");
    }

    #[test]
    fn a_queue_that_stood_is_remembered_for_a_while() {
        let mut shedder = Shedder::default();
        let mut pressed = |at, ms| {
            let now = Tick::from_millis(at);
            shedder.sample(&PARAMS, now, Duration::from_millis(ms));
            shedder.is_pressed(&PARAMS, now, Crowd::default())
        };
        assert!((0..=10).all(|i| pressed(i * 10, 60) == (i == 10)), "from when it stands");
        assert!((11..171).all(|i| pressed(i * 10, 1)), "a dip is no end");
        assert!(!pressed(1710, 1), "16 intervals are");
        assert!((0..=10).all(|i| pressed(2000 + i * 10, 60) == (i == 10)), "and then it must stand again");
        assert!(shedder.is_pressed(&PARAMS, Tick::from_millis(3_690), Crowd::default()));
        assert!(
            !shedder.is_pressed(&PARAMS, Tick::from_millis(3_700), Crowd::default()),
            "nobody asks: nothing stands"
        );
        let measuring = Crowd { measuring: true, ..Crowd::default() };
        assert!(
            shedder.is_pressed(&PARAMS, Tick::from_millis(9_000), measuring),
            "the queue is as long as that"
        );
    }

    fn crowd(resting: f64) -> Crowd {
        Crowd { resting, served: 1000.0, measuring: false }
    }

    #[test]
    fn who_rests_may_return_before_its_time_while_the_queue_is_short_and_not_all_at_once() {
        let mut shedder = Shedder::default();
        for i in 0..=20 {
            shedder.sample(&PARAMS, Tick::from_millis(i * 10), Duration::from_millis(60));
        }
        let look = Duration::from_millis(100);
        // Of those who carry 1,000 requests a tenth of the 100 that are served between two looks.
        let may = |shedder: &Shedder, at, roll| {
            shedder.may_return(Tick::from_millis(at), look, crowd(1000.0), roll)
        };
        assert!(!may(&shedder, 200, 0.0), "it stands");
        assert!(may(&shedder, 300, 0.009) && !may(&shedder, 300, 0.011), "silence");
        let measuring = Crowd { measuring: true, ..crowd(1000.0) };
        assert!(
            !shedder.may_return(Tick::from_millis(300), look, measuring, 0.0),
            "it may be as long as that"
        );
        for i in 21..40 {
            shedder.sample(&PARAMS, Tick::from_millis(i * 10), Duration::from_millis(1));
        }
        assert!(may(&shedder, 400, 0.009) && !may(&shedder, 400, 0.011), "short");
    }

    #[test]
    fn what_waited_has_a_place_when_all_who_rest_could_be_served_in_time() {
        let mut shedder = Shedder::default();
        for i in 0..=10 {
            shedder.sample(&PARAMS, Tick::from_millis(i * 10), Duration::from_millis(60));
        }
        assert!(!shedder.has_time_for_old(&PARAMS, Tick::from_millis(1_690), crowd(0.0)), "pressed");
        // Four times 20 ms.
        assert!(shedder.has_time_for_old(&PARAMS, Tick::from_millis(1_700), crowd(80.0)));
        assert!(
            !shedder.has_time_for_old(&PARAMS, Tick::from_millis(1_700), crowd(81.0)),
            "who rests makes it short"
        );
    }

    #[test]
    fn connections_rest_for_long_enough_that_refusals_stay_a_fifth_of_what_is_served() {
        let rest = |resting, served, roll| {
            Rest::ONE.length(Crowd { resting, served, measuring: false }, roll).as_secs_f64()
        };
        assert_eq!(rest(10.0, 50_000.0, 0.5), 1.0);
        assert_eq!(rest(8_000.0, 10_000.0, 0.5), 4.0);
        assert_eq!(rest(8_000.0, 10_000.0, 0.0), 2.0);
        assert_eq!(rest(1_000_000.0, 10_000.0, 0.5), 10.0);
        assert_eq!(rest(10.0, 0.0, 0.5), 10.0, "nobody is served at all");
    }

    #[test]
    fn never_everything_is_refused_and_nothing_where_it_is_off() {
        let flood = shares((0..1000).map(|i| (i * 10, 60_000)));
        assert!(flood.iter().all(|share| *share <= MOST) && flood[999] > MOST - 0.01);
        let off = Params { target: Duration::ZERO, ..PARAMS };
        let mut shedder = Shedder::default();
        for at in 0..100 {
            assert_eq!(shedder.sample(&off, Tick::from_millis(at * 10), Duration::from_secs(60)), 0.0);
        }
        assert!(
            shedder.has_time_for_old(&off, Tick::from_secs(1), crowd(80.0)),
            "who rested before it was off"
        );
    }

    /// A worker, its clients and a second of warming up, then five that count.
    struct World {
        /// What a served request and a refusal take.
        costs: (f64, f64),
        /// Requests a second that are due.
        rate: f64,
        connections: usize,
        /// A connection that was refused is not read for a while.
        rests: bool,
        sheds: bool,
    }

    /// Share of the capacity that was served, and the longest wait of what was admitted but for the worst 1 %.
    fn simulate(world: &World) -> (f64, f64) {
        let mut random = 88_172_645_463_325_252u64;
        let mut roll = || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            (random >> 11) as f64 / (1u64 << 53) as f64
        };
        let (mut shedder, mut share, mut marker) = (Shedder::default(), 0.0, None);
        let mut idle: Vec<usize> = (0..world.connections).collect();
        // By the time, in nanoseconds, at which they look whether they are to be read again; and when they are.
        let mut paused: BTreeSet<(u64, usize, u64)> = BTreeSet::new();
        let look = Duration::from_secs(1);
        let nanos = |seconds: f64| (seconds * 1e9) as u64;
        let (mut crowd, mut admitted) = (Crowd::default(), 0.0);
        let mut queue: VecDeque<(f64, usize)> = VecDeque::new();
        let (mut now, mut next, mut sampled) = (0.0f64, 0.0f64, 0.0f64);
        let (mut served, mut waits) = (0u32, Vec::new());
        while now < 6.0 {
            while let Some(&looks) = paused.first().filter(|(at, ..)| *at <= nanos(now)) {
                paused.remove(&looks);
                let (at, conn, ends) = looks;
                crowd.resting = paused.len() as f64;
                if at >= ends || shedder.may_return(Tick(at), look, crowd, roll()) {
                    idle.push(conn);
                } else {
                    paused.insert((ends.min(at + nanos(0.5 + roll())), conn, ends));
                }
            }
            while next <= now {
                // A request that finds no connection is not sent.
                if let Some(conn) = idle.pop() {
                    queue.push_back((next, conn));
                }
                next += -(1.0 - roll()).ln() / world.rate;
            }
            let Some((arrived, conn)) = queue.pop_front() else {
                now = next;
                continue;
            };
            if let Some((put, behind)) = marker.as_mut() {
                if *behind == 0usize {
                    let at = Tick((now * 1e9) as u64);
                    share = shedder.sample(&PARAMS, at, Duration::from_secs_f64(now - *put));
                    let passed = now - sampled;
                    crowd.served += (admitted / passed - crowd.served) * passed / (passed + 1.0);
                    (marker, sampled, admitted) = (None, now, 0.0);
                } else {
                    *behind -= 1;
                }
            } else if now - sampled > 0.01 {
                marker = Some((now, queue.len()));
            }
            if world.sheds && roll() < share {
                now += world.costs.1;
                crowd.resting = paused.len() as f64;
                match shedder.rest(Rest::ONE, crowd, roll()).filter(|_| world.rests) {
                    None => idle.push(conn),
                    Some(rest) => {
                        let ends = nanos(now + rest.as_secs_f64());
                        paused.insert((ends.min(nanos(now + 0.5 + roll())), conn, ends));
                    }
                }
            } else {
                if now > 1.0 {
                    served += 1;
                    waits.push(now - arrived);
                }
                now += world.costs.0;
                admitted += 1.0;
                idle.push(conn);
            }
        }
        waits.sort_by(f64::total_cmp);
        (f64::from(served) * world.costs.0 / 5.0, waits[waits.len() * 99 / 100])
    }

    /// Three times what the worker can do, on as many connections as let the queue grow. A refusal costs two fifths of
    /// a request: it is read and answered, and only the upstream is saved.
    const TRIPLE: World =
        World { costs: (50e-6, 20e-6), rate: 60_000.0, connections: 5_000, rests: true, sheds: true };

    #[test]
    fn at_three_times_the_capacity_most_of_it_is_served_and_in_time() {
        let (goodput, wait) = simulate(&TRIPLE);
        assert!(goodput > 0.8, "{goodput}");
        assert!(wait < FULL * PARAMS.target.as_secs_f64(), "{wait} s");
        let (all, long) = simulate(&World { sheds: false, ..TRIPLE });
        assert!(all > 0.95 && long > 0.2, "without it everybody waits: {all} {long}");
    }

    #[test]
    fn refusing_without_letting_the_connection_rest_serves_almost_nobody() {
        let (goodput, _) = simulate(&World { rests: false, ..TRIPLE });
        assert!(goodput < 0.5, "{goodput}");
    }

    #[test]
    fn below_the_capacity_nobody_is_refused() {
        let (goodput, wait) = simulate(&World { rate: 18_000.0, ..TRIPLE });
        assert!((goodput - 0.9).abs() < 0.02 && wait < 0.005, "{goodput} {wait}");
    }
}
