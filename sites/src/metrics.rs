//! Metrics of a view. None is labelled by revision; sites are few, and counted by their links.

use tidegate_telemetry::{Counter, Gauge, Metric, NoopRecorder, Recorder};

use crate::board::{Link, Snapshot};

const SITES: Metric =
    Metric::gauge("tidegate_view_sites", "Sites, by whether they answer.").labelled(&["link"]);
const REVISIONS: Metric =
    Metric::gauge("tidegate_view_revisions", "Revisions that are known, of all sites.");
const LEFT_OUT: Metric = Metric::gauge(
    "tidegate_view_revisions_left_out",
    "Revisions that sites told of and that are not known because there are too many.",
);
const CALLS_REFUSED: Metric =
    Metric::counter("tidegate_view_calls_refused_total", "Calls of sites that were refused.");

/// Every metric of this crate.
pub const METRICS: &[Metric] = &[SITES, REVISIONS, LEFT_OUT, CALLS_REFUSED];

/// Every metric that a view shows: those of this crate, and those of every process.
pub fn metrics() -> impl Iterator<Item = &'static Metric> {
    METRICS.iter().chain(tidegate_telemetry::metrics())
}

/// Metrics of one view.
#[derive(Debug, Clone)]
pub struct Metrics {
    awaited: Gauge,
    up: Gauge,
    cut: Gauge,
    revisions: Gauge,
    left_out: Gauge,
    calls_refused: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new(&NoopRecorder)
    }
}

impl Metrics {
    /// Registers them all.
    #[must_use]
    pub fn new(recorder: &dyn Recorder) -> Self {
        let sites = |link| SITES.register_gauge(recorder, &[link]);
        Self {
            awaited: sites("awaited"),
            up: sites("up"),
            cut: sites("cut"),
            revisions: REVISIONS.register_gauge(recorder, &[]),
            left_out: LEFT_OUT.register_gauge(recorder, &[]),
            calls_refused: CALLS_REFUSED.register_counter(recorder, &[]),
        }
    }

    /// Brings them up to date, before they are read.
    pub fn show(&self, snapshot: &Snapshot, calls_refused: u64) {
        let count = |is: fn(&Link) -> bool| {
            snapshot.sites.iter().filter(|site| is(&site.link)).count() as f64
        };
        self.awaited.set(count(|link| *link == Link::Awaited));
        self.up.set(count(|link| *link == Link::Up));
        self.cut.set(count(|link| matches!(link, Link::Cut(_))));
        let sum = |of: fn(&crate::SiteState) -> usize| {
            snapshot.sites.iter().map(of).sum::<usize>() as f64
        };
        self.revisions.set(sum(|site| site.revisions.len()));
        self.left_out.set(sum(|site| site.left_out));
        self.calls_refused.absolute(calls_refused);
    }
}
