//! The windows of one revision: concurrency and request rate, each over the stable window and
//! the panic window.

use crate::sample::{Origin, Sample};
use crate::spec::{Improvements, MetricSpec, ScalingMetric};
use crate::time::{MS_PER_SECOND, Timestamp};
use crate::window::{Resize, Window, WindowError};

/// The size of a window's bucket: a second, as everybody reports once a second.
const BUCKET_MS: u64 = MS_PER_SECOND as u64;

/// A revision's load over its two windows, as totals.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Averages {
    /// Over the stable window.
    pub stable: f64,
    /// Over the panic window; 0 also when that has no data.
    pub panic: f64,
}

/// Why there are no averages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Missing {
    /// Nothing was recorded for longer than the stable window.
    NoData,
    /// The revision's metrics are not being collected.
    NotCollecting,
    /// They could not be had for another reason.
    Failed,
}

/// Both windows of both metrics.
#[derive(Clone, Debug, PartialEq)]
pub struct Collector {
    stable: Window<2>,
    panic: Window<2>,
    scraped: bool,
}

impl Collector {
    /// Empty windows.
    ///
    /// # Errors
    ///
    /// [`WindowError`] when a window's length is 0 or beyond a day.
    pub fn new(spec: &MetricSpec) -> Result<Collector, WindowError> {
        Ok(Collector {
            stable: Window::new(spec.aggregation, spec.stable_window_ms, BUCKET_MS)?,
            panic: Window::new(spec.aggregation, spec.panic_window_ms, BUCKET_MS)?,
            scraped: spec.scraped,
        })
    }

    /// Records what was reported at `at`.
    pub fn record(&mut self, at: Timestamp, _origin: Origin, sample: &Sample) {
        let values = sample.own();
        self.stable.record(at, values);
        self.panic.record(at, values);
    }

    /// The averages of a metric as seen at `now`.
    ///
    /// # Errors
    ///
    /// [`Missing::NoData`] when the stable window is empty although somebody is to be asked.
    pub fn averages(&self, now: Timestamp, metric: ScalingMetric) -> Result<Averages, Missing> {
        if self.scraped && self.stable.is_empty(now) {
            return Err(Missing::NoData);
        }
        let lane = lane(metric);
        Ok(Averages {
            stable: self.stable.average(now, lane),
            panic: self.panic.average(now, lane),
        })
    }

    /// Follows a change of the metric's settings. The aggregation is fixed from the start, as in
    /// Knative.
    ///
    /// # Errors
    ///
    /// As [`Collector::new`].
    pub fn update(
        &mut self,
        now: Timestamp,
        spec: &MetricSpec,
        improvements: &Improvements,
    ) -> Result<(), WindowError> {
        let mode = if improvements.keep_history { Resize::KeepAge } else { Resize::ForgetAge };
        self.stable.resize(now, spec.stable_window_ms, mode)?;
        self.panic.resize(now, spec.panic_window_ms, mode)?;
        self.scraped = spec.scraped;
        Ok(())
    }
}

/// Where a metric's values lie in a window.
fn lane(metric: ScalingMetric) -> usize {
    match metric {
        ScalingMetric::Concurrency => 0,
        ScalingMetric::RequestRate => 1,
    }
}
