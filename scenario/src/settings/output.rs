//! Settings and what they come to, as scenarios write them.

use serde::Serialize;
use tidegate_autoscaler::settings::{Config, HpaObject, HpaTarget, RPS_UTILIZATION, Resolved};

use crate::number::Number;

/// A `config-autoscaler` with every default filled in.
#[derive(Debug, Serialize)]
pub(super) struct ConfigOutput {
    enable_scale_to_zero: bool,
    container_concurrency_target_fraction: Number,
    container_concurrency_target_default: Number,
    target_utilization: Number,
    rps_target_default: Number,
    target_burst_capacity: Number,
    activator_capacity: Number,
    allow_zero_initial_scale: bool,
    initial_scale: i32,
    min_scale: i32,
    max_scale: i32,
    max_scale_limit: i32,
    max_scale_up_rate: Number,
    max_scale_down_rate: Number,
    stable_window_ms: i64,
    panic_window_percentage: Number,
    panic_threshold_percentage: Number,
    scale_to_zero_grace_period_ms: i64,
    scale_to_zero_pod_retention_period_ms: i64,
    scale_down_delay_ms: i64,
    pod_autoscaler_class: String,
}

impl ConfigOutput {
    pub(super) fn of(config: &Config) -> Self {
        Self {
            enable_scale_to_zero: config.enable_scale_to_zero,
            container_concurrency_target_fraction: Number(
                config.container_concurrency_target_fraction,
            ),
            container_concurrency_target_default: Number(
                config.container_concurrency_target_default,
            ),
            target_utilization: Number(RPS_UTILIZATION),
            rps_target_default: Number(config.requests_per_second_target_default),
            target_burst_capacity: Number(config.target_burst_capacity),
            activator_capacity: Number(config.activator_capacity),
            allow_zero_initial_scale: config.allow_zero_initial_scale,
            initial_scale: config.initial_scale,
            min_scale: config.min_scale,
            max_scale: config.max_scale,
            max_scale_limit: config.max_scale_limit,
            max_scale_up_rate: Number(config.max_scale_up_rate),
            max_scale_down_rate: Number(config.max_scale_down_rate),
            stable_window_ms: config.stable_window.milliseconds(),
            panic_window_percentage: Number(config.panic_window_percentage),
            panic_threshold_percentage: Number(config.panic_threshold_percentage),
            scale_to_zero_grace_period_ms: config.scale_to_zero_grace_period.milliseconds(),
            scale_to_zero_pod_retention_period_ms: config
                .scale_to_zero_pod_retention_period
                .milliseconds(),
            scale_down_delay_ms: config.scale_down_delay.milliseconds(),
            pod_autoscaler_class: config.pod_autoscaler_class.clone(),
        }
    }
}

/// What a revision's settings come to.
#[derive(Debug, Serialize)]
pub(crate) struct ResolvedOutput {
    metric: String,
    class: String,
    spec: SpecOutput,
    stable_window_ms: i64,
    panic_window_ms: i64,
    aggregation_algorithm: String,
    min_scale: i32,
    max_scale: i32,
    pod_retention_ms: i64,
    effective_retention_ms: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    hpa: Option<HpaOutput>,
}

#[derive(Debug, Serialize)]
struct SpecOutput {
    max_scale_up_rate: Number,
    max_scale_down_rate: Number,
    scaling_metric: String,
    target_value: Number,
    total_value: Number,
    target_burst_capacity: Number,
    activator_capacity: Number,
    panic_threshold: Number,
    stable_window_ms: i64,
    scale_down_delay_ms: i64,
    initial_scale: i32,
    reachable: bool,
    activation_scale: i32,
}

impl ResolvedOutput {
    pub(super) fn of(resolved: &Resolved) -> Self {
        let spec = &resolved.spec;
        Self {
            metric: resolved.metric.clone(),
            class: resolved.class.clone(),
            spec: SpecOutput {
                max_scale_up_rate: Number(spec.max_scale_up_rate),
                max_scale_down_rate: Number(spec.max_scale_down_rate),
                scaling_metric: resolved.metric.clone(),
                target_value: Number(spec.target_value),
                total_value: Number(spec.total_value),
                target_burst_capacity: Number(spec.target_burst_capacity),
                activator_capacity: Number(spec.activator_capacity),
                panic_threshold: Number(spec.panic_threshold),
                stable_window_ms: resolved.stable_window.milliseconds(),
                scale_down_delay_ms: resolved.scale_down_delay.milliseconds(),
                initial_scale: spec.initial_scale,
                reachable: spec.reachable,
                activation_scale: spec.activation_scale,
            },
            stable_window_ms: resolved.stable_window.milliseconds(),
            panic_window_ms: resolved.panic_window.milliseconds(),
            aggregation_algorithm: resolved.aggregation_algorithm.clone(),
            min_scale: resolved.bounds.min,
            max_scale: resolved.bounds.max,
            pod_retention_ms: resolved.pod_retention.milliseconds(),
            effective_retention_ms: resolved.effective_retention.milliseconds(),
            hpa: resolved.hpa.as_ref().map(HpaOutput::of),
        }
    }
}

#[derive(Debug, Default, Serialize)]
struct HpaOutput {
    min_replicas: Option<i32>,
    max_replicas: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    metric_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metric_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    average_utilization: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    average_value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scale_up_stabilization_s: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scale_down_stabilization_s: Option<i32>,
}

impl HpaOutput {
    fn of(hpa: &HpaObject) -> Self {
        let mut output = Self {
            min_replicas: hpa.min_replicas,
            max_replicas: hpa.max_replicas,
            scale_up_stabilization_s: hpa.stabilization_s,
            scale_down_stabilization_s: hpa.stabilization_s,
            ..Self::default()
        };
        let Some(metric) = &hpa.metric else { return output };
        output.metric_name = Some(metric.name.clone());
        let (metric_type, target_type) = match &metric.target {
            HpaTarget::ResourceUtilization(percent) => {
                output.average_utilization = Some(*percent);
                ("Resource", "Utilization")
            }
            HpaTarget::ResourceAverage(quantity) => {
                output.average_value = Some(quantity.clone());
                ("Resource", "AverageValue")
            }
            HpaTarget::PodsAverage(quantity) => {
                output.average_value = Some(quantity.clone());
                ("Pods", "AverageValue")
            }
        };
        output.metric_type = Some(metric_type);
        output.target_type = Some(target_type);
        output
    }
}
