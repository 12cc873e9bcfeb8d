//! A crowd of long requests: whoever has no place yet waits until there are more instances, and is
//! not taken for a queue of short ones.

#![expect(clippy::unwrap_used, reason = "what is made here is valid")]

use tidegate_autoscaler::{
    DecisionSpec, Improvements, MetricSpec, Observed, Origin, RevisionAutoscaler, RevisionSettings,
    Sample, Timestamp,
};

const START_MS: i64 = 946_684_800_000;

/// The steps that time passes in.
const STEP_MS: i64 = 50;

/// Decisions are this far apart.
const TICK_MS: i64 = 2_000;

/// Requests that the crowd has.
const CROWD: usize = 50;

/// How long each of them takes once it has a place.
const LONG_MS: i64 = 60_000;

/// How long the others take that came before.
const SHORT_MS: i64 = 100;

/// A stage with one revision: requests that take a place in the order that they come in.
struct Stage {
    /// Places an instance has.
    places: usize,
    /// How long an instance takes to start.
    start_up_ms: i64,
    autoscaler: RevisionAutoscaler,
    now_ms: i64,
    /// When each instance is ready.
    ready_at: Vec<i64>,
    /// Requests without a place: how long they take.
    queue: Vec<i64>,
    /// When those that have a place end.
    ends: Vec<i64>,
    /// Requests in flight in this second, in steps, and those that came in it.
    load: usize,
    arrivals: usize,
    /// When the last request got a place.
    last_placed_ms: i64,
}

impl Stage {
    fn new(improvements: Improvements, places: usize, start_up_ms: i64) -> Self {
        let spec = DecisionSpec {
            target_value: places as f64 * 0.7,
            total_value: places as f64,
            ..DecisionSpec::default()
        };
        let metric = MetricSpec::default();
        let settings = RevisionSettings { spec, metric, improvements };
        let start = Timestamp::from_millis(START_MS);
        Self {
            places,
            start_up_ms,
            autoscaler: RevisionAutoscaler::new(settings, start, 1).unwrap(),
            now_ms: 0,
            ready_at: vec![i64::MIN],
            queue: Vec::new(),
            ends: Vec::new(),
            load: 0,
            arrivals: 0,
            last_placed_ms: 0,
        }
    }

    fn arrive(&mut self, count: usize, takes_ms: i64) {
        self.arrivals += count;
        self.queue.extend(std::iter::repeat_n(takes_ms, count));
    }

    fn ready(&self) -> usize {
        self.ready_at.iter().filter(|at| **at <= self.now_ms).count()
    }

    /// Lets a step pass; reports at the end of a second, and decides `tick_ms` into every other.
    fn step(&mut self, tick_ms: i64) {
        let now = self.now_ms;
        self.ends.retain(|end| *end > now);
        while self.ends.len() < self.ready() * self.places && !self.queue.is_empty() {
            self.ends.push(now + self.queue.remove(0));
            self.last_placed_ms = now;
        }
        self.load += self.queue.len() + self.ends.len();
        self.now_ms += STEP_MS;
        if self.now_ms % 1_000 == 0 {
            self.report();
        }
        if self.now_ms % TICK_MS == tick_ms {
            self.decide();
        }
    }

    fn report(&mut self) {
        let load = self.load as f64 * STEP_MS as f64 / 1_000.0;
        let sample = Sample::new(load, 0.0, self.arrivals as f64, 0.0).unwrap();
        self.autoscaler.record(self.now(), Origin::Instances, &sample);
        (self.load, self.arrivals) = (0, 0);
    }

    fn decide(&mut self) {
        let (ready, requested) = (self.ready(), self.ready_at.len());
        let observed = Observed {
            starting: (requested - ready) as u32,
            requested: requested as u32,
            ..Observed::ready(ready as u32)
        };
        let decision = self.autoscaler.tick(self.now(), Some(observed), &[]);
        if decision.valid {
            let wanted = decision.desired.max(1) as usize;
            self.ready_at.resize(wanted, self.now_ms + self.start_up_ms);
        }
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_millis(START_MS + self.now_ms)
    }
}

/// What came before the crowd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    Nothing,
    /// Short requests, so that it is known how long those take.
    ShortRequests,
}

/// How long the last of the crowd waited for a place, in milliseconds.
fn longest_wait_ms(mut stage: Stage, before: Before, crowd_ms: i64, tick_ms: i64) -> i64 {
    let crowd_at = 120_000 + crowd_ms;
    while stage.now_ms < crowd_at + LONG_MS + 30_000 {
        if stage.now_ms < crowd_at && stage.now_ms % 200 == 0 && before == Before::ShortRequests {
            stage.arrive(1, SHORT_MS);
        }
        if stage.now_ms == crowd_at {
            stage.arrive(CROWD, LONG_MS);
        }
        stage.step(tick_ms);
    }
    stage.last_placed_ms - crowd_at
}

/// How long the last of the crowd may wait. Knative's own decisions take as long where an instance
/// has a single place and takes three seconds to start.
const WAIT_MAX_MS: i64 = 15_000;

/// As many of a crowd as have no place at first get one long before the first of it leaves, in
/// whatever part of a second it comes, and however long instances take to start.
#[test]
fn a_crowd_of_long_requests_is_given_places() {
    let counts = Improvements { count_starting: true, ..Improvements::none() };
    for improvements in [Improvements::none(), counts, Improvements::all()] {
        for before in [Before::Nothing, Before::ShortRequests] {
            for (places, start_up_ms) in [(1, 500), (1, 3_000), (10, 500), (10, 3_000)] {
                for crowd_ms in (0..2_000).step_by(250) {
                    let stage = Stage::new(improvements, places, start_up_ms);
                    let wait_ms = longest_wait_ms(stage, before, crowd_ms, 500);
                    assert!(
                        wait_ms <= WAIT_MAX_MS,
                        "{wait_ms} ms: {places} places, {start_up_ms} ms to start, {before:?} \
                         before, {crowd_ms} ms into two seconds, {improvements:?}"
                    );
                }
            }
        }
    }
}
