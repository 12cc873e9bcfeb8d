//! From a scenario's settings by name to what the decision library takes.

use std::sync::Arc;

use serde_json::{Value, json};
use tidegate_autoscaler::hpa::{HpaMetricSpec, HpaSettings};
use tidegate_autoscaler::lifecycle::{DEFAULT_PROGRESS_DEADLINE, LifecycleSpec};
use tidegate_autoscaler::settings::{
    Config, GoDuration, Overrides, Reachability, Resolved, Strictness, Workload, sort_settings,
    unknown_setting,
};
use tidegate_autoscaler::{Improvements, RevisionSettings, ScalingMetric, SignalKind};

use crate::scenario::{PolicyChoice, RevisionModel};
use crate::time::SimSpan;

/// What a model's settings come to, once for all revisions that have it.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    pub(super) settings: Arc<RevisionSettings>,
    pub(super) spec: Arc<LifecycleSpec>,
}

impl Rules {
    /// Reads, checks and resolves a model's settings.
    pub(crate) fn new(model: &RevisionModel) -> Result<Rules, String> {
        let (settings, spec) = resolve(model)?;
        Ok(Rules { settings: Arc::new(settings), spec: Arc::new(spec) })
    }
}

/// Reads, checks and resolves a model's settings.
pub(crate) fn resolve(model: &RevisionModel) -> Result<(RevisionSettings, LifecycleSpec), String> {
    let by_name = model.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let (config, annotations) =
        sort_settings(by_name).map_err(|(name, _)| unknown_setting(name))?;
    let config =
        Config::from_map(&config, Strictness::Strict).map_err(|wrong| wrong.to_string())?;
    let overrides = Overrides::parse(&annotations, &config, Strictness::Strict)
        .map_err(|wrong| wrong.to_string())?;
    let reachability = Reachability::Reachable;
    let workload = Workload { container_concurrency: model.concurrency, reachability };
    let resolved = Resolved::new(&config, &overrides, workload);
    let lifecycle = LifecycleSpec::new(&config, &resolved, reachability, DEFAULT_PROGRESS_DEADLINE);
    let improvements = match model.policy {
        PolicyChoice::Tidegate => Improvements::all(),
        _ => Improvements::none(),
    };
    let mut settings =
        RevisionSettings { spec: resolved.spec, metric: resolved.windows, improvements };
    let mut lifecycle = lifecycle;
    if let Some(idle) = model.platform.idle() {
        apply_idle(idle, &mut settings, &mut lifecycle);
    }
    Ok((settings, lifecycle))
}

/// What the settings come to, defaults and all, under names with their units: what decided. `null`
/// for policies that have none of them.
pub(crate) fn in_force(model: &RevisionModel) -> Value {
    let has_settings =
        matches!(model.policy, PolicyChoice::Knative | PolicyChoice::Tidegate | PolicyChoice::Hpa);
    let resolved = if has_settings { resolve(model).ok() } else { None };
    let Some((settings, lifecycle)) = resolved else { return Value::Null };
    let RevisionSettings { spec, metric, .. } = settings;
    let seconds = |ms: u64| ms as f64 / 1e3;
    let metric_name = match spec.scaling_metric {
        ScalingMetric::Concurrency => "requests at once",
        ScalingMetric::RequestRate => "requests per second",
    };
    json!({
        "metric": metric_name,
        "target": spec.target_value,
        "stable_window_s": seconds(metric.stable_window_ms),
        "panic_window_s": seconds(metric.panic_window_ms),
        "panic_threshold": spec.panic_threshold,
        "target_burst_capacity": spec.target_burst_capacity,
        "scale_down_delay_s": seconds(spec.scale_down_delay_ms),
        "scale_to_zero_grace_s": lifecycle.grace_period.milliseconds() as f64 / 1e3,
        "last_instance_kept_s": lifecycle.retention.milliseconds() as f64 / 1e3,
        "min_scale": lifecycle.bounds.min,
        "max_scale": lifecycle.bounds.max,
    })
}

/// Kubernetes' HPA with the target and bounds that the settings come to, and its own defaults for
/// everything else.
pub(crate) fn hpa(settings: &RevisionSettings, lifecycle: &LifecycleSpec) -> HpaSettings {
    let kind = match settings.spec.scaling_metric {
        ScalingMetric::Concurrency => SignalKind::Concurrency,
        ScalingMetric::RequestRate => SignalKind::RequestRate,
    };
    let bound =
        |bound: i32, none: u32| u32::try_from(bound).ok().filter(|&n| n > 0).unwrap_or(none);
    HpaSettings {
        min_replicas: bound(lifecycle.bounds.min, 1),
        max_replicas: bound(lifecycle.bounds.max, u32::MAX),
        metrics: vec![HpaMetricSpec { kind, target: settings.spec.target_value }],
        ..HpaSettings::default()
    }
}

/// Local mode's way to zero. There is no path around the activator, so it need not be in the path
/// for a while first.
fn apply_idle(idle: SimSpan, settings: &mut RevisionSettings, lifecycle: &mut LifecycleSpec) {
    let window_ms = settings.metric.stable_window_ms;
    lifecycle.scale_to_zero_after(idle.as_nanos() / 1_000_000, window_ms, &mut settings.spec);
    lifecycle.grace_period = GoDuration::from_milliseconds(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(settings: &[(&str, &str)]) -> Result<(RevisionSettings, LifecycleSpec), String> {
        let settings =
            settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        resolve(&RevisionModel { settings, ..RevisionModel::default() })
    }

    #[test]
    fn names_with_and_without_prefix_mean_the_same() {
        let (bare, _) = check(&[("target", "5"), ("window", "30s")]).expect("reads");
        let (full, _) = check(&[
            ("autoscaling.knative.dev/target", "5"),
            ("autoscaling.knative.dev/window", "30s"),
        ])
        .expect("reads");
        assert_eq!(bare, full);
        assert_eq!((bare.spec.target_value, bare.spec.stable_window_ms), (3.5, 30_000));
    }

    #[test]
    fn mistakes_are_named_with_what_would_do() {
        let error = check(&[("stable-windw", "30s")]).expect_err("refuses");
        assert!(error.contains("`stable-window`"), "{error}");
        let error = check(&[("stable-window", "3s")]).expect_err("refuses");
        assert!(error.contains("stable-window") && error.contains("3s"), "{error}");
    }
}
