//! What a browser is told, as JSON. Everything is data: no text is prepared as markup.

use serde::Serialize;
use serde_json::value::RawValue;
use tidegate_autoscaler::ScalingMetric;
use tidegate_controller::instance::Phase;
use tidegate_controller::journal::DecisionRecord;
use tidegate_controller::overview::Overview;
use tidegate_controller::routes::{RolloutStatus, RouteStatus};
use tidegate_controller::status::InstanceStatus;
use tidegate_controller::{ColdStart, Declaration, PolicyChoice};
use tidegate_rollout::Phase as RolloutPhase;

use crate::fleet::{Row, Selected, Snapshot};
use crate::sampler::Trails;
use crate::trail::{Columns, Load, Point, Trail, rounded};

/// Values of the small line in a row: what sixty pixels show.
const SPARK_COUNT: usize = 30;

/// Time between two of them, in milliseconds: together they are a minute.
const SPARK_STEP_MS: i64 = 2_000;

/// Letters of a reason; the longest that the library makes have some four hundred.
const REASON_LETTERS_MAX: usize = 1_000;

/// Routes that are told: more are searched for by name in their file.
const ROUTES_MAX: usize = 200;

/// Shares that are told of one route.
const SHARES_MAX: usize = 32;

/// One page of the table of revisions.
#[derive(Debug, Serialize)]
pub(crate) struct Fleet {
    now: i64,
    period_ms: u64,
    all: usize,
    found: usize,
    from: usize,
    rows: Vec<FleetRow>,
    #[serde(flatten)]
    trail: News,
}

/// The whole trail at first, then its newest point.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum News {
    Past(Columns),
    Point(Columns),
}

#[derive(Debug, Serialize)]
struct FleetRow {
    namespace: String,
    name: String,
    desired: i32,
    ready: u32,
    starting: u32,
    draining: u32,
    in_flight: u32,
    waiting: u32,
    rate: f32,
    failed: f32,
    in_panic: bool,
    is_hindered: bool,
    spark: Vec<f32>,
}

impl News {
    pub(crate) fn past(trail: &Trail) -> Self {
        Self::Past(trail.columns())
    }

    pub(crate) fn point(at_ms: i64, load: Load) -> Self {
        Self::Point(Columns::of(&Point { at_ms, load }))
    }
}

impl Fleet {
    pub(crate) fn new(
        snapshot: &Snapshot,
        selected: &Selected<'_>,
        trails: &Trails,
        trail: News,
    ) -> Self {
        let row = |row: &&Row| {
            let id = &row.overview.revision;
            let spark = trails
                .of(id)
                .map(|trail| trail.in_flight(snapshot.at_ms, SPARK_STEP_MS, SPARK_COUNT));
            FleetRow {
                namespace: id.namespace().to_owned(),
                name: id.name().to_owned(),
                desired: row.overview.desired,
                ready: row.overview.ready,
                starting: row.overview.starting,
                draining: row.overview.draining,
                in_flight: row.overview.in_flight,
                waiting: row.overview.waiting,
                rate: rounded(row.rate),
                failed: rounded(row.failed),
                in_panic: row.overview.in_panic,
                is_hindered: row.overview.is_hindered,
                spark: spark.unwrap_or_default(),
            }
        };
        Self {
            now: snapshot.at_ms,
            period_ms: snapshot.period_ms,
            all: snapshot.rows.len(),
            found: selected.found,
            from: selected.from,
            rows: selected.rows.iter().map(row).collect(),
            trail,
        }
    }
}

/// One revision. What did not change since it was told is left out.
#[derive(Debug, Serialize)]
pub(crate) struct Revision {
    pub(crate) now: i64,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) figures: Figures,
    #[serde(flatten)]
    pub(crate) trail: News,
    pub(crate) decisions: Vec<Decision>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) settings: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) instances: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cold_starts: Option<Box<RawValue>>,
}

/// A revision that is none, or none any more.
#[derive(Debug, Serialize)]
pub(crate) struct Gone {
    pub(crate) now: i64,
    pub(crate) gone: bool,
}

#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    desired: i32,
    ready: u32,
    starting: u32,
    draining: u32,
    in_flight: u32,
    waiting: u32,
    stable: Option<f64>,
    panic: Option<f64>,
    target: Option<f64>,
    rate: f32,
    failed: f32,
    in_panic: bool,
    is_hindered: bool,
    frozen: u32,
    min: i32,
    max: i32,
    is_pinned: bool,
    container_concurrency: u32,
}

impl Figures {
    pub(crate) fn new(of: &Overview, rate: f32, failed: f32) -> Self {
        Self {
            desired: of.desired,
            ready: of.ready,
            starting: of.starting,
            draining: of.draining,
            in_flight: of.in_flight,
            waiting: of.waiting,
            stable: of.windows.map(|windows| windows.stable),
            panic: of.windows.map(|windows| windows.panic),
            target: of.windows.map(|windows| windows.target),
            rate: rounded(rate),
            failed: rounded(failed),
            in_panic: of.in_panic,
            is_hindered: of.is_hindered,
            frozen: of.frozen,
            min: of.bounds.0,
            max: of.bounds.1,
            is_pinned: of.is_pinned,
            container_concurrency: of.container_concurrency,
        }
    }
}

/// Numbers that decisions are computed from, in the order in which they are shown.
#[derive(Debug, Serialize)]
pub(crate) struct Settings {
    metric: &'static str,
    target: f64,
    total: f64,
    stable_window_ms: u64,
    panic_threshold: f64,
    max_scale_up_rate: f64,
    max_scale_down_rate: f64,
    scale_down_delay_ms: u64,
    target_burst_capacity: f64,
    activation_scale: i32,
}

impl Settings {
    /// Those of a revision that Knative's algorithm decides for; others have none of these.
    pub(crate) fn of(declaration: &Declaration) -> Option<Self> {
        let PolicyChoice::Knative(settings) = &declaration.policy else { return None };
        let spec = &settings.spec;
        Some(Self {
            metric: match spec.scaling_metric {
                ScalingMetric::Concurrency => "requests in flight",
                ScalingMetric::RequestRate => "requests a second",
            },
            target: spec.target_value,
            total: spec.total_value,
            stable_window_ms: spec.stable_window_ms,
            panic_threshold: spec.panic_threshold,
            max_scale_up_rate: spec.max_scale_up_rate,
            max_scale_down_rate: spec.max_scale_down_rate,
            scale_down_delay_ms: spec.scale_down_delay_ms,
            target_burst_capacity: spec.target_burst_capacity,
            activation_scale: spec.activation_scale,
        })
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct Decision {
    number: u64,
    at: i64,
    before: i32,
    after: i32,
    in_panic: bool,
    reason: String,
}

impl Decision {
    pub(crate) fn new(number: u64, record: &DecisionRecord) -> Self {
        let reason = record.to_string();
        Self {
            number,
            at: record.unix_ms,
            before: record.before,
            after: record.replicas(),
            in_panic: record.in_panic(),
            reason: reason.chars().take(REASON_LETTERS_MAX).collect(),
        }
    }
}

/// The instances of a revision: those that are told, and how many more there are.
#[derive(Debug, Serialize)]
pub(crate) struct Instances {
    told: Vec<Instance>,
    more: usize,
}

#[derive(Debug, Serialize)]
struct Instance {
    name: String,
    phase: &'static str,
    in_flight: u32,
}

impl Instances {
    pub(crate) fn new(told: &[InstanceStatus], of: &Overview) -> Self {
        let phases = [of.ready, of.starting, of.draining, of.frozen];
        let all: u64 = phases.into_iter().map(u64::from).sum();
        let all = usize::try_from(all).unwrap_or(usize::MAX);
        let instance = |instance: &InstanceStatus| Instance {
            name: instance.name.to_string(),
            phase: match instance.phase {
                Phase::Starting => "starting",
                Phase::Ready => "ready",
                Phase::Unready => "not ready",
                Phase::Draining => "draining",
                Phase::Freezing | Phase::Frozen => "frozen",
            },
            in_flight: instance.in_flight,
        };
        let more = all.saturating_sub(told.len());
        Self { told: told.iter().map(instance).collect(), more }
    }
}

/// A request that met no ready instance.
#[derive(Debug, Serialize)]
pub(crate) struct Waterfall {
    at: i64,
    instance: String,
    total_us: u64,
    phases: Vec<ColdPhase>,
}

#[derive(Debug, Serialize)]
struct ColdPhase {
    name: &'static str,
    meaning: &'static str,
    from_us: u64,
    length_us: u64,
}

impl From<&ColdStart> for Waterfall {
    fn from(start: &ColdStart) -> Self {
        let micros =
            |time: std::time::Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let phase = |phase: tidegate_timeline::timeline::Phase| ColdPhase {
            name: phase.moment.phase(),
            meaning: phase.moment.meaning(),
            from_us: micros(phase.from),
            length_us: micros(phase.length),
        };
        Self {
            at: start.seen_unix_ms,
            instance: start.instance.to_string(),
            total_us: micros(start.timeline.total()),
            phases: start.timeline.phases().map(phase).collect(),
        }
    }
}

/// Routes and their rollouts.
#[derive(Debug, Serialize)]
pub(crate) struct Routes {
    now: i64,
    all: usize,
    routes: Vec<Route>,
}

#[derive(Debug, Serialize)]
struct Route {
    name: String,
    hosts: Vec<String>,
    path: String,
    answer: String,
    shares: Vec<RouteShare>,
    rollout: Option<Rollout>,
}

#[derive(Debug, Serialize)]
struct RouteShare {
    revision: String,
    millionths: u32,
}

#[derive(Debug, Serialize)]
struct Rollout {
    phase: &'static str,
    new_permille: u16,
    progress: String,
    last_change: Option<(i64, String)>,
}

impl Routes {
    pub(crate) fn new(now: i64, statuses: &[RouteStatus]) -> Self {
        let route = |status: &RouteStatus| Route {
            name: status.route.name.clone(),
            hosts: status.hosts(),
            path: status.path(),
            answer: status.answer(),
            shares: status
                .shares
                .iter()
                .take(SHARES_MAX)
                .map(|(revision, share)| RouteShare {
                    revision: revision.to_string(),
                    millionths: share.millionths(),
                })
                .collect(),
            rollout: status.rollout.as_ref().map(rollout),
        };
        // Those that move come first: they are what people look for.
        let moving = statuses.iter().filter(|status| status.rollout.is_some());
        let still = statuses.iter().filter(|status| status.rollout.is_none());
        let routes = moving.chain(still).take(ROUTES_MAX).map(route).collect();
        Self { now, all: statuses.len(), routes }
    }
}

fn rollout(status: &RolloutStatus) -> Rollout {
    Rollout {
        phase: match status.phase {
            None => "waiting",
            Some(RolloutPhase::Progressing) => "progressing",
            Some(RolloutPhase::Paused) => "paused",
            Some(RolloutPhase::Promoted) => "promoted",
            Some(RolloutPhase::Returned) => "returned",
            Some(RolloutPhase::Aborted) => "aborted",
        },
        new_permille: status.new_permille,
        progress: status.progress.clone(),
        last_change: status.last_change.clone().map(|(at, what)| (at.as_millis(), what)),
    }
}
