//! What there is to read of one revision, as a browser is told it: of a controller in this process,
//! or of a site that answered.

use serde::Serialize;
use tidegate_autoscaler::ScalingMetric;
use tidegate_controller::instance::Phase;
use tidegate_controller::journal::DecisionRecord;
use tidegate_controller::overview::Overview;
use tidegate_controller::status::InstanceStatus;
use tidegate_controller::{Declaration, PolicyChoice};

/// Letters of a reason; the longest that the library makes have some four hundred.
const REASON_LETTERS_MAX: usize = 1_000;

/// Numbers that decisions are computed from, in the order in which they are shown.
#[derive(Debug, Serialize)]
pub struct Settings {
    /// What is weighed, in words.
    pub metric: &'static str,
    /// What one instance should carry of it.
    pub target: f64,
    /// What one instance may carry of it.
    pub total: f64,
    /// The stable window, in milliseconds.
    pub stable_window_ms: u64,
    /// How many times what is ready the panic window must want.
    pub panic_threshold: f64,
    /// How many times what is ready may be wanted.
    pub max_scale_up_rate: f64,
    /// By how many times fewer may be wanted.
    pub max_scale_down_rate: f64,
    /// For how long more stay wanted, in milliseconds.
    pub scale_down_delay_ms: u64,
    /// The burst that is to fit.
    pub target_burst_capacity: f64,
    /// The fewest instances out of zero.
    pub activation_scale: i32,
}

/// What is weighed where requests in flight are.
pub const IN_FLIGHT_METRIC: &str = "requests in flight";

/// What is weighed where requests a second are.
pub const RATE_METRIC: &str = "requests a second";

impl Settings {
    /// Those of a revision that Knative's algorithm decides for; others have none of these.
    pub(crate) fn of(declaration: &Declaration) -> Option<Self> {
        let PolicyChoice::Knative(settings) = &declaration.policy else { return None };
        let spec = &settings.spec;
        Some(Self {
            metric: match spec.scaling_metric {
                ScalingMetric::Concurrency => IN_FLIGHT_METRIC,
                ScalingMetric::RequestRate => RATE_METRIC,
            },
            target: spec.target_value,
            total: spec.total_value,
            stable_window_ms: spec.stable_window_ms,
            panic_threshold: spec.panic_threshold,
            max_scale_up_rate: spec.max_scale_up_rate,
            max_scale_down_rate: spec.max_scale_down_rate,
            scale_down_delay_ms: spec.scale_down_delay_ms,
            target_burst_capacity: spec.target_burst_capacity,
            activation_scale: spec.activation_scale,
        })
    }
}

/// A decision.
#[derive(Debug, Serialize)]
pub struct Decision {
    /// Its number among those of the revision.
    pub number: u64,
    /// When, in Unix milliseconds.
    pub at: i64,
    /// Instances wanted before.
    pub before: i32,
    /// Instances wanted since.
    pub after: i32,
    /// Whether panic mode was on.
    pub in_panic: bool,
    /// Why, in a sentence or two.
    pub reason: String,
}

impl Decision {
    pub(crate) fn of(number: u64, record: &DecisionRecord) -> Self {
        let reason = record.to_string();
        Self {
            number,
            at: record.unix_ms,
            before: record.before,
            after: record.replicas(),
            in_panic: record.in_panic(),
            reason: reason.chars().take(REASON_LETTERS_MAX).collect(),
        }
    }
}

/// The instances of a revision: those that are told, and how many more there are.
#[derive(Debug, Serialize)]
pub struct Instances {
    told: Vec<Instance>,
    more: usize,
}

/// An instance.
#[derive(Debug, Serialize)]
pub struct Instance {
    /// Its name.
    pub name: String,
    /// What it is doing, in a word or two.
    pub phase: &'static str,
    /// Requests at it.
    pub in_flight: u32,
}

impl Instances {
    /// Those that are told, of a revision that has as many as its numbers say.
    #[must_use]
    pub fn new(told: Vec<Instance>, of: &Overview) -> Self {
        let phases = [of.ready, of.starting, of.draining, of.frozen];
        let all: u64 = phases.into_iter().map(u64::from).sum();
        let all = usize::try_from(all).unwrap_or(usize::MAX);
        let more = all.saturating_sub(told.len());
        Self { told, more }
    }

    pub(crate) fn of(told: &[InstanceStatus], of: &Overview) -> Self {
        let instance = |instance: &InstanceStatus| Instance {
            name: instance.name.to_string(),
            phase: match instance.phase {
                Phase::Starting => "starting",
                Phase::Ready => "ready",
                Phase::Unready => "not ready",
                Phase::Draining => "draining",
                Phase::Freezing | Phase::Frozen => "frozen",
            },
            in_flight: instance.in_flight,
        };
        Self::new(told.iter().map(instance).collect(), of)
    }
}
