//! Which instances are worse than the others, and are left alone for a while.
//!
//! Two signs: so many failures in a row, and a latency that is so many times what is usual among
//! the instances. At least half of them always stay in use, so that the set is never emptied: where
//! all fail or are slow, none is the outlier.

use core::num::NonZeroU32;
use core::time::Duration;

use crate::dispatcher::InstanceId;

/// How long an outlier is left alone the first time; then twice as long each time, to the longest.
pub const FIRST_REST: Duration = Duration::from_secs(5);
/// See [`FIRST_REST`].
pub const LONGEST_REST: Duration = Duration::from_secs(300);

/// Responses in a row without a failure after which what was before is forgotten.
const PROVEN: u32 = 100;
/// Responses of an instance before its latency says anything, and between two comparisons.
const SAMPLES: u32 = 32;
/// Instances whose latency is known, for one of them to be compared with.
const COMPARED_MIN: usize = 3;
/// A latency below this is never too long, however quick the others are: it is the noise of a
/// scheduler or of a pause to collect garbage.
const LATENCY_FLOOR: Duration = Duration::from_millis(50);

/// What makes an instance an outlier. Each can be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OutlierSettings {
    /// So many failures in a row.
    pub failures: Option<NonZeroU32>,
    /// So many times the median latency.
    pub times_median: Option<NonZeroU32>,
}

/// How a request at an instance ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It got a response of the app's that is no failure, within this time.
    Responded(Duration),
    /// It got an error of the app's, or none at all.
    Failed,
}

/// In which way an instance is worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// It fails.
    Failing,
    /// It is slow.
    Slow,
}

/// What is known of the instances of one dispatcher.
#[derive(Debug, Clone, Default)]
pub struct Outliers {
    settings: OutlierSettings,
    /// By slot.
    records: Vec<Option<Record>>,
}

#[derive(Debug, Clone, Copy)]
struct Record {
    instance: InstanceId,
    /// Failures in a row, and successes in a row.
    failures: u32,
    successes: u32,
    /// The smoothed latency in nanoseconds, and of how many responses.
    latency_nanos: u64,
    samples: u32,
    /// Times that it was left alone.
    rests: u32,
}

impl Outliers {
    /// Nothing is known.
    pub const fn new(settings: OutlierSettings) -> Self {
        Self { settings, records: Vec::new() }
    }

    /// Whether anything is looked at.
    pub const fn is_off(&self) -> bool {
        self.settings.failures.is_none() && self.settings.times_median.is_none()
    }

    /// A request at an instance ended, while `ready` instances are in use, of `listed` that there
    /// are. Gives the sign by which the instance is an outlier, and how long it is to be left
    /// alone; the caller does so, and tells [`Outliers::remove`] when it is gone.
    pub fn ended(
        &mut self,
        instance: InstanceId,
        outcome: Outcome,
        (ready, listed): (u32, u32),
    ) -> Option<(Sign, Duration)> {
        let record = self.record_mut(instance);
        record.note(outcome);
        let record = *record;
        let sign = self.sign_of(&record, outcome)?;
        // Without it half of them must be left.
        if ready.saturating_sub(1) * 2 < listed {
            return None;
        }
        let record = self.record_mut(instance);
        *record = Record { rests: record.rests.saturating_add(1), ..Record::new(instance) };
        let doublings = (record.rests - 1).min(16);
        Some((sign, FIRST_REST.saturating_mul(1 << doublings).min(LONGEST_REST)))
    }

    /// An instance is gone.
    pub fn remove(&mut self, instance: InstanceId) {
        if let Some(record) = self.records.get_mut(instance.slot())
            && record.is_some_and(|record| record.instance == instance)
        {
            *record = None;
        }
    }

    fn sign_of(&self, record: &Record, outcome: Outcome) -> Option<Sign> {
        match outcome {
            Outcome::Failed => {
                let most = self.settings.failures?.get();
                (record.failures >= most).then_some(Sign::Failing)
            }
            Outcome::Responded(_) => {
                let times = u64::from(self.settings.times_median?.get());
                let is_due = record.samples >= SAMPLES && record.samples.is_multiple_of(SAMPLES);
                let median = is_due.then(|| self.median_nanos()).flatten()?;
                let most = median.saturating_mul(times).max(nanos(LATENCY_FLOOR));
                (record.latency_nanos > most).then_some(Sign::Slow)
            }
        }
    }

    /// The lower median of what instances take, where enough of them are known.
    fn median_nanos(&self) -> Option<u64> {
        let known = self.records.iter().flatten().filter(|record| record.samples >= SAMPLES);
        let mut latencies: Vec<_> = known.map(|record| record.latency_nanos).collect();
        if latencies.len() < COMPARED_MIN {
            return None;
        }
        let middle = (latencies.len() - 1) / 2;
        Some(*latencies.select_nth_unstable(middle).1)
    }

    fn record_mut(&mut self, instance: InstanceId) -> &mut Record {
        if self.records.len() <= instance.slot() {
            self.records.resize(instance.slot() + 1, None);
        }
        let slot = &mut self.records[instance.slot()];
        let known = slot.filter(|record| record.instance == instance);
        slot.insert(known.unwrap_or(Record::new(instance)))
    }
}

impl Record {
    const fn new(instance: InstanceId) -> Self {
        Self { instance, failures: 0, successes: 0, latency_nanos: 0, samples: 0, rests: 0 }
    }

    fn note(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Failed => {
                self.failures = self.failures.saturating_add(1);
                self.successes = 0;
            }
            Outcome::Responded(latency) => {
                self.failures = 0;
                self.successes = self.successes.saturating_add(1);
                if self.successes >= PROVEN {
                    self.rests = 0;
                }
                // The mean of the first ones, then the newest by a sixteenth.
                let weight = u64::from(self.samples.saturating_add(1).min(16));
                self.latency_nanos =
                    self.latency_nanos - self.latency_nanos / weight + nanos(latency) / weight;
                self.samples = self.samples.saturating_add(1);
            }
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
