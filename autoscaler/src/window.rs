//! Seconds in rings, and what is asked of them: the mean, the weighted mean, the maximum.
//!
//! A window is a ring of buckets, one per second in practice. Values that fall into one bucket
//! add up. Recording and asking take the time as an argument; times may be in any order.

mod length;
pub mod max;
mod percentile;
mod ring;
pub mod smoothing;
mod weighted;

use crate::spec::Aggregation;
use crate::time::{MS_PER_SECOND, Timestamp};
pub use length::{MAX_BUCKETS, Resize, WindowError};
pub use ring::Content;
use ring::Ring;
use weighted::Weights;

/// The size of a bucket that reports fall into: a second, as all reporters report once a second.
pub const BUCKET_MS: u64 = MS_PER_SECOND as u64;

/// So many skipped buckets are a late or a lost report; the newest bucket still speaks for them.
pub const FEW_BUCKETS: u64 = 3;

/// A window over `LANES` values that are always recorded together.
#[derive(Debug, Clone, PartialEq)]
pub struct Window<const LANES: usize> {
    ring: Ring<LANES>,
    weights: Option<Box<Weights<LANES>>>,
}

impl<const LANES: usize> Window<LANES> {
    /// An empty window of `length_ms` in buckets of `granularity_ms`.
    ///
    /// # Errors
    ///
    /// [`WindowError`] when the length is 0, a bucket is shorter than a second, or there would be
    /// more than [`MAX_BUCKETS`] of them.
    pub fn new(
        aggregation: Aggregation,
        length_ms: u64,
        granularity_ms: u64,
    ) -> Result<Window<LANES>, WindowError> {
        let ring = Ring::new(length_ms, granularity_ms)?;
        let weights = match aggregation {
            Aggregation::Linear => None,
            Aggregation::WeightedExponential => Some(Box::new(Weights::new(&ring))),
        };
        Ok(Window { ring, weights })
    }

    /// Adds `values` to the bucket that `at` falls into; too old a time is ignored.
    pub fn record(&mut self, at: Timestamp, values: [f64; LANES]) {
        let change = self.ring.record(at.as_millis(), values);
        if let Some(weights) = &mut self.weights {
            weights.follow(&self.ring, change, values);
        }
    }

    /// Fills the buckets skipped since the newest one, up to but not including that of `at`, if
    /// there are at most `limit` of them: a few with what the newest holds, more with the mean.
    pub fn repeat_until(&mut self, at: Timestamp, limit: u64) {
        let skipped = self.ring.skipped_before(at.as_millis());
        if skipped == 0 || skipped > limit {
            return;
        }
        let values = if skipped <= FEW_BUCKETS {
            *self.ring.bucket(0)
        } else {
            std::array::from_fn(|lane| self.ring.mean(0, self.ring.averaged(0), lane))
        };
        for _ in 0..skipped {
            let Some(last) = self.last_recorded() else { return };
            self.record(last.plus_millis(self.ring.granularity_ms()), values);
        }
    }

    /// Records nothing in every bucket after the newest one up to that of `at`: the same as
    /// recording zero in each of them in turn.
    pub fn record_nothing_until(&mut self, at: Timestamp) {
        if self.weights.is_none() {
            return self.ring.record_nothing_until(at.as_millis());
        }
        while let Some(last) = self.last_recorded().filter(|last| *last < self.begin_of(at)) {
            self.record(last.plus_millis(self.ring.granularity_ms()), [0.0; LANES]);
        }
    }

    /// When the bucket of `at` begins.
    fn begin_of(&self, at: Timestamp) -> Timestamp {
        let length_ms = self.ring.granularity_ms() as i64;
        Timestamp::from_millis(at.as_millis().div_euclid(length_ms).saturating_mul(length_ms))
    }

    /// After how many further buckets the average of one lane may fall below `average` although
    /// nothing is recorded: so long the newest bucket that alone makes twice as much of it stays.
    /// `None` if no bucket does, or where newer buckets weigh more.
    pub fn stays_above(&self, lane: usize, average: f64) -> Option<usize> {
        // Twice, because what was subtracted from the sum in the past has left roundings in it.
        let least = 2.0 * average * self.buckets() as f64;
        self.weights.is_none().then(|| self.ring.stays(lane, least)).flatten()
    }

    /// What the average of one lane will be after 1, 2, 3, … further buckets without anything,
    /// until all that there is has left the window; none where newer buckets weigh more.
    pub fn averages_without_load(&self, lane: usize) -> Option<impl Iterator<Item = f64>> {
        self.weights.is_none().then(|| self.ring.means_without_load(lane))
    }

    /// The largest value of one lane in the last `count` buckets, if every one of them is known
    /// and the newest is no older than the bucket before that of `at`.
    pub fn peak(&self, at: Timestamp, lane: usize, count: u64) -> Option<f64> {
        self.ring.peak(at.as_millis(), lane, count)
    }

    /// The percentile (0..=100, nearest rank) of one lane over the buckets that the window has;
    /// none when it has none.
    pub fn percentile(&self, lane: usize, percentile: f64) -> Option<f64> {
        percentile::nearest_rank(&self.ring, lane, percentile)
    }

    /// What the window holds as seen at `at`, unless the newest bucket is older than the one before
    /// that of `at`.
    pub fn content(&self, at: Timestamp) -> Option<Content<LANES>> {
        self.ring.content(at.as_millis())
    }

    /// The least value of one lane in the buckets that are known.
    pub fn least(&self, lane: usize) -> f64 {
        self.ring.newest(self.ring.known(), lane).fold(f64::INFINITY, f64::min)
    }

    /// The average of one lane as seen at `at`.
    pub fn average(&self, at: Timestamp, lane: usize) -> f64 {
        self.average_of(at, lane).0
    }

    /// That average, and how many buckets it is of: fewer than [`Self::buckets`] while the window
    /// fills and while nothing is recorded, 0 when nothing in it counts any more.
    ///
    /// Inlined, as the mean is: a call that returns two numbers costs a tenth of averaging.
    #[inline(always)]
    pub fn average_of(&self, at: Timestamp, lane: usize) -> (f64, u32) {
        let age = self.ring.age(at.as_millis());
        let averaged = self.ring.averaged(age);
        let average = match &self.weights {
            None => self.ring.mean(age, averaged, lane),
            Some(weights) => weights.average(&self.ring, age, lane),
        };
        (average, averaged)
    }

    /// How many of the newest buckets have been written at all, gaps included.
    pub fn known(&self) -> u32 {
        u32::try_from(self.ring.known()).unwrap_or(u32::MAX)
    }

    /// Whether nothing was recorded for longer than the window's length.
    pub fn is_empty(&self, at: Timestamp) -> bool {
        self.ring.is_empty(at.as_millis())
    }

    /// Changes the length, keeping the newest buckets that fit.
    ///
    /// # Errors
    ///
    /// As [`Window::new`]; the window is unchanged then.
    pub fn resize(
        &mut self,
        at: Timestamp,
        length_ms: u64,
        mode: Resize,
    ) -> Result<(), WindowError> {
        self.ring.resize(at.as_millis(), length_ms, mode)?;
        if let Some(weights) = &mut self.weights {
            **weights = Weights::new(&self.ring);
        }
        Ok(())
    }

    /// Checks a length without changing anything.
    ///
    /// # Errors
    ///
    /// As [`Window::new`].
    pub fn accepts(&self, length_ms: u64) -> Result<(), WindowError> {
        length::bucket_count(length_ms, self.ring.granularity_ms()).map(drop)
    }

    /// Number of buckets.
    pub fn buckets(&self) -> usize {
        self.ring.count()
    }

    /// Length in milliseconds.
    pub fn length_ms(&self) -> u64 {
        self.ring.length_ms()
    }

    /// The coefficient of the exponential weights, if there are any.
    pub fn smoothing_coefficient(&self) -> Option<f64> {
        self.weights.as_ref().map(|weights| weights.coefficient())
    }

    /// Start of the newest bucket that was written.
    pub fn last_recorded(&self) -> Option<Timestamp> {
        self.ring.last_ms().map(Timestamp::from_millis)
    }
}
