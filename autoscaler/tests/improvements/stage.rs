//! A revision that lives second by second.

use tidegate_autoscaler::explain::{Detail, PanicChange, Rule};
use tidegate_autoscaler::{
    Decision, DecisionSpec, Improvements, MetricSpec, Observed, Origin, RevisionAutoscaler,
    RevisionSettings, Sample, Timestamp,
};

/// An even second, so that decisions fall into the middle of even ones.
const START_MS: i64 = 946_684_800_000;

/// No improvement but what `switch` turns on.
pub(crate) fn only(switch: impl FnOnce(&mut Improvements)) -> Improvements {
    let mut improvements = Improvements::none();
    switch(&mut improvements);
    improvements
}

/// An autoscaler and its clock.
pub(crate) struct Stage {
    pub(crate) autoscaler: RevisionAutoscaler,
    metric: MetricSpec,
    now_ms: i64,
}

/// What a test looks at of a decision.
pub(crate) struct Seen {
    pub(crate) valid: bool,
    pub(crate) desired: i32,
    pub(crate) excess_burst_capacity: i32,
    pub(crate) rule: Rule,
    pub(crate) panic_change: PanicChange,
    pub(crate) stable: f64,
    pub(crate) words: String,
}

impl Stage {
    pub(crate) fn new(improvements: Improvements, spec: DecisionSpec, ready: u32) -> Stage {
        let metric = MetricSpec::default();
        let settings = RevisionSettings { spec, metric, improvements };
        let start = Timestamp::from_millis(START_MS);
        let autoscaler = RevisionAutoscaler::new(settings, start, ready).expect("default windows");
        Stage { autoscaler, metric, now_ms: START_MS }
    }

    pub(crate) fn panic_window_ms(&mut self, panic_window_ms: u64) {
        self.set_metric(MetricSpec { panic_window_ms, ..self.metric });
    }

    pub(crate) fn stable_window_ms(&mut self, stable_window_ms: u64) {
        self.set_metric(MetricSpec { stable_window_ms, ..self.metric });
    }

    fn set_metric(&mut self, metric: MetricSpec) {
        self.metric = metric;
        let now = Timestamp::from_millis(self.now_ms);
        self.autoscaler.set_metric(now, metric).expect("possible windows");
    }

    /// Reports a load for this second.
    pub(crate) fn load(&mut self, concurrency: f64) {
        self.load_at(concurrency, 0);
    }

    /// Reports requests in flight and arriving in this second.
    pub(crate) fn traffic(&mut self, concurrency: f64, arrivals: f64) {
        let sample = Sample::new(concurrency, 0.0, arrivals, 0.0).expect("a finite load");
        self.autoscaler.record(Timestamp::from_millis(self.now_ms), Origin::Instances, &sample);
    }

    /// Reports a load so many milliseconds after this second's beginning.
    pub(crate) fn load_at(&mut self, concurrency: f64, offset_ms: i64) {
        let sample = Sample::of_concurrency(concurrency).expect("a finite load");
        let at = Timestamp::from_millis(self.now_ms + offset_ms);
        self.autoscaler.record(at, Origin::Instances, &sample);
    }

    /// Lets a second pass; decides in the middle of every other one.
    pub(crate) fn second(&mut self, observed: Observed) -> Option<Seen> {
        let seen = (self.now_ms % 2000 == 0).then(|| self.tick(observed));
        self.now_ms += 1000;
        seen
    }

    /// Decides now.
    pub(crate) fn tick(&mut self, observed: Observed) -> Seen {
        let now = Timestamp::from_millis(self.now_ms + 500);
        let decision: Decision = self.autoscaler.tick(now, Some(observed), &[]);
        let Detail::Knative(trace) = &decision.explanation.detail else {
            panic!("a revision's autoscaler decides by Knative's algorithm")
        };
        let signals = trace.inputs.signals.as_slice();
        Seen {
            valid: decision.valid,
            desired: decision.desired,
            excess_burst_capacity: decision.excess_burst_capacity,
            rule: trace.steps.rule,
            panic_change: trace.steps.panic_change,
            stable: signals.first().map_or(0.0, |signal| signal.stable),
            words: decision.explanation.to_string(),
        }
    }
}
