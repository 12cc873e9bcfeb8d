//! The ring of buckets under every window, with a running total for the mean.
//!
//! Every `*`, `+` and `-` on values stands in the order that Knative's code has it in, because
//! results are compared to the last bit. Buckets go by running numbers: a bucket's number is its
//! start divided by the bucket size.

use super::length::{Resize, WindowError, bucket_count};
use crate::time::MS_PER_SECOND;

/// "Never", as the number of the first and the last bucket written. Far enough from the ends of
/// the range that distances to any bucket do not overflow.
const NEVER: i64 = i64::MIN / 2;

/// What a record did to a ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// What a ring holds, weights aside.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Content<const LANES: usize> {
    /// How many buckets count.
    pub buckets: u32,
    /// The sum of them.
    pub total: [f64; LANES],
    /// The oldest of them.
    pub oldest: [f64; LANES],
    /// The newest.
    pub newest: [f64; LANES],
}

/// Buckets of a fixed size that hold the sum of what was recorded into each.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ring<const LANES: usize> {
    buckets: Box<[[f64; LANES]]>,
    total: [f64; LANES],
    /// Number of the first bucket written since the ring was last empty.
    first: i64,
    /// Number of the newest bucket.
    last: i64,
    length_ms: i64,
    granularity_ms: i64,
    /// Where the newest bucket lies.
    head: usize,
}

impl<const LANES: usize> Ring<LANES> {
    /// An empty ring; errors as [`super::Window::new`].
    pub(crate) fn new(length_ms: u64, granularity_ms: u64) -> Result<Ring<LANES>, WindowError> {
        let count = bucket_count(length_ms, granularity_ms)?;
        Ok(Ring {
            buckets: vec![[0.0; LANES]; count].into_boxed_slice(),
            total: [0.0; LANES],
            first: NEVER,
            last: NEVER,
            length_ms: length_ms as i64,
            granularity_ms: granularity_ms as i64,
            head: 0,
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
    pub(crate) fn last_ms(&self) -> Option<i64> {
        (self.last != NEVER).then(|| self.last.saturating_mul(self.granularity_ms))
    }

    /// Adds `values` to the bucket of `at_ms`.
    pub(crate) fn record(&mut self, at_ms: i64, values: [f64; LANES]) -> Change {
        let number = self.number(at_ms);
        let ahead = number - self.last;
        let mut change = Change::Added(0);
        let mut slot = self.head;
        if ahead != 0 {
            let count = self.buckets.len() as i64;
            if self.last != NEVER && ahead <= -count {
                return Change::Ignored;
            }
            if self.first == NEVER || self.first > number {
                self.first = number;
            }
            if ahead > 0 {
                change = self.advance(number, ahead);
                slot = self.head;
            } else {
                change = Change::Added(ahead.unsigned_abs());
                slot = self.slot_behind(ahead.unsigned_abs() as usize);
            }
        }
        for (lane, value) in values.into_iter().enumerate() {
            self.buckets[slot][lane] += value;
            self.total[lane] += value;
        }
        change
    }

    /// Makes the bucket with a number that is `ahead` of the newest the newest.
    fn advance(&mut self, number: i64, ahead: i64) -> Change {
        self.last = number;
        if ahead >= self.buckets.len() as i64 {
            self.buckets.fill([0.0; LANES]);
            self.total = [0.0; LANES];
            self.first = number;
            return Change::Restarted;
        }
        for _ in 0..ahead {
            self.drop_oldest();
        }
        Change::Advanced(ahead as u64)
    }

    /// Makes the bucket of `at_ms` the newest, with nothing in it nor in those skipped: the same as
    /// recording zero in each of them in turn, in one step for each bucket of the window at most.
    pub(crate) fn record_nothing_until(&mut self, at_ms: i64) {
        let number = self.number(at_ms);
        let ahead = number - self.last;
        if self.last == NEVER || self.first == NEVER || ahead <= 0 {
            return;
        }
        let count = self.buckets.len() as i64;
        if count == 1 {
            // Each record begins anew.
            self.advance(number, ahead);
            return;
        }
        self.last = number;
        for _ in 0..ahead.min(count) {
            self.drop_oldest();
        }
        // By now all are empty, and which of them is the newest is all that changes.
        let further = (ahead - count).max(0) % count;
        self.head = (self.head + further as usize) % self.buckets.len();
    }

    /// What the mean of one lane will be after 1, 2, 3, … further buckets without anything, until
    /// all that there is has left the window.
    pub(crate) fn means_without_load(&self, lane: usize) -> impl Iterator<Item = f64> {
        let count = self.buckets.len();
        let known = self.known();
        let mut rest = self.total[lane];
        let mut expiring = self.head;
        (1..=count).map(move |more| {
            expiring = self.slot_after(expiring);
            rest -= self.buckets[expiring][lane];
            round6(rest / (known + more).min(count) as f64)
        })
    }

    /// After how many further buckets the newest one that has at least so much of one lane leaves
    /// the window; `None` if none has.
    pub(crate) fn stays(&self, lane: usize, least: f64) -> Option<usize> {
        let behind = (0..self.known()).find(|behind| self.bucket(*behind)[lane] >= least)?;
        Some(self.buckets.len() - behind)
    }

    /// The newest bucket becomes the one after it, empty, and the oldest is gone.
    #[inline]
    fn drop_oldest(&mut self) {
        self.head = self.slot_after(self.head);
        let bucket = &mut self.buckets[self.head];
        for (total, value) in self.total.iter_mut().zip(bucket) {
            *total -= *value;
            *value = 0.0;
        }
    }

    /// The mean of one lane over the buckets that the window has, rounded to six decimals, as seen
    /// `age` buckets after the newest; 0 when all of them have expired.
    #[inline(always)]
    pub(crate) fn mean(&self, age: i64, averaged: u32, lane: usize) -> f64 {
        if averaged == 0 {
            return 0.0;
        }
        let mut rest = self.total[lane];
        let mut expiring = self.head;
        for _ in 0..age {
            expiring = self.slot_after(expiring);
            rest -= self.buckets[expiring][lane];
        }
        round6(rest / f64::from(averaged))
    }

    /// How many buckets a mean is of that is seen `age` buckets after the newest.
    pub(crate) fn averaged(&self, age: i64) -> u32 {
        let count = self.buckets.len() as i64;
        if age >= count {
            return 0;
        }
        (self.last - self.first + 1).min(count - age.max(0)) as u32
    }

    /// Whether nothing was recorded for longer than the window's length.
    pub(crate) fn is_empty(&self, at_ms: i64) -> bool {
        self.is_expired(self.age(at_ms))
    }

    /// The same, `age` buckets after the newest.
    pub(crate) fn is_expired(&self, age: i64) -> bool {
        age.saturating_mul(self.granularity_ms) > self.length_ms
    }

    /// Changes the length; see [`Resize`] for what becomes of the age. Errors as
    /// [`super::Window::new`], and then nothing is changed.
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
        let head = count - 1;
        if self.is_empty(at_ms) {
            self.first = NEVER;
        } else {
            for behind in 0..count.min(self.buckets.len()) {
                let from = self.bucket(behind);
                buckets[head - behind] = *from;
                for (total, value) in total.iter_mut().zip(from) {
                    *total += value;
                }
            }
            if mode == Resize::ForgetAge {
                self.first = self.last - (self.buckets.len() as i64 - 1);
            }
        }
        self.buckets = buckets;
        self.total = total;
        self.head = head;
        self.length_ms = length_ms as i64;
        Ok(())
    }

    /// How many buckets lie between the newest one and that of `at_ms`, if the window spans them.
    pub(crate) fn skipped_before(&self, at_ms: i64) -> u64 {
        let age = self.age(at_ms);
        if (1..self.buckets.len() as i64).contains(&age) { age as u64 - 1 } else { 0 }
    }

    /// The largest value of one lane in the `count` newest buckets, if all of them are known and
    /// the newest is at most one bucket before that of `at_ms`.
    pub(crate) fn peak(&self, at_ms: i64, lane: usize, count: u64) -> Option<f64> {
        let count = usize::try_from(count).ok().filter(|&count| count <= self.known())?;
        if self.age(at_ms) > 1 || count == 0 {
            return None;
        }
        Some(self.newest(count, lane).fold(0.0, f64::max))
    }

    /// What counts of the ring at `at_ms`; the newest bucket is at most one before that.
    pub(crate) fn content(&self, at_ms: i64) -> Option<Content<LANES>> {
        let age = self.age(at_ms);
        let buckets = self.averaged(age.max(0));
        if age > 1 || buckets == 0 || self.known() == 0 {
            return None;
        }
        let count = buckets as usize;
        let mut total = self.total;
        if age > 0 && self.known() == self.buckets.len() {
            for (total, expired) in total.iter_mut().zip(self.bucket(count)) {
                *total -= expired;
            }
        }
        let (oldest, newest) = (*self.bucket(count - 1), *self.bucket(0));
        Some(Content { buckets, total, oldest, newest })
    }

    /// One lane of the `count` newest buckets, of which there are so many, in no order.
    pub(crate) fn newest(&self, count: usize, lane: usize) -> impl Iterator<Item = f64> {
        let end = self.head + 1;
        let newer = &self.buckets[end.saturating_sub(count)..end];
        let older = &self.buckets[self.buckets.len() - count.saturating_sub(end)..];
        newer.iter().chain(older).map(move |bucket| bucket[lane])
    }

    /// How many buckets have been written, gaps included.
    pub(crate) fn known(&self) -> usize {
        if self.last == NEVER || self.first == NEVER {
            return 0;
        }
        usize::try_from(self.last - self.first + 1).map_or(0, |n| n.min(self.buckets.len()))
    }

    /// The bucket `behind` the newest one; `behind` is less than [`Self::count`].
    pub(crate) fn bucket(&self, behind: usize) -> &[f64; LANES] {
        &self.buckets[self.slot_behind(behind)]
    }

    /// How many buckets `at_ms` is after the newest one; negative if before, huge if there is
    /// none.
    pub(crate) fn age(&self, at_ms: i64) -> i64 {
        self.number(at_ms) - self.last
    }

    /// Running number of the bucket that `at_ms` falls into.
    fn number(&self, at_ms: i64) -> i64 {
        // Dividing by a constant is several times as fast, and nearly every bucket is a second.
        if self.granularity_ms == MS_PER_SECOND {
            at_ms.div_euclid(MS_PER_SECOND)
        } else {
            at_ms.div_euclid(self.granularity_ms)
        }
    }

    /// Where the bucket `behind` the newest one lies.
    fn slot_behind(&self, behind: usize) -> usize {
        match self.head.checked_sub(behind) {
            Some(slot) => slot,
            None => self.head + self.buckets.len() - behind,
        }
    }

    /// Where the bucket after the one in a slot lies.
    fn slot_after(&self, slot: usize) -> usize {
        if slot + 1 == self.buckets.len() { 0 } else { slot + 1 }
    }
}

/// Rounds to six decimals, halves away from zero.
fn round6(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}
