//! What one revision asks for: the `autoscaling.knative.dev/*` annotations.
//!
//! Two views of the same map. [`Overrides::read`] is what takes effect: a value that does not
//! parse counts as absent, as it does for Knative at run time. [`validate_annotations`] is what a
//! user is told when the revision is created. [`Overrides::parse`] does both.

use std::collections::BTreeMap;

use tidegate_go_text::{GoDuration, parse_float, parse_int32};

use super::config::Config;
use super::violation::{Strictness, Violations};

mod validate;

pub use validate::validate_annotations;

/// An annotation: the key that counts, and the older spelling that is accepted in its absence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnnotationKey {
    /// The kebab-case key, which wins when both are present.
    pub kebab: &'static str,
    /// The camelCase key, where Knative ever had one.
    pub camel: Option<&'static str>,
}

impl AnnotationKey {
    /// The key as written and its value.
    pub fn find<'a>(
        &self,
        annotations: &'a BTreeMap<String, String>,
    ) -> Option<(&'a str, &'a str)> {
        let entry = annotations
            .get_key_value(self.kebab)
            .or_else(|| annotations.get_key_value(self.camel?))?;
        Some((entry.0.as_str(), entry.1.as_str()))
    }

    fn value<'a>(&self, annotations: &'a BTreeMap<String, String>) -> Option<&'a str> {
        self.find(annotations).map(|(_, value)| value)
    }
}

macro_rules! annotation_keys {
    ($($(#[$doc:meta])* $name:ident = $kebab:literal $(, $camel:literal)?;)+) => {
        $($(#[$doc])* pub(super) const $name: AnnotationKey = AnnotationKey {
            kebab: concat!("autoscaling.knative.dev/", $kebab),
            camel: annotation_keys!(@camel $($camel)?),
        };)+
        /// Every autoscaling annotation, in the order of the reference table.
        pub const ANNOTATION_KEYS: &[AnnotationKey] = &[$($name),+];
    };
    (@camel) => { None };
    (@camel $camel:literal) => { Some(concat!("autoscaling.knative.dev/", $camel)) };
}

annotation_keys! {
    /// The class: which algorithm decides.
    CLASS = "class";
    /// What is measured.
    METRIC = "metric";
    /// Load per instance.
    TARGET = "target";
    /// How much of that load to aim for.
    TARGET_UTILIZATION_PERCENTAGE = "target-utilization-percentage", "targetUtilizationPercentage";
    /// Fewest instances.
    MIN_SCALE = "min-scale", "minScale";
    /// Most instances.
    MAX_SCALE = "max-scale", "maxScale";
    /// Instances to start with.
    INITIAL_SCALE = "initial-scale", "initialScale";
    /// Fewest instances when there are any.
    ACTIVATION_SCALE = "activation-scale";
    /// Stable window.
    WINDOW = "window";
    /// Panic window, in percent of the stable one.
    PANIC_WINDOW_PERCENTAGE = "panic-window-percentage", "panicWindowPercentage";
    /// Demand over capacity from which to panic.
    PANIC_THRESHOLD_PERCENTAGE = "panic-threshold-percentage", "panicThresholdPercentage";
    /// Burst to keep room for.
    TARGET_BURST_CAPACITY = "target-burst-capacity", "targetBurstCapacity";
    /// How long a smaller recommendation must last.
    SCALE_DOWN_DELAY = "scale-down-delay", "scaleDownDelay";
    /// How long the last instance stays.
    POD_RETENTION = "scale-to-zero-pod-retention-period", "scaleToZeroPodRetentionPeriod";
    /// How seconds become one number.
    AGGREGATION_ALGORITHM = "metric-aggregation-algorithm", "metricAggregationAlgorithm";
}

/// How long a revision may take to become ready.
pub const PROGRESS_DEADLINE: AnnotationKey = AnnotationKey {
    kebab: "serving.knative.dev/progress-deadline",
    camel: Some("serving.knative.dev/progressDeadline"),
};

/// What a revision's annotations override. `None` leaves the matter to the [`Config`].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Overrides {
    /// `class`: which algorithm decides.
    pub class: Option<String>,
    /// `metric`: what is measured; `concurrency` and `rps` for the KPA class.
    pub metric: Option<String>,
    /// `target`: load per instance; at least 0.01.
    pub target: Option<f64>,
    /// `target-utilization-percentage`: how much of that load to aim for; 1 to 100.
    pub target_utilization_percentage: Option<f64>,
    /// `min-scale`: fewest instances.
    pub min_scale: Option<i32>,
    /// `max-scale`: most instances; 0 for no bound.
    pub max_scale: Option<i32>,
    /// `initial-scale`: instances to start with.
    pub initial_scale: Option<i32>,
    /// `activation-scale`: fewest instances when there are any; at least 2.
    pub activation_scale: Option<i32>,
    /// `window`: the stable window; 6 s to 1 h, whole seconds.
    pub window: Option<GoDuration>,
    /// `panic-window-percentage`: 1 to 100.
    pub panic_window_percentage: Option<f64>,
    /// `panic-threshold-percentage`: 110 to 1000.
    pub panic_threshold_percentage: Option<f64>,
    /// `target-burst-capacity`: at least 0, or -1 for no bound.
    pub target_burst_capacity: Option<f64>,
    /// `scale-down-delay`: 0 to 1 h, whole seconds.
    pub scale_down_delay: Option<GoDuration>,
    /// `scale-to-zero-pod-retention-period`: 0 to 1 h.
    pub pod_retention: Option<GoDuration>,
    /// `metric-aggregation-algorithm`: `linear` or `weighted-exponential`.
    pub aggregation_algorithm: Option<String>,
    /// `serving.knative.dev/progress-deadline`: how long a revision may take to become ready.
    pub progress_deadline: Option<GoDuration>,
}

impl Overrides {
    /// What takes effect: values that do not parse count as absent, ranges are not looked at.
    pub fn read(annotations: &BTreeMap<String, String>) -> Self {
        let text = |key: AnnotationKey| key.value(annotations).map(str::to_owned);
        let float = |key: AnnotationKey| parse_float(key.value(annotations)?).ok();
        let integer = |key: AnnotationKey| parse_int32(key.value(annotations)?).ok();
        let duration = |key: AnnotationKey| GoDuration::parse(key.value(annotations)?).ok();
        Self {
            class: text(CLASS),
            metric: text(METRIC),
            target: float(TARGET),
            target_utilization_percentage: float(TARGET_UTILIZATION_PERCENTAGE),
            min_scale: integer(MIN_SCALE),
            max_scale: integer(MAX_SCALE),
            initial_scale: integer(INITIAL_SCALE),
            activation_scale: integer(ACTIVATION_SCALE),
            window: duration(WINDOW),
            panic_window_percentage: float(PANIC_WINDOW_PERCENTAGE),
            panic_threshold_percentage: float(PANIC_THRESHOLD_PERCENTAGE),
            target_burst_capacity: float(TARGET_BURST_CAPACITY),
            scale_down_delay: duration(SCALE_DOWN_DELAY),
            pod_retention: duration(POD_RETENTION),
            aggregation_algorithm: text(AGGREGATION_ALGORITHM),
            progress_deadline: duration(PROGRESS_DEADLINE),
        }
    }

    /// Validates, then reads.
    ///
    /// # Errors
    ///
    /// Everything that is wrong, at once.
    pub fn parse(
        annotations: &BTreeMap<String, String>,
        config: &Config,
        strictness: Strictness,
    ) -> Result<Self, Violations> {
        validate_annotations(annotations, config, strictness)?;
        Ok(Self::read(annotations))
    }
}

/// Annotations under `autoscaling.knative.dev/` that no setting has, most likely misspelt.
pub fn unknown_annotations(annotations: &BTreeMap<String, String>) -> Vec<&str> {
    let is_known = |key: &str| {
        ANNOTATION_KEYS.iter().any(|known| known.kebab == key || known.camel == Some(key))
    };
    let ours = annotations.keys().map(String::as_str);
    ours.filter(|key| key.starts_with("autoscaling.knative.dev/") && !is_known(key)).collect()
}
