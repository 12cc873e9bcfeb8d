//! Tells the controller how busy each door is: each second, and at once when a line forms.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tidegate_proto::stats::v1::Stat;
use tidegate_reporter::{
    DEFAULT_INTERVAL, Directives, INTERVAL_MIN, QueueWatch, Reporter, WaitingQueue,
};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};

use crate::revision_throttler::{PeriodStats, RevisionThrottler};

impl WaitingQueue for RevisionThrottler {
    async fn formed(&self) {
        self.queue_formed().await;
    }

    fn waiting(&self) -> u32 {
        self.status().waiting
    }
}

/// Reports one door until it is cancelled. Never waits for the controller.
pub(crate) async fn report(
    door: Arc<RevisionThrottler>,
    reporter: Reporter,
    mut directives: watch::Receiver<Directives>,
) {
    let mut period = Period::begin();
    let mut line = QueueWatch::default();
    let mut interval = wanted_interval(&directives);
    loop {
        let mut ticks = tokio::time::interval_at(Instant::now() + interval, interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while interval == wanted_interval(&directives) {
            let told = tokio::select! {
                biased;
                changed = directives.changed() => {
                    if changed.is_err() {
                        // The driver is gone and with it every reader of reports.
                        return;
                    }
                    continue;
                }
                _ = ticks.tick() => QueueWatch::reported_in_turn,
                () = line.news(&*door) => QueueWatch::reported_early,
            };
            let draining = directives.borrow().drain;
            let stat = period.close(&door, draining);
            told(&mut line, stat.waiting);
            reporter.report(stat);
        }
        interval = wanted_interval(&directives);
    }
}

fn wanted_interval(directives: &watch::Receiver<Directives>) -> Duration {
    let wanted = directives.borrow().report_interval_ms;
    wanted.map_or(DEFAULT_INTERVAL, |millis| Duration::from_millis(millis.into()).max(INTERVAL_MIN))
}

/// The period that is open.
struct Period {
    began: Instant,
    began_unix_ms: i64,
}

impl Period {
    fn begin() -> Self {
        Self { began: Instant::now(), began_unix_ms: now_unix_ms() }
    }

    /// Ends this period and begins the next one at the same instant.
    fn close(&mut self, door: &RevisionThrottler, draining: bool) -> Stat {
        let cut = door.cut();
        let next = Self::begin();
        let length = next.began.duration_since(self.began).as_millis().max(1);
        let stat = stat(door, &cut, self.began_unix_ms, length, draining);
        *self = next;
        stat
    }
}

fn stat(
    door: &RevisionThrottler,
    cut: &PeriodStats,
    began_unix_ms: i64,
    length: u128,
    draining: bool,
) -> Stat {
    let in_flight = cut.status.in_flight.saturating_add(cut.status.waiting.into());
    Stat {
        period_start_unix_ms: began_unix_ms,
        period_length_ms: u32::try_from(length).unwrap_or(u32::MAX),
        average_concurrency: cut.report.average_concurrency,
        average_proxied_concurrency: cut.report.average_proxied_concurrency,
        request_count: cut.report.request_count,
        proxied_request_count: cut.report.proxied_request_count,
        waiting: cut.status.waiting,
        limit: 0,
        ready: true,
        draining,
        refused_count: cut.refused,
        failed_count: cut.failed,
        revision: Some(door.revision().clone().into()),
        in_flight: u32::try_from(in_flight).unwrap_or(u32::MAX),
        ..Stat::default()
    }
}

/// The wall clock in milliseconds since 1970.
pub(crate) fn now_unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
