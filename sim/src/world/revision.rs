//! One revision: its instances, its lines, its accountant and who decides for it.
//!
//! What touches nothing but the revision is a method here, and only those see its fields: `lines`
//! (how requests come, wait and go), `members` (its instances), `reporting` (what its decider hears
//! and says), `urgency` (when it is looked at again). The world joins them where several meet.

mod members;
mod queues;
mod reporting;
mod urgency;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tidegate_admission::dispatcher::DispatcherSettings;
use tidegate_admission::{Depth, Dispatcher, Limit, Meter, Moment, Policy, QueueSettings};

use super::alarm::Alarm;
use super::counters::Counters;
use super::slots::Slots;
use super::urgency::UrgentDecisions;
use crate::events::NEVER;
use crate::random::{Stream, Streams};
use crate::scaler::{Explains, InstanceReport, Scaler};
use crate::scenario::{Balance, Contention, Keep, Path, Platform, RevisionModel, Sampling};
use crate::series::recorder::{Count, Level, SeriesRecorder};

/// Whether a revision has a beat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Beat {
    On,
    Off,
}

/// Whether each instance has an account and a line of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sidecars {
    /// The front door's limit and account say it all.
    Folded,
    /// Requests can come both ways, so each instance limits for itself.
    Limiting,
}

/// What will be asked about a revision.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) series: Keep,
    pub(crate) explains: Explains,
}

/// One revision.
pub(crate) struct Revision {
    index: u32,
    pub(crate) name: String,
    /// Shared by all revisions of the same model, so that a thousand of them stay near each other.
    pub(crate) model: Arc<RevisionModel>,
    pub(crate) tally: Counters,
    series: Option<SeriesRecorder>,
    limit: Limit,
    timeout_ns: u64,
    sidecars: Sidecars,
    line: QueueSettings,
    front: Dispatcher,
    /// The direct way: instances without limits, because they limit for themselves.
    ingress: Option<Dispatcher>,
    /// Which request holds which place in the front door's line.
    front_waiters: Slots,
    /// When the head of the front door's line is due.
    front_due: Alarm,
    /// Which instance has which slot at the front door.
    front_slots: Slots,
    /// Which instance has which slot on the direct way.
    ingress_slots: Slots,
    /// Everything in the system, or everything that came through the front door where each
    /// instance is asked by itself.
    meter: Meter,
    scaler: Scaler,
    /// Reports on their way.
    reports: VecDeque<(u64, InstanceReport)>,
    wanted: u32,
    /// What the policy wished for last.
    last_desired: i32,
    /// Averages of the last decision, for the series.
    windows: (f64, f64),
    /// Whether a waiting request was reported before the second was over.
    early_report: bool,
    /// When the last report was made.
    reported_at: u64,
    /// When there was last anything to do.
    busy_at: u64,
    /// Whether requests go through the front door also while instances are ready.
    proxied: bool,
    starting: Vec<u32>,
    /// In order of becoming ready.
    ready: Vec<u32>,
    draining: Vec<u32>,
    next_number: u32,
    beat: Beat,
    /// When the policy asked to be woken.
    wake: Alarm,
    /// Only in local mode: what the controller was told out of turn.
    attention: Option<Box<UrgentDecisions>>,
    service: Stream,
    start: Stream,
    chance: Stream,
}

fn admission_policy(balance: Balance, seed: u64) -> Policy {
    match balance {
        Balance::LeastLoaded => Policy::LeastLoaded,
        Balance::FirstAvailable => Policy::FirstAvailable,
        Balance::RoundRobin => Policy::RoundRobin,
        Balance::RandomOfTwo => Policy::RandomOfTwo { seed },
    }
}

impl Revision {
    /// A revision without instances, created at `now`.
    pub(crate) fn new(
        index: u32,
        name: &str,
        model: &Arc<RevisionModel>,
        streams: &Streams,
        now: u64,
        asked: Asked,
    ) -> Result<Self, String> {
        if let Some(problem) = problem_of(model) {
            return Err(problem);
        }
        let number = u64::from(index);
        let limit = Limit::from_wire(model.concurrency);
        let timeout = model.timeout.map(Duration::from);
        let (front, ingress) = dispatchers(model, streams.stream("balance", number).bits());
        let depth = model.queue_depth.map_or(QueueSettings::KNATIVE.depth, Depth::Count);
        Ok(Revision {
            index,
            name: name.to_owned(),
            model: Arc::clone(model),
            tally: Counters::default(),
            series: (asked.series == Keep::Yes).then(SeriesRecorder::new),
            limit,
            timeout_ns: model.timeout.map_or(NEVER, |span| span.as_nanos()),
            sidecars: match model.path {
                Path::Central => Sidecars::Folded,
                Path::Auto | Path::Direct => Sidecars::Limiting,
            },
            line: QueueSettings { depth, longest_wait: timeout },
            front,
            ingress,
            front_waiters: Slots::default(),
            front_due: Alarm::OFF,
            front_slots: Slots::default(),
            ingress_slots: Slots::default(),
            meter: Meter::new(Moment::from_nanos(now)),
            scaler: Scaler::new(model, now, asked.explains)?,
            reports: VecDeque::new(),
            wanted: 0,
            last_desired: -1,
            windows: (0.0, 0.0),
            early_report: false,
            reported_at: now,
            busy_at: now,
            proxied: true,
            starting: Vec::new(),
            ready: Vec::new(),
            draining: Vec::new(),
            next_number: 0,
            beat: Beat::Off,
            wake: Alarm::OFF,
            attention: (model.platform != Platform::Cluster)
                .then(|| UrgentDecisions::new(now).into()),
            service: streams.stream("service", number),
            start: streams.stream("start-up", number),
            chance: streams.stream("chance", number),
        })
    }

    /// Whether each instance is asked for its own report.
    fn asks_each(&self) -> bool {
        self.model.reporting.sampling == Sampling::Knative && self.model.path != Path::Central
    }

    /// Whether the policy is asked at every arrival and departure instead of every tick.
    #[inline]
    pub(crate) fn is_exact(&self) -> bool {
        self.scaler.is_exact()
    }

    /// Whether an instance's own line has a say, or the front door's says it all.
    #[inline]
    pub(crate) fn has_folded_sidecars(&self) -> bool {
        self.sidecars == Sidecars::Folded
    }

    /// Whether requests go through the front door also while instances are ready.
    pub(crate) fn is_proxied(&self) -> bool {
        self.proxied
    }

    /// Instances asked for.
    pub(crate) fn wanted(&self) -> u32 {
        self.wanted
    }

    /// Whether requests that share an instance slow each other.
    #[inline]
    pub(crate) fn contends(&self) -> bool {
        self.model.contention != Contention::None
    }

    /// When a request is given up that arrived at `arrived`.
    #[inline]
    pub(crate) fn deadline(&self, arrived: u64) -> u64 {
        arrived.saturating_add(self.timeout_ns)
    }

    /// How long a client waits before its next try, after so many.
    pub(crate) fn pause_ns(&mut self, tries: u32) -> u64 {
        let pause = self.model.retry.backoff.sample(&mut self.chance).as_nanos();
        pause.saturating_mul(1 << tries.min(32))
    }

    /// Counts something that happened, in the series.
    #[inline]
    pub(crate) fn count(&mut self, now: u64, count: Count) {
        if let Some(series) = &mut self.series {
            series.count(now, count);
        }
    }

    /// Draws the present value of a level into the series.
    #[inline(always)]
    pub(crate) fn draw(&mut self, now: u64, level: Level) {
        if let Some(series) = &mut self.series {
            let value = match level {
                Level::Wanted => u64::from(self.wanted),
                Level::Proxied => u64::from(self.proxied),
                _ => self.tally.now.level(level),
            };
            series.set(now, level, value);
        }
    }

    /// The series, which stands still from here on.
    pub(crate) fn series_mut(&mut self) -> &mut Option<SeriesRecorder> {
        &mut self.series
    }
}

/// The front door, and the direct way where there is one.
fn dispatchers(model: &RevisionModel, seed: u64) -> (Dispatcher, Option<Dispatcher>) {
    let front = Dispatcher::new(DispatcherSettings {
        policy: admission_policy(model.front_door_balance, seed),
        max_waiting: model.front_door_capacity,
        longest_wait: model.timeout.map(Duration::from),
    });
    let ingress = (model.path != Path::Central).then(|| {
        Dispatcher::new(DispatcherSettings {
            policy: admission_policy(model.balance, seed.rotate_left(32)),
            max_waiting: 0,
            longest_wait: None,
        })
    });
    (front, ingress)
}

/// What makes no sense in a model.
fn problem_of(model: &RevisionModel) -> Option<String> {
    let loss = model.reporting.loss;
    if !(0.0..=1.0).contains(&loss) {
        return Some(format!("the share of lost reports is {loss}, expected 0 to 1"));
    }
    model.contention.problem()
}
