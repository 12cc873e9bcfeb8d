//! What the decider of a revision hears, and what it says.

use tidegate_admission::{Moment, meter};
use tidegate_autoscaler::scrape::{MeshMode, ScrapeResponse, Scraped, Scraper, sample_size};
use tidegate_autoscaler::{Observed, Origin, Sample};

use super::{Beat, Revision};
use crate::record::DecisionRecord;
use crate::scaler::{InstanceReport, ScaleDecision, Trigger};
use crate::time::NANOS_PER_SEC;

impl Revision {
    /// Gives it its beat back; `false` when it has one or needs none.
    #[inline]
    pub(crate) fn begins_beating(&mut self, now: u64) -> bool {
        if self.beat == Beat::On || self.scaler.is_fixed() || self.scaler.is_exact() {
            return false;
        }
        self.beat = Beat::On;
        self.busy_at = now;
        self.reported_at = now / NANOS_PER_SEC * NANOS_PER_SEC;
        true
    }

    /// Whether the next beats could still change anything; without that it loses its beat.
    pub(crate) fn stays_active(&mut self, now: u64) -> bool {
        let quiet = self.tally.now.inside == 0
            && self.wanted == 0
            && self.tally.now.alive() == 0
            && self.reports.is_empty();
        let at_rest = self.attention.is_some() && self.scaler.wants_nothing();
        if !quiet {
            self.busy_at = now;
        } else if at_rest || now - self.busy_at >= self.scaler.memory_ns() {
            self.beat = Beat::Off;
        }
        self.beat == Beat::On
    }

    /// Everyone who serves it says how busy the last second was; `cut` closes the account of the
    /// instance in a slot.
    pub(crate) fn report(
        &mut self,
        now: u64,
        cut: impl FnMut(u32) -> Option<meter::PeriodAverages>,
    ) {
        let early = std::mem::take(&mut self.early_report);
        let said = self.meter.cut(Moment::from_nanos(now));
        let (mut concurrency, mut count) = (said.average_concurrency, said.request_count);
        if early {
            // What was told at once is not told again.
            (concurrency, count) = ((concurrency - 1.0).max(0.0), count.saturating_sub(1));
        }
        if self.attention.is_some() {
            concurrency = self.scaler.take_rest(concurrency);
        }
        let seconds = (now - self.reported_at) as f64 / NANOS_PER_SEC as f64;
        self.reported_at = now;
        let rate = if seconds > 0.0 { count as f64 / seconds } else { 0.0 };
        let sample = Sample::new(concurrency, 0.0, rate, 0.0).unwrap_or(Sample::IDLE);
        let asks_each = self.asks_each();
        let origin = if asks_each { Origin::Activator } else { Origin::Instances };
        self.send(now, InstanceReport { origin, sample });
        if asks_each {
            self.scrape(now, cut);
        }
    }

    /// Asks a sample of the instances and extrapolates, as Knative's autoscaler does.
    fn scrape(&mut self, now: u64, mut cut: impl FnMut(u32) -> Option<meter::PeriodAverages>) {
        let count = self.ready.len();
        let size = sample_size(count as u32).min(count as u32) as usize;
        let mut order: Vec<usize> = (0..count).collect();
        for chosen in 0..size {
            let other = chosen + self.chance.below((count - chosen) as u64) as usize;
            order.swap(chosen, other);
        }
        // Instances of a simulation answer, and there is no mesh to be told by those that do not.
        let mut scraper = Scraper::new(MeshMode::Disabled);
        let mut gathering = scraper.begin(count as u32);
        for which in order {
            // Everyone closes the second; only those in the sample are heard.
            let Some(cut) = cut(self.ready[which]) else { continue };
            let rate = cut.request_count as f64;
            let said = Sample::new(cut.average_concurrency, 0.0, rate, 0.0);
            gathering.take(ScrapeResponse::Sample(said.unwrap_or(Sample::IDLE)));
        }
        if let Scraped::Sample(sample) = scraper.finish(&gathering) {
            self.send(now, InstanceReport { origin: Origin::Instances, sample });
        }
    }

    /// Sends a report on its way, unless it is lost.
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

    /// Whether requests that wait make the policy decide at once, in a cluster: the front door then
    /// tells of the first one, once a second.
    #[inline]
    pub(crate) fn is_woken_by_line(&mut self, now: u64) -> bool {
        let waiting = self.front.waiting();
        let woken = waiting > 0 && self.scaler.should_wake(waiting);
        if woken && !self.early_report {
            self.early_report = true;
            let sample = Sample::new(1.0, 0.0, 1.0, 0.0).unwrap_or(Sample::IDLE);
            self.scaler.record(now, &InstanceReport { origin: Origin::Activator, sample });
        }
        woken
    }

    /// `count` instances are ready from the beginning.
    pub(crate) fn begin_with(&mut self, count: u32, now: u64) {
        self.scaler.begin_with(count, now);
    }

    /// The controller lost its memory.
    pub(crate) fn restart_scaler(&mut self, now: u64) {
        self.scaler.restart(self.ready.len() as u32, self.wanted, now);
    }

    /// Whether a decision in turn is due at this whole second, in a cluster.
    pub(crate) fn ticks_at(&self, now: u64) -> bool {
        now.is_multiple_of(self.scaler.tick_every_ms() * 1_000_000)
    }

    /// The policy decides by all that has reached it.
    pub(crate) fn decide(&mut self, now: u64) -> ScaleDecision {
        while let Some((at, report)) = self.reports.pop_front_if(|report| report.0 <= now) {
            self.scaler.record(at, &report);
        }
        let observed = self.observed();
        self.scaler.tick(now, observed, self.tally.now.inside as f64)
    }

    /// Takes the last decision through bounds and lifecycle again. In local mode nothing but
    /// decisions goes through the lifecycle.
    pub(crate) fn reconcile(&mut self, now: u64) -> Option<ScaleDecision> {
        let looks = self.scaler.has_lifecycle() && self.attention.is_none();
        looks.then(|| self.scaler.reconcile(now, self.observed()))
    }

    /// What the policy sees of the instances.
    fn observed(&self) -> Observed {
        let now = &self.tally.now;
        Observed {
            ready: self.ready.len() as u32,
            starting: self.starting.len() as u32,
            requested: self.wanted,
            in_flight: (now.inside - now.waiting) as u32,
            waiting: now.waiting as u32,
        }
    }

    /// Takes note of a decision; whether it differs from what is so.
    pub(crate) fn hear(&mut self, verdict: &ScaleDecision) -> bool {
        let before = std::mem::replace(&mut self.last_desired, verdict.desired);
        self.wanted != verdict.wanted
            || self.proxied != verdict.proxied
            || before != verdict.desired
    }

    /// Its requests go this way from now on; gives how they went before.
    pub(crate) fn reroute(&mut self, verdict: &ScaleDecision) -> bool {
        std::mem::replace(&mut self.proxied, verdict.proxied)
    }

    /// Draws the averages of the last decision into the series, where somebody draws; gives those
    /// of the decision before and of this one.
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

    /// The decision as it is kept and told.
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
