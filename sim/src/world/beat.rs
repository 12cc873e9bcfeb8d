//! The beat of an active revision: reports every second, decisions every second one, and wake-ups
//! between them.

use tidegate_admission::Moment;
use tidegate_autoscaler::scrape::{Answer, MeshMode, Scraped, Scraper, sample_size};
use tidegate_autoscaler::{Observed, Origin, Sample};

use super::revision::{Beat, Revision};
use super::{NEVER, World};
use crate::events::Kind;
use crate::record::{DecisionRecord, Observer};
use crate::scaler::{Report, Verdict};
use crate::series::recorder::Level;
use crate::time::NANOS_PER_SEC;

/// What made a policy decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trigger {
    /// Its interval, or for an exact policy an arrival or departure.
    Tick,
    /// A request that waits, or a time at which the policy asked to be woken.
    WakeUp,
}

impl<O: Observer> World<'_, O> {
    /// Gives a revision its beat back, if it lost it.
    #[inline]
    pub(super) fn keep_beating(&mut self, index: u32) {
        let revision = &mut self.revisions[index as usize];
        if revision.beat == Beat::On || revision.scaler.is_fixed() || revision.scaler.is_exact() {
            return;
        }
        revision.beat = Beat::On;
        revision.busy_at = self.now;
        revision.reported_at = self.now / NANOS_PER_SEC * NANOS_PER_SEC;
        self.active.push(index);
        if self.next_beat == NEVER {
            self.next_beat = (self.now / NANOS_PER_SEC + 1) * NANOS_PER_SEC;
        }
        self.rouse(index);
    }

    /// A whole second: all active revisions report, and those whose tick it is decide.
    pub(super) fn beat(&mut self) {
        let now = self.now;
        let mut active = std::mem::take(&mut self.active);
        for &index in &active {
            self.report(index);
            if self.revisions[index as usize].attention.is_some() {
                self.attend_beat(index);
                continue;
            }
            let every = self.revisions[index as usize].scaler.tick_every_ms() * 1_000_000;
            if now.is_multiple_of(every) {
                self.decide(index, Trigger::Tick);
            }
        }
        active.retain(|&index| self.revisions[index as usize].stays_active(now));
        // Nobody becomes active during a beat, because nothing arrives; but instances may.
        active.append(&mut self.active);
        self.active = active;
        self.next_beat = if self.active.is_empty() { NEVER } else { now + NANOS_PER_SEC };
    }

    /// Everyone who serves a revision says how busy the last second was.
    fn report(&mut self, index: u32) {
        let now = Moment::from_nanos(self.now);
        let revision = &mut self.revisions[index as usize];
        let early = std::mem::take(&mut revision.early_report);
        let cut = revision.meter.cut(now);
        let (mut concurrency, mut count) = (cut.average_concurrency, cut.request_count);
        if early {
            // What was told at once is not told again.
            (concurrency, count) = ((concurrency - 1.0).max(0.0), count.saturating_sub(1));
        }
        if revision.attention.is_some() {
            concurrency = revision.scaler.take_rest(concurrency);
        }
        let seconds = (self.now - revision.reported_at) as f64 / NANOS_PER_SEC as f64;
        revision.reported_at = self.now;
        let rate = if seconds > 0.0 { count as f64 / seconds } else { 0.0 };
        let sample = Sample::new(concurrency, 0.0, rate, 0.0).unwrap_or(Sample::IDLE);
        let origin = if revision.asks_each() { Origin::Activator } else { Origin::Instances };
        revision.send(self.now, Report { origin, sample });
        if revision.asks_each() {
            self.scrape(index);
        }
    }

    /// Asks a sample of the instances and extrapolates, as Knative's autoscaler does.
    fn scrape(&mut self, index: u32) {
        let now = Moment::from_nanos(self.now);
        let revision = &mut self.revisions[index as usize];
        let count = revision.ready.len();
        let size = sample_size(count as u32).min(count as u32) as usize;
        let mut order: Vec<usize> = (0..count).collect();
        for chosen in 0..size {
            let other = chosen + revision.chance.below((count - chosen) as u64) as usize;
            order.swap(chosen, other);
        }
        // Instances of a simulation answer, and there is no mesh to be told by those that do not.
        let mut scraper = Scraper::new(MeshMode::Disabled);
        let mut gathering = scraper.begin(count as u32);
        for &which in &order {
            let slot = revision.ready[which];
            let Some(meter) = &mut self.instances[slot as usize].meter else { continue };
            // Everyone closes the second; only those in the sample are heard.
            let cut = meter.cut(now);
            let rate = cut.request_count as f64;
            let said = Sample::new(cut.average_concurrency, 0.0, rate, 0.0);
            gathering.take(Answer::Sample(said.unwrap_or(Sample::IDLE)));
        }
        if let Scraped::Sample(sample) = scraper.finish(&gathering) {
            revision.send(self.now, Report { origin: Origin::Instances, sample });
        }
    }

    /// After an arrival: wakes the policy if it wants to know at once.
    #[inline]
    pub(super) fn after_arrival(&mut self, index: u32) {
        let revision = &mut self.revisions[index as usize];
        if revision.scaler.is_exact() {
            return self.decide(index, Trigger::Tick);
        }
        if revision.attention.is_some() {
            return self.attend_arrival(index);
        }
        let waiting = revision.front.waiting();
        if waiting > 0
            && revision.scaler.should_wake(waiting)
            && self.now >= self.controller_down_until
        {
            let sample = Sample::new(1.0, 0.0, 1.0, 0.0).unwrap_or(Sample::IDLE);
            let report = Report { origin: Origin::Activator, sample };
            if !revision.early_report {
                revision.early_report = true;
                revision.scaler.record(self.now, &report);
            }
            self.decide(index, Trigger::WakeUp);
        }
    }

    /// The time at which the policy or its lifecycle asked to be woken.
    pub(super) fn woken(&mut self, index: u32) {
        if self.revisions[index as usize].scaler.is_exact() {
            return self.decide(index, Trigger::WakeUp);
        }
        if self.revisions[index as usize].attention.is_some() {
            return self.attend_wake(index);
        }
        self.look_again(index);
    }

    /// Takes the last decision through bounds and lifecycle again, because something changed.
    pub(super) fn look_again(&mut self, index: u32) {
        let revision = &mut self.revisions[index as usize];
        // In local mode nothing but decisions goes through the lifecycle.
        let looks = revision.scaler.has_lifecycle() && revision.attention.is_none();
        if self.now < self.controller_down_until || !looks {
            return;
        }
        let observed = revision.observed();
        let verdict = revision.scaler.reconcile(self.now, observed);
        self.follow(index, Trigger::WakeUp, verdict);
    }

    /// The policy decides, and the world follows.
    pub(super) fn decide(&mut self, index: u32, trigger: Trigger) {
        let now = self.now;
        if now < self.controller_down_until {
            return;
        }
        let revision = &mut self.revisions[index as usize];
        while let Some((at, report)) = revision.reports.pop_front_if(|report| report.0 <= now) {
            revision.scaler.record(at, &report);
        }
        let observed = revision.observed();
        let verdict = revision.scaler.tick(now, observed, revision.tally.now.inside as f64);
        if now >= self.counted_from {
            revision.tally.decisions += 1;
        }
        self.follow(index, trigger, verdict);
        self.arm(index);
    }

    fn follow(&mut self, index: u32, trigger: Trigger, verdict: Verdict) {
        let now = self.now;
        let revision = &mut self.revisions[index as usize];
        if let Some(at) = verdict.again_at
            && at < revision.wake_at
        {
            // A time that passed while the controller was down is now.
            let at = at.max(now);
            revision.wake_at = at;
            revision.wake = self.events.push(at, Kind::Revision, index);
        }
        let panicking = u64::from(verdict.panicking);
        if revision.tally.now.panicking != panicking {
            revision.tally.advance(now);
            self.total.panicking = self.total.panicking - revision.tally.now.panicking + panicking;
            revision.tally.now.panicking = panicking;
            self.show(index, Level::Panicking);
        }
        let revision = &mut self.revisions[index as usize];
        let changed = revision.wanted != verdict.wanted
            || revision.proxied != verdict.proxied
            || revision.last_desired != verdict.desired;
        revision.last_desired = verdict.desired;
        if self.series.is_some() || revision.series.is_some() {
            self.draw_windows(index);
        }
        if changed {
            self.keep_decision(index, trigger, verdict);
            let before =
                std::mem::replace(&mut self.revisions[index as usize].proxied, verdict.proxied);
            self.total_proxied =
                self.total_proxied - u64::from(before) + u64::from(verdict.proxied);
            self.show(index, Level::Proxied);
            self.scale_to(index, verdict.wanted);
        }
    }

    fn draw_windows(&mut self, index: u32) {
        let revision = &mut self.revisions[index as usize];
        let (stable, panic) = revision.scaler.windows();
        let (old_stable, old_panic) = std::mem::replace(&mut revision.windows, (stable, panic));
        self.total_windows.0 += stable - old_stable;
        self.total_windows.1 += panic - old_panic;
        if let Some(series) = &mut revision.series {
            series.windows(self.now, stable, panic);
        }
        if let Some(series) = &mut self.series {
            series.windows(self.now, self.total_windows.0, self.total_windows.1);
        }
    }

    fn keep_decision(&mut self, index: u32, trigger: Trigger, verdict: Verdict) {
        let revision = &self.revisions[index as usize];
        if !self.observer.wants_decisions() && self.scenario.recording.decisions == 0 {
            return;
        }
        let (stable, panic) = revision.scaler.windows();
        let record = DecisionRecord {
            at_s: self.now as f64 / NANOS_PER_SEC as f64,
            revision: revision.name.clone(),
            trigger: match trigger {
                Trigger::Tick => "tick".to_owned(),
                Trigger::WakeUp => "wake-up".to_owned(),
            },
            desired: u64::try_from(verdict.desired).unwrap_or(0),
            wanted: u64::from(verdict.wanted),
            ready: revision.ready.len() as u64,
            stable,
            panic,
            panicking: verdict.panicking,
            proxied: verdict.proxied,
            excess_burst_capacity: f64::from(revision.scaler.excess_burst_capacity()),
            reason: revision.scaler.reason(),
        };
        self.observer.decision(&record);
        if self.decisions.len() < self.scenario.recording.decisions as usize {
            self.decisions.push(record);
        } else {
            self.decisions_dropped += 1;
        }
    }
}

impl Revision {
    /// Sends a report on its way, unless it is lost.
    fn send(&mut self, now: u64, report: Report) {
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

    /// Whether the next beats could still change anything.
    fn stays_active(&mut self, now: u64) -> bool {
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
}
