//! What a user is told about a revision's annotations.

use std::collections::BTreeMap;

use tidegate_go_text::{GoDuration, parse_float, parse_int32, parse_int64};

use super::super::config::{Config, HPA_CLASS, KPA_CLASS, TARGET_MIN, WINDOW_MAX, WINDOW_MIN};
use super::super::violation::{Findings, Strictness, Violations, outside};
use super::{
    ACTIVATION_SCALE, AGGREGATION_ALGORITHM, AnnotationKey, CLASS, INITIAL_SCALE, MAX_SCALE,
    METRIC, MIN_SCALE, PANIC_THRESHOLD_PERCENTAGE, PANIC_WINDOW_PERCENTAGE, POD_RETENTION,
    PROGRESS_DEADLINE, SCALE_DOWN_DELAY, TARGET, TARGET_BURST_CAPACITY,
    TARGET_UTILIZATION_PERCENTAGE, WINDOW,
};

/// Checks every annotation against the cluster's settings.
///
/// # Errors
///
/// Everything that is wrong, at once.
pub fn validate_annotations(
    annotations: &BTreeMap<String, String>,
    config: &Config,
    strictness: Strictness,
) -> Result<(), Violations> {
    let mut check = Check { annotations, config, findings: Findings::new(strictness) };
    check.class();
    check.scales();
    check.floats();
    check.durations();
    check.metric();
    check.aggregation_algorithm();
    check.initial_scale();
    check.findings.finish()
}

struct Check<'a> {
    annotations: &'a BTreeMap<String, String>,
    config: &'a Config,
    findings: Findings,
}

impl<'a> Check<'a> {
    fn find(&self, key: AnnotationKey) -> Option<(&'a str, &'a str)> {
        key.find(self.annotations)
    }

    /// Classes of other vendors pass; those under Knative's domain must exist.
    fn class(&mut self) {
        let Some((key, class)) = self.find(CLASS) else { return };
        if class.ends_with(".knative.dev") && class != KPA_CLASS && class != HPA_CLASS {
            let expected = format!("{KPA_CLASS}, {HPA_CLASS}, or a class of another domain");
            self.findings.add(key, class, expected);
        }
    }

    fn scales(&mut self) {
        let min = self.scale_bound(MIN_SCALE);
        let max = self.scale_bound(MAX_SCALE);
        if let Some((key, text)) = self.find(MIN_SCALE)
            && max != 0
            && max < min
        {
            self.findings.add(key, text, format!("at most {max}, the max-scale annotation"));
        }
        self.activation_scale(min, max);
        if let Some((key, text)) = self.find(MAX_SCALE) {
            let limit = self.config.max_scale_limit;
            if limit != 0 && !(1..=limit).contains(&max) {
                let expected = format!("1 to {limit}, the cluster's max-scale-limit");
                self.findings.add(key, text, expected);
            }
        }
        if self.findings.is_strict() {
            self.bounds_across_objects(min, max);
        }
    }

    /// A bound that is absent or wrong counts as 0 in the checks that follow.
    fn scale_bound(&mut self, key: AnnotationKey) -> i32 {
        let Some((key, text)) = self.find(key) else { return 0 };
        match parse_int32(text) {
            Ok(value) if value >= 0 => value,
            _ => {
                let expected = format!("a whole number from 0 to {}", i32::MAX);
                self.findings.add(key, text, expected);
                0
            }
        }
    }

    fn activation_scale(&mut self, min: i32, max: i32) {
        let Some((key, text)) = self.find(ACTIVATION_SCALE) else { return };
        match parse_int32(text) {
            Ok(value) if value >= 2 => {
                if max != 0 && value > max {
                    let expected = format!("at most {max}, the max-scale annotation");
                    self.findings.add(key, text, expected);
                } else if value < min {
                    let expected = format!("at least {min}, the min-scale annotation");
                    self.findings.add(key, text, expected);
                }
            }
            _ => {
                let expected = format!("a whole number from 2 to {}", i32::MAX);
                self.findings.add(key, text, expected);
            }
        }
    }

    /// Knative judges each object alone, so that an annotation may contradict the cluster's
    /// bounds; the smaller bound would then silently win.
    fn bounds_across_objects(&mut self, min: i32, max: i32) {
        let cluster_max = self.config.max_scale;
        if let Some((key, text)) = self.find(MIN_SCALE)
            && self.find(MAX_SCALE).is_none()
            && cluster_max != 0
            && min > cluster_max
        {
            let expected = format!("at most {cluster_max}, the cluster's max-scale");
            self.findings.add(key, text, expected);
        }
        let cluster_min = self.config.min_scale;
        if let Some((key, text)) = self.find(MAX_SCALE)
            && self.find(MIN_SCALE).is_none()
            && max != 0
            && max < cluster_min
        {
            let expected = format!("at least {cluster_min}, the cluster's min-scale");
            self.findings.add(key, text, expected);
        }
        let effective_max = if self.find(MAX_SCALE).is_some() { max } else { cluster_max };
        if let Some((key, text)) = self.find(INITIAL_SCALE)
            && effective_max != 0
            && parse_int32(text).is_ok_and(|initial| initial > effective_max)
        {
            self.findings.add(key, text, format!("at most {effective_max}, the max-scale"));
        }
    }

    fn floats(&mut self) {
        self.float(PANIC_WINDOW_PERCENTAGE, "a percentage in [1, 100]", |v| outside(v, 1.0, 100.0));
        self.float(PANIC_THRESHOLD_PERCENTAGE, "a percentage in [110, 1000]", |v| {
            outside(v, 110.0, 1000.0)
        });
        self.float(TARGET, "a number of at least 0.01", |v| v < TARGET_MIN);
        self.float(TARGET_UTILIZATION_PERCENTAGE, "a percentage in [1, 100]", |v| {
            outside(v, 1.0, 100.0)
        });
        self.float(TARGET_BURST_CAPACITY, "a number of at least 0, or -1 for no bound", |v| {
            v < 0.0 && v != -1.0
        });
    }

    /// `refuses` is asked with comparisons that not-a-number escapes, as it does in Knative.
    fn float(&mut self, key: AnnotationKey, expected: &str, refuses: impl Fn(f64) -> bool) {
        let Some((key, text)) = self.find(key) else { return };
        let usable =
            |value: f64| !refuses(value) && (value.is_finite() || !self.findings.is_strict());
        if !parse_float(text).is_ok_and(usable) {
            self.findings.add(key, text, expected);
        }
    }

    fn durations(&mut self) {
        self.duration(WINDOW, "whole seconds from 6s to 1h0m0s", |d| {
            (WINDOW_MIN..=WINDOW_MAX).contains(&d) && d.is_whole_seconds()
        });
        self.duration(POD_RETENTION, "a duration from 0s to 1h0m0s", |d| {
            (GoDuration::ZERO..=WINDOW_MAX).contains(&d)
        });
        self.duration(SCALE_DOWN_DELAY, "whole seconds from 0s to 1h0m0s", |d| {
            (GoDuration::ZERO..=WINDOW_MAX).contains(&d) && d.is_whole_seconds()
        });
        // Not an autoscaling annotation, so Knative checks it elsewhere.
        if self.findings.is_strict() {
            self.duration(PROGRESS_DEADLINE, "whole seconds, at least 1s", |d| {
                d > GoDuration::ZERO && d.is_whole_seconds()
            });
        }
    }

    fn duration(
        &mut self,
        key: AnnotationKey,
        expected: &str,
        accepts: impl Fn(GoDuration) -> bool,
    ) {
        let Some((key, text)) = self.find(key) else { return };
        match GoDuration::parse(text) {
            Ok(value) if accepts(value) => {}
            Ok(_) => self.findings.add(key, text, expected),
            Err(error) => self.findings.add(key, text, format!("{expected} ({error})")),
        }
    }

    fn metric(&mut self) {
        let Some((key, metric)) = self.find(METRIC) else { return };
        let class = match self.find(CLASS) {
            Some((_, class)) => class,
            None => self.config.pod_autoscaler_class.as_str(),
        };
        if class == KPA_CLASS && !matches!(metric, "concurrency" | "rps") {
            self.findings.add(key, metric, "concurrency or rps");
        } else if class == HPA_CLASS && metric.is_empty() {
            self.findings.add(key, metric, "the name of a metric, such as cpu or memory");
        }
    }

    /// Other autoscalers may know other algorithms. Knative looks only where the annotation
    /// itself names the KPA; strict reading also where the cluster's default does.
    fn aggregation_algorithm(&mut self) {
        let class = match self.find(CLASS) {
            Some((_, class)) => class,
            None if self.findings.is_strict() => self.config.pod_autoscaler_class.as_str(),
            None => return,
        };
        let Some((key, algorithm)) = self.find(AGGREGATION_ALGORITHM) else { return };
        let known = matches!(algorithm, "linear" | "weighted-exponential" | "weightedExponential");
        if class == KPA_CLASS && !known {
            self.findings.add(key, algorithm, "linear or weighted-exponential");
        }
    }

    fn initial_scale(&mut self) {
        let Some((key, text)) = self.find(INITIAL_SCALE) else { return };
        let least = i64::from(!self.config.allow_zero_initial_scale);
        // Knative looks at 64 bits here and at 32 when it uses the value.
        let most = if self.findings.is_strict() { i64::from(i32::MAX) } else { i64::MAX };
        if !parse_int64(text).is_ok_and(|value| (least..=most).contains(&value)) {
            let expected = format!(
                "a whole number from {least} to {} (0 only with the cluster's \
                 allow-zero-initial-scale)",
                i32::MAX
            );
            self.findings.add(key, text, expected);
        }
    }
}
