//! The windows of one revision: concurrency and request rate, each over the stable window and
//! the panic window.

use crate::decision::{Coverage, Span};
use crate::sample::{Origin, Sample};
use crate::service_time::{Flow, Second};
use crate::spec::{Improvements, MetricSpec, ScalingMetric};
use crate::time::Timestamp;
use crate::window::{BUCKET_MS, FEW_BUCKETS, Resize, Window, WindowError};

pub use crate::decision::Missing;

/// A revision's load over its two windows, as totals.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Averages {
    /// Over the stable window.
    pub stable: f64,
    /// Over the panic window; 0 also when that has no data.
    pub panic: f64,
}

/// How seconds without a report count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StaleData {
    /// As in Knative: the data that are left count, then zero, then nothing is known.
    #[default]
    Decay,
    /// Reports are due and missing: the last known load is held.
    Hold,
}

/// The reports of all instances that fell into the second written last, to average them.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Sharing {
    second: i64,
    reports: u32,
    mean: [f64; 2],
}

/// Both windows of both metrics.
#[derive(Debug, Clone, PartialEq)]
pub struct Collector {
    stable: Window<2>,
    panic: Window<2>,
    sharing: Sharing,
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
            sharing: Sharing::default(),
            scraped: spec.scraped,
        })
    }

    /// Records what was reported at `at`, as Knative does: whatever falls into one second adds
    /// up, and a second without a report is one without load.
    pub fn record(&mut self, at: Timestamp, sample: &Sample) {
        self.add(at, sample.own());
    }

    /// Records what was reported at `at` so that reports of all instances that fall into one
    /// second average, and seconds that were skipped repeat what was known: a few of them always,
    /// all of them if `silence` holds. A report of all instances for an earlier second
    /// than the newest comes too late and is dropped.
    pub fn record_averaged(
        &mut self,
        at: Timestamp,
        origin: Origin,
        sample: &Sample,
        silence: StaleData,
    ) {
        self.repeat(at, if silence == StaleData::Hold { u64::MAX } else { FEW_BUCKETS });
        let values = sample.own();
        if origin == Origin::Activator {
            return self.add(at, values);
        }
        let second = at.unix_seconds();
        if self.stable.last_recorded().is_some_and(|last| last.unix_seconds() > second) {
            return;
        }
        let sharing = &mut self.sharing;
        if sharing.reports == 0 || sharing.second != second {
            *sharing = Sharing { second, reports: 1, mean: values };
            return self.add(at, values);
        }
        sharing.reports = sharing.reports.saturating_add(1);
        let before = sharing.mean;
        for (mean, value) in sharing.mean.iter_mut().zip(values) {
            *mean += (value - *mean) / f64::from(sharing.reports);
        }
        let change = [sharing.mean[0] - before[0], sharing.mean[1] - before[1]];
        self.add(at, change);
    }

    /// Records reports of no load for every second after the newest one up to that of `at`.
    pub fn record_nothing_until(&mut self, at: Timestamp) {
        self.stable.record_nothing_until(at);
        self.panic.record_nothing_until(at);
    }

    /// For how many seconds of reports of no load the average of a metric over the stable window
    /// stays above `average` at least; `None` if that is not evident.
    pub(crate) fn stays_above(&self, metric: ScalingMetric, average: f64) -> Option<usize> {
        self.stable.stays_above(lane(metric), average)
    }

    /// What the average of a metric over the stable window will be after 1, 2, 3, … further seconds
    /// of reports of no load, until nothing of the load is left; none where newer seconds weigh
    /// more.
    pub fn averages_without_load(
        &self,
        metric: ScalingMetric,
    ) -> Option<impl Iterator<Item = f64>> {
        self.stable.averages_without_load(lane(metric))
    }

    /// Repeats what was known in the seconds that were skipped, if there are at most `limit`.
    pub fn repeat(&mut self, at: Timestamp, limit: u64) {
        self.stable.repeat_until(at, limit);
        self.panic.repeat_until(at, limit);
    }

    fn add(&mut self, at: Timestamp, values: [f64; 2]) {
        self.stable.record(at, values);
        self.panic.record(at, values);
    }

    /// The averages of a metric as seen at `now`.
    ///
    /// # Errors
    ///
    /// [`Missing::NoData`] when the stable window is empty although there are instances to ask, or
    /// to report if `silence` holds.
    pub fn averages(
        &self,
        now: Timestamp,
        metric: ScalingMetric,
        silence: StaleData,
    ) -> Result<Averages, Missing> {
        self.averages_with_coverage(now, metric, silence).0
    }

    /// The averages of a metric as seen at `now`, and what they are made of. Inlined, so that the
    /// coverage costs nothing where only the averages are asked for.
    #[inline(always)]
    pub(crate) fn averages_with_coverage(
        &self,
        now: Timestamp,
        metric: ScalingMetric,
        silence: StaleData,
    ) -> (Result<Averages, Missing>, Coverage) {
        let lane = lane(metric);
        let seen = self.seen_from(now, silence);
        let (stable, stable_s) = self.stable.average_of(seen, lane);
        let (panic, panic_s) = self.panic.average_of(seen, lane);
        let span = |window: &Window<2>, known_s: u32| Span {
            known_s,
            whole_s: u32::try_from(window.buckets()).unwrap_or(u32::MAX),
        };
        let coverage = Coverage {
            last_second: self.last_recorded(),
            written_s: self.stable.known(),
            stable: span(&self.stable, stable_s),
            panic: span(&self.panic, panic_s),
        };
        let averages = match self.knows_nothing(now, silence) {
            true => Err(Missing::NoData),
            false => Ok(Averages { stable, panic }),
        };
        (averages, coverage)
    }

    /// Whether there are no averages, and will be none until something is recorded.
    pub fn knows_nothing(&self, now: Timestamp, silence: StaleData) -> bool {
        let asked = self.scraped || silence == StaleData::Hold;
        asked && self.stable.is_empty(now)
    }

    /// The time that the windows are looked at from: `now`, but if silence holds no later than
    /// the second after the newest report.
    pub(crate) fn seen_from(&self, now: Timestamp, silence: StaleData) -> Timestamp {
        match self.stable.last_recorded() {
            Some(last) if silence == StaleData::Hold => now.min(last.plus_millis(BUCKET_MS)),
            _ => now,
        }
    }

    /// Whether nothing was reported for the second before `now`, nor since.
    pub fn is_silent(&self, now: Timestamp) -> bool {
        self.stable.last_recorded().is_none_or(|last| now.millis_since(last) >= 2 * BUCKET_MS)
    }

    /// The load of the busiest second of the last `length_ms` milliseconds, in the unit of `metric`
    /// (requests in flight, or requests per second). `None` unless every second of them is known,
    /// because the one that is missing may have been the busiest.
    pub fn recent_peak(
        &self,
        now: Timestamp,
        metric: ScalingMetric,
        silence: StaleData,
        length_ms: u64,
    ) -> Option<f64> {
        let now = self.seen_from(now, silence);
        self.stable.peak(now, lane(metric), length_ms.div_ceil(BUCKET_MS))
    }

    /// How requests came and went in the stable window, unless that is silent.
    pub(crate) fn stable_flow(&self, now: Timestamp, silence: StaleData) -> Option<Flow> {
        flow(&self.stable, self.seen_from(now, silence))
    }

    /// The same for the panic window, and the least that were in flight in one of its seconds.
    pub(crate) fn panic_flow(&self, now: Timestamp, silence: StaleData) -> Option<(Flow, f64)> {
        let flow = flow(&self.panic, self.seen_from(now, silence))?;
        Some((flow, self.panic.least(lane(ScalingMetric::Concurrency))))
    }

    /// A percentile (0..=100, nearest rank) of the seconds of the stable window, in the unit of
    /// `metric`. `None` while nothing was recorded in it.
    pub fn percentile(&self, metric: ScalingMetric, percentile: f64) -> Option<f64> {
        self.stable.percentile(lane(metric), percentile)
    }

    /// When something was recorded last: the start of that second.
    pub fn last_recorded(&self) -> Option<Timestamp> {
        self.stable.last_recorded()
    }

    /// Follows a change of the metric's settings. The aggregation is fixed from the start, as in
    /// Knative.
    ///
    /// # Errors
    ///
    /// As [`Collector::new`]; nothing is changed then.
    pub fn update(
        &mut self,
        now: Timestamp,
        spec: &MetricSpec,
        improvements: &Improvements,
    ) -> Result<(), WindowError> {
        let mode = if improvements.keep_history { Resize::KeepAge } else { Resize::ForgetAge };
        self.panic.accepts(spec.panic_window_ms)?;
        self.stable.resize(now, spec.stable_window_ms, mode)?;
        self.panic.resize(now, spec.panic_window_ms, mode)?;
        self.scraped = spec.scraped;
        Ok(())
    }
}

/// How requests came and went in a window as seen at `at`.
fn flow(window: &Window<2>, at: Timestamp) -> Option<Flow> {
    let (in_flight, arrived) = (lane(ScalingMetric::Concurrency), lane(ScalingMetric::RequestRate));
    let known = window.content(at)?;
    let second =
        |values: [f64; 2]| Second { in_flight: values[in_flight], arrived: values[arrived] };
    Some(Flow {
        length_s: f64::from(known.buckets),
        in_flight_s: known.total[in_flight],
        arrived: known.total[arrived],
        oldest: second(known.oldest),
        newest: second(known.newest),
    })
}

/// Where a metric's values lie in a window.
fn lane(metric: ScalingMetric) -> usize {
    match metric {
        ScalingMetric::Concurrency => 0,
        ScalingMetric::RequestRate => 1,
    }
}
