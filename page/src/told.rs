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
use crate::source::SiteSeen;
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
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sites: Vec<SiteSeen>,
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
    #[serde(skip_serializing_if = "String::is_empty")]
    site: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    is_old: bool,
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
                .of(&row.id())
                .map(|trail| trail.in_flight(snapshot.at_ms, SPARK_STEP_MS, SPARK_COUNT));
            FleetRow {
                site: row.site.to_string(),
                is_old: row.is_old,
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
            sites: snapshot.sites.clone(),
            trail,
        }
    }
}

/// One revision. What did not change since it was told is left out.
#[derive(Debug, Serialize)]
pub(crate) struct Revision {
    pub(crate) now: i64,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) site: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) state: Option<SiteSeen>,
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
pub struct Settings {
    /// What is weighed, in words.
    pub metric: &'static str,
    /// What one instance should carry of it.
    pub target: f64,
    /// What one instance may carry of it.
    pub total: f64,
    /// The stable window, in milliseconds.
    pub stable_window_ms: u64,
    /// How many times what is ready the panic window must want.
    pub panic_threshold: f64,
    /// How many times what is ready may be wanted.
    pub max_scale_up_rate: f64,
    /// By how many times fewer may be wanted.
    pub max_scale_down_rate: f64,
    /// For how long more stay wanted, in milliseconds.
    pub scale_down_delay_ms: u64,
    /// The burst that is to fit.
    pub target_burst_capacity: f64,
    /// The fewest instances out of zero.
    pub activation_scale: i32,
}

/// What is weighed where requests in flight are.
pub const IN_FLIGHT_METRIC: &str = "requests in flight";

/// What is weighed where requests a second are.
pub const RATE_METRIC: &str = "requests a second";

impl Settings {
    /// Those of a revision that Knative's algorithm decides for; others have none of these.
    pub(crate) fn of(declaration: &Declaration) -> Option<Self> {
        let PolicyChoice::Knative(settings) = &declaration.policy else { return None };
        let spec = &settings.spec;
        Some(Self {
            metric: match spec.scaling_metric {
                ScalingMetric::Concurrency => IN_FLIGHT_METRIC,
                ScalingMetric::RequestRate => RATE_METRIC,
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

/// A decision.
#[derive(Debug, Serialize)]
pub struct Decision {
    /// Its number among those of the revision.
    pub number: u64,
    /// When, in Unix milliseconds.
    pub at: i64,
    /// Instances wanted before.
    pub before: i32,
    /// Instances wanted since.
    pub after: i32,
    /// Whether panic mode was on.
    pub in_panic: bool,
    /// Why, in a sentence or two.
    pub reason: String,
}

impl Decision {
    pub(crate) fn of(number: u64, record: &DecisionRecord) -> Self {
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
pub struct Instances {
    told: Vec<Instance>,
    more: usize,
}

/// An instance.
#[derive(Debug, Serialize)]
pub struct Instance {
    /// Its name.
    pub name: String,
    /// What it is doing, in a word or two.
    pub phase: &'static str,
    /// Requests at it.
    pub in_flight: u32,
}

impl Instances {
    /// Those that are told, of a revision that has as many as its numbers say.
    #[must_use]
    pub fn new(told: Vec<Instance>, of: &Overview) -> Self {
        let phases = [of.ready, of.starting, of.draining, of.frozen];
        let all: u64 = phases.into_iter().map(u64::from).sum();
        let all = usize::try_from(all).unwrap_or(usize::MAX);
        let more = all.saturating_sub(told.len());
        Self { told, more }
    }

    pub(crate) fn of(told: &[InstanceStatus], of: &Overview) -> Self {
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
        Self::new(told.iter().map(instance).collect(), of)
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
