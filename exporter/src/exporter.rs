//! The task that reads, sends and keeps. It owns all state; what is decided is decided by the
//! [`Sampler`], the [`Outbox`] and [`judge`].

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{HeaderName, HeaderValue};
use tidegate_otlp::{Answer, TransportError};
use tidegate_telemetry::Family;
use tidegate_trust::secret::random_bytes;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use crate::channel::Channel;
use crate::folder::{Folder, FolderError};
use crate::headers::Headers;
use crate::judgement::judge;
use crate::message::{Encoder, Format, Reading, SERIES_PER_MESSAGE_MAX, millis};
use crate::metrics::{Attempt, Fate, Metrics};
use crate::outbox::{Limits, Outbox, Outcome, Parcel};
use crate::sampler::Sampler;
use crate::settings::Settings;

/// How long the metrics may take to be gathered; a reading that takes longer is left out.
const GATHER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the last messages may take when the process ends.
pub const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);
/// What receivers tell times apart by.
const MOMENT: Duration = Duration::from_millis(1);
/// By how much a clock goes back at least that was set.
const SET_BACK_MIN: Duration = Duration::from_secs(1);
/// Time between two log lines about what goes on being wrong.
const COMPLAINT_EVERY: Duration = Duration::from_secs(60);

/// What tells a receiver which of the protocol's versions it is sent.
const REMOTE_WRITE_VERSION: (HeaderName, HeaderValue) = (
    HeaderName::from_static("x-prometheus-remote-write-version"),
    HeaderValue::from_static("0.1.0"),
);

/// Why nothing can be pushed.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The endpoint is no URL that can be pushed to.
    #[error(transparent)]
    Endpoint(#[from] TransportError),
    /// The folder cannot be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
}

/// Reads metrics and sends them.
pub struct Exporter {
    channel: Arc<Channel>,
    format: Format,
    headers: Headers,
    interval: Duration,
    readings_per_message: usize,
    sampler: Sampler,
    encoder: Encoder,
    outbox: Outbox,
    folder: Option<Folder>,
    metrics: Metrics,
    readings: Vec<Reading>,
    last_reading: Option<SystemTime>,
    /// What the time is for people; tests have one of their own.
    clock: Clock,
    /// What times since the start are counted from.
    start: Instant,
    complained: Option<Instant>,
}

/// Gives the time of day.
pub type Clock = Box<dyn Fn() -> SystemTime + Send>;

/// An attempt that is under way, and how it ends.
type Attempting = Pin<Box<dyn Future<Output = Result<Answer, TransportError>> + Send>>;

impl std::fmt::Debug for Exporter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exporter").field("format", &self.format).finish_non_exhaustive()
    }
}

impl Exporter {
    /// An exporter. Reads what an earlier process has left in the folder, if there is one.
    ///
    /// # Errors
    ///
    /// When the endpoint or the folder cannot be used.
    pub fn new(settings: Settings, metrics: Metrics) -> Result<Self, StartError> {
        Self::with_clock(settings, metrics, Box::new(SystemTime::now))
    }

    /// As [`Self::new`], with a clock for the time of day.
    ///
    /// # Errors
    ///
    /// As [`Self::new`].
    pub fn with_clock(
        settings: Settings,
        metrics: Metrics,
        clock: Clock,
    ) -> Result<Self, StartError> {
        let transport = settings.protocol.transport(&settings.endpoint)?;
        let format = settings.protocol.format();
        let readings_per_message = settings.readings_per_message();
        let repeat_after = settings.repeat_after();
        let mut left = Vec::new();
        let mut folder = None;
        if let Some(path) = &settings.folder {
            let (opened, found) = Folder::open(path, format, settings.backlog_bytes)?;
            if found.unusable > 0 {
                let (files, path) = (found.unusable, path.display());
                tracing::warn!(files, "metrics that were kept in {path} cannot be used, left out");
            }
            left = found.parcels;
            folder = Some(opened);
        }
        let limits = Limits { bytes_max: settings.backlog_bytes, age_max: settings.backlog_age };
        Ok(Self {
            channel: Arc::new(Channel::new(transport, format.encoding(), settings.tls)),
            format,
            headers: settings.headers,
            interval: settings.interval,
            readings_per_message,
            sampler: Sampler::new(settings.rules, repeat_after),
            encoder: Encoder::new(format, settings.identity, clock()),
            outbox: Outbox::new(limits, left),
            folder,
            metrics,
            readings: Vec::new(),
            last_reading: None,
            clock,
            start: Instant::now(),
            complained: None,
        })
    }

    /// Reads what `gather` finds at each interval and sends it, until `end` resolves; then reads
    /// once more and sends what is left, for [`FLUSH_TIMEOUT`] at most. What is still unsent then
    /// is in the folder, if there is one.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses what waits and is not in the folder.
    pub async fn run<F: Future<Output = Vec<Family>>>(
        mut self,
        gather: impl Fn() -> F,
        end: impl Future<Output = ()>,
    ) {
        let mut end = pin!(end);
        self.start = Instant::now();
        let mut attempting = None;
        let mut next = self.start + self.first_pause();
        loop {
            if attempting.is_none()
                && let Some(parcel) = self.outbox.take(self.now())
            {
                attempting = Some((self.attempt(&parcel), parcel.body.len()));
            }
            let due = self.outbox.due().map(|due| self.start + due);
            tokio::select! {
                biased;
                () = &mut end => break,
                (answer, bytes) = answered(&mut attempting) => {
                    attempting = None;
                    self.ended(&answer, bytes);
                }
                () = sleep_until(next) => {
                    next = following(next, self.interval, Instant::now());
                    self.read(&gather).await;
                    let is_full = self.readings.len() >= self.readings_per_message;
                    if is_full || self.series_waiting() >= SERIES_PER_MESSAGE_MAX {
                        self.close_message();
                    }
                }
                () = until(due) => {}
            }
        }
        self.finish(gather, attempting).await;
    }

    /// Processes that start together do not read together for ever.
    fn first_pause(&self) -> Duration {
        let interval_ms = u64::try_from(self.interval.as_millis()).unwrap_or(u64::MAX).max(1);
        Duration::from_millis(1 + chance() % interval_ms)
    }

    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    async fn read<F: Future<Output = Vec<Family>>>(&mut self, gather: &impl Fn() -> F) {
        self.show();
        let Ok(gathered) = timeout(GATHER_TIMEOUT, gather()).await else {
            self.complain("the metrics cannot be gathered in time, a reading is left out");
            return;
        };
        let families = self.sampler.sample(gathered, self.now());
        if self.sampler.has_collided() {
            self.complain("two rules make series that look the same: those of the first leave");
        }
        if !families.is_empty() {
            let at = after(self.last_reading, (self.clock)());
            self.last_reading = Some(at);
            self.readings.push(Reading { at, families });
        }
    }

    fn series_waiting(&self) -> usize {
        let families = self.readings.iter().flat_map(|reading| &reading.families);
        families.map(|family| family.series.len()).sum()
    }

    /// Makes messages of the readings, and room for them.
    fn close_message(&mut self) {
        for encoded in self.encoder.encode(std::mem::take(&mut self.readings)) {
            self.outbox.put(encoded.body, encoded.points, encoded.last_ms);
        }
        let gone = self.outbox.make_room(millis((self.clock)()));
        let points = gone.iter().map(|parcel| parcel.points).sum();
        if points > 0 {
            self.metrics.points(Fate::Dropped, points);
            self.complain(&format!("{points} values that wait are given up, the oldest first"));
        }
        self.forget(&gone);
        if self.outbox.failures() > 0 {
            self.keep();
        }
        self.show();
    }

    fn attempt(&mut self, parcel: &Parcel) -> Attempting {
        let (mut headers, problem) = self.headers.now();
        if let Some(error) = problem {
            self.complain(&format!("the headers stay as they were: {error}"));
        }
        if self.format == Format::RemoteWrite {
            headers.insert(REMOTE_WRITE_VERSION.0, REMOTE_WRITE_VERSION.1);
        }
        let (channel, body) = (Arc::clone(&self.channel), parcel.body.clone());
        Box::pin(async move { channel.push(body, headers).await })
    }

    fn ended(&mut self, answer: &Result<Answer, TransportError>, bytes: usize) {
        let judgement = judge(self.format, answer, (self.clock)());
        let failures = self.outbox.failures();
        let attempt = match judgement.outcome {
            Outcome::Taken => Attempt::Taken,
            Outcome::Refused => Attempt::Refused,
            Outcome::Retry { .. } => Attempt::Failed,
        };
        self.metrics.attempt(attempt, bytes);
        if let Some(complaint) = &judgement.complaint {
            self.complain(complaint);
        }
        let left = self.outbox.ended(judgement.outcome, self.now(), chance());
        match (left, judgement.outcome) {
            (Some(parcel), Outcome::Taken) => {
                let rejected = judgement.rejected.min(parcel.points);
                self.metrics.points(Fate::Delivered, parcel.points - rejected);
                self.metrics.points(Fate::Refused, rejected);
                self.forget(&[parcel]);
                if failures > 0 {
                    let waiting = self.outbox.unsent().count();
                    tracing::info!(failures, waiting, "metrics are taken again");
                    self.complained = None;
                }
            }
            (Some(parcel), _) => {
                self.metrics.points(Fate::Refused, parcel.points);
                self.forget(&[parcel]);
            }
            (None, _) => self.keep(),
        }
        self.show();
    }

    /// Writes what is unsent into the folder, if there is one.
    fn keep(&mut self) {
        let Some(folder) = &mut self.folder else { return };
        if let Err(error) = folder.keep(self.outbox.unsent()) {
            self.complain(&format!("what waits is in memory alone: {error}"));
        }
    }

    fn forget(&mut self, parcels: &[Parcel]) {
        let Some(folder) = &mut self.folder else { return };
        if let Err(error) = folder.forget(parcels.iter()) {
            self.complain(&format!("what was sent stays in the folder: {error}"));
        }
    }

    fn show(&self) {
        let oldest = self.outbox.unsent().next().map_or(0, |parcel| parcel.last_ms);
        let age_ms = match oldest {
            0 => 0,
            oldest => millis((self.clock)()).saturating_sub(oldest),
        };
        self.metrics.waits(self.outbox.bytes(), Duration::from_millis(age_ms));
    }

    fn complain(&mut self, what: &str) {
        let is_due = self.complained.is_none_or(|last| last.elapsed() >= COMPLAINT_EVERY);
        if is_due {
            self.complained = Some(Instant::now());
            let waiting = self.outbox.unsent().count();
            tracing::warn!(waiting, "push of metrics: {what}");
        }
    }

    /// The last reading, and one attempt for each message until one fails or the time is up.
    async fn finish<F: Future<Output = Vec<Family>>>(
        mut self,
        gather: impl Fn() -> F,
        mut attempting: Option<(Attempting, usize)>,
    ) {
        let deadline = Instant::now() + FLUSH_TIMEOUT;
        // What counts is the last value of each series, whether it has changed or not.
        let _ = timeout_at(deadline, self.read(&gather)).await;
        self.close_message();
        self.outbox.hurry();
        let before = self.outbox.failures();
        loop {
            if attempting.is_none() {
                let Some(parcel) = self.outbox.take(self.now()) else { break };
                attempting = Some((self.attempt(&parcel), parcel.body.len()));
            }
            let answered = timeout_at(deadline, answered(&mut attempting)).await;
            let Ok((answer, bytes)) = answered else { break };
            attempting = None;
            self.ended(&answer, bytes);
            if self.outbox.failures() > before {
                break;
            }
        }
        self.keep();
        let points: u64 = self.outbox.unsent().map(|parcel| parcel.points).sum();
        match (points, &self.folder) {
            (0, _) => {}
            (points, Some(_)) => tracing::info!(points, "unsent metrics are kept in the folder"),
            (points, None) => tracing::warn!(points, "unsent metrics are lost with the process"),
        }
    }
}

/// When the reading after the one at `due` is due. A machine that slept, or was too busy, does not
/// catch up on what it did not see.
fn following(due: Instant, interval: Duration, now: Instant) -> Instant {
    let next = due + interval;
    if next > now { next } else { now + interval }
}

/// The time of a reading at `now`: two of one time would be one to a receiver, and the second one
/// wrong. A clock that was set back stands.
fn after(last: Option<SystemTime>, now: SystemTime) -> SystemTime {
    let Some(earliest) = last.map(|last| last + MOMENT) else { return now };
    match earliest.duration_since(now) {
        Ok(behind) if behind <= SET_BACK_MIN => earliest,
        _ => now,
    }
}

/// How the attempt under way ends; never, when there is none.
async fn answered(
    attempting: &mut Option<(Attempting, usize)>,
) -> (Result<Answer, TransportError>, usize) {
    match attempting {
        Some((attempt, bytes)) => (attempt.await, *bytes),
        None => std::future::pending().await,
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// Any number. A system without random numbers spreads nothing, and works.
fn chance() -> u64 {
    random_bytes::<8>().map_or(0, u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn no_two_readings_have_one_time() {
        let at = |ms| UNIX_EPOCH + Duration::from_millis(ms);
        assert_eq!(after(None, at(5)), at(5));
        assert_eq!(after(Some(at(5)), at(9)), at(9));
        assert_eq!(after(Some(at(5)), at(5)), at(6));
        assert_eq!(after(Some(at(5000)), at(4500)), at(5001));
        // Set back by an hour: the time of day is what it is.
        assert_eq!(after(Some(at(3_600_000)), at(0)), at(0));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_slept_through_is_not_caught_up_on() {
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        assert_eq!(following(now, second, now), now + second);
        assert_eq!(following(now, second, now + second / 2), now + second);
        assert_eq!(following(now, second, now + 60 * second), now + 61 * second);
    }
}
