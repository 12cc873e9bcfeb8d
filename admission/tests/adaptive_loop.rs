//! The adaptive limit in front of apps whose right limit is known, in simulated time.

use std::collections::VecDeque;
use std::time::Duration;

use proptest::prelude::*;
use rand_like::Random;
use tidegate_admission::{Adaptive, AdaptiveSettings, Moment};

/// Numbers that look random, the same in every run.
mod rand_like {
    /// A generator (SplitMix64).
    #[derive(Debug, Clone)]
    pub(crate) struct Random(pub(crate) u64);

    impl Random {
        /// A number in [0, 1).
        pub(crate) fn next(&mut self) -> f64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
        }

        /// Exponential, of mean one.
        pub(crate) fn exponential(&mut self) -> f64 {
            -(1.0 - self.next()).ln()
        }
    }
}

/// What an app does with the requests inside.
#[derive(Debug, Clone, Copy)]
enum App {
    /// Shares so many cores among them.
    Cores(f64),
    /// Waits for something else: none disturbs another.
    Waits,
    /// One after the other, in the order in which they came.
    OneAfterTheOther,
    /// Shares one core, and each one more costs a share of it: a lock that is fought for.
    Lock,
    /// Shares so many cores, and is slower at first: by this factor, less by half each 5 s.
    WarmsUp { cores: f64, factor: f64 },
}

impl App {
    /// The share of its own speed at which one of `inside` requests is worked on at `second`.
    fn speed(self, inside: usize, second: f64) -> f64 {
        let inside = inside as f64;
        match self {
            Self::Cores(cores) => (cores / inside).min(1.0),
            Self::Waits => 1.0,
            Self::OneAfterTheOther => unreachable!("only the first is worked on"),
            Self::Lock => 1.0 / inside / (1.0 + 0.05 * (inside - 1.0)),
            Self::WarmsUp { cores, factor } => {
                let slow = 1.0 + (factor - 1.0) * 0.5_f64.powf(second / 5.0);
                (cores / inside).min(1.0) / slow
            }
        }
    }
}

/// How much work requests are.
#[derive(Debug, Clone, Copy)]
enum Work {
    Same,
    Exponential,
}

/// An app behind a gate with an adaptive limit.
struct World {
    app: App,
    work: Work,
    mean_seconds: f64,
    random: Random,
    now: f64,
    adaptive: Adaptive,
    /// Work that is left, when it was let in, and when it came.
    inside: Vec<(f64, f64, f64)>,
    waiting: VecDeque<f64>,
    done: u64,
    /// From a request's arrival to its end.
    seconds_in_all: Vec<f64>,
}

impl World {
    fn new(app: App, work: Work, mean_seconds: f64, initial: u32) -> Self {
        let settings = AdaptiveSettings { initial, ..AdaptiveSettings::default() };
        Self {
            app,
            work,
            mean_seconds,
            random: Random(7),
            now: 0.0,
            adaptive: Adaptive::new(settings),
            inside: Vec::new(),
            waiting: VecDeque::new(),
            done: 0,
            seconds_in_all: Vec::new(),
        }
    }

    fn limit(&self) -> u32 {
        self.adaptive.limit().to_wire()
    }

    fn admit(&mut self) {
        while self.inside.len() < self.limit() as usize && !self.waiting.is_empty() {
            let Some(came) = self.waiting.pop_front() else { return };
            let factor = match self.work {
                Work::Same => 1.0,
                Work::Exponential => self.random.exponential(),
            };
            self.inside.push((self.mean_seconds * factor, self.now, came));
        }
    }

    /// The speed of each that is inside, and who is done first, in how many seconds.
    fn next_end(&self) -> Option<(f64, usize, f64)> {
        if let App::OneAfterTheOther = self.app {
            return self.inside.first().map(|(left, ..)| (1.0, 0, *left));
        }
        let speed = self.app.speed(self.inside.len().max(1), self.now);
        let first = self.inside.iter().enumerate().min_by(|a, b| a.1.0.total_cmp(&b.1.0));
        first.map(|(place, (left, ..))| (speed, place, left / speed))
    }

    /// Lets `seconds` pass, or until the next end: then its request is gone, and told.
    fn step(&mut self, until: f64) -> bool {
        let Some((speed, place, seconds)) = self.next_end() else {
            self.now = until;
            return false;
        };
        let ends = self.now + seconds <= until;
        let passes = if ends { seconds } else { until - self.now };
        self.now += passes;
        match self.app {
            App::OneAfterTheOther => self.inside[0].0 -= passes,
            _ => self.inside.iter_mut().for_each(|(left, ..)| *left -= passes * speed),
        }
        if ends {
            let in_flight = self.inside.len() as u32;
            let (_, since, came) = self.inside.remove(place);
            self.seconds_in_all.push(self.now - came);
            let latency = Duration::from_secs_f64((self.now - since).max(1e-9));
            let now = Moment::from(Duration::from_secs_f64(self.now));
            self.adaptive.sample(now, latency, in_flight);
            self.done += 1;
        }
        ends
    }

    /// So many clients, each with one request at a time, for so long.
    fn closed(&mut self, clients: usize, seconds: f64) -> f64 {
        let (end, before) = (self.now + seconds, self.done);
        while self.now < end {
            while self.inside.len() + self.waiting.len() < clients {
                self.waiting.push_back(self.now);
            }
            self.admit();
            self.step(end);
        }
        (self.done - before) as f64 / seconds
    }

    /// So many requests a second, whatever becomes of them, for so long.
    fn open(&mut self, rate: f64, seconds: f64) -> f64 {
        let (end, before) = (self.now + seconds, self.done);
        let mut next = self.now + self.random.exponential() / rate;
        while self.now < end {
            self.admit();
            if !self.step(next.min(end)) && next <= end {
                self.waiting.push_back(self.now);
                next += self.random.exponential() / rate;
            }
        }
        (self.done - before) as f64 / seconds
    }
}

/// What is right for an app: the least and the most that may be found, and what it can do a second.
struct Right {
    least: u32,
    most: u32,
    rate: f64,
}

const ONE_CORE: Right = Right { least: 1, most: 3, rate: 50.0 };

/// An app, the mean seconds of a request alone in it, and what is right for it.
const APPS: [(App, f64, Right); 6] = [
    (App::Cores(1.0), 0.02, ONE_CORE),
    (App::Cores(4.0), 0.02, Right { least: 4, most: 12, rate: 200.0 }),
    (App::Cores(64.0), 0.02, Right { least: 50, most: 160, rate: 3_200.0 }),
    (App::OneAfterTheOther, 0.02, ONE_CORE),
    (App::Lock, 0.02, ONE_CORE),
    (App::WarmsUp { cores: 8.0, factor: 10.0 }, 0.02, Right { least: 8, most: 32, rate: 400.0 }),
];

/// Requests that are all the same work leave no doubt.
#[test]
fn it_is_found_from_any_start() {
    for (app, mean, right) in &APPS {
        for initial in [1, 20, 100] {
            let mut world = World::new(*app, Work::Same, *mean, initial);
            world.closed(160, 90.0);
            let rate = world.closed(160, 60.0);
            let (limit, case) = (world.limit(), format!("{app:?} from {initial}"));
            assert!(limit >= right.least && limit <= right.most, "{case}: {limit}");
            assert!(rate >= 0.95 * right.rate, "{case}: {rate} a second");
        }
    }
}

/// Where they are not, half of fifteen worlds find it within two minutes. None loses much
/// meanwhile, but those whose requests get in each other's way and are too many at first.
#[test]
fn it_is_found_where_requests_differ() {
    for (app, mean, right) in &APPS {
        let mut limits = Vec::new();
        for seed in 0..15 {
            let mut world = World::new(*app, Work::Exponential, *mean, 20);
            world.random = Random(seed);
            world.closed(160, 60.0);
            let rate = world.closed(160, 60.0);
            let least = if matches!(app, App::Lock) { 0.4 } else { 0.9 };
            assert!(rate >= least * right.rate, "{app:?} {seed}: {rate} a second");
            limits.push(world.limit());
        }
        limits.sort_unstable();
        let median = limits[limits.len() / 2];
        assert!(median >= right.least && median <= right.most, "{app:?}: {limits:?}");
    }
}

/// A single-threaded app that burns 20 ms a request, and fewer clients than it starts with: nothing
/// binds, and all of them are inside.
#[test]
fn sixteen_clients_of_one_core_are_found_out_within_ten_seconds() {
    for initial in [1, 20, 200] {
        let mut world = World::new(App::Cores(1.0), Work::Same, 0.02, initial);
        let rate = world.closed(16, 10.0);
        assert!(world.limit() <= 3, "from {initial}: {}", world.limit());
        assert!(rate >= 48.0, "nothing is lost by it: {rate} a second");
    }
}

/// An app that only waits takes all, and soon.
#[test]
fn an_app_that_takes_a_hundred_gets_them() {
    for initial in [1, 20, 200] {
        let mut world = World::new(App::Waits, Work::Same, 0.1, initial);
        world.closed(100, 10.0);
        let rate = world.closed(100, 60.0);
        assert!(world.limit() >= 100, "from {initial}: {}", world.limit());
        assert!(rate >= 980.0, "from {initial}: {rate} of 1,000 a second");
    }
}

/// What it costs to ask, where there is nothing to gain: the app is not full, and a fixed limit
/// that never binds would be right.
#[test]
fn asking_costs_an_app_that_is_not_full_next_to_nothing() {
    for (app, mean, rate) in [
        (App::Cores(4.0), 0.02, 140.0),
        (App::Cores(4.0), 0.02, 40.0),
        (App::Cores(64.0), 0.02, 2_400.0),
    ] {
        for work in [Work::Same, Work::Exponential] {
            let p99 = |adaptive| {
                let mut world = World::new(app, work, mean, 20);
                world.adaptive = Adaptive::new(adaptive);
                world.open(rate, 300.0);
                let mut all = world.seconds_in_all;
                all.sort_by(f64::total_cmp);
                all[all.len() / 100 * 99]
            };
            let found = p99(AdaptiveSettings::default());
            let (minimum, maximum) = (1_000, 1_000);
            let open = p99(AdaptiveSettings { minimum, maximum, ..AdaptiveSettings::default() });
            assert!(found <= 1.15 * open, "{app:?} {work:?}: {found} s beside {open} s");
        }
    }
}

#[test]
fn an_app_that_becomes_slower_gets_less_and_recovers() {
    let mut world = World::new(App::Cores(32.0), Work::Same, 0.02, 20);
    world.closed(160, 120.0);
    let before = world.limit();
    world.app = App::Cores(4.0);
    world.closed(160, 20.0);
    let during = world.limit();
    world.app = App::Cores(32.0);
    world.closed(160, 120.0);
    let after = world.limit();
    assert!(during <= before / 2, "{before} before, {during} during");
    assert!(after >= before * 3 / 4, "{before} before, {after} after");
}

#[test]
fn an_idle_app_keeps_its_limit() {
    let mut world = World::new(App::Cores(64.0), Work::Same, 0.02, 20);
    let before = world.limit();
    world.closed(1, 60.0);
    assert_eq!(world.limit(), before);
}

proptest! {
    #[test]
    fn the_limit_stays_within_its_bounds_whatever_it_is_fed(
        initial in any::<u32>(),
        minimum in 0..50_u32,
        maximum in 0..500_u32,
        rest_max_ms in any::<u32>(),
        samples in prop::collection::vec((any::<u32>(), any::<u64>(), any::<u32>()), 1..400),
    ) {
        let settings = AdaptiveSettings {
            initial,
            minimum,
            maximum,
            window: Duration::from_millis(1),
            rest_max: Duration::from_millis(rest_max_ms.into()),
        };
        let mut adaptive = Adaptive::new(settings);
        let mut now = Moment::ZERO;
        for (gap, latency, in_flight) in samples {
            now = now.after(Duration::from_nanos(gap.into()));
            let changed = adaptive.sample(now, Duration::from_nanos(latency), in_flight);
            let limit = adaptive.limit().to_wire();
            prop_assert!(limit >= minimum.max(1) && limit <= maximum.max(minimum).max(1));
            prop_assert!(changed.is_none_or(|changed| changed.to_wire() == limit));
        }
    }
}
