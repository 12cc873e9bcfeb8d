//! Reports the load of each revision to the controller: each second, and at once when a queue
//! forms.

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

/// Reports one revision until it is cancelled. Never waits for the controller.
pub(crate) async fn report(
    throttler: Arc<RevisionThrottler>,
    reporter: Reporter,
    mut directives: watch::Receiver<Directives>,
) {
    let mut period = OpenPeriod::begin();
    let mut queue = QueueWatch::default();
    let mut interval = report_interval(&directives);
    loop {
        let mut ticks = tokio::time::interval_at(Instant::now() + interval, interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while interval == report_interval(&directives) {
            let note_reported = tokio::select! {
                biased;
                changed = directives.changed() => {
                    if changed.is_err() {
                        // The driver is gone and with it every reader of reports.
                        return;
                    }
                    continue;
                }
                _ = ticks.tick() => QueueWatch::reported_in_turn,
                () = queue.news(&*throttler) => QueueWatch::reported_early,
            };
            let stat = period.close(&throttler, &directives.borrow());
            note_reported(&mut queue, stat.waiting);
            reporter.report(stat);
        }
        interval = report_interval(&directives);
    }
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
        let stat = stat(throttler, &period, self.began_unix_ms, length, directives);
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

/// The wall clock in milliseconds since 1970.
pub(crate) fn now_unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
