//! The ring of buckets under every window, with a running total for the mean.
//!
//! Every `*`, `+` and `-` stands in the order that Knative's code has it in, because results are
//! compared to the last bit.

use super::{MAX_BUCKETS, Resize, WindowError};
use crate::time::MS_PER_SECOND;

/// Knative truncates times relative to year 1, not 1970; it matters only for bucket sizes that
/// do not divide a day.
const YEAR_ONE_MS: i64 = -62_135_596_800_000;

/// "Never", for the times of the first and last write.
const NEVER: i64 = i64::MIN;

/// What a record did to a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// The time was too old.
    Ignored,
    /// All older buckets were emptied.
    Restarted,
    /// The newest bucket moved forward by this many.
    Advanced(u64),
    /// The bucket this many before the newest was added to; 0 is the newest.
    Added(u64),
}

/// Buckets of a fixed size that hold the sum of what was recorded into each.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ring<const LANES: usize> {
    buckets: Box<[[f64; LANES]]>,
    total: [f64; LANES],
    first_ms: i64,
    last_ms: i64,
    length_ms: i64,
    granularity_ms: i64,
}

impl<const LANES: usize> Ring<LANES> {
    /// An empty ring.
    ///
    /// # Errors
    ///
    /// As [`super::Window::new`].
    pub(crate) fn new(length_ms: u64, granularity_ms: u64) -> Result<Ring<LANES>, WindowError> {
        let count = bucket_count(length_ms, granularity_ms)?;
        Ok(Ring {
            buckets: vec![[0.0; LANES]; count].into_boxed_slice(),
            total: [0.0; LANES],
            first_ms: NEVER,
            last_ms: NEVER,
            length_ms: length_ms as i64,
            granularity_ms: granularity_ms as i64,
        })
    }

    /// Number of buckets.
    pub(crate) fn count(&self) -> usize {
        self.buckets.len()
    }

    /// Length in milliseconds.
    pub(crate) fn length_ms(&self) -> u64 {
        self.length_ms as u64
    }

    /// Length of a bucket in milliseconds.
    pub(crate) fn granularity_ms(&self) -> u64 {
        self.granularity_ms as u64
    }

    /// Start of the newest bucket written, in milliseconds.
    pub(crate) fn last(&self) -> Option<i64> {
        (self.last_ms != NEVER).then_some(self.last_ms)
    }

    /// Adds `values` to the bucket of `at_ms`.
    pub(crate) fn record(&mut self, at_ms: i64, values: [f64; LANES]) -> Change {
        let start = self.truncate(at_ms);
        let mut change = Change::Added(0);
        if start != self.last_ms {
            if self.last_ms != NEVER && start.saturating_add(self.length_ms) <= self.last_ms {
                return Change::Ignored;
            }
            if self.first_ms == NEVER || self.first_ms > start {
                self.first_ms = start;
            }
            change = if start > self.last_ms {
                self.advance(start, at_ms)
            } else {
                let behind = (self.last_ms - start) / self.granularity_ms;
                Change::Added(behind as u64)
            };
        }
        let slot = self.slot(self.index(at_ms));
        for (lane, value) in values.into_iter().enumerate() {
            self.buckets[slot][lane] += value;
            self.total[lane] += value;
        }
        change
    }

    /// Makes the bucket that starts at `start` the newest one.
    fn advance(&mut self, start: i64, at_ms: i64) -> Change {
        let gap = self.since_last(start);
        let change = if gap >= self.length_ms {
            self.buckets.fill([0.0; LANES]);
            self.total = [0.0; LANES];
            self.first_ms = start;
            Change::Restarted
        } else {
            for index in self.index(self.last_ms) + 1..=self.index(at_ms) {
                let slot = self.slot(index);
                for lane in 0..LANES {
                    self.total[lane] -= self.buckets[slot][lane];
                    self.buckets[slot][lane] = 0.0;
                }
            }
            Change::Advanced((gap / self.granularity_ms) as u64)
        };
        self.last_ms = start;
        change
    }

    /// The mean of one lane over the seconds that the window has, rounded to six decimals.
    pub(crate) fn mean(&self, at_ms: i64, lane: usize) -> f64 {
        let start = self.truncate(at_ms);
        let age = self.since_last(start);
        if age >= self.length_ms {
            return 0.0;
        }
        let written =
            (self.last_ms.saturating_sub(self.first_ms) / self.granularity_ms).saturating_add(1);
        let count = self.buckets.len() as i64;
        if age <= 0 {
            return round6(self.total[lane] / written.min(count) as f64);
        }
        let newest = self.index(self.last_ms);
        let now = self.index(start);
        let mut rest = self.total[lane];
        for index in newest + 1..=now {
            rest -= self.buckets[self.slot(index)][lane];
        }
        round6(rest / written.min(count - (now - newest)) as f64)
    }

    /// Whether nothing was recorded for longer than the window's length.
    pub(crate) fn is_empty(&self, at_ms: i64) -> bool {
        self.since_last(self.truncate(at_ms)) > self.length_ms
    }

    /// Changes the length; see [`Resize`] for what becomes of the age.
    ///
    /// # Errors
    ///
    /// As [`super::Window::new`]; the ring is unchanged then.
    pub(crate) fn resize(
        &mut self,
        at_ms: i64,
        length_ms: u64,
        mode: Resize,
    ) -> Result<(), WindowError> {
        if length_ms == self.length_ms() {
            return Ok(());
        }
        let count = bucket_count(length_ms, self.granularity_ms as u64)?;
        let mut buckets = vec![[0.0; LANES]; count].into_boxed_slice();
        let mut total = [0.0; LANES];
        if self.since_last(self.truncate(at_ms)) <= self.length_ms {
            let newest = self.index(self.last_ms);
            for back in 0..count.min(self.buckets.len()) as i64 {
                let index = newest - back;
                let from = self.buckets[self.slot(index)];
                buckets[index.rem_euclid(count as i64) as usize] = from;
                for lane in 0..LANES {
                    total[lane] += from[lane];
                }
            }
            if mode == Resize::ForgetAge {
                let age = (self.buckets.len() as i64 - 1) * self.granularity_ms;
                self.first_ms = self.last_ms.saturating_sub(age);
            }
        } else {
            self.first_ms = NEVER;
        }
        self.buckets = buckets;
        self.total = total;
        self.length_ms = length_ms as i64;
        Ok(())
    }

    /// How many buckets lie between the newest one and that of `at_ms`, if the window spans them.
    pub(crate) fn skipped_before(&self, at_ms: i64) -> u64 {
        let gap = self.since_last(self.truncate(at_ms));
        if gap <= 0 || gap >= self.length_ms { 0 } else { (gap / self.granularity_ms) as u64 - 1 }
    }

    /// The largest value of one lane in the `count` buckets that end with the one before `at_ms`
    /// or with the newest, if all of them are known and none has been silent since.
    pub(crate) fn peak(&self, at_ms: i64, lane: usize, count: u64) -> Option<f64> {
        let silent = self.since_last(self.truncate(at_ms)) > self.granularity_ms;
        let count = usize::try_from(count).ok().filter(|&count| count <= self.known())?;
        if silent || count == 0 {
            return None;
        }
        let end = self.slot(self.index(self.last_ms)) + 1;
        let (newer, older) = if count <= end {
            (&self.buckets[end - count..end], &self.buckets[..0])
        } else {
            let wrapped = self.buckets.len() - (count - end);
            (&self.buckets[..end], &self.buckets[wrapped..])
        };
        Some(newer.iter().chain(older).fold(0.0, |peak, bucket| bucket[lane].max(peak)))
    }

    /// How many buckets have been written, gaps included.
    pub(crate) fn known(&self) -> usize {
        if self.last_ms == NEVER || self.first_ms == NEVER {
            return 0;
        }
        let known = self.last_ms.saturating_sub(self.first_ms) / self.granularity_ms + 1;
        usize::try_from(known).map_or(0, |known| known.min(self.buckets.len()))
    }

    /// How many whole buckets lie between the newest one and `at_ms`; none when it is later.
    pub(super) fn buckets_since_last(&self, at_ms: i64) -> u64 {
        (self.since_last(self.truncate(at_ms)).max(0) / self.granularity_ms) as u64
    }

    /// The bucket `back` before the newest one; `back` is less than [`Self::count`].
    pub(super) fn bucket(&self, back: usize) -> &[f64; LANES] {
        &self.buckets[self.slot(self.index(self.last_ms) - back as i64)]
    }

    /// Milliseconds since the newest bucket; the largest number if there is none.
    fn since_last(&self, start: i64) -> i64 {
        if self.last_ms == NEVER { i64::MAX } else { start.saturating_sub(self.last_ms) }
    }

    /// `at_ms` rounded down to the start of its bucket.
    fn truncate(&self, at_ms: i64) -> i64 {
        if self.granularity_ms == MS_PER_SECOND {
            at_ms.saturating_sub(at_ms.rem_euclid(MS_PER_SECOND))
        } else {
            let since = at_ms.saturating_sub(YEAR_ONE_MS);
            at_ms.saturating_sub(since.rem_euclid(self.granularity_ms))
        }
    }

    /// Running number of the bucket that `at_ms` falls into.
    fn index(&self, at_ms: i64) -> i64 {
        let seconds = at_ms.div_euclid(MS_PER_SECOND);
        if self.granularity_ms == MS_PER_SECOND {
            seconds
        } else {
            seconds.div_euclid(self.granularity_ms / MS_PER_SECOND)
        }
    }

    /// Where the bucket with a running number lies.
    fn slot(&self, index: i64) -> usize {
        index.rem_euclid(self.buckets.len() as i64) as usize
    }
}

/// How many buckets of a size make up a length.
pub(crate) fn bucket_count(length_ms: u64, granularity_ms: u64) -> Result<usize, WindowError> {
    let error = WindowError { length_ms, granularity_ms };
    if granularity_ms < MS_PER_SECOND as u64 || granularity_ms > i64::MAX as u64 {
        return Err(error);
    }
    match length_ms.div_ceil(granularity_ms) {
        count @ 1..=MAX_BUCKETS if length_ms <= i64::MAX as u64 => Ok(count as usize),
        _ => Err(error),
    }
}

/// Rounds to six decimals, halves away from zero.
fn round6(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}
