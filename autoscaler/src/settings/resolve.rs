//! From settings to numbers: what a revision is scaled by, all told.

use tidegate_go_text::GoDuration;

use super::annotations::Overrides;
use super::bounds::ScaleBounds;
use super::config::{Config, HPA_CLASS, KPA_CLASS, RPS_UTILIZATION, TARGET_MIN};
use super::hpa_object::HpaObject;
use crate::spec::{Aggregation, DecisionSpec, MetricSpec, ScalingMetric};

/// Whether anything routes requests to a revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Reachability {
    /// Not known yet; scaled as if reachable.
    #[default]
    #[cfg_attr(feature = "serde", serde(rename = ""))]
    Unknown,
    /// A route names the revision.
    Reachable,
    /// No route names the revision: no lower bound, no retention, no delay.
    Unreachable,
}

/// What is known of a revision besides its annotations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Workload {
    /// Requests at once that one container takes; 0 for no limit.
    pub container_concurrency: u32,
    /// Whether anything routes requests to it.
    pub reachability: Reachability,
}

/// Everything a revision's settings come to.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolved {
    /// The class: which algorithm decides.
    pub class: String,
    /// What is measured: `concurrency` or `rps` for the KPA class.
    pub metric: String,
    /// What decisions are computed from.
    pub spec: DecisionSpec,
    /// What the windows are.
    pub windows: MetricSpec,
    /// The stable window as it was set.
    pub stable_window: GoDuration,
    /// The panic window, rounded to seconds.
    pub panic_window: GoDuration,
    /// How long a smaller recommendation must last.
    pub scale_down_delay: GoDuration,
    /// The algorithm's name as it was set, in its kebab form; empty for the default, `linear`.
    pub aggregation_algorithm: String,
    /// Fewest and most instances.
    pub bounds: ScaleBounds,
    /// How long the last instance stays at least, as it was set.
    pub pod_retention: GoDuration,
    /// The same, with regard to reachability.
    pub effective_retention: GoDuration,
    /// How long a revision may take to become ready, where an annotation says so.
    pub progress_deadline: Option<GoDuration>,
    /// The object to create, for the HPA class.
    pub hpa: Option<HpaObject>,
}

impl Resolved {
    /// Combines the cluster's settings with a revision's.
    pub fn new(config: &Config, overrides: &Overrides, workload: Workload) -> Self {
        let class = overrides.class.clone().unwrap_or_else(|| config.pod_autoscaler_class.clone());
        let metric = overrides.metric.clone().unwrap_or_else(|| default_metric(&class).to_owned());
        let reachable = workload.reachability != Reachability::Unreachable;
        let stable_window = overrides.window.unwrap_or(config.stable_window);
        let percentage =
            overrides.panic_window_percentage.unwrap_or(config.panic_window_percentage);
        let panic_window = panic_window(stable_window, percentage);
        let scale_down_delay = overrides.scale_down_delay.unwrap_or(config.scale_down_delay);
        let pod_retention =
            overrides.pod_retention.unwrap_or(config.scale_to_zero_pod_retention_period);
        let bounds = bounds(config, overrides, workload.reachability);
        let (target_value, total_value) =
            target_and_total(config, overrides, &metric, workload.container_concurrency);
        let spec = DecisionSpec {
            max_scale_up_rate: config.max_scale_up_rate,
            max_scale_down_rate: config.max_scale_down_rate,
            scaling_metric: scaling_metric(&metric),
            target_value,
            total_value,
            target_burst_capacity: burst_capacity(config, overrides),
            activator_capacity: config.activator_capacity,
            panic_threshold: panic_threshold(config, overrides),
            stable_window_ms: unsigned_milliseconds(stable_window),
            scale_down_delay_ms: unsigned_milliseconds(scale_down_delay),
            initial_scale: initial_scale(config, overrides),
            reachable,
            activation_scale: overrides.activation_scale.unwrap_or(0),
            ..DecisionSpec::default()
        };
        let aggregation_algorithm = aggregation_name(overrides);
        let windows = MetricSpec {
            stable_window_ms: unsigned_milliseconds(stable_window),
            panic_window_ms: unsigned_milliseconds(panic_window),
            aggregation: aggregation(&aggregation_algorithm),
            // With an unbounded burst capacity the activator sees every request and reports it.
            scraped: spec.target_burst_capacity != -1.0,
        };
        let hpa = (class == HPA_CLASS).then(|| HpaObject::new(&metric, overrides, bounds));
        Self {
            class,
            metric,
            spec,
            windows,
            stable_window,
            panic_window,
            scale_down_delay,
            aggregation_algorithm,
            bounds,
            pod_retention,
            effective_retention: if reachable { pod_retention } else { GoDuration::ZERO },
            progress_deadline: overrides.progress_deadline,
            hpa,
        }
    }
}

/// What a class measures by default.
fn default_metric(class: &str) -> &'static str {
    match class {
        KPA_CLASS => "concurrency",
        HPA_CLASS => "cpu",
        _ => "",
    }
}

/// Everything that is not a rate of requests is taken for concurrency, as in Knative.
fn scaling_metric(metric: &str) -> ScalingMetric {
    if metric == "rps" { ScalingMetric::RequestRate } else { ScalingMetric::Concurrency }
}

/// The load one instance should carry, and the load it can carry.
fn target_and_total(
    config: &Config,
    overrides: &Overrides,
    metric: &str,
    container_concurrency: u32,
) -> (f64, f64) {
    let limit = f64::from(container_concurrency);
    let (mut total, mut utilization) = if metric == "rps" {
        (config.requests_per_second_target_default, RPS_UTILIZATION)
    } else if container_concurrency == 0 {
        (config.container_concurrency_target_default, config.container_concurrency_target_fraction)
    } else {
        (limit, config.container_concurrency_target_fraction)
    };
    if let Some(target) = overrides.target {
        let limited = metric == "concurrency" && container_concurrency != 0;
        total = if limited { target.min(limit) } else { target };
    }
    if let Some(percentage) = overrides.target_utilization_percentage {
        utilization = percentage / 100.0;
    }
    (TARGET_MIN.max(total * utilization), total)
}

/// A percentage of the stable window, rounded to seconds, at least one second.
fn panic_window(stable_window: GoDuration, percentage: f64) -> GoDuration {
    let nanoseconds = stable_window.nanoseconds() as f64 * percentage / 100.0;
    let rounded = GoDuration::from_nanoseconds(nanoseconds as i64).round_to_second();
    rounded.max(GoDuration::from_seconds(1))
}

fn panic_threshold(config: &Config, overrides: &Overrides) -> f64 {
    let percentage =
        overrides.panic_threshold_percentage.unwrap_or(config.panic_threshold_percentage);
    percentage / 100.0
}

fn burst_capacity(config: &Config, overrides: &Overrides) -> f64 {
    overrides.target_burst_capacity.unwrap_or(config.target_burst_capacity)
}

/// Zero counts only where the cluster allows it.
fn initial_scale(config: &Config, overrides: &Overrides) -> i32 {
    let asked =
        overrides.initial_scale.filter(|&asked| asked != 0 || config.allow_zero_initial_scale);
    asked.unwrap_or(config.initial_scale)
}

fn bounds(config: &Config, overrides: &Overrides, reachability: Reachability) -> ScaleBounds {
    let min = match reachability {
        Reachability::Unreachable => 0,
        _ => overrides.min_scale.unwrap_or(config.min_scale),
    };
    ScaleBounds { min, max: overrides.max_scale.unwrap_or(config.max_scale) }
}

fn aggregation_name(overrides: &Overrides) -> String {
    match overrides.aggregation_algorithm.as_deref() {
        Some("weightedExponential") => "weighted-exponential".to_owned(),
        Some(name) => name.to_owned(),
        None => String::new(),
    }
}

fn aggregation(name: &str) -> Aggregation {
    match name {
        "weighted-exponential" => Aggregation::WeightedExponential,
        _ => Aggregation::Linear,
    }
}

/// Windows and delays are never negative once validated; unvalidated ones become zero.
fn unsigned_milliseconds(duration: GoDuration) -> u64 {
    u64::try_from(duration.milliseconds()).unwrap_or(0)
}
