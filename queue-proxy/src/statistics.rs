//! The load of this instance, for autoscalers: a snapshot for Knative's autoscaler to scrape, what
//! is there now for whoever listens, and a stream of reports to Tidegate's controller.
//!
//! One task owns all of it: on each `Trigger` it takes the gate's statistics, adds them to the
//! period of each reader, and publishes the periods that are complete.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use prost::Message;
use tidegate_admission::Limit;
use tidegate_proto::knative;
use tidegate_proto::stats::v1::Stat;
use tidegate_reporter::clock;
use tidegate_reporter::{
    DEFAULT_INTERVAL, Directives, INTERVAL_MIN, OverflowAddresses, QueueWatch, Reporter,
    WaitingQueue,
};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};

use crate::drain::Draining;
use crate::gate::{Gate, PeriodStats};
use crate::metrics::{Lost, Metrics};
use crate::probe::{Prober, Readiness};
use crate::record::Recorder;
use crate::request_log::RequestLogger;
use crate::tcp_connections::TcpConnections;
use crate::trace::Tracer;

mod load_stream;
mod outcomes;
mod period;

pub use load_stream::LoadStream;
pub use outcomes::{DigestReader, Outcomes};

use period::Period;

/// Period of the snapshot, as in Knative.
pub const SNAPSHOT_PERIOD: Duration = Duration::from_secs(1);
/// Knative's autoscaler reads no more than 336 bytes, of which numbers take 45.
const LONGEST_POD_NAME: usize = 280;

/// The latest statistics as Knative's autoscaler scrapes them. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Snapshot {
    encoded: Arc<Mutex<Bytes>>,
}

impl Snapshot {
    /// Before the first second there is nothing but the name.
    pub fn new(pod: &str) -> Self {
        let stat = knative::Stat { pod_name: short(pod).to_owned(), ..Default::default() };
        Self { encoded: Arc::new(Mutex::new(stat.encode_to_vec().into())) }
    }

    /// The message, encoded. Reading changes nothing, so any number of scrapers is fine.
    pub fn encoded(&self) -> Bytes {
        self.encoded.lock().clone()
    }

    fn replace(&self, pod: &str, period: &Period, uptime: Duration) {
        // Counts are divided by the nominal period even when the tick was late, as in Knative.
        let seconds = SNAPSHOT_PERIOD.as_secs_f64();
        let stat = knative::Stat {
            pod_name: short(pod).to_owned(),
            average_concurrent_requests: period.average(),
            average_proxied_concurrent_requests: period.average_proxied(),
            request_count: period.requests() as f64 / seconds,
            proxied_request_count: period.proxied_requests() as f64 / seconds,
            process_uptime: uptime.as_secs_f64(),
            timestamp: 0,
        };
        *self.encoded.lock() = stat.encode_to_vec().into();
    }
}

fn short(pod: &str) -> &str {
    let mut end = pod.len().min(LONGEST_POD_NAME);
    while !pod.is_char_boundary(end) {
        end -= 1;
    }
    &pod[..end]
}

/// Why statistics are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trigger {
    /// The second is over.
    SnapshotDue,
    /// The controller's period is over.
    ReportDue,
    /// A queue has formed or grown: the controller should know at once.
    QueueChanged,
    /// Readiness, the drain or the controller's directives changed.
    StateChanged,
}

/// The task that owns the statistics.
#[derive(Debug)]
pub struct StatsReporter {
    /// Name of the instance.
    pub pod: String,
    /// Where the statistics are taken.
    pub gate: Gate,
    /// What does not come through the gate, and counts as well.
    pub connections: TcpConnections,
    /// What the data path counted.
    pub outcomes: Outcomes,
    /// What Knative scrapes.
    pub snapshot: Snapshot,
    /// Who listens to the load as it changes.
    pub load_stream: LoadStream,
    /// The drain, as the controller should see it.
    pub draining: Draining,
    /// Readiness, as the controller should see it.
    pub readiness: watch::Receiver<Readiness>,
    /// Since when the app listens.
    pub prober: Prober,
    /// Changes when the drain begins or is undone.
    pub drain_changes: watch::Receiver<crate::drain::Stage>,
    /// The report stream, if any.
    pub reporting: Option<Reporting>,
    /// Prometheus, if any: it shares the tick.
    pub metrics: Option<Metrics>,
    /// The recording, if any: its losses are counted in the metrics.
    pub recorder: Option<Recorder>,
    /// The request log, if any: its losses are counted too.
    pub log: Option<RequestLogger>,
    /// Traces, if any: their losses are counted too.
    pub tracer: Option<Tracer>,
}

/// The report stream.
#[derive(Debug)]
pub struct Reporting {
    /// Takes reports.
    pub reporter: Reporter,
    /// The controller's directives.
    pub directives: watch::Receiver<Directives>,
    /// Where requests may be handed on.
    pub overflow: watch::Receiver<OverflowAddresses>,
}

impl WaitingQueue for Gate {
    async fn formed(&self) {
        self.queue_formed().await;
    }

    fn waiting(&self) -> u32 {
        self.levels().waiting
    }
}

impl StatsReporter {
    /// Reports until `end` resolves, then once more, so that the last report has the final counts.
    pub async fn run(mut self, end: impl Future<Output = ()>) {
        let mut end = std::pin::pin!(end);
        let now = Instant::now();
        let mut periods = Periods::new(now);
        let mut queue = QueueWatch::default();
        let mut tick = tokio::time::interval_at(now + SNAPSHOT_PERIOD, SNAPSHOT_PERIOD);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let trigger = tokio::select! {
                biased;
                () = &mut end => break,
                trigger = self.next_trigger(&mut tick, &mut queue, &periods) => trigger,
            };
            let reported = self.apply(trigger, &mut periods, Instant::now());
            match (reported, trigger) {
                (Some(waiting), Trigger::QueueChanged) => queue.reported_early(waiting),
                (Some(waiting), _) => queue.reported_in_turn(waiting),
                (None, _) => {}
            }
        }
        let _ = self.apply(Trigger::StateChanged, &mut periods, Instant::now());
    }

    async fn next_trigger(
        &mut self,
        tick: &mut tokio::time::Interval,
        queue: &mut QueueWatch,
        periods: &Periods,
    ) -> Trigger {
        let Some(reporting) = &mut self.reporting else {
            return tokio::select! {
                biased;
                _ = tick.tick() => Trigger::SnapshotDue,
                () = queue.news(&self.gate), if self.load_stream.is_heard() => {
                    Trigger::QueueChanged
                }
            };
        };
        // A closed channel never changes again.
        async fn changed<T>(receiver: &mut watch::Receiver<T>) {
            if receiver.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
        // With the default period one tick serves both readers.
        let report_due = async {
            match periods.report_period {
                DEFAULT_INTERVAL => std::future::pending().await,
                period => tokio::time::sleep_until(periods.reported + period).await,
            }
        };
        tokio::select! {
            biased;
            () = changed(&mut self.readiness) => Trigger::StateChanged,
            () = changed(&mut self.drain_changes) => Trigger::StateChanged,
            () = changed(&mut reporting.directives) => Trigger::StateChanged,
            _ = tick.tick() => Trigger::SnapshotDue,
            () = report_due => Trigger::ReportDue,
            () = queue.news(&self.gate) => Trigger::QueueChanged,
        }
    }

    /// Takes the statistics and publishes what is complete. Gives how many requests waited, if that
    /// was reported.
    fn apply(&mut self, trigger: Trigger, periods: &mut Periods, now: Instant) -> Option<u32> {
        let mut stats = self.gate.take_period();
        let uncounted = self.outcomes.take_uncounted();
        stats.report.request_count = stats.report.request_count.saturating_sub(uncounted);
        let connections = self.connections.take_period();
        stats.report.average_concurrency += connections.average;
        stats.report.request_count += u64::from(connections.more);
        let length = now.duration_since(periods.last_taken);
        periods.last_taken = now;
        periods.snapshot.add(&stats, length);
        periods.report.add(&stats, length);
        if trigger == Trigger::SnapshotDue {
            self.snapshot.replace(&self.pod, &periods.snapshot, self.gate.uptime());
            periods.snapshot = Period::default();
            if let Some(metrics) = &self.metrics {
                metrics.tick(
                    &stats,
                    Lost {
                        record_rows: self.recorder.as_ref().map_or(0, Recorder::lost),
                        log_lines: self.log.as_ref().map_or(0, RequestLogger::lost),
                        spans: self.tracer.as_ref().map_or(0, Tracer::lost),
                    },
                );
            }
        }
        if matches!(trigger, Trigger::SnapshotDue | Trigger::QueueChanged) {
            self.load_stream.tell(&stats.levels, connections.open);
        }
        let Some(reporting) = &self.reporting else { return Some(stats.levels.waiting) };
        let directives = *reporting.directives.borrow();
        periods.apply(directives, &self.gate);
        let shared_tick =
            trigger == Trigger::SnapshotDue && periods.report_period == DEFAULT_INTERVAL;
        if trigger == Trigger::SnapshotDue && !shared_tick {
            return None;
        }
        let stat = self.stat((&stats, connections.open), periods, now);
        let waiting = stat.waiting;
        reporting.reporter.report(stat);
        periods.report = Period::default();
        periods.reported = now;
        Some(waiting)
    }

    /// Empty while the instance is ready.
    fn not_ready_reason(&self) -> String {
        match &*self.readiness.borrow() {
            _ if self.draining.is_on() => "it is draining".to_owned(),
            Readiness::Ready => String::new(),
            Readiness::NotReady(reason) => reason.as_ref().to_owned(),
        }
    }

    fn stat(
        &self,
        (stats, connections): (&PeriodStats, u32),
        periods: &Periods,
        now: Instant,
    ) -> Stat {
        let length = now.duration_since(periods.reported);
        let length_ms = u32::try_from(length.as_millis()).unwrap_or(u32::MAX);
        let period = &periods.report;
        let not_ready_reason = self.not_ready_reason();
        let outcomes = self.outcomes.take_period();
        let listening = self.prober.listening_since().map(|since| now.duration_since(since));
        Stat {
            sequence: 0,
            period_start_unix_ms: clock::now_unix_ms().saturating_sub(length_ms.into()),
            // A period of no length would be read as none at all.
            period_length_ms: length_ms.max(1),
            average_concurrency: period.average(),
            average_proxied_concurrency: period.average_proxied(),
            request_count: period.requests(),
            proxied_request_count: period.proxied_requests(),
            waiting: stats.levels.waiting,
            limit: stats.levels.limit.to_wire(),
            ready: not_ready_reason.is_empty(),
            draining: self.draining.is_on(),
            refused_count: period.refused(),
            failed_count: outcomes.failed,
            latency_digest: outcomes.latency_digest,
            revision: None,
            in_flight: stats.levels.inside().saturating_add(connections),
            not_ready_reason,
            finished_count: outcomes.finished,
            server_error_count: outcomes.server_errors,
            listening_age_ms: listening
                .map(|age| u32::try_from(age.as_millis()).unwrap_or(u32::MAX)),
            cold_starts: Vec::new(),
        }
    }
}

/// Open periods, one for each reader.
#[derive(Debug)]
struct Periods {
    last_taken: Instant,
    snapshot: Period,
    report: Period,
    reported: Instant,
    report_period: Duration,
    limit: Option<u32>,
}

impl Periods {
    fn new(now: Instant) -> Self {
        Self {
            last_taken: now,
            snapshot: Period::default(),
            report: Period::default(),
            reported: now,
            report_period: DEFAULT_INTERVAL,
            limit: None,
        }
    }

    /// Applies the controller's directives; the limit only when it changes.
    fn apply(&mut self, directives: Directives, gate: &Gate) {
        if let Some(interval_ms) = directives.report_interval_ms {
            let period = Duration::from_millis(interval_ms.into());
            self.report_period = period.max(INTERVAL_MIN);
        }
        if directives.limit != self.limit {
            self.limit = directives.limit;
            if let Some(limit) = directives.limit {
                gate.resize(Limit::from_wire(limit));
            }
        }
    }
}

#[cfg(test)]
mod tests;
