//! Tells the controller how busy each door is: each second, and at once when a line forms.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tidegate_proto::stats::v1::Stat;
use tidegate_reporter::{Directives, Reporter};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};

use crate::door::{Cut, Door};

/// How often a door is reported until the controller asks for something else, as Knative does.
pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(1);

/// A line that forms is reported at once, but not more often than this: lines of a revision that is
/// just busy form and dissolve all the time.
pub const LEAST_GAP: Duration = Duration::from_millis(100);

/// Reports one door until it is cancelled. Never waits for the controller.
pub(crate) async fn report(
    door: Arc<Door>,
    reporter: Reporter,
    mut directives: watch::Receiver<Directives>,
) {
    let mut period = Period::begin();
    let mut early_from = Instant::now();
    let mut waiting = 0;
    let mut interval = wanted_interval(&directives);
    loop {
        let mut ticks = tokio::time::interval_at(Instant::now() + interval, interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while interval == wanted_interval(&directives) {
            tokio::select! {
                biased;
                changed = directives.changed() => {
                    if changed.is_err() {
                        // The driver is gone and with it every reader of reports.
                        return;
                    }
                    continue;
                }
                _ = ticks.tick() => {}
                () = line_formed(&door, early_from) => early_from = Instant::now() + LEAST_GAP,
                () = line_grown(&door, early_from, waiting) => {
                    early_from = Instant::now() + LEAST_GAP;
                }
            }
            let draining = directives.borrow().drain;
            let stat = period.close(&door, draining);
            waiting = stat.waiting;
            reporter.report(stat);
        }
        interval = wanted_interval(&directives);
    }
}

async fn line_formed(door: &Door, not_before: Instant) {
    tokio::time::sleep_until(not_before).await;
    door.line_formed().await;
}

/// A burst comes in over some milliseconds, and its first requests say little about its size: a
/// line that has doubled since it was reported is news as well.
async fn line_grown(door: &Door, not_before: Instant, reported: u32) {
    let mut next = not_before;
    let mut waiting = reported;
    while waiting > 0 {
        tokio::time::sleep_until(next).await;
        waiting = door.status().waiting;
        if waiting >= reported.saturating_mul(2) {
            return;
        }
        next = Instant::now() + LEAST_GAP;
    }
    // The next line will form anew.
    std::future::pending::<()>().await;
}

fn wanted_interval(directives: &watch::Receiver<Directives>) -> Duration {
    let wanted = directives.borrow().report_interval_ms;
    wanted.map_or(DEFAULT_INTERVAL, |millis| Duration::from_millis(millis.into()).max(LEAST_GAP))
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
    fn close(&mut self, door: &Door, draining: bool) -> Stat {
        let cut = door.cut();
        let next = Self::begin();
        let length = next.began.duration_since(self.began).as_millis().max(1);
        let stat = stat(door, &cut, self.began_unix_ms, length, draining);
        *self = next;
        stat
    }
}

fn stat(door: &Door, cut: &Cut, began_unix_ms: i64, length: u128, draining: bool) -> Stat {
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
