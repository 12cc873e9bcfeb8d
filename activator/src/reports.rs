//! Reports the load of each revision to the controller, and to Knative's autoscaler where that is
//! wanted: each second, and at once when a queue forms.

use std::sync::Arc;
use std::time::Duration;

use tidegate_proto::stats::v1 as wire;
use tidegate_proto::stats::v1::Stat;
use tidegate_reporter::clock::now_unix_ms;
use tidegate_reporter::{
    DEFAULT_INTERVAL, Directives, INTERVAL_MIN, QueueWatch, ShardReporter, WaitingQueue,
};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

use crate::knative_autoscaler::{KnativeAutoscaler, Ledger, Turn};
use crate::revision_throttler::{ColdStart, PeriodStats, RevisionThrottler};

impl WaitingQueue for RevisionThrottler {
    async fn formed(&self) {
        self.queue_formed().await;
    }

    fn waiting(&self) -> u32 {
        self.status().waiting
    }
}

/// Who is told of the load.
#[derive(Debug, Clone)]
pub(crate) struct Listeners {
    /// Our controller, if there is one, or all shards of it.
    pub(crate) controller: Option<ShardReporter>,
    /// Knative's autoscaler, if it is told as well.
    pub(crate) knative: Option<KnativeAutoscaler>,
}

/// Reports one revision until it is cancelled. Never waits for who listens.
pub(crate) async fn report(
    throttler: Arc<RevisionThrottler>,
    listeners: Listeners,
    mut directives: watch::Receiver<Directives>,
) {
    let mut ledger = Ledger::new();
    let mut period = OpenPeriod::begin();
    let mut queue = QueueWatch::default();
    let mut interval = report_interval(&directives);
    loop {
        let mut ticks = tokio::time::interval_at(Instant::now() + interval, interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while interval == report_interval(&directives) {
            let turn = tokio::select! {
                biased;
                changed = directives.changed() => {
                    if changed.is_err() {
                        // Whoever read the reports is gone.
                        return;
                    }
                    continue;
                }
                _ = ticks.tick() => Turn::Due,
                () = queue.news(&*throttler) => Turn::Early,
            };
            let stat = period.close(&throttler, &directives.borrow());
            match turn {
                Turn::Due => queue.reported_in_turn(stat.waiting),
                Turn::Early => queue.reported_early(stat.waiting),
            }
            if let Some(knative) = &listeners.knative {
                knative.hear(&mut ledger, throttler.revision(), &stat, turn);
            }
            if let Some(controller) = &listeners.controller {
                controller.report(stat);
            }
        }
        interval = report_interval(&directives);
    }
}

/// Reports these revisions to Knative's autoscaler, where there is no controller that names others.
pub(crate) async fn report_to_knative(
    throttlers: Vec<Arc<RevisionThrottler>>,
    knative: KnativeAutoscaler,
) {
    // Nobody gives directives: what holds without them holds for as long as this lives.
    let (_nobody, directives) = watch::channel(Directives::default());
    let listeners = Listeners { controller: None, knative: Some(knative) };
    let mut reporting = JoinSet::new();
    for throttler in throttlers {
        reporting.spawn(report(throttler, listeners.clone(), directives.clone()));
    }
    while reporting.join_next().await.is_some() {}
}

fn report_interval(directives: &watch::Receiver<Directives>) -> Duration {
    let interval_ms = directives.borrow().report_interval_ms;
    interval_ms
        .map_or(DEFAULT_INTERVAL, |millis| Duration::from_millis(millis.into()).max(INTERVAL_MIN))
}

/// The period that has not been reported yet.
struct OpenPeriod {
    began: Instant,
    began_unix_ms: i64,
}

impl OpenPeriod {
    fn begin() -> Self {
        Self { began: Instant::now(), began_unix_ms: now_unix_ms() }
    }

    /// Ends this period and begins the next one at the same instant.
    fn close(&mut self, throttler: &RevisionThrottler, directives: &Directives) -> Stat {
        let period = throttler.take_period();
        let next = Self::begin();
        let length = next.began.duration_since(self.began).as_millis().max(1);
        let mut stat = stat(throttler, &period, self.began_unix_ms, length, directives);
        stat.cold_starts = throttler.take_cold_starts().into_iter().map(cold_start).collect();
        *self = next;
        stat
    }
}

fn stat(
    throttler: &RevisionThrottler,
    period: &PeriodStats,
    began_unix_ms: i64,
    length: u128,
    directives: &Directives,
) -> Stat {
    let in_flight = period.status.in_flight.saturating_add(period.status.waiting.into());
    Stat {
        period_start_unix_ms: began_unix_ms,
        period_length_ms: u32::try_from(length).unwrap_or(u32::MAX),
        average_concurrency: period.report.average_concurrency,
        average_proxied_concurrency: period.report.average_proxied_concurrency,
        request_count: period.report.request_count,
        proxied_request_count: period.report.proxied_request_count,
        waiting: period.status.waiting,
        limit: 0,
        ready: true,
        draining: directives.drain,
        refused_count: period.refused,
        failed_count: period.failed,
        // What an instance responded to is the instance's to count.
        finished_count: period.failed,
        revision: Some(throttler.revision().clone().into()),
        in_flight: u32::try_from(in_flight).unwrap_or(u32::MAX),
        ..Stat::default()
    }
}

fn cold_start(start: ColdStart) -> wire::ColdStart {
    wire::ColdStart {
        instance: start.instance,
        seen_unix_ms: start.seen_unix_ms,
        timeline: Some(start.timeline.micros().into()),
    }
}
