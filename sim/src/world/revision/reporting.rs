//! Load reports to a revision's autoscaler, and its decisions.

use tidegate_admission::meter;
use tidegate_autoscaler::scrape::{MeshMode, ScrapeResponse, Scraped, Scraper, sample_size};
use tidegate_autoscaler::{Observed, Origin, Sample};

use super::reporters::Load;
use super::{Revision, Ticking};
use crate::record::DecisionRecord;
use crate::scaler::{InstanceReport, ScaleDecision, Trigger};
use crate::scenario::Path;
use crate::time::NANOS_PER_SEC;

/// When a policy is asked although nothing happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OwnWake {
    /// At every tick.
    Ticks,
    /// At this time, nanoseconds.
    At(u64),
}

impl Revision {
    /// Starts the ticks of this revision, which became active after so many others; `false` if it
    /// ticks already or its policy needs no reports.
    #[inline]
    pub(crate) fn start_ticking(&mut self, now: u64, activation: u64) -> bool {
        if self.ticking != Ticking::Off || self.scaler.is_fixed() || self.scaler.is_exact() {
            return false;
        }
        self.ticking = Ticking::On;
        self.activation = activation;
        self.busy_at = now;
        true
    }

    /// Whether later ticks could still change anything; if not, the revision stops ticking.
    pub(crate) fn stays_active(&mut self, now: u64) -> bool {
        let quiet = self.counters.now.inside == 0
            && self.wanted == 0
            && self.counters.now.alive() == 0
            && self.reports.is_empty();
        let at_rest = match self.urgent {
            Some(_) => self.scaler.wants_nothing(),
            None => self.scaler.is_settled_at_zero() && !self.reporters.are_open(),
        };
        if !quiet || self.scaler.never_rests() {
            self.busy_at = now;
        } else if at_rest || now - self.busy_at >= self.scaler.memory_ns() {
            self.ticking = Ticking::Off;
        }
        self.ticking == Ticking::On
    }

    /// Sends the load of the last second to the autoscaler; `cut` closes the period of the meter of
    /// the instance in a slot. Returns whether that should cause a decision out of turn.
    pub(crate) fn report(
        &mut self,
        now: u64,
        cut: impl FnMut(u32) -> Option<meter::PeriodAverages>,
    ) -> bool {
        if self.urgent.is_some() {
            self.tell(now);
            self.end_second(now);
            return false;
        }
        let second = self.reporters.close(now);
        let asks_each = self.asks_each();
        let is_scraped = self.is_scraped();
        // Everyone's averages are additive, so that one report says them all.
        let sidecars = (is_scraped && !asks_each).then_some(second.sidecars);
        match (sidecars, second.activator) {
            (Some(sidecars), Some(activator)) => {
                self.send_load(now, Origin::Instances, sidecars.and(activator));
            }
            (Some(sidecars), None) => self.send_load(now, Origin::Instances, sidecars),
            (None, Some(activator)) => self.send_load(now, Origin::Activator, activator),
            // Nobody has anything to report, which is not the same as a report of nothing.
            (None, None) => {}
        }
        if is_scraped && asks_each {
            self.scrape(now, cut);
        }
        let is_held = second.activator.is_some_and(|load| load.concurrency > 0.0);
        is_held && self.scaler.is_woken_by_reports()
    }

    /// Whether there are instances that the autoscaler asks for their load. Where the activator is
    /// always in the path it has all of it.
    pub(super) fn is_scraped(&self) -> bool {
        !self.ready.is_empty() && (self.model.path == Path::Direct || self.scaler.scrapes())
    }

    /// In local mode, the activator tells the controller its load since it did so last.
    pub(super) fn tell(&mut self, now: u64) {
        let (load, length) = self.reporters.close_all(now);
        self.told.add(load, length);
    }

    /// In local mode, the controller ends its second if it is over.
    pub(crate) fn end_second(&mut self, now: u64) {
        let Some(second) = self.told.end(now) else { return };
        let concurrency = self.scaler.take_rest(second.concurrency);
        let sample = Sample::new(concurrency, 0.0, second.request_rate, 0.0);
        let sample = sample.unwrap_or(Sample::IDLE);
        self.send(now, InstanceReport { origin: Origin::Instances, sample });
    }

    fn send_load(&mut self, now: u64, origin: Origin, load: Load) {
        let sample = Sample::new(load.concurrency, 0.0, load.requests as f64, 0.0);
        self.send(now, InstanceReport { origin, sample: sample.unwrap_or(Sample::IDLE) });
    }

    /// Scrapes a sample of the instances and extrapolates, as Knative's autoscaler does.
    fn scrape(&mut self, now: u64, mut cut: impl FnMut(u32) -> Option<meter::PeriodAverages>) {
        let count = self.ready.len();
        let size = sample_size(count as u32).min(count as u32) as usize;
        let mut order: Vec<usize> = (0..count).collect();
        for chosen in 0..size {
            let other = chosen + self.chance.below((count - chosen) as u64) as usize;
            order.swap(chosen, other);
        }
        // Simulated instances always respond, so there are no failures from which to detect a mesh.
        let mut scraper = Scraper::new(MeshMode::Disabled);
        let mut gathering = scraper.begin(count as u32);
        for which in order {
            // Every instance closes its period, as its own clock would; only the sample is used.
            let Some(period) = cut(self.ready[which]) else { continue };
            let rate = period.request_count as f64;
            let sample = Sample::new(period.average_concurrency, 0.0, rate, 0.0);
            gathering.take(ScrapeResponse::Sample(sample.unwrap_or(Sample::IDLE)));
        }
        if let Scraped::Sample(sample) = scraper.finish(&gathering) {
            self.send(now, InstanceReport { origin: Origin::Instances, sample });
        }
    }

    /// Sends a report, which the model may delay or lose.
    fn send(&mut self, now: u64, report: InstanceReport) {
        let reporting = &self.model.reporting;
        if reporting.loss > 0.0 && self.chance.unit() < reporting.loss {
            return;
        }
        let lag = reporting.lag.as_nanos();
        if lag == 0 {
            self.scaler.record(now, &report);
        } else {
            self.reports.push_back((now.saturating_add(lag), report));
        }
    }

    /// After an arrival in a cluster: whether the policy decides at once. The activator reports the
    /// first request of a revision early; what waits later is in the report of its second.
    #[inline]
    pub(crate) fn is_woken_by_arrival(&mut self) -> bool {
        if let Some(second) = self.reporters.announce() {
            let sample = Sample::new(1.0, 0.0, 1.0, 0.0).unwrap_or(Sample::IDLE);
            self.scaler.record(second, &InstanceReport { origin: Origin::Activator, sample });
            if self.scaler.is_woken_by_reports() {
                return true;
            }
        }
        let waiting = self.front.waiting();
        waiting > 0 && !self.scaler.has_lifecycle() && self.scaler.should_wake(waiting)
    }

    /// Whether the policy is to be asked before anything happens: at every tick, or at the returned
    /// time.
    pub(crate) fn wakes_itself(&self) -> Option<OwnWake> {
        match self.scaler.own_wake() {
            Some(at) => Some(OwnWake::At(at)),
            None => self.scaler.never_rests().then_some(OwnWake::Ticks),
        }
    }

    /// Tells the policy that `count` instances are ready at time zero.
    pub(crate) fn begin_with(&mut self, count: u32, now: u64) {
        self.scaler.begin_with(count, now);
    }

    /// Replaces the policy by a fresh one, as after a restart of the controller.
    pub(crate) fn restart_scaler(&mut self, now: u64) {
        self.scaler.restart(self.ready.len() as u32, self.wanted, now);
    }

    /// Whether this whole second is one of the policy's ticks, in a cluster.
    pub(crate) fn ticks_at(&self, now: u64) -> bool {
        now.is_multiple_of(self.scaler.tick_every_ms() * 1_000_000)
    }

    /// Decides from the reports that have arrived by `now`.
    pub(crate) fn decide(&mut self, now: u64) -> ScaleDecision {
        while let Some((at, report)) = self.reports.pop_front_if(|report| report.0 <= now) {
            self.scaler.record(at, &report);
        }
        let observed = self.observed();
        self.scaler.tick(now, observed, self.counters.now.inside as f64)
    }

    /// Applies bounds and lifecycle to the last decision again; `None` in local mode, where only
    /// new decisions go through the lifecycle.
    pub(crate) fn reconcile(&mut self, now: u64) -> Option<ScaleDecision> {
        let applies = self.scaler.has_lifecycle() && self.urgent.is_none();
        applies.then(|| self.scaler.reconcile(now, self.observed()))
    }

    /// What the policy sees of the instances.
    pub(super) fn observed(&self) -> Observed {
        let now = &self.counters.now;
        Observed {
            ready: self.ready.len() as u32,
            starting: self.starting.len() as u32 - self.in_line,
            requested: self.wanted,
            in_flight: (now.inside - now.waiting) as u32,
            waiting: now.waiting as u32,
            at_once: None,
        }
    }

    /// Records a decision; returns whether it changes the number wanted, the path, or the policy's
    /// recommendation.
    pub(crate) fn note_decision(&mut self, verdict: &ScaleDecision) -> bool {
        let before = std::mem::replace(&mut self.last_desired, verdict.desired);
        self.wanted != verdict.wanted
            || self.proxied != verdict.proxied
            || before != verdict.desired
    }

    /// Sets whether requests go through the activator; returns the previous value.
    pub(crate) fn reroute(&mut self, verdict: &ScaleDecision) -> bool {
        std::mem::replace(&mut self.proxied, verdict.proxied)
    }

    /// Records the averages of the last decision in the series, if one is kept. Returns those of
    /// the decision before and of this one.
    pub(crate) fn draw_windows(&mut self, now: u64) -> [(f64, f64); 2] {
        let windows = self.scaler.windows();
        if let Some(series) = &mut self.series {
            series.windows(now, windows.0, windows.1);
        }
        [std::mem::replace(&mut self.windows, windows), windows]
    }

    /// Whether it has a series of its own.
    pub(crate) fn is_drawn(&self) -> bool {
        self.series.is_some()
    }

    /// The decision as observers and recordings get it.
    pub(crate) fn decision(
        &self,
        now: u64,
        trigger: Trigger,
        verdict: &ScaleDecision,
    ) -> DecisionRecord {
        let (stable, panic) = self.scaler.windows();
        DecisionRecord {
            at_s: now as f64 / NANOS_PER_SEC as f64,
            revision: self.name.clone(),
            trigger: trigger.name().to_owned(),
            desired: u64::try_from(verdict.desired).unwrap_or(0),
            wanted: u64::from(verdict.wanted),
            ready: self.ready.len() as u64,
            stable,
            panic,
            panicking: verdict.panicking,
            proxied: verdict.proxied,
            excess_burst_capacity: f64::from(self.scaler.excess_burst_capacity()),
            reason: self.scaler.reason(),
        }
    }
}
