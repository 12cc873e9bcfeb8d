//! The HorizontalPodAutoscaler (`autoscaling/v2`) that the HPA class hands to Kubernetes.

use super::annotations::Overrides;
use super::bounds::ScaleBounds;

/// What the object says, apart from its name and what it scales.
#[derive(Debug, Clone, PartialEq)]
pub struct HpaObject {
    /// `minReplicas`; absent where the bound is zero, which Kubernetes takes for 1.
    pub min_replicas: Option<i32>,
    /// `maxReplicas`; the largest number where there is no bound.
    pub max_replicas: i32,
    /// The metric, where a target is set; Kubernetes' default otherwise.
    pub metric: Option<HpaMetric>,
    /// Stabilization window for both directions in seconds, where a window is set.
    pub stabilization_s: Option<i32>,
}

/// One metric and its target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HpaMetric {
    /// `cpu`, `memory`, or a metric that an adapter serves.
    pub name: String,
    /// The target per pod.
    pub target: HpaTarget,
}

/// What a metric is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HpaTarget {
    /// A resource's use in percent of what the pods requested.
    ResourceUtilization(i32),
    /// A resource's use per pod, as a Kubernetes quantity such as `512Mi`.
    ResourceAverage(String),
    /// A custom metric's value per pod, as a Kubernetes quantity such as `250` or `3k`.
    PodsAverage(String),
}

impl HpaObject {
    pub(super) fn new(metric: &str, overrides: &Overrides, bounds: ScaleBounds) -> Self {
        let metric = overrides.target.map(|target| HpaMetric {
            name: metric.to_owned(),
            target: hpa_target(metric, target),
        });
        Self {
            min_replicas: (bounds.min > 0).then_some(bounds.min),
            max_replicas: if bounds.max == 0 { i32::MAX } else { bounds.max },
            metric,
            stabilization_s: overrides
                .window
                .map(|window| i32::try_from(window.seconds()).unwrap_or(i32::MIN)),
        }
    }
}

fn hpa_target(metric: &str, target: f64) -> HpaTarget {
    match metric {
        "cpu" => HpaTarget::ResourceUtilization(to_i32(target.ceil())),
        "memory" => {
            let bytes = to_i64(target).wrapping_mul(1 << 20);
            HpaTarget::ResourceAverage(binary_quantity(bytes))
        }
        _ => HpaTarget::PodsAverage(decimal_quantity(to_i64(target))),
    }
}

/// What Go on amd64 makes of a double beyond the range: the smallest integer.
fn to_i32(value: f64) -> i32 {
    let fits = value > -2_147_483_649.0 && value < 2_147_483_648.0;
    if fits { value as i32 } else { i32::MIN }
}

/// What Go on amd64 makes of a double beyond the range: the smallest integer.
fn to_i64(value: f64) -> i64 {
    let fits = (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&value);
    if fits { value as i64 } else { i64::MIN }
}

/// A whole quantity in powers of 1000: `1500`, `3k`, `2M`, never a fraction.
fn decimal_quantity(value: i64) -> String {
    scaled_quantity(value, 1000, &["", "k", "M", "G", "T", "P", "E"])
}

/// A whole quantity in powers of 1024: `512Mi`, `3Gi`, never a fraction.
fn binary_quantity(value: i64) -> String {
    scaled_quantity(value, 1024, &["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"])
}

fn scaled_quantity(value: i64, step: i64, suffixes: &[&str]) -> String {
    let mut rest = value;
    let mut suffix = 0;
    while rest != 0 && rest % step == 0 && suffix + 1 < suffixes.len() {
        rest /= step;
        suffix += 1;
    }
    format!("{rest}{}", suffixes[suffix])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_canonical() {
        for (value, text) in
            [(0, "0"), (250, "250"), (1000, "1k"), (1024, "1024"), (3_000_000, "3M")]
        {
            assert_eq!(decimal_quantity(value), text);
        }
        assert_eq!(decimal_quantity(1_000_000_000_000_000_000), "1E");
        assert_eq!(decimal_quantity(10_000), "10k");
        let mebibyte = 1 << 20;
        for (value, text) in
            [(0, "0"), (1, "1Mi"), (1000, "1000Mi"), (1024, "1Gi"), (1536, "1536Mi")]
        {
            assert_eq!(binary_quantity(value * mebibyte), text);
        }
    }

    #[test]
    fn conversions_beyond_the_range_are_those_of_amd64() {
        assert_eq!(to_i32(2_147_483_647.0), i32::MAX);
        assert_eq!(to_i32(2_147_483_648.0), i32::MIN);
        assert_eq!(to_i32(f64::INFINITY), i32::MIN);
        assert_eq!(to_i32(f64::NAN), i32::MIN);
        assert_eq!(to_i64(1e300), i64::MIN);
        assert_eq!(to_i64(-75.9), -75);
    }
}
