//! The cluster-wide settings: Knative's `config-autoscaler`, key for key.

use std::collections::BTreeMap;

use tidegate_go_text::{GoDuration, parse_bool, parse_float, parse_int32};

use super::violation::{Findings, Strictness, Violations, outside};

/// The class decided by this crate's own algorithm.
pub const KPA_CLASS: &str = "kpa.autoscaling.knative.dev";
/// The class handed over to Kubernetes' Horizontal Pod Autoscaler.
pub const HPA_CLASS: &str = "hpa.autoscaling.knative.dev";
/// The smallest target a single instance may have, in requests or requests per second.
pub const TARGET_MIN: f64 = 0.01;
/// The shortest stable window.
pub const WINDOW_MIN: GoDuration = GoDuration::from_seconds(6);
/// The longest stable window, and the longest delay and retention an annotation may set.
pub const WINDOW_MAX: GoDuration = GoDuration::from_seconds(3600);
/// Utilization that requests per second aim for; Knative has no key for it.
pub const RPS_UTILIZATION: f64 = 0.7;

/// Every key of `config-autoscaler`, in the order of the reference table.
pub const CONFIG_KEYS: [&str; 20] = [
    "pod-autoscaler-class",
    "enable-scale-to-zero",
    "allow-zero-initial-scale",
    "max-scale-up-rate",
    "max-scale-down-rate",
    "container-concurrency-target-percentage",
    "container-concurrency-target-default",
    "requests-per-second-target-default",
    "target-burst-capacity",
    "stable-window",
    "panic-window-percentage",
    "panic-threshold-percentage",
    "activator-capacity",
    "scale-to-zero-grace-period",
    "scale-to-zero-pod-retention-period",
    "scale-down-delay",
    "initial-scale",
    "min-scale",
    "max-scale",
    "max-scale-limit",
];

/// Values that apply to every revision unless its annotations say otherwise.
///
/// `Config::default()` is what Knative ships.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// `pod-autoscaler-class`: the class of a revision that names none.
    pub pod_autoscaler_class: String,
    /// `enable-scale-to-zero`: whether an idle revision may have no instance at all.
    pub enable_scale_to_zero: bool,
    /// `allow-zero-initial-scale`: whether a revision may be created with no instance.
    pub allow_zero_initial_scale: bool,
    /// `max-scale-up-rate`: the largest factor by which one decision may grow; above 1.
    pub max_scale_up_rate: f64,
    /// `max-scale-down-rate`: the largest factor by which one decision may shrink; above 1.
    pub max_scale_down_rate: f64,
    /// `container-concurrency-target-percentage` as a fraction in (0, 1].
    pub container_concurrency_target_fraction: f64,
    /// `container-concurrency-target-default`: requests at once per instance where the
    /// container itself sets no limit.
    pub container_concurrency_target_default: f64,
    /// `requests-per-second-target-default`: requests per second and instance.
    pub requests_per_second_target_default: f64,
    /// `target-burst-capacity`: requests of burst to keep room for; -1 for no bound.
    pub target_burst_capacity: f64,
    /// `stable-window`: over how long demand is averaged; 6 s to 1 h, whole seconds.
    pub stable_window: GoDuration,
    /// `panic-window-percentage`: the panic window as a percentage of the stable one, 1 to 100.
    pub panic_window_percentage: f64,
    /// `panic-threshold-percentage`: demand over capacity, in percent, from which to panic.
    pub panic_threshold_percentage: f64,
    /// `activator-capacity`: requests at once that one activator can hold; at least 1.
    pub activator_capacity: f64,
    /// `scale-to-zero-grace-period`: how long the activator must have been in the path before
    /// the last instance may go.
    pub scale_to_zero_grace_period: GoDuration,
    /// `scale-to-zero-pod-retention-period`: how long the last instance stays at least.
    pub scale_to_zero_pod_retention_period: GoDuration,
    /// `scale-down-delay`: how long a smaller recommendation must last before it is followed.
    pub scale_down_delay: GoDuration,
    /// `initial-scale`: instances a new revision starts with.
    pub initial_scale: i32,
    /// `min-scale`: instances a reachable revision always has.
    pub min_scale: i32,
    /// `max-scale`: instances a revision never exceeds; 0 for no bound.
    pub max_scale: i32,
    /// `max-scale-limit`: the largest `max-scale` that is accepted; 0 for no limit.
    pub max_scale_limit: i32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            pod_autoscaler_class: KPA_CLASS.to_owned(),
            enable_scale_to_zero: true,
            allow_zero_initial_scale: false,
            max_scale_up_rate: 1000.0,
            max_scale_down_rate: 2.0,
            container_concurrency_target_fraction: 0.7,
            container_concurrency_target_default: 100.0,
            requests_per_second_target_default: 200.0,
            target_burst_capacity: 211.0,
            stable_window: GoDuration::from_seconds(60),
            panic_window_percentage: 10.0,
            panic_threshold_percentage: 200.0,
            activator_capacity: 100.0,
            scale_to_zero_grace_period: GoDuration::from_seconds(30),
            scale_to_zero_pod_retention_period: GoDuration::ZERO,
            scale_down_delay: GoDuration::ZERO,
            initial_scale: 1,
            min_scale: 0,
            max_scale: 0,
            max_scale_limit: 0,
        }
    }
}

impl Config {
    /// Reads the `data` of a `config-autoscaler`. Keys that are absent keep Knative's defaults,
    /// keys that are unknown are ignored ([`unknown_config_keys`] lists them).
    ///
    /// # Errors
    ///
    /// Everything that is wrong, at once.
    pub fn from_map(
        data: &BTreeMap<String, String>,
        strictness: Strictness,
    ) -> Result<Self, Violations> {
        let mut reader = Reader { data, findings: Findings::new(strictness) };
        let mut config = Self::default();
        reader.read_switches(&mut config);
        reader.read_rates(&mut config);
        reader.read_targets(&mut config);
        reader.read_panic(&mut config);
        reader.read_durations(&mut config);
        reader.read_scales(&mut config);
        reader.findings.finish()?;
        Ok(config)
    }
}

/// Keys that no setting answers to, most likely misspelt. Keys with a leading underscore are
/// left out: Knative keeps its documentation under `_example`.
pub fn unknown_config_keys(data: &BTreeMap<String, String>) -> Vec<&str> {
    let is_unknown = |key: &&str| !key.starts_with('_') && !CONFIG_KEYS.contains(key);
    data.keys().map(String::as_str).filter(is_unknown).collect()
}

struct Reader<'a> {
    data: &'a BTreeMap<String, String>,
    findings: Findings,
}

impl Reader<'_> {
    fn read_switches(&mut self, config: &mut Config) {
        if let Some(class) = self.data.get("pod-autoscaler-class") {
            config.pod_autoscaler_class.clone_from(class);
        }
        self.boolean("enable-scale-to-zero", &mut config.enable_scale_to_zero);
        self.boolean("allow-zero-initial-scale", &mut config.allow_zero_initial_scale);
    }

    fn read_rates(&mut self, config: &mut Config) {
        let above_one = "a number greater than 1";
        self.float("max-scale-up-rate", &mut config.max_scale_up_rate, above_one, |v| v <= 1.0);
        self.float("max-scale-down-rate", &mut config.max_scale_down_rate, above_one, |v| v <= 1.0);
    }

    fn read_targets(&mut self, config: &mut Config) {
        const PERCENTAGE: &str = "container-concurrency-target-percentage";
        const DEFAULT: &str = "container-concurrency-target-default";
        let mut fraction = config.container_concurrency_target_fraction;
        let percentage_fits = self.float(
            PERCENTAGE,
            &mut fraction,
            "a fraction in (0, 1] or a percentage in (1, 100]",
            |v| !fraction_fits(as_fraction(v)),
        );
        config.container_concurrency_target_fraction = as_fraction(fraction);
        let total = &mut config.container_concurrency_target_default;
        let total_fits = self.float(DEFAULT, total, "a number", |_| false);
        // The product decides, so neither value can be judged without the other.
        let product = config.container_concurrency_target_fraction * *total;
        if percentage_fits && total_fits && product < TARGET_MIN {
            let written = self.written(DEFAULT, "100");
            let fraction = config.container_concurrency_target_fraction;
            let least = TARGET_MIN / fraction;
            let expected = format!(
                "at least {least}, because times the utilization of {fraction} \
                 ({PERCENTAGE}) it must reach {TARGET_MIN}"
            );
            self.findings.add(DEFAULT, written, expected);
        }
        self.float(
            "requests-per-second-target-default",
            &mut config.requests_per_second_target_default,
            "a number of at least 0.01",
            |v| v < TARGET_MIN,
        );
        self.float(
            "target-burst-capacity",
            &mut config.target_burst_capacity,
            "a number of at least 0, or -1 for no bound",
            |v| v < 0.0 && v != -1.0,
        );
        self.float(
            "activator-capacity",
            &mut config.activator_capacity,
            "a number of at least 1",
            |v| v < 1.0,
        );
    }

    fn read_panic(&mut self, config: &mut Config) {
        self.float(
            "panic-window-percentage",
            &mut config.panic_window_percentage,
            "a percentage in [1, 100]",
            |v| outside(v, 1.0, 100.0),
        );
        // Knative takes any number here. At 100 % or less a revision that is exactly busy
        // would panic for ever, so strict reading refuses it.
        let strict = self.findings.is_strict();
        self.float(
            "panic-threshold-percentage",
            &mut config.panic_threshold_percentage,
            "a percentage greater than 100",
            |v| strict && v <= 100.0,
        );
    }

    fn read_durations(&mut self, config: &mut Config) {
        self.duration(
            "stable-window",
            &mut config.stable_window,
            "whole seconds from 6s to 1h0m0s",
            |d| (WINDOW_MIN..=WINDOW_MAX).contains(&d) && d.is_whole_seconds(),
        );
        self.duration(
            "scale-to-zero-grace-period",
            &mut config.scale_to_zero_grace_period,
            "a duration longer than 0s",
            |d| d > GoDuration::ZERO,
        );
        self.duration(
            "scale-to-zero-pod-retention-period",
            &mut config.scale_to_zero_pod_retention_period,
            "a duration of at least 0s",
            |d| d >= GoDuration::ZERO,
        );
        self.duration(
            "scale-down-delay",
            &mut config.scale_down_delay,
            "whole seconds, at least 0s",
            |d| d >= GoDuration::ZERO && d.is_whole_seconds(),
        );
    }

    fn read_scales(&mut self, config: &mut Config) {
        let least_initial = i32::from(!config.allow_zero_initial_scale);
        let initial_hint = "(0 only with allow-zero-initial-scale: \"true\")";
        self.integer("initial-scale", &mut config.initial_scale, least_initial, initial_hint);
        let min_fits = self.integer("min-scale", &mut config.min_scale, 0, "");
        let max_fits = self.integer("max-scale", &mut config.max_scale, 0, "(0 for no bound)");
        let limit_fits =
            self.integer("max-scale-limit", &mut config.max_scale_limit, 0, "(0 for no limit)");
        let (max, limit) = (config.max_scale, config.max_scale_limit);
        if max_fits && limit_fits && limit > 0 && !(1..=limit).contains(&max) {
            let expected = format!("1 to {limit}, the max-scale-limit (0 would mean no bound)");
            self.findings.add("max-scale", max, expected);
        }
        if min_fits && max_fits && max > 0 && config.min_scale > max {
            let expected = format!("at most {max}, the max-scale");
            self.findings.add("min-scale", config.min_scale, expected);
        }
        // Knative lets this pass; recommendations then jump between the two.
        if self.findings.is_strict() && max_fits && max > 0 && config.initial_scale > max {
            let expected = format!("at most {max}, the max-scale");
            self.findings.add("initial-scale", config.initial_scale, expected);
        }
    }

    fn written(&self, key: &str, default: &str) -> String {
        self.data.get(key).cloned().unwrap_or_else(|| default.to_owned())
    }

    fn boolean(&mut self, key: &str, field: &mut bool) {
        let Some(text) = self.data.get(key) else { return };
        match parse_bool(text) {
            Ok(value) => *field = value,
            Err(_) => self.findings.add(key, text, "true or false"),
        }
    }

    /// Reads a float unless `refuses` it; says whether the field may be relied on.
    fn float(
        &mut self,
        key: &str,
        field: &mut f64,
        expected: &str,
        refuses: impl Fn(f64) -> bool,
    ) -> bool {
        let Some(text) = self.data.get(key) else { return true };
        let unusable = |value: f64| self.findings.is_strict() && !value.is_finite();
        match parse_float(text) {
            Ok(value) if !unusable(value) && !refuses(value) => {
                *field = value;
                true
            }
            _ => {
                self.findings.add(key, text, expected);
                false
            }
        }
    }

    fn duration(
        &mut self,
        key: &str,
        field: &mut GoDuration,
        expected: &str,
        accepts: impl Fn(GoDuration) -> bool,
    ) {
        let Some(text) = self.data.get(key) else { return };
        match GoDuration::parse(text) {
            Ok(value) if accepts(value) => *field = value,
            Ok(_) => self.findings.add(key, text, expected),
            Err(error) => self.findings.add(key, text, format!("{expected} ({error})")),
        }
    }

    /// Reads an integer of at least `least`; says whether the field may be relied on.
    fn integer(&mut self, key: &str, field: &mut i32, least: i32, hint: &str) -> bool {
        let Some(text) = self.data.get(key) else { return true };
        match parse_int32(text) {
            Ok(value) if value >= least => {
                *field = value;
                true
            }
            _ => {
                let expected = format!("a whole number from {least} to {} {hint}", i32::MAX);
                self.findings.add(key, text, expected.trim_end());
                false
            }
        }
    }
}

/// Values above 1 are percentages, values up to 1 already fractions: `1` means all of it.
fn as_fraction(value: f64) -> f64 {
    if value > 1.0 { value / 100.0 } else { value }
}

/// Not a number fits, as it does for Knative; strict reading has refused it before.
fn fraction_fits(fraction: f64) -> bool {
    fraction.is_nan() || (fraction > 0.0 && fraction <= 1.0)
}
