//! What one revision's result is made of, kept up to date event by event in bounded memory.

use std::collections::BTreeMap;

use crate::record::Outcome;
use crate::result::{DurationStats, Extra, Levels, RevisionResult};
use crate::series::recorder::Level;
use crate::time::NANOS_PER_SEC;

/// Counts, levels and their integrals over time.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counters {
    /// Integrals are complete up to here, nanoseconds.
    last: u64,
    /// Since when everything is counted.
    begin: u64,
    pub(crate) requests: u64,
    completed: u64,
    rejected: u64,
    timed_out: u64,
    failed: u64,
    pub(crate) cold_starts: u64,
    pub(crate) scale_events: u64,
    pub(crate) retries: u64,
    pub(crate) decisions: u64,
    pub(crate) started: u64,
    /// Nanoseconds that requests which left were inside, for Little's law.
    sojourn: u128,
    pub(crate) durations: Durations,
    pub(crate) now: Population,
    max: Population,
    area: Areas,
    ready_ns: BTreeMap<u64, u64>,
    ready_since: u64,
}

/// How long completed requests took.
#[derive(Debug, Clone, Default)]
pub(crate) struct Durations {
    pub(crate) latency: DurationStats,
    pub(crate) wait: DurationStats,
}

impl Durations {
    /// Counts a request that was inside and waited for so long.
    #[inline]
    pub(crate) fn record(&mut self, inside_ns: u64, waited_ns: u64) {
        self.latency.record(inside_ns);
        self.wait.record(waited_ns);
    }

    /// Adds what others counted.
    pub(crate) fn merge(&mut self, other: &Durations) {
        self.latency.merge(&other.latency);
        self.wait.merge(&other.wait);
    }
}

/// How many of each there are at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Population {
    /// Requests waiting or being served.
    pub(crate) inside: u64,
    /// Requests waiting.
    pub(crate) waiting: u64,
    /// Instances on their way to readiness.
    pub(crate) starting: u64,
    /// Instances that take requests.
    pub(crate) ready: u64,
    /// Instances that finish what they have.
    pub(crate) draining: u64,
    /// Ready instances with at least one request.
    pub(crate) busy: u64,
    /// 1 in panic mode.
    pub(crate) panicking: u64,
}

/// Populations times nanoseconds.
#[derive(Debug, Clone, Copy, Default)]
struct Areas {
    inside: u128,
    waiting: u128,
    alive: u128,
    ready: u128,
    busy: u128,
    panicking: u128,
}

impl Population {
    /// The value of a level that is a population; 0 for one that is none.
    #[inline(always)]
    pub(crate) const fn level(&self, level: Level) -> u64 {
        match level {
            Level::Concurrency => self.inside,
            Level::Waiting => self.waiting,
            Level::Starting => self.starting,
            Level::Ready => self.ready,
            Level::Draining => self.draining,
            Level::Busy => self.busy,
            Level::Panicking => self.panicking,
            Level::Wanted | Level::Proxied => 0,
        }
    }

    /// A level that is a population changes.
    #[inline(always)]
    pub(crate) const fn shift(&mut self, level: Level, change: i64) {
        let value = match level {
            Level::Concurrency => &mut self.inside,
            Level::Waiting => &mut self.waiting,
            Level::Starting => &mut self.starting,
            Level::Ready => &mut self.ready,
            Level::Draining => &mut self.draining,
            Level::Busy => &mut self.busy,
            Level::Panicking => &mut self.panicking,
            Level::Wanted | Level::Proxied => return,
        };
        *value = value.saturating_add_signed(change);
    }

    /// Instances that cost something.
    pub(crate) const fn alive(&self) -> u64 {
        self.starting + self.ready + self.draining
    }
}

impl Counters {
    /// Carries the integrals forward to `now`. Must come before every change of a population.
    #[inline]
    pub(crate) fn advance(&mut self, now: u64) {
        let elapsed = u128::from(now - self.last);
        if elapsed == 0 {
            return;
        }
        self.last = now;
        let (now, area) = (&self.now, &mut self.area);
        area.inside += u128::from(now.inside) * elapsed;
        area.waiting += u128::from(now.waiting) * elapsed;
        area.alive += u128::from(now.alive()) * elapsed;
        area.ready += u128::from(now.ready) * elapsed;
        area.busy += u128::from(now.busy) * elapsed;
        area.panicking += u128::from(now.panicking) * elapsed;
    }

    /// A population changes at `now`.
    #[inline(always)]
    pub(crate) fn shift(&mut self, now: u64, level: Level, change: i64) {
        self.advance(now);
        match level {
            Level::Ready => self.set_ready(self.now.ready.saturating_add_signed(change)),
            _ => self.now.shift(level, change),
        }
        if matches!(level, Level::Waiting | Level::Starting | Level::Ready | Level::Draining) {
            self.note_peaks();
        }
    }

    /// A request that is counted has left: how it ended, and how long it was inside.
    #[inline]
    pub(crate) fn left(&mut self, outcome: Outcome, inside_ns: u64) {
        self.sojourn += u128::from(inside_ns);
        match outcome {
            Outcome::Completed => self.completed += 1,
            Outcome::Rejected => self.rejected += 1,
            Outcome::TimedOut => self.timed_out += 1,
            Outcome::Failed | Outcome::InFlight => self.failed += 1,
        }
    }

    /// The number of ready instances becomes `ready`. Integrals must be up to date.
    fn set_ready(&mut self, ready: u64) {
        if self.last > self.ready_since {
            *self.ready_ns.entry(self.now.ready).or_default() += self.last - self.ready_since;
        }
        self.ready_since = self.last;
        self.now.ready = ready;
        self.max.ready = self.max.ready.max(ready);
    }

    /// Takes note of peaks after instances came or requests began to wait.
    #[inline]
    fn note_peaks(&mut self) {
        self.max.waiting = self.max.waiting.max(self.now.waiting);
        // `starting` of the maxima holds the peak of all that are alive.
        self.max.starting = self.max.starting.max(self.now.alive());
    }

    /// Forgets everything counted so far; populations stay. The warm-up is over.
    pub(crate) fn restart(&mut self, now: u64) {
        self.advance(now);
        let mut fresh = Counters { last: now, begin: now, ready_since: now, ..Counters::default() };
        fresh.now = self.now;
        fresh.max.ready = self.now.ready;
        fresh.note_peaks();
        *self = fresh;
    }

    /// Whether everything adds up: every request is accounted for once, and Little's law holds to
    /// the nanosecond. `inside` is how long those still here have been inside so far.
    pub(crate) fn adds_up(&self, in_flight: u64, inside: u128) -> bool {
        let ended = self.completed + self.rejected + self.timed_out + self.failed;
        let little = self.begin > 0 || self.area.inside == self.sojourn + inside;
        self.requests == ended + in_flight && little
    }

    /// Ready instances times nanoseconds.
    pub(crate) const fn ready_area(&self) -> u128 {
        self.area.ready
    }

    /// Busy instances times nanoseconds.
    pub(crate) const fn busy_area(&self) -> u128 {
        self.area.busy
    }

    /// The result at `end`, up to which the integrals must be complete.
    /// `in_flight` requests have been `inside` for so long together.
    pub(crate) fn result(
        &mut self,
        name: &str,
        end: u64,
        in_flight: u64,
        inside: u128,
    ) -> RevisionResult {
        self.advance(end);
        self.set_ready(self.now.ready);
        let span = (end - self.begin).max(1) as f64;
        let mean = |area: u128| area as f64 / span;
        let secs = |area: u128| area as f64 / NANOS_PER_SEC as f64;
        let area = self.area;
        let ready_histogram: BTreeMap<u64, f64> =
            self.ready_ns.iter().map(|(&n, &ns)| (n, ns as f64 / NANOS_PER_SEC as f64)).collect();
        RevisionResult {
            revision: name.to_owned(),
            requests: self.requests,
            completed: self.completed,
            rejected: self.rejected,
            timed_out: self.timed_out,
            failed: self.failed,
            in_flight,
            cold_starts: self.cold_starts,
            latency_ms: self.durations.latency.quantiles(),
            wait_ms: self.durations.wait.quantiles(),
            instances: Levels { mean: mean(area.ready), max: self.max.ready },
            instance_seconds: secs(area.alive),
            idle_share: idle_share(area.ready, area.busy),
            scale_events: self.scale_events,
            extra: Extra {
                concurrency_mean: mean(area.inside),
                time_in_system_seconds: secs(self.sojourn + inside),
                waiting_mean: mean(area.waiting),
                waiting_max: self.max.waiting,
                busy_mean: mean(area.busy),
                alive_max: self.max.starting,
                instances_started: self.started,
                panic_seconds: secs(area.panicking),
                retries: self.retries,
                decisions: self.decisions,
                ready_histogram,
            },
        }
    }
}

/// Share of ready time in which nothing was served; 0 when nothing was ever ready.
pub(crate) fn idle_share(ready: u128, busy: u128) -> f64 {
    if ready == 0 { 0.0 } else { (ready - busy.min(ready)) as f64 / ready as f64 }
}
