//! What a browser is told, as JSON. Everything is data: no text is prepared as markup.

use serde::Serialize;
use serde_json::value::RawValue;
use tidegate_controller::ColdStart;
use tidegate_controller::overview::Overview;
use tidegate_controller::routes::{RolloutStatus, RouteStatus};
use tidegate_rollout::Phase as RolloutPhase;

use crate::answer::Decision;
use crate::fleet::{Row, Selected, Snapshot};
use crate::sampler::Trails;
use crate::source::SiteSeen;
use crate::trail::{Columns, Load, Point, Trail, rounded};

/// Values of the small line in a row: what sixty pixels show.
const SPARK_COUNT: usize = 30;

/// Time between two of them, in milliseconds: together they are a minute.
const SPARK_STEP_MS: i64 = 2_000;

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
