//! One revision: its instances, its lines, its accountant and who decides for it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tidegate_admission::dispatcher::DispatcherSettings;
use tidegate_admission::{Depth, Dispatcher, Limit, LineSettings, Meter, Moment, Policy};

use super::attention::Attention;
use super::tally::Tally;
use crate::events::Tag;
use crate::random::{Stream, Streams};
use crate::scaler::{Explains, Report, Scaler};
use crate::scenario::{Balance, Contention, Keep, Path, Platform, RevisionModel, Sampling};
use crate::series::recorder::SeriesRecorder;

/// Whether a revision has a beat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beat {
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
    pub(crate) name: String,
    /// Shared by all revisions of the same model, so that a thousand of them stay near each other.
    pub(crate) model: Arc<RevisionModel>,
    pub(crate) limit: Limit,
    pub(crate) timeout_ns: u64,
    pub(crate) sidecars: Sidecars,
    pub(crate) line: LineSettings,
    pub(crate) front: Dispatcher,
    /// The direct way: instances without limits, because they limit for themselves.
    pub(crate) ingress: Option<Dispatcher>,
    /// Which request holds which place in the front door's line.
    pub(crate) front_waiters: Vec<u32>,
    /// When the head of the front door's line is due.
    pub(crate) front_due: Tag,
    pub(crate) front_due_at: u64,
    /// Which instance has which slot at the front door.
    pub(crate) front_slots: Vec<u32>,
    /// Which instance has which slot on the direct way.
    pub(crate) ingress_slots: Vec<u32>,
    /// Everything in the system, or everything that came through the front door where each
    /// instance is asked by itself.
    pub(crate) meter: Meter,
    pub(crate) scaler: Scaler,
    /// Reports on their way.
    pub(crate) reports: VecDeque<(u64, Report)>,
    pub(crate) wanted: u32,
    /// What the policy wished for last.
    pub(crate) last_desired: i32,
    /// Averages of the last decision, for the series.
    pub(crate) windows: (f64, f64),
    /// Whether a waiting request was reported before the second was over.
    pub(crate) early_report: bool,
    /// When the last report was made.
    pub(crate) reported_at: u64,
    /// When there was last anything to do.
    pub(crate) busy_at: u64,
    /// Whether requests go through the front door also while instances are ready.
    pub(crate) proxied: bool,
    pub(crate) starting: Vec<u32>,
    /// In order of becoming ready.
    pub(crate) ready: Vec<u32>,
    pub(crate) draining: Vec<u32>,
    pub(crate) next_number: u32,
    pub(crate) beat: Beat,
    /// When the policy asked to be woken.
    pub(crate) wake: Tag,
    pub(crate) wake_at: u64,
    /// Only in local mode: what the controller was told out of turn.
    pub(crate) attention: Option<Box<Attention>>,
    pub(crate) service: Stream,
    pub(crate) start: Stream,
    pub(crate) chance: Stream,
    pub(crate) tally: Tally,
    pub(crate) series: Option<SeriesRecorder>,
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
        let index = u64::from(index);
        let limit = Limit::from_wire(model.concurrency);
        let timeout = model.timeout.map(Duration::from);
        let seed = streams.stream("balance", index).bits();
        let front = Dispatcher::new(DispatcherSettings {
            policy: admission_policy(model.front_door_balance, seed),
            max_waiting: model.front_door_capacity,
            longest_wait: timeout,
        });
        let ingress = (model.path != Path::Central).then(|| {
            Dispatcher::new(DispatcherSettings {
                policy: admission_policy(model.balance, seed.rotate_left(32)),
                max_waiting: 0,
                longest_wait: None,
            })
        });
        let depth = model.queue_depth.map_or(LineSettings::KNATIVE.depth, Depth::Count);
        Ok(Revision {
            name: name.to_owned(),
            model: Arc::clone(model),
            limit,
            timeout_ns: model.timeout.map_or(super::NEVER, |span| span.as_nanos()),
            sidecars: match model.path {
                Path::Central => Sidecars::Folded,
                Path::Auto | Path::Direct => Sidecars::Limiting,
            },
            line: LineSettings { depth, longest_wait: timeout },
            front,
            ingress,
            front_waiters: Vec::new(),
            front_due: Tag::NONE,
            front_due_at: super::NEVER,
            front_slots: Vec::new(),
            ingress_slots: Vec::new(),
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
            wake: Tag::NONE,
            wake_at: super::NEVER,
            attention: (model.platform != Platform::Cluster).then(|| Attention::new(now).into()),
            service: streams.stream("service", index),
            start: streams.stream("start-up", index),
            chance: streams.stream("chance", index),
            tally: Tally::default(),
            series: (asked.series == Keep::Yes).then(SeriesRecorder::new),
        })
    }

    /// Instances that are there or on their way, and not on their way out.
    pub(crate) fn staying(&self) -> u32 {
        (self.starting.len() + self.ready.len()) as u32
    }

    /// Whether each instance is asked for its own report.
    pub(crate) fn asks_each(&self) -> bool {
        self.model.reporting.sampling == Sampling::Knative && self.model.path != Path::Central
    }

    /// Whether requests that share an instance slow each other.
    pub(crate) fn contends(&self) -> bool {
        self.model.contention != Contention::None
    }
}

/// What makes no sense in a model.
fn problem_of(model: &RevisionModel) -> Option<String> {
    let loss = model.reporting.loss;
    if !(0.0..=1.0).contains(&loss) {
        return Some(format!("the share of lost reports is {loss}, expected 0 to 1"));
    }
    model.contention.problem()
}
