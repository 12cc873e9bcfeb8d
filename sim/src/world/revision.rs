//! One revision: its instances, its queues, its load meter and its autoscaler.
//!
//! Whatever touches one revision only is a method here, and only these methods see its fields:
//! `queues` (arrival, waiting and departure of requests), `members` (its instances), `reporting`
//! (load reports and decisions), `rest` (sleep while they stay what they are), `reporters` (who
//! counts that load), `told` (what local mode's controller makes of it), `urgency` (wake-ups and
//! local mode's early reports). The world combines them with nodes, requests and the event queue.

mod members;
mod queues;
mod reporters;
mod reporting;
mod rest;
mod told;
mod urgency;

pub(crate) use reporting::OwnWake;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tidegate_admission::dispatcher::DispatcherSettings;
use tidegate_admission::{Depth, Dispatcher, Limit, Policy, QueueSettings};

use self::reporters::Reporters;
use self::told::Told;
use super::alarm::Alarm;
use super::counters::Counters;
use super::drawn::Drawn;
use super::slots::Slots;
use super::urgency::UrgentDecisions;
use crate::events::NEVER;
use crate::random::{Stream, Streams};
use crate::scaler::{Explains, InstanceReport, Rules, Scaler};
use crate::scenario::{Balance, Contention, Keep, Path, Platform, RevisionModel, Sampling};
use crate::series::recorder::{Level, SeriesRecorder};

/// Whether a revision takes part in the tick of every whole second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ticking {
    On,
    Off,
    /// It would in each, and sleeps since the tick of one time to that of another.
    Asleep {
        since: u64,
        until: u64,
    },
}

/// Whether each instance's sidecar is modelled: its own limit, queue and meter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sidecars {
    /// Every request comes through the activator, whose limit and meter already cover it.
    Folded,
    /// Requests may bypass the activator, so each instance enforces its limit itself.
    Limiting,
}

/// What is recorded of a revision.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) series: Keep,
    pub(crate) explains: Explains,
}

/// One revision.
pub(crate) struct Revision {
    index: u32,
    pub(crate) name: String,
    /// Shared by all revisions of the same model: a thousand of them then stay in the cache.
    pub(crate) model: Arc<RevisionModel>,
    pub(crate) counters: Counters,
    series: Option<SeriesRecorder>,
    limit: Limit,
    timeout_ns: u64,
    sidecars: Sidecars,
    queue: QueueSettings,
    front: Dispatcher,
    /// The direct way: instances without limits, because they limit for themselves.
    ingress: Option<Dispatcher>,
    /// The request in each place of the activator's queue.
    front_waiters: Slots,
    /// When the head of the activator's queue reaches its longest wait.
    front_due: Alarm,
    /// The instance in each slot of the activator's dispatcher.
    front_slots: Slots,
    /// The instance in each slot of the ingress's dispatcher.
    ingress_slots: Slots,
    /// The load that is reported of it; where instances are scraped one by one, each has a meter of
    /// its own besides.
    reporters: Reporters,
    told: Told,
    scaler: Scaler,
    /// Reports in flight to the autoscaler, with the time of their arrival, nanoseconds.
    reports: VecDeque<(u64, InstanceReport)>,
    wanted: u32,
    /// Instances that wait for their turn to start.
    pub(crate) in_line: u32,
    /// The policy's last recommendation; -1 before the first one.
    last_desired: i32,
    /// Averages of the last decision, for the series.
    windows: (f64, f64),
    /// When the revision last had requests, instances or reports, nanoseconds.
    busy_at: u64,
    /// Whether requests go through the activator also while instances are ready.
    proxied: bool,
    starting: Vec<u32>,
    /// In order of becoming ready.
    ready: Vec<u32>,
    draining: Vec<u32>,
    next_number: u32,
    ticking: Ticking,
    /// Its place among those that tick: how many became active before it.
    pub(crate) activation: u64,
    /// When it is to be looked at because it sleeps, or slept until then.
    pub(crate) listed_at: u64,
    /// The wake-up that the policy asked for.
    wake: Alarm,
    /// Only in local mode: when the activator reports between two ticks.
    urgent: Option<Box<UrgentDecisions>>,
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
        (model, rules): (&Arc<RevisionModel>, Rules),
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
            counters: Counters::default(),
            series: (asked.series == Keep::Yes).then(SeriesRecorder::new),
            limit,
            timeout_ns: model.timeout.map_or(NEVER, |span| span.as_nanos()),
            sidecars: match model.path {
                Path::Central => Sidecars::Folded,
                Path::Auto | Path::Direct => Sidecars::Limiting,
            },
            queue: QueueSettings { depth, longest_wait: timeout },
            front,
            ingress,
            front_waiters: Slots::default(),
            front_due: Alarm::OFF,
            front_slots: Slots::default(),
            ingress_slots: Slots::default(),
            reporters: Reporters::new(now),
            told: Told::new(now, model.platform.into_second().as_nanos()),
            scaler: Scaler::new(model, rules, now, asked.explains)?,
            reports: VecDeque::new(),
            wanted: 0,
            in_line: 0,
            last_desired: -1,
            windows: (0.0, 0.0),
            busy_at: now,
            proxied: true,
            starting: Vec::new(),
            ready: Vec::new(),
            draining: Vec::new(),
            next_number: 0,
            ticking: Ticking::Off,
            activation: 0,
            listed_at: NEVER,
            wake: Alarm::OFF,
            urgent: (model.platform != Platform::Cluster).then(|| UrgentDecisions::new(now).into()),
            service: streams.stream("service", number),
            start: streams.stream("start-up", number),
            chance: streams.stream("chance", number),
        })
    }

    /// Whether the autoscaler scrapes instances one by one, as Knative's does.
    #[inline]
    pub(crate) fn asks_each(&self) -> bool {
        self.model.reporting.sampling == Sampling::Knative && self.model.path != Path::Central
    }

    /// Whether the policy is asked at every arrival and departure instead of every tick.
    #[inline]
    pub(crate) fn is_exact(&self) -> bool {
        self.scaler.is_exact()
    }

    /// Whether only a decision is to be looked at again when time has passed, not a new one made.
    pub(crate) fn has_lifecycle(&self) -> bool {
        self.scaler.has_lifecycle()
    }

    /// Whether the activator's limit and meter stand for those of the sidecars.
    #[inline]
    pub(crate) fn has_folded_sidecars(&self) -> bool {
        self.sidecars == Sidecars::Folded
    }

    /// Whether requests go through the activator also while instances are ready.
    pub(crate) fn is_proxied(&self) -> bool {
        self.proxied
    }

    /// Instances that the last decision asked for.
    pub(crate) fn wanted(&self) -> u32 {
        self.wanted
    }

    /// Whether requests that share an instance slow each other.
    #[inline]
    pub(crate) fn contends(&self) -> bool {
        self.model.contention != Contention::None
    }

    /// When a request that arrived at `arrived` times out, nanoseconds.
    #[inline]
    pub(crate) fn deadline(&self, arrived: u64) -> u64 {
        arrived.saturating_add(self.timeout_ns)
    }

    /// A client's pause before its next try, after `tries` of them; it doubles each time.
    pub(crate) fn pause_ns(&mut self, tries: u32) -> u64 {
        let pause = self.model.retry.backoff.sample(&mut self.chance).as_nanos();
        pause.saturating_mul(1 << tries.min(32))
    }
}

impl Drawn for Revision {
    #[inline(always)]
    fn level(&self, level: Level) -> u64 {
        match level {
            Level::Wanted => u64::from(self.wanted),
            Level::Proxied => u64::from(self.proxied),
            _ => self.counters.now.level(level),
        }
    }

    #[inline(always)]
    fn series_mut(&mut self) -> &mut Option<SeriesRecorder> {
        &mut self.series
    }
}

/// The activator's dispatcher, and the ingress's where requests may bypass the activator.
fn dispatchers(model: &RevisionModel, seed: u64) -> (Dispatcher, Option<Dispatcher>) {
    let front = Dispatcher::new(DispatcherSettings {
        policy: admission_policy(model.front_door_balance, seed),
        max_waiting: model.front_door_capacity,
        longest_wait: model.timeout.map(Duration::from),
        ..DispatcherSettings::default()
    });
    let ingress = (model.path != Path::Central).then(|| {
        Dispatcher::new(DispatcherSettings {
            policy: admission_policy(model.balance, seed.rotate_left(32)),
            max_waiting: 0,
            ..DispatcherSettings::default()
        })
    });
    (front, ingress)
}

/// The first setting of a model that is out of range, in words for the user.
fn problem_of(model: &RevisionModel) -> Option<String> {
    let loss = model.reporting.loss;
    if !(0.0..=1.0).contains(&loss) {
        return Some(format!("the share of lost reports is {loss}, expected 0 to 1"));
    }
    model.contention.problem()
}
