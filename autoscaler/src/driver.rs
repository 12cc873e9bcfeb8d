//! Drives a policy: when to decide, what waiting requests add, and what follows from a
//! recommendation.
//!
//! A [`Driver`] is a [`Policy`] with its [`Lifecycle`] and its cadence. It decides in turn, every
//! [`Policy::tick_interval_ms`] counted from the last decision, whatever caused that; when the
//! lifecycle asked to be asked again; and out of turn because requests wait, but not more often
//! than [`URGENT_GAP_MS`] unless the policy wants to be woken at once. It reads no clock and counts
//! nothing: its owner gives the time and the counts.

use crate::explain::Decision;
use crate::lifecycle::{
    ActivatorProbe, Lifecycle, LifecycleSpec, Observation, ServerlessService, Step, UNDECIDED,
};
use crate::observed::Observed;
use crate::pauses::Outlook;
use crate::policy::{NextWake, Policy, TickInput};
use crate::sample::{Origin, Sample};
use crate::signal::Signal;
use crate::time::Timestamp;

/// Decisions out of turn, while requests wait, are at least this far apart; and so long after a
/// revision at rest is woken its first decision in turn is due.
pub const URGENT_GAP_MS: u64 = 100;

/// How requests reach the instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Path {
    /// There is no way around the activator, so it needs no time to come into the path.
    ThroughActivator,
    /// The activator comes into the path and leaves it, as in Knative.
    Switched {
        /// Since when it is in the path, if it is.
        activator_since: Option<Timestamp>,
    },
    /// The same where others bring it into the path, so that it must be asked for.
    Probed {
        /// Since when it is in the path, if it is.
        activator_since: Option<Timestamp>,
        /// Whether it was found there by asking through the revision's own address.
        probe: ActivatorProbe,
    },
    /// Nothing carries requests to the revision yet.
    Missing,
}

/// What there is at the time of a decision.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClusterView<'a> {
    /// Instances, and requests in flight and waiting.
    pub observed: Observed,
    /// Requests that activators hold or carry now, where what waits is to count at once.
    pub at_activators: Option<f64>,
    /// Loads besides concurrency and request rate, as totals.
    pub signals: &'a [Signal],
    /// How requests reach the instances.
    pub path: Path,
}

/// When requests that wait are decided about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// Call [`Driver::tick`] now.
    Now,
    /// The next decision in turn was brought forward to this time, if it was later.
    At(Timestamp),
}

/// What follows from the last recommendation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Applied {
    /// Instances asked for before.
    pub before: i32,
    /// Instances to ask for.
    pub replicas: i32,
    /// What the lifecycle did, if there is one.
    pub step: Option<Step>,
}

/// Decides for one revision, in turn and out of turn.
#[derive(Debug, Clone)]
pub struct Driver<P> {
    policy: P,
    lifecycle: Option<Lifecycle>,
    /// The last valid recommendation.
    desired: i32,
    excess_burst_capacity: i32,
    outlook: Outlook,
    last_tick: Timestamp,
    /// When it was last decided for requests that wait, and whether the next decision is for such.
    last_urged: Timestamp,
    is_urged: bool,
    next_tick: Timestamp,
    recheck: Option<Timestamp>,
    /// Activators' load that was recorded before its second was over.
    held: f64,
}

impl<P: Policy> Driver<P> {
    /// A driver that has decided nothing yet, and does in turn from `first_tick` on.
    pub fn new(policy: P, lifecycle: Lifecycle, first_tick: Timestamp) -> Self {
        Self { lifecycle: Some(lifecycle), ..Self::within_bounds(policy, first_tick) }
    }

    /// A driver without a lifecycle: the policy is followed within the bounds, to zero and back.
    pub fn within_bounds(policy: P, first_tick: Timestamp) -> Self {
        Self {
            policy,
            lifecycle: None,
            desired: UNDECIDED,
            excess_burst_capacity: 0,
            outlook: Outlook::Open,
            last_tick: Timestamp::EPOCH,
            last_urged: Timestamp::EPOCH,
            is_urged: false,
            next_tick: first_tick,
            recheck: None,
            held: 0.0,
        }
    }

    /// The policy.
    pub fn policy(&self) -> &P {
        &self.policy
    }

    /// The policy, to be changed or replaced; the last recommendation then still stands.
    pub fn policy_mut(&mut self) -> &mut P {
        &mut self.policy
    }

    /// Replaces the policy by one that was built of all that is known at `now`, and that decides
    /// next at once. The last recommendation still stands.
    pub fn rebuilt(&mut self, now: Timestamp, policy: P) {
        self.policy = policy;
        // What was recorded early is not in the windows of this one.
        self.held = 0.0;
        self.next_tick = now;
    }

    /// Bounds, scale to zero and the activator in the path, unless that is left to the policy.
    pub fn lifecycle(&self) -> Option<&Lifecycle> {
        self.lifecycle.as_ref()
    }

    /// The same, to be changed.
    pub fn lifecycle_mut(&mut self) -> Option<&mut Lifecycle> {
        self.lifecycle.as_mut()
    }

    /// The last valid recommendation, before bounds; [`UNDECIDED`] if there was none.
    pub fn desired(&self) -> i32 {
        self.desired
    }

    /// Excess burst capacity of the last valid decision.
    pub fn excess_burst_capacity(&self) -> i32 {
        self.excess_burst_capacity
    }

    /// Sets the recommendation that stands, as decided before the driver was made.
    pub fn assume(&mut self, desired: i32, excess_burst_capacity: i32) {
        (self.desired, self.excess_burst_capacity) = (desired, excess_burst_capacity);
    }

    /// Whether nothing is wanted. If there is no instance and no waiting request either, the
    /// revision is at rest: no decision is due until it is [woken](Self::wake), but at
    /// [`Self::rest_ends`].
    pub fn wants_nothing(&self) -> bool {
        let asked = self.lifecycle.as_ref().map_or(0, Lifecycle::replicas);
        asked <= 0 && self.desired <= 0
    }

    /// When a decision is due although the revision is at rest, if its policy wants one.
    pub fn rest_ends(&self) -> Option<Timestamp> {
        match self.policy.next_wake() {
            NextWake::Tick => Some(self.next_tick),
            NextWake::At(_) => self.own_wake(),
            NextWake::Event => None,
        }
    }

    /// The time that the policy named, unless it has been asked since.
    fn own_wake(&self) -> Option<Timestamp> {
        match self.policy.next_wake() {
            NextWake::At(at) => Some(at).filter(|at| *at > self.last_tick),
            NextWake::Tick | NextWake::Event => None,
        }
    }

    /// Ends the rest of a revision: what was held belongs to a second long over, and
    /// the first decision in turn is soon.
    pub fn wake(&mut self, now: Timestamp) {
        self.held = 0.0;
        self.next_tick = now.plus_millis(URGENT_GAP_MS);
    }

    /// Records a report of the second that `at` falls into. Owners that record what waits at once
    /// ([`ClusterView::at_activators`]) end their seconds at whole ones and record each at its end.
    pub fn record(&mut self, at: Timestamp, origin: Origin, sample: &Sample) {
        self.policy.record(at, origin, sample);
    }

    /// What is left of activators' average concurrency over the second that ends, beside what was
    /// recorded of it before.
    pub fn take_rest(&mut self, average_concurrency: f64) -> f64 {
        (average_concurrency - std::mem::take(&mut self.held)).max(0.0)
    }

    /// When a decision is due, if nothing happens before.
    pub fn next_due(&self) -> Timestamp {
        let asked = [self.recheck, self.own_wake()];
        asked.into_iter().flatten().fold(self.next_tick, Timestamp::min)
    }

    /// Postpones the next decision to `at`, if it is due before.
    pub fn postpone(&mut self, at: Timestamp) {
        self.next_tick = self.next_tick.max(at);
        self.recheck = self.recheck.map(|recheck| recheck.max(at));
    }

    /// `waiting` requests wait: decides at once, or [`URGENT_GAP_MS`] after it last did so for
    /// such. A decision in turn a moment ago, which could not know of them, makes nobody wait.
    pub fn urge(&mut self, now: Timestamp, waiting: u32) -> Urgency {
        self.is_urged = true;
        let earliest = self.last_urged.plus_millis(URGENT_GAP_MS);
        if now >= earliest || self.policy.should_wake(waiting) {
            return Urgency::Now;
        }
        self.next_tick = self.next_tick.min(earliest);
        Urgency::At(self.next_tick)
    }

    /// Decides, and returns what follows.
    pub fn tick(
        &mut self,
        now: Timestamp,
        scene: &ClusterView<'_>,
        spec: &LifecycleSpec,
    ) -> (Decision, Applied) {
        self.hold(now, scene);
        let inside = scene.observed.in_flight.saturating_add(scene.observed.waiting);
        let at_once = scene.observed.at_once.or(scene.at_activators.map(|_| inside));
        let observed = Some(Observed { at_once, ..scene.observed });
        let decision = self.policy.tick(&TickInput { now, observed, signals: scene.signals });
        self.ticked(now);
        if decision.valid {
            self.assume(decision.desired, decision.excess_burst_capacity);
            self.outlook = decision.outlook();
        }
        let followed = self.apply(now, scene.observed.ready, scene.path, spec);
        (decision, followed)
    }

    /// Takes note that the decision at `now` was the last one again and led to nothing.
    pub fn repeated(&mut self, now: Timestamp) {
        self.ticked(now);
    }

    fn ticked(&mut self, now: Timestamp) {
        self.next_tick = now.plus_millis(self.policy.tick_interval_ms());
        self.last_tick = now;
        if std::mem::take(&mut self.is_urged) {
            self.last_urged = now;
        }
    }

    /// What waits at this moment is load, whatever the averages of the past say. It is of the
    /// second that runs, whose average will be recorded when that ends; recorded earlier, it would
    /// be added to the average of the second before.
    fn hold(&mut self, now: Timestamp, scene: &ClusterView<'_>) {
        let Some(at_activators) = scene.at_activators else { return };
        let more = at_activators - self.held;
        if scene.observed.waiting > 0
            && more > 0.0
            && let Ok(sample) = Sample::of_concurrency(more)
        {
            self.held = at_activators;
            self.policy.record(now.next_second(), Origin::Activator, &sample);
        }
    }

    /// Takes the last recommendation through bounds and lifecycle once more.
    pub fn apply(
        &mut self,
        now: Timestamp,
        ready: u32,
        path: Path,
        spec: &LifecycleSpec,
    ) -> Applied {
        let Some(lifecycle) = &mut self.lifecycle else {
            let replicas = spec.bounds.apply(self.desired.max(0)).max(0);
            return Applied { before: replicas, replicas, step: None };
        };
        let before = lifecycle.replicas();
        let plumbing = match path {
            Path::Switched { activator_since } | Path::Probed { activator_since, .. } => {
                ServerlessService::Present { activator_since }
            }
            Path::ThroughActivator => ServerlessService::ThroughActivator,
            Path::Missing => ServerlessService::Missing,
        };
        let probe = match path {
            Path::Probed { probe, .. } => probe,
            _ => ActivatorProbe::Confirmed,
        };
        let observation = Observation {
            decided: self.desired,
            excess_burst_capacity: self.excess_burst_capacity,
            outlook: self.outlook,
            ready,
            plumbing,
            probe,
        };
        let step = lifecycle.reconcile(now, spec, &observation);
        let after = |ms: i64| u64::try_from(ms).ok().map(|ms| now.plus_millis(ms.max(1)));
        self.recheck = step.recheck_ms.and_then(after);
        Applied { before, replicas: lifecycle.replicas(), step: Some(step) }
    }
}
