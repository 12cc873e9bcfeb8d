//! A revision's autoscaler: the production library's policies and lifecycle, wired to simulated
//! time.
//!
//! No rule of scaling is here. Reports go into the policy, its recommendation goes through the
//! lifecycle (bounds, scale to zero, activator in the path), and the world carries out the result.

mod decider;
pub(crate) mod settings;

use std::sync::Arc;

use tidegate_autoscaler::driver::{Applied, ClusterView, Path, Urgency};
use tidegate_autoscaler::explain::Detail;
use tidegate_autoscaler::hpa::HpaPolicy;
use tidegate_autoscaler::lifecycle::{Lifecycle, Step, StepRule, TrafficMode, UNDECIDED};
use tidegate_autoscaler::{
    Decision, Driver, FixedPolicy, KeepAlivePolicy, NextWake, Observed, Origin, Policy,
    RevisionAutoscaler, Sample, Steady, TickInput, Timestamp,
};

use crate::events::NEVER;
use crate::scenario::{Platform, PolicyChoice, RevisionModel};
use decider::Decider;
pub(crate) use settings::Rules;

/// A report on its way to the decider.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct InstanceReport {
    pub(crate) origin: Origin,
    pub(crate) sample: Sample,
}

/// A decision, in the types of the world.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ScaleDecision {
    /// Instances to have.
    pub(crate) wanted: u32,
    /// Instances that the policy recommended.
    pub(crate) desired: i32,
    /// Whether requests go through the activator also while instances are ready.
    pub(crate) proxied: bool,
    /// Whether panic mode is on.
    pub(crate) panicking: bool,
    /// When to decide again, if that is before the next tick; nanoseconds.
    pub(crate) again_at: Option<u64>,
}

/// What made a policy decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trigger {
    /// Its interval, or for an exact policy an arrival or departure.
    Tick,
    /// A request that waits, or a time at which the policy asked to be woken.
    WakeUp,
}

impl Trigger {
    /// Its name in recorded decisions.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Trigger::Tick => "tick",
            Trigger::WakeUp => "wake-up",
        }
    }
}

/// Whether decisions carry reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Explains {
    Yes,
    No,
}

/// The policy, lifecycle and driver of one revision.
pub(crate) struct Scaler {
    /// Only Knative's algorithm has a lifecycle; other policies are followed within the bounds.
    driver: Driver<Decider>,
    rules: Rules,
    proxied: bool,
    activator_since: Timestamp,
    /// The last decision and step, kept only where reasons are recorded: they are large.
    last: Option<Box<(Decision, Option<Step>)>>,
    explains: Explains,
    /// Averages of the last decision, stable and panic.
    windows: (f64, f64),
    /// Panic mode of the last decision.
    panicking: bool,
    /// Whether the lifecycle's last step would be the same again, and it asks for no other one.
    is_settled: bool,
    tick_every_ms: u64,
    platform: Platform,
}

/// Longer than any window.
const LONG_AGO_MS: u64 = 2 * 3_600_000;

/// Whole milliseconds of simulated time; time zero is the epoch.
pub(crate) fn timestamp(nanos: u64) -> Timestamp {
    Timestamp::from_millis(i64::try_from(nanos / 1_000_000).unwrap_or(i64::MAX))
}

/// Milliseconds between two decisions in turn of a model's policy.
pub(crate) fn tick_ms(model: &RevisionModel) -> Result<u64, String> {
    let rules = Rules::new(model)?;
    Scaler::new(model, rules, 0, Explains::No).map(|scaler| scaler.tick_every_ms())
}

/// What the controller's clock says, which is `ahead` of simulated time, nanoseconds.
fn clock(now: u64, ahead: u64) -> Timestamp {
    timestamp(now.saturating_add(ahead))
}

/// Whether the same decision leads to the same step again. The bounds of a revision are others
/// once it has had all that it starts with.
fn is_settled(step: &Step) -> bool {
    let is_raised = matches!(step.rule, StepRule::RaisedToInitial { .. });
    step.initialized && !is_raised && step.want == step.replicas
}

impl Scaler {
    /// A decider for a revision that is created at `now` without instances.
    pub(crate) fn new(
        model: &RevisionModel,
        rules: Rules,
        now: u64,
        explains: Explains,
    ) -> Result<Self, String> {
        let Rules { settings, spec } = &rules;
        let ahead = model.platform.into_second().as_nanos();
        let decider = match &model.policy {
            PolicyChoice::Knative | PolicyChoice::Tidegate => {
                let made = RevisionAutoscaler::new(Arc::clone(settings), clock(now, ahead), 0);
                Decider::Knative(Box::new(made.map_err(|error| error.to_string())?))
            }
            PolicyChoice::Fixed(count) => Decider::Fixed(FixedPolicy::new(*count)),
            PolicyChoice::KeepAlive(idle) => {
                Decider::KeepAlive(KeepAlivePolicy::new(idle.as_nanos() / 1_000_000))
            }
            PolicyChoice::Hpa => {
                let made = HpaPolicy::new(settings::hpa(settings, spec));
                Decider::Hpa(Box::new(made.map_err(|error| error.to_string())?))
            }
            PolicyChoice::Custom(custom) => Decider::Custom(custom.policy(model)),
        };
        let tick_every_ms = decider.tick_interval_ms();
        let driver = match decider {
            Decider::Knative(_) => {
                Driver::new(decider, Lifecycle::new(spec.bounds.min), clock(now, ahead))
            }
            _ => Driver::within_bounds(decider, clock(now, ahead)),
        };
        let mut scaler = Scaler {
            driver,
            rules,
            proxied: true,
            activator_since: clock(now, ahead),
            last: None,
            explains,
            windows: (0.0, 0.0),
            panicking: false,
            is_settled: false,
            tick_every_ms,
            platform: model.platform,
        };
        scaler.settle_at_zero(now);
        Ok(scaler)
    }

    /// What the controller's clock says at `now`, nanoseconds of simulated time.
    fn clock(&self, now: u64) -> Timestamp {
        clock(now, self.platform.into_second().as_nanos())
    }

    /// When the controller's clock says `at`, nanoseconds of simulated time.
    fn simulated(&self, at: Timestamp) -> u64 {
        let clock = u64::try_from(at.as_millis()).unwrap_or(0).saturating_mul(1_000_000);
        clock.saturating_sub(self.platform.into_second().as_nanos())
    }

    /// The revision has been idle for long when the simulation begins, so its policy knows that
    /// nothing is wanted and a waiting request wakes it.
    fn settle_at_zero(&mut self, now: u64) {
        let now = self.clock(now);
        match self.driver.policy_mut() {
            Decider::Knative(autoscaler) => {
                // Long ago: idle revisions do not report, so that no window contains it any more.
                let at = now.minus_millis(LONG_AGO_MS);
                autoscaler.record(at, Origin::Instances, &Sample::IDLE);
                let decision = autoscaler.tick(at, Some(Observed::ready(0)), &[]);
                self.driver.assume(decision.desired, decision.excess_burst_capacity);
            }
            Decider::Hpa(policy) => {
                // It never goes to zero, and at zero it would be switched off.
                let least = policy.settings().min_replicas;
                self.driver.assume(i32::try_from(least).unwrap_or(i32::MAX), 0);
            }
            Decider::Fixed(policy) => {
                let input = TickInput { now, observed: None, signals: &[] };
                let desired = policy.tick(&input).desired;
                self.driver.assume(desired, 0);
            }
            Decider::KeepAlive(_) | Decider::Custom(_) => {}
        }
    }

    /// `count` instances are ready from the beginning.
    pub(crate) fn begin_with(&mut self, count: u32, now: u64) {
        let count = i32::try_from(count).unwrap_or(i32::MAX);
        let capacity = self.driver.excess_burst_capacity();
        if let Some(lifecycle) = self.driver.lifecycle_mut() {
            *lifecycle = Lifecycle::new(count);
            self.driver.assume(count, capacity);
            self.activator_since = self.clock(now);
        } else if matches!(self.driver.policy(), Decider::Hpa(_)) {
            self.driver.assume(count.max(self.driver.desired()), capacity);
        }
    }

    /// The controller lost its memory while `ready` of `wanted` instances were ready.
    pub(crate) fn restart(&mut self, ready: u32, wanted: u32, now: u64) {
        let now = self.clock(now);
        if let Decider::Knative(autoscaler) = self.driver.policy_mut()
            && let Ok(fresh) = RevisionAutoscaler::new(Arc::clone(&self.rules.settings), now, ready)
        {
            **autoscaler = fresh;
            self.driver.assume(UNDECIDED, self.driver.excess_burst_capacity());
            if let Some(lifecycle) = self.driver.lifecycle_mut() {
                // What was asked for is kept by the platform, not by the controller.
                lifecycle.set_replicas(i32::try_from(wanted).unwrap_or(i32::MAX));
            }
        }
    }

    /// Whether bounds and scale to zero are the lifecycle's, which has to run at every change.
    #[inline]
    pub(crate) fn has_lifecycle(&self) -> bool {
        self.driver.lifecycle().is_some()
    }

    /// Whether the policy is asked at every arrival and departure instead of every tick.
    #[inline]
    pub(crate) fn is_exact(&self) -> bool {
        matches!(self.driver.policy(), Decider::KeepAlive(_))
    }

    /// Whether the number of instances never changes, so that reports are not needed.
    #[inline]
    pub(crate) fn is_fixed(&self) -> bool {
        matches!(self.driver.policy(), Decider::Fixed(_))
    }

    /// Fewest instances there ever are.
    pub(crate) fn least(&self) -> u32 {
        let least = match self.driver.policy() {
            Decider::Fixed(_) => self.driver.desired(),
            Decider::Hpa(policy) => i32::try_from(policy.settings().min_replicas).unwrap_or(1),
            _ => 0,
        };
        u32::try_from(self.rules.spec.bounds.apply(least)).unwrap_or(0)
    }

    /// Milliseconds between decisions in turn.
    pub(crate) fn tick_every_ms(&self) -> u64 {
        self.tick_every_ms
    }

    /// Whether requests that begin to wait should cause a decision at once.
    #[inline]
    pub(crate) fn should_wake(&self, waiting: u32) -> bool {
        self.driver.policy().should_wake(waiting)
    }

    /// Whether a report of requests at the activator causes a decision at once: Knative's does
    /// while nothing is wanted.
    #[inline]
    pub(crate) fn is_woken_by_reports(&self) -> bool {
        self.has_lifecycle() && self.should_wake(1)
    }

    /// Whether instances are asked for their load.
    #[inline]
    pub(crate) fn scrapes(&self) -> bool {
        !self.has_lifecycle() || self.rules.settings.metric.scraped
    }

    /// When to decide because `waiting` requests wait.
    pub(crate) fn urge(&mut self, now: u64, waiting: u32) -> Urgency {
        self.driver.urge(self.clock(now), waiting)
    }

    /// Something happens to a revision at rest.
    pub(crate) fn wake(&mut self, now: u64) {
        self.driver.wake(self.clock(now));
    }

    /// Whether no instance is asked for.
    pub(crate) fn wants_nothing(&self) -> bool {
        self.driver.wants_nothing()
    }

    /// Whether Knative's algorithm has come to nothing. While nobody reports either it stays so:
    /// what is left in its windows is nothing, and then there is nothing left.
    pub(crate) fn is_settled_at_zero(&self) -> bool {
        self.has_lifecycle() && self.driver.desired() == 0 && self.driver.wants_nothing()
    }

    /// When a decision is due where ticks are counted from the last one, nanoseconds.
    pub(crate) fn next_due(&self) -> u64 {
        self.simulated(self.driver.next_due())
    }

    /// Has no decision due before `at`.
    pub(crate) fn postpone(&mut self, at: u64) {
        self.driver.postpone(self.clock(at));
    }

    /// What is left of a second's average load beside what was recorded of it early.
    pub(crate) fn take_rest(&mut self, average: f64) -> f64 {
        self.driver.take_rest(average)
    }

    /// A report reaches the decider.
    #[inline]
    pub(crate) fn record(&mut self, at: u64, report: &InstanceReport) {
        self.driver.record(self.clock(at), report.origin, &report.sample);
    }

    /// When a decision may be another one than the last, made at `now` from `observed`, if each
    /// second is reported to be without load; [`NEVER`] if none can, `None` if that is not known.
    pub(crate) fn steady_until(&self, now: u64, observed: Observed) -> Option<u64> {
        let Decider::Knative(autoscaler) = self.driver.policy() else { return None };
        if !self.is_settled {
            return None;
        }
        match autoscaler.steady_until(self.clock(now), observed) {
            Steady::Unknown => None,
            Steady::Until(at) => Some(self.simulated(at)),
            Steady::Always => Some(NEVER),
        }
    }

    /// The decision at `now` is the last one again. Nobody can see that it was not made, unless
    /// reasons are recorded: then it returns `false`, and the decision is to be made.
    pub(crate) fn repeats(&mut self, now: u64) -> bool {
        if self.explains == Explains::Yes {
            return false;
        }
        self.driver.repeated(self.clock(now));
        true
    }

    /// Reports of no load reach the decider, for each second up to that of `at`.
    pub(crate) fn record_nothing_until(&mut self, at: u64) {
        let at = self.clock(at);
        if let Decider::Knative(autoscaler) = self.driver.policy_mut() {
            autoscaler.record_nothing_until(at);
        }
    }

    /// Makes a decision at `now`; `inside` is the number of requests in the system.
    pub(crate) fn tick(&mut self, now: u64, observed: Observed, inside: f64) -> ScaleDecision {
        let scene = ClusterView {
            observed,
            at_activators: (self.platform != Platform::Cluster).then_some(inside),
            signals: &[],
            path: self.path(),
        };
        let (decision, followed) = self.driver.tick(self.clock(now), &scene, &self.rules.spec);
        if let Detail::Knative(trace) = &decision.explanation.detail {
            self.panicking = trace.steps.panic_after.since.is_some();
            if let Some(signal) = trace.inputs.signals.as_slice().first() {
                self.windows = (signal.stable, signal.panic);
            }
        }
        if self.explains == Explains::Yes {
            self.last = Some(Box::new((decision, None)));
        }
        self.verdict(now, &followed)
    }

    /// Applies bounds and lifecycle to the last decision once more.
    pub(crate) fn reconcile(&mut self, now: u64, observed: Observed) -> ScaleDecision {
        let path = self.path();
        let followed = self.driver.apply(self.clock(now), observed.ready, path, &self.rules.spec);
        self.verdict(now, &followed)
    }

    /// The path of requests to the instances.
    fn path(&self) -> Path {
        match self.platform {
            Platform::Cluster => {
                Path::Switched { activator_since: self.proxied.then_some(self.activator_since) }
            }
            Platform::Local { .. } => Path::ThroughActivator,
        }
    }

    fn verdict(&mut self, now: u64, followed: &Applied) -> ScaleDecision {
        let mut again_at = None;
        if let Some(step) = followed.step {
            let proxied = step.mode == TrafficMode::Proxy;
            if proxied && !self.proxied {
                self.activator_since = self.clock(now);
            }
            self.proxied = proxied;
            if self.platform == Platform::Cluster {
                let after = |ms: i64| u64::try_from(ms).unwrap_or(0).saturating_mul(1_000_000);
                again_at = step.recheck_ms.map(|ms| now.saturating_add(after(ms)));
            }
            if let Some(last) = &mut self.last {
                last.1 = Some(step);
            }
        }
        if let Some(asked) = self.own_wake() {
            again_at = Some(again_at.unwrap_or(asked).min(asked));
        }
        self.is_settled = followed.step.as_ref().is_some_and(is_settled) && again_at.is_none();
        ScaleDecision {
            wanted: u32::try_from(followed.replicas).unwrap_or(0),
            desired: self.driver.desired(),
            proxied: self.proxied,
            panicking: self.panicking,
            again_at,
        }
    }

    /// When the policy asked to be asked, nanoseconds.
    pub(crate) fn own_wake(&self) -> Option<u64> {
        match self.driver.policy().next_wake() {
            // One nanosecond later, so that an arrival at the very end of the time still counts.
            NextWake::At(at) => Some(self.simulated(at).saturating_add(1)),
            NextWake::Tick | NextWake::Event => None,
        }
    }

    /// Whether the policy is to be asked at every tick, also when there is nothing.
    pub(crate) fn never_rests(&self) -> bool {
        self.driver.policy().next_wake() == NextWake::Tick
    }

    /// The averages of the last decision, stable and panic, where it has any.
    pub(crate) const fn windows(&self) -> (f64, f64) {
        self.windows
    }

    /// Spare capacity for a burst at the last decision.
    pub(crate) fn excess_burst_capacity(&self) -> i32 {
        self.driver.excess_burst_capacity()
    }

    /// The reason for the last decision, in words.
    pub(crate) fn reason(&self) -> String {
        let Some((decision, step)) = self.last.as_deref() else { return String::new() };
        match step {
            Some(step) => decision.explanation.with_lifecycle(*step).to_string(),
            None => decision.explanation.to_string(),
        }
    }

    /// How long a revision must have been without load before nothing can change any more,
    /// nanoseconds.
    pub(crate) fn memory_ns(&self) -> u64 {
        let spec = &self.rules.settings.spec;
        // Beyond the longest of them every window is empty, and every delay has run out.
        let longest = spec.stable_window_ms.max(spec.scale_down_delay_ms).max(self.tick_every_ms);
        let longest = match self.driver.policy() {
            Decider::Hpa(policy) => {
                let hpa = policy.settings();
                longest.max(hpa.metrics_window_ms + hpa.scale_down.stabilization_ms)
            }
            _ => longest,
        };
        longest.saturating_mul(2_000_000)
    }
}

#[cfg(test)]
mod tests;
