//! When a client that is refused may try again: by how quickly the queue drains.

use core::time::Duration;

use crate::time::Moment;

/// The shortest and the longest time that a client is told. Less is no relief in a header that
/// counts in seconds; more is a guess, and a client that is told more goes elsewhere.
pub const RETRY_AFTER_MIN: Duration = Duration::from_secs(1);
/// See [`RETRY_AFTER_MIN`].
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);

/// How long is looked back, in seconds: long enough for a mean, and short enough to notice that
/// instances came or went.
const WINDOW_SECONDS: u64 = 8;

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// How quickly one queue drains.
#[derive(Debug, Clone, Default)]
pub struct DrainRate {
    formed: Moment,
    /// The last time that a request left, or that the queue formed.
    moved: Moment,
    /// Requests that left in each second, by the remainder of its number.
    left: [u32; WINDOW_SECONDS as usize],
    /// The number of the newest of them.
    newest: u64,
    /// The last moment for which a client was told to come.
    told: Moment,
}

impl DrainRate {
    /// Requests begin to wait: what was before says nothing of this queue.
    pub fn formed(&mut self, now: Moment) {
        let newest = now.as_nanos() / NANOS_PER_SECOND;
        *self = Self { formed: now, moved: now, newest, told: self.told, ..Self::default() };
    }

    /// A request left the queue for an instance.
    pub fn left(&mut self, now: Moment) {
        self.advance(now);
        let slot = &mut self.left[(self.newest % WINDOW_SECONDS) as usize];
        *slot = slot.saturating_add(1);
        self.moved = now;
    }

    /// After how long a client may try again that is refused while so many wait: once they have
    /// left, each at the pace of the last seconds. Clients that are refused one after the other are
    /// told times that follow each other at that pace, so that they do not come back together.
    ///
    /// Where none has left, as long again as none has.
    pub fn retry_after(&mut self, now: Moment, waiting: u32) -> Duration {
        self.advance(now);
        let bounded = |time: Duration| time.clamp(RETRY_AFTER_MIN, RETRY_AFTER_MAX);
        let count: u32 = self.left.iter().fold(0, |sum, left| sum.saturating_add(*left));
        let Some(pace) = self.window(now).checked_div(count) else {
            return bounded(now.since(self.moved));
        };
        let drained = now.after(pace.saturating_mul(waiting));
        let next = drained.max(self.told.after(pace));
        // Beyond the longest time the places are given out once more, from the first.
        let is_near = next.since(now) <= RETRY_AFTER_MAX;
        self.told = if is_near { next } else { drained };
        bounded(self.told.since(now))
    }

    /// The time that the counts are of: since the queue formed, if they reach that far.
    fn window(&self, now: Moment) -> Duration {
        let first_second = self.newest.saturating_sub(WINDOW_SECONDS - 1);
        let begin = Moment::from_nanos(first_second.saturating_mul(NANOS_PER_SECOND));
        now.since(begin.max(self.formed))
    }

    /// Forgets seconds that are too long ago.
    fn advance(&mut self, now: Moment) {
        let second = now.as_nanos() / NANOS_PER_SECOND;
        let passed = second.saturating_sub(self.newest);
        for nth in 1..=passed.min(WINDOW_SECONDS) {
            self.left[((self.newest + nth) % WINDOW_SECONDS) as usize] = 0;
        }
        self.newest = self.newest.max(second);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::from_millis(millis)
    }

    /// Ten leave in each second, from the first to the last of so many.
    fn draining(seconds: u64) -> DrainRate {
        let mut rate = DrainRate::default();
        rate.formed(at(0));
        (1..=seconds * 10).for_each(|nth| rate.left(at(nth * 100)));
        rate
    }

    #[test]
    fn the_time_is_what_the_queue_takes_to_drain() {
        for seconds in [1, 5, 30] {
            let told = draining(seconds).retry_after(at(seconds * 1_000), 200).as_secs_f64();
            assert!((19.0..=21.0).contains(&told), "after {seconds} s: {told}");
        }
        assert_eq!(draining(3).retry_after(at(3_000), 0), RETRY_AFTER_MIN);
        assert_eq!(draining(3).retry_after(at(3_000), 10_000), RETRY_AFTER_MAX);
    }

    #[test]
    fn clients_that_are_refused_together_do_not_come_back_together() {
        let mut rate = draining(8);
        let told: Vec<_> =
            (0..100).map(|_| rate.retry_after(at(8_000), 50).as_millis() as u64).collect();
        assert!(told.is_sorted(), "{told:?}");
        let spread = told[99] - told[0];
        assert!((9_000..11_000).contains(&spread), "100 of them take 10 s to serve: {spread} ms");
        // However many they are, none is told more than the most, and they stay apart.
        let many: Vec<_> = (0..5_000).map(|_| rate.retry_after(at(8_000), 50)).collect();
        assert!(many.iter().all(|told| *told <= RETRY_AFTER_MAX));
        let soon = many.iter().filter(|told| told.as_secs() < 30).count();
        assert!((1_000..4_000).contains(&soon), "{soon} of 5,000 in the first half");
    }

    #[test]
    fn a_queue_that_nothing_leaves_is_expected_to_stand_as_long_again() {
        let mut rate = DrainRate::default();
        rate.formed(at(1_000));
        assert_eq!(rate.retry_after(at(1_100), 5), RETRY_AFTER_MIN);
        assert_eq!(rate.retry_after(at(8_000), 5), Duration::from_secs(7));
        assert_eq!(rate.retry_after(at(900_000), 5), RETRY_AFTER_MAX);
    }

    #[test]
    fn what_was_before_a_standstill_is_forgotten() {
        let mut rate = draining(8);
        assert_eq!(rate.retry_after(at(30_000), 10), Duration::from_secs(22));
        rate.formed(at(31_000));
        assert_eq!(rate.retry_after(at(31_000), 10), RETRY_AFTER_MIN);
    }
}
