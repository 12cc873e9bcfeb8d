//! A limit that follows latency instead of being configured.
//!
//! The rule is the latency gradient of Netflix's concurrency-limits (Gradient2): as long as
//! requests are about as quick as they were over a long time, the limit grows by a little headroom;
//! as soon as they are slower, it shrinks in proportion. Three things differ. Samples are gathered
//! into windows, so that one slow request proves nothing. The headroom is the square root of the
//! limit up to Netflix's four, so that a limit below four can be found at all. And while the limit
//! binds, what is usual is not learned from the latency that the limit itself causes (a long
//! overload would pass for normal); instead, as Envoy's adaptive concurrency filter does, the limit
//! drops to a few requests for one window now and then to measure how quick the app is when it is
//! not busy.

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
    /// How much of a new estimate enters the limit at once, in (0, 1].
    pub smoothing: f64,
    /// How many times slower than usual is still as good as usual; at least 1.
    pub tolerance: f64,
    /// Windows over which the usual latency is averaged.
    pub long_windows: u32,
    /// Requests beyond what runs well that the limit reaches for, at most.
    pub headroom: f64,
    /// A window closes when it is this old and has enough samples.
    pub window: Duration,
    /// Samples that a window needs.
    pub window_samples: u32,
    /// How long the limit may bind before the quick latency is measured anew; `None` is never, and
    /// lets the usual latency follow an overload as Netflix's does. Instances that started together
    /// should be given different values, or they all measure at once.
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
/// If the usual latency is this many times the present one, it is out of date ...
const DRIFTED: f64 = 2.0;
/// ... and is led down by this factor for each window.
const DRIFT_RECOVERY: f64 = 0.95;
/// Until this many windows were seen, the usual latency is their plain average.
const WARM_UP_WINDOWS: u32 = 10;

/// The limit while the quick latency is measured, as Envoy has it.
const MEASURING_LIMIT: u32 = 3;
/// After this many windows at the smallest limit what is usual is believed to have changed.
const STUCK_WINDOWS: u32 = 5;

/// The samples of the window that is open.
#[derive(Debug, Clone, Copy, Default)]
struct Window {
    opened: Option<Moment>,
    samples: u32,
    latency_seconds_sum: f64,
    most_in_flight: u32,
}

/// The state of an adaptive limit.
#[derive(Debug, Clone)]
pub struct Adaptive {
    settings: AdaptiveSettings,
    limit: f64,
    usual_seconds: f64,
    windows_seen: u32,
    windows_at_minimum: u32,
    window: Window,
    /// Whether this window measures how quick the app is with few requests.
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
            usual_seconds: 0.0,
            windows_seen: 0,
            windows_at_minimum: 0,
            window: Window::default(),
            measuring: false,
            binding_since: None,
        }
    }

    /// A request was answered `latency` after it entered; `in_flight` executed when it did, itself
    /// included. Gives the new limit if this sample changed it.
    ///
    /// Only time in the app counts: a latency that includes waiting for this very limit would feed
    /// back into it. Failed requests should be left out, they are often quick.
    pub fn sample(&mut self, now: Moment, latency: Duration, in_flight: u32) -> Option<Limit> {
        if self.measuring && in_flight > self.measuring_limit() {
            // It entered before the limit dropped, and was slowed down by as many others.
            return None;
        }
        let window = &mut self.window;
        let opened = *window.opened.get_or_insert(now);
        window.samples += 1;
        window.latency_seconds_sum += latency.as_secs_f64();
        window.most_in_flight = window.most_in_flight.max(in_flight);
        let ripe = window.samples >= self.settings.window_samples
            && now.since(opened) >= self.settings.window;
        if !ripe {
            return None;
        }
        let closed = core::mem::take(window);
        let before = self.limit();
        self.close(now, closed);
        (self.limit() != before).then(|| self.limit())
    }

    /// The limit in force, rounded down to whole requests.
    pub fn limit(&self) -> Limit {
        // Between the bounds, which are u32, so nothing is cut off but the fraction.
        let limit = self.limit as u32;
        Limit::from_wire(if self.measuring { limit.min(self.measuring_limit()) } else { limit })
    }

    /// The latency that counts as usual; zero before anything was measured.
    pub fn usual_latency(&self) -> Duration {
        Duration::try_from_secs_f64(self.usual_seconds).unwrap_or_default()
    }

    fn measuring_limit(&self) -> u32 {
        MEASURING_LIMIT.clamp(self.settings.minimum, self.settings.maximum)
    }

    fn close(&mut self, now: Moment, window: Window) {
        let present = window.latency_seconds_sum / f64::from(window.samples.max(1));
        if core::mem::take(&mut self.measuring) {
            self.usual_seconds = present;
            self.binding_since = None;
            return;
        }
        // With less than half of the limit in use, latency says nothing about the limit.
        let binds = f64::from(window.most_in_flight) >= self.limit / 2.0;
        self.learn(present, binds);
        if !binds || present <= 0.0 {
            self.binding_since = None;
            return;
        }
        self.follow(present);
        let since = *self.binding_since.get_or_insert(now);
        self.measuring = self.settings.measure_every.is_some_and(|every| now.since(since) >= every);
    }

    /// Moves the limit along the gradient.
    fn follow(&mut self, present: f64) {
        let gradient =
            (self.settings.tolerance * self.usual_seconds / present).clamp(GRADIENT.0, GRADIENT.1);
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
            self.usual_seconds = present;
        }
    }

    /// Brings the usual latency up to date with one window's average.
    fn learn(&mut self, present: f64, binds: bool) {
        self.windows_seen = self.windows_seen.saturating_add(1);
        if self.windows_seen <= WARM_UP_WINDOWS {
            self.usual_seconds += (present - self.usual_seconds) / f64::from(self.windows_seen);
            return;
        }
        let misleading = binds && present > self.usual_seconds;
        if !misleading || self.settings.measure_every.is_none() {
            let weight = 2.0 / (f64::from(self.settings.long_windows) + 1.0);
            self.usual_seconds += (present - self.usual_seconds) * weight;
        }
        if self.usual_seconds > present * DRIFTED {
            self.usual_seconds *= DRIFT_RECOVERY;
        }
    }
}
