//! The numbers and switches a revision is scaled by.

use std::fmt;

/// Shortest and longest stable window that Knative accepts, in milliseconds.
pub const STABLE_WINDOW_RANGE_MS: (u64, u64) = (6_000, 3_600_000);

/// How many activators serve a revision at least, and before anything is known of its load; as in
/// Knative.
pub const MIN_ACTIVATORS: i32 = 2;

/// What the recommendation is computed from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum ScalingMetric {
    /// Average number of requests in flight.
    #[default]
    Concurrency,
    /// Requests per second.
    RequestRate,
}

/// How the seconds of a window become one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Aggregation {
    /// The mean of the seconds.
    #[default]
    Linear,
    /// Newer seconds weigh exponentially more.
    WeightedExponential,
}

/// What a revision's decisions are computed from: Knative's decider specification and the
/// parameters of Tidegate's improvements.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default))]
pub struct DecisionSpec {
    /// The recommendation is at most this times the ready instances (at least one), rounded up.
    /// Above 1.
    pub max_scale_up_rate: f64,
    /// The recommendation is at least the ready instances divided by this, rounded down. Above 1.
    pub max_scale_down_rate: f64,
    /// What the recommendation is computed from.
    pub scaling_metric: ScalingMetric,
    /// Load one instance should carry: requests in flight, or per second. Above 0.
    pub target_value: f64,
    /// Load one instance can carry; burst capacity is counted in it.
    pub total_value: f64,
    /// Load that must fit on top of the present one; 0 keeps activators out of the path as long
    /// as there are instances, -1 (unlimited) keeps them in it always.
    pub target_burst_capacity: f64,
    /// Load one activator can carry, for [`Self::activators`]. At least 1.
    pub activator_capacity: f64,
    /// Panic when the panic window recommends this many times what is ready.
    pub panic_threshold: f64,
    /// How long panic outlasts its cause, in milliseconds; the stable window's length.
    pub stable_window_ms: u64,
    /// How long a smaller recommendation must persist before it counts, in milliseconds; 0 is not
    /// at all.
    pub scale_down_delay_ms: u64,
    /// Instances a new revision starts with.
    pub initial_scale: i32,
    /// Whether anything routes to the revision; if nothing does it may shrink at once.
    pub reachable: bool,
    /// The smallest recommendation that is not 0; below 2 there is no such bound.
    pub activation_scale: i32,
    /// The percentile of per-second concurrency that `Improvements::burst_percentile` recommends
    /// from, in 0..=100.
    pub burst_percentile: f64,
    /// How far back `Improvements::idle_floor` looks for the highest second, in milliseconds;
    /// 0 is half a stable window.
    pub idle_floor_ms: u64,
}

impl Default for DecisionSpec {
    /// [`DecisionSpec::KNATIVE`].
    fn default() -> DecisionSpec {
        DecisionSpec::KNATIVE
    }
}

impl DecisionSpec {
    /// What Knative's default configuration resolves to for a revision without annotations.
    pub const KNATIVE: DecisionSpec = DecisionSpec {
        max_scale_up_rate: 1000.0,
        max_scale_down_rate: 2.0,
        scaling_metric: ScalingMetric::Concurrency,
        target_value: 70.0,
        total_value: 100.0,
        target_burst_capacity: 211.0,
        activator_capacity: 100.0,
        panic_threshold: 2.0,
        stable_window_ms: 60_000,
        scale_down_delay_ms: 0,
        initial_scale: 1,
        reachable: true,
        activation_scale: 0,
        burst_percentile: 95.0,
        idle_floor_ms: 0,
    };

    /// How many activators should serve the revision when `ready` instances are ready.
    pub fn activators(&self, ready: u32) -> i32 {
        self.activators_unbounded(ready) as i32
    }

    /// The same before it is made a 32-bit integer, for those who compare with Knative, which
    /// wraps where [`Self::activators`] saturates.
    pub fn activators_unbounded(&self, ready: u32) -> f64 {
        let least = f64::from(MIN_ACTIVATORS);
        if self.target_burst_capacity == 0.0 {
            return least;
        }
        let load = f64::from(ready) * self.total_value + self.target_burst_capacity.max(0.0);
        (load / self.activator_capacity).ceil().max(least)
    }

    /// Excess burst capacity before anything was decided.
    pub fn initial_burst_capacity(&self) -> i32 {
        if self.target_burst_capacity == -1.0 || self.target_burst_capacity == 0.0 {
            return self.target_burst_capacity as i32;
        }
        (f64::from(self.initial_scale) * self.total_value - self.target_burst_capacity) as i32
    }

    /// Checks every number.
    ///
    /// # Errors
    ///
    /// The first number that is not in the range its field documents. Deciding with such numbers
    /// anyway is safe but not sensible.
    pub fn validate(&self) -> Result<(), SpecError> {
        let above = |field, value: f64, bound: f64, expected| {
            if value > bound && value.is_finite() {
                Ok(())
            } else {
                Err(SpecError { field, value, expected })
            }
        };
        above("max scale-up rate", self.max_scale_up_rate, 1.0, "more than 1")?;
        above("max scale-down rate", self.max_scale_down_rate, 1.0, "more than 1")?;
        above("target value", self.target_value, 0.0, "more than 0")?;
        above("total value", self.total_value, 0.0, "more than 0")?;
        above("activator capacity", self.activator_capacity, 0.0, "more than 0")?;
        above("panic threshold", self.panic_threshold, 0.0, "more than 0")?;
        let capacity = self.target_burst_capacity;
        if capacity != -1.0 {
            above("target burst capacity", capacity, -f64::MIN_POSITIVE, "0 or more, or -1")?;
        }
        let percentile = self.burst_percentile;
        if !(0.0..=100.0).contains(&percentile) {
            let (field, expected) = ("burst percentile", "0 to 100");
            return Err(SpecError { field, value: percentile, expected });
        }
        Ok(())
    }

    /// How far back the idle floor looks, in milliseconds.
    pub fn idle_floor(&self) -> u64 {
        if self.idle_floor_ms == 0 { self.stable_window_ms / 2 } else { self.idle_floor_ms }
    }
}

/// How a revision is measured: its windows' lengths in milliseconds, and how what they hold is
/// averaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default))]
pub struct MetricSpec {
    /// Length of the stable window, in milliseconds.
    pub stable_window_ms: u64,
    /// Length of the panic window, in milliseconds.
    pub panic_window_ms: u64,
    /// How a window's seconds become one number.
    pub aggregation: Aggregation,
    /// Whether somebody is to be asked for samples. If so, silence for longer than the stable
    /// window is an error; if not, it is a load of zero.
    pub scraped: bool,
}

impl Default for MetricSpec {
    fn default() -> MetricSpec {
        MetricSpec {
            stable_window_ms: 60_000,
            panic_window_ms: 6_000,
            aggregation: Aggregation::Linear,
            scraped: true,
        }
    }
}

/// Where Tidegate decides otherwise than Knative. Each is a switch, and with all of them off
/// every decision is Knative's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default))]
pub struct Improvements {
    /// While instances exist but do not report, what was known last is held: silence is not zero.
    pub hold_in_silence: bool,
    /// Panic starts from the number requested, and starting instances count against it.
    pub count_starting: bool,
    /// The sign of excess burst capacity turns positive only with a margin.
    pub burst_hysteresis: bool,
    /// Reports that fall into one second average, and a second that was skipped repeats the one
    /// before it.
    pub average_reports: bool,
    /// A resized window keeps its age, and a changed scale-down delay takes effect.
    pub keep_history: bool,
    /// A waiting request causes a decision also when nothing was decided yet.
    pub wake_after_restart: bool,
    /// Panic ends after its time also when there are no data.
    pub leave_panic_without_data: bool,
    /// The recommendation never exceeds what the busiest of the last few seconds needs
    /// (`DecisionSpec::idle_floor_ms`).
    pub idle_floor: bool,
    /// How long the pauses between requests were decides how long the last instance stays, up to
    /// the whole stable window, unless somebody said it (`DecisionSpec::idle_floor_ms`).
    pub learn_pauses: bool,
    /// Requests that wait at this moment, with those that are served, are a signal of its own for
    /// panic, before any second has counted them.
    pub count_waiting: bool,
    /// A percentile of the window's seconds is a signal of its own
    /// (`DecisionSpec::burst_percentile`).
    pub burst_percentile: bool,
}

impl Improvements {
    /// A double as the 32-bit integer that is decided. What does not fit saturates; without any
    /// improvement it wraps to the smallest integer, as Go does on amd64.
    pub(crate) fn narrow(&self, value: f64) -> i32 {
        let fits = value > -2_147_483_649.0 && value < 2_147_483_648.0;
        if fits || *self != Improvements::none() { value as i32 } else { i32::MIN }
    }

    /// Knative, decision for decision.
    pub const fn none() -> Improvements {
        Improvements {
            hold_in_silence: false,
            count_starting: false,
            burst_hysteresis: false,
            average_reports: false,
            keep_history: false,
            wake_after_restart: false,
            leave_panic_without_data: false,
            idle_floor: false,
            learn_pauses: false,
            count_waiting: false,
            burst_percentile: false,
        }
    }

    /// Everything; Tidegate's own default.
    pub const fn all() -> Improvements {
        Improvements {
            hold_in_silence: true,
            count_starting: true,
            burst_hysteresis: true,
            average_reports: true,
            keep_history: true,
            wake_after_restart: true,
            leave_panic_without_data: true,
            idle_floor: true,
            learn_pauses: true,
            count_waiting: true,
            burst_percentile: true,
        }
    }
}

/// A number of a specification that makes no sense.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SpecError {
    /// The number's name.
    pub field: &'static str,
    /// The value that was refused.
    pub value: f64,
    /// What would have been accepted.
    pub expected: &'static str,
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SpecError { field, value, expected } = self;
        write!(f, "decision spec: {field} is {value}, expected {expected}")
    }
}

impl std::error::Error for SpecError {}
