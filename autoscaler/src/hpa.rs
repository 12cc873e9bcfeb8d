//! Kubernetes' Horizontal Pod Autoscaler, version 2, as a policy.
//!
//! The algorithm that the HPA's documentation describes: replicas in proportion to the ratio of a
//! metric to its target, unless the ratio is within a tolerance of 1; of several metrics the one
//! that recommends most; then stabilization windows, then the rates that behavior policies allow,
//! then the bounds. It never scales to zero, and at zero replicas it does nothing.
//!
//! In reading order: `settings` (what an HPA object says), `ratio` (from a metric to replicas),
//! `behavior` (what may happen how fast); why is in [`crate::explain`].
//!
//! ```
//! use tidegate_autoscaler::hpa::{HpaMetricSpec, HpaPolicy, HpaSettings};
//! use tidegate_autoscaler::{Observed, Policy, Signal, SignalKind, TickInput, Timestamp};
//!
//! let mut policy = HpaPolicy::new(HpaSettings {
//!     metrics: vec![HpaMetricSpec { kind: SignalKind::Cpu, target: 0.5 }],
//!     max_replicas: 20,
//!     ..HpaSettings::default()
//! })?;
//! let cpu = Signal { kind: SignalKind::Cpu, stable: 3.0, panic: 3.0, target: 0.5 };
//! let decision = policy.tick(&TickInput {
//!     now: Timestamp::from_secs(15),
//!     observed: Some(Observed::ready(4)),
//!     signals: &[cpu],
//! });
//! let told = decision.explanation.to_string();
//! assert_eq!(told, "6 instances: processor load at 1.5 of the target on 4 makes 6.");
//! # Ok::<(), tidegate_autoscaler::hpa::HpaSettingsError>(())
//! ```

mod behavior;
mod ratio;
mod settings;

pub use crate::explain::{HpaRule, HpaTrace};
pub use ratio::{Basis, Reading, Weighed, weigh};
pub use settings::{
    HpaMetricSpec, HpaSettings, HpaSettingsError, ScalingPolicy, ScalingRules, ScalingStep,
    SelectPolicy, Tolerance,
};

use crate::decision::Outcome;
use crate::explain::{Decision, Detail, Explanation};
use crate::observed::Observed;
use crate::policy::{NextWake, Policy, TickInput};
use crate::sample::{Origin, Sample};
use crate::signal::{Signal, SignalKind};
use crate::spec::Aggregation;
use crate::time::Timestamp;
use crate::window::{BUCKET_MS, Window};
use behavior::Behavior;

/// Decides as Kubernetes' HPA does.
///
/// Concurrency and request rate are averaged from the recorded samples, as a metrics adapter
/// would; every other metric comes with [`TickInput::signals`]. Ticks are due every
/// [`HpaSettings::sync_period_ms`].
#[derive(Debug, Clone, PartialEq)]
pub struct HpaPolicy {
    settings: HpaSettings,
    window: Window<2>,
    behavior: Behavior,
}

impl HpaPolicy {
    /// A policy that has decided nothing yet.
    ///
    /// # Errors
    ///
    /// [`HpaSettingsError`] when a number is not in its range.
    pub fn new(settings: HpaSettings) -> Result<Self, HpaSettingsError> {
        settings.validate()?;
        let window = Window::new(Aggregation::Linear, settings.metrics_window_ms, BUCKET_MS);
        let window = window.map_err(|_| HpaSettingsError {
            field: "metrics window",
            expected: "1 second to 1 day",
        })?;
        Ok(Self { settings, window, behavior: Behavior::default() })
    }

    /// What it goes by.
    pub fn settings(&self) -> &HpaSettings {
        &self.settings
    }

    /// What one metric reads now; none when nothing is known of it.
    fn reading(&self, kind: SignalKind, input: &TickInput<'_>, seen: Observed) -> Option<Reading> {
        let recorded = |lane| {
            let known = !self.window.is_empty(input.now);
            known.then(|| self.window.average(input.now, lane))
        };
        let given = input.signals.iter().find(|signal: &&Signal| signal.kind == kind);
        let total = match (given, kind) {
            (Some(signal), _) => Some(signal.stable),
            (None, SignalKind::Concurrency) => recorded(0),
            (None, SignalKind::RequestRate) => recorded(1),
            (None, _) => None,
        }?;
        let usable = total.is_finite() && total >= 0.0 && seen.ready > 0;
        usable.then_some(Reading {
            total,
            reporting: seen.ready,
            unready: seen.starting,
            missing: 0,
        })
    }

    /// The replicas that the metrics recommend, and the metric that recommends most.
    fn proposal(&self, input: &TickInput<'_>, seen: Observed) -> Result<Proposal, HpaRule> {
        let mut best: Option<Proposal> = None;
        let mut unknown = false;
        for metric in &self.settings.metrics {
            let Some(reading) = self.reading(metric.kind, input, seen) else {
                unknown = true;
                continue;
            };
            let tolerance = self.settings.tolerance;
            let weighed = weigh(seen.requested, reading, metric.target, tolerance);
            if best.is_none_or(|best| weighed.replicas > best.weighed.replicas) {
                best = Some(Proposal { weighed, kind: metric.kind, reporting: reading.reporting });
            }
        }
        let none = if seen.ready == 0 { HpaRule::NoneReady } else { HpaRule::NoMetrics };
        let best = best.ok_or(none)?;
        // An unknown metric might need more than the known ones: never scale down without it.
        if unknown && best.weighed.replicas < seen.requested {
            return Err(HpaRule::MetricsIncomplete);
        }
        Ok(best)
    }

    fn decide(&mut self, input: &TickInput<'_>, seen: Observed) -> HpaTrace {
        let current = seen.requested;
        let (min, max) = (self.settings.min_replicas, self.settings.max_replicas);
        let mut trace = HpaTrace::holding(current, (min, max));
        if current == 0 {
            trace.rule = HpaRule::DisabledAtZero;
            return trace;
        }
        if current > max || current < min {
            trace.rule = if current > max { HpaRule::AboveMax } else { HpaRule::BelowMin };
            trace.desired = current.clamp(min, max);
            self.behavior.remember_scaling(input.now, current, trace.desired);
            return trace;
        }
        let proposal = match self.proposal(input, seen) {
            Ok(proposal) => proposal,
            Err(rule) => {
                trace.rule = rule;
                return trace;
            }
        };
        let weighed = proposal.weighed;
        trace.metric = Some(proposal.kind);
        (trace.ratio, trace.counted) = (weighed.ratio, weighed.counted);
        trace.reporting = proposal.reporting;
        trace.proposed = weighed.replicas;
        trace.stabilized =
            self.behavior.stabilize(&self.settings, input.now, current, weighed.replicas);
        let limit = self.behavior.limit(&self.settings, input.now, current, trace.stabilized);
        trace.desired = limit.replicas;
        trace.rule = match () {
            () if limit.replicas != trace.stabilized => limit.rule,
            () if trace.stabilized != trace.proposed => HpaRule::Stabilized,
            () => match weighed.basis {
                Basis::Ratio => HpaRule::Ratio,
                Basis::Tolerance => HpaRule::WithinTolerance,
                Basis::Doubt => HpaRule::Doubt,
            },
        };
        self.behavior.remember_scaling(input.now, current, trace.desired);
        trace
    }
}

/// What the metrics want.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Proposal {
    weighed: Weighed,
    kind: SignalKind,
    /// Replicas that reported it.
    reporting: u32,
}

impl Policy for HpaPolicy {
    fn record(&mut self, at: Timestamp, _origin: Origin, sample: &Sample) {
        self.window.record(at, sample.own());
    }

    fn tick(&mut self, input: &TickInput<'_>) -> Decision {
        let trace = match input.observed {
            Some(seen) => self.decide(input, seen),
            None => {
                let bounds = (self.settings.min_replicas, self.settings.max_replicas);
                HpaTrace { rule: HpaRule::CountUnknown, ..HpaTrace::holding(0, bounds) }
            }
        };
        let outcome = Outcome {
            valid: trace.rule.is_decisive(),
            desired: i32::try_from(trace.desired).unwrap_or(i32::MAX),
            excess_burst_capacity: 0,
        };
        let outcome = if outcome.valid { outcome } else { Outcome::default() };
        let detail = Detail::Hpa(trace);
        Decision::new(Explanation { at: input.now, detail, outcome, lifecycle: None })
    }

    /// The HPA knows no waiting requests.
    fn should_wake(&self, _waiting: u32) -> bool {
        false
    }

    fn tick_interval_ms(&self) -> u64 {
        self.settings.sync_period_ms
    }

    /// At zero it is switched off.
    fn next_wake(&self) -> NextWake {
        NextWake::Event
    }
}
