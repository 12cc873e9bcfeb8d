//! A limit that follows latency instead of being configured.
//!
//! The rule is the latency gradient of Netflix's concurrency-limits (Gradient2): as long as
//! requests are about as quick as they were over a long time, the limit grows by a little headroom;
//! as soon as they are slower, it shrinks in proportion. Three things differ. Samples are gathered
//! into windows, so that one slow request has little effect. The headroom is the square root of the
//! limit up to Netflix's four, so that a limit below four can be reached. And while the limit
//! binds, the baseline is not updated from the latency that the limit itself causes (a long
//! overload would become the baseline); instead, as Envoy's adaptive concurrency filter does, the
//! limit drops to a few requests for one window now and then, to measure the latency of an idle
//! app.

use core::time::Duration;

use crate::limit::Limit;
use crate::time::Moment;

/// How an adaptive limit moves. The defaults are Netflix's where it has the setting.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdaptiveSettings {
    /// The limit before anything was measured.
    pub initial: u32,
    /// Never less than this; at least one.
    pub minimum: u32,
    /// Never more than this.
    pub maximum: u32,
    /// The weight of a new estimate in the limit, in (0, 1].
    pub smoothing: f64,
    /// The factor over the baseline latency that does not yet lower the limit; at least 1.
    pub tolerance: f64,
    /// Windows over which the baseline latency is averaged.
    pub long_windows: u32,
    /// The most requests by which the limit exceeds the gradient's estimate.
    pub headroom: f64,
    /// A window closes when it is this old and has enough samples.
    pub window: Duration,
    /// Samples that a window needs.
    pub window_samples: u32,
    /// How long the limit may bind before the baseline is measured again; `None` is never, and lets
    /// the baseline follow an overload as Netflix's does. Instances that started together should
    /// get different values, or they all measure at once.
    pub measure_every: Option<Duration>,
}

impl Default for AdaptiveSettings {
    fn default() -> Self {
        Self {
            initial: 20,
            // Netflix stops at 20: too many for an app that takes one request at a time.
            minimum: 1,
            maximum: 200,
            smoothing: 0.2,
            tolerance: 1.5,
            long_windows: 600,
            headroom: 4.0,
            window: Duration::from_millis(250),
            window_samples: 10,
            measure_every: Some(Duration::from_secs(60)),
        }
    }
}

/// With less smoothing than this a limit would not move within a minute.
const LEAST_SMOOTHING: f64 = 0.01;
/// The bounds of the gradient: the limit never halves faster than this, and never grows by it.
const GRADIENT: (f64, f64) = (0.5, 1.0);
/// A baseline that is this many times the present latency is out of date ...
const DRIFTED: f64 = 2.0;
/// ... and is multiplied by this factor for each window.
const DRIFT_RECOVERY: f64 = 0.95;
/// Until this many windows have closed, the baseline latency is their plain average.
const WARM_UP_WINDOWS: u32 = 10;

/// The limit while the baseline is measured, as in Envoy.
const MEASURING_LIMIT: u32 = 3;
/// After this many windows at the smallest limit the present latency becomes the baseline.
const STUCK_WINDOWS: u32 = 5;

/// The samples of the window that is open.
#[derive(Debug, Clone, Copy, Default)]
struct Window {
    opened: Option<Moment>,
    samples: u32,
    latency_seconds_sum: f64,
    most_in_flight: u32,
}

/// Whether the limit holds requests back in a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pressure {
    Binding,
    Slack,
}

/// The state of an adaptive limit.
#[derive(Debug, Clone)]
pub struct Adaptive {
    settings: AdaptiveSettings,
    limit: f64,
    baseline_seconds: f64,
    windows_seen: u32,
    windows_at_minimum: u32,
    window: Window,
    /// Whether this window measures the baseline with few requests.
    measuring: bool,
    /// Since when the limit has bound without a measurement.
    binding_since: Option<Moment>,
}

impl Adaptive {
    /// Starts at the initial limit. Settings out of range are brought into it.
    pub fn new(settings: AdaptiveSettings) -> Self {
        let minimum = settings.minimum.max(1);
        let settings = AdaptiveSettings {
            minimum,
            maximum: settings.maximum.max(minimum),
            // `max` first: it also turns a NaN into the bound.
            smoothing: settings.smoothing.max(LEAST_SMOOTHING).clamp(LEAST_SMOOTHING, 1.0),
            tolerance: settings.tolerance.max(1.0),
            headroom: settings.headroom.max(0.0),
            long_windows: settings.long_windows.max(1),
            window_samples: settings.window_samples.max(1),
            ..settings
        };
        let limit = f64::from(settings.initial.clamp(settings.minimum, settings.maximum));
        Self {
            settings,
            limit,
            baseline_seconds: 0.0,
            windows_seen: 0,
            windows_at_minimum: 0,
            window: Window::default(),
            measuring: false,
            binding_since: None,
        }
    }

    /// A request has completed `latency` after it was admitted; `in_flight` were executing then,
    /// itself included. Gives the new limit if this sample changed it.
    ///
    /// Only time in the app counts: a latency that includes waiting for this very limit would feed
    /// back into it. Failed requests should be left out, they are often quick.
    pub fn sample(&mut self, now: Moment, latency: Duration, in_flight: u32) -> Option<Limit> {
        if self.measuring && in_flight > self.measuring_limit() {
            // It was admitted before the limit dropped, and was slowed down by as many others.
            return None;
        }
        let window = &mut self.window;
        let opened = *window.opened.get_or_insert(now);
        window.samples += 1;
        window.latency_seconds_sum += latency.as_secs_f64();
        window.most_in_flight = window.most_in_flight.max(in_flight);
        let complete = window.samples >= self.settings.window_samples
            && now.since(opened) >= self.settings.window;
        if !complete {
            return None;
        }
        let closed = core::mem::take(window);
        let before = self.limit();
        self.close(now, closed);
        (self.limit() != before).then(|| self.limit())
    }

    /// The limit in force, rounded down to whole requests.
    pub fn limit(&self) -> Limit {
        // Between the bounds, which are u32, so only the fraction is lost.
        let limit = self.limit as u32;
        Limit::from_wire(if self.measuring { limit.min(self.measuring_limit()) } else { limit })
    }

    /// The baseline latency; zero before anything was measured.
    pub fn baseline_latency(&self) -> Duration {
        Duration::try_from_secs_f64(self.baseline_seconds).unwrap_or_default()
    }

    fn measuring_limit(&self) -> u32 {
        MEASURING_LIMIT.clamp(self.settings.minimum, self.settings.maximum)
    }

    fn close(&mut self, now: Moment, window: Window) {
        let present = window.latency_seconds_sum / f64::from(window.samples.max(1));
        if core::mem::take(&mut self.measuring) {
            self.baseline_seconds = present;
            self.binding_since = None;
            return;
        }
        // With less than half of the limit in use, latency does not depend on the limit.
        let pressure = match f64::from(window.most_in_flight) >= self.limit / 2.0 {
            true => Pressure::Binding,
            false => Pressure::Slack,
        };
        self.update_baseline(present, pressure);
        if pressure == Pressure::Slack || present <= 0.0 {
            self.binding_since = None;
            return;
        }
        self.follow(present);
        let since = *self.binding_since.get_or_insert(now);
        self.measuring = self.settings.measure_every.is_some_and(|every| now.since(since) >= every);
    }

    /// Moves the limit along the gradient.
    fn follow(&mut self, present: f64) {
        let gradient = (self.settings.tolerance * self.baseline_seconds / present)
            .clamp(GRADIENT.0, GRADIENT.1);
        let headroom = self.limit.sqrt().min(self.settings.headroom);
        let aim = self.limit * gradient + headroom;
        let smoothing = self.settings.smoothing;
        let minimum = f64::from(self.settings.minimum);
        self.limit = (self.limit * (1.0 - smoothing) + aim * smoothing)
            .clamp(minimum, f64::from(self.settings.maximum));
        let at_minimum = self.limit <= minimum;
        self.windows_at_minimum = if at_minimum { self.windows_at_minimum + 1 } else { 0 };
        if self.windows_at_minimum >= STUCK_WINDOWS {
            self.windows_at_minimum = 0;
            self.baseline_seconds = present;
        }
    }

    /// Updates the baseline latency with one window's average.
    fn update_baseline(&mut self, present: f64, pressure: Pressure) {
        self.windows_seen = self.windows_seen.saturating_add(1);
        if self.windows_seen <= WARM_UP_WINDOWS {
            self.baseline_seconds +=
                (present - self.baseline_seconds) / f64::from(self.windows_seen);
            return;
        }
        // Under a binding limit a higher latency may be caused by the limit itself.
        let misleading = pressure == Pressure::Binding && present > self.baseline_seconds;
        if !misleading || self.settings.measure_every.is_none() {
            let weight = 2.0 / (f64::from(self.settings.long_windows) + 1.0);
            self.baseline_seconds += (present - self.baseline_seconds) * weight;
        }
        if self.baseline_seconds > present * DRIFTED {
            self.baseline_seconds *= DRIFT_RECOVERY;
        }
    }
}
